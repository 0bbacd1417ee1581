"""Budgets and the open load on a real cluster: kept by an update that is protected, broken by one that is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import BudgetBroken, Load
from pytest_swarm.service import Service

pytestmark = [pytest.mark.cluster, pytest.mark.loss_budget(lost=0, duplicates=0, p99="5s")]


def test_an_update_under_an_open_load_keeps_its_budget(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3, order="start-first")

    with load(web, rate=10, duration=25, targets="all-nodes", minimum_rate=5) as run:
        web.update(image="docker-swarm-test:2")

    assert run.versions == {"1", "2"}
    assert run.ledger.sent == 250
    assert run.control.asked > 50


def test_an_update_without_drain_breaks_its_budget(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=2, labels={"swarm.drain": "off", "swarm.withdraw": "off"})

    run = load(web, users=10, requests=250, targets="all-nodes")
    with pytest.raises(BudgetBroken, match=r"^the loss budget is broken: lost: allowed 0, seen [1-9]") as failure, run:
        web.update(image="docker-swarm-test:2")

    assert "while replacing slot" in str(failure.value)
    assert "the control target on the same network answered" in str(failure.value)
