"""What one replica tells of itself to whoever looks for why it does or does not take part."""

from orchestrator.model.consensus import ConsensusStatus
from orchestrator.raft.replica import Replica


def status_of(replica: Replica, since: float) -> ConsensusStatus:
    """How the replica stands; `since`, in its seconds, is when a peer's answer counts from."""
    return ConsensusStatus(
        address=replica.own_id,
        leads=replica.leads,
        leader=replica.leader_id or "",
        term=replica.term,
        commit_index=replica.commit_index,
        applied_index=int(replica.raftLastApplied),
        first_index=replica.journal[0][1],
        last_index=replica.last_entry[1],
        state_index=replica.state.index,
        state_digest=replica.state.digest,
        is_ready=bool(replica.isReady()),
        election_in=round(replica.election_deadline - replica.now, 3),
        peers=tuple(replica.peer_status(peer, since) for peer in replica.peer_ids),
    )
