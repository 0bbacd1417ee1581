"""A manager as a process of its own, without an engine and a data plane: `python -m tests.consistency.process_manager`.

The store, the leader loop, the API and the way to the leader are the real ones, over 127.0.0.x and real files.
Arguments: the group's directory, which the first manager and whoever starts the group share, and the manager's number.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from aiohttp import web

from orchestrator import clock
from orchestrator.api.app import create_app
from orchestrator.api.backend import ClusterBackend, LocalNode, LocalNodeState
from orchestrator.log_lines import LineFormatter
from orchestrator.manager import authority
from orchestrator.manager.authority import NodeIdentity
from orchestrator.manager.manager import Manager
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.errors import Unavailable
from orchestrator.model.node import MANAGEMENT_PORT, Node, NodeDescription, NodeRole, NodeSpec
from orchestrator.raft.membership import Membership
from orchestrator.raft.node import RaftStore
from orchestrator.raft.tls_socket import PeerTls
from orchestrator.state.actions import AddNode, CreateCluster
from orchestrator.testing.cluster_backend import FakeEngineClient, FakeLifecycle

MANAGERS = 3
FOUNDING_DEADLINE = 60.0
CLUSTER_FILE = "cluster.json"
API_SOCKET = "docker.sock"
IDENTITY_FILE = "identity.json"
NETWORK_FILE = "network"


def name_of(number: int) -> str:
    """The manager's name, which is its node's id and host name too."""
    return f"n{number}"


def address_of(directory: Path, number: int) -> str:
    """Its address, of the group's own /24 of 127.0.0.0/8; the ports are those of every manager."""
    return (directory / NETWORK_FILE).read_text() + f".{number}"


async def serve(directory: Path, number: int) -> None:
    """Run the manager for ever."""
    own = msgspec.json.decode((directory / name_of(number) / IDENTITY_FILE).read_bytes(), type=NodeIdentity)
    cluster = msgspec.json.decode((directory / CLUSTER_FILE).read_bytes(), type=Cluster)
    address = address_of(directory, number)
    first_peers = [address_of(directory, other) for other in range(1, number)]
    peer_tls = authority.consensus_context(own)
    server_tls, client_tls = authority.server_context(own), authority.client_context(own)
    tls = PeerTls(lambda: peer_tls, lambda: client_tls, authority.manager_of)
    store = RaftStore(address, directory / name_of(number) / "raft", tls, peers=first_peers)
    store.start()
    raft = Membership(store)
    lifecycle = FakeLifecycle(LocalNode(LocalNodeState.ACTIVE, own.node_id, address, is_manager=True))
    lifecycle.consensus_now = lambda: store.status
    manager = Manager(
        store,
        server_tls=lambda: server_tls,
        client_tls=lambda: client_tls,
        secrets_key="00" * 32,
        add_raft_member=raft.add_manager,
        remove_raft_member=raft.remove_manager,
        voters=raft.voters,
        api=_api(lifecycle, lambda: manager, forwards=False),
    )
    await manager.start(address, MANAGEMENT_PORT)
    runner = web.AppRunner(_api(lifecycle, lambda: manager))
    await runner.setup()
    socket = directory / name_of(number) / API_SOCKET
    socket.unlink(missing_ok=True)
    await web.UnixSite(runner, str(socket)).start()
    if number == 1 and not (directory / CLUSTER_FILE).with_suffix(".founded").exists():
        async with asyncio.timeout(FOUNDING_DEADLINE):
            await _found(directory, store, raft, cluster)
        (directory / CLUSTER_FILE).with_suffix(".founded").touch()
    await asyncio.Event().wait()


def _api(lifecycle: FakeLifecycle, manager: Callable[[], ClusterBackend], *, forwards: bool = True) -> web.Application:
    # The engine is asked for nothing but its networks.
    return create_app(lifecycle, manager, FakeEngineClient(), forwards=forwards)


async def _found(directory: Path, store: RaftStore, raft: Membership, cluster: Cluster) -> None:
    changed = asyncio.Event()
    unsubscribe = store.subscribe(changed.set)
    while not store.is_leader:
        changed.clear()
        await changed.wait()
    unsubscribe()
    addresses = {number: address_of(directory, number) for number in range(1, MANAGERS + 1)}
    nodes = [AddNode(_node(number, address)) for number, address in addresses.items()]
    await store.propose([CreateCluster(cluster), *nodes])
    for address in addresses.values():
        while address not in (store.address, *store.peers):
            # It may still be starting.
            with contextlib.suppress(Unavailable):
                await raft.add_manager(address)


def _node(number: int, address: str) -> Node:
    return Node(
        id=name_of(number),
        spec=NodeSpec(role=NodeRole.MANAGER),
        description=NodeDescription(name_of(number)),
        address=address,
        role=NodeRole.MANAGER,
    )


def prepare_group(directory: Path, network: str) -> None:
    """Write what the managers need to begin: a cluster's record and everyone's certificate.

    `network` is the first three numbers of their addresses: groups that run at once must not share it.
    """
    (directory / NETWORK_FILE).write_text(network)
    cluster = authority.found("consistency", ClusterSpec(), clock.now())
    (directory / CLUSTER_FILE).write_bytes(msgspec.json.encode(cluster))
    for number in range(1, MANAGERS + 1):
        own = authority.issue(cluster, name_of(number), NodeRole.MANAGER, clock.now())
        (directory / name_of(number)).mkdir()
        (directory / name_of(number) / IDENTITY_FILE).write_bytes(msgspec.json.encode(own))


def main() -> None:
    """Run the manager that the command line names."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    main()
