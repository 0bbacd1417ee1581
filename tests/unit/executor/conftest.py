"""The engine of this machine, for the tests that need a real one."""

from collections.abc import Iterator

import pytest

from tests.unit.executor.local_engine import imported_image, is_engine_reachable


@pytest.fixture(scope="session")
def local_image() -> Iterator[str]:
    """Name of an image with a shell; skips where no engine answers."""
    if not is_engine_reachable():
        pytest.skip("no Docker Engine answers on /var/run/docker.sock")
    with imported_image() as image:
        yield image
