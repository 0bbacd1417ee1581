"""Whether a secret or config makes sense in itself.

Behaves as swarmkit's `manager/controlapi/{secret,config,common}.go`, message by message. Pure.
"""

import re

from orchestrator.model.errors import InvalidArgument
from orchestrator.model.files import MAX_CONFIG_BYTES, MAX_SECRET_BYTES, FileKind

MAX_NAME_LENGTH = 64
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")
_MAX_BYTES = {FileKind.SECRET: MAX_SECRET_BYTES, FileKind.CONFIG: MAX_CONFIG_BYTES}


def validate_file(kind: FileKind, name: str, payload: bytes) -> None:
    """Raise `InvalidArgument` with the first thing wrong."""
    if not name:
        raise InvalidArgument("name must be provided")
    if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise InvalidArgument(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be "
            "[a-zA-Z0-9]"
        )
    if not 0 < len(payload) < _MAX_BYTES[kind]:
        raise InvalidArgument(f"{kind} data must be larger than 0 and less than {_MAX_BYTES[kind]} bytes")
