"""Room shared among holders."""

from orchestrator.network.dns_slots import Slots


def test_nobody_takes_all_of_it() -> None:
    slots = Slots(3, 2)
    assert [slots.take(holder) for holder in ("a", "a", "a", "b", "b")] == [True, True, False, True, False]
    assert (slots.held_by("a"), slots.held_by("b"), slots.held_by("c")) == (2, 1, 0)


def test_what_is_given_back_is_there_for_others() -> None:
    slots = Slots(1, 1)
    assert slots.take("a")
    slots.give_back("a")
    assert slots.take("b")
