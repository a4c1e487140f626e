"""The runs as numbers: sizes, tokens and losses, checked once, with centred logs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np

from scaleplan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy import bool_, float64, intp
    from numpy.typing import NDArray

    Array = NDArray[float64]
    Floats = Array | Sequence[float]
    Selection = NDArray[bool_] | NDArray[intp]

__all__ = ["Points"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Runs that a law is fitted to, one entry each.

    Attributes
    ----------
    params, tokens
        Parameters and training tokens, in any consistent unit.
    loss
        Final losses, positive.
    flops
        Training compute; 6*params*tokens unless given. It orders the runs and is not fitted.
    weight
        How much a run counts in the objective, or None for one each.
    rows
        The row of each run in the user's file, for messages; counted from 1 unless given.

    """

    params: Array
    tokens: Array
    loss: Array
    flops: Array
    weight: Array | None
    rows: NDArray[intp]

    @classmethod
    def of(
        cls,
        params: Floats,
        tokens: Floats,
        loss: Floats,
        *,
        flops: Floats | None = None,
        weight: Floats | None = None,
        rows: Sequence[int] | NDArray[intp] | None = None,
    ) -> Self:
        """Check the columns and put them together.

        Raises
        ------
        UsageError
            When the columns differ in length, or hold a number that is not positive and finite.

        """
        size, data, observed = _column(params, "params"), _column(tokens, "tokens"), _column(loss, "loss")
        compute = None if flops is None else _column(flops, "flops")
        counts = None if weight is None else _column(weight, "weight")
        lengths = {
            name: len(column)
            for name, column in (
                ("params", size),
                ("tokens", data),
                ("loss", observed),
                ("flops", compute),
                ("weight", counts),
            )
            if column is not None
        }
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise UsageError(f"columns of different length: {listed}")
        return cls(
            params=size,
            tokens=data,
            loss=observed,
            flops=6.0 * size * data if compute is None else compute,
            weight=counts,
            rows=np.arange(1, len(observed) + 1) if rows is None else np.asarray(rows, dtype=np.intp),
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

    def select(self, chosen: Selection) -> Self:
        """Return some of the runs."""
        return type(self)(
            params=self.params[chosen],
            tokens=self.tokens[chosen],
            loss=self.loss[chosen],
            flops=self.flops[chosen],
            weight=None if self.weight is None else self.weight[chosen],
            rows=self.rows[chosen],
        )


def _column(values: Floats, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise UsageError(f"{name} is not a column of numbers")
    wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
    if len(wrong):
        raise UsageError(f"{name} {column[wrong[0]]:g} in run {wrong[0] + 1} is not a positive number")
    return column
