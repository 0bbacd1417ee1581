"""When a manager may leave, and in which words it may not."""

import pytest

from orchestrator.control.cluster_rules import leave_refusal
from orchestrator.model.node import Node, NodeDescription, NodeRole, NodeSpec, Reachability


def managers(*reachable: bool) -> list[Node]:
    return [
        Node(
            str(number),
            NodeSpec(NodeRole.MANAGER),
            NodeDescription("n"),
            "127.0.0.1",
            reachability=Reachability.REACHABLE if seen else Reachability.UNREACHABLE,
        )
        for number, seen in enumerate(reachable)
    ]


@pytest.mark.parametrize(
    ("nodes", "part"),
    [
        (None, "Doing so may lose the consensus of your cluster."),
        (managers(True), "Removing the last manager erases all current state of the swarm."),
        (managers(True, True), "Removing this node leaves 1 managers out of 2."),
        (managers(True, True, False), "Removing this node leaves 1 managers out of 3."),
        (managers(True, True, True), "as a manager. The only way to restore a swarm"),
    ],
)
def test_leave(nodes: list[Node] | None, part: str) -> None:
    assert part in leave_refusal(nodes)
