"""Under pytest-xdist each worker has a cluster of its own, and one process reports on all of them."""

from __future__ import annotations

import json

import pytest

CONFTEST = """
    from types import SimpleNamespace

    import pytest
    from pytest_swarm import failure_archive
    from pytest_swarm.boot import BootTimes
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.failure_archive import FailureArchive
    from pytest_swarm.session import session_of


    class Fake(Cluster):
        def __init__(self):
            self._services = []
            self.nodes = [None]
            self.managers = 1
            self.engine = SimpleNamespace(name="orchestrator")
            self.boot_times = BootTimes(1.0, 2.0, 3.0, 4.0)
            self.docker_version = "26.1.5"

        def reset(self, *, keep=()):
            pass

        def heal(self, *, wait=True):
            pass


    def take(cluster, test, directory):
        return FailureArchive(test, directory / "it.tar.gz", "n1: leads in term 4", ())


    failure_archive.take = take


    @pytest.fixture(scope="session")
    def swarm(request):
        cluster = Fake()
        session_of(request.config).clusters["orchestrator"] = cluster
        return cluster
"""


def test_what_the_workers_had_is_in_one_report(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_breaks(swarm, number):
            assert False
        """
    )

    result = pytester.runpytest_subprocess("-n2", "--dist=each", "--swarm-report-dir=out", "--swarm-nodes=1")

    result.assert_outcomes(failed=8)
    lines = result.stdout.str().splitlines()
    assert sum(line.startswith("orchestrator: 1 nodes Ready 10.00 s") for line in lines) == 2
    assert sum(line.startswith("failure archived: ") for line in lines) == 8
    summary = json.loads((pytester.path / "out" / "summary.json").read_text())
    assert [len(summary[key]) for key in ("clusters", "runs", "failures")] == [2, 0, 8]


def test_without_workers_nothing_is_missing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_holds(swarm):\n    pass")

    result = pytester.runpytest_subprocess("-p", "no:xdist")

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["orchestrator: 1 nodes Ready 10.00 s *"])
