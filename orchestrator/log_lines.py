"""How a log line looks: time, level, logger, message, then what the message is about, as key=value."""

import logging

_FORMAT = "time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; the rest was given as `extra`."""


class LineFormatter(logging.Formatter):
    """One line a record, but for tracebacks."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without a traceback."""
        given = [f" {key}={_quoted(value)}" for key, value in vars(record).items() if key not in _PLAIN]
        return super().formatMessage(record) + "".join(given)


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(character.isspace() for character in text) else text
