"""A hash over everything that was ever applied: managers that differ in one entry differ in every later digest."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

SIZE = 16
"""Bytes: against mistakes, not against forgers."""


def digest_after(
    before: str, revisions: tuple[int, ...], cluster: object, written: Iterable[tuple[str, object]]
) -> str:
    """The digest of one batch upon that of all before it.

    `written` are ids with the objects they hold now, None where one was removed; `cluster` is None when unchanged. What
    is hashed is the effect of a batch, not its bytes: a handler that does on one manager what it does not on another
    shows as well as an entry that one lacks.
    """
    return blake2b(msgspec.json.encode((before, revisions, cluster, list(written))), digest_size=SIZE).hexdigest()
