"""A preset: a law with its source, conventions, uncertainty and the range it was fitted on.

A preset is a TOML file (``presets/laws/ID.toml``), which :mod:`scaleplan.presets.library` finds and reads.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.laws.base import Units, VariableSurface
from scaleplan.presets.conventions import NATS, token_bytes
from scaleplan.record import Record, Result
from scaleplan.units import exact, format_count, format_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Floats
    from scaleplan.laws.base import Cost, Law
    from scaleplan.laws.forecast import Forecast

__all__ = [
    "LN",
    "NOT_STATED",
    "PARAMS_CONVENTIONS",
    "SCHEMA",
    "STATUSES",
    "BacktestRms",
    "Conventions",
    "FitRange",
    "Line",
    "LossText",
    "Preset",
    "PresetList",
    "PresetSummary",
    "Uncertainty",
]

SCHEMA = 2
"""The format of preset files; 1 had no ``[forecast]`` and is still read."""

STATUSES = ("verified", "single-source", "refit")

PARAMS_CONVENTIONS = ("total", "non_embedding", "active", "total_minus_input_embedding", "flops_per_token")

NOT_STATED = "not stated"
"""What stands for a convention that the source does not state."""

_FAR = 700.0  # the largest logarithm of a float, nearly
_LEVEL = 1e-3  # a line that rises or falls less has one token count, or one size
_REACH = 10.0
_STRIP = 1.2  # lines are no wider

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
    ``freedom`` is how many residuals measured the noise, for Student's t; None for so many that it does not matter.
    """

    parameters: tuple[str, ...]
    covariance: tuple[tuple[float, ...], ...] = ()
    draws: tuple[tuple[float, ...], ...] = ()
    centre: tuple[float, ...] = ()
    method: str = ""
    samples: int | None = None
    freedom: int | None = None
    backtest: BacktestRms | None = None


class Conventions(Record):
    """The source's counts of parameters and compute, and the text that its loss is measured on.

    ``bytes_per_token`` are those of this text with this tokenizer; None where they are not known.
    """

    params: str
    flops: str
    loss: str
    tokenizer: str
    corpus: str
    bytes_per_token: float | None = None


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


class Line(Record):
    """The line of (params, tokens) on which the runs of a law lie, and on which alone they determine it.

    Two points are a straight line in the logarithms, which goes on beyond both; more are a curve from point to point,
    which ends where its runs end. ``within`` is the factor by which a plan may lie beside it; of two sizes, or two
    token counts, the line lies between them and this reaches to both.
    """

    params: tuple[float, ...]
    tokens: tuple[float, ...]
    within: float

    def factor(self, params: float, tokens: float) -> float:
        """Return the factor by which a plan lies beside the line, 1 on it."""
        return math.exp(min(self._nearest(math.log(params), math.log(tokens))[0], _FAR))

    def holds(self, params: float, tokens: float) -> bool:
        """Whether a plan lies on the line."""
        return self.factor(params, tokens) <= self.within * (1 + 1e-9)

    def nearest(self, params: float, tokens: float) -> tuple[float, float]:
        """Return the params and tokens on the line with this size, or where none is, the ones closest by."""
        x, y = math.log(params), math.log(tokens)
        if len(self.params) == 2:
            (first, last) = self._points
            if abs(last[0] - first[0]) > abs(last[1] - first[1]) * _LEVEL:
                y = first[1] + (last[1] - first[1]) * (x - first[0]) / (last[0] - first[0])
            else:
                x = first[0] + (last[0] - first[0]) * (y - first[1]) / (last[1] - first[1])
            return math.exp(min(x, _FAR)), math.exp(min(y, _FAR))
        _, x, y = self._nearest(x, y)
        return math.exp(x), math.exp(y)

    def at(self, flops: float, cost: Cost) -> tuple[float, float] | None:
        """Return the params and tokens on the line that cost ``flops``; None where it does not lead there.

        A line that hardly gains compute, such as that of one budget, is followed no farther than ten times itself.
        """
        points = self._points
        low, high = (-_REACH, _REACH + 1) if len(points) == 2 else (0.0, len(points) - 1.0)

        def spent(place: float) -> float:
            return cost.flops(*self._place(place))

        if spent(low) > spent(high):
            low, high = high, low
        if not spent(low) <= flops <= spent(high):
            return None
        for _ in range(100):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if spent(middle) < flops else (low, middle)
        return self._place(high)

    @property
    def hint(self) -> str:
        """How to ask for a plan on the line."""
        if len(self.params) == 2 and self.tokens[0] == self.tokens[1]:
            return f"--tokens {_amount(self.tokens[0])} keeps to the line of the runs"
        if len(self.params) == 2 and self.params[0] == self.params[1]:
            return f"--params {_amount(self.params[0])} keeps to the line of the runs"
        return f"ask for the loss of a plan on the line of the runs, such as 'scaleplan {self.question}'"

    @property
    def question(self) -> str:
        """The command for the loss of the last run, without the preset."""
        return f"loss --params {_amount(self.params[-1])} --tokens {_amount(self.tokens[-1])}"

    @property
    def _points(self) -> list[tuple[float, float]]:
        return [(math.log(n), math.log(d)) for n, d in zip(self.params, self.tokens, strict=True)]

    def _place(self, place: float) -> tuple[float, float]:
        """Return the params and tokens at a place, counted in points from the first."""
        points = self._points
        piece = min(max(int(place), 0), len(points) - 2)
        (x, y), (to_x, to_y) = points[piece], points[piece + 1]
        share = place - piece
        log_params, log_tokens = x + share * (to_x - x), y + share * (to_y - y)
        return math.exp(min(log_params, _FAR)), math.exp(min(log_tokens, _FAR))

    def _nearest(self, x: float, y: float) -> tuple[float, float, float]:
        """Return the distance in the logarithms to the nearest point of the line, and that point."""
        found = []
        for (a, b), (to_a, to_b) in pairwise(self._points):
            along, across = to_a - a, to_b - b
            share = ((x - a) * along + (y - b) * across) / (along * along + across * across)
            if len(self.params) > 2:
                share = min(max(share, 0.0), 1.0)
            near_x, near_y = a + share * along, b + share * across
            found.append((math.hypot(x - near_x, y - near_y), near_x, near_y))
        return min(found)

    def __str__(self) -> str:
        (n, *_, to_n), (d, *_, to_d) = self.params, self.tokens
        straight = len(self.params) == 2
        strip = self.within > _STRIP
        if straight and n == to_n:
            span = f"strip of {format_count(n / self.within)} to {format_count(n * self.within)}"
            return f"the {span if strip else f'line of {format_count(n)}'} parameters"
        if straight and d == to_d:
            span = f"strip of {format_count(d / self.within)} to {format_count(d * self.within)}"
            return f"the {span if strip else f'line of {format_count(d)}'} tokens"
        if straight and math.isclose(d / n, to_d / to_n, rel_tol=1e-6):
            return f"the line of {format_number(d / n)} tokens per parameter"
        return (
            f"the {'line' if straight else 'curve'} from {format_count(n)} parameters on {format_count(d)} tokens "
            f"to {format_count(to_n)} on {format_count(to_d)}"
        )


