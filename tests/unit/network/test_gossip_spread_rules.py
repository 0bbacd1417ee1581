"""What news is told how often."""

from orchestrator.network.gossip_message_rules import Standing, Update
from orchestrator.network.gossip_spread_rules import Spread

ALIVE, SUSPECT, DEAD = Standing.ALIVE, Standing.SUSPECT, Standing.DEAD


def drained(spread: Spread, members: int = 4) -> list[Update]:
    told: list[Update] = []
    while len(spread):
        told += spread.take(16, members)
    return told


def test_news_is_told_more_often_in_a_larger_cluster_and_then_no_more() -> None:
    counts = []
    for members in (2, 9, 50, 500):
        spread = Spread()
        spread.add(Update("a", DEAD, 1))
        counts.append(len(drained(spread, members)))
    assert counts == [4, 4, 8, 12]


def test_the_least_told_comes_first() -> None:
    spread = Spread()
    spread.add(Update("a", DEAD, 1))
    spread.take(1, 4)
    spread.add(Update("b", DEAD, 1))
    assert spread.take(1, 4) == (Update("b", DEAD, 1),)


def test_a_later_word_replaces_an_earlier_one() -> None:
    spread = Spread()
    spread.add(Update("a", SUSPECT, 1, "b"))
    spread.add(Update("a", SUSPECT, 1, "c"))
    spread.add(Update("a", ALIVE, 2))
    assert set(drained(spread)) == {Update("a", ALIVE, 2)}


def test_each_accuser_of_the_same_incarnation_is_told() -> None:
    spread = Spread()
    for accuser in ("b", "c", "b"):
        spread.add(Update("a", SUSPECT, 1, accuser))
    assert spread.take(16, 4) == (Update("a", SUSPECT, 1, "c"), Update("a", SUSPECT, 1, "b"))


def test_of_one_that_is_no_member_nothing_is_told() -> None:
    spread = Spread()
    spread.add(Update("a", DEAD, 1))
    spread.forget("a")
    assert len(spread) == 0
