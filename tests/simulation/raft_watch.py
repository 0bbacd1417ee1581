"""Watches simulated managers: proposes, reads, and checks at every step what Raft promises."""

from dataclasses import dataclass

from pysyncobj import FAIL_REASON

from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import ClusterError
from orchestrator.model.node import Node, NodeDescription, NodeSpec
from orchestrator.raft.journal import LogEntry
from orchestrator.state.actions import Action, AddNode, Batch, CreateCluster
from orchestrator.state.codec import encode_batch, encode_state
from orchestrator.testing.simulated_raft import SimulatedManagers

PROPOSE_PERIOD = 0.01
PROPOSE_PAUSE = 0.2
BURST = 5
"""Proposals follow each other faster than they are acknowledged, then pause; the last of a burst is refused."""


@dataclass
class _Read:
    name: str
    acknowledged: int
    """How many changes had been acknowledged when it was asked for."""
    index: int | None = None
    is_answered: bool = False

    def answer(self, index: int | None) -> None:
        self.index, self.is_answered = index, True


class Watch:
    """Checks after every step what must hold at every moment, and proposes in between."""

    def __init__(self, managers: SimulatedManagers) -> None:
        self.managers = managers
        self.leader_of_term: dict[int, str] = {}
        self.digest_at_index: dict[int, str] = {}
        self.index_of: dict[str, int] = {}
        self.acknowledged: list[str] = []
        self.refused: list[ClusterError] = []
        self.committed: dict[int, LogEntry] = {}
        self.reads_answered = 0
        self._checked_to: dict[str, int] = {}
        self._reads: list[_Read] = []
        self._proposed = 0
        self._propose_at = 0.0
        managers.after_step = self.check

    def check(self) -> None:
        for name in self.managers.leaders:
            term = self.managers.replicas[name].term
            known = self.leader_of_term.get(term)
            assert known in (None, name), f"two leaders in term {term}"
            if known is None:
                self.leader_of_term[term] = name
                self._check_has_committed(name)
        for name, replica in self.managers.replicas.items():
            index = replica.state.index
            if self.index_of.get(name) != index:
                self.index_of[name] = index
                digest = replica.state.digest
                assert self.digest_at_index.setdefault(index, digest) == digest, f"managers differ at {index}"
            self._check_committed(name)
        self._check_reads()
        if self.managers.now >= self._propose_at:
            pause = PROPOSE_PERIOD if self._proposed % BURST else PROPOSE_PAUSE
            self._propose_at = self.managers.now + pause
            for name in self.managers.leaders:
                self._propose(name)

    def forget(self, name: str) -> None:
        """The manager was killed: what it applies next begins anew."""
        self.index_of.pop(name, None)
        self._checked_to.pop(name, None)
        self._reads = [read for read in self._reads if read.name != name]

    def read(self, name: str) -> None:
        """Ask this manager for a read that misses nothing; checked when it is answered."""
        read = _Read(name, len(self.acknowledged))
        self._reads.append(read)
        self.managers.replicas[name].reads.ask(read.answer)

    def _check_reads(self) -> None:
        for read in [read for read in self._reads if read.is_answered]:
            replica = self.managers.replicas[read.name]
            if read.index is not None and replica.raftLastApplied < read.index:
                continue
            self._reads.remove(read)
            if read.index is not None:
                self.reads_answered += 1
                missing = [
                    node_id for node_id in self.acknowledged[: read.acknowledged] if node_id not in replica.state.nodes
                ]
                assert not missing, f"seed {self.managers.seed}: {read.name} read without {missing}"

    def _check_committed(self, name: str) -> None:
        """What one manager knew to be committed, all others have in the same place, for ever."""
        replica = self.managers.replicas[name]
        first = replica.journal[0][1]
        for index in range(max(self._checked_to.get(name, 0) + 1, first), replica.commit_index + 1):
            entry = replica.journal[index - first]
            assert self.committed.setdefault(index, entry) == entry, f"seed {self.managers.seed}: {index} differs"
            self._checked_to[name] = index

    def _check_has_committed(self, name: str) -> None:
        """A leader has all that was ever committed."""
        journal = self.managers.replicas[name].journal
        first = journal[0][1]
        for index in range(first, max(self.committed, default=0) + 1):
            has = index - first < len(journal) and journal[index - first] == self.committed.get(index)
            assert has or index not in self.committed, f"seed {self.managers.seed}: leader {name} lacks {index}"

    def _propose(self, name: str) -> None:
        self._proposed += 1
        node_id = f"n{self._proposed}"
        action: Action = AddNode(Node(node_id, NodeSpec(), NodeDescription("h"), "10.0.0.1"))
        if self._proposed % BURST == 0:
            action = CreateCluster(Cluster(id="c"))

        def done(error: ClusterError | None, reason: int) -> None:
            if reason == FAIL_REASON.SUCCESS and error is not None:
                self.refused.append(error)
            elif reason == FAIL_REASON.SUCCESS and isinstance(action, AddNode):
                self.acknowledged.append(node_id)

        batch = Batch(at=self.managers.now, actions=(action,))
        self.managers.replicas[name].apply_batch(encode_batch(batch), callback=done)

    def stop_proposing(self) -> None:
        self._propose_at = float("inf")

    def survived(self) -> bool:
        """Whether every acknowledged change is on every manager, and all are alike."""
        states = [replica.state for replica in self.managers.replicas.values()]
        if len({state.index for state in states}) > 1 or len({encode_state(state) for state in states}) > 1:
            return False
        return all(node_id in states[0].nodes for node_id in self.acknowledged)


def one_leader(managers: SimulatedManagers) -> bool:
    return len(managers.leaders) == 1


def quiesce(watch: Watch) -> None:
    """Stop proposing and let everyone catch up."""
    watch.stop_proposing()
    assert watch.managers.run(5.0, watch.survived), (
        f"seed {watch.managers.seed}: not alike, or an acknowledged one lost"
    )
