"""What the cluster's settings may be, and when a manager may leave. Pure.

Behaves as swarmkit's `manager/controlapi/cluster.go` and moby's `daemon/cluster/swarm.go`.
"""

from collections.abc import Sequence
from enum import Enum

from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.errors import FailedPrecondition, InvalidArgument
from orchestrator.model.node import Node, NodeRole, NodeSpec, Reachability

MIN_CERTIFICATE_EXPIRY_S = 3600.0


def validate_cluster_spec(spec: ClusterSpec) -> None:
    """Raise `InvalidArgument` for settings that make no sense."""
    if spec.node_certificate_expiry < MIN_CERTIFICATE_EXPIRY_S:
        raise InvalidArgument("minimum certificate expiry time is: 1h0m0s")
    if spec.heartbeat_period < 0:
        raise InvalidArgument("heartbeat time period cannot be a negative duration")


class RotationStep(Enum):
    """What new settings mean for the root certificate."""

    NONE = "none"
    BEGIN = "begin"
    ABORT = "abort"


def rotation_step(cluster: Cluster, spec: ClusterSpec, signing_key: str) -> RotationStep:
    """What to do about the root when these settings take the place of the cluster's. Raises `InvalidArgument`.

    `signing_key` goes with `spec.signing_certificate`. Behaves as swarmkit's `manager/controlapi/ca_rotation.go`, but
    that settings may be sent back as they were shown, which is without the key.
    """
    chosen = spec.signing_certificate
    if not chosen:
        if signing_key:
            raise InvalidArgument("if a signing CA key is provided, the signing CA cert must also be provided")
        return RotationStep.NONE if spec.force_rotate == cluster.spec.force_rotate else RotationStep.BEGIN
    if not signing_key:
        if (chosen, spec.force_rotate) == (cluster.spec.signing_certificate, cluster.spec.force_rotate):
            return RotationStep.NONE
        raise InvalidArgument(
            "there must be at least one valid, reachable external CA corresponding to the next CA certificate"
        )
    if chosen == cluster.ca_certificate:
        return RotationStep.NONE if cluster.rotation is None else RotationStep.ABORT
    return RotationStep.NONE if chosen == cluster.issuer_certificate else RotationStep.BEGIN


def leave_refusal(managers: Sequence[Node] | None) -> str:
    """Why a manager must not leave without force; None = the managers are not known, this one does not run."""
    text = "You are attempting to leave the swarm on a node that is participating as a manager. "
    if managers is None:
        text += "Doing so may lose the consensus of your cluster. "
    else:
        reachable = sum(manager.reachability is Reachability.REACHABLE for manager in managers)
        unreachable = len(managers) - reachable
        if reachable == 1 and not unreachable:
            return (
                f"{text}Removing the last manager erases all current state of the swarm. "
                "Use `--force` to ignore this message. "
            )
        if reachable - 2 <= unreachable:
            text += (
                f"Removing this node leaves {reachable - 1} managers out of {len(managers)}. "
                "Without a Raft quorum your swarm will be inaccessible. "
            )
    return (
        f"{text}The only way to restore a swarm that has lost consensus is to reinitialize it with "
        "`--force-new-cluster`. Use `--force` to suppress this message."
    )


def check_role_change(node: Node, spec: NodeSpec, managers: Sequence[Node]) -> None:
    """Raise `FailedPrecondition` when the spec demotes a manager that the others cannot do without.

    `managers` are all that keep the state, the node among them. Texts are swarmkit's (`manager/controlapi/node.go`).
    """
    if node.spec.role is not NodeRole.MANAGER or spec.role is not NodeRole.WORKER:
        return
    staying = [manager for manager in managers if manager.id != node.id]
    if not staying:
        raise FailedPrecondition("attempting to demote the last manager of the swarm")
    reachable = sum(manager.reachability is Reachability.REACHABLE for manager in staying)
    if node.role is NodeRole.MANAGER and 2 * reachable <= len(staying):
        raise FailedPrecondition("can't remove member from the raft: this would result in a loss of quorum")
