"""The training runs that a law is fitted to, as arrays: with the account of their file, or as bare points."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.record import Record
from scaleplan.tables.headings import normalised
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scaleplan.arrays import Array, Floats, Index, Mask
    from scaleplan.errors import Notice

__all__ = ["REASONS", "Finding", "Points", "Runs", "group_codes", "row_text", "rows_text", "span_text"]

REASONS: dict[str, str] = {
    "filtered": "does not meet a condition",
    "heading": "no run: a section row or the header again",
    "unreadable": "a cell holds no number",
    "missing_loss": "no loss",
    "missing_size": "too little known of params, tokens and flops",
    "missing_value": "no value in a column that the fit uses",
    "bad_value": "a size or weight that is not a positive number, or one that no run can have",
    "zero_loss": "a loss of 0 or below: still running or never evaluated",
    "crashed": "its state says that it did not finish",
    "duplicate": "the same row again",
    "small": "below the least compute given",
    "left_out": "left out by its row number",
    "marked": "a column of the file marks it",
    "not_last": "an earlier step of a run whose final row is kept",
    "diverged": "loss far above the other runs of its size",
    "not_best": "another run of its sweep is better",
    "same_point": "same sizes and loss as another row, under another name or setting",
    "outlier": "loss stands apart from the other runs of its size",
    "worse_than_smaller": "smaller models on fewer tokens have far lower losses",
    "compute_differs": "its flops do not follow from its params and tokens as those of other rows do",
}
"""Why a row is dropped or flagged, and what that means."""


class Finding(Record):
    """One row that was dropped or deserves a look: its number in the file, a key of ``REASONS``, the particulars."""

    row: int
    reason: str
    detail: str


class Runs(Record, eq=False):
    """Training runs of the file ``name``, one entry of each array per run, in file order.

    Sizes are in raw units, NaN throughout for a size that was not needed and is not in the file; ``unique_tokens``
    may hold NaN. ``rows`` are numbers in the file as an editor shows them (the header of a CSV file is row 1),
    ``loss_unit`` is ``nats/token`` where that is known, else what the loss is per: ``bits/byte``, ``nats/word``.
    ``bytes_per_token`` are those of the text of the losses, None where the file does not tell them.
    ``replicates`` codes the runs by their sizes where some have the same. ``columns`` names the column, or the
    mapping, that each role was read from; ``notes`` lists what was recognised, derived and converted, ``warnings``
    what makes a fit to all runs doubtful. ``elsewhere`` are ranges of the numbers of rows that a condition has left
    out and ``dropped`` does not list: those of the other groups of a large table.
    """

    name: str
    sha256: str
    params: Array
    tokens: Array
    flops: Array
    loss: Array
    rows: Index
    loss_unit: str = "nats/token"
    flops_convention: str = "6ND"
    bytes_per_token: float | None = None
    weight: Array | None = None
    unique_tokens: Array | None = None
    replicates: Index | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)
    group: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[Finding, ...] = ()
    flagged: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    elsewhere: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def params_convention(self) -> str:
        """How the parameters are counted, by the compute or the name of their column; in total if nothing says it."""
        if self.flops_convention == "MD":
            return "flops_per_token"
        column = normalised(self.columns.get("params", ""))
        if re.search(r"\b(non ?emb\w*|no emb\w*)\b", column):
            return "non_embedding"
        return "active" if "active" in column.split() else "total"

    def select(self, where: Mask | Index) -> Runs:
        """Return the runs at the positions of a mask or an index; the account of the file stays as it is."""
        positions = np.arange(len(self))[where].tolist()
        return replace(
            self,
            **_selected(self, (*_ARRAYS, "unique_tokens", "replicates"), where),
            extra={name: values[where] for name, values in self.extra.items()},
            group=self.group and tuple(self.group[i] for i in positions),
            labels=self.labels and tuple(self.labels[i] for i in positions),
        )

    def points(self) -> Points:
        """Return the runs as the points of a surface."""
        return Points.of(self.params, self.tokens, self.loss, flops=self.flops, weight=self.weight, rows=self.rows)

    def spans(self) -> dict[str, tuple[float, float]]:
        """Return the smallest and the largest params, tokens, flops and tokens_per_param, of those that are known."""
        with np.errstate(all="ignore"):
            ratio = self.tokens / self.params
        sizes = {"params": self.params, "tokens": self.tokens, "flops": self.flops, "tokens_per_param": ratio}
        return {
            name: (float(np.min(values)), float(np.max(values)))
            for name, values in sizes.items()
            if np.all(np.isfinite(values))
        }

    def dropped_by_reason(self) -> dict[str, int]:
        """Return how many rows were dropped for each reason."""
        return dict(Counter(finding.reason for finding in self.dropped))


class Points(Record, eq=False):
    """Runs that a law is fitted to, one entry each; sizes in any consistent unit.

    ``flops`` is the training compute, 6*params*tokens unless given: it orders the runs and is not fitted. ``weight``
    is how much a run counts in the objective, None for one each. ``rows`` are numbers in the user's file, for
    messages, counted from 1 unless given.
    """

    params: Array
    tokens: Array
    loss: Array
    flops: Array
    weight: Array | None
    rows: Index

    @classmethod
    def of(
        cls,
        params: Floats,
        tokens: Floats,
        loss: Floats,
        *,
        flops: Floats | None = None,
        weight: Floats | None = None,
        rows: Sequence[int] | Index | None = None,
    ) -> Self:
        """Check the columns: UsageError where they differ in length or a number is not positive and finite."""
        given = {"params": params, "tokens": tokens, "loss": loss, "flops": flops, "weight": weight}
        columns = {name: _column(values, name) for name, values in given.items() if values is not None}
        if len({len(column) for column in columns.values()}) > 1:
            listed = ", ".join(f"{name} {len(column)}" for name, column in columns.items())
            raise UsageError(f"columns of different length: {listed}")
        return cls(
            params=columns["params"],
            tokens=columns["tokens"],
            loss=columns["loss"],
            flops=columns["flops"] if "flops" in columns else 6.0 * columns["params"] * columns["tokens"],
            weight=columns.get("weight"),
            rows=np.arange(1, len(columns["loss"]) + 1) if rows is None else np.asarray(rows, dtype=np.intp),
        )

    def __len__(self) -> int:
        return len(self.loss)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """The means of ln params and ln tokens."""
        return float(np.mean(np.log(self.params))), float(np.mean(np.log(self.tokens)))

    @cached_property
    def logs(self) -> tuple[Array, Array]:
        """Ln params and ln tokens less their means."""
        return np.log(self.params) - self.centre[0], np.log(self.tokens) - self.centre[1]

    def select(self, chosen: Mask | Index) -> Self:
        """Return some of the runs."""
        return replace(self, **_selected(self, _ARRAYS, chosen))


_ARRAYS = ("params", "tokens", "flops", "loss", "weight", "rows")


def _selected(runs: Runs | Points, names: Sequence[str], chosen: Mask | Index) -> dict[str, Any]:
    """Return the chosen entries of the arrays that are there, by name."""
    return {name: values[chosen] for name in names if (values := getattr(runs, name)) is not None}


def _column(values: Floats, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise UsageError(f"{name} is not a column of numbers")
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if len(wrong):
        raise UsageError(f"{name} {format_plain(column[wrong[0]])} in run {wrong[0] + 1} is not a positive number")
    return column


def group_codes(labels: Sequence[object]) -> Index:
    """Return the number of each label's group, from 0 in the order of appearance."""
    codes: dict[object, int] = {}
    return np.array([codes.setdefault(label, len(codes)) for label in labels], dtype=np.intp)


def rows_text(rows: Iterable[int], one: str, more: str) -> str:
    """Return rows with their verb as text: ``row 9 stands``, ``rows 2-6, 9 stand``."""
    numbers = sorted(rows)
    return f"row {numbers[0]} {one}" if len(numbers) == 1 else f"rows {row_text(numbers)} {more}"


def row_text(rows: Iterable[int]) -> str:
    """Return row numbers as text: ``2-6, 9``."""
    return span_text((row, row) for row in rows)


def span_text(spans: Iterable[tuple[int, int]]) -> str:
    """Return ranges of row numbers, each from its first to its last, as the text of all their rows."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = joined[-1][0], last
        else:
            joined.append((first, last))
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in joined)
