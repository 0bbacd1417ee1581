"""When a node renews its certificate, and when it asks for a vote."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from orchestrator import clock
from orchestrator.agent import certificate_keeper
from orchestrator.agent.certificate_keeper import CertificateKeeper
from orchestrator.model.errors import Unavailable
from orchestrator.model.node import NodeRole, NodeTrust

WORKER, MANAGER = NodeRole.WORKER, NodeRole.MANAGER


class Node:
    """Gets whatever role it is to have; counts what it is asked."""

    def __init__(self, age_share: float = 0.0) -> None:
        self.certified_role = WORKER
        self.validity = (clock.now() - 1000 * age_share, clock.now() + 1000 * (1 - age_share))
        self.next_role = WORKER
        self.renewals = 0
        self.votes = 0
        self.told: list[NodeTrust] = []
        self.failures: list[Exception] = []
        self.trust = NodeTrust("old", "subject", "old")
        self.next_issuer = "old"

    async def renew(self) -> None:
        if self.failures:
            raise self.failures.pop()
        self.renewals += 1
        self.certified_role = self.next_role
        self.validity = (clock.now(), clock.now() + 1000)
        self.trust = replace(self.trust, issuer_public_key=self.next_issuer)

    async def trust_root(self, root: str) -> None:
        self.trust = replace(self.trust, root=root)

    async def become_voter(self) -> None:
        self.votes += 1


def run(node: Node, scenario: Callable[[CertificateKeeper], Awaitable[None]]) -> None:
    async def live() -> None:
        keeper = CertificateKeeper(node)
        duty = asyncio.create_task(keeper.run(node.told.append))
        try:
            async with asyncio.timeout(5):
                await scenario(keeper)
        finally:
            duty.cancel()
            await asyncio.gather(duty, return_exceptions=True)

    asyncio.run(live())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(("age_share", "renewals"), [(0.49, 0), (0.81, 1)])
def test_it_is_renewed_in_the_second_half_of_its_life(age_share: float, renewals: int) -> None:
    node = Node(age_share)

    async def scenario(_: CertificateKeeper) -> None:
        await asyncio.sleep(0.02)
        assert node.renewals == renewals

    run(node, scenario)


def test_a_promoted_node_renews_and_then_asks_for_a_vote_once() -> None:
    node = Node()
    node.next_role = MANAGER

    async def scenario(keeper: CertificateKeeper) -> None:
        keeper.heard(WORKER, WORKER)
        await asyncio.sleep(0.01)
        assert (node.renewals, node.votes) == (0, 0)
        keeper.heard(MANAGER, WORKER)
        await until(lambda: node.votes == 1)
        keeper.heard(MANAGER, MANAGER)
        await asyncio.sleep(0.01)
        assert (node.renewals, node.votes) == (1, 1)

    run(node, scenario)


def test_a_demoted_node_renews(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_keeper, "RETRY_INTERVAL_S", 0.001)
    node = Node()
    node.certified_role = MANAGER
    node.failures = [Unavailable("no manager"), OSError("no space left on device")]

    async def scenario(keeper: CertificateKeeper) -> None:
        keeper.heard(MANAGER, MANAGER)
        keeper.heard(WORKER, WORKER)
        await until(lambda: node.certified_role is WORKER)
        assert (node.renewals, node.votes) == (1, 0)

    run(node, scenario)


def test_another_root_is_followed_step_by_step_and_each_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_keeper, "SPREAD_S", 0.001)
    node = Node()
    node.next_issuer = "new"

    async def scenario(keeper: CertificateKeeper) -> None:
        keeper.heard(WORKER, WORKER, NodeTrust("old", "subject", "old"))
        await asyncio.sleep(0.01)
        assert (node.renewals, node.told) == (0, [])
        keeper.heard(WORKER, WORKER, NodeTrust("old", "subject", "new"))
        await until(lambda: node.told == [NodeTrust("old", "subject", "new")])
        keeper.heard(WORKER, WORKER, NodeTrust("new", "subject", "new"))
        await until(lambda: node.told[1:] == [NodeTrust("new", "subject", "new")])
        assert node.renewals == 1

    run(node, scenario)


def test_a_renewal_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_keeper, "SPREAD_S", 0.001)
    monkeypatch.setattr(certificate_keeper, "RETRY_INTERVAL_S", 0.001)
    node = Node()
    node.next_issuer = "new"
    node.failures += 3 * [Unavailable("no manager")]

    async def scenario(keeper: CertificateKeeper) -> None:
        keeper.heard(WORKER, WORKER, NodeTrust("old", "subject", "new"))
        await until(lambda: node.renewals == 1)

    run(node, scenario)
