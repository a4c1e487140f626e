"""Output: one result in, text out. A new format is a function and its line in :data:`FORMATS` or :data:`JUDGING`.

How a result is shown stands in :data:`REPORTS`; results, formats and views are imported when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.record import Record, as_mapping
from scaleplan.units import bare_end

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from typing import Self

    from scaleplan.output.ci import Judgement

__all__ = [
    "FORMATS",
    "JUDGING",
    "LAUNCHING",
    "REPORTS",
    "USUAL",
    "Fact",
    "Rendering",
    "Report",
    "ReportTable",
    "load_part",
]


USUAL = 80
"""The width of text where nothing is known of a screen."""


class Fact(NamedTuple):
    """One line of an answer, as text: its label, value, interval and unit; ``prose`` is set to the left."""

    label: str
    value: str
    low: str = ""
    high: str = ""
    unit: str = ""
    prose: bool = False

    @classmethod
    def of(
        cls,
        label: str,
        value: float,
        written: Callable[[float], str],
        interval: tuple[float, float] | None = None,
        *,
        unit: str = "",
    ) -> Self:
        """Return the fact of a value, and of its interval unless that is a point."""
        low, high = map(written, interval) if interval is not None and interval[0] < interval[1] else ("", "")
        return cls(label, written(value), low=bare_end(low, high), high=high, unit=unit)


class ReportTable(NamedTuple):
    """A table; a column whose name is in ``text`` is aligned to the left, all others are numbers.

    The first ``keys`` columns tell the rows apart: each part of a table that is too wide has them.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: Collection[str] = ()
    keys: int = 1


class Report(Record):
    """A result as text, which every format to be read renders: a title, facts and a table, then remarks.

    ``level`` labels the intervals of the facts, for example ``"90 %"``. ``lines`` stand as they are, and so does a
    ``drawing``, whose lines belong together and which may be made for a width.
    """

    title: str = ""
    lines: Sequence[str] = ()
    drawing: Sequence[str] | Callable[[int], Sequence[str]] = ()
    facts: Sequence[Fact] = ()
    level: str = ""
    grid: ReportTable | None = None
    remarks: Sequence[str] = ()
    sections: Sequence[Report] = ()

    def drawn(self, width: int = USUAL) -> Sequence[str]:
        """Return the lines of the drawing, for a screen of a width."""
        return self.drawing(width) if callable(self.drawing) else self.drawing


class View(NamedTuple):
    """The ways to show a result, each a ``"module:function"`` below this package.

    ``report`` makes the report, ``judgements`` what CI services show of a result that judges. ``rows`` names the
    attribute whose items are the rows of a table; the result itself is the only row by default. A ``whole`` result
    has values of its own beside them.
    """

    report: str
    rows: str | None = None
    judgements: str | None = None
    whole: bool = False


REPORTS: Mapping[str, View] = {
    "Plan": View("views.plan:plan_report"),
    "Plans": View("views.plan:several_report", rows="plans"),
    "Marginal": View("views.plan:marginal_report", rows="steps", whole=True),
    "Conversion": View("views.bill:conversion_report"),
    "Check": View("views.check:check_report", rows="verdicts", judgements="views.check:check_cases"),
    "Difference": View("views.check:diff_report", rows="changes", judgements="views.check:diff_cases"),
    "Evaluation": View("views.lists:evaluation_report"),
    "LoggedRuns": View("views.runs:runs_report", rows="runs"),
    "FitAnswer": View("views.fit:fit_report"),
    "Fleet": View("views.fleet:fleet_report", rows="laws", whole=True),
    "BacktestResult": View("views.fit:backtest_report"),
    "SavedResult": View("views.fit:saved_report"),
    "NewProject": View("views.check:new_project_report"),
    "Chart": View("views.lists:chart_report", rows="points"),
    "ModelBody": View("views.model:body_report"),
    "ModelSummary": View("views.model:model_report"),
    "ShapeSummary": View("views.model:shape_report"),
    "MemorySummary": View("views.memory:memory_report"),
    "Ways": View("views.ways:ways_report", rows="ways", whole=True),
    "PilotDesign": View("views.design:design_report", rows="runs"),
    "Ladder": View("views.ladder:ladder_report", rows="runs"),
    "LadderStatus": View("views.ladder_status:ladder_status_report", rows="runs", whole=True),
    "PoolDesign": View("views.pool:pool_report", rows="runs"),
    "RegisteredForecast": View("views.forecasts:registered_report"),
    "Outcome": View("views.forecasts:outcome_report", rows="intervals", whole=True),
    "TrackRecord": View("views.forecasts:record_report", rows="forecasts", whole=True),
    "Tracking": View("views.track:track_report"),
    "Advice": View("views.advice:hyperparameters_report"),
    "PrecisionChoice": View("views.advice:precisions_report"),
    "Vocabulary": View("views.advice:vocabulary_report"),
    "PresetSummary": View("views.lists:preset_report"),
    "PresetList": View("views.lists:presets_report", rows="presets"),
    "Validation": View("views.lists:validation_report", rows="files"),
    "PresetPaths": View("views.lists:paths_report", rows="rows"),
    "PricedAccelerator": View("views.lists:gpu_report"),
    "AcceleratorList": View("views.lists:gpus_report", rows="gpus"),
    "GpuComparison": View("views.gpu_comparison:gpu_comparison_report", rows="compared", whole=True),
    "HardwareValidation": View("views.lists:hardware_validation_report", rows="files"),
    "FamilySummary": View("views.families:family_report"),
    "FamilyList": View("views.families:families_report", rows="families"),
    "FamilyValidation": View("views.families:validation_report", rows="files"),
    "PublicModel": View("views.lists:public_model_report"),
    "PublicModelList": View("views.lists:public_models_report", rows="models"),
    "SchemaList": View("views.lists:schemas_report", rows="schemas"),
}
"""The view of every result, by the name of its class."""


