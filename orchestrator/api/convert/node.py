"""A node between Docker's JSON and the model."""

from orchestrator.api.convert.certificate import trust_to_wire
from orchestrator.api.convert.resources import resources_to_wire
from orchestrator.api.convert.units import labels, timestamp
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import node as wire
from orchestrator.api.wire.common import Platform, Version
from orchestrator.model.node import Availability, Node, NodeDescription, NodeRole, NodeSpec


def spec_from_wire(spec: wire.NodeSpec) -> NodeSpec:
    """A node spec. Raises `BadRequest`."""
    try:
        role = NodeRole(spec.role.lower())
    except ValueError as error:
        raise BadRequest(f'invalid Role: "{spec.role}"') from error
    try:
        availability = Availability(spec.availability.lower())
    except ValueError as error:
        raise BadRequest(f'invalid Availability: "{spec.availability}"') from error
    return NodeSpec(role=role, availability=availability, labels=labels(spec.labels), name=spec.name)


def node_to_wire(node: Node, leader_node_id: str | None) -> wire.Node:
    """A node; managers show their part in the consensus."""
    return wire.Node(
        id=node.id,
        version=Version(index=node.version),
        created_at=timestamp(node.created_at),
        updated_at=timestamp(node.updated_at),
        spec=wire.NodeSpec(
            name=node.spec.name,
            labels=dict(node.spec.labels),
            role=node.spec.role.value,
            availability=node.spec.availability.value,
        ),
        description=_description_to_wire(node.description),
        status=wire.NodeStatus(state=node.state.value, message=node.message, addr=node.address),
        manager_status=_manager_status(node, leader_node_id),
    )


def _description_to_wire(description: NodeDescription) -> wire.NodeDescription:
    return wire.NodeDescription(
        hostname=description.hostname,
        platform=Platform(architecture=description.architecture, os=description.os),
        resources=resources_to_wire(description.resources),
        engine=wire.EngineDescription(
            engine_version=description.engine_version,
            labels=dict(description.engine_labels),
            plugins=tuple(wire.PluginDescription(type=kind, name=name) for kind, name in description.plugins),
        ),
        tls_info=trust_to_wire(description.trust),
    )


def _manager_status(node: Node, leader_node_id: str | None) -> wire.ManagerStatus | None:
    if node.role is not NodeRole.MANAGER:
        return None
    return wire.ManagerStatus(
        leader=node.id == leader_node_id,
        reachability=node.reachability.value,
        addr=node.management_address,
    )
