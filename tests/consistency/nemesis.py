"""Which faults come when, from a seed: a plan that names managers by their part, since who leads is known only then.

Faults come one after the other, each healed before the next; in between the managers have time to agree again. Some
leave no majority, which costs answers but may never cost an acknowledged write.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Protocol


class Part(StrEnum):
    """Of three managers, at the moment the fault begins."""

    LEADER = "leader"
    FOLLOWER = "follower"
    OTHER = "other follower"


class FaultKind(StrEnum):
    """What is done to the victims."""

    KILL = "kill"
    """`kill -9`; they start again with their files at the end."""
    CRASH = "crash"
    """`kill -9` of the daemon alone, which its supervisor starts again by itself."""
    PAUSE = "pause"
    """SIGSTOP, and SIGCONT at the end."""
    CUT = "cut"
    """Packets from one to another are dropped, for each pair of victims."""
    SKEW = "skew"
    """The wall clock jumps, and jumps back at the end."""


Pairs = tuple[tuple[Part, Part], ...]


def _both(*pairs: tuple[Part, Part]) -> Pairs:
    return tuple(pairs) + tuple((other, one) for one, other in pairs)


LEADER, FOLLOWER, OTHER = Part.LEADER, Part.FOLLOWER, Part.OTHER


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; times in seconds."""

    name: str
    kind: FaultKind
    victims: tuple[Part, ...] = ()
    cuts: Pairs = ()
    """(sender, receiver)"""
    jump: float = 0.0
    """Of the wall clock."""
    begins: float = 0.0
    """Since the start of the run."""
    lasts: float = 0.0

    def __str__(self) -> str:
        """For the table."""
        return f"{self.begins:.1f} s {self.name} for {self.lasts:.1f} s"


FAULTS = (
    Fault("kill leader", FaultKind.KILL, (LEADER,)),
    Fault("kill follower", FaultKind.KILL, (FOLLOWER,)),
    Fault("kill two", FaultKind.KILL, (LEADER, FOLLOWER)),
    Fault("kill all", FaultKind.KILL, (LEADER, FOLLOWER, OTHER)),
    Fault("crash leader", FaultKind.CRASH, (LEADER,)),
    Fault("crash all", FaultKind.CRASH, (LEADER, FOLLOWER, OTHER)),
    Fault("pause leader", FaultKind.PAUSE, (LEADER,)),
    Fault("pause follower", FaultKind.PAUSE, (FOLLOWER,)),
    Fault("pause two", FaultKind.PAUSE, (LEADER, OTHER)),
    Fault("isolate leader", FaultKind.CUT, cuts=_both((LEADER, FOLLOWER), (LEADER, OTHER))),
    Fault("isolate follower", FaultKind.CUT, cuts=_both((FOLLOWER, LEADER), (FOLLOWER, OTHER))),
    Fault("bridge over follower", FaultKind.CUT, cuts=_both((LEADER, OTHER))),
    Fault("bridge over leader", FaultKind.CUT, cuts=_both((FOLLOWER, OTHER))),
    Fault("leader deaf", FaultKind.CUT, cuts=((FOLLOWER, LEADER), (OTHER, LEADER))),
    Fault("leader mute", FaultKind.CUT, cuts=((LEADER, FOLLOWER), (LEADER, OTHER))),
    Fault("leader deaf to one", FaultKind.CUT, cuts=((FOLLOWER, LEADER),)),
    Fault("leader mute to one", FaultKind.CUT, cuts=((LEADER, FOLLOWER),)),
    Fault("all cut off", FaultKind.CUT, cuts=_both((LEADER, FOLLOWER), (LEADER, OTHER), (FOLLOWER, OTHER))),
    Fault("clock ahead", FaultKind.SKEW, (LEADER,), jump=3600.0),
    Fault("clock behind", FaultKind.SKEW, (LEADER,), jump=-3600.0),
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Ranges of durations, in seconds."""

    lasts: tuple[float, float] = (0.5, 6.0)
    pause: tuple[float, float] = (1.0, 5.0)
    """Between the end of one fault and the beginning of the next."""


CALM = Pace()
HASTE = Pace(lasts=(0.5, 3.0), pause=(0.5, 2.0))
"""For short runs: a fault or more in every 5 s."""


def plan(seed: int, seconds: float, *, faults: Sequence[Fault] = FAULTS, pace: Pace = CALM) -> Iterator[Fault]:
    """The faults of a run, each over before `seconds`; a kind comes again only when every other has come."""
    dice = Random(f"nemesis {seed}")
    left: list[Fault] = []
    now = dice.uniform(*pace.pause)
    while True:
        if not left:
            left = dice.sample(faults, len(faults))
        lasts = dice.uniform(*pace.lasts)
        if now + lasts > seconds:
            return
        yield replace(left.pop(), begins=now, lasts=lasts)
        now += lasts + dice.uniform(*pace.pause)


class Hands(Protocol):
    """What a nemesis can do; managers go by name. A cluster, or a simulated one."""

    def kill(self, names: Sequence[str]) -> None:
        """End them without a word, all at once."""
        ...

    def restart(self, names: Sequence[str]) -> None:
        """Start the killed ones again."""
        ...

    def crash(self, names: Sequence[str]) -> None:
        """End their daemons without a word, all at once."""
        ...

    def wait_restarted(self, names: Sequence[str]) -> None:
        """Return when the daemons that crashed run again."""
        ...

    def pause(self, names: Sequence[str]) -> None:
        """Stop them where they are."""
        ...

    def resume(self, names: Sequence[str]) -> None:
        """Let them go on."""
        ...

    def cut(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Drop packets from the first to the second of each pair."""
        ...

    def heal(self) -> None:
        """Drop nothing any more."""
        ...

    def skew(self, name: str, seconds: float) -> None:
        """Let the manager's wall clock be that much ahead of the true time; 0 ends it."""
        ...


def begin(fault: Fault, hands: Hands, names: Mapping[Part, str]) -> Callable[[], None]:
    """Let the fault begin; returns what ends it."""
    victims = [names[part] for part in fault.victims]
    if fault.kind is FaultKind.KILL:
        hands.kill(victims)
        return lambda: hands.restart(victims)
    if fault.kind is FaultKind.CRASH:
        hands.crash(victims)
        return lambda: hands.wait_restarted(victims)
    if fault.kind is FaultKind.PAUSE:
        hands.pause(victims)
        return lambda: hands.resume(victims)
    if fault.kind is FaultKind.CUT:
        hands.cut([(names[one], names[other]) for one, other in fault.cuts])
        return hands.heal
    hands.skew(victims[0], fault.jump)
    return lambda: hands.skew(victims[0], 0.0)
