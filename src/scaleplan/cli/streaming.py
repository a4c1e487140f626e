"""Stream plans: one a line for budgets from standard input or of a long sweep, in constant memory."""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import ScaleplanError, UsageError, system_reason
from scaleplan.output import load_part
from scaleplan.output.data import render_header, render_jsonl, render_rows
from scaleplan.output.fields import bare_value, declared, names_in, resolve_all, split_names, take
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SWEPT, Request, option_names, parse_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from scaleplan.cli.options import OutputOptions
    from scaleplan.output.views.fields import StreamTable
    from scaleplan.planning.solver_array import PlanArray
    from scaleplan.project.saved import ResultRecord

__all__ = ["LineStyle", "amounts", "answer_lines", "plan_chunks", "sweep_lines"]

_BATCH = 8192  # plans written together by the fast path; larger batches only cost memory
_BLOCK = 1 << 16

_PLAIN = b"0123456789.eE+-\n\r\t "

_LINE_FORMATS = {"text": "tsv", "json": "jsonl", "jsonl": "jsonl", "csv": "csv", "tsv": "tsv"}


def input_lines() -> Iterator[list[str]]:
    """Yield the lines of standard input in batches, each as soon as it has arrived."""
    rest = b""
    while block := _block():
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > _BLOCK:
            raise UsageError(
                f"a line of standard input is longer than {_BLOCK:,} bytes", hint="give one amount a line"
            )
        yield [line.decode("utf-8", "backslashreplace").strip() for line in whole]
    yield [rest.decode("utf-8", "backslashreplace").strip()]


def _block() -> bytes:
    """Return what has arrived on standard input; empty at its end."""
    hint = "give the budget with --flops"
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint=hint)
    try:
        return os.read(sys.stdin.fileno(), _BLOCK)
    except OSError as error:
        raise UsageError(f"cannot read standard input: {system_reason(error)}", hint=hint) from None


def amounts(
    batches: Iterable[list[str]], parser: Callable[[str], float], *, bare: bool = True
) -> Iterator[list[float]]:
    """Yield the amounts of batches of lines without the empty ones; UsageError names a line that is no amount.

    Where ``bare``, plain numbers are what they say and need no parser.
    """
    number = 0
    for lines in batches:
        found = _plain_numbers(lines) if bare else None
        if found is None:
            found = []
            for place, line in enumerate(lines, number + 1):
                try:
                    if line:
                        found.append(parser(line))
                except ScaleplanError as error:
                    if found:
                        yield found  # the lines before it are answered, however they arrived
                    raise UsageError(f"line {place} of standard input: {error.message}", hint=error.hint) from None
        number += len(lines)
        if found:
            yield found


def _plain_numbers(lines: Sequence[str]) -> list[float] | None:
    """Read lines that are all plain numbers above 0; None when any needs the full grammar."""
    text = "".join(lines)
    if not text.isascii() or text.encode().translate(None, _PLAIN):
        return None
    try:
        values = [float(line) for line in lines if line]
    except ValueError:
        return None
    return values if all(0 < value < math.inf for value in values) else None


def line_format(name: str) -> str:
    """Return the format of single lines for the format ``name``; raises UsageError where it has none."""
    if name not in _LINE_FORMATS:
        raise UsageError(f"format '{name}' cannot be written line by line", hint="choose jsonl, csv or tsv")
    return _LINE_FORMATS[name]


class LineStyle(NamedTuple):
    """How answers are written line by line: the format, and the names of fields, or the one that is written bare.

    On a terminal, text is a table to read, whose columns have one width from the first row on.
    """

    form: str
    names: tuple[str, ...] | None = None
    get: str | None = None

    @classmethod
    def of(cls, output: OutputOptions, form: str) -> Self:
        """Return the style that the options of the output choose; raises UsageError where a format has none."""
        names = None if output.fields is None else tuple(split_names(output.fields))
        is_table = form == "text" and output.get is None and sys.stdout.isatty()
        return cls("table" if is_table else line_format(form), names=names, get=output.get)

    def table(self, by: str | None, *, hardware: bool) -> StreamTable | None:
        """Return the table of plans for budgets of the form ``by`` that rows are written to; None for no table."""
        if self.form != "table":
            return None
        by = by if self.names is None else None
        table: StreamTable = load_part("views.fields:StreamTable")(by, hardware=hardware)
        return table

    @property
    def delimiter(self) -> str:
        """What stands between the cells of a row."""
        return "," if self.form == "csv" else "\t"


