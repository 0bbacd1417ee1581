"""Secrets and configs."""

from orchestrator.api.wire.common import Driver, StringMap, Version, WireObject


class FileSpec(WireObject):
    """What the user asks for: of a secret or of a config, which has no `driver`."""

    name: str = ""
    labels: StringMap | None = None
    data: str = ""
    """In base64; of a secret it is read and never written."""
    driver: Driver | None = None
    templating: Driver | None = None


class FileObject(WireObject):
    """A secret or config."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: FileSpec
