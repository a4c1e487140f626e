"""Read the history of a W&B run as ``run.history().to_csv()`` writes it.

W&B's own ``_step`` counts calls of its log function; the trainer's count (``train/global_step``) stands beside it.
``history()`` draws a sample of 500 rows of a longer run unless it is told otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.logs.csv_rows import csv_names
from scaleplan.logs.curve_table import read_rows
from scaleplan.logs.json_lines import wandb_format, warn_of_sampling
from scaleplan.logs.metric_rows import MetricRows
from scaleplan.logs.metrics import metric_names
from scaleplan.logs.naming import run_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Recorder

__all__ = ["read", "recognise"]


def recognise(file: LogFile) -> bool:
    """Return whether a table has W&B's own columns."""
    return wandb_format(csv_names(file)) is not None


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a history."""
    names = csv_names(file)
    rows = MetricRows(run_name(file.path), file.source, "wandb-history", one_run=metric_names(names).run is None)
    for recorder in read_rows(file, rows):
        warn_of_sampling(recorder, rows)
        yield recorder
