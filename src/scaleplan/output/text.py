"""Write a report as plain text for a screen of some width, aligned and without boxes, or as Markdown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from scaleplan.errors import escape_control
from scaleplan.output import USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from scaleplan.output import Fact, Report, ReportTable

__all__ = ["message_lines", "render_markdown", "render_text", "styled_lines", "width_of"]

_LEAST, _MOST = 60, 200
"""The widths that text keeps within."""

_INDENT = "  "

_GAP = "  "

_UNIT = re.compile(r"(?<=\d) (?=(?:%|FLOP|GB|MWh|days?|hours?|h)(?!\w))")
"""The space between a number and its unit, at which no line is broken."""


def width_of(stream: TextIO) -> int:
    """Return the columns that text has: ``COLUMNS``, else those of the terminal, else 80; within 60 to 200."""
    given = os.environ.get("COLUMNS", "")
    columns = int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0
    if not columns:
        try:
            columns = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError, AttributeError):  # a pipe, a file, or a stream without a number
            columns = 0
    return min(max(columns or USUAL, _LEAST), _MOST)


def message_lines(text: str, stream: TextIO) -> str:
    """Return a message as it is written: wrapped with a hanging indent on a terminal, one line in a log or a pipe."""
    lines = _parted(text, width_of(stream), rest=_INDENT) if stream.isatty() else [text]
    return "".join(f"{line}\n" for line in lines)


Line = tuple[str, str]
"""A line and its style: ``title``, ``head``, ``body`` or ``remark``."""


def render_text(report: Report, *, width: int = USUAL) -> str:
    """Return the report as plain text of a width, ending in a newline; words and numbers stay whole."""
    return "".join(f"{line}\n" for line, _ in styled_lines(report, width=width))


def styled_lines(report: Report, *, width: int = USUAL) -> Iterator[Line]:
    """Yield the lines of a report, each with the style a terminal may give it; none is a command to a CI runner."""
    for line, style in _styled(report, width):
        yield (_disarmed(line) if "::" in line or "##[" in line else line), style


def _disarmed(line: str) -> str:
    """Quote what a runner would act on in a log: ``::name::`` at the start of a line, ``##[name]`` anywhere."""
    text = line.replace("##[", "## [")
    start = len(text) - len(text.lstrip())
    return f"{text[:start]}'{text[start:]}" if text.startswith("::", start) else text


def _styled(report: Report, width: int) -> Iterator[Line]:
    if report.title:
        yield from ((line, "title") for line in _wrapped(report.title, width, first="", rest=_INDENT))
    for line in report.lines:
        start = line[: len(line) - len(line.lstrip(" "))]
        yield from ((part, "body") for part in _wrapped(line[len(start) :], width, first=start, rest=start + _INDENT))
    yield from ((escape_control(line), "body") for line in report.drawn(width))
    if report.facts:
        yield "", "body"
        yield from ((line, "body") for line in _facts(report.facts, report.level, width))
    if report.grid is not None:
        yield "", "body"
        yield from _grid(report.grid, width)
    if report.remarks:
        yield "", "body"
        for remark in report.remarks:
            yield from ((line, "remark") for line in _wrapped(remark, width, first=_INDENT, rest=_INDENT))
    for section in report.sections:
        yield "", "body"
        yield from _styled(section, width)


def _facts(facts: Sequence[Fact], level: str, width: int) -> Iterator[str]:
    """Yield facts a line each, or where the screen is too narrow, with their intervals below their values."""
    label_width = max(len(fact.label) for fact in facts)
    value_width = max((len(fact.value) for fact in facts if not fact.prose), default=0)
    lines = list(_aligned(facts, level, label_width, value_width))
    narrow = any(len(line) > width for line, fact in zip(lines, facts, strict=True) if not fact.prose)
    for line, fact in zip(lines, facts, strict=True):
        label = _INDENT + escape_control(fact.label).ljust(label_width) + _GAP
        if fact.prose:
            yield from _wrapped(fact.value, width, first=label, rest=" " * len(label))
        elif not narrow:
            yield line
        else:
            unit = f" {fact.unit}" if fact.unit else ""
            yield from _wrapped(f"{fact.value}{unit}", width, first=label, rest=" " * len(label))
            if fact.low:
                span = f"{fact.low} – {fact.high}" + (f" ({level})" if level else "")
                yield from _wrapped(span, width, first=" " * len(label), rest=" " * len(label))


def _aligned(facts: Sequence[Fact], level: str, label_width: int, value_width: int) -> Iterator[str]:
    """Yield a line for each fact, all in columns; of prose it does not matter."""
    low_width = max(len(fact.low) for fact in facts)
    high_width = max(len(fact.high) for fact in facts)
    shown_level = level
    for fact in facts:
        parts = [_INDENT + fact.label.ljust(label_width), fact.value.rjust(value_width)]
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
        yield escape_control(_GAP.join(parts).rstrip())


