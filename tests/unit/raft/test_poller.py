"""Descriptors behind one descriptor."""

import select
import socket
from collections.abc import Iterator

import pytest
from pysyncobj.poller import POLL_EVENT_TYPE

from orchestrator.raft.poller import EpollPoller

READ, WRITE, ERROR = POLL_EVENT_TYPE.READ, POLL_EVENT_TYPE.WRITE, POLL_EVENT_TYPE.ERROR


@pytest.fixture
def poller() -> Iterator[EpollPoller]:
    opened = EpollPoller()
    yield opened
    opened.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def readable(poller: EpollPoller) -> bool:
    return bool(select.select([poller], [], [], 0)[0])


def test_arrival_makes_the_one_descriptor_readable(
    poller: EpollPoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    seen: list[tuple[int, int]] = []
    poller.subscribe(ours.fileno(), lambda *event: seen.append(event), READ)
    assert not readable(poller)
    theirs.send(b"x")
    assert readable(poller)
    poller.poll(0)
    assert seen == []
    poller.dispatch()
    assert seen == [(ours.fileno(), READ)]


def test_subscription_can_change(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    seen: list[int] = []
    poller.subscribe(ours.fileno(), lambda _, mask: seen.append(mask), READ)
    poller.dispatch()
    poller.await_writable(ours.fileno())
    poller.dispatch()
    poller.subscribe(ours.fileno(), lambda _, mask: seen.append(mask), READ)
    poller.dispatch()
    assert seen == [WRITE]


def test_end_of_the_other_side_is_an_error(poller: EpollPoller, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    seen: list[int] = []
    poller.subscribe(ours.fileno(), lambda _, mask: seen.append(mask), READ)
    theirs.close()
    poller.dispatch()
    assert seen == [READ | ERROR]


def test_closed_descriptor_may_be_unsubscribed_late(
    poller: EpollPoller, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    number = ours.fileno()
    poller.subscribe(number, lambda *_: None, READ)
    theirs.send(b"x")
    ours.close()
    poller.unsubscribe(number)
    poller.dispatch()
    assert not readable(poller)
