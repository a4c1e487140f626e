"""What is a picture, before anything is drawn: named series on two axes, with what must be said beside them.

A chart is data. :mod:`terminal`, :mod:`figure` and :mod:`inline_svg` draw it; each reads the same numbers, and
``to_dict`` writes them for programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal

from scaleplan.records import as_record

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Axis", "Chart", "Kind", "Mark", "Rule", "Series", "Style"]

Style = Literal["measured", "extrapolated", "near_optimal", "points"]
"""How a series is drawn: a line inside the range its law was fitted on, a dashed line outside it, a thick line where
sizes are near-optimal, separate points."""

Kind = Literal["flops", "count", "number", "usd", "hours", "percent", "factor"]
"""What an axis counts, which decides how its values are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """An axis: what it shows, in which unit, and whether equal steps are equal factors (log) or differences."""

    label: str
    kind: Kind
    unit: str = ""
    scale: Literal["log", "linear"] = "log"

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together; ``low`` and ``high`` are a band around them, or empty.

    Series with the same ``label`` are one thing in several styles and share a ``tone``, the number of their colour,
    dashes and marker.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    style: Style = "measured"
    tone: int = 0

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.low) != len(self.high) or len(self.low) not in (0, len(self.x)):
            msg = f"series {self.label}: {len(self.x)} x, {len(self.y)} y, {len(self.low)} low, {len(self.high)} high"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One point with something to say."""

    x: float
    y: float
    label: str
    tone: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A line across the picture at one value of an axis."""

    axis: Literal["x", "y"]
    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture as data.

    Parameters
    ----------
    kind
        The name of the picture, as ``scaleplan plot`` takes it.
    title
        What it shows, in a few words.
    x, y
        The axes.
    series, marks, rules
        What is drawn, in this order from the bottom up.
    fitted
        The (low, high) of the horizontal axis that the law was fitted on; None where that is not known.
    caption
        One or two sentences for those who do not see it, and those who do.

    """

    schema: ClassVar[str] = "scaleplan/chart/1"

    kind: str
    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    marks: tuple[Mark, ...] = ()
    rules: tuple[Rule, ...] = ()
    fitted: tuple[float, float] | None = None
    caption: str = ""

    @property
    def labels(self) -> dict[str, int]:
        """The labels of the series in order, each with its tone."""
        found: dict[str, int] = {}
        for series in self.series:
            found.setdefault(series.label, series.tone)
        return found

    @property
    def extrapolates(self) -> bool:
        """Whether any part lies outside the range its law was fitted on."""
        return any(series.style == "extrapolated" for series in self.series)

    def values(self, axis: Literal["x", "y"]) -> Iterator[float]:
        """Yield every value that an axis must hold."""
        if axis == "x":
            yield from chain.from_iterable(series.x for series in self.series)
            yield from (mark.x for mark in self.marks)
        else:
            for series in self.series:
                yield from chain(series.y, series.low, series.high)
            yield from (mark.y for mark in self.marks)
        yield from (rule.at for rule in self.rules if rule.axis == axis)

    def records(self) -> list[dict[str, object]]:
        """Return one record a point: its series, style, x, y and band."""
        return [
            {
                "series": series.label,
                "style": series.style,
                "x": series.x[i],
                "y": series.y[i],
                "low": series.low[i] if series.low else None,
                "high": series.high[i] if series.high else None,
            }
            for series in self.series
            for i in range(len(series.x))
        ]

    def to_dict(self) -> dict[str, object]:
        """Return the chart as the mapping that ``--json`` prints."""
        return as_record(self)
