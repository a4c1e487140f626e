"""Stream plans: one a line for budgets from standard input or of a long sweep, in constant memory."""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SWEPT, Request, option_names
from scaleplan.units import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scaleplan.planning.solver_array import PlanArray
    from scaleplan.project.saved import ResultRecord

__all__ = ["amounts", "answer_lines", "sweep_lines"]

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
        reason = (error.strerror or "not readable").lower()
        raise UsageError(f"cannot read standard input: {reason}", hint=hint) from None


def amounts(batches: Iterable[list[str]], parser: Callable[[str], float]) -> Iterator[list[float]]:
    """Yield the amounts of batches of lines without the empty ones; UsageError names a line that is no amount."""
    number = 0
    for lines in batches:
        found = _plain_numbers(lines)
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


def answer_lines(form: str, options: dict[str, Any], name: str, *, get: str | None) -> Iterator[str]:
    """Return the answers to the budgets on standard input, one a line.

    The budgets are of one ``form`` (``flops``, ``gpu_hours``, ``time`` or ``cost``), beside the other options;
    ``name`` is the format, and ``get`` the one field that is written bare.
    """
    others = [other for other in SWEPT if other != form and options[other] is not None]
    if others:
        raise UsageError(f"two budgets: standard input and --{others[0].replace('_', '-')}", hint="give one of them")
    lines = amounts(input_lines(), partial(parse, SWEPT[form]))
    context = Context()
    request = Request.of({**options, form: None}, context)
    planner = Planner.of(request, context)
    if form == "flops" and get is None and _alike(planner, options):
        return _fast_chunks(planner, lines, line_format(name))
    plans = (plan_budget(planner, request.changed(**{form: amount})) for batch in lines for amount in batch)
    return plan_chunks(plans, name, get=get)


def sweep_lines(budgets: Iterator[float], options: dict[str, Any], name: str) -> Iterator[str] | None:
    """Return the plans of many budgets in FLOP, one a line; None where they are not of one kind."""
    context = Context()
    planner = Planner.of(Request.of(options, context), context)
    if not _alike(planner, options):
        return None
    batches = iter(lambda: list(islice(budgets, _BATCH)), [])
    return _fast_chunks(planner, batches, line_format(name))


def _alike(planner: Planner, options: dict[str, Any]) -> bool:
    """Return whether plans differ in their numbers only, so that they can be computed as arrays."""
    from scaleplan.output.views.plan_lines import supports

    return not any(options.get(name) for name in (*option_names("hardware"), "gpus")) and supports(planner)


def _fast_chunks(planner: Planner, batches: Iterable[list[float]], name: str) -> Iterator[str]:
    from scaleplan.output.views.plan_lines import csv_rows, json_lines

    header = True
    for batch in batches:
        parts = (batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH))
        for plans in (plans for part in parts for plans in _arrays(planner, part)):
            if name == "jsonl":
                yield "".join(json_lines(plans))
            else:
                yield csv_rows(plans, delimiter="," if name == "csv" else "\t", header=header)
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


def plan_chunks(plans: Iterable[ResultRecord], name: str, *, get: str | None = None) -> Iterator[str]:
    """Yield plans, or other results of one record, as text, one at a time."""
    from scaleplan.cli.command import pick
    from scaleplan.output.data import flat, render_delimited, render_jsonl, render_rows

    written = line_format(name)
    columns: list[str] = []
    for plan in plans:
        record = plan.to_dict()
        if get is not None:
            yield f"{pick(record, get)}\n"
        elif written == "jsonl":
            yield render_jsonl([record])
        else:
            delimiter = "," if written == "csv" else "\t"
            if columns:  # what a later plan lacks, or has beside them, moves no other column
                yield render_rows([record], columns, delimiter=delimiter)
            else:
                columns = [key for key, _ in flat(record)]
                yield render_delimited([record], delimiter=delimiter)
