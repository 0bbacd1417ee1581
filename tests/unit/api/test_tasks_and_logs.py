"""Tasks and logs over HTTP."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence

import pytest

from orchestrator.api.handlers import logs
from orchestrator.model.session import LogFrame, LogRequest
from orchestrator.model.task import TaskState, TaskStatus
from orchestrator.state import actions as act
from orchestrator.testing.cluster_backend import FakeClusterBackend, cluster_of_one
from tests.unit.api.client import IMAGE_SPEC, Api, manager, run
from tests.unit.api.served import run_tasks


def frames(data: bytes) -> list[tuple[int, str]]:
    found = []
    while data:
        stream, length = struct.unpack(">BxxxI", data[:8])
        found.append((stream, data[8 : 8 + length].decode()))
        data = data[8 + length :]
    return found


def test_a_task_as_docker_shows_it() -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create()
        run_tasks(api.backend)
        (task,) = api.backend.state.tasks_of_service(service_id)
        ports = (("tcp", 80, 8080),)
        status = TaskStatus(TaskState.FAILED, "failed", "boom", task.created_at, "c1", 7, exit_code=3, host_ports=ports)
        api.backend.apply(act.ReportTaskStatus(task.id, status))
        _, answer = await api.call("GET", f"/tasks/{task.id}")
        assert answer["Status"] == {
            "Timestamp": "2026-11-23T18:50:31.5Z",
            "State": "failed",
            "Message": "failed",
            "Err": "boom",
            "ContainerStatus": {"ContainerID": "c1", "PID": 7, "ExitCode": 3},
            "PortStatus": {
                "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "host"}]
            },
        }
        assert (answer["DesiredState"], answer["Slot"], answer["ServiceID"]) == ("running", 1, service_id)
        assert answer["NodeID"] == api.backend.leader_node_id
        attachment = answer["NetworksAttachments"][0]
        assert attachment["Addresses"] == ["10.0.0.11/24"]
        assert attachment["Network"]["Spec"]["Ingress"] is True
        assert attachment["Network"]["IPAMOptions"]["Configs"] == [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]
        assert "Runtime" not in answer["Spec"]

    run(scenario)


@pytest.mark.parametrize(
    ("connections", "error", "shown"),
    [
        (0, "", None),
        (1, "", "drain timeout: 1 connection cut off"),
        (2, "task: non-zero exit (137)", "task: non-zero exit (137); drain timeout: 2 connections cut off"),
    ],
)
def test_a_drain_that_ran_out_of_time_is_told(connections: int, error: str, shown: str | None) -> None:
    async def scenario(api: Api) -> None:
        service_id = await api.create()
        run_tasks(api.backend)
        (task,) = api.backend.state.tasks_of_service(service_id)
        api.backend.apply(act.SetDesiredState(task.id, TaskState.SHUTDOWN))
        api.backend.apply(act.ConfirmWithdrawal(task.id))
        api.backend.apply(act.ReleaseEndpoint(task.id, connections))
        state = TaskState.FAILED if error else TaskState.SHUTDOWN
        api.backend.apply(act.ReportTaskStatus(task.id, TaskStatus(state, "over", error, task.created_at)))
        _, answer = await api.call("GET", f"/tasks/{task.id}")
        assert answer["Status"].get("Err") == shown

    run(scenario)


def test_filters() -> None:
    async def scenario(api: Api) -> None:
        await api.create(Mode={"Replicated": {"Replicas": 2}})
        await api.create(Name="db")
        run_tasks(api.backend)
        changed = {**IMAGE_SPEC, "TaskTemplate": {"ContainerSpec": {"Image": "nginx:2"}}}
        version = api.backend.state.service_named("db").version  # type: ignore[union-attr]
        changed["Name"] = "db"
        await api.call("POST", f"/services/db/update?version={version}", changed)
        for filters, count in (
            ("{}", 3),
            ('{"service":["web"]}', 2),
            ('{"service":["web"],"name":["web.1"]}', 1),
            ('{"node":["n1"]}', 3),
            ('{"desired-state":["Running"]}', 3),
            ('{"desired-state":["shutdown"]}', 0),
            ('{"_up-to-date":["true"]}', 2),
            ('{"service":{"db":true},"_up-to-date":{"true":true}}', 0),
            ('{"runtime":["container"]}', 3),
        ):
            status, tasks = await api.call("GET", "/tasks", params={"filters": filters})
            assert (status, len(tasks)) == (200, count), filters
        for filters, status in (('{"service":["nope"]}', 404), ('{"desired-state":["x"]}', 400), ('{"x":["y"]}', 400)):
            assert (await api.call("GET", "/tasks", params={"filters": filters}))[0] == status
        assert await api.call("GET", "/tasks/nope") == (404, {"message": "task nope not found"})

    run(scenario)


def with_logs() -> FakeClusterBackend:
    backend = cluster_of_one()
    backend.log_frames = lambda request: (LogFrame(0, 1, "out\n"), LogFrame(0, 2, "err\n"))
    return backend


def test_logs_are_framed_with_where_they_come_from() -> None:
    backend = with_logs()

    async def scenario(api: Api) -> None:
        service_id = await api.create()
        run_tasks(backend)
        (task,) = backend.state.tasks_of_service(service_id)
        answer = await api.response("GET", "/v1.45/services/web/logs?stdout=1&stderr=1&details=1")
        assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        where = (
            f"com.docker.swarm.node.id={backend.leader_node_id},com.docker.swarm.service.id={service_id},"
            f"com.docker.swarm.task.id={task.id}"
        )
        assert frames(await answer.read()) == [(1, f"{where} out\n"), (2, f"{where} err\n")]
        answer = await api.response("GET", f"/v1.40/tasks/{task.id}/logs?stdout=1")
        assert answer.headers["Content-Type"] == "application/vnd.docker.raw-stream"
        assert frames(await answer.read()) == [(1, "out\n"), (2, "err\n")]

    run(scenario, lifecycle=manager(backend))


def test_logs_of_a_terminal_are_raw() -> None:
    backend = with_logs()

    async def scenario(api: Api) -> None:
        await api.create(TaskTemplate={"ContainerSpec": {"Image": "nginx", "TTY": True}})
        run_tasks(backend)
        answer = await api.response("GET", "/services/web/logs?stdout=1")
        assert answer.headers["Content-Type"] == "application/vnd.docker.raw-stream"
        assert await answer.read() == b"out\nerr\n"

    run(scenario, lifecycle=manager(backend))


def test_options_reach_the_nodes() -> None:
    backend = cluster_of_one()
    asked: list[LogRequest] = []
    backend.log_frames = lambda request: asked.append(request) or ()  # type: ignore[func-returns-value]

    async def scenario(api: Api) -> None:
        await api.create()
        run_tasks(backend)
        answer = await api.stream("/services/web/logs?stderr=1&follow=1&since=12.5&tail=3&timestamps=1")
        async with asyncio.timeout(5):
            while not asked:
                await asyncio.sleep(0)
        answer.close()
        (request,) = asked
        assert (request.stdout, request.stderr, request.follow) == (False, True, True)
        assert (request.since, request.tail, request.timestamps) == (12.5, "3", True)

    run(scenario, lifecycle=manager(backend))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "Bad parameters: you must choose at least one stream"),
        ("?stdout=1&tail=x", 'tail value must be a positive integer or "all"'),
        ("?stdout=1&tail=-1", "negative tail values not supported"),
        ("?stdout=1&since=yesterday", 'invalid value for "since": yesterday'),
    ],
)
def test_bad_options(query: str, message: str) -> None:
    async def scenario(api: Api) -> None:
        await api.create()
        assert await api.call("GET", f"/services/web/logs{query}") == (400, {"message": message})

    run(scenario)


def test_a_quiet_log_ends_when_its_client_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "DISCONNECT_CHECK_S", 0.01)
    closed = asyncio.Event()

    class Quiet(FakeClusterBackend):
        async def logs(self, requests: Sequence[LogRequest]) -> AsyncIterator[LogFrame]:
            try:
                yield LogFrame(0, 1, "first\n")
                await asyncio.sleep(3600)
            finally:
                closed.set()

    backend = cluster_of_one()
    quiet = Quiet(state=backend.state, leader_node_id=backend.leader_node_id)

    async def scenario(api: Api) -> None:
        await api.create()
        run_tasks(quiet)
        answer = await api.stream("/services/web/logs?stdout=1&follow=1")
        assert await answer.content.readexactly(14) == b"\x01\0\0\0\0\0\0\x06first\n"
        answer.close()
        await asyncio.wait_for(closed.wait(), timeout=5)

    run(scenario, lifecycle=manager(quiet))
