"""A load that never gets to its end: `test_interruption` runs this file in a pytest of its own and stops it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from pytest_swarm.load import Load
from pytest_swarm.service import Service

LONGEST_SECONDS = 60.0


def test_load_until_somebody_interrupts(deploy: Callable[..., Service], load: Load) -> None:
    web = deploy(replicas=1)

    with load(web, users=2, requests=1000):
        Path(os.environ["UNDER_LOAD"]).touch()
        threading.Event().wait(LONGEST_SECONDS)
