"""The training runs that a law is fitted to: checked arrays in raw units, and an account of the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy import bool_, float64, int64
    from numpy.typing import NDArray

    from scaleplan.fitting.quality import Finding

    Array = NDArray[float64]

__all__ = ["Runs"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Training runs, one entry of each array per run, in file order.

    Attributes
    ----------
    name, sha256
        The file's name and the SHA-256 of its bytes.
    params, tokens, flops
        Sizes in raw units; NaN throughout for a size that was not needed and is not in the file.
    loss
        Final loss in ``loss_unit``.
    rows
        Row numbers in the file, as an editor shows them (the header of a CSV file is row 1).
    loss_unit
        ``nats/token``, or ``bits/byte`` when the tokens per byte were not given.
    weight, unique_tokens
        Optional columns; ``unique_tokens`` may hold NaN.
    extra
        Further columns that were asked for.
    group, labels
        Group of each run when grouped; its name when the file has one.
    columns
        The column, or the mapping, that each role was read from.
    dropped, flagged
        Rows that are not here, and rows that are and deserve a look, with reasons.
    notes
        What was recognised, derived and converted, one sentence each.

    """

    name: str
    sha256: str
    params: Array
    tokens: Array
    flops: Array
    loss: Array
    rows: NDArray[int64]
    loss_unit: str = "nats/token"
    flops_convention: str = "6ND"
    weight: Array | None = None
    unique_tokens: Array | None = None
    extra: Mapping[str, Array] = field(default_factory=dict)
    group: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[Finding, ...] = ()
    flagged: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, where: NDArray[bool_] | NDArray[int64]) -> Runs:
        """Return the runs at the positions of a mask or an index; the account of the file stays as it is."""
        at = np.arange(len(self))[where]

        def texts(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in at.tolist())

        return replace(
            self,
            params=self.params[at],
            tokens=self.tokens[at],
            flops=self.flops[at],
            loss=self.loss[at],
            rows=self.rows[at],
            weight=None if self.weight is None else self.weight[at],
            unique_tokens=None if self.unique_tokens is None else self.unique_tokens[at],
            extra={name: values[at] for name, values in self.extra.items()},
            group=texts(self.group),
            labels=texts(self.labels),
        )

    def dropped_by_reason(self) -> dict[str, int]:
        """Return how many rows were dropped for each reason."""
        return dict(Counter(finding.reason for finding in self.dropped))
