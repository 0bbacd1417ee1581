"""The cluster's record and settings between Docker's JSON and the model."""

from dataclasses import replace

from orchestrator.api.convert.certificate import tls_info
from orchestrator.api.convert.units import labels, nanoseconds, seconds, timestamp
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import swarm as wire
from orchestrator.api.wire.common import Version
from orchestrator.model.cluster import Cluster, ClusterSpec
from orchestrator.model.errors import NotSupported


def spec_from_wire(spec: wire.SwarmSpec) -> ClusterSpec:
    """The cluster's settings; what is absent or 0 is the default.

    Raises `BadRequest` for a wrong value and `NotSupported` for a feature this orchestrator does not have.
    """
    if spec.name not in ("", "default"):
        raise BadRequest('swarm spec must be named "default"')
    _refuse_unsupported(spec)
    raft = spec.raft or wire.RaftConfig()
    history = spec.orchestration.task_history_retention_limit if spec.orchestration else None
    heartbeat = spec.dispatcher.heartbeat_period if spec.dispatcher else 0
    expiry = spec.ca_config.node_cert_expiry if spec.ca_config else 0
    default = ClusterSpec()
    return replace(
        default,
        labels=labels(spec.labels),
        task_history_limit=default.task_history_limit if history is None else history,
        heartbeat_period=seconds(heartbeat) or default.heartbeat_period,
        node_certificate_expiry=seconds(expiry) or default.node_certificate_expiry,
        snapshot_interval=raft.snapshot_interval or default.snapshot_interval,
        keep_old_snapshots=raft.keep_old_snapshots or 0,
        log_entries_for_slow_followers=raft.log_entries_for_slow_followers or default.log_entries_for_slow_followers,
        election_tick=raft.election_tick or default.election_tick,
        heartbeat_tick=raft.heartbeat_tick or default.heartbeat_tick,
        auto_lock_managers=bool(spec.encryption_config and spec.encryption_config.auto_lock_managers),
        force_rotate=spec.ca_config.force_rotate if spec.ca_config else 0,
        signing_certificate=_normalised(spec.ca_config.signing_ca_cert) if spec.ca_config else "",
    )


def _refuse_unsupported(spec: wire.SwarmSpec) -> None:
    authority = spec.ca_config
    if authority is None:
        return
    if authority.external_cas:
        raise NotSupported("external certificate authorities are not supported")


def _normalised(pem: str) -> str:
    """The PEM as we write it ourselves, so that one certificate is one text."""
    lines = [line.strip() for line in pem.splitlines() if line.strip()]
    return "\n".join((*lines, "")) if lines else ""


def cluster_to_wire(cluster: Cluster, *, with_tokens: bool) -> wire.ClusterInfo:
    """The cluster; its join tokens only where they are asked for."""
    return wire.ClusterInfo(
        id=cluster.id,
        version=Version(index=cluster.version),
        created_at=timestamp(cluster.created_at),
        updated_at=timestamp(cluster.updated_at),
        spec=_spec_to_wire(cluster.spec),
        tls_info=tls_info(cluster.ca_certificate, cluster.issuer_certificate),
        root_rotation_in_progress=cluster.rotation is not None,
        default_addr_pool=cluster.default_address_pools or None,
        subnet_size=cluster.subnet_size,
        data_path_port=cluster.data_path_port,
        join_tokens=wire.JoinTokens(worker=cluster.worker_token, manager=cluster.manager_token)
        if with_tokens
        else None,
    )


def _spec_to_wire(spec: ClusterSpec) -> wire.SwarmSpec:
    return wire.SwarmSpec(
        name=spec.name,
        labels=dict(spec.labels),
        orchestration=wire.OrchestrationConfig(task_history_retention_limit=spec.task_history_limit),
        raft=wire.RaftConfig(
            snapshot_interval=spec.snapshot_interval,
            keep_old_snapshots=spec.keep_old_snapshots,
            log_entries_for_slow_followers=spec.log_entries_for_slow_followers,
            election_tick=spec.election_tick,
            heartbeat_tick=spec.heartbeat_tick,
        ),
        dispatcher=wire.DispatcherConfig(heartbeat_period=nanoseconds(spec.heartbeat_period)),
        ca_config=wire.CAConfig(
            node_cert_expiry=nanoseconds(spec.node_certificate_expiry),
            signing_ca_cert=spec.signing_certificate,
            force_rotate=spec.force_rotate,
        ),
        task_defaults=wire.TaskDefaults(),
        encryption_config=wire.EncryptionConfig(auto_lock_managers=spec.auto_lock_managers),
    )
