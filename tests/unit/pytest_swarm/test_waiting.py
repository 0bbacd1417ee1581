"""The one polling loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_returns_the_value_once_it_is_there() -> None:
    clock = Clock()
    answers: Iterator[Done[str] | NotYet] = iter([NotYet("one"), NotYet("two"), Done("here")])

    value = wait_until(lambda: next(answers), what="it", timeout=10, interval=0.5, clock=clock, sleep=clock.sleep)

    assert (value, clock.now) == ("here", 1.0)


def test_a_late_one_says_what_it_last_saw() -> None:
    clock = Clock()

    with pytest.raises(DeadlineExceeded, match=r"^4 nodes Ready: not within 3 s; last seen: 2 of 4 nodes ready$"):
        wait_until(
            lambda: NotYet("2 of 4 nodes ready"), what="4 nodes Ready", timeout=3, clock=clock, sleep=clock.sleep
        )


def test_a_condition_is_tried_once_even_without_time() -> None:
    assert wait_until(lambda: Done(1), what="it", timeout=0) == 1
