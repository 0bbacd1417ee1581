"""docker-py's secrets and configs, as shipped, against the API on a unix socket."""

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.errors import APIError, NotFound
from docker.types import ConfigReference, SecretReference

from orchestrator.testing.cluster_backend import FakeLifecycle
from tests.unit.api.served import served


@pytest.fixture
def client(tmp_path: Path) -> Iterator[docker.DockerClient]:
    with served(FakeLifecycle(), tmp_path / "api.sock") as url:
        client = docker.DockerClient(base_url=url, timeout=10)
        client.swarm.init(advertise_addr="127.0.0.1")
        yield client
        client.close()


def test_secrets_and_configs_of_a_service(client: docker.DockerClient) -> None:
    secret = client.secrets.create(name="key", data=b"s3same", labels={"tier": "front"})
    config = client.configs.create(name="conf", data=b"color=red")
    assert [found.name for found in client.secrets.list(filters={"label": "tier=front"})] == ["key"]
    assert [found.id for found in client.configs.list(filters={"names": "conf"})] == [config.id]
    assert "Data" not in client.secrets.get(secret.id).attrs["Spec"]
    assert client.configs.get(config.id).attrs["Spec"]["Data"] == "Y29sb3I9cmVk"
    with pytest.raises(APIError) as taken:
        client.secrets.create(name="key", data=b"x")
    assert taken.value.response.status_code == 409

    service = client.services.create(
        "nginx:1",
        name="web",
        secrets=[SecretReference(secret.id, "key", mode=0o400)],
        configs=[ConfigReference(config.id, "conf", filename="/etc/conf")],
    )
    with pytest.raises(APIError) as used:
        secret.remove()
    assert "secret 'key' is in use by the following service: web" in used.value.explanation
    service.remove()
    assert secret.remove()
    assert config.remove()
    with pytest.raises(NotFound):
        client.secrets.get(secret.id)
