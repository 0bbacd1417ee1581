"""The options of the plugin: each is declared once, and has a command line, an environment and an ini form."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from pytest_swarm.baseline import Tolerance, parse_tolerances
from pytest_swarm.budget import Budget

Keep = Literal["never", "on-failure", "always"]
ENGINES = ("orchestrator", "docker")
KEEP_CHOICES = ("never", "on-failure", "always")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user asked for. `nodes_given` tells an explicit number of nodes from the default.

    With several `engines` each test that uses a cluster runs on a cluster of each.
    """

    nodes: int
    managers: int
    engines: tuple[str, ...]
    keep: Keep
    repeat: int
    report_dir: Path | None
    loss_budget: Budget = dataclasses.field(default_factory=Budget)
    save: str | None = None
    compare: str | None = None
    compare_fail: Mapping[str, Tolerance] = dataclasses.field(default_factory=dict)
    storage: Path = Path(".swarm")
    nodes_given: bool = False
    reuse: str | None = None


@dataclasses.dataclass(frozen=True)
class _Declaration:
    name: str
    help: str
    parse: Callable[[str], Any]
    default: Any
    metavar: str

    @property
    def flag(self) -> str:
        return f"--swarm-{self.name}"

    @property
    def key(self) -> str:
        return f"swarm_{self.name.replace('-', '_')}"

    @property
    def variable(self) -> str:
        return self.key.upper()


def positive(text: str) -> int:
    """Read a whole number of at least 1. Raises ValueError, which says so."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("expected a whole number of at least 1")
    return number


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _engines(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not set(names) <= set(ENGINES) or len(set(names)) < len(names):
        raise ValueError(f"expected one of {', '.join(ENGINES)}, or several of them with commas between")
    return names


def _name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", text):
        raise ValueError("expected a name of letters, digits, '_', '-' and '.'")
    return text


DECLARATIONS = (
    _Declaration("nodes", "number of nodes of the cluster (default 4)", positive, 4, "N"),
    _Declaration(
        "managers", "how many of the nodes are managers (default 3, fewer with fewer nodes)", positive, None, "N"
    ),
    _Declaration(
        "engine",
        "what orchestrates the cluster: orchestrator (ours, the default) or docker (Docker's own swarm mode); with "
        "orchestrator,docker each test runs on both, side by side",
        _engines,
        ENGINES[:1],
        "NAME,...",
    ),
    _Declaration("report-dir", "folder for summary.json and Locust's reports (default: none)", Path, None, "PATH"),
    _Declaration(
        "keep",
        "keep the cluster at the end: never (the default), on-failure or always; with -x the failed test's services "
        "are still in it; pytest-swarm-cleanup removes a kept one",
        _one_of(*KEEP_CHOICES),
        "never",
        "WHEN",
    ),
    _Declaration(
        "reuse",
        "use the cluster of this name, boot it if there is none, and keep it for the next session",
        _name,
        None,
        "NAME",
    ),
    _Declaration("repeat", "run each test that uses the cluster this many times (default 1)", positive, 1, "N"),
    _Declaration(
        "loss-budget",
        "what each load may lose, for instance lost=0,duplicates=0,p99=2s,longest_gap=500ms (default: no limits); "
        "the marker loss_budget wins for the keys it names",
        Budget.parse,
        Budget(),
        "KEY=LIMIT,...",
    ),
    _Declaration("save", "save the figures of this session as a baseline of this name", _name, None, "NAME"),
    _Declaration("compare", "compare this session with the baseline of this name", _name, None, "NAME"),
    _Declaration(
        "compare-fail",
        "fail when a figure is higher than the baseline's by more than this, for instance lost:0,p99:10%",
        parse_tolerances,
        {},
        "FIGURE:RISE,...",
    ),
    _Declaration("storage", "folder of the baselines (default .swarm)", Path, Path(".swarm"), "PATH"),
)


def register(parser: pytest.Parser) -> None:
    """Declare every option and its ini twin; the environment twin is named in the help."""
    group = parser.getgroup("swarm", "swarm clusters and rolling updates")
    for option in DECLARATIONS:
        # argparse formats its help, the ini file's is printed as it is.
        twin = f"{option.help} [environment {option.variable}, ini {option.key}]".replace("%", "%%")
        group.addoption(option.flag, dest=option.key, default=None, metavar=option.metavar, help=twin)
        parser.addini(option.key, option.help, default=None)


def resolve(command_line: Callable[[str], Any], environment: Mapping[str, str], ini: Callable[[str], Any]) -> Options:
    """Settle every option: command line over environment over ini file over default.

    Raises pytest.UsageError naming the option, where its value came from and what would be right.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in DECLARATIONS:
        sources = (
            (command_line(option.key), option.flag),
            (environment.get(option.variable), f"{option.variable} (environment)"),
            (ini(option.key), f"{option.key} (ini file)"),
        )
        given = next(((str(value), origin) for value, origin in sources if value not in (None, "")), None)
        if given is None:
            values[option.name] = option.default
            continue
        text, origins[option.name] = given
        try:
            values[option.name] = option.parse(text)
        except ValueError as error:
            raise pytest.UsageError(f"{origins[option.name]} is {text!r}: {error}") from None
    return _settle(values, origins)


def default_managers(nodes: int) -> int:
    """How many of so many nodes are managers, unless somebody says otherwise."""
    # An even number of managers survives no more failures than one fewer, so three becomes one.
    return 3 if nodes >= 3 else 1


def _settle(values: Mapping[str, Any], origins: Mapping[str, str]) -> Options:
    nodes = cast(int, values["nodes"])
    managers = cast("int | None", values["managers"])
    if managers is None:
        managers = default_managers(nodes)
    if managers > nodes:
        raise pytest.UsageError(
            f"{origins['managers']} is {managers}, but there are only {nodes} nodes: "
            f"raise --swarm-nodes or lower --swarm-managers"
        )
    if "compare-fail" in origins and values["compare"] is None:
        raise pytest.UsageError(f"{origins['compare-fail']} needs a baseline: add --swarm-compare=NAME")
    if values["reuse"] is not None and "keep" in origins and values["keep"] != "always":
        raise pytest.UsageError(
            f"{origins['keep']} is {values['keep']!r}, but {origins['reuse']} keeps the cluster for the next session: "
            "leave one of them out"
        )
    return Options(
        nodes=nodes,
        managers=managers,
        engines=values["engine"],
        keep=values["keep"],
        repeat=values["repeat"],
        report_dir=values["report-dir"],
        loss_budget=values["loss-budget"],
        save=values["save"],
        compare=values["compare"],
        compare_fail=values["compare-fail"],
        storage=values["storage"],
        nodes_given="nodes" in origins,
        reuse=values["reuse"],
    )