def _wrapped(text: str, width: int, *, first: str, rest: str) -> Iterator[str]:
    """Yield prose in lines of a width; long words such as paths stay whole."""
    safe = escape_control(text)
    if len(first) + len(safe) <= width:
        yield (first + safe).rstrip() if not safe else first + safe
        return
    yield from _parted(safe, width, first=first, rest=rest)


def _parted(text: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Return text in lines of a width; long words such as paths stay whole, and numbers with their units."""
    lines = [first]
    is_empty = True  # the last line, but for its indent
    for word in _UNIT.sub("\N{NO-BREAK SPACE}", text).split(" "):
        if not is_empty and len(lines[-1]) + 1 + len(word) > width:
            lines.append(rest)
            is_empty = True
        lines[-1] += word if is_empty else f" {word}"
        is_empty = is_empty and not word
    return [line.rstrip(" ").replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _grid(grid: ReportTable, width: int) -> Iterator[Line]:
    """Yield a table; one that no folding makes narrow enough in parts, each with the columns that tell rows apart."""
    cells = [tuple(escape_control(cell) for cell in row) for row in (grid.columns, *grid.rows)]
    left = [name in grid.text for name in grid.columns]
    for number, columns in enumerate(_fitting(cells, left, width, grid.keys)):
        if number:
            yield "", "body"
        yield from _part([tuple(row[i] for i in columns) for row in cells], [left[i] for i in columns], width)


def _fitting(cells: Sequence[Sequence[str]], left: list[bool], width: int, keys: int) -> Iterator[list[int]]:
    """Yield the columns of each part of a table: all of them where they fit when cells and headings are folded.

    The first ``keys`` are in each part, or the first alone where another does not fit beside them.
    """
    least = _least_widths(cells, left)
    room = width - len(_INDENT)
    if sum(least[i] + len(_GAP) for i in range(keys)) + max(least[keys:], default=0) > room:
        keys = 1
    part: list[int] = []
    for column, needed in enumerate(least):
        taken = sum(least[i] + len(_GAP) for i in part)
        if len(part) > keys and taken + needed > room:
            yield part
            part = [*range(keys)]
        part.append(column)
    yield part


def _part(cells: Sequence[tuple[str, ...]], left: list[bool], width: int) -> Iterator[Line]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(left))]
    narrowed = _narrowed(widths, _least_widths(cells, left), width)
    for number, row in enumerate(cells):
        lines = [row] if narrowed == widths else _folded(row, narrowed)
        for line in _bottom_aligned(lines) if number == 0 else lines:
            padded = (
                cell.ljust(width) if is_text else cell.rjust(width)
                for cell, width, is_text in zip(line, narrowed, left, strict=True)
            )
            yield (_INDENT + _GAP.join(padded)).rstrip(), "head" if number == 0 else "body"


def _least_widths(cells: Sequence[Sequence[str]], left: list[bool]) -> list[int]:
    """Return how narrow each column can be: as its longest word; of numbers, the longest and the heading's words."""
    return [
        max(
            max((len(word) for row in (cells if is_text else cells[:1]) for word in row[i].split()), default=0),
            0 if is_text else max((len(row[i]) for row in cells[1:]), default=0),
        )
        for i, is_text in enumerate(left)
    ]


def _narrowed(widths: list[int], least: list[int], width: int) -> list[int]:
    """Return widths that fit a line, the widest of those that can be folded reduced first."""
    over = sum(widths) - (width - len(_INDENT) - len(_GAP) * (len(widths) - 1))
    if over <= 0:
        return widths
    found = list(widths)
    for _ in range(over):
        wide = [i for i, column in enumerate(found) if column > least[i]]
        if wide:
            found[max(wide, key=lambda i: found[i])] -= 1
    return found


def _folded(row: tuple[str, ...], widths: list[int]) -> list[tuple[str, ...]]:
    """Return the lines of a row whose cells may be wider than their columns; numbers and long words stay whole."""
    parts = [[cell] if len(cell) <= width else _parted(cell, width) for cell, width in zip(row, widths, strict=True)]
    return [tuple(part[line] if line < len(part) else "" for part in parts) for line in range(max(map(len, parts)))]


def _bottom_aligned(lines: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the lines of a heading, the cells of fewer lines at the bottom, next to their columns."""
    columns = [[cell for cell in column if cell] for column in zip(*lines, strict=True)]
    filled = [[""] * (len(lines) - len(column)) + column for column in columns]
    return [*zip(*filled, strict=True)]


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
    drawing = report.drawn()
    if drawing:
        yield ""
        yield from ("```text", *(escape_control(line).replace("```", "'''") for line in drawing), "```")
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
