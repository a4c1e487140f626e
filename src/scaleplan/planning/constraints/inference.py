"""The cost of serving the model: 2 FLOP per parameter and token, beside 6 for training (Sardana et al. 2024).

Minimising ``6*N*D + 2*N*D_inf`` at a given loss (arXiv:2401.00448, equation 2) gives a smaller model on more tokens.
In money each part is divided by its own utilisation and multiplied by its own price: training reaches 40-60 % of the
peak and decoding may reach 1 % or less, so the weight of inference is often far above 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from scaleplan.errors import UsageError
from scaleplan.planning.constraints.base import Term
from scaleplan.units import (
    SECONDS_PER_HOUR,
    format_count,
    format_factor,
    format_fraction,
    format_number,
    parse_count,
    parse_fraction,
    parse_usd_per_hour,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Number
    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import Cost
    from scaleplan.planning.constraints.base import Point

__all__ = ["Inference", "TrainingOnly"]

FLOPS_PER_PARAM_TOKEN = 2.0

_ROUNDING = 1e-9  # relative; what is closer differs by the digits of the arithmetic only


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOnly:
    """The optimum for training alone at the loss of a plan that counts inference, and the plan against it.

    Ratios are those of the plan to this optimum. ``saving`` is the share of the whole bill that the plan saves, by
    money where inference is counted in money; ``pays_back_at_tokens`` is the demand from which it does save.
    """

    params: float
    tokens: float
    flops: float
    total_flops: float
    params_ratio: float
    tokens_ratio: float
    flops_ratio: float
    saving: float
    pays_back_at_tokens: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference(Term):
    """A number of tokens served; counted in money where ``mfu`` is given, in FLOP otherwise."""

    tokens: float
    mfu: float | None = None
    usd_per_hour: float | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the demand, and what it runs at."""
        tokens, mfu, price = (options.get(f"inference_{name}") for name in ("tokens", "mfu", "price"))
        if tokens is None:
            raise UsageError(
                f"--inference-{'price' if mfu is None else 'mfu'} says nothing without a demand",
                hint="give --inference-tokens",
            )
        if mfu is None and price is not None:
            raise UsageError(
                "--inference-price needs --inference-mfu",
                hint="prompt processing runs near the utilisation of training, decoding may reach 1% or less",
            )
        return cls(
            tokens=parse_count(tokens, what="tokens", most=math.inf),  # all requests of a lifetime may be more
            mfu=None if mfu is None else parse_fraction(mfu),
            usd_per_hour=None if price is None else parse_usd_per_hour(price),
        )

    @property
    def priced(self) -> bool:
        """Whether inference is counted in money."""
        return self.mfu is not None

    def on(self, cost: Cost, budget: Budget | None) -> Cost:
        """Return the cost with ``2*weight*D_inf`` FLOP a parameter."""
        served = FLOPS_PER_PARAM_TOKEN * self.weight(budget) * self.tokens
        return replace(cost, per_param=cost.per_param + served)

    def weight(self, budget: Budget | None) -> float:
        """Return what a FLOP of inference costs in FLOP of training: the ratios of utilisations and of prices."""
        if self.mfu is None:
            return 1.0
        if budget is None or budget.utilisation is None:
            raise UsageError("--inference-mfu needs --gpu", hint="without hardware inference is counted in FLOP")
        if self.usd_per_hour is None:
            return budget.utilisation / self.mfu
        if budget.price_per_hour is None:
            raise UsageError("--inference-price needs the price of training", hint="give --price")
        return budget.utilisation / self.mfu * self.usd_per_hour / budget.price_per_hour

    def flops(self, params: Number) -> Number:
        """Return the compute of serving the demand."""
        return FLOPS_PER_PARAM_TOKEN * self.tokens * params

    def facts(self, point: Point) -> dict[str, object]:
        """Return the demand, what it adds to the bill, and the plan against the optimum for training alone."""
        inference = self.flops(point.params)
        money = self._money(point)
        return {
            "inference_tokens": self.tokens,
            "inference_flops": inference,
            "total_flops": point.flops + inference,
            "inference_cost": None if money is None else money[1],
            "total_cost": None if money is None else sum(money),
            "training_only": self.against_training_only(point),
        }

    def against_training_only(self, point: Point) -> TrainingOnly | None:
        """Return the optimum for training alone at the same loss; None where its limits leave none."""
        frontier = point.changed(self, None)
        flops = frontier.least_flops(point.loss)
        if flops is None:
            return None
        params, tokens, _ = frontier.best(flops)
        flops = frontier.problem.cost.flops(params, tokens)
        weight = self.weight(point.budget)
        bill = point.flops + weight * self.flops(point.params)
        reference = flops + weight * self.flops(params)
        spared = FLOPS_PER_PARAM_TOKEN * weight * (params - point.params)
        return TrainingOnly(
            params=params,
            tokens=tokens,
            flops=flops,
            total_flops=flops + self.flops(params),
            params_ratio=point.params / params,
            tokens_ratio=point.tokens / tokens,
            flops_ratio=point.flops / flops,
            saving=1 - bill / reference,
            pays_back_at_tokens=max(0.0, point.flops - flops) / spared if spared > 0 else None,
        )

    @staticmethod
    def remarks(facts: Mapping[str, object]) -> tuple[str, ...]:
        """Return what overtraining costs and saves."""
        other = facts["training_only"]
        if not isinstance(other, TrainingOnly):
            return ()
        size, data = format_count(other.params), format_count(other.tokens)
        share, more = format_fraction(other.params_ratio), format_number(other.tokens_ratio)
        line = (
            f"best for training alone at this loss: {size} on {data} tokens; this model has {share} of its size, "
            f"sees {more}x the tokens and takes {format_factor(other.flops_ratio)} the training compute"
        )
        if abs(other.saving) < _ROUNDING and abs(other.params_ratio - 1) < _ROUNDING:
            return (f"no better for training alone at this loss: {size} on {data} tokens is the best for both",)
        if abs(other.saving) < _ROUNDING:
            return (line,)
        saved = "saves" if other.saving > 0 else "costs"
        second = f"over training and inference it {saved} {format_fraction(abs(other.saving))}"
        if other.pays_back_at_tokens:
            second += f", and pays back from {format_count(other.pays_back_at_tokens)} inference tokens"
        return line, second

    def _money(self, point: Point) -> tuple[float, float] | None:
        """Return the cost of training and of inference, in the currency of the prices."""
        rates = point.budget
        if self.mfu is None or not (rates.price_per_hour and rates.peak_flops_per_s and rates.utilisation):
            return None
        hourly = rates.peak_flops_per_s * SECONDS_PER_HOUR
        price = self.usd_per_hour or rates.price_per_hour
        training = point.flops / (hourly * rates.utilisation) * rates.price_per_hour
        return training, self.flops(point.params) / (hourly * self.mfu) * price
