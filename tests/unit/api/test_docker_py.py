"""docker-py, as shipped, against the API on a unix socket."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import EndpointSpec, Healthcheck, Mount, RestartPolicy, ServiceMode, UpdateConfig

from orchestrator.model.session import LogFrame
from orchestrator.testing.cluster_backend import FakeLifecycle, add_node
from tests.unit.api.served import run_tasks, served


@pytest.fixture
def lifecycle() -> FakeLifecycle:
    return FakeLifecycle()


@pytest.fixture
def client(lifecycle: FakeLifecycle, tmp_path: Path) -> Iterator[docker.DockerClient]:
    with served(lifecycle, tmp_path / "api.sock") as url:
        client = docker.DockerClient(base_url=url, timeout=10)
        yield client
        client.close()


def test_the_life_of_a_cluster(client: docker.DockerClient, lifecycle: FakeLifecycle) -> None:
    with pytest.raises(APIError) as refused:
        client.services.list()
    assert refused.value.response.status_code == 503
    node_id = client.swarm.init(advertise_addr="127.0.0.1")
    assert lifecycle.local.node_id == node_id
    assert lifecycle.backend is not None
    add_node(lifecycle.backend, "n2")
    client.swarm.reload()
    assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
    assert [node.attrs["Description"]["Hostname"] for node in client.nodes.list()] == ["n1", "n2"]
    worker = client.nodes.list(filters={"role": "worker"})[0]
    worker.update({"Role": "worker", "Availability": "drain", "Labels": {"rack": "1"}})
    worker.reload()
    assert worker.attrs["Spec"] == {"Role": "worker", "Availability": "drain", "Labels": {"rack": "1"}}
    assert client.swarm.leave(force=True)
    assert client.info()["Swarm"]["LocalNodeState"] == "inactive"


def test_the_life_of_a_service(client: docker.DockerClient, lifecycle: FakeLifecycle) -> None:
    client.swarm.init(advertise_addr="127.0.0.1")
    backend = lifecycle.backend
    assert backend is not None
    service = client.services.create(
        "nginx:1",
        name="web",
        mode=ServiceMode("replicated", replicas=2),
        endpoint_spec=EndpointSpec(ports={8080: 80}),
        env=["A=b"],
        labels={"tier": "front"},
        constraints=["node.role == manager"],
        mounts=[Mount("/data", "volume1", no_copy=True)],
        healthcheck=Healthcheck(test=["CMD", "true"], interval=1_000_000_000),
        restart_policy=RestartPolicy("on-failure", delay=2, max_attempts=3),
        update_config=UpdateConfig(parallelism=1, order="start-first", delay=1),
    )
    run_tasks(backend)
    assert [service.name for service in client.services.list(filters={"label": "tier=front"})] == ["web"]
    tasks = service.tasks(filters={"desired-state": "running"})
    assert [(task["Slot"], task["Status"]["State"]) for task in tasks] == [(1, "running"), (2, "running")]
    assert tasks[0]["NetworksAttachments"][0]["Addresses"] == ["10.0.0.11/24"]

    service.reload()
    assert service.scale(3) == {"Warnings": None}
    service.reload()
    assert service.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 3
    assert service.update(image="nginx:2")
    service.reload()
    assert service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:2"
    assert service.attrs["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:1"
    assert service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=b"]

    assert service.remove()
    with pytest.raises(NotFound) as gone:
        service.reload()
    assert gone.value.explanation == f"service {service.id} not found"


def test_logs_are_read_as_lines(client: docker.DockerClient, lifecycle: FakeLifecycle) -> None:
    client.swarm.init(advertise_addr="127.0.0.1")
    backend = lifecycle.backend
    assert backend is not None
    service = client.services.create("nginx:1", name="web")
    run_tasks(backend)
    backend.log_frames = lambda request: (LogFrame(0, 1, "one\ntw"), LogFrame(0, 1, "o\n"), LogFrame(0, 2, "err\n"))
    assert list(service.logs(stdout=True, stderr=True)) == [b"one\n", b"two\n", b"err\n"]
