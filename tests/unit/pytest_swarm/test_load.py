"""A load on a cluster that is nothing but a name: what it leaves behind, and what it makes of leftovers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pytest_swarm.load
from pytest_swarm.budget import Budget
from pytest_swarm.load import BudgetBroken, InvalidRun, Load, LoadRun
from pytest_swarm.load_settings import BadLoad, LoadSettings
from pytest_swarm.ownership import Owner
from pytest_swarm.waiting import DeadlineExceeded
from workloads.locustfiles.http_client import Outcome


class Container:
    """A load container that can be told not to start; answers every `with_...` like testcontainers, with itself."""

    def __init__(self, deeds: list[str]) -> None:
        self.status = "running"
        self.fails = False
        self._deeds = deeds

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("with_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self

    def start(self) -> None:
        self._deeds.append("started the container")
        if self.fails:
            raise RuntimeError("no start today")

    def reload(self) -> None:
        pass

    def stop(self) -> None:
        self._deeds.append("stopped the container")


class Logs:
    """A log collector that only writes down what is asked of it."""

    def __init__(self, deeds: list[str]) -> None:
        self.fails = False
        self.problems = ()
        self._deeds = deeds

    def start(self) -> None:
        self._deeds.append("followed the logs")

    def finish(self, awaited: Sequence[str] = ()) -> Sequence[Any]:
        self._deeds.append("finished the logs")
        if self.fails:
            raise RuntimeError("no logs today")
        return []


class Target:
    """A control target that only writes down what is done to it."""

    address = "10.0.0.9:8080"

    def __init__(self, deeds: list[str]) -> None:
        self._deeds = deeds

    def start(self, files: Path, mount: str) -> None:
        self._deeds.append("started the control target")

    def stop(self) -> None:
        self._deeds.append("stopped the control target")


class Stage:
    """One load run whose surroundings are all fakes; `deeds` is what was done, in order."""

    def __init__(self, results: Path, monkeypatch: pytest.MonkeyPatch, budget: Budget | None = None) -> None:
        self.deeds: list[str] = []
        self.results = results
        self.container = Container(self.deeds)
        self.logs = Logs(self.deeds)
        owner = Owner("abc", process_id=1, start_ticks=1, boot_id="x")
        cluster: Any = SimpleNamespace(
            nodes=[SimpleNamespace(name="n1")],
            node=lambda name: SimpleNamespace(address="10.0.0.1"),
            operations=[],
            owner=owner,
            directory=results / "cluster",
            host=None,
            image="node:1",
            network=None,
            progress=SimpleNamespace(clear=lambda: None, update=lambda text: None),
            engine=SimpleNamespace(publish_mode=lambda: "ingress"),
        )
        service: Any = SimpleNamespace(id="service", published_ports=[8080], inspect=lambda: {"Spec": {}})
        monkeypatch.setattr(pytest_swarm.load, "ensure_locust", lambda *args, **kwargs: results)
        monkeypatch.setattr(pytest_swarm.load, "new_container", lambda image: self.container)
        monkeypatch.setattr(pytest_swarm.load, "LogCollector", lambda *args: self.logs)
        monkeypatch.setattr(pytest_swarm.load, "ControlTarget", lambda *args: Target(self.deeds))
        self.run = LoadRun(cluster, service, LoadSettings(requests=1), "load1", "test", results, budget=budget)

    def end(self, fate: str, control: str = "answered") -> None:
        """Let the load end, its only request and the only one to the control target with these fates."""
        outcome = Outcome(
            "load1-000001",
            "n1:8080",
            1.0,
            1.0,
            request_class=fate,
            finished=2.0,
            finished_monotonic=2.0,
            error="ECONNREFUSED",
        )
        (self.results / "requests.jsonl").write_text(json.dumps(dataclasses.asdict(outcome)) + "\n")
        asked = dataclasses.replace(outcome, request_class=control)
        (self.results / "control.jsonl").write_text(json.dumps(dataclasses.asdict(asked)) + "\n")
        account = {"requested": 1, "started": 1, "finished": 1, "in_flight": 0}
        (self.results / "end.json").write_text(json.dumps(account))
        self.container.status = "exited"


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_the_copy_that_a_killed_run_left_is_replaced(stage: Stage) -> None:
    leftover = stage.results / "cluster" / "load-files" / "load1" / "workloads" / "locustfiles" / "old.py"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    (stage.results / "requests.jsonl").write_text("{}\n")

    stage.run.__enter__()

    assert (leftover.parent / "single_shot.py").exists()
    assert not leftover.exists()


def test_a_load_that_cannot_start_leaves_nothing_running(stage: Stage) -> None:
    stage.container.fails = True

    with pytest.raises(RuntimeError, match="no start today"), stage.run:
        pytest.fail("there is no load")

    assert stage.deeds == [
        "followed the logs",
        "started the control target",
        "started the container",
        "finished the logs",
        "stopped the container",
        "stopped the control target",
    ]
    assert [path for path in stage.results.rglob("*") if path.is_file()] == []


def test_a_load_that_never_warms_up_leaves_nothing_running(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_swarm.load, "START_SECONDS", 0.0)

    with pytest.raises(DeadlineExceeded, match="0 requests have ended"), stage.run:
        pytest.fail("there is no load")

    assert stage.deeds[-3:] == ["finished the logs", "stopped the container", "stopped the control target"]


def test_the_load_is_stopped_even_when_the_logs_fail(stage: Stage) -> None:
    (stage.results / "requests.jsonl").write_text("{}\n")
    stage.logs.fails = True

    with pytest.raises(RuntimeError, match="no logs today"), stage.run:
        raise ValueError("the test's own failure")

    assert stage.deeds[-2:] == ["stopped the container", "stopped the control target"]


def test_a_run_that_breaks_its_budget_fails_with_its_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, monkeypatch, Budget.parse("refused=0,reset=0"))
    stage.end("refused")

    with pytest.raises(BudgetBroken) as failure, stage.run:
        pass

    lines = str(failure.value).splitlines()
    assert lines[0] == "the loss budget is broken: refused: allowed 0, seen 1"
    assert lines[1] == "1 of 1 lost"
    assert lines[-1].startswith("load1-000001: refused-no-listener after 1.000 s in phase steady")


def test_a_run_beside_which_the_control_target_failed_is_invalid(stage: Stage) -> None:
    stage.end("answered", control="timed-out")

    reason = r"^nothing is proved: the control target on the same network failed 1 of 1 times"
    with pytest.raises(InvalidRun, match=reason), stage.run:
        pass


def test_a_run_within_its_budget_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, monkeypatch, Budget.parse("lost=1,reset=0"))
    stage.end("refused")

    with stage.run:
        pass

    assert stage.run.lost == 1
    assert [verdict.is_kept for verdict in stage.run.verdicts] == [True, True]


def test_a_test_that_fails_by_itself_keeps_its_own_failure(stage: Stage) -> None:
    stage.end("refused")

    with pytest.raises(ValueError, match="the test's own failure"), stage.run:
        raise ValueError("the test's own failure")

    assert not stage.run.has_ended


def test_a_locust_file_that_is_not_there(tmp_path: Path) -> None:
    cluster: Any = None
    load = Load(cluster, "test", lambda name: tmp_path)

    with pytest.raises(BadLoad, match=r"there is no locustfile .*gone\.py"):
        load(cluster, locustfile=tmp_path / "gone.py", duration=3)


def test_a_load_through_a_proxy_is_sent_to_the_proxy_and_counted_by_the_service(stage: Stage, tmp_path: Path) -> None:
    proxy: Any = SimpleNamespace(id="proxy", published_ports=[80])
    whole = stage.run
    run = LoadRun(whole.cluster, whole.service, whole.settings, "load2", "test", stage.results, through=proxy)

    run._targets.start(tmp_path)
    assert run._targets.current == ["10.0.0.1:80"]
    assert run.service is whole.service
