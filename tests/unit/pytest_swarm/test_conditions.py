"""Readiness and convergence, read from the API's JSON."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_swarm.conditions import (
    AT_REST,
    ROLLED_BACK,
    OperationFailed,
    node_is_empty,
    nodes_down,
    nodes_ready,
    old_tasks_noticed,
    service_converged,
)
from pytest_swarm.waiting import Done, NotYet


def node(name: str, state: str = "ready", *, manager: bool = False, leader: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = {
        "Description": {"Hostname": name},
        "Spec": {"Availability": "active"},
        "Status": {"State": state},
    }
    if manager:
        result["ManagerStatus"] = {"Reachability": "reachable", "Leader": leader}
    return result


def service(replicas: int = 2, state: str | None = None) -> dict[str, Any]:
    status = {} if state is None else {"UpdateStatus": {"State": state, "Message": "it broke"}}
    return {"Spec": {"Mode": {"Replicated": {"Replicas": replicas}}}, **status}


def task(
    identity: str, state: str = "running", desired: str = "running", image: str = "web:2", node_id: str = "a"
) -> dict[str, Any]:
    return {
        "ID": identity,
        "Slot": 1,
        "NodeID": node_id,
        "DesiredState": desired,
        "Status": {"State": state},
        "Spec": {"ContainerSpec": {"Image": image}},
    }


def reason(answer: Done[None] | NotYet) -> str:
    assert isinstance(answer, NotYet)
    return answer.reason


def test_nodes_are_ready() -> None:
    nodes = [node("n1", manager=True, leader=True), node("n2")]
    assert nodes_ready(nodes, 2, 1) == Done(None)
    assert reason(nodes_ready(nodes, 3, 1)).startswith("2 of 3 nodes ready; n1 ready/active, n2 ready/active")
    assert reason(nodes_ready(nodes, 2, 2)).startswith("1 of 2 managers reachable")
    assert reason(nodes_ready([node("n1", manager=True)], 1, 1)).startswith("no leader")


def test_a_service_converges_when_all_tasks_run_the_new_image() -> None:
    tasks = [task("a"), task("b"), task("old", "shutdown", "shutdown", "web:1")]
    assert service_converged(service(), tasks, "web:2") == Done(None)


def test_what_is_to_stop_on_a_node_that_is_down_is_not_waited_for() -> None:
    tasks = [task("a"), task("b"), task("old", "running", "shutdown", node_id="dead")]
    nodes = [{**node("n1"), "ID": "a"}, {**node("n2", "down"), "ID": "dead"}]

    assert service_converged(service(), tasks, down=nodes_down(nodes)) == Done(None)
    assert reason(service_converged(service(), tasks)).startswith("1 old tasks have not stopped")


def test_an_image_may_carry_a_digest() -> None:
    assert service_converged(service(1), [task("a", image="web:2@sha256:00")], "web:2") == Done(None)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([task("a")], "1 of 2 tasks run as wanted"),
        ([task("a"), task("b", image="web:1")], "1 of 2 tasks run as wanted"),
        ([task("a"), task("b"), task("c")], "3 of 2 tasks run as wanted"),
        ([task("a"), task("b"), task("old", "running", "shutdown", "web:1")], "1 old tasks have not stopped"),
    ],
)
def test_a_service_that_has_not_converged_says_why(tasks: list[dict[str, Any]], words: str) -> None:
    assert reason(service_converged(service(), tasks, "web:2")).startswith(words)


def test_a_forced_update_has_to_replace_the_tasks() -> None:
    tasks = [task("a"), task("b")]
    assert isinstance(service_converged(service(), tasks, superseded=["a"]), NotYet)
    assert service_converged(service(), tasks, superseded=["z"]) == Done(None)


def test_an_update_must_be_completed() -> None:
    tasks = [task("a"), task("b")]
    assert reason(service_converged(service(state="updating"), tasks)) == "update status is updating"
    assert service_converged(service(state="completed"), tasks) == Done(None)


@pytest.mark.parametrize("state", ["paused", "rollback_started", "rollback_completed"])
def test_waiting_for_a_failed_update_is_pointless(state: str) -> None:
    with pytest.raises(OperationFailed, match=f"the update ended as {state}: it broke"):
        service_converged(service(state=state), [])


def test_a_rollback_that_was_asked_for_is_waited_for() -> None:
    tasks = [task("a"), task("b")]
    going_on = service_converged(service(state="rollback_started"), tasks, ends=ROLLED_BACK)
    assert reason(going_on) == "update status is rollback_started"
    assert service_converged(service(state="rollback_completed"), tasks, ends=ROLLED_BACK) == Done(None)
    with pytest.raises(OperationFailed, match="the update ended as rollback_paused: it broke"):
        service_converged(service(state="rollback_paused"), tasks, ends=ROLLED_BACK)


@pytest.mark.parametrize("state", ["completed", "paused", "rollback_completed", "rollback_paused"])
def test_how_an_earlier_update_ended_may_be_no_concern(state: str) -> None:
    assert service_converged(service(1, state=state), [task("a")], ends=AT_REST) == Done(None)


def test_a_node_is_empty_once_its_tasks_have_stopped() -> None:
    assert node_is_empty([task("a", node_id="x"), task("b", "shutdown", node_id="y")], "y") == Done(None)
    assert reason(node_is_empty([task("a", node_id="x")], "x")).startswith("1 tasks are still there")


@pytest.mark.parametrize(
    ("state", "at", "node_id", "noticed"),
    [
        ("running", "1970-01-01T00:01:39.999999999Z", "a", False),
        ("running", "1970-01-01T00:01:40.5Z", "a", True),
        ("failed", "1970-01-01T00:01:39Z", "a", True),
        ("running", "1970-01-01T00:01:39Z", "b", True),
    ],
)
def test_a_task_from_before_its_node_started_cannot_run(state: str, at: str, node_id: str, noticed: bool) -> None:
    old = task("old", state, node_id=node_id)
    old["Status"]["Timestamp"] = at

    answer = old_tasks_noticed([old], "a", 100.0)

    assert isinstance(answer, Done) is noticed
