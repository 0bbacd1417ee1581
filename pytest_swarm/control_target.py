"""The control target of a load: a container of its own, beside the load's and on the cluster's network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_swarm.engine_client import new_container
from workloads.locustfiles import control_target

if TYPE_CHECKING:
    from pytest_swarm.cluster import Cluster


class ControlTarget:
    """Runs between `start` and `stop`; `address` is HOST:PORT on the cluster's network."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._name = cluster.owner.name_of(f"{name}-control")
        self._container: Any = None
        self.address = ""

    def start(self, files: Path, mount: str) -> None:
        """Start it from the load's own files; it may take a moment to listen."""
        cluster = self._cluster
        self._container = (
            new_container(cluster.image)
            .with_name(self._name)
            .with_network(cluster.network)
            .with_envs(PYTHONPATH=mount, PYTHONDONTWRITEBYTECODE="1")
            .with_volume_mapping(files, mount, "ro")
            .with_command(["-m", control_target.__name__])
            .with_kwargs(entrypoint=["python3"], labels=cluster.owner.labels)
        )
        self._container.start()
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        address = wrapped.attrs["NetworkSettings"]["Networks"][cluster.network.name]["IPAddress"]
        self.address = f"{address}:{control_target.PORT}"

    def stop(self) -> None:
        """Remove it; without a start that does nothing."""
        if self._container is not None:
            self._container.stop()
            self._container = None