def _amount(count: float) -> str:
    """Return a number of parameters or tokens as a person types it, in four digits."""
    return exact("params", float(f"{count:.4g}"))


class PresetSummary(Result, Record):
    """A preset as plain values; ``coefficients`` are in ``units``, and ``forecast`` is what a fit plans by."""

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
    line: Line | None
    forecast: Mapping[str, object] | None
    allocates: bool
    refusal: str | None
    notes: tuple[str, ...]
    fit: Mapping[str, object] | None
    origin: str


class PresetList(Result, Record):
    """The scaling laws that are known."""

    schema: ClassVar[str] = "scaleplan/presets/1"

    presets: tuple[PresetSummary, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints; each preset with its schema."""
        return {"schema": self.schema, "presets": [preset.to_dict() for preset in self.presets]}


class Preset(Record):
    """A published or fitted law, ready to plan with.

    ``law`` takes quantities in raw units; ``published`` holds the coefficients as the source states them, in
    ``units`` (None for raw ones). A fit with a ``forecast`` plans by it: it is the ``law``, ``published`` the plain
    law, and ``uncertainty`` that of the plain law's coefficients alone. ``refusal`` is why the law must not choose
    D/N; None where it may. ``line`` is where its runs lie, if they determine it there alone. ``caveats`` are the
    notes that every plan must repeat. ``origin`` is the file.
    """

    id: str
    aliases: tuple[str, ...]
    title: str
    form: str
    source: str
    status: str
    law: Law
    published: Law
    forecast: Forecast | None
    units: Units | None
    uncertainty: Uncertainty | None
    conventions: Conventions
    cost: Cost
    range: FitRange
    line: Line | None
    refusal: str | None
    notes: tuple[str, ...]
    caveats: tuple[str, ...]
    fit: Mapping[str, object] | None
    origin: str

    @property
    def allocates(self) -> bool:
        """Whether the law may choose the split of a budget."""
        return self.refusal is None

    def require_everywhere(self) -> None:
        """Refuse a law that is determined along a line alone where more than a line is needed; raises UsageError."""
        if self.line is not None:
            raise UsageError(
                f"preset '{self.id}' is determined along {self.line} alone, and this needs more", hint=self.line.hint
            )

    def require_on_line(self, params: Floats | float, tokens: Floats | float) -> None:
        """Refuse plans off the line of the runs, where the law is not determined; raises UsageError."""
        line = self.line
        if line is None:
            return
        sizes = [params] if isinstance(params, float) else params
        for size, data in zip(sizes, [tokens] if isinstance(tokens, float) else tokens, strict=True):
            if not line.holds(size, data):
                near_size, near_data = line.nearest(size, data)
                raise UsageError(
                    f"preset '{self.id}' was fitted to runs on {line}, and says nothing of {format_count(size)} "
                    f"parameters on {format_count(data)} tokens",
                    hint=f"it holds on that line alone: for example {format_count(near_size)} parameters on "
                    f"{format_count(near_data)} tokens",
                )

    @property
    def loss_text(self) -> LossText | None:
        """The text that a published law's losses are of; None for a law fitted to the user's runs."""
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
        known |= {"units": self.units or Units(), "formula": self.published.formula}
        known["forecast"] = None if self.forecast is None else self.forecast.summary()
        return PresetSummary(**known, coefficients=self.published.coefficients())

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return self.summary().to_dict()

    def with_bytes_per_token(self, value: float) -> Preset:
        """Return the preset with the bytes that a token of its text has.

        Raises UsageError where its loss is not in nats per token, or no tokenizer makes such tokens.
        """
        if self.conventions.loss != NATS:
            raise UsageError(
                f"--bytes-per-token says nothing of preset '{self.id}', whose loss is {self.conventions.loss}",
                hint=f"it goes with losses in {NATS}",
            )
        return replace(self, conventions=replace(self.conventions, bytes_per_token=token_bytes(value)))

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
