"""The cluster's whole state with the indexes its readers need.

**Invariant:** only `state.apply` writes here, inside `transaction()`; everyone else reads. Objects are frozen: a
change replaces the object. Iteration follows insertion, which is the same on every manager.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol, TypeVar, cast

from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import NotFound
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import MANAGEMENT_PORT, Node, NodeRole
from orchestrator.model.service import Service
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.digest import digest_after
from orchestrator.state.history import LENGTH, Changed, Followed


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_Identified)

_LEAVING = (EndpointState.WITHDRAWING, EndpointState.DRAINING)


class ClusterState:
    """Tables of nodes, services, tasks, networks, secrets and configs, and the cluster's record."""

    def __init__(self) -> None:
        self.index = 0
        """Raised by every applied batch; the `version` of what that batch changed."""
        self.network_revision = 0
        """Raised whenever what any node's data plane should be has changed."""
        self.withdrawn_revision = 0
        """The network revision of the latest withdrawal of an endpoint, be its task long forgotten."""
        self.digest = ""
        """Of all batches applied, one upon the other: alike wherever the same was applied with the same end."""
        self.cluster: Cluster | None = None
        self._nodes: dict[str, Node] = {}
        self._services: dict[str, Service] = {}
        self._tasks: dict[str, Task] = {}
        self._networks: dict[str, Network] = {}
        self._secrets: dict[str, Secret] = {}
        self._configs: dict[str, ConfigObject] = {}
        self._tasks_by_service: dict[str, dict[str, None]] = {}
        self._tasks_by_node: dict[str, dict[str, None]] = {}
        self._waiting: dict[str, None] = {}
        self._leaving: dict[str, None] = {}
        self._stopping: dict[str, None] = {}
        self._updating: dict[str, None] = {}
        self._mutations = 0
        self._touched_services: dict[str, int] = {}
        self._touched_nodes: dict[str, int] = {}
        self._changed_for_all = 0
        self._undo: list[Callable[[], None]] | None = None
        self._touched: dict[str, tuple[_Identified | None, _Identified | None]] = {}
        self._cluster_before: Cluster | None = None
        self._changes = 0
        self._history: deque[Changed] = deque(maxlen=LENGTH)

    # Reading -----------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by id."""
        return self._nodes

    @property
    def services(self) -> Mapping[str, Service]:
        """Services by id."""
        return self._services

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks by id, history included."""
        return self._tasks

    @property
    def networks(self) -> Mapping[str, Network]:
        """Networks by id."""
        return self._networks

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """Secrets by id."""
        return self._secrets

    @property
    def configs(self) -> Mapping[str, ConfigObject]:
        """Configs by id."""
        return self._configs

    def node(self, node_id: str) -> Node:
        """The node; raises `NotFound`."""
        return _get(self._nodes, node_id, "node")

    def service(self, service_id: str) -> Service:
        """The service; raises `NotFound`."""
        return _get(self._services, service_id, "service")

    def task(self, task_id: str) -> Task:
        """The task; raises `NotFound`."""
        return _get(self._tasks, task_id, "task")

    def network(self, network_id: str) -> Network:
        """The network; raises `NotFound`."""
        return _get(self._networks, network_id, "network")

    def secret(self, secret_id: str) -> Secret:
        """The secret; raises `NotFound`."""
        return _get(self._secrets, secret_id, "secret")

    def config(self, config_id: str) -> ConfigObject:
        """The config; raises `NotFound`."""
        return _get(self._configs, config_id, "config")

    def has_node_at(self, node_id: str, address: str) -> bool:
        """Whether the node has that address; true too of a node not known yet, unless another one has the address."""
        known = self._nodes.get(node_id)
        if known is not None:
            return known.address == address
        return all(node.address != address for node in self._nodes.values())

    def service_named(self, name: str) -> Service | None:
        """The service of that exact name."""
        return next((service for service in self._services.values() if service.name == name), None)

    @property
    def ingress(self) -> Network | None:
        """The network that carries published ports."""
        return next((n for n in self._networks.values() if n.ingress and not n.removing), None)

    def network_named(self, name: str) -> Network | None:
        """The network of that exact name that is not being removed."""
        return next((n for n in self._networks.values() if n.name == name and not n.removing), None)

    def tasks_of_service(self, service_id: str) -> list[Task]:
        """All tasks made for the service, oldest first, history included."""
        return [self._tasks[task_id] for task_id in self._tasks_by_service.get(service_id, {})]

    def tasks_on_node(self, node_id: str) -> list[Task]:
        """All tasks ever assigned to the node and not yet reaped, oldest assignment first."""
        return [self._tasks[task_id] for task_id in self._tasks_by_node.get(node_id, {})]

    @property
    def waiting_tasks(self) -> list[Task]:
        """Tasks without a node yet: new or pending, in the order they came."""
        return [self._tasks[task_id] for task_id in self._waiting]

    @property
    def leaving_tasks(self) -> list[Task]:
        """Tasks whose endpoint is withdrawing or draining, in the order they left."""
        return [self._tasks[task_id] for task_id in self._leaving]

    @property
    def stopping_tasks(self) -> list[Task]:
        """Tasks that may be stopped, their endpoint is released, and are not known to have ended; in that order."""
        return [self._tasks[task_id] for task_id in self._stopping]

    # What has changed: this manager's own memory, as the history is. What was undone may be in it. ----------

    @property
    def mutations(self) -> int:
        """Grows with every write; a point in time for what follows."""
        return self._mutations

    @property
    def changed_for_all(self) -> int:
        """The latest write that may concern any service and node: to what a node is, or to a network."""
        return self._changed_for_all

    def services_touched_since(self, mutations: int) -> list[str]:
        """Ids of the services that were written to since, or a task of theirs was, the latest first.

        Those whose case may change by what happens to others are among them whatever was written: with an update
        under way, or with a task that waits for a node.
        """
        touched = dict.fromkeys(_since(self._touched_services, mutations))
        touched.update(self._updating)
        touched.update((self._tasks[task_id].service_id, None) for task_id in self._waiting)
        return list(touched)

    def nodes_touched_since(self, mutations: int) -> list[Node]:
        """The nodes that were written to since, or a task on them was, the latest first."""
        return [self._nodes[node_id] for node_id in _since(self._touched_nodes, mutations) if node_id in self._nodes]

    def nodes_with_tasks(self) -> Iterator[str]:
        """Ids of nodes that have tasks, removed nodes whose tasks are still known included."""
        return iter(self._tasks_by_node)

    def services_with_tasks(self) -> Iterator[str]:
        """Ids of services that have tasks, removed services whose tasks live on included."""
        return iter(self._tasks_by_service)

    @property
    def managers(self) -> list[Node]:
        """Nodes that keep the state."""
        return [node for node in self._nodes.values() if node.role is NodeRole.MANAGER]

    def management_address_at(self, address: str) -> str:
        """ "address:port" of the manager at that IPv4 address; with the usual port when none is known there."""
        found = (node.management_address for node in self.managers if node.address == address)
        return next(found, f"{address}:{MANAGEMENT_PORT}")

    @property
    def history(self) -> Sequence[Changed]:
        """The latest changes of objects whose events are told, oldest first: this manager's own memory."""
        return self._history

    def draft(self) -> "ClusterState":
        """A copy to try actions on: tables are copied, the frozen objects in them are shared."""
        copy = ClusterState()
        copy.index, copy.network_revision, copy.cluster = self.index, self.network_revision, self.cluster
        copy.withdrawn_revision, copy.digest = self.withdrawn_revision, self.digest
        copy._nodes, copy._services = dict(self._nodes), dict(self._services)
        copy._tasks, copy._networks = dict(self._tasks), dict(self._networks)
        copy._secrets, copy._configs = dict(self._secrets), dict(self._configs)
        copy._tasks_by_service = {key: dict(ids) for key, ids in self._tasks_by_service.items()}
        copy._tasks_by_node = {key: dict(ids) for key, ids in self._tasks_by_node.items()}
        copy._waiting, copy._leaving = dict(self._waiting), dict(self._leaving)
        copy._stopping = dict(self._stopping)
        copy._updating = dict(self._updating)
        copy._mutations, copy._changed_for_all = self._mutations, self._changed_for_all
        copy._touched_services, copy._touched_nodes = dict(self._touched_services), dict(self._touched_nodes)
        return copy

    # Writing: for `state.apply` alone ----------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside take effect, or, when an exception leaves the block, none."""
        if self._undo is not None:
            raise RuntimeError("transactions do not nest")
        self._undo = []
        self._touched.clear()
        index, revision, withdrawn_revision = self.index, self.network_revision, self.withdrawn_revision
        self._cluster_before = self.cluster
        try:
            yield
        except BaseException:
            for step in reversed(self._undo):
                step()
            self.index, self.network_revision, self.withdrawn_revision = index, revision, withdrawn_revision
            self.cluster = self._cluster_before
            raise
        finally:
            self._undo = None

    def remember(self, at: float) -> None:
        """Take what the last transaction changed into the digest and, under the batch's time, into the history."""
        revisions = (self.index, self.network_revision, self.withdrawn_revision)
        cluster = None if self.cluster is self._cluster_before else self.cluster
        written = [(item_id, after) for item_id, (_, after) in self._touched.items()]
        self.digest = digest_after(self.digest, revisions, cluster, written)
        for before, after in self._touched.values():
            if isinstance(before, Followed) or isinstance(after, Followed):
                self._changes += 1
                change = cast("tuple[Followed | None, Followed | None]", (before, after))
                self._history.append(Changed(self._changes, at, *change))
        self._touched.clear()

    def put_node(self, node: Node) -> None:
        """Add or replace a node."""
        before = self._nodes.get(node.id)
        self._put(self._nodes, node)
        self._mark_touched(self._touched_nodes, node.id)
        if before is None or not _is_only_carrying_else(before, node):
            self._changed_for_all = self._mutations

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self._put(self._services, service)
        self._mark_touched(self._touched_services, service.id)
        status = service.update_status
        self._mark(self._updating, service.id, status is not None and status.state.is_active)

    def put_network(self, network: Network) -> None:
        """Add or replace a network."""
        before = self._networks.get(network.id)
        self._put(self._networks, network)
        if before is None or not _is_only_given_out(before, network):
            self._changed_for_all = self._mutations

    def put_secret(self, secret: Secret) -> None:
        """Add or replace a secret."""
        self._put(self._secrets, secret)

    def put_config(self, config: ConfigObject) -> None:
        """Add or replace a config."""
        self._put(self._configs, config)

    def put_task(self, task: Task) -> None:
        """Add or replace a task and keep the indexes."""
        before = self._tasks.get(task.id)
        if before is not None and before.node_id and before.node_id != task.node_id:
            raise RuntimeError(f"task {task.id} may not move from node {before.node_id} to {task.node_id}")
        self._put(self._tasks, task)
        if before is None:
            self._index(self._tasks_by_service, task.service_id, task.id)
        if task.node_id and (before is None or not before.node_id):
            self._index(self._tasks_by_node, task.node_id, task.id)
        self._mark(self._waiting, task.id, task.status.state <= TaskState.PENDING)
        self._mark(self._leaving, task.id, task.endpoint in _LEAVING)
        self._mark(self._stopping, task.id, task.endpoint is EndpointState.RELEASED and task.status.is_up)
        self._touch_owners(task)

    def delete_node(self, node_id: str) -> None:
        """Forget a node."""
        self._delete(self._nodes, node_id)
        self._touched_nodes.pop(node_id, None)
        self._changed_for_all = self._mutations

    def delete_service(self, service_id: str) -> None:
        """Forget a service; its tasks stay until they are reaped."""
        self._delete(self._services, service_id)
        self._mark_touched(self._touched_services, service_id)
        self._mark(self._updating, service_id, False)

    def delete_network(self, network_id: str) -> None:
        """Forget a network."""
        self._delete(self._networks, network_id)
        self._changed_for_all = self._mutations

    def delete_secret(self, secret_id: str) -> None:
        """Forget a secret."""
        self._delete(self._secrets, secret_id)

    def delete_config(self, config_id: str) -> None:
        """Forget a config."""
        self._delete(self._configs, config_id)

    def delete_task(self, task_id: str) -> None:
        """Forget a task and its index entries."""
        task = self._tasks[task_id]
        self._delete(self._tasks, task_id)
        self._mark(self._waiting, task_id, False)
        self._mark(self._leaving, task_id, False)
        self._mark(self._stopping, task_id, False)
        self._unindex(self._tasks_by_service, task.service_id, task_id)
        if task.node_id:
            self._unindex(self._tasks_by_node, task.node_id, task_id)
        self._touch_owners(task)

    def _touch_owners(self, task: Task) -> None:
        self._mark_touched(self._touched_services, task.service_id)
        if task.node_id:
            self._mark_touched(self._touched_nodes, task.node_id)

    def _mark_touched(self, touched: dict[str, int], key: str) -> None:
        """The latest come last. Not undone: what is looked at in vain costs time, never correctness."""
        touched.pop(key, None)
        touched[key] = self._mutations

    def _note(self, step: Callable[[], None]) -> None:
        if self._undo is None:
            raise RuntimeError("the state is written inside a transaction only")
        self._undo.append(step)

    def _put(self, table: dict[str, Item], item: Item) -> None:
        self._mutations += 1
        before = table.get(item.id)
        if before is None:
            self._note(lambda: table.__delitem__(item.id))
        else:
            self._note(lambda: table.__setitem__(item.id, before))
        table[item.id] = item
        self._touch(before, item)

    def _delete(self, table: dict[str, Item], item_id: str) -> None:
        # Undone, the item returns as the youngest: every manager refuses the same batch, so all agree on that.
        self._mutations += 1
        before = table.pop(item_id)
        self._note(lambda: table.__setitem__(item_id, before))
        self._touch(before, None)

    def _touch(self, before: _Identified | None, after: _Identified | None) -> None:
        item = after or before
        assert item is not None
        first, _ = self._touched.get(item.id, (before, None))
        self._touched[item.id] = (first, after)

    def _mark(self, marked: dict[str, None], task_id: str, present: bool) -> None:
        if present == (task_id in marked):
            return
        if present:
            marked[task_id] = None
            self._note(lambda: marked.__delitem__(task_id))
        else:
            del marked[task_id]
            self._note(lambda: marked.__setitem__(task_id, None))

    def _index(self, index: dict[str, dict[str, None]], key: str, task_id: str) -> None:
        index.setdefault(key, {})[task_id] = None
        self._note(lambda: _drop(index, key, task_id))

    def _unindex(self, index: dict[str, dict[str, None]], key: str, task_id: str) -> None:
        _drop(index, key, task_id)
        self._note(lambda: index.setdefault(key, {}).__setitem__(task_id, None))


def _since(touched: dict[str, int], mutations: int) -> Iterator[str]:
    for key in reversed(touched):
        if touched[key] <= mutations:
            return
        yield key


def _is_only_carrying_else(before: Node, after: Node) -> bool:
    """Whether a node has only another part in networks: that concerns nobody else."""
    return after == replace(
        before,
        gateways=after.gateways,
        attachment_ranges=after.attachment_ranges,
        version=after.version,
        updated_at=after.updated_at,
    )


def _is_only_given_out(before: Network, after: Network) -> bool:
    """Whether one more of a network's addresses was given out, and nothing else."""
    return replace(before, last_address=after.last_address, version=after.version, updated_at=after.updated_at) == after


def _drop(index: dict[str, dict[str, None]], key: str, task_id: str) -> None:
    del index[key][task_id]
    if not index[key]:
        del index[key]


def _get(table: Mapping[str, Item], item_id: str, kind: str) -> Item:
    item = table.get(item_id)
    if item is None:
        raise NotFound(f"{kind} {item_id} not found")
    return item
