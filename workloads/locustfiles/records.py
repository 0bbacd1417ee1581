"""The results of a run as files: one JSON line per request when it ends, and a closing account of the run."""

from __future__ import annotations

import json
import pathlib

from workloads.locustfiles.http_client import Outcome

_BATCH = 50


class RequestBudget:
    """The number of requests all users share. Locust's users are cooperative, so no lock is needed."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.started = 0
        self.finished = 0
        self._closed = False

    def take(self) -> int | None:
        """Return the number of the next request, counted from 1, or None when there is none left to send."""
        if self._closed or self.started >= self.total:
            return None
        self.started += 1
        return self.started

    def close(self) -> None:
        """Hand out no more numbers; requests in flight may finish."""
        self._closed = True

    @property
    def in_flight(self) -> int:
        return self.started - self.finished

    @property
    def spent(self) -> bool:
        return (self._closed or self.started >= self.total) and self.in_flight == 0


class RecordFile:
    """Writes outcomes to a file in batches, one line each."""

    def __init__(self, path: pathlib.Path) -> None:
        self._stream = path.open("w", encoding="utf-8")
        self._encode = json.JSONEncoder(separators=(",", ":")).encode
        self._unflushed = 0

    def write(self, outcome: Outcome) -> None:
        # Not dataclasses.asdict: its deep copy takes three times as long as the writing, and slows the load.
        self._stream.write(self._encode(vars(outcome)) + "\n")
        self._unflushed += 1
        if self._unflushed >= _BATCH:
            self.flush()

    def flush(self) -> None:
        self._stream.flush()
        self._unflushed = 0

    def close(self) -> None:
        self._stream.close()


def write_account(path: pathlib.Path, budget: RequestBudget) -> None:
    """Write the account that a reader checks the lines against. A run without it was cut off."""
    account = {
        "requested": budget.total,
        "started": budget.started,
        "finished": budget.finished,
        "in_flight": budget.in_flight,
    }
    path.write_text(json.dumps(account), encoding="utf-8")
