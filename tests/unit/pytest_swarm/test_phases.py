"""Every moment of a run lies in exactly one phase."""

from __future__ import annotations

import math

import pytest

from pytest_swarm.phases import (
    Operation,
    Replacement,
    images_in_service,
    phase_at,
    slots_replaced_at,
    split_into_phases,
)


def test_a_run_without_operations_is_steady() -> None:
    assert [phase.name for phase in split_into_phases(0.0, 5.0, [])] == ["steady"]


def test_operations_cut_a_run() -> None:
    up, down = Operation("scale 3 to 6", 1.0, 2.0), Operation("scale 6 to 2", 3.0, 4.0)
    phases = split_into_phases(0.0, 5.0, [down, up])

    assert [(phase.name, phase.started, phase.finished) for phase in phases] == [
        ("before", 0.0, 1.0),
        ("scale 3 to 6", 1.0, 2.0),
        ("between scale 3 to 6 and scale 6 to 2", 2.0, 3.0),
        ("scale 6 to 2", 3.0, 4.0),
        ("after", 4.0, 5.0),
    ]


def test_a_moment_outside_the_run_belongs_to_its_edge() -> None:
    phases = split_into_phases(1.0, 5.0, [Operation("update", 2.0, 3.0)])

    assert [phase_at(phases, moment).name for moment in (0.0, 2.0, 3.0, 9.0)] == ["before", "update", "after", "after"]


def test_slots_are_named_while_they_are_replaced() -> None:
    update = Operation("update", 0.0, 9.0, (Replacement("slot 1", 1.0, 2.0), Replacement("slot 2", 2.0, 3.0)))
    phase = split_into_phases(0.0, 9.0, [update])[1]

    assert slots_replaced_at(phase, 2.0) == ["slot 1", "slot 2"]
    assert slots_replaced_at(phase, 5.0) == []


def _fault(name: str, started: float, finished: float = math.inf) -> Operation:
    return Operation(name, started, finished, is_fault=True)


def test_a_fault_during_an_update_is_a_phase_of_its_own() -> None:
    phases = split_into_phases(0.0, 9.0, [Operation("update", 2.0, 8.0), _fault("n2 killed", 4.0, 6.0)])

    assert [(phase.name, phase.started, phase.finished) for phase in phases] == [
        ("before", 0.0, 2.0),
        ("update", 2.0, 4.0),
        ("update + n2 killed", 4.0, 6.0),
        ("update", 6.0, 8.0),
        ("after", 8.0, 9.0),
    ]


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (_fault("cut", 3.0), ["before", "cut"]),
        (_fault("cut", -1.0, 3.0), ["cut", "after"]),
        (_fault("cut", -1.0), ["cut"]),
        (_fault("cut", 9.5), ["steady"]),
    ],
)
def test_a_fault_may_outlast_the_run(fault: Operation, names: list[str]) -> None:
    phases = split_into_phases(0.0, 9.0, [fault])

    assert [phase.name for phase in phases] == names
    assert (phases[0].started, phases[-1].finished) == (0.0, 9.0)


def test_an_update_that_outlasts_the_run_leaves_an_empty_phase_after_it() -> None:
    phases = split_into_phases(0.0, 9.0, [Operation("update", 2.0, 12.0)])

    assert [(phase.name, phase.started, phase.finished) for phase in phases] == [
        ("before", 0.0, 2.0),
        ("update", 2.0, 9.0),
        ("update", 9.0, 12.0),
        ("after", 12.0, 12.0),
    ]


def test_slots_are_named_while_a_fault_is_in_force_too() -> None:
    update = Operation("update", 1.0, 9.0, (Replacement("slot 1", 2.0, 6.0),))
    phases = split_into_phases(0.0, 10.0, [update, _fault("n1 paused", 3.0)])

    assert slots_replaced_at(phase_at(phases, 4.0), 4.0) == ["slot 1"]


def test_an_image_that_never_came_up_answered_nobody() -> None:
    changes = [
        Operation("update", 0.0, 1.0, images=("web:1", "web:2")),
        Operation("failed update", 2.0, 3.0, images=("web:2", "nowhere:1"), has_failed=True),
        Operation("scale 3 to 6", 3.5, 3.8),
        Operation("update", 4.0, 5.0, images=("nowhere:1", "web:3")),
    ]
    assert images_in_service(changes) == {"web:1", "web:2", "web:3"}
    assert images_in_service(changes[1:3]) == set()
