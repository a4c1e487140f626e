"""Draw a chart as a file: PNG, SVG or PDF by matplotlib, in colours distinct to the colour-blind and in print.

matplotlib is an extra (``scaleplan[plot]``) and imported only when a file is drawn. The same chart gives the same
bytes: no date is written, and the ids of an SVG are made from a fixed salt.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaleplan.charts.chart import scales, tick_texts
from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.files import require_writable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scaleplan.charts.chart import Chart, Mark, Scale, Series

__all__ = ["EXTENSIONS", "draw", "picture_path", "require_matplotlib"]

EXTENSIONS = ("png", "svg", "pdf")
"""The files that can be drawn, by the extension of their name."""

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A7F00", "#7F7F7F")
"""Okabe and Ito 2008, the darkest first; its yellow is too light for a line on paper and is darkened, and a grey
makes nine."""

_MARKERS = "os^DvpPX>"

_INCHES = (7.0, 4.6)

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "scaleplan",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}

_NO_DATE = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def require_matplotlib() -> None:
    """Refuse to draw a file without matplotlib, before any work is done.

    Raises UsageError when it is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(
            "matplotlib, which draws files, is not installed",
            hint="pip install 'scaleplan[plot]', or leave out -o to see the picture here",
        )


def picture_path(file: str, *, inputs: Iterable[str | None]) -> Path:
    """Return the path of a picture, and refuse one that cannot be drawn before the work of drawing it.

    Raises UsageError for an ending that is no picture, FileError where it cannot be written.
    """
    path = Path(file)
    extension = path.suffix[1:].lower()
    if not extension:
        raise UsageError(
            f"{quote(file)} does not say which kind of picture", hint=f"end it in .{', .'.join(EXTENSIONS)}"
        )
    if extension not in EXTENSIONS:
        raise UnknownNameError("kind of picture", extension, EXTENSIONS)
    require_matplotlib()
    require_writable(path, inputs=inputs)
    return path


def draw(chart: Chart, extension: str) -> bytes:
    """Return the chart as the content of a file of this extension."""
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()  # the picture must not depend on the user's own settings
        settings: Any = mpl.rcParams
        settings.update(_SETTINGS)
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        _fill(figure.add_subplot(), chart)
        figure.savefig(out, format=extension, metadata=_NO_DATE[extension])
    return out.getvalue()


def _fill(axes: Any, chart: Chart) -> None:  # noqa: ANN401  matplotlib is not typed
    across, up = scales(chart)
    _set_axis(axes.xaxis, across, 9)
    _set_axis(axes.yaxis, up, 8)
    axes.set(
        xscale=chart.x.scale, yscale=chart.y.scale, xlabel=chart.x.title, ylabel=chart.y.title, title=chart.title
    )
    # setting the scale replaces the ticks
    _set_axis(axes.xaxis, across, 9)
    _set_axis(axes.yaxis, up, 8)
    axes.set(xlim=(across.low, across.high), ylim=(up.low, up.high))
    axes.grid(color="#dddddd", linewidth=0.6)
    if chart.fitted is not None:
        axes.axvspan(*chart.fitted, color="#f0f0ea", zorder=0, label="range the law was fitted on")
    for rule in chart.rules:
        _rule(axes, rule.axis, rule.at, rule.label, across)
    seen: set[str] = set()
    for series in chart.series:
        _series(axes, series, label=series.label if series.label not in seen else None)
        seen.add(series.label)
    _marks(axes, chart.marks, across, up)
    _legend(axes, chart)


def _set_axis(axis: Any, scale: Scale, most: int) -> None:  # noqa: ANN401
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    ticks = scale.ticks(most)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FixedFormatter(tick_texts(scale.axis, ticks)))
    axis.set_minor_locator(NullLocator())


def _series(axes: Any, series: Series, *, label: str | None) -> None:  # noqa: ANN401
    colour = PALETTE[series.tone % len(PALETTE)]
    marker = _MARKERS[series.tone % len(_MARKERS)]
    if series.low:
        axes.fill_between(series.x, series.low, series.high, color=colour, alpha=0.18, linewidth=0)
    if series.style == "points":
        axes.plot(series.x, series.y, marker, color=colour, markersize=4, markerfacecolor="none", label=label)
        return
    thick = series.style == "near_optimal"
    axes.plot(
        series.x,
        series.y,
        "--" if series.style in ("extrapolated", "dashed") else "-",
        color=colour,
        linewidth=4.0 if thick else 1.4,
        alpha=0.45 if thick else 1.0,
        solid_capstyle="butt",
        marker=None if thick else marker,
        markevery=max(1, len(series.x) // 5),
        markersize=4,
        label=label,
    )


_LETTER = 0.0105  # width of one of a label of 8 points, as a share of the axes' width


def _marks(axes: Any, marks: tuple[Mark, ...], across: Scale, up: Scale) -> None:  # noqa: ANN401
    taken: list[tuple[float, float]] = []
    for mark in marks:
        colour = PALETTE[mark.tone % len(PALETTE)]
        axes.plot([mark.x], [mark.y], "o", color=colour, markersize=7, markeredgecolor="white", zorder=5)
        x, y = across.place(mark.x), up.place(mark.y)
        left = x + _LETTER * len(mark.label) > 1  # to the right of the point it would leave the picture
        height = 7.0 if y < 0.93 else -13.0
        while any(abs(x - other) < 0.25 and abs(y * 280 + height - at) < 11 for other, at in taken):
            height += 11
        taken.append((x, y * 280 + height))
        axes.annotate(
            mark.label,
            (mark.x, mark.y),
            xytext=(-6 if left else 6, height),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            zorder=6,
        )


def _rule(axes: Any, axis: str, at: float, label: str, across: Scale) -> None:  # noqa: ANN401
    line = {"color": "#444444", "linewidth": 0.9, "linestyle": ":"}
    if axis == "y":
        axes.axhline(at, **line)
        axes.annotate(label, (0.01, at), xycoords=("axes fraction", "data"), xytext=(0, 3), **_NOTE)
    else:
        axes.axvline(at, **line)
        left = across.place(at) > 0.8
        axes.annotate(
            label,
            (at, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-4 if left else 4, 0),
            ha="right" if left else "left",
            **_NOTE,
        )


_NOTE: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "color": "#444444"}


def _legend(axes: Any, chart: Chart) -> None:  # noqa: ANN401
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if chart.has("extrapolated"):
        handles.append(Line2D([], [], color="#444444", linestyle="--", linewidth=1.4))
        labels.append("extrapolated")
    if chart.has("near_optimal"):
        handles.append(Line2D([], [], color="#888888", linewidth=4.0))
        labels.append("near-optimal")
    if len(labels) > 6:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=3)
    elif len(labels) > 1:
        axes.legend(handles, labels, loc="best")
