"""What managers say they have applied, compared."""

from collections.abc import Mapping

from pytest_swarm.waiting import Done, NotYet, wait_until
from tests.consistency.docker_client import DockerClient


def wait_digests(connections: Mapping[str, DockerClient], *, timeout: float = 60.0) -> dict[str, str]:
    """The digest of each manager, by its name, at a moment when all have applied equally much.

    All are the same where all applied the same, from the first batch on. Raises DeadlineExceeded when there is no such
    moment in `timeout` seconds.
    """

    def attempt() -> Done[dict[str, str]] | NotYet:
        states = {}
        for name, connection in connections.items():
            try:
                states[name] = connection.state()
            except OSError as error:
                return NotYet(f"{name}: {error}")
        indexes = {name: index for name, (index, _) in states.items()}
        if len(set(indexes.values())) > 1:
            return NotYet(f"they are at {indexes}")
        return Done({name: digest for name, (_, digest) in states.items()})

    return wait_until(attempt, what="the managers to have applied equally much", timeout=timeout)
