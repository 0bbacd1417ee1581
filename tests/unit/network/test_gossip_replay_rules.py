"""Which messages of a session are taken."""

import random

from orchestrator.network.gossip_replay_rules import WINDOW, Freshness, ReplayGuard


def test_each_number_counts_once_in_whatever_order() -> None:
    guard = ReplayGuard()
    guard.note(1, 0)
    numbers = list(range(1, WINDOW))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        assert guard.look(1, number) is Freshness.FRESH
        guard.note(1, number)
    assert all(guard.look(1, number) is Freshness.REPLAYED for number in range(WINDOW))


def test_what_is_older_than_the_window_is_not_taken() -> None:
    guard = ReplayGuard()
    guard.note(1, 5)
    guard.note(1, 5 + WINDOW)
    assert guard.look(1, 5) is Freshness.REPLAYED
    assert guard.look(1, 6) is Freshness.FRESH


def test_a_great_leap_forgets_all_before() -> None:
    guard = ReplayGuard()
    guard.note(1, 1)
    guard.note(1, 10**12)
    assert guard.look(1, 10**12) is Freshness.REPLAYED
    assert guard.look(1, 10**12 - 1) is Freshness.FRESH
    assert guard.seen.bit_length() <= WINDOW


def test_another_session_is_unproven_until_noted() -> None:
    guard = ReplayGuard()
    guard.note(1, 1)
    assert guard.look(2, 2) is Freshness.UNPROVEN
    guard.note(2, 2)
    assert guard.look(2, 2) is Freshness.REPLAYED
    assert guard.look(1, 3) is Freshness.UNPROVEN
