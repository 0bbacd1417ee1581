from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.state.table import Table
from orchestrator.state.touched import Touched


@dataclass(frozen=True)
class Lamp:
    id: str
    room: str = ""
    lit: bool = False


def lamps() -> Table[Lamp]:
    return Table(room=lambda lamp: (lamp.room,) if lamp.room else (), case=lambda lamp: ("lit",) if lamp.lit else ())


def test_an_index_follows_what_is_replaced_and_taken_out() -> None:
    table = lamps()
    hall, attic = Lamp("a", "hall"), Lamp("b", "attic", lit=True)
    for lamp in (hall, attic):
        assert table.replace(lamp.id, lamp) is None
    assert table.under("case", "lit") == [attic]
    assert table.replace("a", replace(hall, lit=True, room="attic")) == hall
    assert list(table.ids("case", "lit")) == ["b", "a"]
    assert list(table.keys("room")) == ["attic"]
    assert table.replace("b", None) == attic
    assert list(table.ids("room", "attic")) == ["a"]
    assert list(table.ids("room", "hall")) == []


def test_a_copy_goes_its_own_way() -> None:
    table = lamps()
    table.replace("a", Lamp("a", "hall"))
    copy = table.copy()
    copy.replace("b", Lamp("b", "hall"))
    assert list(table.ids("room", "hall")) == list(table.items) == ["a"]
    assert list(copy.ids("room", "hall")) == list(copy.items) == ["a", "b"]


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.none() | st.builds(Lamp, st.just(""), st.sampled_from(["", "x", "y"]), st.booleans())
    )
)


@given(_CHANGES, _CHANGES)
def test_replaced_once_more_with_what_was_there_all_is_as_before(
    first: list[tuple[str, Lamp | None]], then: list[tuple[str, Lamp | None]]
) -> None:
    table = lamps()
    _apply(table, first)
    before = contents(table)
    undo = _apply(table, then)
    for item_id, was in reversed(undo):
        table.replace(item_id, was)
    assert contents(table) == before


def _apply(table: Table[Lamp], changes: list[tuple[str, Lamp | None]]) -> list[tuple[str, Lamp | None]]:
    return [(item_id, table.replace(item_id, lamp and replace(lamp, id=item_id))) for item_id, lamp in changes]


def contents(table: Table[Lamp]) -> object:
    indexes = {name: {key: set(table.ids(name, key)) for key in table.keys(name)} for name in ("room", "case")}
    assert indexes["case"] == ({"lit": lit} if (lit := {i for i, lamp in table.items.items() if lamp.lit}) else {})
    return dict(table.items), indexes


def test_what_was_touched_since_comes_latest_first() -> None:
    touched = Touched()
    for writes, item_id in enumerate(["a", "b", "a", "c"], start=1):
        touched.mark(item_id, writes)
    assert list(touched.since(1)) == ["c", "a", "b"]
    assert list(touched.since(2)) == ["c", "a"]
    copy = touched.copy()
    touched.forget("c")
    assert list(touched.since(0)) == ["a", "b"]
    assert list(copy.since(3)) == ["c"]
