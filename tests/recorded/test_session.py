"""A session recorded from Docker 26.1.5's own swarm mode, played to ours command by command with the stock CLI.

`session.json` holds what each of its 155 commands printed and how it ended, in the form of `normal_form`;
`differences.json` those that ours answers otherwise on purpose: why, and with what, unless that is left to chance.
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

_HERE = Path(__file__).parent
STEPS: list[dict[str, Any]] = json.loads((_HERE / "session.json").read_text())
DIFFERENCES: list[dict[str, Any]] = json.loads((_HERE / "differences.json").read_text())
COMMAND_SECONDS = "120"
# What changes nothing is read until it is as expected: tasks come and go at their own pace on both engines.
READING_SECONDS = 20.0
_READING = re.compile(r"docker (\w+ (ls|ps|inspect|logs)|info|version)\b")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed, in normal form."""

    exit: int
    stdout: Any
    stderr: Any

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Outcome:
        """The outcome that a member of either file gives."""
        return cls(written["exit"], written["stdout"], written["stderr"])

    def resembles(self, other: Outcome) -> bool:
        """Whether it ended as the other, and printed the same columns or at least the other's fields of objects."""
        return (self.exit, self.stderr) == (other.exit, other.stderr) and _has_frame_of(self.stdout, other.stdout)


def _has_frame_of(printed: Any, other: Any) -> bool:
    if isinstance(printed, str) and isinstance(other, str):
        return printed.partition("\n")[0] == other.partition("\n")[0]
    (ours,), (theirs,) = printed, other
    return set(theirs) <= set(ours)


class Player:
    """Types the session's commands on its nodes, and keeps what later ones need of it."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._addresses = {name: node.address for name, node in nodes.items()}
        self._kept: dict[str, str] = dict(self._addresses)

    def play(self, step: Mapping[str, Any], expected: Outcome | None) -> Outcome:
        """Type a command; one that only reads, until it answers as `expected` or the time for that is over."""
        last = self._type(step)
        if expected is None or last == expected or not _READING.match(step["command"]):
            return last

        def again() -> Done[Outcome] | NotYet:
            nonlocal last
            last = self._type(step)
            return Done(last) if last == expected else NotYet("another answer")

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


def test_every_command_is_answered_as_expected(
    nodes: dict[str, Node], record_property: Callable[[str, object], None]
) -> None:
    player = Player(nodes)
    ours = {each["number"]: Outcome.of(each) for each in DIFFERENCES if "exit" in each}
    varying = {each["number"] for each in DIFFERENCES} - set(ours)
    assert all(outcome != Outcome.of(STEPS[number]) for number, outcome in ours.items())
    unexpected = []
    as_recorded = 0
    for number, step in enumerate(STEPS):
        recorded = Outcome.of(step)
        expected = ours.get(number, recorded)
        answer = player.play(step, None if number in varying else expected)
        as_recorded += answer == recorded
        is_right = answer.resembles(recorded) if number in varying else answer == expected
        if not is_right:
            written = json.dumps({"number": number, **dataclasses.asdict(answer)})
            unexpected.append(f"{step['command']}\n  expected {expected}\n  answered {written}")

    record_property("answered_as_recorded", as_recorded)
    assert not unexpected, f"{as_recorded} of {len(STEPS)} as recorded\n" + "\n".join(unexpected)
