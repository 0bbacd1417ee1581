"""A task in Docker's JSON."""

import ipaddress

from orchestrator.api.convert.network import network_to_wire
from orchestrator.api.convert.resources import claims_to_wire
from orchestrator.api.convert.task_template import template_to_wire
from orchestrator.api.convert.units import timestamp
from orchestrator.api.wire import task as wire
from orchestrator.api.wire.common import PortConfig, Version
from orchestrator.model.service import PublishMode
from orchestrator.model.task import NetworkAttachment, Task, TaskState, TaskStatus
from orchestrator.state.cluster_state import ClusterState


def task_to_wire(task: Task, state: ClusterState) -> wire.Task:
    """A task with the networks it is attached to, which are looked up in `state`."""
    return wire.Task(
        id=task.id,
        version=Version(index=task.version),
        created_at=timestamp(task.created_at),
        updated_at=timestamp(task.updated_at),
        labels={},
        spec=template_to_wire(task.spec, of_service=False),
        service_id=task.service_id,
        slot=_slot_to_wire(task),
        node_id=task.node_id,
        status=_status_to_wire(task),
        desired_state=state_name(task.desired_state),
        assigned_generic_resources=claims_to_wire(task.claims),
        networks_attachments=tuple(
            _attachment_to_wire(attachment, state)
            for attachment in task.attachments
            if attachment.network_id in state.networks
        ),
        job_iteration=None if task.job_iteration is None else Version(index=task.job_iteration),
    )


def _slot_to_wire(task: Task) -> int:
    """Swarm mode counts the slots of services from 1, those of jobs from 0: the CLI's progress adds 1 to them."""
    return task.slot if task.job_iteration is None else max(task.slot - 1, 0)


def state_name(state: TaskState) -> str:
    """A task state as Docker writes it."""
    return state.name.lower()


def _status_to_wire(task: Task) -> wire.TaskStatus:
    status = task.status
    return wire.TaskStatus(
        timestamp=timestamp(status.at or task.created_at),
        state=state_name(status.state),
        message=status.message,
        err=_error(task),
        container_status=_container_status(status),
        port_status=wire.PortStatus(
            ports=tuple(
                PortConfig(
                    protocol=protocol,
                    target_port=target_port,
                    published_port=published_port,
                    publish_mode=PublishMode.HOST.value,
                )
                for protocol, target_port, published_port in status.host_ports
            )
        ),
    )


def _error(task: Task) -> str:
    """What went wrong. Swarm mode has no drain, and so no word for one that ran out of time."""
    if not task.cut_off:
        return task.status.error
    connections = "1 connection" if task.cut_off == 1 else f"{task.cut_off} connections"
    told = f"drain timeout: {connections} cut off"
    return f"{task.status.error}; {told}" if task.status.error else told


def _container_status(status: TaskStatus) -> wire.ContainerStatus | None:
    if not status.container_id:
        return None
    return wire.ContainerStatus(
        container_id=status.container_id, pid=status.process_id, exit_code=status.exit_code or 0
    )


def _attachment_to_wire(attachment: NetworkAttachment, state: ClusterState) -> wire.NetworkAttachment:
    network = state.network(attachment.network_id)
    prefix_length = ipaddress.ip_network(network.subnet).prefixlen
    return wire.NetworkAttachment(
        network=network_to_wire(network), addresses=(f"{attachment.address}/{prefix_length}",)
    )
