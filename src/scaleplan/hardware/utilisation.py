"""The share of the peak that a run reaches: defaults by device, precision, model size and scale, and profiles.

The defaults are a table (``utilisation.toml``), so they are stepwise: they jump at certain model sizes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, Notice, UsageError, did_you_mean, quote
from scaleplan.files import read_data

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.toml_table import Table

__all__ = ["Utilisation", "UtilisationTable"]

DEFAULT_PROFILE = "typical"

_ASSUMED_PARAMS = 7e9  # in the column with the most evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """A utilisation: ``mfu`` is model FLOP/s over the dense peak, ``goodput`` the share of the paid time that trains.

    Real device-hours lie within a factor of ``band`` either way; ``profile`` and ``band`` are None for a utilisation
    that was given. ``notices`` warn of thin evidence.
    """

    mfu: float
    goodput: float
    profile: str | None
    source: str
    band: float | None
    notices: tuple[Notice, ...] = ()

    @property
    def value(self) -> float:
        """The utilisation that multiplies the peak: ``mfu * goodput``."""
        return self.mfu * self.goodput


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    title: str
    mfu: tuple[float, ...]
    thin: bool
    thin_below: float
    multi_gpu: str | None


class UtilisationTable:
    """The default utilisations; ``utilisation.toml`` in the user's folder replaces the bundled one whole."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        files = read_data("utilisation.toml", folders)
        if not files:
            raise FileError("there is no utilisation.toml in the preset folders")
        top = files[-1]
        self.as_of = top.text("as_of")
        self.source = top.text("source")
        self.band = top.number("band", at_least=1)
        self.sizes = top.numbers("sizes")
        if not self.sizes or list(self.sizes) != sorted(self.sizes) or self.sizes[0] <= 0:
            raise top.error("sizes", "expected model sizes above 0 in rising order")
        self._many_gpus = top.number("many_gpus", above=0)
        profiles = top.table("profiles")
        self._profiles = {name: _profile(profiles.table(name)) for name in profiles.data}
        if DEFAULT_PROFILE not in self._profiles:
            raise top.error("profiles", f"expected a profile named {DEFAULT_PROFILE}")
        moe = top.table("moe")
        self._moe = moe.number("factor", above=0, at_most=1)
        moe.done()
        scale = top.table("scale")
        self._scale_above = scale.number("above_gpus", above=0)
        self._scale_size = scale.number("small_params", above=0)
        self._scale = (scale.number("small", above=0, at_most=1), scale.number("large", above=0, at_most=1))
        scale.done()
        self._rows: dict[tuple[str, str], _Row] = {}
        for table in top.tables("class"):
            ident, row = table.text("id"), _row(table, columns=len(self.sizes) + 1)
            for precision in table.texts("precisions"):
                if self._rows.setdefault((ident, precision), row) is not row:
                    raise table.error("precisions", f"{quote(precision)} has two rows in class {quote(ident)}")
            table.done()
        top.done()

    @property
    def edges(self) -> tuple[float, ...]:
        """The model sizes at which a default may jump, rising."""
        return tuple(sorted({*self.sizes, self._scale_size}))

    def profile(self, name: str | None) -> tuple[str, float, float]:
        """Return (name, factor on the table's value, goodput) of a profile; raises UsageError if it is unknown."""
        wanted = DEFAULT_PROFILE if name is None else name.strip().casefold()
        if wanted not in self._profiles:
            close = did_you_mean(wanted, self._profiles)
            hint = f"did you mean '{close}'?" if close else f"known: {', '.join(self._profiles)}"
            raise UsageError(f"unknown profile {quote(name)}", hint=hint)
        return wanted, *self._profiles[wanted]

    def default(
        self,
        accelerator: Accelerator,
        *,
        precision: str | None = None,
        params: float | None = None,
        gpus: float | None = None,
        profile: str | None = None,
        moe: bool = False,
    ) -> Utilisation:
        """Return the default utilisation of training ``params`` (active) on ``gpus`` devices.

        The table's value for the device class, the precision and the size, times 0.65 for a mixture of experts, times
        0.965 (below 10B parameters, else 0.985) per doubling of the devices above 128, times the profile's factor. An
        unknown number of devices counts as one, without a loss of scale. Raises UsageError when the table has no row
        for this device and precision, or there is no such profile.
        """
        precision = accelerator.precision(precision)
        name, factor, goodput = self.profile(profile)
        row = self._find(accelerator, precision, multiple=(gpus or 1) > 1)
        size = _ASSUMED_PARAMS if params is None else params
        column = len(self.sizes) if (gpus or 1) > self._many_gpus else bisect_right(self.sizes, size)
        if column >= len(row.mfu) and row.multi_gpu is not None:
            row = self._rows.get((row.multi_gpu, precision), row)  # too large for one card, so it will be sharded
        beyond = column >= len(row.mfu)
        mfu = row.mfu[-1 if beyond else column]
        factors = [f"{mfu:g} for {row.title} in {precision}"]
        if moe:
            mfu *= self._moe
            factors.append(f"{self._moe:g} for a mixture of experts")
        if gpus is not None and gpus > self._scale_above:
            per_doubling = self._scale[size >= self._scale_size]
            loss = per_doubling ** math.log2(gpus / self._scale_above)
            mfu *= loss
            factors.append(f"{loss:.3g} for {gpus:,.0f} devices")
        if factor != 1:
            mfu *= factor
            factors.append(f"{factor:g} for the profile")
        notices = []
        if gpus is None and row.multi_gpu is not None:
            message = f"the default utilisation assumes one {accelerator.id}; several reach less: give --gpus"
            notices.append(Notice(code="utilisation_gpus_assumed", message=message))
        if params is None:
            message = f"the default utilisation assumes a model of {size / 1e9:g}B; give the size, or --mfu"
            notices.append(Notice(code="utilisation_size_assumed", message=message))
        if row.thin or size < row.thin_below or beyond or accelerator.class_by_likeness:
            known = f"little is published about utilisation on {accelerator.id} at this size"
            message = f"{known}; measure it and give --mfu"
            notices.append(Notice(code="utilisation_thin_evidence", message=message))
        return Utilisation(
            mfu=mfu,
            goodput=goodput,
            profile=name,
            source=f"default of {self.as_of}: {' x '.join(factors)}",
            band=self.band,
            notices=tuple(notices),
        )

    def _find(self, accelerator: Accelerator, precision: str, *, multiple: bool) -> _Row:
        ident = accelerator.utilisation_class
        row = None if ident is None else self._rows.get((ident, precision))
        if row is not None and multiple and row.multi_gpu is not None:
            row = self._rows.get((row.multi_gpu, precision))
        if row is None:
            known = [known for name, known in self._rows if name == ident]
            other = f", or --precision {known[0]}" if known else ""
            raise UsageError(
                f"there is no default utilisation for {accelerator.id} in {precision}", hint=f"give --mfu{other}"
            )
        return row


def _profile(table: Table) -> tuple[float, float]:
    values = table.number("factor", above=0), table.number("goodput", above=0, at_most=1)
    table.done()
    return values


def _row(table: Table, *, columns: int) -> _Row:
    mfu = table.numbers("mfu")
    if not 0 < len(mfu) <= columns or not all(0 < value <= 1 for value in mfu):
        raise table.error("mfu", f"expected one to {columns} fractions above 0 and at most 1")
    return _Row(
        title=table.text("title"),
        mfu=mfu,
        thin=table.boolean("thin", default=False),
        thin_below=table.optional_number("thin_below", above=0) or 0.0,
        multi_gpu=table.text("multi_gpu") if "multi_gpu" in table else None,
    )
