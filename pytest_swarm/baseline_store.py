"""Baselines as files: `.swarm/NAME.json` holds the figures of each valid run of a session."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_swarm.baseline import Figures

# Raise it whenever a reader of the old form would misread the new one.
FORMAT = 1


class BadBaseline(Exception):
    """There is no baseline of that name, or what is there is none; the message is one line and says what to do."""


def save(storage: Path, name: str, engines: Sequence[str], runs: Mapping[str, Figures]) -> Path:
    """Write a baseline, over one of the same name, and return its path."""
    storage.mkdir(parents=True, exist_ok=True)
    path = storage / f"{name}.json"
    content: dict[str, Any] = {"format": FORMAT, "created": time.time(), "engines": list(engines), "runs": dict(runs)}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path


def load(storage: Path, name: str) -> Mapping[str, Figures]:
    """Read a baseline. Raises BadBaseline."""
    path = storage / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(sorted(each.stem for each in storage.glob("*.json"))) or "none"
        raise BadBaseline(f"there is no {path}; saved are: {there}; save one with --swarm-save={name}") from None
    except (OSError, ValueError) as error:
        raise BadBaseline(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BadBaseline(f"{path} is no baseline of this version: save it anew with --swarm-save={name}")
    runs: Mapping[str, Figures] = content["runs"]
    return runs
