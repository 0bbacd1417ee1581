"""The state, batches and session messages as bytes, and back.

JSON by msgspec, typed by the dataclasses themselves. Members of a union carry their class's name, so old journals
stay readable as long as names stay.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from orchestrator.model import session
from orchestrator.model.cluster import Cluster
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import Node
from orchestrator.model.service import Service
from orchestrator.model.task import Task
from orchestrator.state.actions import Action, Batch
from orchestrator.state.apply import HANDLERS
from orchestrator.state.cluster_state import ClusterState

Message = TypeVar("Message")

_ACTIONS: Mapping[str, type[Action]] = {kind.__name__: kind for kind in HANDLERS}
_MESSAGES: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        session.Hello,
        session.Heartbeat,
        session.StatusReport,
        session.Certified,
        session.LogFrame,
        session.Assignments,
        session.LogRequest,
        session.LogCredit,
        session.LogCancel,
        session.AttachedRequest,
        session.Attached,
    )
}


def encode_batch(batch: Batch) -> bytes:
    """A batch as JSON: {"at": seconds, "actions": [[class name, fields], ...]}."""
    named = [[type(action).__name__, action] for action in batch.actions]
    return msgspec.json.encode({"at": batch.at, "actions": named})


def decode_batch(data: bytes) -> Batch:
    """The batch of `encode_batch`. Raises `ValueError` on anything else."""
    raw = msgspec.json.decode(data)
    actions = tuple(msgspec.convert(fields, _ACTIONS[name]) for name, fields in raw["actions"])
    return Batch(at=raw["at"], actions=actions)


def encode_message(message: session.AgentMessage | session.ManagerMessage) -> bytes:
    """A session message as JSON: [class name, fields]."""
    return msgspec.json.encode([type(message).__name__, message])


def decode_message(data: bytes | str) -> Any:
    """The session message of `encode_message`. Raises `ValueError` on anything else."""
    try:
        raw = msgspec.json.decode(data)
    except RecursionError as error:
        raise ValueError("not a session message: too deep") from error
    if not isinstance(raw, list) or len(raw) != 2 or not isinstance(raw[0], str) or raw[0] not in _MESSAGES:
        raise ValueError("not a session message")
    return msgspec.convert(raw[1], _MESSAGES[raw[0]])


def encode_state(state: ClusterState) -> bytes:
    """A snapshot. Order is kept: iteration order is part of the state."""
    return msgspec.json.encode(
        {
            "index": state.index,
            "network_revision": state.network_revision,
            "withdrawn_revision": state.withdrawn_revision,
            "digest": state.digest,
            "cluster": state.cluster,
            "nodes": list(state.nodes.values()),
            "networks": list(state.networks.values()),
            "secrets": list(state.secrets.values()),
            "configs": list(state.configs.values()),
            "services": list(state.services.values()),
            "tasks": list(state.tasks.values()),
        }
    )


def decode_state(data: bytes) -> ClusterState:
    """The state of `encode_state`, indexes rebuilt. Raises `ValueError` on a damaged snapshot."""
    raw = msgspec.json.decode(data)
    state = ClusterState()
    with state.transaction():
        state.cluster = msgspec.convert(raw["cluster"], Cluster | None)
        for node in msgspec.convert(raw["nodes"], list[Node]):
            state.put_node(node)
        for network in msgspec.convert(raw["networks"], list[Network]):
            state.put_network(network)
        # Snapshots of before there were secrets and configs lack both tables.
        for secret in msgspec.convert(raw.get("secrets", []), list[Secret]):
            state.put_secret(secret)
        for config in msgspec.convert(raw.get("configs", []), list[ConfigObject]):
            state.put_config(config)
        for service in msgspec.convert(raw["services"], list[Service]):
            state.put_service(service)
        for task in msgspec.convert(raw["tasks"], list[Task]):
            state.put_task(task)
        state.index = raw["index"]
        state.network_revision = raw["network_revision"]
        # Older snapshots lack both: no withdrawal was later than the latest change.
        state.withdrawn_revision = raw.get("withdrawn_revision", state.network_revision)
        state.digest = raw.get("digest", "")
    return state
