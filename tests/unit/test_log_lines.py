"""A log line says what its message is about."""

import logging

from orchestrator.log_lines import LineFormatter


def line(message: str, *arguments: object, **extra: object) -> str:
    record = logging.getLogger("swarm").makeRecord(
        "orchestrator.raft", logging.INFO, __file__, 1, message, arguments, None, extra=extra
    )
    return LineFormatter().format(record)


def test_what_was_given_as_extra_follows_the_message() -> None:
    written = line("raft leadership", address="10.0.0.2", leading_term=3)
    assert written.endswith("level=INFO logger=orchestrator.raft raft leadership address=10.0.0.2 leading_term=3")


def test_text_with_spaces_is_quoted() -> None:
    assert line("failed", error="no such file", reason="").endswith("failed error='no such file' reason=''")


def test_a_message_alone_stays_alone() -> None:
    assert line("started %s", "now").endswith("logger=orchestrator.raft started now")
