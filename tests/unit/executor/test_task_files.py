"""Secrets and configs as files in memory."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.executor.task_files import MemoryTaskFiles, file_system_of
from orchestrator.executor.task_files_rules import mounts_of
from orchestrator.interfaces import TaskRejected
from orchestrator.model.container import ContainerSpec, FileReference
from orchestrator.model.files import FilePayload
from orchestrator.model.node import NodeDescription
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task

IN_MEMORY = Path("/dev/shm")
NODE = NodeDescription("host-1")

pytestmark = pytest.mark.skipif(file_system_of(IN_MEMORY) != "tmpfs", reason="this machine has no tmpfs at /dev/shm")


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as made:
        yield Path(made) / "files"


def a_task(*secrets: FileReference, configs: tuple[FileReference, ...] = ()) -> Task:
    spec = TaskSpec(ContainerSpec("web:1", secrets=secrets, configs=configs))
    return Task("t1", "s", "web", 1, spec, 1)


def payloads(**contents: bytes) -> dict[str, FilePayload]:
    """Contents by object id."""
    return {object_id: FilePayload(object_id, data) for object_id, data in contents.items()}


def test_files_have_the_content_owner_and_mode_asked_for(directory: Path) -> None:
    mine = os.getuid(), os.getgid()
    task = a_task(
        FileReference("s1", "key", "key", uid=str(mine[0]), gid=str(mine[1]), mode=0o400),
        configs=(FileReference("c1", "conf", "/etc/conf", mode=0o440), FileReference("c2", "spec", "", runtime=True)),
    )
    files = MemoryTaskFiles(directory, lambda: NODE)
    for _ in range(2):
        files.write(task, payloads(s1=b"secret", c1=b"config"))
    secret, config = (directory / "t1" / name for name in ("secret-0", "config-0"))
    assert (secret.read_bytes(), config.read_bytes()) == (b"secret", b"config")
    assert [path.stat().st_mode & 0o7777 for path in (secret, config, secret.parent)] == [0o400, 0o440, 0o700]
    assert (secret.stat().st_uid, secret.stat().st_gid) == mine
    assert files.task_ids() == ["t1"]
    files.erase("t1")
    files.erase("t1")
    assert not secret.parent.exists()


def test_they_are_mounted_where_docker_puts_them() -> None:
    task = a_task(
        FileReference("s1", "key", "key"),
        FileReference("s1", "key", "/etc/key"),
        configs=(FileReference("c1", "conf", "a/conf"),),
    )
    mounts = mounts_of(task, "/run/x")
    assert [(mount["Source"], mount["Target"]) for mount in mounts] == [
        ("/run/x/t1/secret-0", "/run/secrets/key"),
        ("/run/x/t1/secret-1", "/etc/key"),
        ("/run/x/t1/config-0", "/a/conf"),
    ]
    assert all(mount["ReadOnly"] and mount["Type"] == "bind" for mount in mounts)


def test_a_task_whose_secret_is_not_here_is_rejected(directory: Path) -> None:
    with pytest.raises(TaskRejected, match="not available on this node: secret key"):
        MemoryTaskFiles(directory, lambda: NODE).write(a_task(FileReference("s1", "key", "key")), {})


def test_a_template_is_filled_in_for_the_task(directory: Path) -> None:
    task = a_task(FileReference("s1", "key", "key"), configs=(FileReference("c1", "conf", "conf"),))
    template = FilePayload("c1", b'{{.Task.Name}} on {{.Node.Hostname}}: {{secret "key"}}', "golang")
    MemoryTaskFiles(directory, lambda: NODE).write(task, {**payloads(s1=b"{{.Raw}}"), "c1": template})
    assert (directory / "t1" / "config-0").read_bytes() == b"web.1.t1 on host-1: {{.Raw}}"
    assert (directory / "t1" / "secret-0").read_bytes() == b"{{.Raw}}"


def test_a_template_that_means_nothing_rejects_the_task(directory: Path) -> None:
    task = a_task(FileReference("s1", "key", "key"))
    with pytest.raises(TaskRejected, match="unknown placeholder"):
        MemoryTaskFiles(directory, lambda: NODE).write(task, {"s1": FilePayload("s1", b"{{.Nothing}}", "golang")})
    assert not (directory / "t1").exists()


def test_an_owner_without_a_number_is_rejected(directory: Path) -> None:
    with pytest.raises(TaskRejected, match="uid 'root' is not a number"):
        MemoryTaskFiles(directory, lambda: NODE).write(
            a_task(FileReference("s1", "key", "key", uid="root")), payloads(s1=b"x")
        )


def test_nothing_is_ever_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.executor.task_files.file_system_of", lambda path: "ext4")
    with pytest.raises(TaskRejected, match="is not in memory"):
        MemoryTaskFiles(tmp_path, lambda: NODE).write(a_task(FileReference("s1", "key", "key")), payloads(s1=b"x"))
    assert list(tmp_path.rglob("*-0")) == []


def test_a_task_without_files_leaves_no_directory(directory: Path) -> None:
    files = MemoryTaskFiles(directory, lambda: NODE)
    files.write(a_task(), {})
    assert files.task_ids() == ()


def test_the_file_system_of_a_path(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:21 / / rw,relatime - overlay overlay rw\n23 22 0:22 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n"
    )
    assert file_system_of(Path("/run/swarm/x"), mounts) == "tmpfs"
    assert file_system_of(Path("/srv"), mounts) == "overlay"
