"""Read delimited files with the metrics of a step in each row: W&B's history, Lightning's file, and plain tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.logs.csv_rows import csv_blocks, csv_names, csv_sample, csv_sample_of_runs
from scaleplan.logs.log_file import read_settings, run_name
from scaleplan.logs.metric_rows import MetricRows
from scaleplan.logs.metrics import metric_names, role_of
from scaleplan.logs.row_objects import are_in_turn, first_runs, is_history, wandb_format, warn_of_sampling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder
    from scaleplan.tables.cells import Cell

__all__ = ["CurveTable", "LightningMetrics", "WandbHistory"]


class WandbHistory:
    """The history of a W&B run as ``run.history().to_csv()`` writes it.

    W&B's own ``_step`` counts calls of its log function; the trainer's count (``train/global_step``) stands beside
    it. ``history()`` draws a sample of 500 rows of a longer run unless it is given another number.
    """

    @staticmethod
    def recognise(file: LogFile) -> bool:
        """Return whether a table has W&B's own columns."""
        return wandb_format(csv_names(file)) is not None

    @staticmethod
    def read(file: LogFile) -> Iterator[Recorder]:
        """Yield the runs of a history."""
        names = csv_names(file)
        one_run = metric_names(names).run is None
        rows = MetricRows(run_name(file.path), file.source, "wandb-history", one_run=one_run)
        for recorder in _read_rows(file, rows):
            warn_of_sampling(recorder, rows)
            yield recorder


class LightningMetrics:
    """The ``metrics.csv`` of Lightning's CSVLogger, with the ``hparams.yaml`` beside it.

    Every call of the logger is a row of its own, so that the loss, the learning rate and the validation of one step
    lie in different rows. Steps count from 0, one less than in other tools: they are kept as they are written.
    """

    @staticmethod
    def recognise(file: LogFile) -> bool:
        """Return whether a file has an epoch, a step and a loss, and no column that other trackers write."""
        names = csv_names(file)
        if not {"step", "epoch"} <= set(names) or any(name.startswith("_") for name in names):
            return False
        usual = file.name.startswith("metrics") or (
            file.path is not None and (file.path.parent / "hparams.yaml").exists()
        )
        typical = any(name.endswith(("_step", "_epoch")) or name.startswith("lr-") for name in names)
        roles = [meaning.role for name in names if (meaning := role_of(name)) is not None]
        return (usual or typical) and not {"loss", "val_loss"}.isdisjoint(roles)

    @staticmethod
    def read(file: LogFile) -> Iterator[Recorder]:
        """Yield the run of a file."""
        rows = MetricRows(run_name(file.path), file.source, "lightning", one_run=True)
        if file.path is not None:
            rows.state(read_settings(file.path.parent / "hparams.yaml"))
        yield from _read_rows(file, rows)


class CurveTable:
    """A plain table of curves: a step or tokens and a loss a row, of one run or of several."""

    @staticmethod
    def recognise(file: LogFile) -> bool:
        """Return whether a table has the steps of runs: a count that rises within a run, beside a loss.

        In the order of steps many runs have a row each before the first has another: their next rows tell.
        """
        sample = csv_sample(file)
        if is_history(_filled(sample)):
            return True
        found = first_runs(sample)
        return found is not None and are_in_turn(_filled(csv_sample_of_runs(file, *found)), found[0])

    @staticmethod
    def read(file: LogFile) -> Iterator[Recorder]:
        """Yield the runs of a table."""
        yield from _read_rows(file, MetricRows(run_name(file.path), file.source, "curve-table"))


def _filled(columns: Mapping[str, Sequence[Cell]]) -> list[dict[str, Cell]]:
    """Return the rows of columns, each without its empty cells."""
    rows = (zip(columns, cells, strict=True) for cells in zip(*columns.values(), strict=True))
    return [{name: cell for name, cell in row if cell != ""} for row in rows]


def _read_rows(file: LogFile, rows: MetricRows) -> Iterator[Recorder]:
    """Yield the runs of a delimited file, as ``rows`` tells them apart."""
    damaged: list[int] = []
    cut = False
    for block in csv_blocks(file):
        damaged += block.damaged
        cut = block.cut
        if block.columns:
            rows.add(block.columns, block.lines.__getitem__)
    yield from rows.recorders(damaged, cut=cut)
