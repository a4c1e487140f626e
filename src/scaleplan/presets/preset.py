"""A preset: a law with its source, conventions, uncertainty and the range it was fitted on.

A preset is a TOML file (``presets/laws/ID.toml``), which :mod:`scaleplan.presets.library` finds and reads.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.laws.base import Units, VariableSurface
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.laws.base import Cost, Law

__all__ = [
    "LN",
    "NOT_STATED",
    "PARAMS_CONVENTIONS",
    "SCHEMA",
    "STATUSES",
    "BacktestRms",
    "Conventions",
    "FitRange",
    "LossText",
    "Preset",
    "PresetList",
    "PresetSummary",
    "Uncertainty",
]

SCHEMA = 1

STATUSES = ("verified", "single-source", "refit")

PARAMS_CONVENTIONS = ("total", "non_embedding", "active", "total_minus_input_embedding", "flops_per_token")

NOT_STATED = "not stated"
"""What stands for a convention that the source does not state."""

LN = "ln "
"""Marks the logarithm of a coefficient among the uncertain parameters."""


class BacktestRms(Record):
    """Relative error of the loss (root mean square) when extrapolating compute by each of the factors."""

    factors: tuple[float, ...]
    rms: tuple[float, ...]


class Uncertainty(Record):
    """The uncertainty of the coefficients: a full covariance, or draws; never standard errors alone.

    ``parameters`` names the coordinates: a coefficient, or ``"ln X"`` for the logarithm of coefficient X.
    Exactly one of ``covariance`` and ``draws`` is filled. ``centre`` is the middle of the distribution, where the
    source distinguishes it from the point estimate (a bootstrap median); empty means the point estimate.
    """

    parameters: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...] = ()
    draws: tuple[tuple[float, ...], ...] = ()
    centre: tuple[float, ...] = ()
    method: str = ""
    samples: int | None = None
    backtest: BacktestRms | None = None


class Conventions(Record):
    """The source's counts of parameters and compute, and the text that its loss is measured on."""

    params: str
    flops: str
    loss: str
    tokenizer: str
    corpus: str


class LossText(Record):
    """The text on which a published law measured its loss, and the tokenizer; None where its source states none."""

    corpus: str | None
    tokenizer: str | None


class FitRange(Record):
    """The (low, high) of each quantity over the runs the law was fitted on; None where not stated."""

    params: tuple[float, float] | None = None
    tokens: tuple[float, float] | None = None
    flops: tuple[float, float] | None = None
    tokens_per_param: tuple[float, float] | None = None


class PresetSummary(Result, Record):
    """A preset as plain values; ``coefficients`` are in ``units``."""

    schema: ClassVar[str] = "scaleplan/preset/1"

    id: str
    aliases: tuple[str, ...]
    title: str
    form: str
    formula: str
    source: str
    status: str
    coefficients: Mapping[str, float]
    units: Units
    uncertainty: Uncertainty | None
    conventions: Conventions
    range: FitRange
    allocates: bool
    refusal: str | None
    notes: tuple[str, ...]
    fit: Mapping[str, object] | None
    origin: str


class PresetList(Record):
    """Several presets."""

    schema: ClassVar[str] = "scaleplan/presets/1"

    presets: tuple[PresetSummary, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints; each preset with its schema."""
        return {"schema": self.schema, "presets": [preset.to_dict() for preset in self.presets]}


class Preset(Record):
    """A published or fitted law, ready to plan with.

    ``law`` takes quantities in raw units; ``published`` holds the coefficients as the source states them, in
    ``units`` (None for raw ones). ``refusal`` is why the law must not choose D/N; None where it may.
    ``caveats`` are the notes that every plan must repeat. ``origin`` is the file.
    """

    id: str
    aliases: tuple[str, ...]
    title: str
    form: str
    source: str
    status: str
    law: Law
    published: Law
    units: Units | None
    uncertainty: Uncertainty | None
    conventions: Conventions
    cost: Cost
    range: FitRange
    refusal: str | None
    notes: tuple[str, ...]
    caveats: tuple[str, ...]
    fit: Mapping[str, object] | None
    origin: str

    @property
    def allocates(self) -> bool:
        """Whether the law may choose the split of a budget."""
        return self.refusal is None

    @property
    def loss_text(self) -> LossText | None:
        """The text that a published law's losses are of; None for a law fitted to runs of one's own."""
        if self.fit is not None:
            return None
        corpus, tokenizer = self.conventions.corpus, self.conventions.tokenizer
        return LossText(
            corpus=None if corpus == NOT_STATED else corpus, tokenizer=None if tokenizer == NOT_STATED else tokenizer
        )

    @property
    def is_moe(self) -> bool:
        """Whether the law is one of mixtures of experts: its parameters are the activated ones."""
        return self.conventions.params == "active"

    def summary(self) -> PresetSummary:
        """Return the preset as plain values."""
        known = {item.name: getattr(self, item.name) for item in fields(PresetSummary) if hasattr(self, item.name)}
        known |= {"units": self.units or Units(), "formula": self.law.formula}
        return PresetSummary(**known, coefficients=self.published.coefficients())

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return self.summary().to_dict()

    def with_regime(self, regime: str) -> Preset:
        """Return the preset for another batch regime; raises UsageError where the law has no such regime."""
        known = self.published.regimes
        if not known:
            raise UsageError(
                f"preset '{self.id}' does not depend on the batch regime", hint="--batch-regime is for kaplan-2020"
            )
        if regime not in known:
            raise UnknownNameError("batch regime", regime, known)
        published = self.published.with_regime(regime)
        return replace(self, published=published, law=published.in_raw_units(self.units))

    def with_variable(self, value: float) -> Preset:
        """Return the preset of a law of mixtures for another number of experts, or another granularity."""
        assert isinstance(self.published, VariableSurface)
        published = self.published.choose(value)
        law = published.in_raw_units(self.units)
        if not law.routing_flops:
            return replace(self, published=published, law=law)
        return replace(
            self,
            published=published,
            law=law,
            cost=replace(self.cost, routing=law.routing_flops),
            conventions=replace(self.conventions, flops=f"{self.conventions.flops.partition(' +')[0]} + routing"),
        )

    def centre(self) -> tuple[float, ...]:
        """Return the middle of the coefficients' distribution in the coordinates of the uncertainty."""
        if self.uncertainty is None:
            return ()
        known = self.published.coefficients()
        return self.uncertainty.centre or tuple(
            math.log(known[name.removeprefix(LN)]) if name.startswith(LN) else known[name]
            for name in self.uncertainty.parameters
        )

    def law_at(self, theta: Sequence[float]) -> Law:
        """Return the law, in raw units, with its uncertain coefficients moved to ``theta``."""
        names = self.uncertainty.parameters if self.uncertainty else ()
        moved = {
            name.removeprefix(LN): math.exp(value) if name.startswith(LN) else float(value)
            for name, value in zip(names, theta, strict=True)
        }
        return self.published.with_coefficients(moved).in_raw_units(self.units)
