"""What a command printed, without what differs between runs: ids, moments, keys, addresses, progress. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Json = Any

_REPLACEMENTS = [
    (re.compile(pattern, re.MULTILINE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", "<certificate>"),
        (r"SWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25}", "<token>"),
        (r"SWMKEY-1-[A-Za-z0-9+/]{43}", "<key>"),
        (r"\b[0-9a-f]{64}\b", "<digest>"),
        (r"\b[a-z0-9]{25}\b", "<id>"),
        (r"\d{4}-\d\d-\d\d[T ][\d:.]+(Z| \+0000 utc)", "<moment>"),
        (r"((About|about|Less than|less than) )?(\d+|an?) (second|minute)s? ago", "<ago>"),
        # The client's own progress, which shows what it happened to see.
        (r"^(overall progress|verify: Waiting)\b[^\n]*\n", ""),
        (r"^\d+/\d+: [^\n]*\n", ""),
        (r"^active tasks: [^\n]*\n", ""),
        (r"(Issuer (Subject|Public Key):)\s+\S+", r"\1 <encoded>"),
        # Columns are as wide as what is in them.
        (r"[ \t]{2,}", "  "),
        (r"[ \t]+$", ""),
        # The same at the start of a row, cut short.
        (r"^[a-z0-9]{12}(?=  )", "<id>"),
    )
]
_TASK_TABLE = re.compile(r"^ID  NAME  IMAGE  NODE  DESIRED STATE")
_NODE_COLUMN = re.compile(r"(?<=  )n[1-4](?=  )")
_VARYING = {
    "CertIssuerPublicKey": "<encoded>",
    # The same name: Go writes it as a PrintableString, as X.509 allows for ASCII, others as a UTF8String.
    "CertIssuerSubject": "<encoded>",
    "MemoryBytes": 0,
    "Index": 0,
}


def normal_form(text: str, addresses: Mapping[str, str]) -> Json:
    """The text as it should be the same on both engines; JSON is decoded. `addresses`: node name -> its address."""
    for name, address in addresses.items():
        text = text.replace(address, f"<{name}>")
    if text.startswith(("{", "[")):
        return _normal(json.loads(text))
    return _normal_text(text)


def _normal(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _VARYING.get(key, _normal(each)) for key, each in value.items()}
    if isinstance(value, list):
        inner = [_normal(each) for each in value]
        # Managers are listed by their ids, which are random.
        return sorted(inner, key=lambda each: each["Addr"]) if _are_managers(inner) else inner
    return _normal_text(value) if isinstance(value, str) else value


def _are_managers(values: list[Json]) -> bool:
    return all(isinstance(each, dict) and each.keys() == {"NodeID", "Addr"} for each in values)


def _normal_text(text: str) -> str:
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    if _TASK_TABLE.match(text):
        # Where a task runs is the scheduler's choice among nodes that are alike.
        text = _NODE_COLUMN.sub("<node>", text)
    return text.strip("\n")
