"""Secrets and configs: small files the cluster keeps and mounts into the tasks that name them.

A secret's payload is in the replicated state only as ciphertext; its key never is (`manager/secret_vault.py`). Sizes
and texts are swarmkit's (`manager/controlapi/{secret,config}.go`).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.model.labels import Labels

TEMPLATING_DRIVER = "golang"
"""The one there is."""
MAX_SECRET_BYTES = 500 * 1024
MAX_CONFIG_BYTES = 1000 * 1024


class FileKind(StrEnum):
    """Which of the two, by the word users know."""

    SECRET = "secret"
    CONFIG = "config"


@dataclass(frozen=True, slots=True)
class Secret:
    """A file whose content only the tasks that name it may see."""

    id: str
    name: str
    sealed: bytes = field(repr=False)
    """The payload, encrypted under the managers' key."""
    labels: Labels = ()
    templating: str = ""
    """The language of the placeholders that each task gets its own content for; empty = none."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True)
class ConfigObject:
    """A file that anyone who may ask the managers may see."""

    id: str
    name: str
    data: bytes = field(repr=False)
    labels: Labels = ()
    templating: str = ""
    """As of `Secret`."""
    created_at: float = 0.0
    updated_at: float = 0.0
    version: int = 0


@dataclass(frozen=True, slots=True)
class FilePayload:
    """The content of a secret or config on its way to a node that is about to start a task with it."""

    object_id: str
    data: bytes = field(repr=False)
    templating: str = ""
    """As of `Secret`."""
