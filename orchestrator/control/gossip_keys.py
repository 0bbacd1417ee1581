"""Rotates the keys that nodes probe one another under, so that at every moment any two nodes understand each other.

There are two keys, and a turn has two steps. First a fresh key takes the place of the older one: nodes open what is
sealed with it, and nobody seals with it yet. An hour later it becomes the one to seal with. Nodes that are one step
apart always share the key that either seals with, whichever is ahead.

Nodes are told of a step at once, and do not say when they have heard: the hour is there for those that are cut off. One
that has missed both steps is suspected until it is told.

Docker's swarm mode rotates at the same pace (swarmkit `manager/keymanager`, DefaultKeyRotationInterval).
"""

from orchestrator.control.plan import NOTHING, Plan, Situation
from orchestrator.model.cluster import Cluster
from orchestrator.model.gossip import GossipKey, Keyring
from orchestrator.state.actions import RotateGossipKeys
from orchestrator.state.cluster_state import ClusterState

ROTATION_S = 12 * 3600.0
KNOWN_AFTER_S = 3600.0
"""After this a fresh key is sealed with. Nodes are told at once, and a node that was not by then is long down."""


def reconcile(situation: Situation) -> Plan:
    """Make the first key, and turn the keys when it is time."""
    cluster = situation.state.cluster
    if cluster is None:
        return NOTHING
    due = _next_step_at(cluster)
    if situation.now < due:
        return Plan(wake_at=due)
    return Plan((RotateGossipKeys(cluster.gossip_keys, _turned(situation, cluster)),))


def keyring(state: ClusterState) -> Keyring:
    """The keys as every node is to have them."""
    cluster = state.cluster
    if cluster is None:
        return Keyring()
    return Keyring(cluster.id, tuple(key.secret for key in cluster.gossip_keys))


def _next_step_at(cluster: Cluster) -> float:
    keys = cluster.gossip_keys
    if not keys:
        return 0.0
    newest = max(key.made_at for key in keys)
    return newest + (ROTATION_S if keys[0].made_at == newest else KNOWN_AFTER_S)


def _turned(situation: Situation, cluster: Cluster) -> tuple[GossipKey, ...]:
    keys = cluster.gossip_keys
    is_waiting = len(keys) > 1 and keys[1].made_at > keys[0].made_at
    if is_waiting:
        return (keys[1], keys[0])
    # Two ids of 136 bits each: more than a key of 256 bits can hold.
    fresh = GossipKey(situation.new_id() + situation.new_id(), situation.now)
    return (*keys[:1], fresh)
