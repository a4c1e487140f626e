"""A plan → a run that one could start: architecture, layout, micro-batch, steps, days, money, energy, carbon.

What is estimated carries its error: accelerator-hours are known to a factor, so the days, the money and the energy of
the same compute are too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UsageError
from scaleplan.hardware.bill import bill_of
from scaleplan.hardware.funding import Catalogue
from scaleplan.models.model import DEFAULT_CONTEXT
from scaleplan.models.shape import shape
from scaleplan.planning.siting import site_of

if TYPE_CHECKING:
    from scaleplan.hardware.bill import Bill
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.model import Model
    from scaleplan.models.walltime import LeastTime
    from scaleplan.notices import Notice
    from scaleplan.planning.plan import Plan

__all__ = ["BATCH_RULE", "Blueprint", "Drawing", "Fitting", "draw", "model_of"]

BATCH_RULE = "step-law-2025"
"""The rule of thumb for the tokens of a step, where none are given; in the middle of the published ones."""

_SECONDS_PER_DAY = 86_400.0
_ROUNDS = 4
_ROUNDED = 0.01  # a step of whole sequences may differ that much from the wanted one


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What a person says about the run beyond the plan; None where the defaults may choose."""

    style: str = "llama"
    sequence: int | None = None
    batch_tokens: float | None = None
    grid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """How the model is divided over the devices, and what each holds, in bytes."""

    parallel: Parallel
    states: str
    recompute: str
    micro_batch: int
    largest_micro_batch: int
    accumulation: int
    bubble: float
    memory: Memory
    memory_bytes: float

    @classmethod
    def of(cls, layout: Layout, memory_bytes: float) -> Fitting:
        """Return the record of a layout on devices of so many nominal bytes."""
        training = layout.training
        return cls(
            parallel=layout.parallel,
            states=training.states,
            recompute=training.recompute,
            micro_batch=training.micro_batch,
            largest_micro_batch=layout.largest_micro_batch,
            accumulation=training.accumulation,
            bubble=layout.bubble,
            memory=layout.memory,
            memory_bytes=memory_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A run in concrete terms; None where the hardware is not known, or nothing fits.

    ``batch_source`` says where ``tokens_per_step`` comes from; ``step_seconds`` is the time of one step while
    training. ``architecture`` is the record of :meth:`scaleplan.models.model.Model.to_dict`, and ``config`` the
    ``config.json`` of a shape that was found here.
    """

    schema: ClassVar[str] = "scaleplan/blueprint/1"

    architecture: dict[str, object]
    config: dict[str, object] | None
    sequence: int
    steps: int
    tokens_per_step: float
    batch_source: str
    step_seconds: float | None
    fits: bool | None
    layout: Fitting | None
    fewest_devices: int | None
    largest_params: float | None
    least_time: LeastTime | None
    bill: Bill | None


def draw(
    plan: Plan, drawing: Drawing, *, model: Model | None = None, catalogue: Catalogue | None = None
) -> tuple[Blueprint, tuple[Notice, ...]]:
    """Return the run of a plan, and what to say about it.

    Parameters
    ----------
    plan
        The size, the tokens and, in its budget, the devices.
    drawing
        The style of the architecture, the sequence, the batch and the grid.
    model
        The architecture, where it is given and not to be found.
    catalogue
        What is known of hardware; read from disk by default.

    Raises
    ------
    UsageError
        For a style, batch or sequence out of its domain.
    UnreachableError
        When no shape of the style has the size of the plan.

    """
    config = None
    if model is None:
        model, config = model_of(plan.params, plan.params_convention, style=drawing.style)
    sequence = drawing.sequence or min(model.architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    batch, batch_source = _batch(plan, drawing)
    site = site_of(plan.budget, model, sequence, batch, catalogue or Catalogue())
    if site.layout is not None:
        if abs(site.layout.tokens_per_step / batch - 1) > _ROUNDED:
            batch_source += ", rounded to whole sequences of every replica"
        batch = float(site.layout.tokens_per_step)
    steps = math.ceil(plan.tokens / batch)
    days, goodput = plan.budget.days, plan.budget.goodput or 1.0
    least, notices = site.limits(plan, model, batch_tokens=batch)
    blueprint = Blueprint(
        architecture={key: value for key, value in model.to_dict().items() if key not in {"schema", "source"}},
        config=config,
        sequence=sequence,
        steps=steps,
        tokens_per_step=batch,
        batch_source=batch_source,
        step_seconds=None if days is None else days * _SECONDS_PER_DAY * goodput / steps,
        fits=site.fits,
        layout=None if site.layout is None else Fitting.of(site.layout, site.memory_bytes),
        fewest_devices=site.fewest,
        largest_params=site.largest,
        least_time=least,
        bill=None if plan.budget.gpu is None else bill_of(plan.budget, drawing.grid, catalogue or Catalogue()),
    )
    return blueprint, (*site.notices, *notices)


def model_of(params: float, convention: str, *, style: str) -> tuple[Model, dict[str, object]]:
    """Return an architecture with ``params`` by the convention of a law, and its ``config.json``."""
    if convention in {"total", "non_embedding"}:
        found = shape(params, style=style, convention=convention)
        return found.model, found.config
    target = params / 6 if convention == "flops_per_token" else params
    for _ in range(_ROUNDS):  # the count by the law's convention is nearly in proportion to the total
        found = shape(target, style=style)
        target *= params / found.model.params_as(convention)
    return found.model, found.config


def _batch(plan: Plan, drawing: Drawing) -> tuple[float, str]:
    if drawing.batch_tokens is not None:
        if drawing.batch_tokens < 1:
            raise UsageError(f"a batch of {drawing.batch_tokens:.3g} tokens is less than one", hint="4M, for example")
        return min(drawing.batch_tokens, plan.tokens), "given"
    from scaleplan.presets.rules import RuleLibrary

    tokens = RuleLibrary().load(BATCH_RULE).batch_tokens(tokens=plan.tokens)
    assert tokens is not None
    return min(tokens, plan.tokens), f"rule of thumb {BATCH_RULE}"
