"""Durations, times and labels between Docker's JSON and the model."""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from orchestrator.api.errors import BadRequest
from orchestrator.model.labels import Labels

NANOSECONDS = 1_000_000_000
_MAX_INT64 = 2**63 - 1
Choice = TypeVar("Choice", bound=StrEnum)
Given = TypeVar("Given")
Converted = TypeVar("Converted")


def where_given(convert: Callable[[Given], Converted], value: Given | None) -> Converted | None:
    """The value converted; None stays None, for "the user said nothing"."""
    return None if value is None else convert(value)


def seconds(nanoseconds: int) -> float:
    """A duration of the wire as the model holds it; exact to the nanosecond below 2**51 (26 days)."""
    return nanoseconds / NANOSECONDS


def nanoseconds(duration: float) -> int:
    """A duration of the model as the wire holds it: never beyond Go's integers, however the model's was rounded."""
    return max(-_MAX_INT64, min(round(duration * NANOSECONDS), _MAX_INT64))


def timestamp(at: float) -> str:
    """Seconds since the epoch as Go's RFC3339Nano in UTC: at most nine digits, no trailing zeros."""
    whole, fraction = divmod(nanoseconds(at), NANOSECONDS)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def labels(pairs: Mapping[str, str] | None) -> Labels:
    """A JSON map as sorted pairs."""
    return tuple(sorted((pairs or {}).items()))


def choice(kind: type[Choice], text: str, default: Choice, complaint: str) -> Choice:
    """The member of that value; `default` for "". Raises `BadRequest` of `complaint`, its `{}` filled in."""
    if not text:
        return default
    try:
        return kind(text)
    except ValueError as error:
        raise BadRequest(complaint.format(text)) from error
