"""The real engine: the shared conformance suite, and what only a real one can show."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from orchestrator.executor import status_rules
from orchestrator.executor.bridge_networks import DockerBridgeNetworks
from orchestrator.executor.container_rules import bridge_network_name
from orchestrator.executor.docker_engine import DockerEngine
from orchestrator.executor.engine_client import EngineClient, EngineError
from orchestrator.interfaces import NetworkRefused, TaskFailed, TaskRejected
from orchestrator.model.container import ContainerSpec, HealthConfig, Mount
from orchestrator.model.network import AttachedNetwork
from orchestrator.model.service import PortConfig, PublishMode, TaskSpec
from orchestrator.model.session import LogRequest
from orchestrator.model.task import NetworkAttachment, Task, TaskState
from orchestrator.testing.conformance_engine import CHECKS, DEADLINE_S, Behaviour, Check, run_check
from tests.unit.executor.local_engine import IMAGE, LABEL, SOCKET, LocalBed, local_bed

pytestmark = pytest.mark.usefixtures("local_image")


def on_bed(scenario: Callable[[LocalBed], Awaitable[None]]) -> None:
    """Run a scenario on a bed of its own, within the deadline."""

    async def run() -> None:
        async with local_bed() as bed, asyncio.timeout(DEADLINE_S):
            await scenario(bed)

    asyncio.run(run())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_conforms(check: Check) -> None:
    on_bed(lambda bed: run_check(check, bed))


def test_inspect_shows_what_swarm_mode_would_show() -> None:
    async def scenario(bed: LocalBed) -> None:
        task = bed.task(env=("SLOT={{.Task.Slot}}",), hostname="{{.Service.Name}}-{{.Task.Slot}}")
        container_id = await _start(bed, task)
        container = await bed.client.call("GET", f"containers/{container_id}/json")
        assert container["Name"] == f"/{task.container_name}"
        assert container["Config"]["Hostname"] == "unit-1"
        assert "SLOT=1" in container["Config"]["Env"]
        assert container["Config"]["Labels"]["com.docker.swarm.task.name"] == task.container_name

    on_bed(scenario)


def test_stop_kills_after_the_grace_period() -> None:
    async def scenario(bed: LocalBed) -> None:
        task = bed.task(args=("trap '' TERM; while :; do sleep 0.05; done",), stop_grace_period=0.2)
        await _start(bed, task)
        end = asyncio.ensure_future(bed.engine.wait_exit(task))
        await bed.engine.stop(task)
        assert (await end).error == "task: non-zero exit (137)"

    on_bed(scenario)


def test_a_missing_bind_source_rejects_the_task() -> None:
    async def scenario(bed: LocalBed) -> None:
        task = bed.task(mounts=(Mount("bind", "/data", "/nowhere/at/all"),))
        with pytest.raises(TaskRejected, match="bind source path does not exist"):
            await bed.engine.prepare(task)

    on_bed(scenario)


def test_a_bad_template_rejects_the_task() -> None:
    async def scenario(bed: LocalBed) -> None:
        with pytest.raises(TaskRejected, match=r"unknown placeholder \"{{.Nothing}}\""):
            await bed.engine.prepare(bed.task(env=("A={{.Nothing}}",)))

    on_bed(scenario)


def test_the_log_of_a_terminal_is_one_stream() -> None:
    async def scenario(bed: LocalBed) -> None:
        task = bed.task(Behaviour.TALKS, tty=True)
        await _start(bed, task)
        await bed.engine.wait_exit(task)
        frames = [frame async for frame in bed.engine.logs(LogRequest(1, task.id))]
        assert "".join(frame.data for frame in frames) == "to stdout\r\nto stderr\r\n"

    on_bed(scenario)


def test_an_attachable_network_bears_its_own_name_as_soon_as_that_is_free() -> None:
    async def scenario(bed: LocalBed) -> None:
        networks = DockerBridgeNetworks(bed.client)
        old, new = (
            AttachedNetwork(
                f"unit{n}",
                "swunit-open",
                f"10.231.{n}.0/24",
                5000 + n,
                f"10.231.{n}.3",
                internal=True,
                attachable=True,
                attachment_range=f"10.231.{n}.248/29",
            )
            for n in (3, 4)
        )
        try:
            assert await networks.ensure(old, "swunit3")
            assert not await networks.ensure(new, "swunit4")
            assert (networks.name_of("unit3"), networks.name_of("unit4")) == ("swunit-open", "swarm-unit4")
            await networks.remove("unit3")
            assert await networks.ensure(new, "swunit4")
            assert networks.name_of("unit4") == "swunit-open"
            found = await bed.client.call("GET", "networks/swunit-open")
            assert found["IPAM"]["Config"][0]["IPRange"] == "10.231.4.248/29"
            with pytest.raises(NetworkRefused, match="overlap"):
                await networks.ensure(replace(old, subnet=new.subnet, gateway="10.231.4.9"), "swunit3")
        finally:
            for network in (old, new):
                await networks.remove(network.network_id)

    on_bed(scenario)


def test_two_networks_with_fixed_addresses_and_a_host_port() -> None:
    async def scenario(bed: LocalBed) -> None:
        networks = DockerBridgeNetworks(bed.client)
        carried = [
            AttachedNetwork(f"unit{n}", f"net{n}", f"10.231.{n}.0/24", 5000 + n, f"10.231.{n}.3", internal=True)
            for n in (1, 2)
        ]
        try:
            for number, network in enumerate(carried):
                await networks.ensure(network, f"swunit{number}")
                await networks.ensure(network, f"swunit{number}")
            assert {"unit1": "swarm-unit1", "unit2": "swarm-unit2"}.items() <= (await networks.names()).items()
            await _runs_on_both(bed)
            await bed.close()
            await networks.ensure(
                AttachedNetwork("unit1", "net1", "10.231.9.0/24", 5001, "10.231.9.3", True), "swunit0"
            )
        finally:
            await bed.close()
            for network in carried:
                await networks.remove(network.network_id)
                await networks.remove(network.network_id)

    on_bed(scenario)


def test_what_was_attached_by_hand_is_told_from_tasks() -> None:
    async def scenario(bed: LocalBed) -> None:
        networks = DockerBridgeNetworks(bed.client)
        network = AttachedNetwork("unit5", "net5", "10.231.5.0/24", 5005, "10.231.5.3", internal=True)
        host = {"NetworkMode": bridge_network_name("unit5")}
        body = {"Image": IMAGE, "Labels": {LABEL: ""}, "Cmd": ["sleep", "100"], "HostConfig": host}
        name = f"unit-byhand-{os.getpid()}"
        try:
            await networks.ensure(network, "swunit5")
            spec = TaskSpec(ContainerSpec(IMAGE, command=("sleep", "100")))
            await _start(bed, bed.made(spec, attachments=(NetworkAttachment("unit5", "10.231.5.9"),)))
            assert "unit5" not in await bed.engine.attached()
            created = await bed.client.call("POST", "containers/create", {"name": name}, body)
            await bed.client.call("POST", f"containers/{created['Id']}/start")
            assert (await bed.engine.attached())["unit5"] == name
        finally:
            with contextlib.suppress(EngineError):
                await bed.client.call("DELETE", f"containers/{name}", {"force": "1"})
            await bed.close()
            await networks.remove("unit5")

    on_bed(scenario)


def test_an_absent_engine_is_a_failure_of_the_call() -> None:
    async def scenario() -> None:
        client = EngineClient(str(SOCKET.parent / "nowhere.sock"))
        try:
            with pytest.raises(EngineError, match="nowhere"):
                await DockerEngine(client).describe()
        finally:
            await client.close()

    asyncio.run(scenario())


def test_start_of_an_unprepared_task_fails() -> None:
    async def scenario(bed: LocalBed) -> None:
        with pytest.raises(TaskFailed, match="No such container"):
            await bed.engine.start(bed.task())

    on_bed(scenario)


def test_a_healthcheck_that_never_comes_out_fails_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_rules, "health_seconds", lambda _: 0.2)

    async def scenario(bed: LocalBed) -> None:
        task = bed.task(healthcheck=HealthConfig(("CMD-SHELL", "exit 0"), interval=60.0))
        await _start(bed, task)
        with pytest.raises(TaskFailed, match=r"^container was not healthy within 0\.2 s$"):
            await bed.engine.wait_healthy(task)

    on_bed(scenario)


async def _start(bed: LocalBed, task: Task) -> str:
    await bed.engine.prepare(task)
    return (await bed.engine.start(task)).container_id


async def _runs_on_both(bed: LocalBed) -> None:
    spec = TaskSpec(ContainerSpec(IMAGE, command=("sleep", "100")))
    attachments = (NetworkAttachment("unit1", "10.231.1.77"), NetworkAttachment("unit2", "10.231.2.78"))
    port = PortConfig(8080, 0, "tcp", PublishMode.HOST)
    task = bed.made(spec, attachments=attachments, ports=(port,))
    container_id = await bed.engine.prepare(task)
    assert await bed.restarted().prepare(task) == container_id
    status = await bed.engine.start(task)
    assert status.state is TaskState.RUNNING
    container = await bed.client.call("GET", f"containers/{container_id}/json")
    addresses = {name: place["IPAddress"] for name, place in container["NetworkSettings"]["Networks"].items()}
    assert addresses == {bridge_network_name("unit1"): "10.231.1.77", bridge_network_name("unit2"): "10.231.2.78"}
