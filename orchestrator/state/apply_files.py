"""What actions on secrets and configs do to the state."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from orchestrator.model.container import ContainerSpec, FileReference
from orchestrator.model.errors import AlreadyExists, InvalidArgument, OutOfSequence
from orchestrator.model.files import ConfigObject, FileKind, Secret
from orchestrator.model.service import ServiceSpec
from orchestrator.state import actions as act
from orchestrator.state.change import Change
from orchestrator.state.cluster_state import ClusterState


def create_secret(change: Change, action: act.CreateSecret) -> None:
    """Add a secret; its name must be free."""
    _check_name(FileKind.SECRET, change.state.secrets, action.secret.name)
    change.state.put_secret(replace(action.secret, created_at=change.at, updated_at=change.at, version=change.index))


def update_secret_labels(change: Change, action: act.UpdateSecretLabels) -> None:
    """Replace a secret's labels: nothing else of it can change."""
    secret = change.state.secret(action.secret_id)
    if secret.version != action.version:
        raise OutOfSequence
    change.state.put_secret(replace(secret, labels=action.labels, updated_at=change.at, version=change.index))


def remove_secret(change: Change, action: act.RemoveSecret) -> None:
    """Forget a secret that no service names."""
    secret = change.state.secret(action.secret_id)
    _check_unused(change.state, FileKind.SECRET, secret.id, secret.name, lambda container: container.secrets)
    change.state.delete_secret(secret.id)


def create_config(change: Change, action: act.CreateConfig) -> None:
    """Add a config; its name must be free."""
    _check_name(FileKind.CONFIG, change.state.configs, action.config.name)
    change.state.put_config(replace(action.config, created_at=change.at, updated_at=change.at, version=change.index))


def update_config_labels(change: Change, action: act.UpdateConfigLabels) -> None:
    """Replace a config's labels: nothing else of it can change."""
    config = change.state.config(action.config_id)
    if config.version != action.version:
        raise OutOfSequence
    change.state.put_config(replace(config, labels=action.labels, updated_at=change.at, version=change.index))


def remove_config(change: Change, action: act.RemoveConfig) -> None:
    """Forget a config that no service names."""
    config = change.state.config(action.config_id)
    _check_unused(change.state, FileKind.CONFIG, config.id, config.name, lambda container: container.configs)
    change.state.delete_config(config.id)


def check_files_exist(state: ClusterState, spec: ServiceSpec) -> None:
    """Raise `InvalidArgument` naming the secrets, else the configs, that the spec names and the cluster lacks."""
    container = spec.task.container
    _check_exist(FileKind.SECRET, state.secrets, container.secrets)
    _check_exist(FileKind.CONFIG, state.configs, container.configs)


def _check_exist(
    kind: FileKind, known: Mapping[str, Secret] | Mapping[str, ConfigObject], references: Iterable[FileReference]
) -> None:
    missing = [reference.object_name for reference in references if reference.object_id not in known]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        raise InvalidArgument(f"{kind}{plural} not found: {', '.join(missing)}")


def _check_name(kind: FileKind, known: Mapping[str, Secret] | Mapping[str, ConfigObject], name: str) -> None:
    if any(other.name == name for other in known.values()):
        raise AlreadyExists(f"{kind} {name} already exists")


def _check_unused(
    state: ClusterState,
    kind: FileKind,
    object_id: str,
    name: str,
    references_of: Callable[[ContainerSpec], Iterable[FileReference]],
) -> None:
    users = [
        service.name
        for service in state.services.values()
        if any(reference.object_id == object_id for reference in references_of(service.spec.task.container))
    ]
    if users:
        plural = "s" if len(users) > 1 else ""
        raise InvalidArgument(f"{kind} '{name}' is in use by the following service{plural}: {', '.join(users)}")
