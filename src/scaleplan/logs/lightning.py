"""Read the ``metrics.csv`` of Lightning's CSVLogger, with the ``hparams.yaml`` beside it.

Every call of the logger is a row of its own, so that the loss, the learning rate and the validation of one step lie
in different rows. Steps count from 0, one less than in other tools: they are kept as they are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.logs.csv_rows import csv_names
from scaleplan.logs.curve_table import read_rows
from scaleplan.logs.metric_rows import MetricRows
from scaleplan.logs.metrics import role_of
from scaleplan.logs.naming import run_name
from scaleplan.logs.yaml_lines import read_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Recorder

__all__ = ["read", "recognise"]


def recognise(file: LogFile) -> bool:
    """Return whether a file is a ``metrics.csv``: epoch, step and a loss, and no column that others write."""
    names = csv_names(file)
    if not {"step", "epoch"} <= set(names) or any(name.startswith("_") for name in names):
        return False
    usual = file.name.startswith("metrics") or (
        file.path is not None and (file.path.parent / "hparams.yaml").exists()
    )
    typical = any(name.endswith(("_step", "_epoch")) or name.startswith("lr-") for name in names)
    return (usual or typical) and any(_is_loss(name) for name in names)


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the run of a file."""
    rows = MetricRows(run_name(file.path), file.source, "lightning", one_run=True)
    if file.path is not None:
        rows.state(read_settings(file.path.parent / "hparams.yaml"))
    yield from read_rows(file, rows)


def _is_loss(name: str) -> bool:
    meaning = role_of(name)
    return meaning is not None and meaning.role in {"loss", "val_loss"}
