"""The checker finds what is planted, and nothing else."""

from random import Random
from typing import Any

import pytest

from tests.consistency.checker import Verdict, check, two_leaders
from tests.consistency.history import NEVER, Action, Operation, Outcome, Refusal, tally


class Script:
    """A history, written line by line; each operation takes one second and they do not overlap unless told to."""

    def __init__(self) -> None:
        self.history: list[Operation] = []

    def add(self, action: Action, outcome: Outcome = Outcome.OK, **fields: Any) -> "Script":
        start = float(fields.pop("at", 2 * len(self.history)))
        end = NEVER if outcome is Outcome.INFO else start + float(fields.pop("takes", 1.0))
        self.history.append(Operation("c", "config x", action, start, end, outcome, **fields))
        return self

    def create(self, value: str, outcome: Outcome = Outcome.OK, **fields: Any) -> "Script":
        return self.add(Action.CREATE, outcome, value=value, **fields)

    def read(self, value: str | None, **fields: Any) -> "Script":
        return self.add(Action.READ, value=value, **fields)

    def update(self, expected: str, value: str, outcome: Outcome = Outcome.OK, **fields: Any) -> "Script":
        return self.add(Action.UPDATE, outcome, value=value, expected=expected, **fields)

    def remove(self, outcome: Outcome = Outcome.OK, **fields: Any) -> "Script":
        return self.add(Action.REMOVE, outcome, **fields)

    def verdict(self, *, versions_are_clients: bool = True) -> Verdict:
        findings = check(self.history, versions_are_clients=lambda key: versions_are_clients)
        return findings[0].verdict if findings else Verdict.VALID


VALID = {
    "nothing happened": Script(),
    "a life": Script().read(None).create("a").read("a").update("a", "b").read("b").remove().read(None).create("c"),
    "two writers, one refused": Script()
    .create("a")
    .update("a", "b")
    .update("a", "c", Outcome.FAIL, refusal=Refusal.STALE)
    .read("b"),
    "a read while it is written may see either": Script()
    .create("a")
    .update("a", "b", at=2.0, takes=5.0)
    .read("b", at=3.0)
    .read("b", at=5.0),
    "an uncertain write that took effect": Script().create("a").update("a", "b", Outcome.INFO).read("b"),
    "an uncertain write that did not": Script().create("a").update("a", "b", Outcome.INFO).read("a").remove(),
    "an uncertain write that took effect late": Script()
    .create("a")
    .update("a", "b", Outcome.INFO)
    .read("a")
    .read("a")
    .read("b"),
    "an uncertain removal, then another creation": Script().create("a").remove(Outcome.INFO).read("a").create("b"),
    "a refused removal": Script().remove(Outcome.FAIL, refusal=Refusal.ABSENT).create("a").read("a"),
    "what was never served tells nothing": Script()
    .create("a")
    .create("b", Outcome.FAIL, refusal=Refusal.NOT_SERVED)
    .read("a"),
    "versions grow": Script().create("a").read("a", version=4).update("a", "b", version=4).read("b", version=7),
}

BROKEN = {
    "a lost write": (Script().create("a").update("a", "b").read("a", is_final=True), Verdict.BROKEN),
    "a lost creation": (Script().create("a").read(None, is_final=True), Verdict.BROKEN),
    "a removal undone": (Script().create("a").remove().read("a", is_final=True), Verdict.BROKEN),
    "a write nobody asked for": (Script().create("a").read("z", is_final=True), Verdict.BROKEN),
    "split brain: both updates of one version accepted": (
        Script().create("a").update("a", "b", at=2.0).update("a", "c", at=2.1).read("c"),
        Verdict.BROKEN,
    ),
    "one name created twice, both acknowledged": (
        Script().create("a", at=0.0).create("b", at=0.1).read("a"),
        Verdict.BROKEN,
    ),
    "removed twice, both acknowledged": (Script().create("a").remove(at=2.0).remove(at=2.1), Verdict.BROKEN),
    "its own removal answered with not found": (
        Script().create("a").remove(Outcome.FAIL, refusal=Refusal.ABSENT).read(None, is_final=True),
        Verdict.BROKEN,
    ),
    "an uncertain write that came and went": (
        Script().create("a").update("a", "b", Outcome.INFO).read("b").read("a", is_final=True),
        Verdict.WRONG_ANSWER,
    ),
    "a stale version wins": (
        Script().create("a").update("a", "b").update("b", "c").update("a", "d").read("d"),
        Verdict.BROKEN,
    ),
    "a stale read": (Script().create("a").update("a", "b").read("a").read("b"), Verdict.WRONG_ANSWER),
    "a stale not found": (Script().create("a").read(None).read("a"), Verdict.WRONG_ANSWER),
    "a stale read beside an uncertain removal": (
        Script().remove(Outcome.INFO).create("a").read(None).read("a").update("a", "b").read("b"),
        Verdict.WRONG_ANSWER,
    ),
    "an update refused as stale that was not": (
        Script().create("a").update("a", "b", Outcome.FAIL, refusal=Refusal.STALE).read("a"),
        Verdict.WRONG_ANSWER,
    ),
    "a version going back": (
        Script().create("a").read("a", version=7).read("a", version=4),
        Verdict.VERSION_WENT_BACK,
    ),
    "a version kept over an update": (
        Script().create("a").read("a", version=4).update("a", "b", version=4).read("b", version=4),
        Verdict.VERSION_WENT_BACK,
    ),
}


