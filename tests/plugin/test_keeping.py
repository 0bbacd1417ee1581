"""--swarm-keep: what becomes of the cluster at the end, tried with a cluster that is nothing but a name."""

from __future__ import annotations

from pathlib import Path

import pytest

# Boots nothing and writes down what the plugin would have done with a real cluster.
FAKE_CLUSTER = """
    from types import SimpleNamespace

    import pytest
    import pytest_swarm.cleanup
    import pytest_swarm.cluster
    from pytest_swarm.boot import Booted, BootTimes


    class Api:
        def nodes(self):
            return []


    def note(line):
        with open("deeds.txt", "a") as deeds:
            deeds.write(line + "\\n")


    class Service:
        def __init__(self, cluster, name):
            self.cluster = cluster
            self.name = name

        def remove(self):
            note(f"removed service {self.name}")
            self.cluster.forget(self)

        def stop_watching(self):
            note(f"stopped watching {self.name}")


    @pytest.fixture(scope="session")
    def swarm_host():
        return SimpleNamespace()


    @pytest.fixture(scope="session")
    def swarm_node_image():
        return "node:1"


    @pytest.fixture(autouse=True, scope="session")
    def fake_cluster():
        patch = pytest.MonkeyPatch()
        node = SimpleNamespace(
            name="n1",
            container_name="swarm-n1",
            client=SimpleNamespace(api=Api()),
            close=lambda: note("closed n1"),
            is_down=False,
        )
        booted = Booted((node,), SimpleNamespace(), BootTimes(1.0, 1.0, 1.0, 1.0), "26.1.5")
        patch.setattr(pytest_swarm.cluster, "boot", lambda plan, progress: booted)
        patch.setattr(pytest_swarm.cleanup, "remove_owned", lambda host, owner: note("removed cluster"))
        yield
        patch.undo()


    @pytest.fixture
    def deploy(swarm):
        return lambda name: swarm._services.append(Service(swarm, name))
"""

TWO_TESTS = """
    def test_first(swarm, deploy):
        deploy("first")
        assert {first}

    def test_second(swarm, deploy):
        deploy("second")
        assert {second}
"""

KEPT = "*and remove it with: pytest-swarm-cleanup *"


class Project:
    """A pytest project of two tests on one fake cluster."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        pytester.makeconftest(FAKE_CLUSTER)

    def run(self, *arguments: str, first: bool = True, second: bool = True) -> pytest.RunResult:
        self._pytester.makepyfile(TWO_TESTS.format(first=first, second=second))
        return self._pytester.runpytest_subprocess(*arguments)

    @property
    def deeds(self) -> list[str]:
        return (self._pytester.path / "deeds.txt").read_text().splitlines()


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Project:
    # A cluster has a folder of its own; a kept one leaves it.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return Project(pytester)


@pytest.mark.parametrize("keep", ["never", "on-failure"])
def test_the_cluster_of_a_good_session_is_removed(project: Project, keep: str) -> None:
    result = project.run(f"--swarm-keep={keep}")

    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line(KEPT)
    # What the last test has deployed goes with the cluster.
    assert project.deeds == ["removed service first", "stopped watching second", "closed n1", "removed cluster"]


def test_the_cluster_is_removed_after_a_failure_unless_told_otherwise(project: Project) -> None:
    project.run(first=False).assert_outcomes(passed=1, failed=1)

    assert project.deeds[-1] == "removed cluster"


def test_the_cluster_is_kept_when_any_test_failed(project: Project) -> None:
    result = project.run("--swarm-keep=on-failure", first=False)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "the cluster was kept; enter a node with",
            "  docker exec -it swarm-n1 bash",
            "or drive it from here: DOCKER_HOST=unix://*/n1/docker.sock docker node ls",
            KEPT,
        ]
    )
    # The second test had to have the cluster to itself.
    assert project.deeds == ["removed service first", "stopped watching second", "closed n1"]


def test_the_cluster_is_kept_as_the_failure_that_ended_the_session_left_it(project: Project) -> None:
    project.run("--swarm-keep=on-failure", "-x", first=False).assert_outcomes(failed=1)

    assert project.deeds == ["stopped watching first", "closed n1"]


def test_the_cluster_of_a_good_session_is_kept_on_demand(project: Project) -> None:
    result = project.run("--swarm-keep=always")

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([KEPT])
    assert "removed cluster" not in project.deeds


def test_a_boot_that_fails_keeps_nothing(project: Project, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        plugin_that_breaks_the_boot="""
        import pytest
        import pytest_swarm.cluster

        @pytest.fixture(autouse=True, scope="session")
        def broken(fake_cluster):
            def fail(plan, progress):
                raise RuntimeError("no boot today")

            pytest_swarm.cluster.boot = fail
        """
    )
    result = project.run("-p", "plugin_that_breaks_the_boot", "--swarm-keep=always")

    result.assert_outcomes(errors=2)
    assert set(project.deeds) == {"removed cluster"}
