"""What each node drops under a fault, and which manager is asked while one is in force."""

from __future__ import annotations

import pytest

from pytest_swarm.faults_rules import Cut, drop_cuts, partition_cuts, rule_set, usable_managers

ADDRESSES = {"n1": "10.0.0.2", "n2": "10.0.0.3", "n3": "10.0.0.4", "n4": "10.0.0.5"}
MANAGERS = ["n1", "n2", "n3"]
NO_TABLE = "table inet swarm_faults { }\ndelete table inet swarm_faults"


def _rules(node: str, *cuts: Cut) -> list[str]:
    return [line for line in rule_set(node, cuts, ADDRESSES).splitlines() if line.startswith("ip ")]


def test_a_partition_is_dropped_where_it_arrives() -> None:
    cuts = partition_cuts(["n1"], ["n2", "n3"], one_way=False)

    assert _rules("n1", *cuts) == ["ip saddr 10.0.0.3 drop", "ip saddr 10.0.0.4 drop"]
    assert _rules("n2", *cuts) == _rules("n3", *cuts) == ["ip saddr 10.0.0.2 drop"]


def test_a_one_way_partition_lets_the_other_way_pass() -> None:
    (cut,) = partition_cuts(["n1"], ["n2"], one_way=True)

    assert _rules("n2", cut) == ["ip saddr 10.0.0.2 drop"]
    assert rule_set("n1", [cut], ADDRESSES) == NO_TABLE


def test_whom_no_cut_concerns_has_no_table() -> None:
    assert rule_set("n4", partition_cuts(["n1"], ["n2"], one_way=False), ADDRESSES) == NO_TABLE
    assert rule_set("n1", [], ADDRESSES) == NO_TABLE


def test_packets_are_dropped_by_chance() -> None:
    cuts = drop_cuts(12.5, ["n1"], ["n2"])

    assert _rules("n1", *cuts) == ["ip saddr 10.0.0.3 numgen random mod 1000000 < 125000 drop"]
    assert _rules("n2", *cuts) == ["ip saddr 10.0.0.2 numgen random mod 1000000 < 125000 drop"]


@pytest.mark.parametrize(("a", "b", "reason"), [([], ["n1"], "needs a node"), (["n1"], ["n2", "n1"], "n1 cannot be")])
def test_sides_that_make_no_sense_are_refused(a: list[str], b: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        partition_cuts(a, b, one_way=False)


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.5])
def test_an_impossible_share_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="cannot be dropped"):
        drop_cuts(percent, ["n1"], ["n2"])


def test_the_majority_is_asked_first() -> None:
    cuts = partition_cuts(["n1"], ["n2", "n3", "n4"], one_way=False)

    assert usable_managers(MANAGERS, [], cuts) == ["n2", "n3", "n1"]


def test_a_bridge_reaches_both_sides_and_is_asked_first() -> None:
    cuts = partition_cuts(["n1"], ["n3"], one_way=False)

    assert usable_managers(MANAGERS, [], cuts) == ["n2", "n1", "n3"]


def test_what_is_down_is_not_asked() -> None:
    assert usable_managers(MANAGERS, ["n1"], []) == ["n2", "n3"]


def test_a_lossy_line_still_is_one() -> None:
    assert usable_managers(MANAGERS, [], drop_cuts(30.0, ["n1"], ["n2", "n3"])) == MANAGERS


def test_with_all_down_the_first_tells_why() -> None:
    assert usable_managers(MANAGERS, MANAGERS, []) == MANAGERS
