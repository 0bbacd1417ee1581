"""What a load sends, and the command line that makes Locust send it. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

Targets = Literal["one-node", "all-nodes", "task-nodes"] | tuple[str, ...]

_OPEN = ("rate", "duration", "late_after")
_FOREIGN = ("locustfile", "users", "duration", "targets", "read_timeout", "minimum_rate")
_CLOSED = ("users", "requests", "failure_pause", "first_source_port", "deadline")


class BadLoad(TypeError):
    """These settings make no load; the message says what would."""


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """What is sent. Times are seconds.

    A closed load has `users`: each sends its next request when its last one ended, after `failure_pause` if that one
    was not answered, until `requests` have been sent together; nothing more is sent after `deadline`.

    An open load has a `rate` of requests a second for a `duration`: each is sent when it is due, however long the
    others take, and its time counts from then. One that cannot be sent within `late_after` is unsent, which makes the
    run invalid.

    `locustfile`: a Locust file of your own instead, run unchanged with so many `users` for a `duration`; after that its
    users have `read_timeout` to finish what they are at.

    A run that sent fewer than `minimum_rate` requests a second from its first to its last is invalid.

    A POST carries `body_bytes`, sent over `body_seconds`.

    `targets`: one-node sends everything to the first node, all-nodes to each in turn, task-nodes to each that runs a
    task at the moment, as the managers have it, names of nodes to these in turn. On host-mode ports, where no other
    node answers, those without a task are left out whatever is said; a locustfile has the first target only.
    """

    users: int = 10
    requests: int = 500
    rate: float | None = None
    duration: float | None = None
    late_after: float = 0.5
    targets: Targets = "one-node"
    keep_alive: bool = False
    method: Literal["GET", "POST"] = "GET"
    path: str = "/"
    body_bytes: int = 1
    body_seconds: float = 0.0
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    deadline: float = 300.0
    failure_pause: float = 0.2
    first_source_port: int | None = None
    minimum_rate: float = 0.0
    locustfile: Path | None = None

    @property
    def longest_request(self) -> float:
        """Seconds after which a request has ended, whatever the service does."""
        return self.connect_timeout + self.body_seconds + self.read_timeout

    @property
    def warm_up(self) -> int:
        """How many requests have ended when the load counts as running: one of each user, or those of a second."""
        if self.locustfile is not None:
            return 1
        return min(self.requests, self.users if self.rate is None else max(1, int(self.rate)))


def settle(words: Mapping[str, Any]) -> LoadSettings:
    """Read the keywords of a load. Raises BadLoad for a mixture of open and closed, and for an unknown one."""
    known = [field.name for field in dataclasses.fields(LoadSettings)]
    for name in words:
        if name not in known:
            raise BadLoad(f"a load has no setting {name!r}; it has {', '.join(known)}")
    if words.get("locustfile") is not None:
        return _settle_foreign(words)
    if words.get("method", "GET") != "POST" and (words.get("body_bytes") or words.get("body_seconds")):
        raise BadLoad("only a POST carries a body: add method='POST', or leave out body_bytes and body_seconds")
    if not any(words.get(name) is not None for name in _OPEN):
        return LoadSettings(**words)
    clash = [name for name in _CLOSED if name in words]
    if clash:
        raise BadLoad(
            f"rate and duration make an open load, users and requests a closed one: leave out {' and '.join(clash)}, "
            "or rate and duration"
        )
    rate, duration = words.get("rate"), words.get("duration")
    if not rate or not duration or rate < 0 or duration < 0:
        raise BadLoad(f"an open load needs a rate and a duration above 0, not rate={rate}, duration={duration}")
    settings = LoadSettings(**words)
    # The last one is due one interval before the end; the rounding lets 0.1 * 30 be 3.
    requests = max(1, math.ceil(round(rate * duration, 6)))
    return dataclasses.replace(settings, users=0, requests=requests, deadline=duration + settings.late_after)


def _settle_foreign(words: Mapping[str, Any]) -> LoadSettings:
    clash = [name for name in words if name not in _FOREIGN]
    if clash:
        raise BadLoad(f"a locustfile of your own says itself what it sends: leave out {' and '.join(clash)}")
    path, duration = Path(words["locustfile"]), words.get("duration")
    if not duration or duration < 0:
        raise BadLoad(f"a locustfile needs a duration above 0, not duration={duration}")
    settings = LoadSettings(**{**words, "locustfile": path})
    # How many requests it sends is seen at the end; there has to be one.
    return dataclasses.replace(settings, requests=1, deadline=duration)


def foreign_command(settings: LoadSettings, target: str, file: str, files: str, results: str) -> list[str]:
    """Build Locust's arguments for somebody else's file; `file` is its path inside the load container."""
    return [
        *["--headless", "--only-summary", "--exit-code-on-error", "0"],
        *["-f", f"{file},{files}/workloads/locustfiles/observed.py"],
        *["-u", str(settings.users), "-r", str(settings.users), "--host", f"http://{target}"],
        # Locust takes whole seconds only.
        *["--run-time", f"{math.ceil(settings.deadline)}s", "--stop-timeout", f"{math.ceil(settings.read_timeout)}s"],
        *["--html", f"{results}/locust.html", "--csv", f"{results}/locust"],
    ]


def locust_command(
    settings: LoadSettings, run_id: str, targets_file: str, control: str, files: str, results: str
) -> list[str]:
    """Build Locust's arguments; `files` and `results` are folders inside the load container."""
    is_open = settings.rate is not None
    users = 1 if is_open else settings.users
    command = ["--headless", "--only-summary", "--exit-code-on-error", "0"]
    command += ["-f", f"{files}/workloads/locustfiles/{'open_schedule' if is_open else 'single_shot'}.py"]
    command += ["-u", str(users), "-r", str(users)]
    command += ["--html", f"{results}/locust.html", "--csv", f"{results}/locust"]
    command += ["--records", results, "--run-id", run_id, "--requests", str(settings.requests)]
    command += ["--targets-file", targets_file, "--control", control, "--deadline", str(settings.deadline)]
    command += ["--connect-timeout", str(settings.connect_timeout), "--read-timeout", str(settings.read_timeout)]
    command += ["--method", settings.method, "--path", settings.path]
    command += ["--body-bytes", str(settings.body_bytes), "--body-seconds", str(settings.body_seconds)]
    if settings.keep_alive:
        command.append("--keep-alive")
    if is_open:
        return [*command, "--rate", str(settings.rate), "--late-after", str(settings.late_after)]
    command += ["--failure-pause", str(settings.failure_pause)]
    if settings.first_source_port is not None:
        command += ["--first-source-port", str(settings.first_source_port)]
    return command
