"""Which part of a leader's message a follower lacks."""

from typing import Any

import pytest

from orchestrator.raft import log_matching


def entries(*terms: int, first: int = 1) -> list[tuple[bytes, int, int]]:
    return [(b"", first + offset, term) for offset, term in enumerate(terms)]


def term_at(terms: list[int]) -> log_matching.TermAt:
    """A follower's log with entries 1, 2, ... of these terms."""
    return lambda index: terms[index - 1] if 1 <= index <= len(terms) else None


def append(previous: int, previous_term: int, *new: tuple[bytes, int, int], commit: int = 9) -> dict[str, Any]:
    return {
        "type": "append_entries",
        "term": 3,
        "commit_index": commit,
        "prevLogIdx": previous,
        "prevLogTerm": previous_term,
        "entries": list(new),
    }


FOLLOWER = term_at([0, 1, 1, 2])


@pytest.mark.parametrize(
    ("message", "previous", "left"),
    [
        (append(4, 2, *entries(2, 2, first=5)), (4, 2), [5, 6]),
        (append(2, 1, *entries(1, 2, 2, first=3)), (4, 2), [5]),
        (append(2, 1, *entries(1, 2, first=3)), (4, 2), []),
        (append(2, 1, *entries(1, 3, 3, first=3)), (3, 1), [4, 5]),
        (append(4, 1, *entries(3, first=5)), (4, 1), [5]),
        (append(7, 3, *entries(3, first=8)), (7, 3), [8]),
    ],
    ids=["all new", "known front", "all known", "conflict after known front", "conflicting previous", "gap"],
)
def test_known_entries_are_cut_off_the_front(
    message: dict[str, Any], previous: tuple[int, int], left: list[int]
) -> None:
    trimmed = log_matching.trim(message, FOLLOWER)
    assert (trimmed["prevLogIdx"], trimmed["prevLogTerm"]) == previous
    assert [index for _, index, _ in trimmed["entries"]] == left


@pytest.mark.parametrize(
    ("message", "covers_less"),
    [
        (append(3, 1), True),
        (append(4, 2), False),
        (append(3, 2), False),
        (append(3, 1, *entries(3, first=4)), False),
    ],
    ids=["ends before", "ends together", "does not match", "conflicts"],
)
def test_a_message_that_ends_before_the_log_conflicts_with_nothing(message: dict[str, Any], covers_less: bool) -> None:
    assert log_matching.covers_less_than_known(message, FOLLOWER) is covers_less


def test_a_sign_of_life_brings_nothing_but_the_commit_index_that_is_given() -> None:
    sign = log_matching.sign_of_life(append(3, 1, *entries(3, first=4), commit=4), 3)
    assert sign == {"type": "append_entries", "term": 3, "commit_index": 3}


def test_the_acknowledgement_covers_what_matches() -> None:
    answer = log_matching.acknowledgement(3)
    assert (answer["next_node_idx"], answer["success"], answer["reset"]) == (4, True, False)


@pytest.mark.parametrize(
    ("index", "term", "is_old"), [(4, 2, True), (2, 1, True), (4, 3, False), (5, 2, False)], ids=str
)
def test_a_snapshot_of_what_the_follower_has_is_old(index: int, term: int, is_old: bool) -> None:
    message = {"type": "append_entries", "serialized": (b"", True, False), "last_index": index, "last_term": term}
    assert log_matching.is_old_snapshot(message, FOLLOWER) is is_old
