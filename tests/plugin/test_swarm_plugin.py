"""The plugin in a pytest of its own, where no Docker Engine can be reached."""

from __future__ import annotations

import pytest

NO_DOCKER = "unix:///nonexistent/docker.sock"

USES_A_CLUSTER = """
    import pytest

    @pytest.mark.cluster
    def test_it(swarm):
        assert swarm
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("DOCKER_HOST", NO_DOCKER)
    pytester.makepyfile(USES_A_CLUSTER)
    return pytester


def test_the_help_names_every_option(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--help")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*--swarm-nodes=N*", "*--swarm-managers=N*", "*--swarm-engine=NAME,...*", "*--swarm-report-dir=PATH*"]
    )


def test_the_marker_is_registered(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.cluster: *"])
    assert project.runpytest_subprocess("--strict-markers", "--collect-only").ret == 0


def test_a_cluster_test_is_skipped_with_the_reason(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("-rs")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*no Docker Engine answers at {NO_DOCKER}: install one *, or set DOCKER_HOST"])


def test_who_asks_for_nodes_gets_a_failure(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--swarm-nodes=4")

    result.assert_outcomes(errors=1)
    # The line alone: no traceback stands between the heading and it.
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_it*", f"no Docker Engine answers at {NO_DOCKER}: *"], consecutive=True
    )
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--swarm-nodes=0"], "ERROR: --swarm-nodes is '0': expected a whole number of at least 1"),
        (["--swarm-engine=k8s"], "ERROR: --swarm-engine is 'k8s': expected one of orchestrator, docker, or several *"),
        (["--swarm-engine=docker,"], "ERROR: --swarm-engine is 'docker,': expected one of orchestrator, docker, *"),
        (["--swarm-engine=docker,docker"], "ERROR: --swarm-engine is 'docker,docker': expected one of *"),
        (["--swarm-nodes=2", "--swarm-managers=3"], "ERROR: --swarm-managers is 3, but there are only 2 nodes: *"),
    ],
)
def test_bad_input_is_one_line(project: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = project.runpytest_subprocess(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_the_environment_and_the_ini_file_work(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    project.makeini("[pytest]\nswarm_nodes = 5\nswarm_engine = docker\n")
    monkeypatch.setenv("SWARM_NODES", "6")

    result = project.runpytest_subprocess("--collect-only")

    result.stdout.fnmatch_lines(["swarm: 6 nodes, 3 managers, engine docker, keep never"])


def test_repetitions_are_tests_of_their_own(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--collect-only", "-q", "--swarm-repeat=3")

    result.stdout.fnmatch_lines(["*test_it[[]run1[]]", "*test_it[[]run2[]]", "*test_it[[]run3[]]"])


def test_nothing_heavy_is_imported(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import sys

        def pytest_collection_finish():
            heavy = {"docker", "testcontainers", "locust", "gevent", "tabulate", "rich", "bokeh"}
            print("imported:", sorted(heavy & set(sys.modules)))
        """
    )
    project.runpytest_subprocess("--collect-only", "-s").stdout.fnmatch_lines(["imported: []"])


def test_the_clean_up_says_when_there_is_no_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_swarm.cleanup import main

    monkeypatch.setenv("DOCKER_HOST", NO_DOCKER)

    assert main([]) == 1
    assert capsys.readouterr().err.startswith("pytest-swarm-cleanup: no Docker Engine answers at")


def test_each_test_runs_on_every_engine_and_each_engine_has_its_turn(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import contextlib
        import types

        import pytest
        from pytest_swarm import fixtures


        @pytest.fixture(scope="session")
        def swarm_host():
            return None


        @pytest.fixture(scope="session")
        def swarm_node_image():
            return ""


        @contextlib.contextmanager
        def running(session, engine, *rest):
            print("booted", engine)
            nothing = lambda **options: None
            yield types.SimpleNamespace(engine=engine, services=[], reset=nothing, heal=nothing)
            print("removed", engine)


        fixtures._running = running
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("order", ["stop-first", "start-first"])
        def test_update(swarm, order):
            print("update", order, "on", swarm.engine)

        def test_alone():
            print("alone")

        def test_scale(swarm, swarm_engine):
            assert swarm.engine == swarm_engine
            print("scale on", swarm.engine)
        """
    )

    result = pytester.runpytest_subprocess("-s", "-q", "--swarm-engine=orchestrator,docker")

    result.assert_outcomes(passed=7)
    told = [line.strip(".") for line in result.stdout.lines if " on " in line or line.strip(".").startswith(("b", "r"))]
    assert [line for line in told if line] == [
        "booted orchestrator",
        "update stop-first on orchestrator",
        "update start-first on orchestrator",
        "scale on orchestrator",
        "removed orchestrator",
        "booted docker",
        "update stop-first on docker",
        "update start-first on docker",
        "scale on docker",
        "removed docker",
    ]
