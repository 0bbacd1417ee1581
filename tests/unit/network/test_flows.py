"""Flows to withdrawn endpoints, over a tracking table in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.model.network import BalancedService, Endpoint, NetworkConfiguration
from orchestrator.network.flow_rules import PROTOCOL_TCP, UDP_ANSWER_WAIT_S, Flow, TcpState
from orchestrator.network.flows import FlowTable
from orchestrator.network.ingress_rules import endpoint_mark

OLD, NEW, LOST = "10.0.1.11", "10.0.1.12", "10.0.1.13"


class FakeTracking:
    """A tracking table that the test fills."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Flow] = {}
        self.dumps = 0

    def add(self, name: bytes, endpoint: str, state: TcpState, protocol: int = PROTOCOL_TCP) -> None:
        """An entry; the kernel's id is its number."""
        answered = state not in (TcpState.NONE, TcpState.SYN_SENT)
        self.entries[name] = Flow(protocol, endpoint, state, answered, False, name, len(self.entries))

    def move(self, name: bytes, state: TcpState) -> None:
        """The connection goes on."""
        self.entries[name] = replace(self.entries[name], state=state)

    def flows(self, mark: int, mask: int) -> list[Flow]:
        """Entries under the mask."""
        self.dumps += 1
        return [flow for flow in self.entries.values() if endpoint_mark(flow.endpoint) & mask == mark]

    def refresh(self, flows: Sequence[Flow]) -> list[Flow]:
        """Those that are still the same."""
        present = [self.entries.get(flow.original_tuple) for flow in flows]
        return [
            now
            for now, before in zip(present, flows, strict=True)
            if now is not None and now.identity == before.identity
        ]

    def forget(self, flows: Sequence[Flow]) -> None:
        """Delete those that are still the same."""
        for flow in self.refresh(flows):
            del self.entries[flow.original_tuple]


def configuration(
    serving: Sequence[str], draining: Sequence[str] = (), lingering: Sequence[str] = ()
) -> NetworkConfiguration:
    def endpoints(addresses: Sequence[str]) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(f"task-{address}", "web.1", "n1", address) for address in addresses)

    service = BalancedService("s", "web", (), endpoints(serving), endpoints(draining), lingering=endpoints(lingering))
    return NetworkConfiguration(services=(service,))


SERVING = configuration([OLD, LOST])
WITHDRAWN = configuration([NEW, LOST], [OLD])


class Fixture:
    """A flow table that has followed `SERVING`, its tracking table and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tracking = FakeTracking()
        self.table = FlowTable(self.tracking, lambda: self.now)
        self.follow(SERVING)
        self.tracking.dumps = 0

    def follow(self, wanted: NetworkConfiguration) -> None:
        asyncio.run(self.table.follow(wanted))

    def open(self, wanted: NetworkConfiguration = WITHDRAWN) -> dict[str, int]:
        return dict(asyncio.run(self.table.open(wanted)))


def test_open_connections_are_counted_by_task_until_they_end() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"a", OLD, TcpState.ESTABLISHED)
    fixture.tracking.add(b"b", OLD, TcpState.SYN_SENT)
    fixture.tracking.add(b"c", NEW, TcpState.ESTABLISHED)
    fixture.follow(WITHDRAWN)
    assert fixture.open() == {f"task-{OLD}": 2}
    fixture.tracking.move(b"a", TcpState.TIME_WAIT)
    fixture.tracking.move(b"b", TcpState.CLOSE)
    assert fixture.open() == {}
    assert sorted(fixture.tracking.entries) == [b"a", b"c"]


def test_the_table_is_walked_once_per_withdrawal() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"a", OLD, TcpState.ESTABLISHED)
    fixture.follow(WITHDRAWN)
    for _ in range(5):
        fixture.open()
    fixture.follow(WITHDRAWN)
    assert fixture.tracking.dumps == 1


def test_nothing_is_walked_when_nothing_was_withdrawn() -> None:
    fixture = Fixture()
    fixture.follow(configuration([OLD, NEW, LOST]))
    assert fixture.tracking.dumps == 0


def test_an_entry_reborn_for_another_endpoint_is_not_counted_and_not_deleted() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"a", OLD, TcpState.ESTABLISHED)
    fixture.follow(WITHDRAWN)
    fixture.tracking.entries[b"a"] = replace(fixture.tracking.entries[b"a"], endpoint=NEW, identity=99)
    assert fixture.open() == {}
    assert fixture.tracking.entries[b"a"].endpoint == NEW


def test_clients_still_connecting_to_a_task_not_heard_of_are_balanced_afresh() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"connecting", LOST, TcpState.SYN_SENT)
    fixture.tracking.add(b"connected", LOST, TcpState.ESTABLISHED)
    fixture.follow(configuration([OLD], lingering=[LOST]))
    assert sorted(fixture.tracking.entries) == [b"connected"]


def test_no_flow_outlives_its_task() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"serving", NEW, TcpState.ESTABLISHED)
    fixture.tracking.add(b"idle", OLD, TcpState.ESTABLISHED)
    fixture.tracking.add(b"cut off", OLD, TcpState.LAST_ACK)
    fixture.tracking.add(b"answered", OLD, TcpState.TIME_WAIT)
    fixture.tracking.add(b"died by itself", LOST, TcpState.ESTABLISHED)
    fixture.follow(WITHDRAWN)
    fixture.follow(configuration([NEW, LOST], lingering=[OLD]))
    assert len(fixture.tracking.entries) == 5
    fixture.follow(configuration([NEW]))
    assert sorted(fixture.tracking.entries) == [b"serving"]


def test_after_a_start_flows_to_unknown_addresses_are_looked_for_once() -> None:
    tracking = FakeTracking()
    table = FlowTable(tracking, lambda: 0.0)
    tracking.add(b"lost", LOST, TcpState.SYN_SENT)
    tracking.add(b"ended", LOST, TcpState.ESTABLISHED)
    tracking.add(b"old", OLD, TcpState.ESTABLISHED)
    tracking.add(b"new", NEW, TcpState.SYN_SENT)
    asyncio.run(table.follow(configuration([NEW], [OLD])))
    assert sorted(tracking.entries) == [b"new", b"old"]
    assert dict(asyncio.run(table.open(configuration([NEW], [OLD])))) == {f"task-{OLD}": 1}
    assert tracking.dumps == 1


def test_an_unanswered_datagram_holds_its_task_for_a_while() -> None:
    fixture = Fixture()
    fixture.tracking.add(b"u", OLD, TcpState.NONE, protocol=17)
    fixture.follow(WITHDRAWN)
    assert fixture.open() == {f"task-{OLD}": 1}
    fixture.now += UDP_ANSWER_WAIT_S
    assert fixture.open() == {}
    assert fixture.tracking.entries == {}
