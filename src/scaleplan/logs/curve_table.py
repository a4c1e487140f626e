"""Read plain tables of curves: a step or tokens and a loss a row, of one run or of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.logs.csv_rows import csv_blocks, csv_sample
from scaleplan.logs.json_lines import is_history
from scaleplan.logs.metric_rows import MetricRows
from scaleplan.logs.naming import run_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Recorder

__all__ = ["read", "read_rows", "recognise"]


def recognise(file: LogFile) -> bool:
    """Return whether a table has the steps of runs: a count that rises within a run, beside a loss."""
    sample = csv_sample(file)
    rows = [dict(zip(sample, cells, strict=True)) for cells in zip(*sample.values(), strict=True)]
    return is_history([{name: cell for name, cell in row.items() if cell != ""} for row in rows])


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a table."""
    yield from read_rows(file, MetricRows(run_name(file.path), file.source, "curve-table"))


def read_rows(file: LogFile, rows: MetricRows) -> Iterator[Recorder]:
    """Yield the runs of a delimited file, as ``rows`` tells them apart."""
    damaged: list[int] = []
    cut = False
    for block in csv_blocks(file):
        damaged += block.damaged
        cut = block.cut
        if block.columns:
            rows.add(block.columns, block.lines.__getitem__)
    for run in rows.runs():
        if damaged:
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            run.recorder.warn("damaged-lines", f"line {damaged[0]}{more} cannot be read, and is left out")
        if cut:
            run.recorder.warn("cut", "the last row is cut off: the file was being written, or its writer was stopped")
        yield run.recorder
