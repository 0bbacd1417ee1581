"""What a task finds as its resolv.conf."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.executor.container_rules import create_body, resolver_settings
from orchestrator.executor.resolver_files import ResolverFiles
from orchestrator.model.container import ContainerSpec, DNSConfig, Mount
from orchestrator.model.node import NodeDescription
from orchestrator.model.resolver_settings import ResolverSettings
from orchestrator.model.service import TaskSpec
from orchestrator.model.task import Task

TASK = Task("t1", "s1", "web", 1, TaskSpec(ContainerSpec("web:1")), 1)
SERVERS = ("10.0.1.2", "10.0.2.2")


def with_container(**fields: object) -> Task:
    container = replace(TASK.spec.container, **fields)  # type: ignore[arg-type]
    return replace(TASK, spec=replace(TASK.spec, container=container))


def test_it_names_our_servers_alone() -> None:
    assert resolver_settings(TASK, SERVERS) == ResolverSettings(SERVERS)


def test_the_services_own_servers_are_for_ours_to_ask() -> None:
    task = with_container(dns=DNSConfig(("9.9.9.9",), ("corp.example",), ("ndots:2", "rotate")))
    assert resolver_settings(task, SERVERS) == ResolverSettings(SERVERS, ("corp.example",), ("ndots:2", "rotate"))


def test_a_file_is_written_once_and_erased(tmp_path: Path) -> None:
    files = ResolverFiles(tmp_path / "resolvers", lambda: ResolverSettings(("192.0.2.1",), ("corp.example",)))
    path = Path(asyncio.run(files.write(TASK, SERVERS)))
    assert path.read_text() == ("nameserver 10.0.1.2\nnameserver 10.0.2.2\nsearch corp.example\noptions ndots:0\n")
    assert path.stat().st_mode & 0o777 == 0o644
    before = path.stat().st_ino
    asyncio.run(files.write(TASK, SERVERS))
    assert path.stat().st_ino == before
    asyncio.run(files.erase("t1"))
    asyncio.run(files.erase("t1"))
    assert not path.exists()


def test_a_task_without_names_needs_none(tmp_path: Path) -> None:
    assert asyncio.run(ResolverFiles(tmp_path, ResolverSettings).write(TASK, ())) == ""
    assert list(tmp_path.iterdir()) == []


def test_the_same_text_is_the_same_file(tmp_path: Path) -> None:
    async def body() -> None:
        files = ResolverFiles(tmp_path, ResolverSettings)
        one, other = ResolverSettings(("10.0.1.2",)), ResolverSettings(("10.0.2.2",))
        assert await files.write_shared(one) == await files.write_shared(one) != await files.write_shared(other)

    asyncio.run(body())


@pytest.mark.parametrize(("target", "ours"), [("/data", True), ("/etc/resolv.conf", False)])
def test_it_is_mounted_unless_the_service_mounts_its_own(target: str, ours: bool) -> None:
    task = with_container(mounts=(Mount("bind", target, "/mine"),))
    body = create_body(task, NodeDescription(hostname="n"), SERVERS, resolver_file="/node/file")
    mounts = [(mount["Source"], mount["Target"]) for mount in body["HostConfig"]["Mounts"]]
    assert (("/node/file", "/etc/resolv.conf") in mounts) is ours
