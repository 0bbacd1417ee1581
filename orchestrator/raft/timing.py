"""How patient the managers are with each other: every duration of the consensus in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftTiming:
    """Durations in seconds.

    What keeps a healthy leader in office: `election_timeout_min` > 3 x (`heartbeat_period` + `tick_period`);
    `leader_fallback` >= `election_timeout_max`, so that a leader gives up no sooner than its followers give it up;
    `connection_timeout` > 3 x `keepalive_period` and >= `election_timeout_max`.

    A leader that stands still for `election_timeout_min` less one heartbeat loses its office. A follower may stand
    still for `connection_timeout`: it reads what has piled up before it looks at its timers.
    """

    tick_period: float = 0.04
    """Timers are looked at after two of these at the latest; messages and proposals are handled when they come."""
    heartbeat_period: float = 0.1
    election_timeout_min: float = 0.5
    election_timeout_max: float = 1.0
    """A follower that hears no leader for a random time between the two stands for election."""
    succession_delay: float = 0.15
    """When the connection to the leader breaks, a follower asks within a random part of this to be its successor."""
    leader_fallback: float = 1.2
    """A leader that no majority answers for so long steps down."""
    connection_timeout: float = 2.0
    """A connection that brought nothing for so long is closed; as long may opening one take."""
    connection_retry: float = 0.1
    keepalive_period: float = 0.5
    compaction_period: float = 300.0
    compaction_entries: int = 5000
    """The log is replaced by a snapshot when it is so long, or after `compaction_period`."""
