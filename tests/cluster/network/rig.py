"""Three nodes, a client and tasks as network namespaces of this machine: the data plane on a real kernel, no Docker.

A thread that has entered a namespace opens its sockets there, and sockets stay where they were opened. So the whole
rig lives in the test's own process: nodes are threads with an event loop, tasks are servers, clients are sockets.
"""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pyroute2.netns import setns

from orchestrator.model.network import AttachedNetwork, BalancedService, Endpoint, NetworkConfiguration, Peer
from orchestrator.model.service import PortConfig
from orchestrator.network.data_plane import KernelDataPlane
from orchestrator.network.overlay_rules import bridge_name

PREFIX = "swarm-rig-"
PUBLISHED_PORT = 8080
TARGET_PORT = 80
NETWORK_ID = "rig0network0of0the0test0s"
CALL_DEADLINE_S = 15.0
CONNECT_DEADLINE_S = 5.0

Result = TypeVar("Result")


def run(*command: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=CALL_DEADLINE_S).stdout


def ip(*arguments: str) -> str:
    """Standard output of `ip`."""
    return run("ip", *arguments)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true within the deadline."""
    deadline = time.monotonic() + CALL_DEADLINE_S
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds


def in_namespace(name: str, call: Callable[[], Result]) -> Result:
    """What `call` returns when run by a thread inside the namespace."""
    with ThreadPoolExecutor(1, initializer=setns, initargs=(name,)) as executor:
        return executor.submit(call).result(CALL_DEADLINE_S)


class LinkBridgeNetworks:
    """`interfaces.BridgeNetworks` by plain bridge devices: what the engine's networks amount to."""

    def __init__(self) -> None:
        self.created: list[str] = []
        self._names: dict[str, str] = {}

    async def ensure(self, network: AttachedNetwork, bridge_name: str) -> bool:
        """Make the bridge and give it the gateway's address."""
        if network.network_id in self._names:
            return True
        ip("link", "add", bridge_name, "type", "bridge")
        ip("address", "add", f"{network.gateway}/{network.subnet.partition('/')[2]}", "dev", bridge_name)
        ip("link", "set", bridge_name, "up")
        self.created.append(bridge_name)
        self._names[network.network_id] = bridge_name
        return True

    async def remove(self, network_id: str) -> None:
        """Delete the bridge."""
        if network_id in self._names:
            ip("link", "delete", self._names.pop(network_id))

    async def names(self) -> Mapping[str, str]:
        """Network id -> bridge name."""
        return dict(self._names)


class Node:
    """One node: a namespace, a thread inside it, and the data plane running there."""

    def __init__(self, name: str, address: str, gateway: str) -> None:
        self.name = name
        self.address = address
        self.gateway = gateway
        self.bridge_networks = LinkBridgeNetworks()
        self.data_plane = KernelDataPlane(self.bridge_networks)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        setns(self.name)
        self._loop.run_forever()

    def apply(self, configuration: NetworkConfiguration) -> None:
        """Apply the configuration."""
        asyncio.run_coroutine_threadsafe(self.data_plane.apply(configuration), self._loop).result(CALL_DEADLINE_S)

    def avoid(self, *names: str) -> None:
        """Hold exactly these nodes dead."""
        future = asyncio.run_coroutine_threadsafe(self.data_plane.avoid(frozenset(names)), self._loop)
        future.result(CALL_DEADLINE_S)

    def flows(self, configuration: NetworkConfiguration) -> dict[str, int]:
        """Open flows by task id."""
        future = asyncio.run_coroutine_threadsafe(self.data_plane.flows(configuration), self._loop)
        return dict(future.result(CALL_DEADLINE_S))

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Run the work on the node's loop, inside its namespace."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def restart(self) -> None:
        """Begin a new life that remembers nothing, as a restarted `swarmd` does."""
        self.data_plane = KernelDataPlane(self.bridge_networks)

    def remove(self) -> None:
        """Take everything of ours out of the kernel."""
        asyncio.run_coroutine_threadsafe(self.data_plane.remove(), self._loop).result(CALL_DEADLINE_S)

    def close(self) -> None:
        """End the thread."""

        async def end() -> None:
            await self._loop.shutdown_default_executor()
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self._loop)
        self._thread.join(CALL_DEADLINE_S)
        self._loop.close()


