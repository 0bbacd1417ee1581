"""What actions on the cluster as a whole do to the state."""

from dataclasses import replace
from typing import Any

from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import FailedPrecondition, OutOfSequence
from orchestrator.state import actions as act
from orchestrator.state.change import Change


def _change(change: Change, cluster: Cluster, **fields: Any) -> None:
    change.state.cluster = replace(cluster, version=change.index, updated_at=change.at, **fields)


def _cluster(change: Change) -> Cluster:
    if change.state.cluster is None:
        raise FailedPrecondition("there is no cluster yet")
    return change.state.cluster


def create_cluster(change: Change, action: act.CreateCluster) -> None:
    """Found the cluster."""
    if change.state.cluster is not None:
        raise FailedPrecondition("the cluster exists already")
    _change(change, replace(action.cluster, created_at=change.at))


def update_cluster_spec(change: Change, action: act.UpdateClusterSpec) -> None:
    """Change the cluster's settings."""
    cluster = change.state.cluster
    if cluster is None or cluster.version != action.version:
        raise OutOfSequence
    _change(change, cluster, spec=action.spec)


def rotate_join_tokens(change: Change, action: act.RotateJoinTokens) -> None:
    """Make join tokens given out so far worthless."""
    cluster = _cluster(change)
    _change(
        change,
        cluster,
        worker_token=action.worker_token or cluster.worker_token,
        manager_token=action.manager_token or cluster.manager_token,
    )


def set_unlock_key(change: Change, action: act.SetUnlockKey) -> None:
    """From now on managers are locked with this key."""
    _change(change, _cluster(change), unlock_key=action.unlock_key)


def begin_root_rotation(change: Change, action: act.BeginRootRotation) -> None:
    """From now on certificates are of the next root."""
    _change(change, _cluster(change), rotation=action.rotation)


def abort_root_rotation(change: Change, action: act.AbortRootRotation) -> None:
    """From now on certificates are of the present root again."""
    del action
    _change(change, _cluster(change), rotation=None)


def finish_root_rotation(change: Change, action: act.FinishRootRotation) -> None:
    """The next root is the present one; tokens that name the former are worthless."""
    cluster = _cluster(change)
    rotation = cluster.rotation
    if rotation is None or rotation.ca_certificate != action.ca_certificate:
        raise FailedPrecondition("that root certificate is not the next one")
    _change(
        change,
        cluster,
        ca_certificate=rotation.ca_certificate,
        ca_key=rotation.ca_key,
        worker_token=action.worker_token,
        manager_token=action.manager_token,
        rotation=None,
    )


def rotate_gossip_keys(change: Change, action: act.RotateGossipKeys) -> None:
    """Replace the keys. The version stays: users do not see them, and must not be told that they came too late."""
    cluster = change.state.cluster
    if cluster is None or cluster.gossip_keys != action.before:
        raise OutOfSequence
    change.state.cluster = replace(cluster, gossip_keys=action.keys)


def leap_revisions(change: Change, action: act.LeapRevisions) -> None:
    """Leave out so many numbers; all nodes are told anew."""
    change.index = change.state.index = change.state.index + action.by
    change.touch_network()