class Rendering:
    """A result on its way to a format.

    ``data`` is the JSON object, ``records`` the rows of a table or the lines of jsonl, ``judges`` whether the formats
    of CI services have it, ``has_rows`` whether its records are rows, and ``whole`` whether a field is one of the
    result rather than of its rows.
    """

    __slots__ = ("_result", "_view", "data", "has_rows", "judges", "records", "whole")

    def __init__(self, result: Any) -> None:  # noqa: ANN401  whatever has a view
        view = REPORTS[type(result).__name__]
        self._result, self._view = result, view
        self.data: dict[str, Any] = result.to_dict()
        self.records = [self.data] if view.rows is None else [_row(item) for item in getattr(result, view.rows)]
        self.judges = view.judgements is not None
        self.has_rows = view.rows is not None
        self.whole = view.whole

    def report(self) -> Report:
        """Return the report of the result."""
        found: Report = load_part(self._view.report)(self._result)
        return found

    def cases(self) -> Sequence[Judgement]:
        """Return the judgements, for the formats of CI services."""
        return () if self._view.judgements is None else load_part(self._view.judgements)(self._result)

    def write(self, name: str, *, width: int | None = None) -> str:
        """Return the result in the named format; text of a width where that is given."""
        chosen = FORMATS.get(name) or JUDGING[name]
        part = getattr(self, chosen.part)
        fitted = {"width": width} if name == "text" and width is not None else {}
        written: str = load_part(chosen.function)(part() if callable(part) else part, **fitted)
        return written

    def write_fields(self, names: str, form: str, *, width: int | None = None) -> str:
        """Return the fields that a list with commas names, in a format."""
        written: str = load_part("fields:write_fields")(self, names, form, width)
        return written

    def bare_values(self, name: str) -> Iterator[str]:
        """Yield the bare value of one field, or that of each row, a line each."""
        found: Iterator[str] = load_part("fields:bare_values")(self, name)
        return found


def _row(item: Any) -> dict[str, Any]:  # noqa: ANN401  a record, or a mapping already
    row = item.to_dict() if hasattr(item, "to_dict") else as_mapping(item)
    assert isinstance(row, dict)
    return row


class Format(NamedTuple):
    """A format: which part of a rendering it writes, and the function that does."""

    part: str
    function: str


FORMATS: Mapping[str, Format] = {
    "text": Format("report", "text:render_text"),
    "json": Format("data", "data:render_json"),
    "jsonl": Format("records", "data:render_jsonl"),
    "csv": Format("records", "data:render_csv"),
    "tsv": Format("records", "data:render_tsv"),
    "markdown": Format("report", "text:render_markdown"),
}
"""Every format by the name that ``--format`` takes."""

JUDGING: Mapping[str, Format] = {
    "github": Format("cases", "ci:render_github"),
    "junit": Format("cases", "ci:render_junit"),
    "sarif": Format("cases", "ci:render_sarif"),
}
"""The further formats of a result that judges: annotations, tests, and code scanning."""


LAUNCHING = ("slurm", "skypilot", "kubernetes")
"""The further formats of a design: of files from which an engine starts its runs (``scaleplan.ladder.engines``)."""


def load_part(place: str) -> Callable[..., Any]:
    """Import a function of this package by ``"module:function"``."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
