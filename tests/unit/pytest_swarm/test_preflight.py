"""What is asked of an engine before the first boot, with a fake one that grants or refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError

from pytest_swarm import preflight
from pytest_swarm.engine_client import DockerUnavailable
from pytest_swarm.image import ImageError
from pytest_swarm.preflight import check_capabilities, main


class Trial:
    """A container that ends with a status and a log."""

    def __init__(self, status: int, log: bytes) -> None:
        self._status = status
        self._log = log
        self.removed = False

    def start(self) -> None:
        pass

    def wait(self, timeout: float) -> dict[str, int]:
        return {"StatusCode": self._status}

    def logs(self) -> bytes:
        return self._log

    def remove(self, force: bool, v: bool) -> None:
        self.removed = True


class Engine:
    """Runs every trial alike; `error` is raised instead of creating a container."""

    def __init__(self, status: int = 0, log: bytes = b"", error: Exception | None = None) -> None:
        self.trials: list[Trial] = []
        self.containers = self
        self._outcome = (status, log)
        self._error = error

    def info(self) -> dict[str, str]:
        return {"ID": "engine"}

    def version(self) -> dict[str, str]:
        return {"Version": "20.10.24"}

    def create(self, image: str, **options: object) -> Trial:
        if self._error is not None:
            raise self._error
        self.trials.append(Trial(*self._outcome))
        return self.trials[-1]

    def check(self) -> None:
        check_capabilities(cast(docker.DockerClient, self), "node:1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_an_engine_that_passed_is_not_asked_again() -> None:
    engine = Engine()

    engine.check()
    engine.check()

    assert [trial.removed for trial in engine.trials] == [True]


def test_a_refusal_inside_the_container_is_quoted_and_asked_again() -> None:
    engine = Engine(status=1, log=b"noise\nmount: /sys: permission denied.\n")

    for _ in range(2):
        with pytest.raises(DockerUnavailable, match=r"^Docker refuses what .*: mount: /sys: permission denied\.$"):
            engine.check()

    assert [trial.removed for trial in engine.trials] == [True, True]


def test_a_refusal_without_a_word_tells_its_status() -> None:
    with pytest.raises(DockerUnavailable, match=r"status 126$"):
        Engine(status=126).check()


def test_a_refusal_by_the_engine_is_one_line() -> None:
    error = APIError("500 Server Error", explanation="OCI runtime create failed:\napply caps: operation not permitted")

    with pytest.raises(DockerUnavailable, match=r": OCI runtime create failed: apply caps: operation not permitted$"):
        Engine(error=error).check()


@pytest.mark.parametrize("error", [DockerUnavailable("no engine"), ImageError("no image")])
def test_the_command_prints_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Any:
        raise error

    monkeypatch.setattr(preflight, "connect_host", fail)

    assert main() == 1
    assert capsys.readouterr().err == f"{error}\n"
