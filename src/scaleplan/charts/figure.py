"""Draw a chart as a PNG or PDF file by matplotlib, which only paints: the scene is laid out already.

matplotlib is an extra (``scaleplan[plot]``) and imported only when such a file is drawn. The same chart gives the
same bytes: no date is written.
"""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from scaleplan.charts.scene import WEIGHTS, lay_out, source_line
from scaleplan.errors import UsageError
from scaleplan.version import __version__

if TYPE_CHECKING:
    from scaleplan.charts.chart import Chart
    from scaleplan.charts.scene import Lettering, Scene, Stroke
    from scaleplan.charts.theme import Theme

__all__ = ["figure_file", "require_matplotlib"]

_PER_INCH = 96.0
_POINTS = 72.0 / _PER_INCH  # in a CSS pixel

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,
    "pdf.fonttype": 42,  # TrueType, embedded: text that can be searched and edited
    "lines.scale_dashes": False,
}

_BEHIND = {"fitted": 0.0, "grid": 0.5, "axis": 0.6, "rule": 1.0, "band": 1.5}
"""The order of what lies below curves; as in the scene beside that."""

_WIDTHS = {"grid": 0.9, "axis": 1.0, "rule": 1.0, "leader": 1.0, "whisker": 1.5, "ring": 2.0}
_LINE, _THICK = 2.0, 7.0


_PARTS = {
    "Circle": "matplotlib.patches",
    "Figure": "matplotlib.figure",
    "FigureCanvasAgg": "matplotlib.backends.backend_agg",
    "Line2D": "matplotlib.lines",
    "Path": "matplotlib.path",
    "PathCollection": "matplotlib.collections",
    "Polygon": "matplotlib.patches",
    "withStroke": "matplotlib.patheffects",
}
"""The module of each part of matplotlib that paints, imported when it is used."""


def _part(name: str) -> Any:  # noqa: ANN401  matplotlib is not typed
    return getattr(import_module(_PARTS[name]), name)


def require_matplotlib() -> None:
    """Refuse to draw a file without matplotlib, before any work is done.

    Raises UsageError when it is not installed.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(
            "matplotlib, which draws PNG and PDF files, is not installed",
            hint="pip install 'scaleplan[plot]', or draw a .svg file, which needs nothing",
        )


def figure_file(chart: Chart, extension: str, theme: Theme, *, width: float, height: float, dpi: float) -> bytes:
    """Return the chart as the content of a PNG or PDF file of a size in CSS pixels."""
    require_matplotlib()
    mpl: Any = import_module("matplotlib")
    scene = lay_out(chart, width, height)
    out = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()  # the picture must not depend on the user's own settings
        settings: Any = mpl.rcParams
        settings.update(_SETTINGS)
        figure = _part("Figure")(figsize=(width / _PER_INCH, height / _PER_INCH), facecolor=theme.paper)
        _part("FigureCanvasAgg")(figure)
        axes: Any = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set(xlim=(0.0, width), ylim=(height, 0.0))
        _paint(axes, scene, theme)
        figure.savefig(out, format=extension, dpi=dpi, metadata=_metadata(chart, extension))
    return out.getvalue()


def _metadata(chart: Chart, extension: str) -> dict[str, str | None]:
    program, source = f"scaleplan {__version__}", source_line(chart)
    if extension == "png":
        return {"Title": chart.title, "Description": chart.caption, "Source": source, "Software": program}
    return {
        "Title": chart.title,
        "Subject": chart.caption,
        "Keywords": source,
        "Creator": program,
        "Producer": program,
        "CreationDate": None,
    }


def _paint(axes: Any, scene: Scene, theme: Theme) -> None:  # noqa: ANN401  matplotlib is not typed
    runs = [shape for shape in scene.shapes if shape.role == "run"]
    for order, shape in enumerate(scene.shapes):
        if shape.role != "run":
            _shape(axes, shape, theme, _BEHIND.get(shape.role, 2.0 + order / len(scene.shapes)))
    for tone in sorted({shape.tone or 0 for shape in runs}):
        _runs(axes, [shape for shape in runs if (shape.tone or 0) == tone], theme, tone)
    halo = [_part("withStroke")(linewidth=4.0 * _POINTS, foreground=theme.paper)]
    for text in scene.texts:
        axes.text(
            text.x,
            text.y,
            text.text,
            fontsize=text.size * _POINTS,
            fontweight="bold" if text.role in WEIGHTS else "normal",
            color=_ink(text, theme),
            ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
            va="baseline",
            path_effects=halo if text.role in ("value", "note") else None,
            zorder=9,
        )


def _ink(text: Lettering, theme: Theme) -> str:
    if text.tone is not None:
        return theme.text(text.tone)
    return theme.soft if text.role in ("tick", "name", "note", "caption") else theme.ink


def _shape(axes: Any, shape: Stroke, theme: Theme, order: float) -> None:  # noqa: ANN401
    plain = {"grid": theme.grid, "axis": theme.soft, "rule": theme.soft, "fitted": theme.fitted}
    colour = plain.get(shape.role) or (theme.ink if shape.tone is None else theme.tone(shape.tone))
    if shape.kind == "circle":
        width = _WIDTHS["ring"] * _POINTS
        axes.add_patch(
            _part("Circle")(shape.spots[0], shape.radius, fill=False, edgecolor=colour, linewidth=width, zorder=order)
        )
        return
    if shape.kind == "polygon":
        marked = shape.role == "mark"
        axes.add_patch(
            _part("Polygon")(
                shape.spots,
                closed=True,
                facecolor=colour,
                alpha=0.18 if shape.role == "band" else None,
                edgecolor=theme.paper if marked else "none",
                linewidth=1.5 * _POINTS if marked else 0.0,
                zorder=8 if marked else order,
            )
        )
        return
    thick = shape.style == "near_optimal"
    width = _THICK if thick else _WIDTHS.get(shape.role, _LINE)
    x, y = zip(*shape.spots, strict=True)
    axes.add_line(
        _part("Line2D")(
            x,
            y,
            color=colour,
            linewidth=width * _POINTS,
            alpha=0.4 if thick else None,
            solid_capstyle="butt",
            dash_capstyle="butt",
            linestyle=_dashes(shape, theme),
            zorder=order,
        )
    )


def _dashes(shape: Stroke, theme: Theme) -> Any:  # noqa: ANN401
    lengths: tuple[float, ...] = (2.0, 4.0) if shape.role == "rule" else ()
    if shape.role == "line":
        lengths = theme.stroke(shape.tone or 0, shape.style)
    return (0, tuple(length * _POINTS for length in lengths)) if lengths else "-"


def _runs(axes: Any, shapes: list[Stroke], theme: Theme, tone: int) -> None:  # noqa: ANN401
    """Add the markers of runs of a tone as one artist: there may be thousands."""
    path = _part("Path")
    paths = [
        path.circle(shape.spots[0], shape.radius)
        if shape.kind == "circle"
        else path([*shape.spots, shape.spots[0]], closed=True)
        for shape in shapes
    ]
    axes.add_collection(
        _part("PathCollection")(
            paths, facecolors=theme.tone(tone), edgecolors=theme.paper, linewidths=0.7 * _POINTS, zorder=7
        ),
        autolim=False,
    )
