"""Ends the rotation of the root certificate when every node has a certificate of the new one.

A node that is down holds it up until it is back or removed, as in swarm mode: it would not be let in any more. One that
has left for good does not. Follows swarmkit's `ca/reconciler.go`; what nodes are to do is in their assignments.
"""

from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.model.node import Node, NodeState
from orchestrator.state.actions import FinishRootRotation


def reconcile(situation: Situation) -> Plan:
    """Nothing, or the end of the rotation with new join tokens."""
    cluster = situation.state.cluster
    if cluster is None or cluster.rotation is None:
        return NOTHING
    rotation = cluster.rotation
    staying = [node for node in situation.state.nodes.values() if not _has_left(node)]
    if any(node.description.trust.issuer_public_key != rotation.issuer_public_key for node in staying):
        return NOTHING
    # An id is as random and as long as a token's secret.
    worker, manager = (f"SWMTKN-1-{rotation.digest}-{situation.new_id()}" for _ in range(2))
    return Plan((FinishRootRotation(rotation.ca_certificate, worker, manager),))


def _has_left(node: Node) -> bool:
    return node.is_leaving and node.state is NodeState.DOWN
