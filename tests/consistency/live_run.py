"""One run against managers that are real: clients at every one, faults, and a check of all the clients were told.

Every client is a thread with one request at a time, and every request has a deadline.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Protocol

from pytest_swarm.waiting import DeadlineExceeded, Done, NotYet, wait_until
from tests.consistency.checker import check, two_leaders
from tests.consistency.digests import wait_digests
from tests.consistency.docker_client import DockerClient, replicas_for
from tests.consistency.history import Action, Operation, Outcome, Refusal, tally
from tests.consistency.nemesis import CALM, Fault, Hands, Pace, Part, begin, plan
from tests.consistency.report import Report
from tests.consistency.workload import CONFIG, NETWORK, SECRET, SERVICE, Client, Kind, Names, Wish, operation_of

CLIENTS_PER_MANAGER = 3
"""The first of them only looks."""
_THINKING, _LOOKING = (0.02, 0.3), (0.01, 0.1)
"""Seconds between two operations of one client."""
_TURNED_AWAY = (0.2, 0.5)
"""Seconds until a client asks again that nobody served."""
FEWEST_ANSWERS = 5.0
"""Operations a second that must be answered for a run to count, a tenth of the usual."""
_PEACE_MIN, _SETTLING = 1.0, 60.0
"""Seconds between two faults at least, and until all must be well again at the end."""


class Target(Hands, Protocol):
    """Three managers, and what a run must know of them beside their faults."""

    managers: Sequence[str]
    worker: str | None
    """A node whose labels may be changed."""
    tells_state: bool
    """Whether its managers tell what they applied, and their logs when they led: Docker's do neither."""

    @property
    def faults(self) -> Sequence[Fault]:
        """Those that can be had."""
        ...

    def socket(self, name: str) -> Path:
        """Where a manager's API listens."""
        ...

    def find_leader(self) -> str:
        """The manager that leads. Raises DeadlineExceeded when none does for 30 s."""
        ...

    def leaderships(self, since: int) -> Iterable[tuple[str, int]]:
        """(who, term) of every leadership that the managers' logs tell of since that second of the epoch."""
        ...

    def prepare(self) -> None:
        """Do once what the faults need."""
        ...

    def heal_all(self) -> None:
        """End whatever is in force, and wait until all is well. Raises when it stays broken."""
        ...


