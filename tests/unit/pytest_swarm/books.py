"""Builders of client records and server events for the tests of the pure parts."""

from __future__ import annotations

from pytest_swarm.ledger import ClientRecord, ServerEvent


def record(
    number: int, fate: str = "answered", *, at: float = 0.0, seconds: float = 1.0, version: str | None = "1"
) -> ClientRecord:
    return ClientRecord(
        request_id=f"run-{number:06d}",
        request_class=fate,
        scheduled=at,
        finished=at + seconds,
        seconds=seconds,
        stage="done" if fate == "answered" else "head",
        target="198.18.0.2:8080",
        version=version if fate == "answered" else None,
        task=None,
        connection=f"u0-{number}",
        reused=False,
        connection_age=0.0,
        local_port=40000 + number,
        detail=None if fate == "answered" else fate,
    )


def received(number: int, *, time: float = 0.1, task: str = "web.1.abc") -> ServerEvent:
    return ServerEvent("received", f"run-{number:06d}", time, task, "n1", "1")


def finished(number: int, *, time: float = 0.9, task: str = "web.1.abc") -> ServerEvent:
    return ServerEvent("finished", f"run-{number:06d}", time, task, "n1", "1")
