"""Watches a service's tasks five times a second and remembers each change of state."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_swarm.phases import Replacement

_POLL_SECONDS = 0.2

Tasks = Sequence[Mapping[str, Any]]
Follower = Callable[[Tasks], None]


@dataclasses.dataclass(frozen=True)
class Transition:
    """A task was seen in a new state. `time` is seconds since the epoch, up to one poll late."""

    time: float
    task: str
    slot: int
    node: str
    state: str
    desired: str


class TaskObserver:
    """Polls `list_tasks` on a thread of its own, until `stop`. A poll that fails is skipped."""

    def __init__(self, list_tasks: Callable[[], Tasks]) -> None:
        self._list_tasks = list_tasks
        self._followers: tuple[Follower, ...] = ()
        self._seen: dict[str, tuple[str, str]] = {}
        self._transitions: list[Transition] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="task-observer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(timeout=5.0)

    def follow(self, follower: Follower) -> None:
        """Have it told of all tasks at each poll, on the observer's own thread."""
        self._followers += (follower,)

    def unfollow(self, follower: Follower) -> None:
        """Tell it no more, from the next poll on."""
        self._followers = tuple(each for each in self._followers if each != follower)

    @property
    def transitions(self) -> tuple[Transition, ...]:
        return tuple(self._transitions)

    def _run(self) -> None:
        from docker.errors import DockerException

        while not self._stopped.wait(_POLL_SECONDS):
            try:
                tasks = self._list_tasks()
            except (DockerException, OSError):
                # A leader may be changing; the next poll sees what this one missed.
                continue
            self._note(tasks, time.time())
            for follower in self._followers:
                follower(tasks)

    def _note(self, tasks: Tasks, now: float) -> None:
        for task in tasks:
            states = (str(task["Status"]["State"]), str(task["DesiredState"]))
            if self._seen.get(task["ID"]) != states:
                self._seen[task["ID"]] = states
                self._transitions.append(
                    Transition(now, task["ID"], int(task.get("Slot") or 0), task.get("NodeID") or "", *states)
                )


def replacements(transitions: Sequence[Transition], started: float, finished: float) -> tuple[Replacement, ...]:
    """Find in a span of time the slots that changed tasks: from the first sign of either task to the last."""
    tasks_before = {each.task for each in transitions if each.time < started}
    spans: dict[int, list[float]] = {}
    slots_with_new_task = set()
    for each in transitions:
        if started <= each.time <= finished:
            spans.setdefault(each.slot, []).append(each.time)
            if each.task not in tasks_before:
                slots_with_new_task.add(each.slot)
    return tuple(
        Replacement(f"slot {slot}", min(spans[slot]), max(spans[slot])) for slot in sorted(slots_with_new_task)
    )
