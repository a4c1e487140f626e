"""Write a report as plain text for a terminal or a pipe, aligned and without boxes, or as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import escape_control

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.output import Fact, Report, ReportTable

__all__ = ["render_markdown", "render_text", "styled_lines"]

_INDENT = "  "

_WIDTH = 100

_UNIT = re.compile(r"(?<=\d) (?=(?:%|FLOP|GB|days?|h)(?!\w))")
"""The space between a number and its unit, at which no line is broken."""

Line = tuple[str, str]
"""A line and its style: ``title``, ``head``, ``body`` or ``remark``."""


def render_text(report: Report) -> str:
    """Return the report as plain text, ending in a newline."""
    return "".join(f"{line}\n" for line, _ in styled_lines(report))


def styled_lines(report: Report) -> Iterator[Line]:
    """Yield the lines of a report, each with the style a terminal may give it; none is a command to a CI runner."""
    for line, style in _styled(report):
        yield (_disarmed(line) if "::" in line or "##[" in line else line), style


def _disarmed(line: str) -> str:
    """Quote what a runner would act on in a log: ``::name::`` at the start of a line, ``##[name]`` anywhere."""
    text = line.replace("##[", "## [")
    start = len(text) - len(text.lstrip())
    return f"{text[:start]}'{text[start:]}" if text.startswith("::", start) else text


def _styled(report: Report) -> Iterator[Line]:
    if report.title:
        yield from ((line, "title") for line in _wrapped(report.title, first="", rest=_INDENT))
    yield from ((escape_control(line), "body") for line in (*report.lines, *report.drawing))
    if report.facts:
        yield "", "body"
        yield from ((line, "body") for line in _facts(report.facts, report.level))
    if report.grid is not None:
        yield "", "body"
        yield from _grid(report.grid)
    if report.remarks:
        yield "", "body"
        for remark in report.remarks:
            yield from ((line, "remark") for line in _wrapped(remark, first=_INDENT, rest=_INDENT))
    for section in report.sections:
        yield "", "body"
        yield from _styled(section)


def _facts(facts: Sequence[Fact], level: str) -> Iterator[str]:
    label_width = max(len(fact.label) for fact in facts)
    value_width = max((len(fact.value) for fact in facts if not fact.prose), default=0)
    low_width = max(len(fact.low) for fact in facts)
    high_width = max(len(fact.high) for fact in facts)
    shown_level = level
    for fact in facts:
        label = _INDENT + fact.label.ljust(label_width)
        if fact.prose:
            yield from _wrapped(fact.value, first=f"{label}  ", rest=" " * (len(label) + 2))
            continue
        parts = [label, fact.value.rjust(value_width)]
        if low_width:
            if fact.low:
                parts += [
                    shown_level.rjust(len(level)),
                    f"{fact.low.rjust(low_width)} – {fact.high.ljust(high_width)}",
                ]
                shown_level = ""  # stands once, on the first line that has an interval
            elif fact.unit:
                parts += [" " * len(level), " " * (low_width + 3 + high_width)]
        if fact.unit:
            parts.append(fact.unit)
        yield escape_control("  ".join(parts).rstrip())


def _wrapped(text: str, *, first: str, rest: str) -> Iterator[str]:
    """Yield prose in lines of a readable width; long words such as paths stay whole."""
    safe = escape_control(text)
    if len(first) + len(safe) <= _WIDTH:
        yield first + safe
        return
    yield from _parted(safe, _WIDTH, first=first, rest=rest)


def _parted(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Return text in lines of a width; long words such as paths stay whole, and numbers with their units."""
    from textwrap import wrap

    whole = _UNIT.sub("\N{NO-BREAK SPACE}", text)
    lines = wrap(
        whole, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _grid(grid: ReportTable) -> Iterator[Line]:
    cells = [tuple(escape_control(cell) for cell in row) for row in (grid.columns, *grid.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(grid.columns))]
    left = [name in grid.text for name in grid.columns]
    narrowed = _narrowed(widths, cells, left)
    for number, row in enumerate(cells):
        for line in [row] if narrowed == widths else _folded(row, narrowed):
            padded = (
                cell.ljust(width) if is_text else cell.rjust(width)
                for cell, width, is_text in zip(line, narrowed, left, strict=True)
            )
            yield (_INDENT + "  ".join(padded)).rstrip(), "head" if number == 0 else "body"


def _narrowed(widths: list[int], cells: Sequence[Sequence[str]], left: list[bool]) -> list[int]:
    """Return widths that fit a line, those of the widest columns of text reduced as far as their longest words."""
    over = sum(widths) - (_WIDTH - len(_INDENT) - len("  ") * (len(widths) - 1))
    if over <= 0:
        return widths
    found = list(widths)
    words = [max((len(word) for row in cells for word in row[i].split()), default=0) for i in range(len(widths))]
    for _ in range(over):
        wide = [i for i, width in enumerate(found) if left[i] and width > words[i]]
        if wide:
            found[max(wide, key=lambda i: found[i])] -= 1
    return found


def _folded(row: tuple[str, ...], widths: list[int]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a row whose cells may be wider than their columns; numbers and long words stay whole."""
    parts = [[cell] if len(cell) <= width else _parted(cell, width) for cell, width in zip(row, widths, strict=True)]
    for line in range(max(map(len, parts))):
        yield tuple(part[line] if line < len(part) else "" for part in parts)


_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|#~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})

_LIVE = re.compile(
    r"(?<!\w@)(?<=@)(?=\w)|(?<=@)(?=[\w-]+\.)(?=[\w.-]*[a-z])"  # @team, name@example.org
    r"|(?<=[#!])(?=\d)|(?<=\bGH)(?=-\d)"  # #12, !12 and GH-12
    r"|(?<=:)(?=//)|(?<=\bwww)(?=\.)",
    re.IGNORECASE,
)
"""Where GitHub and GitLab make a mention, a reference or a link of plain text, which no backslash keeps them from."""

_CUT = "<!-- -->"  # shows nothing, and what stands around it is no longer one word

_BLOCK = re.compile(r"^(\s*)(?=[-+](?:\s|$)|[-=]+\s*$)|^(\s*\d+)(?=[.)](?:\s|$))")
"""Where a line would begin a list, or make a heading of the one above."""


def render_markdown(report: Report, *, depth: int = 3) -> str:
    """Return the report as GitHub-flavoured Markdown; no text in it can act as markup."""
    return "\n".join(_blocks(report, depth)) + "\n"


def _blocks(report: Report, depth: int) -> Iterator[str]:
    if report.title:
        yield f"{'#' * depth} {_escape(report.title)}"
    for line in report.lines:
        yield _line(line)
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
        yield _line(remark)
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


def _line(text: str) -> str:
    return _BLOCK.sub(r"\g<0>\\", _escape(text))


def _escape(text: str) -> str:
    # two colons at the start of a line are a command to a CI runner that logs it
    return _LIVE.sub(_CUT, escape_control(text).translate(_SPECIAL)).replace("::", "\\::")
