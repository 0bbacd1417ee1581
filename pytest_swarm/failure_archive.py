"""What a cluster looks like when a test has failed: one archive with each node's logs, rules and views.

It is taken before the cluster is reset or removed, within a deadline and a size, and never fails the test by itself:
what cannot be had is named in the archive, with the reason.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.node import Node

DEADLINE_SECONDS = 20.0
COMMAND_SECONDS = 10
FILE_BYTES_MAX = 1024 * 1024
ARCHIVES_MAX = 10
"""Of a session: what breaks more often than that breaks for the same reason."""
LAST_LINES = 8

COMMANDS: Mapping[str, str] = {
    "dockerd.log": f"tail -c {FILE_BYTES_MAX} /var/log/dockerd.log",
    "nftables.txt": "nft list ruleset",
    "addresses.txt": "ip -details address; ip route; bridge fdb show",
    "connections.txt": f"conntrack -C; conntrack -L 2>/dev/null | head -c {FILE_BYTES_MAX}",
    "sockets.txt": "ss -tunap 2>/dev/null || cat /proc/net/tcp /proc/net/udp",
    "processes.txt": "ps -eo pid,ppid,stat,pcpu,rss,etime,args 2>/dev/null || ps",
    "disk.txt": "df -h; ls -laR /var/lib/swarm 2>/dev/null",
}
"""What is asked inside each node, by the file its answer goes to."""

Source = Callable[[], str]


@dataclasses.dataclass(frozen=True)
class FailureArchive:
    """An archive that was written. `digest` is for reading at once: each node's view and the end of its log."""

    test: str
    path: Path
    digest: str
    missing: tuple[str, ...]
    """What could not be had, each with the reason."""


def take(cluster: Cluster, test: str, directory: Path, *, deadline: float = DEADLINE_SECONDS) -> FailureArchive:
    """Collect from all nodes at once and write `<test>.tar.gz` into the folder; `deadline` in seconds.

    Raises OSError when the archive cannot be written.
    """
    sources = dict(_sources(cluster))
    collected, missing = _collect(sources, deadline)
    if missing:
        collected["missing.txt"] = "\n".join(missing) + "\n"
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', test).strip('_')}.tar.gz"
    _write(path, collected)
    return FailureArchive(test, path, digest(collected), tuple(missing))


def _sources(cluster: Cluster) -> Iterable[tuple[str, Source]]:
    for node in cluster.nodes:
        yield f"{node.name}/node.log", _log_of(node)
        for name, command in COMMANDS.items():
            yield f"{node.name}/{name}", _command_in(node, command)
        yield f"{node.name}/info.json", _answer_of(node, "/info")
        yield f"{node.name}/containers.json", _answer_of(node, "/containers/json?all=1")
        if cluster.engine.name == "orchestrator":
            yield f"{node.name}/swarm.json", _answer_of(node, "/debug/swarm")
    for kind in ("nodes", "services", "tasks", "networks"):
        yield f"swarm/{kind}.json", _answer_of_swarm(cluster, f"/{kind}")
    since, now = int(cluster.booted_at), int(time.time())
    yield "swarm/events.jsonl", _answer_of_swarm(cluster, f"/events?since={since}&until={now}")
    yield "swarm/timeline.json", lambda: _timeline(cluster)


def _log_of(node: Node) -> Source:
    def read() -> str:
        return str(node.container.logs(timestamps=True, tail=20_000).decode(errors="replace"))

    return read


def _command_in(node: Node, command: str) -> Source:
    def run() -> str:
        _, output = node.container.exec_run(["timeout", str(COMMAND_SECONDS), "sh", "-c", command])
        return str(output.decode(errors="replace"))

    return run


def _answer_of(node: Node, path: str) -> Source:
    def ask() -> str:
        if node.is_down:
            raise OSError("a fault keeps its API away")
        return _get(node.client.api, path)

    return ask


def _answer_of_swarm(cluster: Cluster, path: str) -> Source:
    return lambda: _get(cluster.api, path)


def _get(api: Any, path: str) -> str:
    response = api.get(api.base_url + path, timeout=COMMAND_SECONDS)
    text = str(response.text)
    return text if response.ok else f"HTTP {response.status_code}: {text}"


def _timeline(cluster: Cluster) -> str:
    operations = [
        {
            "name": each.name,
            "started": each.started,
            "finished": each.finished if math.isfinite(each.finished) else None,
            "is_fault": each.is_fault,
        }
        for each in cluster.operations
    ]
    return json.dumps(operations, indent=1)


def _collect(sources: Mapping[str, Source], deadline: float) -> tuple[dict[str, str], list[str]]:
    """Read all sources at once; what fails, or takes too long, is named instead."""
    collected: dict[str, str] = {}
    missing: list[str] = []
    pool = ThreadPoolExecutor(min(len(sources), 16), thread_name_prefix="failure-archive")
    futures = {name: pool.submit(source) for name, source in sources.items()}
    wait(futures.values(), timeout=deadline)
    # Those that still wait for an answer have deadlines of their own.
    pool.shutdown(wait=False, cancel_futures=True)
    for name, future in futures.items():
        if not future.done() or future.cancelled():
            missing.append(f"{name}: not within {deadline:g} s")
        elif (error := future.exception()) is not None:
            missing.append(f"{name}: {' '.join(str(error).split())}")
        else:
            collected[name] = future.result()
    return collected, missing


def _write(path: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            content = cut_to_size(text.encode(errors="replace"))
            entry = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
            entry.size, entry.mtime = len(content), int(time.time())
            archive.addfile(entry, io.BytesIO(content))


def cut_to_size(content: bytes, limit: int = FILE_BYTES_MAX) -> bytes:
    """The end of what is too long, for logs end with what went wrong; its first line says what was cut off."""
    if len(content) <= limit:
        return content
    return f"[the first {len(content) - limit} of {len(content)} bytes are cut off]\n".encode() + content[-limit:]


def digest(files: Mapping[str, str]) -> str:
    """What to read first: how each manager stands in the consensus, and the last lines of each node's log."""
    lines: list[str] = []
    for name, text in files.items():
        node, _, kind = name.partition("/")
        if kind == "swarm.json" and (standing := _standing(text)):
            lines.append(f"{node}: {standing}")
    for name, text in files.items():
        node, _, kind = name.partition("/")
        if kind == "node.log":
            lines.append(f"{node}: its log ends")
            lines += [f"  {line}" for line in text.splitlines()[-LAST_LINES:]]
    return "\n".join(lines)


def _standing(text: str) -> str:
    try:
        status = json.loads(text)["consensus"]
    except (ValueError, KeyError, TypeError):
        return "its answer about the consensus cannot be read"
    if status is None:
        return ""
    role = "leads" if status["leads"] else f"follows {status['leader'] or 'nobody'}"
    peers = ", ".join(
        f"{peer['address']} {'connected' if peer['connected'] else 'not connected'}"
        + (f" and {'answers' if peer['answered'] else 'silent'}, has {peer['match_index']}" if status["leads"] else "")
        for peer in status["peers"]
    )
    log = f"log {status['first_index']}-{status['last_index']}, applied {status['applied_index']}"
    return f"{role} in term {status['term']}, {log}; peers: {peers or 'none'}"
