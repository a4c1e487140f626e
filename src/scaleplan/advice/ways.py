"""Compare every usual way to train or tune a model on the devices that one has: does it fit, how long, what does it cost.

Each way takes the least recomputation that fits; its memory is that of :func:`scaleplan.models.questions.memory` with
the same options, its hours follow from the work of a token (:mod:`scaleplan.models.work`) at a default utilisation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from scaleplan.errors import Notice, UsageError
from scaleplan.hardware.budget import BAND_LEVEL, BudgetRequest
from scaleplan.hardware.device_budget import DeviceBudget
from scaleplan.models import questions
from scaleplan.models.layout import LayoutSearch, linked_devices
from scaleplan.models.sequences import Batch
from scaleplan.models.tuning import HABITS, OPTIMIZERS
from scaleplan.models.usual_ways import way_name, ways_with
from scaleplan.models.work import work_of
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.record import Record, Result
from scaleplan.units import SECONDS_PER_HOUR, parse, parse_count, parse_positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.utilisation import Utilisation
    from scaleplan.models import Model
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Memory
    from scaleplan.models.questions import TrainingAsked
    from scaleplan.models.work import Work
    from scaleplan.units import Amount

__all__ = ["ServingWay", "Way", "Ways", "ways"]

_TOKENS = 10e6
"""Tokens where none are given: some 20,000 examples of 500 tokens, a usual set of instructions."""

_FED = 2048
"""Tokens that a device takes at once where the micro-batch is free: with fewer, launching kernels takes longer than
they run (the published speeds of fine-tuning fall from there on), and more only take memory."""

_PROFILE, _SCRATCH = "fine-tuning", "project"
"""The utilisation of tuning a model, and that of a whole pre-training."""

_MOST_DEVICES = 64
"""Devices up to which more of them are a way out for somebody who asks about a few."""

_SHORT = 512
"""Tokens below which no shorter context is a way out."""


class Way(Record):
    """One way to train or tune the model: ``memory`` with these ``options`` gives the same bytes.

    Tokens, hours, money and energy are those of the whole run; None where a speed, a price or a power is not known.
    ``possible_tokens`` are what a limit in hours or money pays for.
    """

    name: str
    options: str
    fits: bool
    memory_bytes: float
    """What a device needs, as the fit counts it."""
    device_used: float
    """What the driver shows."""
    spare: float
    """Share of what can be used that stays free; below 0 it does not fit."""
    recompute: str
    micro_batch: int
    devices: int
    trained_params: int
    flops_per_token: float
    tokens: float
    tokens_per_second: float | None = None
    hours: float | None = None
    hours_interval: tuple[float, float] | None = None
    cost: float | None = None
    cost_interval: tuple[float, float] | None = None
    energy_kwh: float | None = None
    possible_tokens: float | None = None
    possible_tokens_interval: tuple[float, float] | None = None
    possible_epochs: float | None = None
    longest_context: int | None = None
    """Tokens of the longest sequence that fits with full recomputation, one at once."""
    on_host: bool = False
    """Whether something waits in host memory, so that the hours are the least."""
    from_scratch: bool = False
    configured: bool = False
    """Whether it is the way of a training config."""


class ServingWay(Record):
    """The model served on the same devices, its weights stored in one way."""

    weights: str
    options: str
    fits: bool
    memory_bytes: float


class Ways(Record, Result):
    """Every usual way to train or tune a model on some devices: those that fit first, the fewest hours before."""

    schema: ClassVar[str] = "scaleplan/ways/1"

    model: str
    params: int
    gpu: str
    gpus: int
    memory_bytes: float
    context: int
    tokens: float
    tokens_source: str
    epochs: float | None
    data_tokens: float | None
    fits: bool
    limit_hours: float | None
    limit_cost: float | None
    ways: tuple[Way, ...]
    serving: tuple[ServingWay, ...]
    ways_out: tuple[str, ...] = ()
    """Options with which something fits where nothing does."""
    band: float | None = None
    """Real hours are within this factor either way."""
    interval_level: float | None = None
    price_per_hour: float | None = None
    price_source: str | None = None
    price_date: str | None = None
    utilisation: float | None = None
    utilisation_source: str | None = None
    no_hours: str | None = None
    """Why no hours are known."""
    unified_memory: bool = False
    warnings: tuple[Notice, ...] = ()

    @property
    def best(self) -> Way:
        """The cheapest way that fits; else the nearest to fitting."""
        tuned = [way for way in self.ways if not way.from_scratch] or list(self.ways)
        return tuned[0]


def ways(
    source: Amount | Path | Mapping[str, object] | Model,
    *,
    gpu: str,
    gpus: Amount | None = None,
    tokens: Amount | None = None,
    epochs: Amount | None = None,
    data_tokens: Amount | None = None,
    hours: Amount | None = None,
    cost: Amount | None = None,
    price: Amount | None = None,
    mfu: Amount | None = None,
    profile: str | None = None,
    data: Context | None = None,
    **options: Any,  # noqa: ANN401  those of memory
) -> Ways:
    """Return every usual way to train or tune a model on some devices, with memory, hours and money.

    Parameters
    ----------
    source
        What :func:`scaleplan.models.questions.memory` takes. Of a training config the way that it states is there too.
    gpu, gpus
        The devices, one where no number is given.
    tokens, epochs, data_tokens
        The tokens of the run, or passes over so many; 10M where neither is given.
    hours, cost
        A limit: each way tells the tokens that it can do within.
    price, mfu, profile
        Price of a device-hour, and the utilisation: its share of the peak, or a profile in place of ``fine-tuning``.
    data
        The data files; read anew by default.
    options
        Those of :func:`scaleplan.models.questions.memory`: they hold in all ways, and leave those out that contradict
        them.

    Raises
    ------
    UsageError
        For options that contradict each other, or choices that no way has.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sp.ways("llama-3.1-8b", gpu="rtx-4090").fits
    True

    """
    for name in ("serve", "sequences", "weight_bits", "cache_bits"):
        if options.get(name):
            raise UsageError("--ways compare trainings and show serving below", hint=f"leave out --{name}, or --ways")
    context = data or Context()
    model = questions.sized(source, options.get("vocab"))
    asked = questions.TrainingOptions.of(source, {**options, "gpus": gpus})
    devices = int(asked.options.get("gpus") or 1)
    comparison = _Comparison(
        model=model,
        device=context.accelerators.get(gpu),
        gpus=devices,
        asked=asked,
        run=_run_of(asked, tokens=tokens, epochs=epochs, data_tokens=data_tokens),
        limits=_Limits(
            None if hours is None else _above(parse_positive(hours), "hours"),
            None if cost is None else _above(parse("usd", cost), "cost"),
        ),
        paid=BudgetRequest(
            gpu=gpu,
            gpus=float(devices),
            flops=1.0,
            price=None if price is None else parse("usd_per_hour", price),
            mfu=None if mfu is None else parse("fraction", mfu),
            profile=profile,
        ),
        context=context,
    )
    return comparison.answer()
