"""Load on a service while a test changes it: Locust in a container of its own, on the cluster's network.

    with load(web, users=10, requests=500) as run:
        web.update(image="shop:2")
    assert run.lost == 0, run.explain()

The body starts once the first answers are in; leaving it waits until every request has ended, then joins the
client's records with the service's log. A run that proves nothing (see `guards`) raises InvalidRun, one that loses
more than its budget allows (see `budget`) BudgetBroken.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_swarm.budget import Budget, Verdict, breach_report
from pytest_swarm.cluster import Cluster
from pytest_swarm.control_target import ControlTarget
from pytest_swarm.engine_client import new_container
from pytest_swarm.guards import Control, Expectations, unproven, verdict, violations
from pytest_swarm.ledger import ANSWERED, ClientRecord, Ledger, ServerEvent, balance
from pytest_swarm.load_settings import BadLoad, LoadSettings, foreign_command, locust_command, settle
from pytest_swarm.load_targets import FILE_NAME, LoadTargets
from pytest_swarm.locust_files import LOCUST_MOUNT, ensure_locust
from pytest_swarm.phases import Operation, images_in_service, split_into_phases
from pytest_swarm.server_log import LogCollector
from pytest_swarm.service import Service
from pytest_swarm.service_spec import UpdatePolicy, update_policy
from pytest_swarm.waiting import Done, NotYet, wait_until

FILES_MOUNT = "/opt/load"
START_SECONDS = 60.0
_RESULTS_MOUNT = "/results"
_USER_MOUNT = "/opt/user"
_END_MARGIN_SECONDS = 30.0
_STORIES_SHOWN = 20


Location = tuple[str, int]
"""Where a test is: its file, and its line counted from 1."""


class InvalidRun(Exception):
    """The run proves nothing, whatever it counted; the message lists why."""


class BudgetBroken(AssertionError):
    """The run lost more than it may; the message names what was allowed, what was seen and the first losses."""


class LoadFailed(Exception):
    """The load itself broke down; the message ends with what Locust said."""


class LoadRun:
    """One load. Inside its `with` block it runs; afterwards `ledger` and all that reads it can be used."""

    policy: UpdatePolicy
    """How the service was to be updated when the load began."""

    def __init__(
        self,
        cluster: Cluster,
        service: Service,
        settings: LoadSettings,
        name: str,
        scenario: str,
        results: Path,
        *,
        through: Service | None = None,
        budget: Budget | None = None,
        location: Location = ("", 0),
    ) -> None:
        self.location = location
        self.cluster = cluster
        self.service = service
        self.entrance = through or service
        self.settings = settings
        self.name = name
        self.scenario = scenario
        self.results = results
        self.budget = budget or Budget()
        self.verdicts: list[Verdict] = []
        self.violations: list[str] = []
        self.unproven: list[str] = []
        self.control = Control.of([])
        self._ledger: Ledger | None = None
        self._container: Any = None
        self._control_target = ControlTarget(cluster, name)
        self._targets = LoadTargets(cluster, self.entrance, settings.targets)
        self._logs = LogCollector(cluster.nodes, service.id)
        self._began = 0.0
        self._operations_end: int | None = None

    def __enter__(self) -> LoadRun:
        self._began = time.time()
        self.policy = update_policy(self.service.inspect()["Spec"])
        try:
            self._logs.start()
            self._start_container()
            wait_until(self._warmed_up, what="the first answers under load", timeout=START_SECONDS)
        except BaseException:
            self._end()
            raise
        self.cluster.progress.clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A failure shows the test's own line, not how it was found.
        __tracebackhide__ = True
        self._operations_end = len(self.cluster.operations)
        records: list[ClientRecord] = []
        try:
            if error is None:
                self._wait_for_end()
                records = self._read_records()
        finally:
            answered = [record.request_id for record in records if record.request_class == ANSWERED]
            events = self._end(answered)
        if error is None:
            self._settle(records, events)

    @property
    def _files(self) -> Path:
        """What the load container reads; it goes with the cluster if this process is killed."""
        return self.cluster.directory / "load-files" / self.name

    @property
    def has_ended(self) -> bool:
        """Whether the load ran to its end and was balanced."""
        return self._ledger is not None

    @property
    def ledger(self) -> Ledger:
        """The books of the run. Raises RuntimeError while the load still runs."""
        if self._ledger is None:
            raise RuntimeError("the load is still running: read its results after the with block")
        return self._ledger

    @property
    def operations(self) -> list[Operation]:
        """What was done to the cluster during the load, faults that were in force already among it."""
        done = self.cluster.operations[: self._operations_end]
        return [operation for operation in done if operation.finished > self._began]

    @property
    def lost(self) -> int:
        """How many requests were sent and not answered as they should be."""
        return self.ledger.lost

    @property
    def duplicates(self) -> int:
        """How many requests the service finished more than once; 0 says nothing where it keeps no log of them."""
        return self.ledger.duplicates

    @property
    def versions(self) -> set[str]:
        """The versions of the service that answered."""
        return self.ledger.versions

    @property
    def longest_gap(self) -> float:
        """The longest time in seconds without any answer."""
        return self.ledger.longest_gap

    @property
    def broken(self) -> list[Verdict]:
        """The limits of its budget that the run did not keep."""
        return [verdict for verdict in self.verdicts if not verdict.is_kept]

    @property
    def update_seconds(self) -> float:
        """For how long any operation went on during the load, faults not counted."""
        return self.ledger.operations_seconds

    def explain(self) -> str:
        """The balance, what it cannot show, what the control target saw, and the story of each lost request."""
        losses = self.ledger.losses
        lines = [verdict(self.ledger, self.violations), self.ledger.sum_line(), *self.unproven, str(self.control)]
        if self.lost:
            lines.append("lost: " + ", ".join(f"{count} {kind}" for kind, count in self.ledger.kinds.items()))
        lines += [entry.story() for entry in losses[:_STORIES_SHOWN]]
        if len(losses) > _STORIES_SHOWN:
            lines.append(f"... and {len(losses) - _STORIES_SHOWN} more")
        return "\n".join(lines)

    def _start_container(self) -> None:
        cluster = self.cluster
        locust = ensure_locust(cluster.host, cluster.image, cluster.owner, progress=cluster.progress)
        files = self._files
        _copy_locustfiles(files)
        self._control_target.start(files, FILES_MOUNT)
        self._targets.start(files)
        container = (
            new_container(cluster.image)
            .with_name(cluster.owner.name_of(self.name))
            .with_network(cluster.network)
            .with_envs(**self._environment())
            .with_volume_mapping(locust, LOCUST_MOUNT, "ro")
            .with_volume_mapping(files, FILES_MOUNT, "ro")
            .with_volume_mapping(self.results, _RESULTS_MOUNT, "rw")
            .with_command(self._command())
            .with_kwargs(
                entrypoint=["python3", "-m", "locust"],
                labels=cluster.owner.labels,
                # The results belong to whoever runs pytest, not to root.
                user=f"{os.getuid()}:{os.getgid()}",
                working_dir="/tmp",
            )
        )
        if self.settings.locustfile is not None:
            container = container.with_volume_mapping(self.settings.locustfile.resolve().parent, _USER_MOUNT, "ro")
        self._container = container
        self._container.start()

    def _environment(self) -> dict[str, str]:
        path = [LOCUST_MOUNT, FILES_MOUNT]
        environment = {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp"}
        if self.settings.locustfile is not None:
            path.append(_USER_MOUNT)
            environment |= {"SWARM_RECORDS": _RESULTS_MOUNT, "SWARM_RUN_ID": self.name}
            environment["SWARM_CONTROL"] = self._control_target.address
        return {**environment, "PYTHONPATH": ":".join(path)}

    def _command(self) -> list[str]:
        settings = self.settings
        if settings.locustfile is not None:
            file = f"{_USER_MOUNT}/{settings.locustfile.name}"
            return foreign_command(settings, self._targets.current[0], file, FILES_MOUNT, _RESULTS_MOUNT)
        control = self._control_target.address
        targets = f"{FILES_MOUNT}/{FILE_NAME}"
        return locust_command(settings, self.name, targets, control, FILES_MOUNT, _RESULTS_MOUNT)

    def _warmed_up(self) -> Done[None] | NotYet:
        finished = _count_lines(self.results / "requests.jsonl")
        if finished >= self.settings.warm_up:
            return Done(None)
        self._raise_if_ended_badly()
        return NotYet(f"{finished} requests have ended")

    def _wait_for_end(self) -> None:
        longest = self.settings.deadline + self.settings.longest_request + _END_MARGIN_SECONDS
        wait_until(self._ended, what="the end of the load", timeout=longest)

    def _ended(self) -> Done[None] | NotYet:
        if (self.results / "end.json").exists() and not self._is_running():
            return Done(None)
        self._raise_if_ended_badly()
        total = "" if self.settings.locustfile is not None else f" of {self.settings.requests}"
        state = f"{_count_lines(self.results / 'requests.jsonl')}{total} requests have ended"
        self.cluster.progress.update(f"{self.name}: {state}")
        return NotYet(state)

    def _is_running(self) -> bool:
        self._container.reload()
        return bool(self._container.status == "running")

    def _raise_if_ended_badly(self) -> None:
        if not self._is_running() and not (self.results / "end.json").exists():
            output, errors = self._container.get_logs()
            raise LoadFailed(f"Locust ended early: {(output + errors).decode(errors='replace')[-2000:]}")

    def _end(self, answered: Sequence[str] = ()) -> list[ServerEvent]:
        """Stop following the service's log and return it; the load goes too, even when the log fails."""
        try:
            return self._logs.finish(answered)
        finally:
            self._discard()

    def _discard(self) -> None:
        self._targets.stop()
        try:
            if self._container is not None:
                self._container.stop()
                self._container = None
        finally:
            try:
                self._control_target.stop()
            finally:
                shutil.rmtree(self._files, ignore_errors=True)

    def _read_records(self, name: str = "requests.jsonl") -> list[ClientRecord]:
        lines = (self.results / name).read_text().splitlines()
        return [ClientRecord.from_json(json.loads(line)) for line in lines]

    def _settle(self, records: Sequence[ClientRecord], events: Sequence[ServerEvent]) -> None:
        __tracebackhide__ = True
        account = json.loads((self.results / "end.json").read_text())
        started = min((record.scheduled for record in records), default=time.time())
        finished = max((record.finished for record in records), default=started)
        phases = split_into_phases(started, finished, self.operations)
        self._ledger = balance(records, events, phases, account["requested"])
        self.control = Control.of(self._read_records("control.jsonl"))
        expected = Expectations(
            minimum_sent=self.settings.requests,
            minimum_rate=self.settings.minimum_rate,
            versions=len(images_in_service(self.operations)),
            in_flight=account["in_flight"],
            control=self.control,
            log_problems=self._logs.problems,
            clients=tuple(account.get("clients", ())),
        )
        self.violations = violations(self._ledger, expected)
        self.unproven = unproven(self._ledger, expected)
        self.verdicts = self.budget.judge(self._ledger)
        if self.violations:
            raise InvalidRun(self.explain())
        if self.broken:
            raise BudgetBroken(breach_report(self.broken, self.explain()))


