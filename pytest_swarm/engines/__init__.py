"""What can orchestrate a cluster: each engine is one file, all of them meet the Protocol in `base`."""

from __future__ import annotations

from pytest_swarm.engines.base import Engine
from pytest_swarm.engines.docker import DockerSwarm
from pytest_swarm.engines.orchestrator import Orchestrator


def engine_named(name: str) -> Engine:
    """Return the engine that `--swarm-engine` names; the option has checked the name."""
    return {engine.name: engine for engine in (Orchestrator(), DockerSwarm())}[name]
