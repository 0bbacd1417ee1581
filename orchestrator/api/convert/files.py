"""Secrets and configs between Docker's JSON and the model."""

import base64
import binascii

from orchestrator.api.convert.units import timestamp
from orchestrator.api.errors import BadRequest
from orchestrator.api.wire import files as wire
from orchestrator.api.wire.common import Driver, Version
from orchestrator.model.files import ConfigObject, Secret


def payload_from_wire(spec: wire.FileSpec) -> bytes:
    """The content. Raises `BadRequest` for what is no base64."""
    try:
        return base64.b64decode(spec.data.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"invalid JSON: data is not base64-encoded: {error}") from error


def secret_to_wire(secret: Secret) -> wire.FileObject:
    """A secret; its content stays behind."""
    return _object(secret, "")


def config_to_wire(config: ConfigObject) -> wire.FileObject:
    """A config with its content."""
    return _object(config, base64.b64encode(config.data).decode())


def _object(item: Secret | ConfigObject, data: str) -> wire.FileObject:
    return wire.FileObject(
        id=item.id,
        version=Version(index=item.version),
        created_at=timestamp(item.created_at),
        updated_at=timestamp(item.updated_at),
        spec=wire.FileSpec(
            name=item.name,
            labels=dict(item.labels),
            data=data,
            templating=Driver(name=item.templating) if item.templating else None,
        ),
    )