class Load:
    """The `load` fixture: call it with a service to get a run."""

    def __init__(
        self,
        cluster: Cluster,
        scenario: str,
        new_results: Callable[[str], Path],
        budget: Budget | None = None,
        location: Location = ("", 0),
    ) -> None:
        self._location = location
        self._budget = budget
        self._cluster = cluster
        self._scenario = scenario
        self._new_results = new_results
        self.runs: list[LoadRun] = []

    def __call__(self, service: Service, *, through: Service | None = None, **settings: Any) -> LoadRun:
        """Prepare a load on the service; see LoadSettings for the other arguments. Raises BadLoad for a bad one.

        `through`: the requests are sent to this service's port, which passes them on; the service's own log counts.
        """
        settled = settle(settings)
        if settled.locustfile is not None and not settled.locustfile.is_file():
            raise BadLoad(f"there is no locustfile {settled.locustfile.absolute()}")
        name = f"load{len(self.runs) + 1}"
        results = self._new_results(name)
        run = LoadRun(
            self._cluster,
            service,
            settled,
            name,
            self._scenario,
            results,
            through=through,
            budget=self._budget,
            location=self._location,
        )
        self.runs.append(run)
        return run


def _count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _copy_locustfiles(target: Path) -> None:
    import workloads.locustfiles

    # A pytest that was killed left its copy in a cluster that is used again, perhaps of other files.
    if target.exists():
        shutil.rmtree(target)
    source = Path(workloads.locustfiles.__file__).parent
    package = target / "workloads"
    shutil.copytree(source, package / "locustfiles", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").touch()
