"""Whom a certificate admits to what on the managers' port.

TLS has proved that the certificate is of this cluster's authority, in force, and its holder's. Here is decided what it
is worth now: a node may have been removed or demoted since, and no list of revoked certificates is kept, for the
managers know every node there is. Pure.
"""

from orchestrator.model.errors import Forbidden
from orchestrator.model.node import NodeRole, NodeState
from orchestrator.state.cluster_state import ClusterState

STRANGERS_PATHS = ("/ca", "/join")
MEMBERS_PATHS = ("/session", "/renew", "/leave")
"""What any node asks; all else is for managers."""
LEADERS_PATHS = (*MEMBERS_PATHS, "/raft")
"""What the leader alone answers: the others, whose replicas may lag, only name it."""
MANAGERS_ONLY = "this takes a manager's certificate"


def check_role(role: NodeRole, path: str) -> None:
    """Raise `Forbidden` unless a certificate of that role is good for the path."""
    if role is not NodeRole.MANAGER and path not in MEMBERS_PATHS:
        raise Forbidden(MANAGERS_ONLY)


def check_membership(state: ClusterState, node_id: str, path: str) -> None:
    """Raise `Forbidden` unless the node is a member now, and for what is the managers' is to be one of them."""
    node = state.nodes.get(node_id)
    # One that has left may ask again to be let go, for it may have missed the answer.
    has_left = node is not None and node.is_leaving and node.state is NodeState.DOWN and path != "/leave"
    if node is None or has_left:
        raise Forbidden(f"node {node_id} is not a member of this swarm")
    if path not in MEMBERS_PATHS and node.certified_role is not NodeRole.MANAGER:
        raise Forbidden(MANAGERS_ONLY)
