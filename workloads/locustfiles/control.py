"""Asks the control target a few times a second while a load runs, and keeps the same records of it as of the load."""

from __future__ import annotations

import pathlib
import time

import gevent

from workloads.locustfiles.http_client import ANSWERED, Settings, SingleShotClient
from workloads.locustfiles.records import RecordFile

_PAUSE_SECONDS = 0.25
_START_SECONDS = 20.0  # the target is started together with the load, and may come up after it


class ControlWatch:
    """Asks until `stop`, each time on a fresh connection, and with the load's own timeouts."""

    def __init__(self, host: str, port: int, timeouts: Settings, records: pathlib.Path) -> None:
        self._host = host
        self._port = port
        self._timeouts = timeouts
        self._records = RecordFile(records)
        self._stopped = False
        self._asker = gevent.spawn(self._ask_until_stopped)

    def stop(self) -> None:
        """Ask no more, and wait for the answer to the last time: that is when it matters."""
        self._stopped = True
        self._asker.join(self._timeouts.connect_timeout + self._timeouts.read_timeout + _PAUSE_SECONDS)
        self._records.close()

    def _ask_until_stopped(self) -> None:
        client = SingleShotClient("control", self._timeouts)
        give_up = time.monotonic() + _START_SECONDS
        is_up = False
        number = 0
        while not self._stopped:
            outcome = client.send(f"control-{number + 1:06d}", self._host, self._port)
            is_up = is_up or outcome.request_class == ANSWERED or time.monotonic() > give_up
            if is_up:
                number += 1
                self._records.write(outcome)
            gevent.sleep(_PAUSE_SECONDS)
