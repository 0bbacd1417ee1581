"""Finds an object by what a user typed: its full id, else its exact name, else the beginning of its id."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from orchestrator.api.errors import BadRequest, ObjectNotFound
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import Node
from orchestrator.model.service import Service
from orchestrator.model.task import Task
from orchestrator.state.cluster_state import ClusterState

Item = TypeVar("Item", Node, Service, Task, Network, Secret, ConfigObject)


def find_node(state: ClusterState, text: str) -> Node:
    """The node of that id, hostname or id prefix. Raises `ObjectNotFound`, or `BadRequest` when several fit."""
    return _find(state.nodes, text, "node", lambda node: node.description.hostname)


def find_service(state: ClusterState, text: str) -> Service:
    """The service of that id, name or id prefix. Raises as `find_node`."""
    return _find(state.services, text, "service", lambda service: service.name)


def find_task(state: ClusterState, text: str) -> Task:
    """The task of that id, name ("web.1.<id>") or id prefix. Raises as `find_node`."""
    return _find(state.tasks, text, "task", lambda task: task.container_name)


def find_network(state: ClusterState, text: str) -> Network:
    """The network of that id, name or id prefix. Raises as `find_node`."""
    present = {network.id: network for network in state.networks.values() if not network.removing}
    return find_network_in(present, text)


def find_network_in(networks: Mapping[str, Network], text: str) -> Network:
    """As `find_network`, among these networks by id."""
    return _find(networks, text, "network", lambda network: network.name)


def find_secret(state: ClusterState, text: str) -> Secret:
    """The secret of that id, name or id prefix. Raises as `find_node`."""
    return _find(state.secrets, text, "secret", lambda secret: secret.name)


def find_config(state: ClusterState, text: str) -> ConfigObject:
    """The config of that id, name or id prefix. Raises as `find_node`."""
    return _find(state.configs, text, "config", lambda config: config.name)


def _find(table: Mapping[str, Item], text: str, kind: str, name_of: Callable[[Item], str]) -> Item:
    if not text:
        raise ObjectNotFound(f"{kind} {text} not found")
    if text in table:
        return table[text]
    items: Iterable[Item] = table.values()
    matches = [item for item in items if name_of(item) == text]
    matches = matches or [item for item in items if item.id.startswith(text)]
    if not matches:
        raise ObjectNotFound(f"{kind} {text} not found")
    if len(matches) > 1:
        raise BadRequest(f"{kind} {text} is ambiguous ({len(matches)} matches found)")
    return matches[0]
