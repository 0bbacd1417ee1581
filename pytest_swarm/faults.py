"""Faults on a real cluster: nodes, processes and the network between nodes break, and are always healed.

Each fault is in force from the call on. It ends with the `with` block it heads, or by its own `heal()`, or by the
cluster's, which every test ends with, or by itself when its limit is over. All are on the cluster's timeline.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_swarm.boot import prepare_node
from pytest_swarm.breakage import (
    DOCKERD,
    SWARMD,
    Process,
    clock_is_prepared,
    empty_disk,
    fill_disk,
    process_id,
    set_clock,
)
from pytest_swarm.conditions import old_tasks_noticed
from pytest_swarm.fault import STOPPED, Fault, Kind, NodeIsDown
from pytest_swarm.faults_rules import Cut, drop_cuts, partition_cuts, rule_set, usable_managers
from pytest_swarm.node import Node
from pytest_swarm.waiting import Done, NotYet, wait_until

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster

LIMIT_SECONDS = 60.0
RECOVER_SECONDS = 90.0
_PROCESS_SECONDS = 60.0

NodeLike = str | Node
Group = NodeLike | Iterable[NodeLike]


class Faults:
    """What can be broken in a cluster. A node is given by its name or as a Node, a group as one or several of them.

    `limit` is how many seconds a fault lasts at most. Every call raises ValueError for what makes no sense.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._active: list[Fault] = []
        self._places: dict[Fault, int] = {}
        self._is_settled = True
        self._started_again: dict[str, float] = {}
        self._lock = threading.RLock()
        # One at a time gives a node its rules: those that were worked out last must be the last to arrive.
        self._network = {node.name: threading.Lock() for node in cluster.nodes}

    # Nodes -------------------------------------------------------------------------------------------------

    def kill(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Kill a node as a power cut does: every process of it ends at once; what is on its disk stays.

        Healing it starts it again, with its old address and identity.
        """
        target = self._cluster.node(node)
        return self._kill(target, f"{target.name} killed", limit)

    def kill_leader(self, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Kill the manager that leads now; `fault.node` says which it was. Raises DeadlineExceeded if none does."""
        leader = self._cluster.leader
        return self._kill(leader, f"leader {leader.name} killed", limit)

    def restart(self, node: NodeLike) -> Fault:
        """Start a killed node again, or kill one that runs and start it; returns when the cluster is whole again.

        With other faults in force it returns when the node's API answers. Raises DeadlineExceeded.
        """
        target = self._cluster.node(node)
        fault = self._find(target, Kind.KILLED) or self.kill(target)
        fault.heal()
        return fault

    def pause(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Freeze all processes of a node. Its kernel goes on: it acknowledges and forwards packets."""
        target = self._cluster.node(node)
        self._require_up(target)
        fault = Fault(self, Kind.PAUSED, f"{target.name} paused", [target], functools.partial(self._resume, target))
        return self._begin(fault, target.container.pause, limit)

    def resume(self, node: NodeLike) -> None:
        """Let a paused node go on."""
        target = self._cluster.node(node)
        fault = self._find(target, Kind.PAUSED)
        if fault is None:
            raise ValueError(f"{target.name} is not paused")
        fault.heal()

    # Processes ---------------------------------------------------------------------------------------------

    def kill_swarmd(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Kill the orchestrator's daemon on a node; the node starts it again by itself, and healing waits for that."""
        if self._cluster.engine.name == "docker":
            raise ValueError("Docker's swarm mode has no daemon beside its engine: use kill_engine")
        return self._kill_process(self._cluster.node(node), SWARMD, limit)

    def kill_engine(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Kill a node's Docker engine; the node starts it again by itself, and healing waits for that."""
        return self._kill_process(self._cluster.node(node), DOCKERD, limit)

    # Disk and clock ----------------------------------------------------------------------------------------

    def fill_disk(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Leave no byte free on the small disk of its own that holds a node's swarm state; other disks are not touched.

        Raises RuntimeError where the machine lacks the loop devices for such a disk.
        """
        target = self._cluster.node(node)
        self._require_up(target)
        directory = self._cluster.engine.state_directory()
        undo = functools.partial(self._on_running, target, functools.partial(empty_disk, target, directory))
        fault = Fault(self, Kind.DISK, f"disk of {target.name} full", [target], undo)
        return self._begin(fault, functools.partial(fill_disk, target, directory), limit)

    def skew_clock(self, node: NodeLike, seconds: float, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Let the time of day of a node's daemon jump, ahead or with negative seconds back; its intervals stay true.

        The engine and the tasks keep the machine's clock. A daemon whose clock jumps for the first time is started
        again before: `skew_clock(node, 0)` does only that.
        """
        if self._cluster.engine.name == "docker":
            raise ValueError("the clock of Docker's engine cannot be skewed: it reads the machine's own")
        target = self._cluster.node(node)
        self._require_up(target)
        if self._find(target, Kind.CLOCK) is not None:
            raise ValueError(f"the clock of {target.name} is skewed already")
        if not clock_is_prepared(target):
            set_clock(target, 0.0)
            self._kill_process(target, SWARMD, limit, deed="restarted", signal="TERM").heal()
        undo = functools.partial(self._on_running, target, functools.partial(set_clock, target, 0.0))
        fault = Fault(self, Kind.CLOCK, f"clock of {target.name} {seconds:+g} s", [target], undo)
        return self._begin(fault, functools.partial(set_clock, target, seconds), limit)

    # The network between nodes -----------------------------------------------------------------------------

    def partition(self, a: Group, b: Group, *, one_way: bool = False, limit: float = LIMIT_SECONDS) -> Fault:
        """Drop every packet between two groups of nodes, or with `one_way` only those from `a` to `b`."""
        left, right = self._nodes(a), self._nodes(b)
        cuts = partition_cuts(_names(left), _names(right), one_way=one_way)
        sign = "->" if one_way else "|"
        return self._cut(f"partition {','.join(_names(left))} {sign} {','.join(_names(right))}", cuts, limit)

    def isolate(self, node: NodeLike, *, limit: float = LIMIT_SECONDS) -> Fault:
        """Drop every packet between a node and all others. Clients outside of the cluster still reach it."""
        target = self._cluster.node(node)
        cuts = partition_cuts([target.name], _names(self._others([target])), one_way=False)
        return self._cut(f"{target.name} isolated", cuts, limit)

    def drop(
        self, percent: float, a: Group | None = None, b: Group | None = None, *, limit: float = LIMIT_SECONDS
    ) -> Fault:
        """Lose so many of a hundred packets between two groups of nodes, chosen by chance.

        Without `b`, between `a` and all other nodes; without either, between all nodes.
        """
        if a is None:
            nodes = self._cluster.nodes
            pairs = [(each, nodes[place + 1 :]) for place, each in enumerate(nodes[:-1])]
            cuts = tuple(cut for one, others in pairs for cut in drop_cuts(percent, [one.name], _names(others)))
            return self._cut(f"{percent:g} % dropped", cuts, limit)
        left = self._nodes(a)
        right = self._others(left) if b is None else self._nodes(b)
        where = f"{','.join(_names(left))} | {','.join(_names(right))}"
        return self._cut(f"{percent:g} % dropped {where}", drop_cuts(percent, _names(left), _names(right)), limit)

    # Healing -----------------------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults in force, oldest first."""
        with self._lock:
            return tuple(self._active)

    def heal(self, *, wait: bool = True) -> None:
        """Heal all faults, and unless told not to wait until every node is Ready and every manager reachable.

        Raises ExceptionGroup when all has been tried and some failed, DeadlineExceeded when the cluster stays broken.
        """
        failures: list[BaseException] = []
        for kind in Kind:
            faults = [fault for fault in self.active if fault.kind is kind]
            if faults:
                # At once, since nodes that were killed together may need one another to come back.
                with ThreadPoolExecutor(len(faults)) as pool:
                    endings = [pool.submit(fault.end) for fault in faults]
                failures += [error for ending in endings if (error := ending.exception()) is not None]
        if failures:
            raise BaseExceptionGroup("faults could not be healed", failures)
        if wait:
            self.settle()

    def settle(self) -> None:
        """Wait until the cluster is whole after its last fault; at once while another one is in force."""
        with self._lock:
            if self._active or self._is_settled:
                return
        self._cluster.wait_ready(RECOVER_SECONDS)
        wait_until(self._leader_known, what="every manager to know the leader", timeout=RECOVER_SECONDS)
        wait_until(self._old_tasks_noticed, what="the tasks that ended with a node", timeout=RECOVER_SECONDS)
        with self._lock:
            self._started_again.clear()
            self._is_settled = not self._active

    def usable_managers(self) -> list[Node]:
        """Return the managers in the order to ask them: first those that faults leave most fellows."""
        nodes = self._cluster.nodes
        with self._lock:
            cuts = [cut for fault in self._active for cut in fault.cuts]
        down = {node.name for node in nodes if node.is_down}
        names = usable_managers(_names(nodes[: self._cluster.managers]), down, cuts)
        return [self._cluster.node(name) for name in names]

    # The book of faults, for the faults themselves ---------------------------------------------------------

    def add(self, fault: Fault) -> None:
        """Take a fault as in force, and put it on the timeline."""
        with self._lock:
            self._active.append(fault)
            self._is_settled = False
            self._places[fault] = len(self._cluster.operations)
            self._cluster.operations.append(fault.operation)
            self._mark_down()

    def remove(self, fault: Fault) -> None:
        """Take a fault as no longer in force, and note its end on the timeline."""
        with self._lock:
            self._active.remove(fault)
            self._cluster.operations[self._places.pop(fault)] = fault.operation
            self._mark_down()

    def _mark_down(self) -> None:
        down = {node.name for fault in self._active if fault.takes_down for node in fault.nodes}
        for node in self._cluster.nodes:
            node.is_down = node.name in down

    def _begin(self, fault: Fault, inflict: Callable[[], object], limit: float) -> Fault:
        if not 0.0 < limit < math.inf:
            raise ValueError(f"a fault needs a limit in seconds, not {limit}")
        self.add(fault)
        try:
            inflict()
        except BaseException:
            fault.end()
            raise
        fault.limit_to(limit)
        return fault

    # How it is done ----------------------------------------------------------------------------------------

    def _kill(self, target: Node, name: str, limit: float) -> Fault:
        self._require_up(target)

        def inflict() -> None:
            target.container.kill()
            target.container.wait(timeout=_PROCESS_SECONDS)

        fault = Fault(self, Kind.KILLED, name, [target], functools.partial(self._start, target))
        return self._begin(fault, inflict, limit)

    def _start(self, target: Node) -> None:
        self._started_again[target.name] = time.time()
        target.container.start()
        # Before anything of it speaks to the others, which is well before its API answers.
        self._apply_cuts(target)
        prepare_node(target, self._cluster.engine)

    def _resume(self, target: Node) -> None:
        target.container.unpause()
        self._apply_cuts(target)

    def _kill_process(
        self, target: Node, process: Process, limit: float, *, deed: str = "killed", signal: str = "KILL"
    ) -> Fault:
        self._require_up(target)
        before = process_id(target, process)

        def is_back() -> Done[None] | NotYet:
            if process_id(target, process) in ("", before):
                return NotYet(f"{target.name} has no new {process.name}")
            return target.answers()

        def undo() -> None:
            wait_until(is_back, what=f"{process.name} of {target.name}", timeout=_PROCESS_SECONDS, interval=0.05)
            target.open_socket_to_owner()

        fault = Fault(self, Kind.PROCESS, f"{process.name} of {target.name} {deed}", [target], undo)
        return self._begin(fault, lambda: target.run_command(["kill", f"-{signal}", before]), limit)

    def _on_running(self, target: Node, step: Callable[[], None]) -> None:
        self._require_up(target)
        step()

    def _cut(self, name: str, cuts: Sequence[Cut], limit: float) -> Fault:
        concerned = {node for cut in cuts for node in (*cut.sources, *cut.targets)}
        nodes = [node for node in self._cluster.nodes if node.name in concerned]

        def apply() -> None:
            # A node whose machine stands still gets its rules when it is back; its engine need not run.
            stopped = {each for fault in self.active if fault.kind in STOPPED for each in fault.nodes}
            with ThreadPoolExecutor(len(nodes)) as pool:
                list(pool.map(self._apply_cuts, [node for node in nodes if node not in stopped]))

        return self._begin(Fault(self, Kind.NETWORK, name, nodes, apply, cuts), apply, limit)

    def _apply_cuts(self, node: Node) -> None:
        addresses = {each.name: each.address for each in self._cluster.nodes}
        with self._network[node.name]:
            cuts = [cut for fault in self.active if not fault.is_ending for cut in fault.cuts]
            node.run_command(["nft", rule_set(node.name, cuts, addresses)])

    def _leader_known(self) -> Done[None] | NotYet:
        """The leader reaches all managers by now; the one that was cut off may not have heard its first word yet."""
        answers = [node.knows_leader() for node in self._cluster.nodes]
        return next((answer for answer in answers if isinstance(answer, NotYet)), Done(None))

    def _old_tasks_noticed(self) -> Done[None] | NotYet:
        from docker.errors import DockerException

        try:
            tasks = self._cluster.api.tasks()
            ids = self._cluster.node_ids()
        except (DockerException, OSError) as error:
            return NotYet(str(error))
        for name, started in self._started_again.items():
            answer = old_tasks_noticed(tasks, ids[name], started)
            if isinstance(answer, NotYet):
                return answer
        return Done(None)

    def _find(self, target: Node, kind: Kind) -> Fault | None:
        return next((fault for fault in self.active if fault.kind is kind and target in fault.nodes), None)

    def _require_up(self, target: Node) -> None:
        fault = next((fault for fault in self.active if fault.takes_down and target in fault.nodes), None)
        if fault is not None:
            raise NodeIsDown(f"{target.name} is down: {fault.name}")

    def _nodes(self, group: Group) -> list[Node]:
        members = [group] if isinstance(group, str | Node) else list(group)
        return [self._cluster.node(member) for member in members]

    def _others(self, nodes: Sequence[Node]) -> list[Node]:
        return [node for node in self._cluster.nodes if node not in nodes]


def _names(nodes: Sequence[Node]) -> list[str]:
    return [node.name for node in nodes]
