"""Budgets from standard input, or a long sweep: one plan a line, in constant memory, as soon as it is known."""

from __future__ import annotations

import math
import os
import sys
from itertools import islice
from typing import TYPE_CHECKING

from scaleplan.errors import ScaleplanError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner

__all__ = ["BATCH", "amounts", "batches_of", "fast_chunks", "input_lines", "plan_chunks"]

BATCH = 8192
"""Plans written together by the fast path; larger batches only cost memory."""

_BLOCK = 1 << 16

_PLAIN = b"0123456789.eE+-\n\r\t "

_LINE_FORMATS = {"text": "tsv", "json": "jsonl", "jsonl": "jsonl", "csv": "csv", "tsv": "tsv"}


def input_lines() -> Iterator[list[str]]:
    """Yield the lines of standard input in batches, each as soon as it has arrived."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint="give the budget with --flops")
    rest = b""
    while block := os.read(sys.stdin.fileno(), _BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > _BLOCK:
            raise UsageError(
                f"a line of standard input is longer than {_BLOCK:,} bytes", hint="give one amount a line"
            )
        yield [line.decode("utf-8", "backslashreplace").strip() for line in whole]
    yield [rest.decode("utf-8", "backslashreplace").strip()]


def amounts(batches: Iterable[list[str]], parser: Callable[[str], float]) -> Iterator[list[float]]:
    """Yield the amounts of batches of lines; empty lines are passed over.

    Raises
    ------
    UsageError
        For a line that is not an amount; the message names the line.

    """
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


def batches_of(values: Iterator[float]) -> Iterator[list[float]]:
    """Yield values in batches."""
    while batch := list(islice(values, BATCH)):
        yield batch


def line_format(name: str) -> str:
    """Return the format that lines of plans are written in when ``name`` is asked for.

    Raises
    ------
    UsageError
        When the format has no lines.

    """
    if name not in _LINE_FORMATS:
        raise UsageError(f"format '{name}' cannot be written line by line", hint="choose jsonl, csv or tsv")
    return _LINE_FORMATS[name]


def fast_chunks(planner: Planner, batches: Iterable[list[float]], name: str) -> Iterator[str] | None:
    """Return the plans of batches of FLOP budgets as text, computed as arrays; None where plans differ in kind."""
    from scaleplan.output.views.plan_lines import supports

    if not supports(planner):
        return None
    return _fast_chunks(planner, batches, line_format(name))


def _fast_chunks(planner: Planner, batches: Iterable[list[float]], name: str) -> Iterator[str]:
    from scaleplan.output.views.plan_lines import csv_rows, json_lines
    from scaleplan.planning.solver_array import plan_array

    header = True
    for batch in batches:
        for start in range(0, len(batch), BATCH):
            plans = plan_array(planner, batch[start : start + BATCH])
            if name == "jsonl":
                yield "".join(json_lines(plans))
            else:
                yield csv_rows(plans, delimiter="," if name == "csv" else "\t", header=header)
            header = False


def plan_chunks(plans: Iterable[Plan], name: str, *, get: str | None = None) -> Iterator[str]:
    """Yield plans as text, one at a time."""
    from scaleplan.cli.command import pick
    from scaleplan.output.data import render_delimited, render_jsonl

    written = line_format(name)
    header = True
    for plan in plans:
        record = plan.to_dict()
        if get is not None:
            yield f"{pick(record, get)}\n"
        elif written == "jsonl":
            yield render_jsonl([record])
        else:
            yield render_delimited([record], delimiter="," if written == "csv" else "\t", header=header)
            header = False
