"""Requests of every shape at every endpoint: whatever comes, the answer is one that was meant."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from orchestrator.api import carried_networks
from tests.unit.api.fuzz.bounds import bounded
from tests.unit.api.fuzz.openapi import document
from tests.unit.api.fuzz.world import INTERNAL_ERROR, World, served

DEADLINE_S = 5.0

schema = schemathesis.openapi.from_dict(document())


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def url(world: World) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, served(world) as address:
        # Nobody carries the network here, so a container that is to join it would be waited with for its whole time.
        patch.setattr(carried_networks, "CARRY_DEADLINE_S", 0.01)
        yield address


@schema.parametrize()
@bounded(2)
def test_every_answer_is_meant(case: schemathesis.Case[Any], world: World, url: str) -> None:
    world.reset()
    answer = case.call(base_url=url, timeout=DEADLINE_S)
    assert INTERNAL_ERROR not in answer.text, answer.text
