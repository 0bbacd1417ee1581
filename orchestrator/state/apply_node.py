"""What actions on nodes do to the state."""

from dataclasses import replace
from ipaddress import ip_address

from orchestrator.model.errors import FailedPrecondition, OutOfSequence
from orchestrator.model.node import Node, NodeRole, NodeState, Reachability
from orchestrator.model.subnets import subnet_of
from orchestrator.state import actions as act
from orchestrator.state.change import Change


def _without_network(node: Node, network_id: str) -> Node:
    return replace(
        node,
        gateways=tuple(pair for pair in node.gateways if pair[0] != network_id),
        attachment_ranges=tuple(pair for pair in node.attachment_ranges if pair[0] != network_id),
    )


def _put(change: Change, node: Node) -> None:
    change.state.put_node(replace(node, version=change.index, updated_at=change.at))


def add_node(change: Change, action: act.AddNode) -> None:
    """Admit a node; one that is a member already stays as it is, for it only asked twice."""
    if action.node.id in change.state.nodes:
        return
    _put(change, replace(action.node, created_at=change.at))
    change.touch_network()


def update_node_spec(change: Change, action: act.UpdateNodeSpec) -> None:
    """Change what the operator wants of a node."""
    node = change.state.node(action.node_id)
    if node.version != action.version:
        raise OutOfSequence
    demoted = node.spec.role is NodeRole.MANAGER and action.spec.role is NodeRole.WORKER
    if demoted and sum(other.spec.role is NodeRole.MANAGER for other in change.state.nodes.values()) == 1:
        raise FailedPrecondition("attempting to demote the last manager of the swarm")
    _put(change, replace(node, spec=action.spec))


def describe_node(change: Change, action: act.DescribeNode) -> None:
    """Take over what a registering node says of itself."""
    node = change.state.node(action.node_id)
    if node.description == action.description and node.address == action.address:
        return
    if node.address != action.address:
        change.touch_network()
    _put(change, replace(node, description=action.description, address=action.address))


def set_node_state(change: Change, action: act.SetNodeState) -> None:
    """Record liveness' verdict."""
    node = change.state.node(action.node_id)
    if node.state is not action.state and NodeState.READY in (node.state, action.state):
        # Its tasks' endpoints join or leave the balancers with it.
        change.touch_network()
    _put(change, replace(node, state=action.state, message=action.message))


def set_node_role(change: Change, action: act.SetNodeRole) -> None:
    """Record the role a node has taken on."""
    node = change.state.node(action.node_id)
    reachability = Reachability.REACHABLE if action.role is NodeRole.MANAGER else Reachability.UNKNOWN
    _put(change, replace(node, role=action.role, reachability=reachability))


def set_reachability(change: Change, action: act.SetReachability) -> None:
    """Record whether a manager is seen by its peers."""
    node = change.state.node(action.node_id)
    _put(change, replace(node, reachability=action.reachability))


def begin_leaving(change: Change, action: act.BeginLeaving) -> None:
    """Note that the node leaves; one that was a manager by wish is one no longer. The last manager stays."""
    node = change.state.node(action.node_id)
    if node.is_leaving:
        return
    managers = [other for other in change.state.nodes.values() if other.spec.role is NodeRole.MANAGER]
    if node.role is NodeRole.MANAGER and not any(other.id != node.id for other in managers):
        raise FailedPrecondition("attempting to demote the last manager of the swarm")
    _put(change, replace(node, is_leaving=True, spec=replace(node.spec, role=NodeRole.WORKER)))


def set_node_gateway(change: Change, action: act.SetNodeGateway) -> None:
    """Give the node's bridge its address on a network."""
    node = change.state.node(action.node_id)
    network = change.state.network(action.network_id)
    bare = _without_network(node, action.network_id)
    ranges = ((action.network_id, action.attachment_range),) if action.attachment_range else ()
    gateways = (*bare.gateways, (action.network_id, action.address))
    _put(change, replace(bare, gateways=gateways, attachment_ranges=(*bare.attachment_ranges, *ranges)))
    if not network.address_range or ip_address(action.address) in subnet_of(network.address_range):
        change.state.put_network(replace(network, last_address=action.address))
    change.touch_network()


def remove_node_gateway(change: Change, action: act.RemoveNodeGateway) -> None:
    """Free the node's addresses on a network it carries no more."""
    _put(change, _without_network(change.state.node(action.node_id), action.network_id))
    change.touch_network()


def remove_node(change: Change, action: act.RemoveNode) -> None:
    """Forget a node; a live one only by force, a manager never."""
    node = change.state.node(action.node_id)
    if node.role is NodeRole.MANAGER:
        raise FailedPrecondition(
            f"node {node.id} is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal"
        )
    if node.is_ready and not action.force:
        raise FailedPrecondition(f"node {node.id} is not down and can't be removed")
    change.state.delete_node(node.id)
    change.touch_network()
