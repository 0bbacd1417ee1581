"""A failed test's cluster is archived once, and what goes wrong with that is no failure of its own."""

from __future__ import annotations

import pytest

CONFTEST = """
    from types import SimpleNamespace

    import pytest
    from pytest_swarm import failure_archive
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.failure_archive import FailureArchive


    class Fake(Cluster):
        def __init__(self):
            self._services = []

        def reset(self, *, keep=()):
            pass

        def heal(self, *, wait=True):
            pass


    def take(cluster, test, directory):
        if "unwritable" in test:
            raise OSError("no space left on device")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{test.rpartition('::')[2]}.tar.gz"
        path.write_bytes(b"")
        return FailureArchive(test, path, "n1: leads in term 4", ())


    failure_archive.take = take


    @pytest.fixture(scope="session")
    def swarm():
        return Fake()
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


def test_a_failure_is_archived_once_and_shown(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def untidy(swarm):
            yield
            raise RuntimeError("and its teardown too")

        def test_breaks(swarm, untidy):
            assert False

        def test_holds(swarm):
            pass

        def test_has_no_cluster():
            assert False
        """
    )

    result = project.runpytest_subprocess()

    result.assert_outcomes(failed=2, passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*the cluster when it failed*", "*/.swarm/failures/test_breaks.tar.gz", "n1: leads in term 4"]
    )
    assert [path.name for path in (project.path / ".swarm" / "failures").iterdir()] == ["test_breaks.tar.gz"]


def test_an_archive_that_cannot_be_written_is_said(project: pytest.Pytester) -> None:
    project.makepyfile("def test_unwritable(swarm):\n    assert False")

    result = project.runpytest_subprocess("--swarm-report-dir=out")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["failure not archived: *::test_unwritable: no space left on device"])


def test_only_so_many_are_archived(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(12))
        def test_breaks(swarm, number):
            assert False
        """
    )

    result = project.runpytest_subprocess("--swarm-report-dir=out")

    result.assert_outcomes(failed=12)
    assert len(list((project.path / "out" / "failures").iterdir())) == 10
    result.stdout.fnmatch_lines(
        ["failure archived: *", "failure not archived: *test_breaks?10?: 10 failures are archived already"]
    )
