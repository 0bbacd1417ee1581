"""Where images may come from, with a fake engine: what is saved, what is kept, and what a bad source is told."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, BuildError, ImageNotFound

from pytest_swarm.service_images import SAVED_KEPT, Archive, BadImage, Source, as_archives, load_archive

DIGEST = "0123456789abcdef" * 4


class FakeEngine:
    """An engine with one image, shop:latest; it counts how often it saved it, and notes what it was told."""

    def __init__(self) -> None:
        self.saved = 0
        self.deeds: list[tuple[str, ...]] = []
        self.loaded = [self._image()]
        self.build_fails: Exception | None = None
        self.images = SimpleNamespace(get=self._get, build=self._build, load=lambda file: self.loaded)
        self.api = SimpleNamespace(
            get_image=self._save, import_image_from_file=self._import, inspect_image=self._inspect
        )

    def _image(self, digest: str = DIGEST) -> Any:
        return SimpleNamespace(id=f"sha256:{digest}", tag=lambda name, tag: self.deeds.append(("tag", name, tag)))

    def _get(self, reference: str) -> Any:
        if reference != "shop:latest":
            raise ImageNotFound("404 Client Error")
        return self._image()

    def _build(self, path: str, **_: object) -> Any:
        self.deeds.append(("build", path))
        if self.build_fails is not None:
            raise self.build_fails
        return self._image(), iter([])

    def _save(self, _image: str) -> Iterator[bytes]:
        self.saved += 1
        yield from (b"first ", b"second")

    def _import(self, path: str, repository: str, tag: str) -> None:
        self.deeds.append(("import", path, repository, tag))

    def _inspect(self, _name: str) -> None:
        return None


@pytest.fixture
def engine() -> Any:
    return FakeEngine()


def archives(engine: Any, cache: Path, source: Source, name: str = "shop:1") -> dict[str, Archive]:
    return as_archives({name: source}, engine, cache, lambda text: None)


def tar(path: Path, *names: str, mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_a_local_image_is_saved_once(engine: Any, tmp_path: Path) -> None:
    first = archives(engine, tmp_path, "shop:latest")
    second = archives(engine, tmp_path, "shop:latest")

    assert first == second
    assert first["shop:1"].is_saved
    assert first["shop:1"].path.read_bytes() == b"first second"
    assert engine.saved == 1
    assert [path.name for path in tmp_path.iterdir()] == [f"saved-image-{DIGEST[:24]}.tar"]


def test_nothing_is_left_of_an_image_whose_saving_failed(engine: Any, tmp_path: Path) -> None:
    def broken(_image: str) -> Iterator[bytes]:
        yield b"first"
        raise OSError("the engine went away")

    engine.api.get_image = broken
    with pytest.raises(OSError, match="went away"):
        archives(engine, tmp_path, "shop:latest")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_built(engine: Any, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")

    assert archives(engine, tmp_path, folder)["shop:1"].is_saved
    assert ("build", str(folder)) in engine.deeds


@pytest.mark.parametrize(
    ("names", "is_saved"),
    [(["etc/passwd", "shop"], False), (["blobs/x", "manifest.json"], True), (["./oci-layout"], True)],
)
def test_an_archive_says_itself_what_it_is(engine: Any, tmp_path: Path, names: list[str], is_saved: bool) -> None:
    path = tar(tmp_path / "shop.tar.gz", *names)

    assert archives(engine, tmp_path, path) == {"shop:1": Archive(path, is_saved)}


def test_only_the_saved_images_used_last_are_kept(engine: Any, tmp_path: Path) -> None:
    for number in range(SAVED_KEPT + 1):
        path = tmp_path / f"saved-image-{number}.tar"
        path.touch()
        os.utime(path, (number, number))

    archives(engine, tmp_path, "shop:latest")

    left = {path.name for path in tmp_path.glob("saved-image-*")}
    assert len(left) == SAVED_KEPT
    assert not left & {"saved-image-0.tar", "saved-image-1.tar"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("shop:lastest", "the local engine has no image 'shop:lastest': build or pull it first"),
        (Path("/nowhere/shop.tar.gz"), "there is no /nowhere/shop.tar.gz: expected an archive or a folder"),
    ],
)
def test_a_source_that_is_not_there(engine: Any, tmp_path: Path, source: Source, words: str) -> None:
    with pytest.raises(BadImage, match=r"^swarm_images\['shop:1'\]: ") as caught:
        archives(engine, tmp_path, source)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_dockerfile(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"there is no Dockerfile in /"):
        archives(engine, tmp_path, tmp_path)


def test_a_file_that_is_no_archive(engine: Any, tmp_path: Path) -> None:
    path = tmp_path / "shop.tar.gz"
    path.write_text("not a tar")
    with pytest.raises(BadImage, match=r"shop\.tar\.gz is no archive as docker export or docker save writes it"):
        archives(engine, tmp_path, path)


def test_a_build_that_fails(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM nowhere\n")
    engine.build_fails = BuildError("pull access denied\nfor nowhere", iter([]))
    with pytest.raises(BadImage, match=r"building .*/Dockerfile failed: pull access denied for nowhere"):
        archives(engine, tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["shop", "host:5000/shop", ":1"])
def test_a_name_without_a_tag(engine: Any, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadImage, match="under a name with a tag, such as shop:1"):
        archives(engine, tmp_path, "shop:latest", name)


def test_loading_gives_an_image_its_name(engine: Any, tmp_path: Path) -> None:
    path = tar(tmp_path / "shop.tar")

    load_archive(engine, "host:5000/shop:1", Archive(path, is_saved=True))
    load_archive(engine, "shop:2", Archive(path, is_saved=False))

    assert engine.deeds == [("tag", "host:5000/shop", "1"), ("import", str(path), "shop", "2")]


def test_an_archive_of_two_images_is_refused(engine: Any, tmp_path: Path) -> None:
    engine.loaded.append(engine._image("f" * 64))
    with pytest.raises(BadImage, match="holds 2 images, not one"):
        load_archive(engine, "shop:1", Archive(tar(tmp_path / "two.tar"), is_saved=True))


def test_what_the_engine_refuses_is_one_line(engine: Any, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise APIError("400 Client Error", explanation="invalid tar\nheader")

    engine.api.import_image_from_file = refuse
    with pytest.raises(BadImage, match="brought no image: invalid tar header"):
        load_archive(engine, "shop:1", Archive(tar(tmp_path / "shop.tar"), is_saved=False))
