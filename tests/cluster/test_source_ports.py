"""A client that reuses its source ports must be balanced afresh, not sent where its last connection went."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_swarm.load import Load
from pytest_swarm.service import Service

pytestmark = pytest.mark.cluster

FIRST_PORT = 20000
USERS = 10


def test_update_loses_nothing_with_ten_source_ports(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=3)

    # Through one node: a port that returns to it could meet its own last connection.
    with load(web, users=USERS, requests=300, first_source_port=FIRST_PORT) as run:
        web.update(image="docker-swarm-test:2")

    assert run.lost == 0, run.explain()
    assert run.duplicates == 0, run.explain()
    ports = {entry.record.local_port for entry in run.ledger.entries}
    assert ports == set(range(FIRST_PORT, FIRST_PORT + USERS))
