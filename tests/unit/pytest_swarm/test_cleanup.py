"""Removing what a run made while others are at it, with an engine that is nothing but its answers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from docker.errors import APIError, NotFound

from pytest_swarm import cleanup
from pytest_swarm.cluster_folder import mark_standing
from pytest_swarm.owned_folders import cache_directory, draft_folder, new_folder
from pytest_swarm.ownership import LABEL, Owner

DEAD = Owner("0badcafe", 1, 0, "an earlier boot")


@pytest.fixture(autouse=True)
def folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here sees, let alone removes, a folder of another run."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Engine:
    """Has one container, one network and one volume of a dead run; `errors` are raised by what would remove them.

    Or it has nothing.
    """

    def __init__(self, *, is_empty: bool = False, **errors: Exception) -> None:
        self._is_empty = is_empty
        self.api = self
        self.closed = False
        self.inspected = 0
        self._errors = errors

    def containers(self, **_: object) -> list[dict[str, Any]]:
        return [] if self._is_empty else [{"Id": "c", "Names": ["/swarm-n1"], "Labels": DEAD.labels}]

    def networks(self, **_: object) -> list[dict[str, Any]]:
        return [] if self._is_empty else [{"Id": "n", "Name": "swarm", "Labels": DEAD.labels}]

    def volumes(self, **_: object) -> dict[str, Any]:
        return {"Volumes": None} if self._is_empty else {"Volumes": [{"Name": "v", "Labels": {LABEL: DEAD.label}}]}

    def remove_container(self, *_: object, **__: object) -> None:
        self._raise("container")

    def remove_network(self, *_: object) -> None:
        self._raise("network")

    def remove_volume(self, *_: object, **__: object) -> None:
        self._raise("volume")

    def inspect_container(self, *_: object) -> dict[str, Any]:
        self.inspected += 1
        if self.inspected > 2:
            raise NotFound("404 Client Error")
        return {}

    def close(self) -> None:
        self.closed = True

    def _raise(self, kind: str) -> None:
        if kind in self._errors:
            raise self._errors[kind]


def refusal(status: int, explanation: str) -> APIError:
    return APIError("error", response=cast(Any, SimpleNamespace(status_code=status)), explanation=explanation)


def test_what_others_have_removed_is_no_error() -> None:
    gone = NotFound("404 Client Error")
    engine = Engine(container=gone, network=gone, volume=gone)

    removed = cleanup.remove_owned(cast(docker.DockerClient, engine), DEAD)

    assert removed == ["container swarm-n1", "network swarm", "volume v"]


def test_a_removal_by_others_is_waited_for() -> None:
    engine = Engine(container=refusal(409, "removal of container c is already in progress"))

    cleanup.remove_owned(cast(docker.DockerClient, engine), DEAD)

    assert engine.inspected == 3


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(network=refusal(403, "network swarm has active endpoints"))
    monkeypatch.setattr(cleanup, "connect_host", lambda: engine)

    assert cleanup.main([]) == 1

    assert capsys.readouterr().err == (
        "pytest-swarm-cleanup: run 0badcafe is not all gone: network swarm has active endpoints\n"
    )
    assert engine.closed


def test_a_folder_of_a_dead_run_is_found_though_nothing_else_tells_of_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(is_empty=True)
    monkeypatch.setattr(cleanup, "connect_host", lambda: engine)
    temporary, draft = new_folder(DEAD), new_folder(DEAD, cache_directory())
    (draft / "half a download").write_text("half")
    living = new_folder(Owner.current())

    assert cleanup.main([]) == 0

    assert not temporary.exists()
    assert not draft.exists()
    assert living.exists()
    assert capsys.readouterr().out.splitlines() == [
        "run 0badcafe of process 1, which is gone",
        *(f"  removed folder {folder}" for folder in sorted([temporary, draft])),
    ]


def test_a_standing_clusters_folder_stays() -> None:
    folder = new_folder(DEAD)
    mark_standing(folder)
    engine = cast(docker.DockerClient, Engine(is_empty=True))

    assert cleanup.find_dead_owners(engine) == []
    assert cleanup.find_dead_owners(engine, standing=True) == [DEAD]


def test_a_folder_that_only_looks_like_ours_stays() -> None:
    foreign = Path(tempfile.gettempdir()) / "swarm-photographs"
    foreign.mkdir()
    (foreign / "owner").write_text(DEAD.label)

    assert cleanup.remove_owned(cast(docker.DockerClient, Engine(is_empty=True)), DEAD) == []
    assert foreign.exists()


def test_a_folder_that_cannot_be_removed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cleanup, "connect_host", lambda: Engine(is_empty=True))
    folder = new_folder(DEAD)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pytest_swarm.owned_folders.shutil.rmtree", refuse)

    assert cleanup.main([]) == 1

    assert capsys.readouterr().err == (
        f"pytest-swarm-cleanup: run 0badcafe is not all gone: [Errno 13] Permission denied: '{folder}'\n"
    )


def test_a_draft_goes_with_what_is_left_in_it() -> None:
    with draft_folder(Owner.current(), cache_directory()) as draft:
        (draft / "packages").mkdir()
        (draft / "packages" / "half").touch()

    assert list(cache_directory().iterdir()) == []
