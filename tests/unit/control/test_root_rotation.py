"""When the rotation of the root certificate begins, and when it is over."""

import re
from dataclasses import replace

import pytest

from orchestrator.control.cluster_rules import RotationStep, rotation_step
from orchestrator.control.root_rotation import reconcile
from orchestrator.model.cluster import Cluster, ClusterSpec, RootRotation
from orchestrator.model.errors import FailedPrecondition, InvalidArgument
from orchestrator.model.node import NodeState, NodeTrust
from orchestrator.state.actions import (
    AbortRootRotation,
    BeginLeaving,
    BeginRootRotation,
    DescribeNode,
    FinishRootRotation,
    RemoveNode,
    SetNodeState,
)
from tests.builders import Scene, a_node

ROTATION = RootRotation("new root", "new key", "cross-signed", "d" * 50, "new")


def scene_of(*node_ids: str) -> Scene:
    scene = Scene([a_node(node_id) for node_id in node_ids])
    scene.apply(BeginRootRotation(ROTATION))
    return scene


def certify(scene: Scene, node_id: str, issuer: str = "new") -> None:
    node = scene.state.node(node_id)
    description = replace(node.description, trust=NodeTrust("old root", "s", issuer))
    scene.apply(DescribeNode(node_id, description, node.address))


def cluster(scene: Scene) -> Cluster:
    assert scene.state.cluster is not None
    return scene.state.cluster


def test_it_waits_for_every_node_and_then_makes_new_tokens() -> None:
    scene = scene_of("n1", "n2")
    certify(scene, "n1")
    certify(scene, "n2", "old")
    assert reconcile(scene.situation).actions == ()
    certify(scene, "n2")
    (finish,) = reconcile(scene.situation).actions
    assert isinstance(finish, FinishRootRotation)
    assert re.fullmatch(r"SWMTKN-1-d{50}-\S+", finish.worker_token)
    assert finish.worker_token != finish.manager_token
    scene.apply(finish)
    after = cluster(scene)
    assert (after.ca_certificate, after.ca_key, after.rotation) == ("new root", "new key", None)
    assert after.worker_token == finish.worker_token
    assert reconcile(scene.situation).actions == ()


def test_a_node_that_is_down_holds_it_up_until_it_is_removed() -> None:
    scene = scene_of("n1", "n2")
    certify(scene, "n1")
    scene.apply(SetNodeState("n2", NodeState.DOWN))
    assert reconcile(scene.situation).actions == ()
    scene.apply(RemoveNode("n2"))
    assert reconcile(scene.situation).actions


def test_a_node_that_has_left_does_not() -> None:
    scene = scene_of("n1", "n2")
    certify(scene, "n1")
    scene.apply(BeginLeaving("n2"), SetNodeState("n2", NodeState.DOWN))
    assert reconcile(scene.situation).actions


def test_another_rotation_takes_its_place_and_the_end_of_the_first_is_refused() -> None:
    scene = scene_of("n1")
    certify(scene, "n1")
    (finish,) = reconcile(scene.situation).actions
    scene.apply(BeginRootRotation(replace(ROTATION, ca_certificate="newer", issuer_public_key="newer")))
    with pytest.raises(FailedPrecondition):
        scene.apply(finish)
    assert reconcile(scene.situation).actions == ()
    scene.apply(AbortRootRotation())
    assert cluster(scene).rotation is None


PRESENT = Cluster("c", ClusterSpec(force_rotate=1), ca_certificate="old root")
CHOSEN = replace(PRESENT, spec=ClusterSpec(force_rotate=1, signing_certificate="mine"))


@pytest.mark.parametrize(
    ("present", "spec", "key", "step"),
    [
        (PRESENT, ClusterSpec(force_rotate=1), "", RotationStep.NONE),
        (PRESENT, ClusterSpec(force_rotate=2), "", RotationStep.BEGIN),
        (PRESENT, ClusterSpec(force_rotate=0), "", RotationStep.BEGIN),
        (PRESENT, ClusterSpec(force_rotate=1, signing_certificate="mine"), "key", RotationStep.BEGIN),
        (PRESENT, ClusterSpec(force_rotate=1, signing_certificate="old root"), "key", RotationStep.NONE),
        (
            replace(PRESENT, rotation=ROTATION),
            ClusterSpec(force_rotate=1, signing_certificate="old root"),
            "key",
            RotationStep.ABORT,
        ),
        (
            replace(PRESENT, rotation=ROTATION),
            ClusterSpec(force_rotate=1, signing_certificate="new root"),
            "key",
            RotationStep.NONE,
        ),
        # Sent back as it was shown, for the sake of another setting.
        (CHOSEN, CHOSEN.spec, "", RotationStep.NONE),
        (CHOSEN, ClusterSpec(force_rotate=2), "", RotationStep.BEGIN),
    ],
)
def test_what_settings_mean_for_the_root(present: Cluster, spec: ClusterSpec, key: str, step: RotationStep) -> None:
    assert rotation_step(present, spec, key) is step


def test_settings_that_mean_nothing() -> None:
    with pytest.raises(InvalidArgument, match="the signing CA cert must also be provided"):
        rotation_step(PRESENT, ClusterSpec(force_rotate=1), "key")
    with pytest.raises(InvalidArgument, match="external CA"):
        rotation_step(PRESENT, ClusterSpec(force_rotate=1, signing_certificate="mine"), "")
