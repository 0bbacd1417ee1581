"""pytest's hooks, registered as `swarm_rollout`. Nothing but wiring: each hook calls the file that knows.

Nothing here may import docker, testcontainers, tabulate, bokeh or (ever) locust: `pytest --help` and `--collect-only`
must work without them, and importing locust would patch the sockets of the whole pytest process.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

from pytest_swarm import failures, gate, markers, options, workers
from pytest_swarm.engines import engine_named
from pytest_swarm.fixtures import (
    _swarm_isolation,
    fresh_swarm,
    load,
    swarm,
    swarm_engine,
    swarm_host,
    swarm_images,
    swarm_node_image,
)
from pytest_swarm.progress import Progress
from pytest_swarm.session import SESSION_KEY, Session, session_of

_EXITS_WITHOUT_FAILURE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
__all__ = [
    "_swarm_isolation",
    "fresh_swarm",
    "load",
    "swarm",
    "swarm_engine",
    "swarm_host",
    "swarm_images",
    "swarm_node_image",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    options.register(parser)


def pytest_configure(config: pytest.Config) -> None:
    markers.register(config)
    settled = options.resolve(config.getoption, os.environ, config.getini)
    session = Session(settled, Progress.on_standard_error())
    config.stash[SESSION_KEY] = session
    config.pluginmanager.register(gate.FigureCollector(session), "swarm_figures")


def pytest_unconfigure(config: pytest.Config) -> None:
    session = config.stash.get(SESSION_KEY, None)
    if session is not None:
        session.progress.close()


def pytest_sessionstart(session: pytest.Session) -> None:
    if gate.judges(session.config):
        gate.load_baseline(session_of(session.config))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    workers.send_outcome(session.config)
    if not gate.judges(session.config):
        return
    if gate.has_regressed(session_of(session.config)) and session.exitstatus in _EXITS_WITHOUT_FAILURE:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    workers.take_outcome(session_of(node.config), node)


def pytest_report_header(config: pytest.Config) -> list[str]:
    settled = session_of(config).options
    engines = f"{'engine' if len(settled.engines) == 1 else 'engines'} {', '.join(settled.engines)}"
    line = f"swarm: {settled.nodes} nodes, {settled.managers} managers, {engines}, keep {settled.keep}"
    notes = [engine_named(name).header_note() for name in settled.engines]
    return [line, *(f"swarm: {note}" for note in notes if note)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    options = session_of(metafunc.config).options
    if len(options.engines) > 1 and "swarm_engine" in metafunc.fixturenames:
        # The scope lets pytest put the tests of an engine together: one cluster after the other.
        metafunc.parametrize("swarm_engine", options.engines, indirect=True, scope="session")
    repeat = options.repeat
    if repeat > 1 and "swarm" in metafunc.fixturenames:
        metafunc.fixturenames.append("swarm_repetition")
        metafunc.parametrize("swarm_repetition", range(1, repeat + 1), ids=lambda number: f"run{number}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    session_of(item.config).another_test_follows = False
    # A bad word is found before a cluster is booted for it.
    markers.marked_budget(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    markers.require_judgement(item)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # An interrupted test is taken down without this hook, and one that ends the session (-x) has no next.
    session_of(item.config).another_test_follows = nextitem is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        failures.note(session_of(item.config), item, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    from pytest_swarm.report import conclude

    conclude(session_of(config), terminalreporter)
