"""`summary.json`: the figures of a session for machines, in the form that `summary.schema.json` documents."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.budget import Verdict
from pytest_swarm.guards import verdict
from pytest_swarm.ledger import Entry, Ledger
from pytest_swarm.phases import Operation, Phase
from pytest_swarm.session import Session

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster
    from pytest_swarm.failure_archive import FailureArchive
    from pytest_swarm.load import LoadRun

# Raise it whenever a reader of the old form would misread the new one.
SCHEMA_VERSION = 3
SCHEMA_FILE = Path(__file__).with_name("summary.schema.json")
_LOSSES_LISTED = 100


def summarize(session: Session) -> dict[str, Any]:
    """Collect the figures of a session's clusters, those booted last, and of all its finished loads."""
    return {
        "schema_version": SCHEMA_VERSION,
        "created": time.time(),
        "clusters": [_cluster(cluster) for cluster in session.clusters.values()],
        "runs": [summarize_run(run) for run in session.runs if run.has_ended],
        "failures": [_failure(archive) for archive in session.failure_archives],
    }


def write_summary(directory: Path, summary: dict[str, Any]) -> Path:
    """Write `summary.json` into the folder and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return path


def summarize_run(run: LoadRun) -> dict[str, Any]:
    """The figures of one load. Times are seconds, moments seconds since the epoch."""
    ledger = run.ledger
    return {
        "engine": run.cluster.engine.name,
        "scenario": run.scenario,
        "load": run.name,
        "service": {"image": run.service.deployment.image, "replicas": run.service.deployment.replicas},
        "policy": dataclasses.asdict(run.policy),
        "users": run.settings.users,
        "rate": run.settings.rate,
        "requested": ledger.requested,
        "sent": ledger.sent,
        "lost": ledger.lost,
        "classes": dict(ledger.counts),
        "kinds": dict(ledger.kinds),
        "versions": sorted(ledger.versions),
        "tasks": [dataclasses.asdict(each) for each in ledger.tasks],
        "longest_gap_seconds": ledger.longest_gap,
        "p50_seconds": ledger.percentile(50),
        "p99_seconds": ledger.percentile(99),
        "operations_seconds": run.update_seconds,
        "operations": [_operation(each) for each in run.operations],
        "phases": [_phase(ledger, each) for each in ledger.phases],
        "valid": not run.violations,
        "violations": run.violations,
        "unproven": run.unproven,
        "control": {
            "asked": run.control.asked,
            "failed": run.control.failed,
            "slowest_seconds": run.control.slowest,
        },
        "budget": [_verdict(each) for each in run.verdicts],
        "balance": ledger.sum_line(),
        "verdict": verdict(ledger, run.violations),
        "losses": [_loss(entry) for entry in ledger.losses[:_LOSSES_LISTED]],
    }


def _failure(archive: FailureArchive) -> dict[str, Any]:
    return {
        "test": archive.test,
        "archive": str(archive.path),
        "missing": list(archive.missing),
        "digest": archive.digest,
    }


def _cluster(cluster: Cluster) -> dict[str, Any]:
    times = cluster.boot_times
    return {
        "engine": cluster.engine.name,
        "nodes": len(cluster.nodes),
        "managers": cluster.managers,
        "docker_version": cluster.docker_version,
        "boot_seconds": {
            "containers": times.containers,
            "answering": times.answering,
            "joined": times.joined,
            "ready": times.ready,
            "total": times.total,
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "key": verdict.key,
        "allowed": verdict.allowed,
        "seen": verdict.seen,
        "kept": verdict.is_kept,
        "text": str(verdict),
    }


def _operation(operation: Operation) -> dict[str, Any]:
    return {
        "name": operation.name,
        "started": operation.started,
        "seconds": operation.seconds if math.isfinite(operation.seconds) else None,
        "is_fault": operation.is_fault,
        "replacements": [
            {"slot": each.slot, "started": each.started, "finished": each.finished} for each in operation.replacements
        ],
    }


def _phase(ledger: Ledger, phase: Phase) -> dict[str, Any]:
    return {
        "name": phase.name,
        "started": phase.started,
        "seconds": phase.finished - phase.started,
        "requests_started": sum(entry.phase is phase for entry in ledger.entries),
    }


def _loss(entry: Entry) -> dict[str, Any]:
    return {
        "request_id": entry.record.request_id,
        "class": entry.request_class,
        "kind": entry.kind,
        "phase": entry.ended_in.name,
        "received_by": [f"{event.task}@{event.node}" for event in entry.received],
        "finished_by": [f"{event.task}@{event.node}" for event in entry.finished],
        "story": entry.story(),
    }