class TaskServer:
    """A task: a namespace on a node's bridge, with a server that says its name and closes.

    The request "hold" is answered only when `release` is set; "reset" is answered by a reset.
    """

    def __init__(self, namespace: str, task_id: str, node_id: str, address: str) -> None:
        self.endpoint = Endpoint(task_id, f"web.{task_id}", node_id, address)
        self.namespace = namespace
        self.release = threading.Event()
        self._listener = in_namespace(namespace, self._listen)
        self._datagrams = in_namespace(namespace, self._bind)
        self._threads = [
            threading.Thread(target=self._accept, name=task_id),
            threading.Thread(target=self._answer_datagrams, name=f"{task_id}-udp"),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _listen() -> socket.socket:
        return socket.create_server(("", TARGET_PORT), backlog=1024)

    @staticmethod
    def _bind() -> socket.socket:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("", TARGET_PORT))
        return datagrams

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(CALL_DEADLINE_S)
            threading.Thread(target=self._serve, args=(connection,)).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(ConnectionError, TimeoutError):
            request = connection.recv(16)
            if request == b"hold":
                self.release.wait(CALL_DEADLINE_S)
            if request == b"reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            connection.sendall(self.endpoint.task_id.encode())

    def _answer_datagrams(self) -> None:
        while True:
            request, sender = self._datagrams.recvfrom(16)
            if request == b"end":
                return
            if request == b"who":
                self._datagrams.sendto(self.endpoint.task_id.encode(), sender)

    def close(self) -> None:
        """End the servers."""
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with in_namespace(self.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
            sender.sendto(b"end", (self.endpoint.address, TARGET_PORT))
        for thread in self._threads:
            thread.join(CALL_DEADLINE_S)
        self._datagrams.close()


class Rig:
    """The nodes, the client's namespace and the tasks of one test module."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[Node] = []
        self.tasks: list[TaskServer] = []
        self.client = f"{prefix}client"
        self._ports: dict[str, tuple[str, str]] = {}
        self._stack = contextlib.ExitStack()
        self._revision = 0

    def __enter__(self) -> "Rig":
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.closing(self._stack))
            self._build()
            stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def lone_node(self) -> Iterator[Node]:
        """A node that is joined to nothing."""
        name = f"{self.prefix}lone"
        ip("netns", "add", name)
        try:
            with contextlib.closing(Node(name, "10.99.0.9", "10.0.1.9")) as node:
                yield node
        finally:
            ip("netns", "delete", name)

    @contextlib.contextmanager
    def unplugged(self, namespace: str) -> Iterator[None]:
        """Nothing passes between the namespace and the others."""
        switch, port = self._ports[namespace]
        ip("-n", switch, "link", "set", port, "down")
        try:
            yield
        finally:
            ip("-n", switch, "link", "set", port, "up")

    def _namespace(self, name: str) -> str:
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def _build(self) -> None:
        lan = self._namespace(f"{self.prefix}lan")
        ip("-n", lan, "link", "add", "lan", "type", "bridge")
        ip("-n", lan, "link", "set", "lan", "up")
        self._plug(self._namespace(self.client), "10.99.0.100/24", lan, "lan")
        for number in (1, 2, 3):
            name = self._namespace(f"{self.prefix}n{number}")
            self._plug(name, f"10.99.0.{number}/24", lan, "lan")
            node = Node(name, f"10.99.0.{number}", f"10.0.1.{number + 1}")
            self._stack.callback(node.close)
            self.nodes.append(node)
            node.apply(self.configuration(node, ()))
            # What the engine does: drop what is forwarded, but ask our chain first.
            in_namespace(name, _drop_forwarding)
        for number, node in enumerate((self.nodes[0], self.nodes[1], self.nodes[2], self.nodes[1])):
            self._add_task(f"t{number}", node, f"10.0.1.{11 + number}")

    def _plug(self, namespace: str, address: str, switch: str, bridge: str) -> None:
        """Join the namespace's `eth0` to a bridge of another namespace."""
        port = f"p{address.partition('/')[0].replace('.', '')}"
        ip("-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", namespace)
        self._ports[namespace] = (switch, port)
        ip("-n", switch, "link", "set", port, "master", bridge, "up")
        ip("-n", namespace, "address", "add", address, "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")

    def _add_task(self, task_id: str, node: Node, address: str) -> None:
        self.tasks.append(self.add_member(task_id, node, address, NETWORK_ID, node.gateway))

    def add_member(self, task_id: str, node: Node, address: str, network_id: str, gateway: str) -> TaskServer:
        """A task on a network that the node carries already; its way out is the gateway."""
        namespace = self._namespace(f"{self.prefix}{task_id}")
        self._plug(namespace, f"{address}/24", node.name, bridge_name(network_id))
        ip("-n", namespace, "route", "add", "default", "via", gateway)
        task = TaskServer(namespace, task_id, node.name, address)
        self._stack.callback(task.close)
        return task

    def configuration(
        self,
        node: Node,
        serving: Sequence[TaskServer],
        draining: Sequence[TaskServer] = (),
        lingering: Sequence[TaskServer] = (),
    ) -> NetworkConfiguration:
        """The next revision for the node, with one service on those tasks."""
        self._revision += 1
        service = BalancedService(
            service_id="service",
            service_name="web",
            ports=(PortConfig(TARGET_PORT, PUBLISHED_PORT), PortConfig(TARGET_PORT, PUBLISHED_PORT, "udp")),
            endpoints=tuple(task.endpoint for task in serving),
            draining=tuple(task.endpoint for task in draining),
            lingering=tuple(task.endpoint for task in lingering),
        )
        network = AttachedNetwork(NETWORK_ID, "ingress", "10.0.1.0/24", 4096, node.gateway)
        numbers = (1, 2, 3)
        peers = tuple(Peer(f"n{number}", f"10.99.0.{number}") for number in numbers)
        return NetworkConfiguration(
            revision=self._revision,
            networks=(network,),
            peers=tuple(peer for peer in peers if peer.address != node.address),
            services=(service,),
        )

    def apply(self, serving: Sequence[TaskServer], draining: Sequence[TaskServer] = ()) -> None:
        """Make all nodes balance to those tasks."""
        for node in self.nodes:
            node.apply(self.configuration(node, serving, draining))


def _drop_forwarding() -> None:
    for command in ("-P FORWARD DROP", "-A FORWARD -j DOCKER-USER"):
        run("iptables", *command.split())


def connect(namespace: str, address: str, source_port: int = 0) -> socket.socket:
    """A connection from the namespace to the published port of the address."""

    def open_there() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    client = in_namespace(namespace, open_there)
    client.settimeout(CONNECT_DEADLINE_S)
    if source_port:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("", source_port))
    try:
        client.connect((address, PUBLISHED_PORT))
    except OSError:
        client.close()
        raise
    return client


def read_all(client: socket.socket) -> str:
    """What the server says until it closes."""
    parts = []
    while part := client.recv(64):
        parts.append(part)
    return b"".join(parts).decode()


def ask(namespace: str, address: str, source_port: int = 0) -> str:
    """The id of the task that answers a connection from the namespace."""
    with connect(namespace, address, source_port) as client:
        client.sendall(b"who")
        return read_all(client)


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """A rig whose namespaces carry this process's id in their names; removed at the end."""
    _remove_leftovers()
    with Rig(f"{PREFIX}{os.getpid()}-") as built:
        yield built


def _remove_leftovers() -> None:
    """Delete the namespaces of processes that were killed before they could."""
    for name in [line.split()[0] for line in ip("netns", "list").splitlines()]:
        owner = re.match(rf"{PREFIX}(\d+)-", name)
        if owner is not None and not Path("/proc", owner[1]).exists():
            ip("netns", "delete", name)


def missing_for_rig() -> str:
    """Why the rig cannot be built here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    for tool in ("ip", "nft", "iptables"):
        if not any((Path(folder) / tool).exists() for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin")):
            return f"needs {tool}: apt-get install iproute2 nftables iptables"
    return ""
