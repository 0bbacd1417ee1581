"""The images a test's services need, from wherever they come, as archives that every node can load.

    {"shop:1": Path("shop-1.tar.gz")}   an archive, as `docker export` or `docker save` writes it
    {"shop:1": Path("shop")}            a folder with a Dockerfile, built by the host's engine
    {"shop:1": "shop:latest"}           an image that the host's engine has

What comes out of the host's engine is saved once for each image id, and loaded from that file ever after.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_swarm.owned_folders import draft_folder
from pytest_swarm.ownership import LABEL, Owner

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

Source = Path | str
Progress = Callable[[str], None]

BUILD_SECONDS = 900
SAVED_KEPT = 8
"""Files of saved images that stay in the cache, those used last."""
_SAVED_PREFIX = "saved-image-"
_MARKS_OF_A_SAVED_IMAGE = ("manifest.json", "oci-layout")


class BadImage(Exception):
    """An image cannot be had from where `swarm_images` says; the message is one line, and so is its `reason` alone."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"swarm_images[{name!r}]: {reason}")
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Archive:
    """A file that brings one image into an engine. `is_saved`: whole images, by `docker save`; else a file system."""

    path: Path
    is_saved: bool


def as_archives(
    images: Mapping[str, Source], host: docker.DockerClient, cache: Path, progress: Progress
) -> dict[str, Archive]:
    """Image name -> its archive. Raises BadImage for the first that cannot be had."""
    archives = {name: _archive(name, source, host, cache, progress) for name, source in images.items()}
    _remove_old(cache, {archive.path for archive in archives.values()})
    return archives


def load_archive(engine: docker.DockerClient, name: str, archive: Archive) -> None:
    """Bring an image into an engine under its name. Raises BadImage for an archive of something else."""
    from docker.errors import APIError, ImageLoadError, ImageNotFound

    repository, version = _split(name)
    try:
        if archive.is_saved:
            _loaded(engine, name, archive.path).tag(repository, version)
        else:
            engine.api.import_image_from_file(str(archive.path), repository=repository, tag=version)
        # The engine reports a failed import inside an answer of status 200.
        engine.api.inspect_image(name)
    except (APIError, ImageLoadError, ImageNotFound) as error:
        raise BadImage(name, f"{archive.path} brought no image: {_one_line(error)}") from error


def load_into_all(engines: Sequence[docker.DockerClient], archives: Mapping[str, Archive]) -> None:
    """Bring archives into every engine, in parallel. Raises BadImage for one that holds no image."""

    def load(engine: docker.DockerClient) -> None:
        for name, archive in archives.items():
            load_archive(engine, name, archive)

    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(load, engines))


def _loaded(engine: docker.DockerClient, name: str, path: Path) -> Image:
    with path.open("rb") as file:
        images = {image.id: image for image in engine.images.load(file)}
    if len(images) != 1:
        raise BadImage(name, f"{path} holds {len(images)} images, not one")
    return next(iter(images.values()))


def _archive(name: str, source: Source, host: docker.DockerClient, cache: Path, progress: Progress) -> Archive:
    _split(name)
    if isinstance(source, str):
        return _saved(_local_image(name, source, host), host, cache, progress)
    if source.is_dir():
        return _saved(_built_image(name, source, host, progress), host, cache, progress)
    if not source.is_file():
        raise BadImage(
            name,
            f"there is no {source.absolute()}: expected an archive or a folder with a Dockerfile as a "
            "Path, or the name of an image of the local engine as a string",
        )
    try:
        return Archive(source, _is_saved_image(source))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise BadImage(
            name, f"{source} is no archive as docker export or docker save writes it: {_one_line(error)}"
        ) from None


def _split(name: str) -> tuple[str, str]:
    repository, colon, version = name.rpartition(":")
    if not colon or not repository or "/" in version:
        raise BadImage(name, "an image is given under a name with a tag, such as shop:1")
    return repository, version


def _is_saved_image(path: Path) -> bool:
    with tarfile.open(path) as archive:
        return any(member.name.removeprefix("./") in _MARKS_OF_A_SAVED_IMAGE for member in archive)


def tag_in(archive: Path) -> str:
    """The name that an archive gives its image: the first of `docker save`, or the file's for a mere file system.

    Raises BadImage for what is no archive.
    """
    try:
        with tarfile.open(archive) as files:
            for member in files:
                content = files.extractfile(member) if member.name == _MARKS_OF_A_SAVED_IMAGE[0] else None
                if content is not None:
                    tags = [tag for image in json.load(content) for tag in image.get("RepoTags") or []]
                    if tags:
                        return str(tags[0])
    except (tarfile.TarError, EOFError, OSError, ValueError, AttributeError):
        raise BadImage(archive.name, f"{archive} is no archive as docker export or docker save writes it") from None
    return archive.name.partition(".tar")[0].lower()


def _local_image(name: str, reference: str, host: docker.DockerClient) -> Image:
    from docker.errors import APIError, ImageNotFound

    try:
        return host.images.get(reference)
    except ImageNotFound:
        raise BadImage(
            name, f"the local engine has no image {reference!r}: build or pull it first, or give an archive as a Path"
        ) from None
    except (APIError, ValueError) as error:
        raise BadImage(name, f"{reference!r} is no image of the local engine: {_one_line(error)}") from None


def _built_image(name: str, folder: Path, host: docker.DockerClient, progress: Progress) -> Image:
    from docker.errors import APIError, BuildError

    if not (folder / "Dockerfile").is_file():
        raise BadImage(name, f"there is no Dockerfile in {folder.absolute()}")
    progress(f"building {name} from {folder}/Dockerfile")
    try:
        # Unnamed: the next build of other sources leaves it to `docker image prune`.
        image, _ = host.images.build(
            path=str(folder), labels={LABEL: "service-image"}, rm=True, forcerm=True, timeout=BUILD_SECONDS
        )
    except (APIError, BuildError, TypeError) as error:
        raise BadImage(name, f"building {folder}/Dockerfile failed: {_one_line(error)}") from error
    return image


def _saved(image: Image, host: docker.DockerClient, cache: Path, progress: Progress) -> Archive:
    """The image as a file in the cache, saved by the engine unless it is there."""
    digest = str(image.id).rpartition(":")[2]
    target = cache / f"{_SAVED_PREFIX}{digest[:24]}.tar"
    if target.exists():
        os.utime(target)
        return Archive(target, is_saved=True)
    progress(f"saving the image {digest[:12]} for the nodes")
    # Filled under another name and renamed at the end: a half-filled file is never taken for a good one.
    with draft_folder(Owner.current(), cache) as draft:
        partial = draft / target.name
        with partial.open("wb") as file:
            for chunk in host.api.get_image(image.id):
                file.write(chunk)
        partial.rename(target)
    return Archive(target, is_saved=True)


def _remove_old(cache: Path, in_use: set[Path]) -> None:
    """The files used last stay: another run may be about to read one of them."""
    saved = sorted(cache.glob(f"{_SAVED_PREFIX}*.tar"), key=lambda path: path.stat().st_mtime)
    for path in saved[:-SAVED_KEPT]:
        if path not in in_use:
            path.unlink(missing_ok=True)


def _one_line(error: object) -> str:
    explanation = getattr(error, "explanation", None) or error
    return " ".join(str(explanation).split())
