"""The one way the replicated state changes.

`apply` is deterministic: the same batches in the same order give the same state on every manager. A batch is
whole or nothing. An action that is not allowed in the present state raises a `ClusterError`; its proposer learns
of it and decides anew.
"""

from collections.abc import Callable
from typing import Any

from orchestrator.state import actions as act
from orchestrator.state.apply_cluster import (
    abort_root_rotation,
    begin_root_rotation,
    create_cluster,
    finish_root_rotation,
    leap_revisions,
    rotate_gossip_keys,
    rotate_join_tokens,
    set_unlock_key,
    update_cluster_spec,
)
from orchestrator.state.apply_files import (
    create_config,
    create_secret,
    remove_config,
    remove_secret,
    update_config_labels,
    update_secret_labels,
)
from orchestrator.state.apply_network import create_network, remove_network
from orchestrator.state.apply_node import (
    add_node,
    begin_leaving,
    describe_node,
    remove_node,
    remove_node_gateway,
    set_node_gateway,
    set_node_role,
    set_node_state,
    set_reachability,
    update_node_spec,
)
from orchestrator.state.apply_service import (
    allocate_service,
    create_service,
    remove_service,
    rollback_service,
    set_update_status,
    update_service,
)
from orchestrator.state.apply_task import (
    allocate_task,
    assign_task,
    confirm_withdrawal,
    create_task,
    explain_pending,
    lose_task,
    release_endpoint,
    remove_task,
    report_task_status,
    set_desired_state,
)
from orchestrator.state.change import Change
from orchestrator.state.cluster_state import ClusterState

HANDLERS: dict[type, Callable[[Change, Any], None]] = {
    act.CreateCluster: create_cluster,
    act.UpdateClusterSpec: update_cluster_spec,
    act.RotateJoinTokens: rotate_join_tokens,
    act.SetUnlockKey: set_unlock_key,
    act.BeginRootRotation: begin_root_rotation,
    act.AbortRootRotation: abort_root_rotation,
    act.FinishRootRotation: finish_root_rotation,
    act.RotateGossipKeys: rotate_gossip_keys,
    act.LeapRevisions: leap_revisions,
    act.AddNode: add_node,
    act.UpdateNodeSpec: update_node_spec,
    act.DescribeNode: describe_node,
    act.SetNodeState: set_node_state,
    act.SetNodeRole: set_node_role,
    act.SetReachability: set_reachability,
    act.SetNodeGateway: set_node_gateway,
    act.RemoveNodeGateway: remove_node_gateway,
    act.BeginLeaving: begin_leaving,
    act.RemoveNode: remove_node,
    act.CreateNetwork: create_network,
    act.RemoveNetwork: remove_network,
    act.CreateSecret: create_secret,
    act.UpdateSecretLabels: update_secret_labels,
    act.RemoveSecret: remove_secret,
    act.CreateConfig: create_config,
    act.UpdateConfigLabels: update_config_labels,
    act.RemoveConfig: remove_config,
    act.CreateService: create_service,
    act.UpdateService: update_service,
    act.RollbackService: rollback_service,
    act.SetUpdateStatus: set_update_status,
    act.AllocateService: allocate_service,
    act.RemoveService: remove_service,
    act.CreateTask: create_task,
    act.AllocateTask: allocate_task,
    act.AssignTask: assign_task,
    act.ExplainPending: explain_pending,
    act.SetDesiredState: set_desired_state,
    act.ReportTaskStatus: report_task_status,
    act.LoseTask: lose_task,
    act.ConfirmWithdrawal: confirm_withdrawal,
    act.ReleaseEndpoint: release_endpoint,
    act.RemoveTask: remove_task,
}


def apply(state: ClusterState, batch: act.Batch) -> None:
    """Apply a committed batch, whole or not at all.

    Raises the `ClusterError` of the first action that is refused; the state is then as before.
    """
    with state.transaction():
        state.index += 1
        change = Change(state=state, at=batch.at, index=state.index)
        for action in batch.actions:
            HANDLERS[type(action)](change, action)
    state.remember(batch.at)
