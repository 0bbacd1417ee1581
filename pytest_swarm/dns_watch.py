"""Watches a name on every node while a test changes the service behind it.

    with swarm.dns(web, "tasks.web", network="webnet", image="docker-swarm-test:1") as watch:
        web.update(image="docker-swarm-test:2")
    assert watch.ledger.stale_seconds == 0, watch.ledger.explain()

The watchers are tasks of a global service on the network: they ask as any task does. Leaving the block waits until what
the orchestrator answered last is too old to be used, then joins the answers with the lives of the service's containers.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pytest_swarm.conditions import is_running
from pytest_swarm.container_lives import ContainerLives, epoch
from pytest_swarm.dns_ledger import DnsLedger, Life, Sample, Serving, Span, balance, read_samples
from pytest_swarm.engine_client import SERVICE_LABEL
from pytest_swarm.submission import submit
from pytest_swarm.waiting import Done, NotYet, wait_until

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.service import Service

INTERVAL_SECONDS = 0.05
START_SECONDS = 60.0
LINGER_SECONDS = 1.5
"""Longer than the TTL of the orchestrator's answers; Docker's may be used for 600 s."""
_Filters = dict[str, str | list[str] | bool]


class DnsWatch:
    """One watch. Afterwards `ledger` has the figures, `samples` every answer and `lives` what they are held against."""

    def __init__(self, cluster: Cluster, service: Service, name: str, network: str, image: str) -> None:
        self.cluster = cluster
        self.service = service
        self.name = name
        self.network = network
        self.image = image
        self.samples: tuple[Sample, ...] = ()
        self.lives: tuple[Life, ...] = ()
        self._containers = ContainerLives(cluster.nodes, service.id)
        self._undo = contextlib.ExitStack()
        self._probe_id = ""
        self._began = 0.0
        self._ledger: DnsLedger | None = None

    @property
    def ledger(self) -> DnsLedger:
        """The figures. Raises RuntimeError while the watch goes on."""
        if self._ledger is None:
            raise RuntimeError("the figures are there after the `with` block")
        return self._ledger

    def __enter__(self) -> DnsWatch:
        with contextlib.ExitStack() as undo:
            undo.callback(self._containers.stop)
            self._containers.start()
            self._probe_id = self._create_probe()
            undo.callback(self._remove_probe)
            wait_until(self._all_answered, what=f"answers for {self.name} on every node", timeout=START_SECONDS)
            self._undo = undo.pop_all()
        self._began = time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._undo:
            if kind is None:
                time.sleep(LINGER_SECONDS)
                span = Span(tuple(node.name for node in self.cluster.nodes), self._began, time.time())
                self.samples = tuple(self._read_samples())
                network = self.cluster.api.inspect_network(self.network)
                lives = (*self._virtual_lives(), *self._containers.finish())
                self.lives = tuple(life for life in lives if is_within(network, life.address))
                self._ledger = balance(self.samples, self.lives, self._serving(network["Id"]), span)

    def _create_probe(self) -> str:
        source = (Path(__file__).parent / "dns_probe.py").read_text("utf-8")
        template = {
            "ContainerSpec": {
                "Image": self.image,
                "Command": ["python3", "-c", source],
                "Args": [self.name, str(INTERVAL_SECONDS)],
                "StopGracePeriod": 0,
            },
            "Networks": [{"Target": self.network}],
        }
        name = f"dns-watch-{time.monotonic_ns()}"
        # Nobody asks for the watchers: they need no virtual address.
        endpoint = {"Mode": "dnsrr"}
        created = self.cluster.api.create_service(template, name=name, mode={"Global": {}}, endpoint_spec=endpoint)
        return str(created["ID"])

    def _remove_probe(self) -> None:
        submit(
            lambda: self.cluster.api.remove_service(self._probe_id),
            what="removal of the DNS watchers",
            timeout=START_SECONDS,
        )
        wait_until(self._probes_gone, what="removal of the DNS watchers", timeout=START_SECONDS)

    def _probes(self) -> Iterator[tuple[str, Any]]:
        """(node name, container) of every watcher."""
        for node in self.cluster.nodes:
            filters: _Filters = {"label": f"{SERVICE_LABEL}={self._probe_id}"}
            yield from (
                (node.name, each)
                for each in node.client.containers.list(all=True, filters=filters, ignore_removed=True)
            )

    def _probes_gone(self) -> Done[None] | NotYet:
        left = [name for name, _ in self._probes()]
        return NotYet(f"a watcher is left on {left[0]}") if left else Done(None)

    def _all_answered(self) -> Done[None] | NotYet:
        answered = {sample.watcher for sample in self._read_samples() if sample.is_useful}
        missing = [node.name for node in self.cluster.nodes if node.name not in answered]
        return NotYet(f"no answer yet on {', '.join(missing)}") if missing else Done(None)

    def _read_samples(self) -> Iterator[Sample]:
        for node_name, container in self._probes():
            yield from read_samples(node_name, container.logs(stdout=True, stderr=False).decode())

    def _virtual_lives(self) -> Iterator[Life]:
        for network_id, address in self._virtual_addresses():
            yield Life(address, f"the virtual address on {network_id}", 0.0)

    def _virtual_addresses(self) -> list[tuple[str, str]]:
        """(network id, address) of each, when the name is one of the service's own."""
        shown = self.service.inspect()
        if self._local_name not in self._names(shown):
            return []
        virtual = shown["Endpoint"].get("VirtualIPs") or []
        return [(each["NetworkID"], each["Addr"].partition("/")[0]) for each in virtual]

    @property
    def _local_name(self) -> str:
        return self.name.lower().removesuffix(f".{self.network.lower()}")

    def _names(self, shown: Any) -> set[str]:
        """The service's name and its aliases, on whichever network."""
        references = shown["Spec"]["TaskTemplate"].get("Networks") or ()
        aliases = (alias for reference in references for alias in reference.get("Aliases") or ())
        return {name.lower() for name in (self.service.name, *aliases)}

    def _serving(self, network_id: str) -> Iterator[Serving]:
        """What the name means now: the virtual address there, else every task that runs; nothing for other names."""
        virtual = dict(self._virtual_addresses())
        if network_id in virtual:
            yield Serving(virtual[network_id], "the virtual address", 0.0)
        elif self._local_name.removeprefix("tasks.") in self._names(self.service.inspect()):
            for task in self.service.tasks():
                if is_running(task):
                    since = epoch(task["Status"]["Timestamp"])
                    for address in _addresses_on(network_id, task):
                        yield Serving(address, f"{self.service.name}.{task.get('Slot')}.{task['ID']}", since)


def is_within(network: Any, address: str) -> bool:
    """Whether the address is of the network, as the API shows it: what a name there leads to is nowhere else."""
    subnets = (each["Subnet"] for each in (network["IPAM"].get("Config") or ()))
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(subnet) for subnet in subnets)


def _addresses_on(network_id: str, task: Any) -> Iterator[str]:
    for attachment in task.get("NetworksAttachments") or ():
        if attachment["Network"]["ID"] == network_id:
            yield from (address.partition("/")[0] for address in attachment["Addresses"])