class LiveRun:
    """Use `run` once."""

    def __init__(self, target: Target, seed: int, seconds: float, *, pace: Pace = CALM) -> None:
        self._target = target
        self._seed = seed
        self._seconds = seconds
        self._plan = plan(seed, seconds, faults=target.faults, pace=pace)
        self._managers = target.managers
        self._kinds = [CONFIG, SECRET, SERVICE, NETWORK]
        if target.worker is not None:
            self._kinds.append(Kind("node", can_be_removed=False, versions_are_clients=False, names=(target.worker,)))
        # Two runs of one seed on one cluster share no names and no values.
        self._name = f"s{seed}t{int(time.time()) % 100_000}"
        self._names = Names(self._kinds, self._name)
        self._history: list[Operation] = []
        self._began: list[str] = []
        self._others: list[str] = []
        self._over = threading.Event()

    def run(self) -> Report:
        """Everything: clients and faults, then peace, a last look by every manager, and the verdict."""
        since = int(time.time())
        with contextlib.ExitStack() as opened:
            self._target.prepare()
            looking = {name: self._open(opened, name) for name in self._managers}
            first = self._read_nodes(looking)
            self._disturb(opened)
            self._target.heal_all()
            self._read_all(looking)
            self._check_tasks(looking)
            if self._target.tells_state:
                self._check_alike(looking)
            self._clear_away(looking)
        led = [(term, address) for address, term in self._target.leaderships(since)]
        if self._target.tells_state and not led:
            self._others.append("no manager's log tells of a leadership")
        self._others += [f"term {term} had the leaders {names}" for term, names in two_leaders(led).items()]
        self._others += self._says_nothing()
        spontaneous = {kind.name for kind in self._kinds if not kind.versions_are_clients}
        findings = check(
            self._history,
            versions_are_clients=lambda key: key.split()[0] not in spontaneous,
            initial=first.get,
        )
        return Report(self._seed, self._history, self._began, findings, self._others)

    def _says_nothing(self) -> Iterator[str]:
        """Why a run in which nothing went wrong would say nothing."""
        if not self._began:
            yield "no fault was in force"
        answered = tally(self._history)[Outcome.OK]
        if answered < FEWEST_ANSWERS * self._seconds:
            yield f"only {answered} operations were answered"

    def _open(self, opened: contextlib.ExitStack, manager: str) -> DockerClient:
        client = DockerClient(self._target.socket(manager))
        return opened.enter_context(contextlib.closing(client))

    # Clients -----------------------------------------------------------------------------------------------

    def _disturb(self, opened: contextlib.ExitStack) -> None:
        """Let clients and faults act until the time is over."""
        clients = [(manager, number) for manager in self._managers for number in range(CLIENTS_PER_MANAGER)]
        with ThreadPoolExecutor(len(clients)) as pool:
            acting = [pool.submit(self._act, *client, self._open(opened, client[0])) for client in clients]
            try:
                self._break_things()
            finally:
                self._over.set()
            for client in acting:
                client.result()

    def _act(self, manager: str, number: int, connection: DockerClient) -> None:
        client = Client(f"{self._name}-{manager}c{number}", self._seed, self._names, only_looks=number == 0)
        dice = Random(f"pause {self._seed} {client.name}")
        usual = pause = _LOOKING if client.only_looks else _THINKING
        while not self._over.wait(dice.uniform(*pause)):
            operation = self._ask(connection, client.name, client.next_wish())
            self._history.append(operation)
            client.learn(operation)
            pause = _TURNED_AWAY if operation.refusal is Refusal.NOT_SERVED else usual

    def _ask(self, connection: DockerClient, client: str, wish: Wish, *, is_final: bool = False) -> Operation:
        invoked = time.monotonic()
        answer = connection.ask(wish)
        return operation_of(wish, answer, client, invoked, time.monotonic(), is_final=is_final)

    # Faults ------------------------------------------------------------------------------------------------

    def _break_things(self) -> None:
        started = time.monotonic()

        def passed() -> float:
            return time.monotonic() - started

        over = 0.0
        for fault in self._plan:
            # Ending a fault takes its time, so the next may be late, but never at its heels.
            self._over.wait(max(fault.begins - passed(), over + _PEACE_MIN - passed()))
            if passed() + fault.lasts > self._seconds:
                break
            with self._noted(fault):
                self._over.wait(fault.lasts)
            over = passed()
        self._over.wait(max(self._seconds - passed(), 0.0))

    @contextlib.contextmanager
    def _noted(self, fault: Fault) -> Iterator[None]:
        leader = self._target.find_leader()
        others = [name for name in self._managers if name != leader]
        names = dict(zip(Part, [leader, *others], strict=True))
        began = time.monotonic()
        end = begin(fault, self._target, names)
        yield
        end()
        self._began.append(
            f"{began:.1f}-{time.monotonic():.1f} {fault.name} (leader {leader}, then {', '.join(others)})"
        )

    # The end -----------------------------------------------------------------------------------------------

    def _read_nodes(self, looking: dict[str, DockerClient]) -> dict[str, str | None]:
        """What the objects hold that were there before."""
        first = {}
        for kind in self._kinds:
            for name in kind.names:
                operation = self._read(looking[self._managers[0]], "before", Wish(kind, name, Action.READ))
                first[operation.key] = operation.value
        return first

    def _read_all(self, looking: dict[str, DockerClient]) -> None:
        for kind, name in self._names.all:
            for manager, connection in looking.items():
                wish = Wish(kind, name, Action.READ)
                try:
                    self._history.append(self._read(connection, f"final-{manager}", wish, is_final=True))
                except DeadlineExceeded as error:
                    self._others.append(str(error))

    def _read(self, connection: DockerClient, client: str, wish: Wish, *, is_final: bool = False) -> Operation:
        def attempt() -> Done[Operation] | NotYet:
            operation = self._ask(connection, client, wish, is_final=is_final)
            return Done(operation) if operation.outcome is Outcome.OK else NotYet(operation.note)

        return wait_until(attempt, what=f"an answer to {client} about {wish.key}", timeout=_SETTLING)

    def _check_tasks(self, looking: dict[str, DockerClient]) -> None:
        """Every service has one wanted task a slot, and as many as its value says: no decision was made twice."""
        connection = looking[self._managers[0]]

        def attempt() -> Done[None] | NotYet:
            for service in connection.list("/services"):
                if not service["Spec"]["Name"].startswith(self._name):
                    continue
                tasks = connection.list("/tasks", f'{{"service": ["{service["ID"]}"], "desired-state": ["running"]}}')
                slots = sorted(task["Slot"] for task in tasks)
                wanted = replicas_for(service["Spec"]["Labels"]["value"])
                if len(slots) != wanted or len(set(slots)) != wanted:
                    return NotYet(f"{service['Spec']['Name']} has tasks in slots {slots}, and should have {wanted}")
            return Done(None)

        try:
            wait_until(attempt, what="as many tasks as were asked for", timeout=_SETTLING)
        except DeadlineExceeded as error:
            self._others.append(str(error))

    def _check_alike(self, looking: dict[str, DockerClient]) -> None:
        """What the managers applied is the same, from the first batch on."""
        try:
            digests = wait_digests(looking, timeout=_SETTLING)
        except DeadlineExceeded as error:
            self._others.append(str(error))
        else:
            if len(set(digests.values())) > 1:
                self._others.append(f"what the managers applied differs: {digests}")

    def _clear_away(self, looking: dict[str, DockerClient]) -> None:
        for kind, name in self._names.all:
            if kind.can_be_removed:
                looking[self._managers[0]].ask(Wish(kind, name, Action.REMOVE))
