"""The folders that a run makes on this machine: each bears its owner's name, so that none is ever left ownerless.

A process that is killed may leave a folder that no container or network tells of yet. The clean-up finds it by the
file `owner` in it. Only between two system calls, the making of a folder and the writing of that file, could a kill
leave an empty folder that nobody owns.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_swarm.ownership import PREFIX, Owner

_OWNER_FILE = "owner"
_CACHE = "pytest-swarm-rollout"


def cache_directory() -> Path:
    """Where everything that may be built again is kept between runs."""
    parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(parent) / _CACHE
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def new_folder(owner: Owner, parent: Path | None = None) -> Path:
    """Make a folder of this owner's, among the temporary files unless a parent is given."""
    folder = Path(tempfile.mkdtemp(prefix=owner.name_of(""), dir=parent))
    (folder / _OWNER_FILE).write_text(owner.label)
    return folder


@contextlib.contextmanager
def draft_folder(owner: Owner, parent: Path | None = None) -> Iterator[Path]:
    """A folder to fill something in before it is moved to its place; it goes at the end, with what is left in it."""
    folder = new_folder(owner, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def owned_folders() -> Iterator[tuple[Owner, Path]]:
    """Every folder of every owner, among the temporary files and in the cache; other users' are passed over."""
    for parent in (Path(tempfile.gettempdir()), cache_directory()):
        for file in parent.glob(f"{PREFIX}*/{_OWNER_FILE}"):
            owner = _read(file)
            if owner is not None and file.parent.name.startswith(owner.name_of("")):
                yield owner, file.parent


def remove_folders(owner: Owner) -> list[Path]:
    """Remove all folders of this owner and return them. Raises OSError for what cannot be removed."""
    folders = sorted(folder for each, folder in owned_folders() if each == owner)
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)  # somebody else may be at it as well
    return folders


def _read(file: Path) -> Owner | None:
    try:
        if file.stat().st_uid != os.getuid():
            return None
        return Owner.parse(file.read_text())
    except (OSError, UnicodeDecodeError):
        return None