@pytest.mark.parametrize("name", VALID)
def test_what_can_be_explained_is_valid(name: str) -> None:
    assert VALID[name].verdict() is Verdict.VALID


@pytest.mark.parametrize("name", BROKEN)
def test_planted_violations_are_found(name: str) -> None:
    script, verdict = BROKEN[name]
    assert script.verdict() is verdict


def test_the_cluster_itself_may_make_a_version_stale() -> None:
    script = Script().create("a").update("a", "b", Outcome.FAIL, refusal=Refusal.STALE).read("a")
    assert script.verdict(versions_are_clients=False) is Verdict.VALID


def test_a_finding_names_the_stale_answer_and_what_was_around() -> None:
    history = Script().create("a").update("a", "b").read("a", note="from n2").read("b").history
    (finding,) = check(history)
    assert [operation.note for operation in finding.culprits] == ["from n2"]
    text = str(finding)
    assert text.startswith("config x: wrong answer\n")
    assert '! 4.000-5.000 c read config x: ok saw a "from n2"' in text


def test_objects_are_judged_one_by_one() -> None:
    good = Script().create("a").read("a").history
    bad = [Operation("c", "config y", o.action, o.invoked, o.completed, o.outcome, "a") for o in good]
    bad.append(Operation("c", "config y", Action.READ, 9.0, 10.0, Outcome.OK, is_final=True))
    assert [finding.key for finding in check([*bad, *good])] == ["config y"]


def test_a_search_that_is_given_up_is_not_called_valid() -> None:
    script = Script().create("a")
    for number in range(8):
        script.update("a", f"b{number}", at=2.0, takes=50.0)
    (finding,) = check(script.history, limit=3)
    assert finding.verdict is Verdict.UNKNOWN


def test_an_object_that_was_there_before() -> None:
    history = Script().update("first", "a").read("a").history
    assert check(history, initial=lambda key: "first") == []
    assert check(history) != []


def test_two_leaders_in_a_term() -> None:
    assert two_leaders([(1, "n1"), (2, "n2"), (2, "n2"), (3, "n1"), (3, "n3")]) == {3: ["n1", "n3"]}


def test_outcomes_are_counted() -> None:
    history = Script().create("a").remove(Outcome.INFO).read(None).history
    assert tally(history) == {Outcome.OK: 2, Outcome.FAIL: 0, Outcome.INFO: 1}


@pytest.mark.parametrize("seed", range(15))
def test_histories_of_one_real_register_are_valid_and_a_swapped_answer_is_not(seed: int) -> None:
    """Operations take effect at a moment between invocation and completion, in that order, on one true register."""
    dice = Random(seed)
    history = true_history(dice)
    assert check(history) == []
    reads = [number for number, o in enumerate(history) if o.action is Action.READ and o.value is not None]
    wrong = list(history)
    wrong[reads[-1]] = Operation("c", "config x", Action.READ, 1e6, 1e6 + 1, Outcome.OK, "never written")
    assert check(wrong) != []


def true_history(dice: Random, operations: int = 80, at_once: float = 4.0) -> list[Operation]:
    moments = sorted(dice.uniform(0, operations / at_once) for _ in range(operations))
    state: str | None = None
    history = []
    for number, moment in enumerate(moments):
        start, end = moment - dice.uniform(0, 1), moment + dice.uniform(0, 1)
        action = dice.choice([Action.READ, Action.READ, Action.CREATE, Action.UPDATE, Action.UPDATE, Action.REMOVE])
        lost = action is not Action.READ and dice.random() < 0.15
        expected = state if dice.random() < 0.8 else f"v{dice.randrange(operations)}"
        value: str | None = f"v{number}"
        outcome, refusal = Outcome.OK, None
        if action is Action.READ:
            value = state
        elif action is Action.CREATE:
            refusal = None if state is None else Refusal.EXISTS
        elif state is None:
            refusal = Refusal.ABSENT
        elif action is Action.UPDATE and expected != state:
            refusal = Refusal.STALE
        happens = refusal is None and not (lost and dice.random() < 0.5)
        if happens and action in (Action.CREATE, Action.UPDATE):
            state = value
        elif happens and action is Action.REMOVE:
            state = None
        if refusal is not None:
            outcome = Outcome.FAIL
        if lost:
            outcome, refusal, end = Outcome.INFO, None, NEVER
        uses_expected = expected if action is Action.UPDATE else None
        history.append(Operation("c", "config x", action, start, end, outcome, value, uses_expected, refusal=refusal))
    return history
