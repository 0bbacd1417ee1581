"""What clients ask for next: the same choices against a real cluster and a simulated one, from one seed.

No clock and no I/O. Clients share a few names, so that they get in each other's way; a name is given up after some
operations, for the work of judging an object's history grows faster than the history.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.consistency.history import Action, Operation, Outcome, Refusal

OPERATIONS_PER_NAME = 80
_READ = 0.4
"""Share of reads among what a writer does about an object it knows."""
_REMOVE = 0.15
"""Share of removals among its changes."""
_RECREATE = 0.7
"""How often a client that knows of no object makes one, rather than looking again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and what can be done with it."""

    name: str
    can_be_updated: bool = True
    can_be_removed: bool = True
    """Without it there is always one, and nobody creates it."""
    versions_are_clients: bool = True
    """Whether only clients change it; see `register.after`."""
    names: Sequence[str] = ()
    """Fixed ones; none where clients make them up."""


CONFIG = Kind("config")
SECRET = Kind("secret")
SERVICE = Kind("service", versions_are_clients=False)
NETWORK = Kind("network", can_be_updated=False, versions_are_clients=False)


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask the cluster for; the fields are those of `Operation`."""

    kind: Kind
    name: str
    action: Action
    value: str | None = None
    expected: str | None = None
    version: int | None = None

    @property
    def key(self) -> str:
        """The object's key in the history."""
        return f"{self.kind.name} {self.name}"


@dataclass
class Names:
    """The names in use now, a few of each kind."""

    kinds: Sequence[Kind]
    run: str
    """Begins every made-up name: runs on one cluster do not share any."""
    at_once: int = 2
    _uses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._current = {kind.name: list(kind.names) for kind in self.kinds}
        self._made = 0
        for kind in self.kinds:
            while len(self._current[kind.name]) < self.at_once and not kind.names:
                self._current[kind.name].append(self._make(kind))

    def pick(self, dice: Random) -> tuple[Kind, str]:
        """A kind and a name of it."""
        kind = dice.choice(self.kinds)
        names = self._current[kind.name]
        place = dice.randrange(len(names))
        name = names[place]
        self._uses[name] = self._uses.get(name, 0) + 1
        if self._uses[name] >= OPERATIONS_PER_NAME and not kind.names:
            names[place] = self._make(kind)
        return kind, name

    @property
    def all(self) -> list[tuple[Kind, str]]:
        """Every name that was ever picked."""
        kinds = {kind.name: kind for kind in self.kinds}
        fixed = {name: kind for kind in self.kinds for name in kind.names}
        return [(fixed.get(name) or kinds[name.split("-")[1]], name) for name in self._uses]

    def _make(self, kind: Kind) -> str:
        self._made += 1
        return f"{self.run}-{kind.name}-{self._made}"


class Client:
    """One user with a memory: it updates what it last saw.

    One that only looks is not held up by a leader that cannot commit any more, and so sees what that leader shows.
    """

    def __init__(self, name: str, seed: int | str, names: Names, *, only_looks: bool = False) -> None:
        self.name = name
        self.only_looks = only_looks
        self.dice = Random(f"client {seed} {name}")
        self._names = names
        self._written = 0
        self._known: dict[str, Operation] = {}
        """The last answer about an object, while it may still hold."""

    def next_wish(self) -> Wish:
        """What to do now."""
        kind, name = self._names.pick(self.dice)
        known = self._known.get(f"{kind.name} {name}")
        if known is None or self.only_looks or self.dice.random() < _READ:
            return Wish(kind, name, Action.READ)
        if known.value is None:
            return self._create(kind, name) if self.dice.random() < _RECREATE else Wish(kind, name, Action.READ)
        if kind.can_be_removed and (not kind.can_be_updated or self.dice.random() < _REMOVE):
            return Wish(kind, name, Action.REMOVE)
        return Wish(kind, name, Action.UPDATE, self._new_value(), known.value, known.version)

    def learn(self, operation: Operation) -> None:
        """Remember what an answer says about the object."""
        self._known.pop(operation.key, None)
        if operation.action is Action.READ and operation.outcome is Outcome.OK:
            self._known[operation.key] = operation

    def _create(self, kind: Kind, name: str) -> Wish:
        if not kind.can_be_removed:
            return Wish(kind, name, Action.READ)
        return Wish(kind, name, Action.CREATE, self._new_value())

    def _new_value(self) -> str:
        self._written += 1
        return f"{self.name}.{self._written}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a wish."""

    outcome: Outcome
    value: str | None = None
    """Of a read."""
    version: int | None = None
    """Of a read."""
    refusal: Refusal | None = None
    note: str = ""


def operation_of(
    wish: Wish, answer: Answer, client: str, invoked: float, completed: float, *, is_final: bool = False
) -> Operation:
    """The entry in the history; times as `Operation`'s."""
    is_read = wish.action is Action.READ
    return Operation(
        client=client,
        key=wish.key,
        action=wish.action,
        invoked=invoked,
        completed=float("inf") if answer.outcome is Outcome.INFO else completed,
        outcome=answer.outcome,
        value=answer.value if is_read else wish.value,
        expected=wish.expected,
        version=answer.version if is_read else wish.version,
        refusal=answer.refusal,
        is_final=is_final,
        note=answer.note,
    )


def versions_are_clients(kinds: Sequence[Kind]) -> Mapping[str, bool]:
    """By kind's name, for `checker.check`."""
    return {kind.name: kind.versions_are_clients for kind in kinds}
