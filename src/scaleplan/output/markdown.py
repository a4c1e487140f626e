"""A report as Markdown, meant for a job summary or a pull-request comment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.output import Report

__all__ = ["render_markdown"]

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def render_markdown(report: Report, *, depth: int = 3) -> str:
    """Return the report as GitHub-flavoured Markdown; no text in it can act as markup."""
    return "\n".join(_blocks(report, depth)) + "\n"


def _blocks(report: Report, depth: int) -> Iterator[str]:
    if report.title:
        yield f"{'#' * depth} {_escape(report.title)}"
    for line in report.lines:
        yield _escape(line)
    if report.drawing:
        yield ""
        yield from ("```text", *(escape_control(line).replace("```", "'''") for line in report.drawing), "```")
    if report.facts:
        header, rules = ["", "value", report.level or "interval", "unit"], ["---", "---:", "---:", "---"]
        rows = [
            [fact.label, fact.value, f"{fact.low} – {fact.high}" if fact.low else "", fact.unit]
            for fact in report.facts
        ]
        if not any(fact.low for fact in report.facts):
            for cells in (header, rules, *rows):
                del cells[2]
        yield ""
        yield from _table(header, rows, rules)
    if report.grid is not None:
        yield ""
        rules = ["---" if name in report.grid.text else "---:" for name in report.grid.columns]
        yield from _table(report.grid.columns, report.grid.rows, rules)
    for remark in report.remarks:
        yield ""
        yield _escape(remark)
    for section in report.sections:
        yield ""
        yield from _blocks(section, depth + 1)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], rules: Sequence[str]) -> Iterator[str]:
    yield _row(header)
    yield f"| {' | '.join(rules)} |"
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escape(cell) for cell in cells)} |"


def _escape(text: str) -> str:
    # two colons at the start of a line are a command to a CI runner that logs it
    return escape_control(text).translate(_SPECIAL).replace("::", "\\::")