def answer_lines(form: str, options: dict[str, Any], style: LineStyle) -> Iterator[str]:
    """Return the answers to the budgets on standard input, one a line.

    The budgets are of one ``form`` (``flops``, ``gpu_hours``, ``time`` or ``cost``), beside the other options.
    """
    others = [other for other in SWEPT if other != form and options[other] is not None]
    if others:
        raise UsageError(f"two budgets: standard input and --{others[0].replace('_', '-')}", hint="give one of them")
    context = Context()
    request = Request.of({**options, form: None}, context)
    rate = request.exchange_rate if form == "cost" else None
    lines = amounts(input_lines(), partial(parse_budget, form, rate=rate), bare=rate is None)
    planner = Planner.of(request, context)
    if form == "flops" and _alike(planner, options):
        return _fast_chunks(planner, lines, style)
    plans = (plan_budget(planner, request.changed(**{form: amount})) for batch in lines for amount in batch)
    return plan_chunks(plans, style, by=form, hardware=options.get("gpu") is not None)


def sweep_lines(budgets: Iterator[float], options: dict[str, Any], style: LineStyle) -> Iterator[str] | None:
    """Return the plans of many budgets in FLOP, one a line; None where they are not of one kind."""
    context = Context()
    planner = Planner.of(Request.of(options, context), context)
    if not _alike(planner, options):
        return None
    batches = iter(lambda: list(islice(budgets, _BATCH)), [])
    return _fast_chunks(planner, batches, style)


def _alike(planner: Planner, options: dict[str, Any]) -> bool:
    """Return whether plans differ in their numbers only, so that they can be computed as arrays."""
    from scaleplan.output.views.plan_lines import supports

    return not any(options.get(name) for name in (*option_names("hardware"), "gpus")) and supports(planner)


def _fast_chunks(planner: Planner, batches: Iterable[list[float]], style: LineStyle) -> Iterator[str]:
    from scaleplan.output.views.plan_lines import csv_rows, json_lines, table_rows

    header = True
    table = style.table("flops", hardware=False)
    for batch in batches:
        parts = (batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH))
        for plans in (plans for part in parts for plans in _arrays(planner, part)):
            if style.get is not None:
                rows = table_rows(plans, (style.get,))
                yield "".join(f"{bare_value(row, style.get, tuple(row))}\n" for row in rows)
            elif style.form == "jsonl":
                yield "".join(json_lines(plans, style.names))
            elif table is not None:
                yield "".join(map(table.line, table_rows(plans, style.names or table.names)))
            else:
                yield csv_rows(plans, delimiter=style.delimiter, header=header, names=style.names)
            header = False


def _arrays(planner: Planner, budgets: list[float]) -> Iterator[PlanArray]:
    """Yield the plans of some budgets together; where one has none, those before it, and its error."""
    from scaleplan.planning.solver_array import plan_array

    try:
        yield plan_array(planner, budgets)
    except ScaleplanError:
        if len(budgets) == 1:
            raise
        for budget in budgets:
            yield plan_array(planner, [budget])


def plan_chunks(
    plans: Iterable[ResultRecord], style: LineStyle, *, by: str | None = None, hardware: bool = False
) -> Iterator[str]:
    """Yield plans, or other results of one record, as text, one at a time.

    ``by`` is the form of the budgets, which comes first in a table of plans, on ``hardware`` or without.
    """
    columns: tuple[str, ...] = ()
    table = style.table(by, hardware=hardware)
    for plan in plans:
        record = plan.to_dict()
        if not columns:  # what a later plan lacks, or has beside them, moves no other column
            named = (style.get,) if style.get is not None else style.names
            at_hand = names_in(record)
            columns = tuple(at_hand) if named is None else _resolved(named, at_hand, plan.schema)
            first = True
        if style.get is not None:
            yield f"{bare_value(record, style.get, columns)}\n"
        elif style.form == "jsonl":
            yield render_jsonl([record if style.names is None else {name: take(record, name) for name in columns}])
        elif table is not None:
            shown = columns if style.names is not None else table.names
            yield table.line({name: take(record, name) for name in shown}, take(record, "budget.currency"))
        else:
            header = render_header(columns, delimiter=style.delimiter) if first else ""
            yield header + render_rows([record], columns, delimiter=style.delimiter)
        first = False


def _resolved(names: Iterable[str], at_hand: Iterable[str], schema: str) -> tuple[str, ...]:
    return resolve_all(names, at_hand, lambda: declared(schema)[0])
