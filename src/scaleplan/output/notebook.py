"""Results as Python shows them: a line for ``repr``, the report for ``print``, a table for a notebook, data frames.

Records know nothing of this module: :class:`scaleplan.record.Result` imports it when one of them is shown. The HTML
has no colours of its own, so that it is readable on a light and on a dark page.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scaleplan.errors import UsageError
from scaleplan.markup import Markup, element, joined
from scaleplan.output import REPORTS, Rendering
from scaleplan.output.data import encode, flat
from scaleplan.output.text import render_text
from scaleplan.planning.plan import Plan, Plans, of_several
from scaleplan.planning.solver_array import PlanArray
from scaleplan.units import counted, format_count, format_flops, format_number, format_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.errors import Notice
    from scaleplan.output import Fact, Report, ReportTable
    from scaleplan.record import Result

__all__ = ["columns", "frame", "html", "summary", "text"]

_FACTS = 3  # in a line: what the answer is about, and no more
_LONGEST = 160  # characters of a line: two lines of a terminal
_ROWS = 10  # plans of an array that are shown
_ROW_NAMES = {"gpus": "GPU"}
_LARGEST_WHOLE = 2**63  # beyond, a data frame has no whole numbers


def summary(result: Result) -> str:
    """Return a result in one line, as ``repr`` shows it: the question, and the first figures of the answer."""
    return f"{type(result).__name__}({_line(result)})"


def _line(result: Result) -> str:
    if isinstance(result, PlanArray):
        return f"{counted(len(result), 'budget')}{_span([*map(float, result.flops)])}, {result.preset}"
    if isinstance(result, Plan):
        loss = "" if result.loss is None else f", loss {format_number(result.loss, digits=4)}"
        sizes = f"{format_count(result.params)} parameters, {format_count(result.tokens)} tokens{loss}"
        return f"{format_flops(result.flops)}, {result.preset}: {sizes}"
    if isinstance(result, Plans):
        laws = list(dict.fromkeys(plan.preset for plan in result))
        named = ", ".join(laws) if len(laws) < 3 else counted(len(laws), "law")
        return f"{counted(len(result), 'plan')}{_span([plan.flops for plan in result])}, {named}"
    report = _report(result)
    parts = [f"{fact.label} {fact.value}{f' {fact.unit}' if fact.unit else ''}" for fact in report.facts[:_FACTS]]
    rows = REPORTS[type(result.viewed()).__name__].rows
    if rows is not None and rows.endswith("s") and not parts:
        parts = [counted(len(getattr(result.viewed(), rows)), _ROW_NAMES.get(rows, rows.removesuffix("s")))]
    title = report.title or next(iter(report.lines), "")
    parts = [part for part in parts if part not in title]
    line = ": ".join(part for part in (title, ", ".join(parts)) if part)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _span(flops: Sequence[float]) -> str:
    """Return the compute of several plans: of one, or from the least to the most."""
    return f", {format_range(min(flops), max(flops), format_flops)}" if flops else ""


def text(result: Result) -> str:
    """Return the report of a result as the command line prints it, and its warnings below."""
    report = render_text(_report(result)).rstrip("\n")
    below = [*_left_out(result), *(f"warning: {notice.message}" for notice in _warnings(result))]
    return "\n".join([report, *([""] if below else []), *below])


def html(result: Result) -> Markup:
    """Return the report of a result as a small table for a notebook, and its warnings below."""
    report = _report(result)
    below = [
        element("p", text, style="margin:.3em 0")
        for text in (*_left_out(result), *(f"Warning: {notice.message}" for notice in _warnings(result)))
    ]
    return element("div", *_parts(report), *below, style="max-width:60em")


def _report(result: Result) -> Report:
    return Rendering(result.viewed()).report()


def _left_out(result: Result) -> Iterator[str]:
    if isinstance(result, PlanArray) and len(result) > _ROWS:
        yield f"… and {counted(len(result) - _ROWS, 'more budget')}; to_pandas() and to_polars() have all"


def _warnings(result: Result) -> Sequence[Notice]:
    viewed = result.viewed()
    found: Sequence[Notice] = of_several(viewed) if isinstance(viewed, Plans) else getattr(result, "warnings", ())
    return found


_CELL = "text-align:{0};padding:.15em .8em;border:0"
_RULE = "border-bottom:1px solid currentColor"


def _parts(report: Report) -> Iterator[Markup]:
    """Yield the parts of a report: title, lines, facts, table, remarks, and its sections."""
    if report.title:
        yield element("p", element("b", report.title), style="margin:.3em 0")
    for line in report.lines:
        yield element("p", line, style="margin:.3em 0")
    drawing = report.drawn()
    if drawing:
        yield element("pre", "\n".join(drawing), style="line-height:1.2")
    if report.facts:
        yield _facts(report.facts, report.level)
    if report.grid is not None:
        yield _grid(report.grid)
    for remark in report.remarks:
        yield element("p", remark, style="margin:.2em 0;opacity:.8")
    for section in report.sections:
        yield from _parts(section)


def _facts(facts: Sequence[Fact], level: str) -> Markup:
    rows = []
    for fact in facts:
        label = element("th", fact.label, scope="row", style=_CELL.format("left") + ";font-weight:normal")
        if fact.prose:
            rows.append(element("tr", label, element("td", fact.value, colspan=3, style=_CELL.format("left"))))
            continue
        between = f"{level} {fact.low} – {fact.high}".strip() if fact.low else ""
        cells = ((f"<b>{joined(fact.value)}</b>", "right"), (joined(between), "left"), (joined(fact.unit), "left"))
        rows.append(
            element("tr", label, *(element("td", Markup(cell), style=_CELL.format(side)) for cell, side in cells))
        )
    return element("table", element("tbody", *rows), style="border-collapse:collapse")


def _grid(grid: ReportTable) -> Markup:
    sides = ["left" if name in grid.text else "right" for name in grid.columns]
    head = (
        element("th", name, scope="col", style=f"{_CELL.format(side)};{_RULE}")
        for name, side in zip(grid.columns, sides, strict=True)
    )
    rows = (
        element("tr", *(element("td", cell, style=_CELL.format(side)) for cell, side in zip(row, sides, strict=True)))
        for row in grid.rows
    )
    body = element("tbody", *rows)
    table = element("table", element("thead", element("tr", *head)), body, style="border-collapse:collapse")
    return element("div", table, style="overflow-x:auto")


def columns(result: Result) -> dict[str, list[Any]]:
    """Return the rows of a result as columns, named as in its CSV form, without those that are empty in every row."""
    if isinstance(result, PlanArray):
        return _of_array(result)
    rows = [dict(flat(record)) for record in Rendering(result.viewed()).records]
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row.get(name) for row in rows] for name in names if name != "schema"}
    return {
        name: _alike(cells) for name, cells in found.items() if any(cell not in (None, "", "[]") for cell in cells)
    }


def _of_array(plans: PlanArray) -> dict[str, list[Any]]:
    """Return the columns of an array of plans, without making a plan of each."""
    found: dict[str, Any] = {name: getattr(plans, name) for name in ("flops", "params", "tokens", "loss")}
    found["tokens_per_param"] = plans.tokens_per_param
    if plans.interval is not None:
        for name in ("params", "tokens", "tokens_per_param", "loss"):
            ends = getattr(plans.interval, name)
            if ends is not None:
                found |= dict(zip((f"interval.{name}.low", f"interval.{name}.high"), ends, strict=True))
    if plans.near_optimal_params is not None:
        names = ("near_optimal.params.low", "near_optimal.params.high")
        found |= dict(zip(names, plans.near_optimal_params, strict=True))
    preset = {"preset": [plans.preset] * len(plans)}
    return preset | {name: [*map(float, values)] for name, values in found.items() if values is not None}


def _alike(cells: list[Any]) -> list[Any]:
    """Return the cells of a column as values of one type: numbers, truth values or texts."""
    known = [cell for cell in cells if cell is not None]
    if all(isinstance(cell, bool) for cell in known) or all(isinstance(cell, str) for cell in known):
        return cells
    if all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in known):
        if all(isinstance(cell, int) and abs(cell) < _LARGEST_WHOLE for cell in known):
            return cells
        return [None if cell is None else float(cell) for cell in cells]
    return [cell if cell is None or isinstance(cell, str) else encode(cell) for cell in cells]


_MAKERS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}


def frame(result: Result, library: str) -> Any:  # noqa: ANN401  of the library
    """Return the rows of a result as a data frame of a library.

    Raises UsageError where the library is not installed.
    """
    try:
        made = import_module(library)
    except ImportError:
        raise UsageError(f"{library} is not installed", hint=f"pip install {library}") from None
    return getattr(made, _MAKERS[library])(columns(result))
