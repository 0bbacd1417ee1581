"""Which keys nodes have, over days."""

import itertools

import pytest

from orchestrator.control.gossip_keys import KNOWN_AFTER_S, ROTATION_S, keyring, reconcile
from orchestrator.control.plan import Situation
from orchestrator.model.cluster import Cluster
from orchestrator.model.errors import OutOfSequence
from orchestrator.model.gossip import Keyring
from orchestrator.state.actions import Batch, CreateCluster, RotateGossipKeys
from orchestrator.state.apply import apply
from orchestrator.state.cluster_state import ClusterState

START = 1_000.0


def founded() -> ClusterState:
    state = ClusterState()
    apply(state, Batch(START, (CreateCluster(Cluster("c1")),)))
    return state


def keyrings(state: ClusterState, until: float) -> list[tuple[float, Keyring]]:
    """(when, keys) at each step until then."""
    steps = []
    now = START
    ids = (f"{number:025}" for number in itertools.count())
    while now <= until:
        plan = reconcile(Situation(state, now, lambda: next(ids), {}, START))
        if plan.actions:
            apply(state, Batch(now, plan.actions))
            steps.append((now, keyring(state)))
        else:
            assert plan.wake_at is not None
            now = plan.wake_at
    return steps


def test_the_first_key_is_made_with_the_cluster() -> None:
    state = founded()
    assert keyring(state) == Keyring("c1", ())
    ((when, ring),) = keyrings(state, START)
    assert when == START
    assert len(ring.secrets) == 1
    assert len(ring.secrets[0]) >= 50


def test_neighbouring_steps_share_the_keys_either_seals_with() -> None:
    steps = keyrings(founded(), START + 10 * ROTATION_S)
    assert len(steps) >= 18
    for (_, earlier), (_, later) in itertools.pairwise(steps):
        assert earlier.secrets[0] in later.secrets
        assert later.secrets[0] in earlier.secrets
        assert len(later.secrets) == 2


def test_a_key_is_known_for_a_while_before_it_is_sealed_with_and_is_gone_after_two_rotations() -> None:
    steps = keyrings(founded(), START + 10 * ROTATION_S)
    first_known: dict[str, float] = {}
    sealed_since: dict[str, float] = {}
    last_known: dict[str, float] = {}
    for when, ring in steps:
        sealed_since.setdefault(ring.secrets[0], when)
        for secret in ring.secrets:
            first_known.setdefault(secret, when)
            last_known[secret] = when
    later = [secret for secret, since in sealed_since.items() if since > START]
    assert later
    for secret in later:
        assert sealed_since[secret] - first_known[secret] == KNOWN_AFTER_S
        assert last_known[secret] - first_known[secret] <= 2 * (ROTATION_S + KNOWN_AFTER_S)


def test_a_leader_with_an_old_view_turns_nothing() -> None:
    state = founded()
    keyrings(state, START)
    assert state.cluster is not None
    version = state.cluster.version
    with pytest.raises(OutOfSequence):
        apply(state, Batch(START, (RotateGossipKeys((), ()),)))
    assert state.cluster.version == version


def test_users_do_not_come_too_late_because_of_a_rotation() -> None:
    state = founded()
    assert state.cluster is not None
    before = state.cluster.version
    keyrings(state, START + 2 * ROTATION_S)
    assert state.cluster.version == before
