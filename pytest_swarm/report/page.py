"""`report.html`: one page a session that needs nothing but itself, with each load's verdict, books and figure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined

from pytest_swarm.ledger import CLASSES, DUPLICATE
from pytest_swarm.report.figure import COLOURS, figure_item
from pytest_swarm.report.timeline import draw_up

if TYPE_CHECKING:
    from pytest_swarm.load import LoadRun

FILE_NAME = "report.html"
_SCRIPTS = ("bokeh", "bokeh-gl")


@dataclasses.dataclass(frozen=True)
class Chapter:
    """One load on the page: its entry of `summary.json`, when its figure begins in seconds since the epoch, and the
    figure as Bokeh's JSON.
    """

    summary: Mapping[str, Any]
    origin: float
    figure: Mapping[str, Any]

    @property
    def broken(self) -> list[str]:
        return [limit["text"] for limit in self.summary["budget"] if not limit["kept"]]

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with it: without a budget, any loss and any duplicate is."""
        harm = self.summary["lost"] + self.summary["classes"][DUPLICATE]
        return self.summary["valid"] and not (self.broken if self.summary["budget"] else harm)


def write_page(directory: Path, summary: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]]) -> Path:
    """Write `report.html` into the folder and return its path; `drawn` are the summary's runs, in its order."""
    chapters = [Chapter(figures, **drawing) for figures, drawing in zip(summary["runs"], drawn, strict=True)]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE_NAME
    path.write_text(render(summary, chapters), encoding="utf-8")
    return path


def draw(run: LoadRun) -> dict[str, Any]:
    """A run's `origin` and `figure` for its chapter, as plain data."""
    timeline = draw_up(run.ledger, run.operations)
    return {"origin": timeline.origin, "figure": figure_item(timeline)}


def render(summary: Mapping[str, Any], chapters: Sequence[Chapter]) -> str:
    """Fill in the page. Whatever the tests, the service or the network said is escaped."""
    environment = Environment(
        loader=PackageLoader("pytest_swarm.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh refers to what it has already said: the order of a figure's keys matters.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters["when"] = _when
    environment.filters["seconds"] = _seconds
    environment.filters["basename"] = lambda path: Path(path).name
    return environment.get_template("report.html").render(
        summary=summary,
        chapters=chapters,
        classes=CLASSES,
        colours=COLOURS,
        libraries=Resources(mode="inline", components=list(_SCRIPTS)).js_raw,
    )


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
