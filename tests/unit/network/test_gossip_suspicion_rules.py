"""How long a suspect has."""

import pytest

from orchestrator.network.gossip_suspicion_rules import LONGEST_FACTOR, SHORTEST_S, Suspicion


def seconds(members: int, *further: str) -> float:
    suspicion = Suspicion(100.0, members, {"a": None})
    for accuser in further:
        suspicion.confirm(accuser)
    return suspicion.until - 100.0


def test_each_further_accuser_shortens_it() -> None:
    assert seconds(4) == LONGEST_FACTOR * SHORTEST_S
    assert seconds(4) > seconds(4, "b") > seconds(4, "b", "c") == pytest.approx(SHORTEST_S)


def test_the_same_accuser_again_and_more_than_count_change_nothing() -> None:
    assert seconds(16, "a") == seconds(16)
    assert seconds(16, "b", "c", "d") == seconds(16, "b", "c")
    suspicion = Suspicion(0.0, 16, {"a": None})
    assert [suspicion.confirm(accuser) for accuser in ("a", "b", "c", "d")] == [False, True, True, False]


def test_where_nobody_could_confirm_it_is_short() -> None:
    assert seconds(2) == pytest.approx(SHORTEST_S)
    assert seconds(3, "b") == pytest.approx(SHORTEST_S)


def test_news_needs_longer_in_large_clusters() -> None:
    assert seconds(100, "b", "c") == pytest.approx(2 * SHORTEST_S)
