"""A session recorded from Docker 26.1.5's own swarm mode, played to ours command by command with the stock CLI.

`session.json` holds what each of its 155 commands printed and how it ended, in the form of `normal_form`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

import pytest

from pytest_swarm.node import Node
from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until
from tests.recorded.normal_form import normal_form

pytestmark = [pytest.mark.cluster, pytest.mark.soak]

STEPS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "session.json").read_text())
COMMAND_SECONDS = "120"
# What changes nothing is read until it is as recorded: tasks come and go at their own pace on both engines.
READING_SECONDS = 20.0
_READING = re.compile(r"docker (\w+ (ls|ps|inspect|logs)|info|version)\b")

CLIENT = "the words are the client's own, which is 26.1.5 here and was 28.2.2 there"
IDLE_OLD = "a task that does not serve yet is replaced at once: there is nobody to wait for"
NOTHING_TO_ROLL_BACK = (
    "a new task that dies before it is ready never takes an old one's place, so going back takes no time, and the "
    "client sees its end alone"
)
PROMOTED = "a promotion is done when it is answered, so what follows one does not fail"

MEANT: Mapping[int, str] = {
    27: CLIENT,
    41: CLIENT,
    48: CLIENT,
    64: IDLE_OLD,
    67: CLIENT,
    69: IDLE_OLD,
    72: NOTHING_TO_ROLL_BACK,
    73: NOTHING_TO_ROLL_BACK,
    80: NOTHING_TO_ROLL_BACK,
    86: PROMOTED,
    87: PROMOTED,
    88: PROMOTED,
    94: "no node has a docker_gwbridge: tasks reach the world through their node's own bridge",
    102: "the first addresses of an attachable network are the nodes' own",
    103: CLIENT,
    104: "a manager tells of a network's services also where none of their tasks runs",
    110: CLIENT,
    144: CLIENT,
    148: PROMOTED + ": n2 is a worker again, and may leave",
    151: PROMOTED + ", and a manager that leaves by force is a manager no longer",
    152: PROMOTED + ": n2 has left, and can be removed",
    153: "as n4",
    154: "both are gone",
}
"""Number of a command -> why its answer is another one here."""

PLACED = frozenset({76, 77, 78})
"""Commands that show where the scheduler, free to choose among nodes that are alike, has put what."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed, in normal form."""

    exit: int
    stdout: Any
    stderr: Any


class Player:
    """Types the session's commands on its nodes, and keeps what later ones need of it."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._addresses = {name: node.address for name, node in nodes.items()}
        self._kept: dict[str, str] = dict(self._addresses)

    def play(self, step: Mapping[str, Any], recorded: Outcome, *, is_meant: bool) -> Outcome:
        """Type a command; one that only reads, until it answers as recorded or the time for that is over.

        `is_meant`: it is known to answer otherwise.
        """
        last = self._type(step)
        if last == recorded or is_meant or not _READING.match(step["command"]):
            return last

        def again() -> Done[Outcome] | NotYet:
            nonlocal last
            last = self._type(step)
            return Done(last) if last == recorded else NotYet("another answer")

        try:
            return wait_until(again, what=step["command"], timeout=READING_SECONDS)
        except DeadlineExceeded:
            return last

    def _type(self, step: Mapping[str, Any]) -> Outcome:
        words = shlex.split(Template(step["command"]).safe_substitute(self._kept))
        typed = shlex.join(["timeout", COMMAND_SECONDS, *words])
        if "stdin" in step:
            typed = f"printf %s {shlex.quote(step['stdin'])} | {typed}"
        container = self._nodes[step["on"]].container
        status, (output, error) = container.exec_run(["sh", "-c", typed], demux=True)
        stdout, stderr = (output or b"").decode(), (error or b"").decode()
        if "keep_as" in step:
            self._kept[step["keep_as"]] = stdout.strip()
        return Outcome(status, normal_form(stdout, self._addresses), normal_form(stderr, self._addresses))


def test_every_command_is_answered_as_recorded(
    nodes: dict[str, Node], record_property: Callable[[str, object], None]
) -> None:
    player = Player(nodes)
    differing = {}
    for number, step in enumerate(STEPS):
        recorded = Outcome(step["exit"], step["stdout"], step["stderr"])
        answer = player.play(step, recorded, is_meant=number in MEANT or number in PLACED)
        if answer != recorded:
            differing[number] = f"{number} {step['command']}\n  recorded {recorded}\n  answered {answer}"

    record_property("answered_as_recorded", len(STEPS) - len(differing))
    unexpected = [text for number, text in differing.items() if number not in MEANT and number not in PLACED]
    assert not unexpected, f"{len(differing)} of {len(STEPS)} differ\n" + "\n".join(unexpected)
    assert set(MEANT) <= set(differing), f"as recorded by now: {sorted(set(MEANT) - set(differing))}"
