"""One run against simulated managers: clients, faults, a check of everything; all from the seed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from orchestrator.raft.options import Beginning
from orchestrator.raft.timing import RaftTiming
from orchestrator.testing.simulated_raft import SimulatedManagers
from tests.consistency.checker import Finding, check, two_leaders
from tests.consistency.history import Action, Operation, Outcome, Refusal
from tests.consistency.nemesis import CALM, FAULTS, Fault, Pace, Part, begin, plan
from tests.consistency.simulated_front import SimulatedFront
from tests.consistency.workload import CONFIG, SERVICE, Answer, Client, Names, Wish, operation_of, versions_are_clients

KINDS = (CONFIG, SERVICE)
CLIENTS_PER_MANAGER = 3
"""The first of them only looks."""
CLIENT_TIMEOUT = 5.0
_THINKING, _LOOKING = (0.01, 0.2), (0.005, 0.05)
"""Seconds between two operations of one client."""
_SETTLING = 10.0


class SimulatedRun:
    """Use `run`; then look at `history`, `findings` and `faults`."""

    def __init__(
        self,
        seed: int,
        *,
        seconds: float,
        faults: Sequence[Fault] = FAULTS,
        pace: Pace = CALM,
        leaders_ask: bool = True,
        timing: RaftTiming | None = None,
        directory: Path | None = None,
    ) -> None:
        """With a directory logs and snapshots are in real files there, and whoever dies loses nothing."""
        self.seed = seed
        self.seconds = seconds
        self.history: list[Operation] = []
        self.faults: list[str] = []
        self.findings: list[Finding] = []
        self.differences: list[str] = []
        """Where what one manager had applied was not what another had."""
        self.managers = SimulatedManagers(seed, timing or RaftTiming())
        self.names: tuple[str, ...] = ()
        self._directory = directory
        self._plan = plan(seed, seconds, faults=faults, pace=pace)
        self._front = SimulatedFront(self.managers, leaders_ask=leaders_ask)
        self._dice = Random(f"run {seed}")
        self._objects = Names(KINDS, "x")
        self._terms: dict[tuple[int, str], None] = {}
        self._digests: dict[int, tuple[str, str]] = {}
        """Who was first there, and the digest, by the state's index."""
        self._ends = 0.0

    def run(self) -> list[Finding]:
        """Everything; returns what is wrong with the history."""
        with self.managers.running():
            self.names = self.managers.start_group(directory=self._directory)
            self.managers.after_step = self._after_step
            assert self.managers.run(5.0, lambda: bool(self.managers.leaders))
            self._ends = self.managers.now + self.seconds
            for name in self.names:
                for number in range(CLIENTS_PER_MANAGER):
                    own_name = f"{name.partition(':')[0]}c{number}"
                    self._act(Client(own_name, self.seed, self._objects, only_looks=number == 0), name)
            with self._faults():
                self.managers.run(self.seconds)
            self.managers.run(CLIENT_TIMEOUT)
            assert self.managers.run(_SETTLING, self._agrees), f"seed {self.seed}: no agreement after all was healed"
            self._read_all()
        by_kind = versions_are_clients(KINDS)
        self.findings = check(self.history, versions_are_clients=lambda key: by_kind[key.split()[0]])
        return self.findings

    @property
    def two_leaders(self) -> Mapping[int, list[str]]:
        """Terms in which two managers believed to lead."""
        return two_leaders(self._terms)

    # Clients -----------------------------------------------------------------------------------------------

    def _act(self, client: Client, manager: str) -> None:
        if self.managers.now >= self._ends:
            return
        wish = client.next_wish()
        pause = _LOOKING if client.only_looks else _THINKING
        again = partial(self._front.call_later, self._dice.uniform(*pause), partial(self._act, client, manager))
        self._ask(client.name, manager, wish, lambda operation: (client.learn(operation), again()))  # type: ignore[func-returns-value]

    def _ask(self, client: str, manager: str, wish: Wish, then, *, is_final: bool = False) -> None:  # type: ignore[no-untyped-def]
        invoked = self.managers.now
        answered = False

        def reply(answer: Answer) -> None:
            nonlocal answered
            if not answered:
                answered = True
                operation = operation_of(wish, answer, client, invoked, self.managers.now, is_final=is_final)
                self.history.append(operation)
                then(operation)

        lost = Answer(Outcome.INFO, note="timed out")
        if wish.action is Action.READ:
            lost = Answer(Outcome.FAIL, refusal=Refusal.NOT_SERVED, note="timed out")
        self._front.call_later(CLIENT_TIMEOUT, partial(reply, lost))
        self._front.ask(manager, wish, reply)

    def _read_all(self) -> None:
        for kind, name in self._objects.all:
            for manager in self.names:
                seen: list[Operation] = []
                wish = Wish(kind, name, Action.READ)
                self._ask(f"final {manager}", manager, wish, seen.append, is_final=True)
                assert self.managers.run(CLIENT_TIMEOUT, partial(bool, seen))
                assert seen[0].outcome is Outcome.OK, f"seed {self.seed}: no answer at the end: {seen[0]}"

    # Faults ------------------------------------------------------------------------------------------------

    @contextmanager
    def _faults(self) -> Iterator[None]:
        for fault in self._plan:
            self._front.call_later(fault.begins, partial(self._begin, fault))
        yield
        self.managers.heal()

    def _begin(self, fault: Fault) -> None:
        leaders = self.managers.leaders
        leader = max(leaders, key=lambda name: self.managers.replicas[name].term) if leaders else self.names[0]
        others = [name for name in self.names if name != leader]
        self._dice.shuffle(others)
        names = dict(zip(Part, [leader, *others], strict=True))
        self.faults.append(f"{fault} ({', '.join(names.values())})")
        self._front.call_later(fault.lasts, begin(fault, self, names))

    def kill(self, names: Sequence[str]) -> None:
        """As `nemesis.Hands` says, like those below."""
        for name in names:
            self.managers.kill(name)

    def restart(self, names: Sequence[str]) -> None:
        for name in names:
            others = [other for other in self.names if other != name]
            self.managers.start(name, others, Beginning.RETURNING, self._directory)

    def crash(self, names: Sequence[str]) -> None:
        self.kill(names)

    def wait_restarted(self, names: Sequence[str]) -> None:
        self.restart(names)

    def pause(self, names: Sequence[str]) -> None:
        for name in names:
            self.managers.pause(name)

    def resume(self, names: Sequence[str]) -> None:
        for name in names:
            self._front.resume(name)

    def cut(self, pairs: Sequence[tuple[str, str]]) -> None:
        for sender, receiver in pairs:
            self.managers.filter(sender, receiver)

    def heal(self) -> None:
        self.managers.heal()

    def skew(self, name: str, seconds: float) -> None:
        self.managers.skews[name] = seconds

    # Always ------------------------------------------------------------------------------------------------

    def _after_step(self) -> None:
        self._front.step()
        for name in self.managers.leaders:
            self._terms[self.managers.replicas[name].term, name] = None
        for name, replica in self.managers.replicas.items():
            index, digest = replica.state.index, replica.state.digest
            first, known = self._digests.setdefault(index, (name, digest))
            if known != digest and not self.differences:
                self.differences.append(f"{name} differs from {first} at {index}")

    def _agrees(self) -> bool:
        replicas = self.managers.replicas.values()
        indexes = {replica.state.index for replica in replicas}
        return len(self.managers.leaders) == 1 and len(replicas) == len(self.names) and len(indexes) == 1
