"""The figure of one run, drawn by Bokeh: what was done, every request, and rates and times over one axis of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from bokeh.embed import json_item
from bokeh.layouts import gridplot
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    FixedTicker,
    HoverTool,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.plotting import figure

from pytest_swarm.ledger import ANSWERED, CLASSES, DUPLICATE, LOST_CLASSES
from pytest_swarm.report.stories import Stories
from pytest_swarm.report.timeline import FAULT, OPERATION, PART, Band, Bar, Lane, Timeline

COLOURS: Mapping[str, str] = {
    ANSWERED: "#5b8def",
    "http-error": "#e0a100",
    "refused": "#e5383b",
    "reset": "#e0529c",
    "closed-early": "#f3722c",
    "truncated": "#9b5de5",
    "timed-out": "#b5651d",
    DUPLICATE: "#00a896",
    "unsent": "#8d99ae",
}
"""Of each class; told apart on white and on black. What is lost is warm, what is not is cold."""

_BANDS: Mapping[str, str] = {OPERATION: "#8a8f98", PART: "#c08a2d", FAULT: "#e5383b"}
_END_PIXELS = 9
_TOOLS = "xpan,xbox_zoom,xwheel_zoom,reset"
_NAME_LENGTH, _ID_LENGTH = 22, 5
_IS_BESIDE_ENDS = f"""
const {{ x, y }} = cb_data.vars;
const wide = plot.inner_width / (plot.x_range.end - plot.x_range.start);
const high = plot.inner_height / (plot.y_range.end - plot.y_range.start);
const is_on = (right, row) => Math.hypot((right - x) * wide, (row - y) * high) <= {_END_PIXELS / 2};
return !ends.some((end) => {{
  const {{ right, row }} = end.data_source.data;
  return end.visible && right.some((each, index) => is_on(each, row[index]));
}});
"""


def figure_item(timeline: Timeline) -> dict[str, Any]:
    """Return the figure as JSON for `Bokeh.embed.embed_item`; its models of a class bear the class as their tag."""
    # A margin keeps the first and the last bar off the edges.
    margin = max(timeline.seconds, 0.001) * 0.01
    shared = Range1d(-margin, timeline.seconds + margin, bounds=(-margin, timeline.seconds + margin))
    plots = [_requests(timeline, shared), _rates(timeline, shared), _times(timeline, shared)]
    for plot in plots:
        _shade(plot, timeline.bands)
    if timeline.bands:
        plots.insert(0, _strip(timeline.bands, shared))
    plots[-1].xaxis.axis_label = "seconds since the first request"
    layout = gridplot(
        [[plot] for plot in plots], sizing_mode="stretch_width", merge_tools=True, toolbar_options={"logo": None}
    )
    item: dict[str, Any] = json_item(layout)
    return item


def _requests(timeline: Timeline, shared: Range1d) -> figure:
    height = max(150, 18 * len(timeline.lanes), min(9 * timeline.rows, 700)) + 30
    # The other plots draw too little to be worth a share of the graphics processor.
    plot = _plot("requests", shared, height, y_range=Range1d(timeline.rows - 0.5, -0.5), output_backend="webgl")
    stories = Stories(timeline.origin, is_logged=timeline.is_logged)
    bars: dict[str, list[Bar]] = {name: [] for name in CLASSES}
    for bar in timeline.bars:
        bars[bar.entry.request_class].append(bar)
    drawn, ends = [], []
    for name in (name for name in CLASSES if bars[name]):
        source = ColumnDataSource(data={**_places(bars[name]), **stories.columns(bars[name])})
        drawn.append(plot.hbar("row", height=0.8, left="left", right="right", color=COLOURS[name], source=source))
        drawn[-1].tags = [name]
        if name != ANSWERED:
            # A short one among many would be thinner than a pixel.
            ends.append(plot.scatter("right", "row", size=_END_PIXELS, color=COLOURS[name], source=source))
            ends[-1].tags = [name]
    tools = [_story_tool(renderers, stories.texts) for renderers in (drawn, ends) if renderers]
    # A dot tells its own story, and no bar that it covers another.
    if ends:
        tools[0].filters = {"@id": CustomJS(args={"plot": plot, "ends": ends}, code=_IS_BESIDE_ENDS)}
    plot.add_tools(*tools)
    _label_lanes(plot, timeline.lanes)
    return plot


def _places(bars: Sequence[Bar]) -> dict[str, Any]:
    return {
        "left": numpy.array([bar.started for bar in bars], "float32"),
        "right": numpy.array([bar.finished for bar in bars], "float32"),
        "row": numpy.array([bar.row for bar in bars], "float32"),
    }


def _story_tool(renderers: Sequence[Any], texts: Sequence[str]) -> HoverTool:
    text = CustomJSHover(args={"texts": texts}, code="return texts[value]")
    moment = CustomJSHover(code='return isFinite(value) ? value.toFixed(3) + " s" : "never"')
    age = CustomJSHover(code='return isFinite(value) ? ", " + value.toFixed(3) + " s old" : ""')
    # One at a time: where bars are thinner than the pointer, ten stories on top of each other tell nothing.
    return HoverTool(
        renderers=list(renderers),
        tooltips=[
            ("request", "@id: @fate{custom}"),
            ("client", "from @left{0.000} s to @right{0.000} s, @seconds{0.000} s in all"),
            ("", "@client{custom}@age{custom}"),
            ("answer", "@answer{custom}"),
            ("service", "@server{custom}"),
            ("", "received @received{custom}, finished @served{custom}"),
        ],
        formatters={
            **{f"@{name}": text for name in ("fate", "client", "answer", "server")},
            "@age": age,
            **{f"@{name}": moment for name in ("received", "served")},
        },
        limit=1,
    )


def _label_lanes(plot: figure, lanes: Sequence[Lane]) -> None:
    plot.yaxis.ticker = FixedTicker(ticks=[lane.middle for lane in lanes])
    # A whole number is asked for as such, others with their fraction.
    plot.yaxis.major_label_overrides = {_as_tick(lane.middle): lane_label(lane) for lane in lanes}
    plot.ygrid.ticker = FixedTicker(ticks=[lane.first_row - 0.5 for lane in lanes[1:]])
    plot.yaxis.major_tick_line_color = None


def lane_label(lane: Lane) -> str:
    """Name a lane shortly enough for a margin: `n1 web.1.k3id8` for slot 1 of service web on node n1."""
    service, *ids = lane.task.split(".") if lane.node else [lane.task]
    name = service if len(service) <= _NAME_LENGTH else f"{service[: _NAME_LENGTH - 1]}…"
    return " ".join(filter(None, [lane.node, ".".join([name, *(each[:_ID_LENGTH] for each in ids)])]))


def _as_tick(value: float) -> float | int:
    return int(value) if value.is_integer() else value


def _rates(timeline: Timeline, shared: Range1d) -> figure:
    plot = _plot("rate", shared, 130)
    # What is lost stands on the ground, so that it is seen however much is answered.
    names = [name for name in (*LOST_CLASSES, DUPLICATE, ANSWERED) if any(name in each.rates for each in timeline.bins)]
    rates = {name: [each.rates.get(name, 0.0) for each in timeline.bins] for name in names}
    width = timeline.bins[0].seconds if timeline.bins else 1.0
    middles = [each.started + width / 2 for each in timeline.bins]
    source = ColumnDataSource(data={"middle": middles, **rates})
    stacks = plot.vbar_stack(
        names, x="middle", width=width * 0.9, color=[COLOURS[name] for name in names], line_color=None, source=source
    )
    for name, stack in zip(names, stacks, strict=True):
        stack.tags = [name]
    plot.add_tools(
        HoverTool(
            renderers=stacks[-1:], mode="vline", tooltips=[(name, f"@{{{name}}}{{0.0}}/s") for name in reversed(names)]
        )
    )
    plot.yaxis.axis_label = "ended/s"
    plot.xaxis.visible = False
    plot.y_range.start = 0
    return plot


def _times(timeline: Timeline, shared: Range1d) -> figure:
    plot = _plot("time", shared, 170)
    source = ColumnDataSource(
        data={
            "middle": [each.started + each.seconds / 2 for each in timeline.bins],
            "p50": [_or_gap(each.p50) for each in timeline.bins],
            "p99": [_or_gap(each.p99) for each in timeline.bins],
        }
    )
    lines = []
    # The thin one over the thick one: often they are the same.
    for name, colour, width in (("p99", COLOURS[ANSWERED], 4), ("p50", "#8a8f98", 1.5)):
        style = {"color": colour, "source": source, "legend_label": name}
        lines.append(plot.line("middle", name, line_width=width, **style))
        # One between two gaps has no line.
        plot.scatter("middle", name, size=width + 1, **style)
    plot.add_tools(
        HoverTool(renderers=lines[:1], mode="vline", tooltips=[("p50", "@p50{0.000} s"), ("p99", "@p99{0.000} s")])
    )
    plot.yaxis.axis_label = "time, s"
    plot.y_range.start = 0
    plot.legend.orientation = "horizontal"
    plot.legend.location = "bottom_right"
    plot.legend.padding = 2
    plot.legend.border_line_color = plot.legend.background_fill_color = None
    return plot


def _strip(bands: Sequence[Band], shared: Range1d) -> figure:
    rows = max(band.row for band in bands) + 1
    plot = _plot("bands", shared, 22 * rows + 10, y_range=Range1d(rows - 0.5, -0.5))
    source = ColumnDataSource(
        data={
            "left": [band.started for band in bands],
            "right": [band.finished for band in bands],
            "seconds": [band.finished - band.started for band in bands],
            "row": [band.row for band in bands],
            "name": [band.name for band in bands],
            "label": ["" if band.kind == PART else band.name for band in bands],
            "color": [_BANDS[band.kind] for band in bands],
        }
    )
    drawn = plot.hbar("row", height=0.8, left="left", right="right", color="color", alpha=0.6, source=source)
    plot.text("left", "row", text="label", x_offset=4, text_baseline="middle", text_font_size="11px", source=source)
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=[("", "@name: from @left{0.000} s, for @seconds{0.000} s")]))
    plot.yaxis.ticker = FixedTicker(ticks=[])
    plot.xaxis.visible = False
    plot.grid.visible = False
    return plot


def _plot(name: str, shared: Range1d, height: int, **settings: Any) -> figure:
    plot = figure(
        name=name,
        height=height,
        x_range=shared,
        tools=_TOOLS,
        active_drag=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=8,
        lod_threshold=None,
        **settings,
    )
    plot.xaxis.formatter = NumeralTickFormatter(format="0.[000]")
    plot.xgrid.grid_line_color = None
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.axis.axis_label_text_font_size = plot.axis.major_label_text_font_size = "11px"
    return plot


def _shade(plot: figure, bands: Sequence[Band]) -> None:
    for band in bands:
        plot.add_layout(
            BoxAnnotation(
                left=band.started,
                right=band.finished,
                fill_color=_BANDS[band.kind],
                fill_alpha=0.12,
                line_color=None,
                level="underlay",
            )
        )


def _or_gap(value: float | None) -> float:
    return float("nan") if value is None else value
