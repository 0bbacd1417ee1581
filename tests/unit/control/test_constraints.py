"""Placement constraints, with swarmkit's keys and words."""

import pytest

from orchestrator.control.constraints import Constraint, node_matches, node_suits, parse_constraint, parse_constraints
from orchestrator.model.errors import BadConstraint, InvalidArgument
from orchestrator.model.node import NodeRole
from tests.builders import a_node

NODE = a_node(
    "abc",
    role=NodeRole.MANAGER,
    labels={"zone": "East", "disk": "ssd"},
    engine_labels={"gpu": "none"},
    address="10.2.3.4",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node.id==abc", True),
        ("node.id == ABC", True),
        ("node.id!=abc", False),
        ("node.hostname==host-abc", True),
        ("node.role==manager", True),
        ("node.role!=worker", True),
        ("node.platform.os==linux", True),
        ("node.platform.arch==x86_64", True),
        ("node.platform.arch==aarch64", False),
        ("node.ip==10.2.3.4", True),
        ("node.ip==10.2.0.0/16", True),
        ("node.ip!=10.2.0.0/16", False),
        ("node.ip==10.3.0.0/16", False),
        ("node.ip==elsewhere", False),
        ("node.labels.zone==east", True),
        ("node.labels.zone!=west", True),
        ("node.labels.missing==x", False),
        ("node.labels.missing!=x", True),
        ("engine.labels.gpu==none", True),
        ("node.colour==red", False),
    ],
)
def test_match(text: str, expected: bool) -> None:
    assert node_matches(NODE, [text]) is expected


def test_all_must_hold() -> None:
    assert node_matches(NODE, ["node.labels.zone==east", "node.labels.disk==ssd"])
    assert not node_matches(NODE, ["node.labels.zone==east", "node.labels.disk==hdd"])


def test_parse() -> None:
    assert parse_constraint(" node.role != manager ") == Constraint("node.role", False, "manager")
    assert parse_constraints(()) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("node.role", "constraint expected one operator from ==, !="),
        ("node.role=manager", "constraint expected one operator from ==, !="),
        ("node.role==", "value '' is invalid"),
        ("1node==x", "key '1node' is invalid"),
        ("no de==x", "key 'no de' is invalid"),
        ("node.role==m%r", "value 'm%r' is invalid"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(BadConstraint) as refusal:
        parse_constraint(text)
    assert str(refusal.value) == message
    assert isinstance(refusal.value, InvalidArgument)


def test_a_node_that_is_gone_suits_no_task() -> None:
    from tests.builders import Scene, a_spec, a_task_running

    scene = Scene([a_node("n1")])
    scene.create(a_spec())
    assert not node_suits(None, a_task_running(scene, "web-id", "n1").spec)
