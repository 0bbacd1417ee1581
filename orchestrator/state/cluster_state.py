"""The cluster's whole state with the indexes its readers need.

**Invariant:** only `state.apply` writes here, inside `transaction()`; everyone else reads. Objects are frozen: a
change replaces the object. Iteration follows insertion, which is the same on every manager.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import NotFound
from orchestrator.model.files import ConfigObject, Secret
from orchestrator.model.network import Network
from orchestrator.model.node import MANAGEMENT_PORT, Node, NodeRole
from orchestrator.model.service import Service
from orchestrator.model.task import EndpointState, Task, TaskState
from orchestrator.state.digest import digest_after
from orchestrator.state.history import LENGTH, Changed, Followed
from orchestrator.state.table import Identified, Item, Table
from orchestrator.state.touched import Touched

_WAITING, _LEAVING, _STOPPING = "waiting", "leaving", "stopping"
_UPDATING = "updating"


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
        self._nodes: Table[Node] = Table()
        self._services: Table[Service] = Table(case=_cases_of_service)
        self._tasks: Table[Task] = Table(service=_service_of, node=_node_of, case=_cases_of_task)
        self._networks: Table[Network] = Table()
        self._secrets: Table[Secret] = Table()
        self._configs: Table[ConfigObject] = Table()
        self._mutations = 0
        self._touched_services = Touched()
        self._touched_nodes = Touched()
        self._changed_for_all = 0
        self._undo: list[Callable[[], object]] | None = None
        self._written: dict[str, tuple[Identified | None, Identified | None]] = {}
        self._cluster_before: Cluster | None = None
        self._changes = 0
        self._history: deque[Changed] = deque(maxlen=LENGTH)

    # Reading -----------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by id."""
        return self._nodes.items

    @property
    def services(self) -> Mapping[str, Service]:
        """Services by id."""
        return self._services.items

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks by id, history included."""
        return self._tasks.items

    @property
    def networks(self) -> Mapping[str, Network]:
        """Networks by id."""
        return self._networks.items

    @property
    def secrets(self) -> Mapping[str, Secret]:
        """Secrets by id."""
        return self._secrets.items

    @property
    def configs(self) -> Mapping[str, ConfigObject]:
        """Configs by id."""
        return self._configs.items

    def node(self, node_id: str) -> Node:
        """The node; raises `NotFound`."""
        return _get(self.nodes, node_id, "node")

    def service(self, service_id: str) -> Service:
        """The service; raises `NotFound`."""
        return _get(self.services, service_id, "service")

    def task(self, task_id: str) -> Task:
        """The task; raises `NotFound`."""
        return _get(self.tasks, task_id, "task")

    def network(self, network_id: str) -> Network:
        """The network; raises `NotFound`."""
        return _get(self.networks, network_id, "network")

    def secret(self, secret_id: str) -> Secret:
        """The secret; raises `NotFound`."""
        return _get(self.secrets, secret_id, "secret")

    def config(self, config_id: str) -> ConfigObject:
        """The config; raises `NotFound`."""
        return _get(self.configs, config_id, "config")

    def has_node_at(self, node_id: str, address: str, *, is_there: bool = False) -> bool:
        """Whether the node has that address; true too of a node not known yet, unless another one has the address.

        `is_there`: a connection shows that the node is at that address. So may one be that is not known yet, whoever
        had the address: machines join anew, and who was away has not heard.
        """
        known = self.nodes.get(node_id)
        if known is not None:
            return known.address == address
        return is_there or all(node.address != address for node in self.nodes.values())

    def service_named(self, name: str) -> Service | None:
        """The service of that exact name."""
        return next((service for service in self.services.values() if service.name == name), None)

    @property
    def ingress(self) -> Network | None:
        """The network that carries published ports."""
        return next((n for n in self.networks.values() if n.ingress and not n.removing), None)

    def network_named(self, name: str) -> Network | None:
        """The network of that exact name that is not being removed."""
        return next((n for n in self.networks.values() if n.name == name and not n.removing), None)

    def is_on_named_network(self, task: Task) -> bool:
        """Whether clients may hold the task's address from an answer: on all networks but the mesh's own."""
        networks = (self.networks.get(attachment.network_id) for attachment in task.attachments)
        return any(network is not None and not network.ingress for network in networks)

    def tasks_of_service(self, service_id: str) -> list[Task]:
        """All tasks made for the service, oldest first, history included."""
        return self._tasks.under("service", service_id)

    def tasks_on_node(self, node_id: str) -> list[Task]:
        """All tasks ever assigned to the node and not yet reaped, oldest assignment first."""
        return self._tasks.under("node", node_id)

    @property
    def waiting_tasks(self) -> list[Task]:
        """Tasks without a node yet: new or pending, in the order they came."""
        return self._tasks.under("case", _WAITING)

    @property
    def leaving_tasks(self) -> list[Task]:
        """Tasks whose endpoint is withdrawing or draining, in the order they left."""
        return self._tasks.under("case", _LEAVING)

    @property
    def stopping_tasks(self) -> list[Task]:
        """Tasks that may be stopped, their endpoint is released, and are not known to have ended; in that order."""
        return self._tasks.under("case", _STOPPING)

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
        touched = dict.fromkeys(self._touched_services.since(mutations))
        touched.update((service_id, None) for service_id in self._services.ids("case", _UPDATING))
        touched.update((task.service_id, None) for task in self.waiting_tasks)
        return list(touched)

    def nodes_touched_since(self, mutations: int) -> list[Node]:
        """The nodes that were written to since, or a task on them was, the latest first."""
        return [self.nodes[node_id] for node_id in self._touched_nodes.since(mutations) if node_id in self.nodes]

    def nodes_with_tasks(self) -> Iterator[str]:
        """Ids of nodes that have tasks, removed nodes whose tasks are still known included."""
        return self._tasks.keys("node")

    def services_with_tasks(self) -> Iterator[str]:
        """Ids of services that have tasks, removed services whose tasks live on included."""
        return self._tasks.keys("service")

    @property
    def managers(self) -> list[Node]:
        """Nodes that keep the state."""
        return [node for node in self.nodes.values() if node.role is NodeRole.MANAGER]

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
        copy._nodes, copy._services, copy._tasks = self._nodes.copy(), self._services.copy(), self._tasks.copy()
        copy._networks, copy._secrets, copy._configs = self._networks.copy(), self._secrets.copy(), self._configs.copy()
        copy._mutations, copy._changed_for_all = self._mutations, self._changed_for_all
        copy._touched_services, copy._touched_nodes = self._touched_services.copy(), self._touched_nodes.copy()
        return copy

    # Writing: for `state.apply` alone ----------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside take effect, or, when an exception leaves the block, none."""
        if self._undo is not None:
            raise RuntimeError("transactions do not nest")
        self._undo = []
        self._written.clear()
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
        written = [(item_id, after) for item_id, (_, after) in self._written.items()]
        self.digest = digest_after(self.digest, revisions, cluster, written)
        for before, after in self._written.values():
            if isinstance(before, Followed) or isinstance(after, Followed):
                self._changes += 1
                change = cast("tuple[Followed | None, Followed | None]", (before, after))
                self._history.append(Changed(self._changes, at, *change))
        self._written.clear()

    def put_node(self, node: Node) -> None:
        """Add or replace a node."""
        before = self._put(self._nodes, node)
        self._touched_nodes.mark(node.id, self._mutations)
        if before is None or not _is_only_carrying_else(before, node):
            self._changed_for_all = self._mutations

    def put_service(self, service: Service) -> None:
        """Add or replace a service."""
        self._put(self._services, service)
        self._touched_services.mark(service.id, self._mutations)

    def put_network(self, network: Network) -> None:
        """Add or replace a network."""
        before = self._put(self._networks, network)
        if before is None or not _is_only_given_out(before, network):
            self._changed_for_all = self._mutations

    def put_secret(self, secret: Secret) -> None:
        """Add or replace a secret."""
        self._put(self._secrets, secret)

    def put_config(self, config: ConfigObject) -> None:
        """Add or replace a config."""
        self._put(self._configs, config)

    def put_task(self, task: Task) -> None:
        """Add or replace a task."""
        before = self._put(self._tasks, task)
        if before is not None and before.node_id and before.node_id != task.node_id:
            raise RuntimeError(f"task {task.id} may not move from node {before.node_id} to {task.node_id}")
        self._touch_owners(task)

    def delete_node(self, node_id: str) -> None:
        """Forget a node."""
        self._delete(self._nodes, node_id)
        self._touched_nodes.forget(node_id)
        self._changed_for_all = self._mutations

    def delete_service(self, service_id: str) -> None:
        """Forget a service; its tasks stay until they are reaped."""
        self._delete(self._services, service_id)
        self._touched_services.mark(service_id, self._mutations)

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
        """Forget a task."""
        self._touch_owners(self._delete(self._tasks, task_id))

    def _touch_owners(self, task: Task) -> None:
        self._touched_services.mark(task.service_id, self._mutations)
        if task.node_id:
            self._touched_nodes.mark(task.node_id, self._mutations)

    def _put(self, table: Table[Item], item: Item) -> Item | None:
        return self._replace(table, item.id, item)

    def _delete(self, table: Table[Item], item_id: str) -> Item:
        # Undone, the item returns as the youngest: every manager refuses the same batch, so all agree on that.
        item = table.items[item_id]
        self._replace(table, item_id, None)
        return item

    def _replace(self, table: Table[Item], item_id: str, after: Item | None) -> Item | None:
        if self._undo is None:
            raise RuntimeError("the state is written inside a transaction only")
        self._mutations += 1
        before = table.replace(item_id, after)
        self._undo.append(lambda: table.replace(item_id, before))
        first, _ = self._written.get(item_id, (before, None))
        self._written[item_id] = (first, after)
        return before


def _service_of(task: Task) -> tuple[str, ...]:
    return (task.service_id,)


def _node_of(task: Task) -> tuple[str, ...]:
    return (task.node_id,) if task.node_id else ()


def _cases_of_task(task: Task) -> tuple[str, ...]:
    cases = (
        (_WAITING, task.status.state <= TaskState.PENDING),
        (_LEAVING, task.endpoint in (EndpointState.WITHDRAWING, EndpointState.DRAINING)),
        (_STOPPING, task.endpoint is EndpointState.RELEASED and task.status.is_up),
    )
    return tuple(case for case, is_so in cases if is_so)


def _cases_of_service(service: Service) -> tuple[str, ...]:
    status = service.update_status
    return (_UPDATING,) if status is not None and status.state.is_active else ()


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


def _get(table: Mapping[str, Item], item_id: str, kind: str) -> Item:
    item = table.get(item_id)
    if item is None:
        raise NotFound(f"{kind} {item_id} not found")
    return item
