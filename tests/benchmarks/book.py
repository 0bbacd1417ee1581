"""Where the benchmarks write their rows: a file of JSON lines, each written as soon as it is known."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_swarm.session import session_of

FILE_NAME = "rows.jsonl"
DEFAULT_DIRECTORY = Path("bench-report")


class Book:
    """The rows of one run of the suite. Several sessions, one for each engine say, may write into one.

    `written` are those of this session.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE_NAME
        self.written: list[Mapping[str, Any]] = []

    def add(self, table: str, row: Mapping[str, Any]) -> None:
        """Append a row of that table: "matrix", "costs", "faults" or "names"."""
        self.written.append({"table": table, **row})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.written[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())


def book_of(config: pytest.Config) -> Book:
    """The book of this session: in its report folder."""
    return Book(session_of(config).options.report_dir or DEFAULT_DIRECTORY)


def print_past_capture(config: pytest.Config, text: str) -> None:
    """Print at once, whatever pytest captures: a benchmark's table is its answer."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n" + text)  # noqa: T201
