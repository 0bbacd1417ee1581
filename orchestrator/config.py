"""The only reader of the environment: where `swarmd` listens and keeps its things."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one daemon, each with the name of its environment variable."""

    api_sockets: tuple[Path, ...] = (Path("/var/run/docker.sock"),)
    """`SWARM_API_SOCKET`: a further Unix socket that answers the Docker API beside /var/run/docker.sock."""
    engine_socket: Path = Path("/run/engine/docker.sock")
    """`SWARM_ENGINE_SOCKET`: the inner engine's own socket."""
    state_directory: Path = Path("/var/lib/swarm")
    """`SWARM_STATE_DIRECTORY`: identity, certificates, Raft journal and snapshots."""
    run_directory: Path = Path("/run/swarm")
    """`SWARM_RUN_DIRECTORY`: private sockets."""
    log_level: str = "INFO"
    """`SWARM_LOG_LEVEL`."""


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def from_environment(environment: Mapping[str, str] = os.environ) -> Config:
    """The daemon's settings. Raises `InvalidArgument` naming the variable that makes no sense."""
    default = Config()
    further = environment.get("SWARM_API_SOCKET", "")
    level = environment.get("SWARM_LOG_LEVEL", default.log_level).upper()
    if level not in LOG_LEVELS:
        raise InvalidArgument(f"SWARM_LOG_LEVEL={level}: use one of {', '.join(LOG_LEVELS)}")
    return Config(
        api_sockets=(*default.api_sockets, *([Path(further)] if further else [])),
        engine_socket=Path(environment.get("SWARM_ENGINE_SOCKET", default.engine_socket)),
        state_directory=Path(environment.get("SWARM_STATE_DIRECTORY", default.state_directory)),
        run_directory=Path(environment.get("SWARM_RUN_DIRECTORY", default.run_directory)),
        log_level=level,
    )
