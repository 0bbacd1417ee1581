"""`docker service logs -f` through the stock CLI: lines of every node, of tasks made after it began too."""

from __future__ import annotations

import pytest

from pytest_swarm.cluster import Cluster
from pytest_swarm.waiting import Done, NotYet, wait_until

pytestmark = pytest.mark.cluster

TALK = ["/bin/sh", "-c", 'n=0; while n=$((n+1)); do echo "line $n"; sleep 0.2; done']


def test_a_followed_log_goes_on_in_later_tasks(swarm: Cluster) -> None:
    web = swarm.deploy("docker-swarm-test:1", name="talker", replicas=1, publish={}, command=TALK)
    asked, follower = swarm.nodes[-1 if swarm.managers == len(swarm.nodes) else 0], "/tmp/followed"
    shell = f"docker service logs --follow --tail 1 {web.name} >{follower} 2>&1"
    asked.container.exec_run(["sh", "-c", shell], detach=True)
    wait_until(lambda: _lines_of(asked, follower, {"1"}), what="the first task's lines", timeout=20.0)

    web.scale(3)

    wait_until(lambda: _lines_of(asked, follower, {"1", "2", "3"}), what="all tasks' lines", timeout=20.0)
    text = asked.container.exec_run(["cat", follower])[1].decode()
    # The later tasks are shown from their first line on, whatever `--tail` said of what was there before.
    assert [line for line in text.splitlines() if line.startswith(f"{web.name}.2.") and line.endswith("| line 1")]
    web.remove()
    wait_until(lambda: _has_ended(asked), what="the follower to end with its service", timeout=20.0)


def _lines_of(asked: object, path: str, slots: set[str]) -> Done[None] | NotYet:
    output = asked.container.exec_run(["cat", path])[1].decode()  # type: ignore[attr-defined]
    seen = {line.split(".")[1] for line in output.splitlines() if "| line" in line}
    return Done(None) if slots <= seen else NotYet(f"lines of tasks {sorted(seen)}: {output[-200:]}")


def _has_ended(asked: object) -> Done[None] | NotYet:
    output = asked.container.top()["Processes"]  # type: ignore[attr-defined]
    return NotYet("it runs on") if any("service logs" in " ".join(line) for line in output) else Done(None)
