"""Which cluster may be used again, by whom, and with which images."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from pytest_swarm import reuse
from pytest_swarm.cluster_folder import InUse, holding, is_in_use
from pytest_swarm.node import Node
from pytest_swarm.ownership import DIRECTORY_LABEL, LABEL, Owner
from pytest_swarm.reuse import CannotReuse, Likeness, changed_images, find, note_images, revive
from pytest_swarm.service_images import Archive

OWNER = Owner("0badcafe", 1, 2, "boot")
WANTED = Likeness("dev", "orchestrator", 4, 3, "node:1")


def host(*labels: dict[str, str]) -> Any:
    networks = [{"Name": "swarm", "Labels": each} for each in labels]
    return SimpleNamespace(api=SimpleNamespace(networks=lambda filters: networks))


def labels_of(likeness: Likeness) -> dict[str, str]:
    return {LABEL: OWNER.label, DIRECTORY_LABEL: "/tmp/swarm-x", **likeness.labels}


def test_the_cluster_of_that_name_and_engine_is_found() -> None:
    others = (dataclasses.replace(WANTED, name="ci"), dataclasses.replace(WANTED, engine="docker"))

    found = find(host(*map(labels_of, (*others, WANTED))), WANTED)

    assert found is not None
    assert found[0] == OWNER
    assert find(host(*map(labels_of, others)), WANTED) is None


def test_one_of_another_kind_is_refused_with_what_differs() -> None:
    other = dataclasses.replace(WANTED, nodes=2, image="node:0")

    with pytest.raises(CannotReuse) as error:
        find(host(labels_of(other)), WANTED)

    assert str(error.value) == (
        "the cluster dev has nodes 2 instead of 4, image node:0 instead of node:1: "
        "remove it (pytest-swarm-cleanup 0badcafe) or use another name"
    )


def test_labels_that_are_not_ours_are_no_cluster() -> None:
    key = next(iter(WANTED.labels))

    assert find(host({key: "{}", LABEL: OWNER.label}, {key: "no json", LABEL: OWNER.label}, {key: "1"}), WANTED) is None


def test_only_one_holds_a_cluster(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    with holding(tmp_path):
        assert is_in_use(tmp_path)
        with pytest.raises(InUse), holding(tmp_path):
            pass
    assert not is_in_use(tmp_path)


def test_a_cluster_of_another_user_is_in_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As root, to whom these tests may belong, nothing is forbidden."""
    monkeypatch.setattr(Path, "exists", Mock(side_effect=PermissionError("swarm-0badcafe-x")))

    assert is_in_use(tmp_path)


def test_who_fails_lets_go(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), holding(tmp_path):
        raise RuntimeError
    assert not is_in_use(tmp_path)


def test_an_image_is_loaded_again_when_its_content_has_changed(tmp_path: Path) -> None:
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    archives = {"shop:1": Archive(one, is_saved=False), "shop:2": Archive(two, is_saved=True)}

    assert changed_images(tmp_path, archives) == archives
    note_images(tmp_path, archives)
    assert changed_images(tmp_path, archives) == {}
    two.write_bytes(b"3")
    assert changed_images(tmp_path, archives) == {"shop:2": archives["shop:2"]}


@pytest.mark.parametrize(
    ("status", "deeds"),
    [
        ("running", []),
        ("paused", ["unpaused", "answers"]),
        ("exited", ["started", "answers"]),
    ],
)
def test_what_a_killed_session_broke_is_mended(monkeypatch: pytest.MonkeyPatch, status: str, deeds: list[str]) -> None:
    said: list[str] = []

    def execute(command: list[str]) -> tuple[int, bytes]:
        said.append(" ".join(command).replace("\n", "; "))
        return 0, b""

    container = SimpleNamespace(
        name="n1",
        status=status,
        start=lambda: said.append("started"),
        unpause=lambda: said.append("unpaused"),
        exec_run=execute,
    )
    monkeypatch.setattr(reuse, "prepare_node", lambda node, _: said.append("answers"))
    engine: Any = SimpleNamespace(state_directory=lambda: "/state")

    revive(Node("n1", container, "10.0.0.1", Path()), engine)

    first, last = deeds[:1], deeds[1:]
    *mended, clock = said[len(first) : len(said) - len(last)]
    assert (said[: len(first)], said[len(said) - len(last) :]) == (first, last)
    assert mended == [
        "nft table inet swarm_faults { }; delete table inet swarm_faults",
        "rm -f /state/filler",
        "test -e /var/lib/swarm-clock",
    ]
    assert clock.endswith("/var/lib/swarm-clock +0.000000s")
