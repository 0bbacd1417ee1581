"""How many may connect to the managers' port, and how fast."""

from orchestrator.manager.admission_rules import (
    BURST,
    PER_MEMBER_MAX,
    PER_SECOND,
    REMEMBERED_MAX,
    STRANGERS_MAX,
    STRANGERS_PER_ADDRESS_MAX,
    Admission,
)


def arrive(admission: Admission, address: str, now: float = 0.0, *, is_node: bool = False) -> bool:
    return admission.arrive(address, now, is_node=is_node)


def test_an_address_has_so_many_strangers_and_no_more() -> None:
    admission = Admission()
    taken = [arrive(admission, "10.0.0.1") for _ in range(STRANGERS_PER_ADDRESS_MAX + 5)]
    assert taken == [True] * STRANGERS_PER_ADDRESS_MAX + [False] * 5
    assert arrive(admission, "10.0.0.2")
    admission.leave("10.0.0.1", is_member=False)
    assert arrive(admission, "10.0.0.1")


def test_all_strangers_together_are_bounded_and_nodes_are_let_in_beside_them() -> None:
    admission = Admission()
    taken = sum(arrive(admission, f"10.0.{number}.1") for number in range(2 * STRANGERS_MAX))
    assert taken == STRANGERS_MAX
    assert arrive(admission, "10.9.0.1", is_node=True)


def test_a_node_may_have_many_and_not_endlessly_many() -> None:
    admission = Admission()
    for _ in range(PER_MEMBER_MAX):
        assert arrive(admission, "10.0.0.1", is_node=True)
        admission.recognise("10.0.0.1")
    assert not arrive(admission, "10.0.0.1", is_node=True)
    admission.leave("10.0.0.1", is_member=True)
    assert arrive(admission, "10.0.0.1", is_node=True)


def test_a_member_is_no_stranger_any_more() -> None:
    admission = Admission()
    for _ in range(2 * STRANGERS_PER_ADDRESS_MAX - 1):
        if arrive(admission, "10.0.0.1"):
            admission.recognise("10.0.0.1")
    assert admission.strangers == {}


def test_an_address_that_comes_and_goes_is_slowed_down() -> None:
    admission = Admission()

    def visits(now: float) -> int:
        taken = 0
        while arrive(admission, "10.0.0.1", now):
            admission.leave("10.0.0.1", is_member=False)
            taken += 1
        return taken

    assert visits(0.0) == BURST
    assert visits(1.0) == PER_SECOND
    assert visits(1.05) == 0
    assert visits(1000.0) == BURST


def test_what_is_remembered_is_bounded() -> None:
    admission = Admission()
    for number in range(3 * REMEMBERED_MAX):
        if arrive(admission, f"a{number}", number / 1000):
            admission.leave(f"a{number}", is_member=False)
    assert len(admission._paces) <= REMEMBERED_MAX
