"""Placement constraints: `node.labels.zone==east` and the like, parsed and matched.

Grammar, keys and error texts follow swarmkit's `manager/constraint/constraint.go`.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.model.errors import BadConstraint
from orchestrator.model.labels import Labels
from orchestrator.model.node import Node, NodeState
from orchestrator.model.service import TaskSpec

_KEY = re.compile(r"[a-z_][a-z0-9\-_.]+", re.IGNORECASE)
_VALUE = re.compile(r"[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+", re.IGNORECASE)

NODE_LABEL = "node.labels."
ENGINE_LABEL = "engine.labels."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One parsed constraint; `equal` is False for `!=`."""

    key: str
    equal: bool
    value: str


def parse_constraint(text: str) -> Constraint:
    """One constraint. Raises `BadConstraint` with swarmkit's words."""
    for operator in ("==", "!="):
        key, found, value = text.partition(operator)
        if not found:
            continue
        key, value = key.strip(), value.strip()
        if not _KEY.fullmatch(key):
            raise BadConstraint(f"key '{key}' is invalid")
        if not _VALUE.fullmatch(value):
            raise BadConstraint(f"value '{value}' is invalid")
        return Constraint(key, operator == "==", value)
    raise BadConstraint("constraint expected one operator from ==, !=")


def parse_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """All constraints of a placement. Raises `BadConstraint` on the first that is wrong."""
    return tuple(parse_constraint(text) for text in texts)


def node_matches(node: Node, texts: Sequence[str]) -> bool:
    """Whether the node meets all constraints; one with an unknown key is met by none, as in swarm mode."""
    return all(_matches(node, constraint) for constraint in parse_constraints(texts))


def node_suits(node: Node | None, spec: TaskSpec) -> bool:
    """Whether a task of that spec on the node may stay: the node is there, not drained, and matches."""
    if node is None or node.sheds_tasks:
        return False
    return spec.placement is None or node_matches(node, spec.placement.constraints)


def node_can_run(node: Node | None, spec: TaskSpec) -> bool:
    """Whether a task of that spec on the node may stay and can run: the node suits it and is not down."""
    return node is not None and node.state is not NodeState.DOWN and node_suits(node, spec)


def _matches(node: Node, constraint: Constraint) -> bool:
    key = constraint.key.lower()
    if key == "node.ip":
        return _matches_address(node.address, constraint)
    if key.startswith(NODE_LABEL):
        return _compare(_label(node.spec.labels, constraint.key[len(NODE_LABEL) :]), constraint)
    if key.startswith(ENGINE_LABEL):
        return _compare(_label(node.description.engine_labels, constraint.key[len(ENGINE_LABEL) :]), constraint)
    facts = {
        "node.id": node.id,
        "node.hostname": node.description.hostname,
        "node.role": node.role.value,
        "node.platform.os": node.description.os,
        "node.platform.arch": node.description.architecture,
    }
    return key in facts and _compare(facts[key], constraint)


def _compare(fact: str, constraint: Constraint) -> bool:
    return (fact.lower() == constraint.value.lower()) is constraint.equal


def _label(labels: Labels, name: str) -> str:
    return dict(labels).get(name, "")


def _matches_address(address: str, constraint: Constraint) -> bool:
    try:
        inside = ipaddress.ip_address(address) in ipaddress.ip_network(constraint.value, strict=False)
    except ValueError:
        # Not an address: swarmkit refuses the node whatever the operator.
        return False
    return inside is constraint.equal
