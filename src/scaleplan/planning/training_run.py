"""A plan → a run that one could start: architecture, layout, micro-batch, steps, days, money, energy, carbon.

What is estimated carries its error: accelerator-hours are known to a factor, so the days, the money and the energy of
the same compute are too.


Whether a model fits the devices of a budget, how it is divided over them, and how fast it could be.

Questions about one concrete model, and plans drawn out to a run: the words of their options.

A law's own count of a model's parameters is computed from its architecture and not approximated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.budget import Catalogue, bill_of
from scaleplan.models.layout import fewest_devices, find_layout, linked_devices
from scaleplan.models.memory import DEFAULT_STATES, STATES_SHARE, USABLE, device_bytes, largest_params, states_of
from scaleplan.models.model import DEFAULT_CONTEXT, Model, read_model
from scaleplan.models.questions import whole
from scaleplan.models.shape import shape
from scaleplan.models.walltime import Machine, beyond_utilisation, least_time
from scaleplan.notices import Notice
from scaleplan.units import parse_count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scaleplan.hardware.budget import Bill, Budget
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.walltime import LeastTime
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset

__all__ = [
    "BATCH_RULE",
    "DRAWN",
    "LayoutSummary",
    "Placement",
    "RunSettings",
    "TrainingRun",
    "draw",
    "drawing_of",
    "drawn",
    "model_from",
    "model_of",
    "place",
    "size_by",
    "sizes_in_memory",
]

_GIGA = 1e9

_ROUNDING = 1.05  # steps are whole, and times are estimates


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The devices, and what of the model fits them."""

    memory_bytes: float = 0.0
    bandwidth: float = 0.0
    layout: Layout | None = None
    fits: bool | None = None
    fewest: int | None = None
    largest: float | None = None
    notices: tuple[Notice, ...] = ()

    def limits(self, plan: Plan, model: Model, *, batch_tokens: float) -> tuple[LeastTime | None, tuple[Notice, ...]]:
        """Return the least time of the run on its devices, and warn where the time of the plan is below it."""
        budget = plan.budget
        if self.layout is None or budget.peak_flops_per_s is None or budget.mfu is None:
            return None, ()
        least = least_time(
            model.architecture,
            Machine(flops_per_second=budget.peak_flops_per_s * budget.mfu, bandwidth=self.bandwidth),
            flops=plan.flops,
            tokens=plan.tokens,
            batch_tokens=batch_tokens,
            sequence=self.layout.training.sequence,
            parallel=self.layout.parallel,
            gpus=budget.gpus,
        )
        found = None if budget.days is None else beyond_utilisation(plan.flops, budget.days)
        notices = [] if found is None else [found]
        if budget.days is not None and least.days > budget.days * _ROUNDING:
            message = f"{least.binds} keeps this run from ending before {least.days:.3g} days, whatever it is given"
            notices.append(Notice(code="least_time", message=message))
        return least, tuple(notices)


def place(budget: Budget, model: Model, sequence: int, batch: float, catalogue: Catalogue) -> Placement:
    """Lay the model out on the devices of a budget."""
    if budget.gpu is None:
        return Placement()
    device = catalogue.accelerators.get(budget.gpu)
    memory, linked = device.memory_bytes, linked_devices(device)
    fewest = _fewest(model, memory, linked, sequence)
    if budget.gpus is None:
        return Placement(memory_bytes=memory, bandwidth=device.bandwidth, fewest=fewest)
    largest, needed = _largest(memory, budget.gpus, linked, sequence)
    layout, notices = None, []
    try:
        layout = find_layout(
            model.architecture,
            gpus=budget.gpus,
            memory_bytes=memory,
            linked=linked,
            sequence=sequence,
            batch_tokens=batch,
        )
    except ScaleplanError as error:
        parts = [error.message, error.hint or ""]
        if largest:
            limit = f"--limit 'memory_gb <= {math.floor(needed / _GIGA)}'"
            parts.append(f"about {largest / _GIGA:.2g}B parameters do: {limit}")
        notices.append(Notice(code="does_not_fit", message="; ".join(part for part in parts if part)))
    else:
        notices += _told(layout, budget)
    return Placement(
        memory_bytes=memory,
        bandwidth=device.bandwidth,
        layout=layout,
        fits=layout is not None,
        fewest=fewest,
        largest=largest,
        notices=tuple(notices),
    )


def _told(layout: Layout, budget: Budget) -> list[Notice]:
    """Say what a layout costs that the utilisation may not contain."""
    notices = []
    if layout.training.recompute == "full":
        message = (
            "memory forces full recomputation, a third more work than is counted; default utilisations of many "
            "servers contain that, and a measured one is better: --mfu"
        )
        notices.append(Notice(code="recomputation", message=message))
    if layout.training.states == "offload":
        message = f"the optimizer does not fit {budget.gpu}: kept in host memory, which is slow"
        notices.append(Notice(code="offload", message=message))
    if layout.training.states == "8bit-adam":
        notices.append(Notice(code="small_states", message="memory forces 8-bit optimizer states"))
    return notices


def _fewest(model: Model, memory_bytes: float, linked: int, sequence: int) -> int | None:
    try:
        return fewest_devices(model.architecture, memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    except ScaleplanError:  # one sequence is too long for any number of them
        return None


def sizes_in_memory(preset: Preset, budget: Budget) -> Callable[[float], float]:
    """Return what turns GB on each device of a budget into the largest size, as a law counts it.

    Raises
    ------
    UsageError
        By the result, for a law whose count says nothing about memory.

    """
    assert budget.gpu is not None
    assert budget.gpus is not None
    gpus, linked = budget.gpus, linked_devices(Accelerators().get(budget.gpu))
    own = preset.conventions.params

    def largest(gigabytes: float) -> float:
        if own == "active":
            raise UsageError(
                f"memory cannot be limited by preset '{preset.id}': active parameters say nothing about the others",
                hint="limit params instead",
            )
        total = largest_params(gigabytes * _GIGA, gpus=gpus, sequence=DEFAULT_CONTEXT, linked=linked)
        # M, FLOP per token, is a little above 6 N for the same memory: attention has FLOP and no parameters
        return 6 * total if own == "flops_per_token" else total

    return largest


def _largest(memory_bytes: float, gpus: int, linked: int, sequence: int) -> tuple[float, float]:
    """Return the largest size that fits devices as layouts do, and the bytes of each that it needs."""
    found = largest_params(USABLE * memory_bytes, gpus=gpus, sequence=sequence, linked=linked)
    found = min(found, gpus * STATES_SHARE * memory_bytes / states_of(DEFAULT_STATES).total)
    if not found:
        return 0.0, USABLE * memory_bytes
    return found, device_bytes(found, gpus=gpus, sequence=sequence, linked=linked)


BATCH_RULE = "step-law-2025"
"""The rule of thumb for the tokens of a step, where none are given; in the middle of the published ones."""

_SECONDS_PER_DAY = 86_400.0

_ROUNDS = 4

_ROUNDED = 0.01  # a step of whole sequences may differ that much from the wanted one


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a person says about the run beyond the plan; None where the defaults may choose."""

    style: str = "llama"
    sequence: int | None = None
    batch_tokens: float | None = None
    grid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSummary:
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
    def of(cls, layout: Layout, memory_bytes: float) -> LayoutSummary:
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
class TrainingRun:
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
    layout: LayoutSummary | None
    fewest_devices: int | None
    largest_params: float | None
    least_time: LeastTime | None
    bill: Bill | None


def draw(
    plan: Plan, drawing: RunSettings, *, model: Model | None = None, catalogue: Catalogue | None = None
) -> tuple[TrainingRun, tuple[Notice, ...]]:
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
    site = place(plan.budget, model, sequence, batch, catalogue or Catalogue())
    if site.layout is not None:
        if abs(site.layout.tokens_per_step / batch - 1) > _ROUNDED:
            batch_source += ", rounded to whole sequences of every replica"
        batch = float(site.layout.tokens_per_step)
    steps = math.ceil(plan.tokens / batch)
    days, goodput = plan.budget.days, plan.budget.goodput or 1.0
    least, notices = site.limits(plan, model, batch_tokens=batch)
    blueprint = TrainingRun(
        architecture={key: value for key, value in model.to_dict().items() if key not in {"schema", "source"}},
        config=config,
        sequence=sequence,
        steps=steps,
        tokens_per_step=batch,
        batch_source=batch_source,
        step_seconds=None if days is None else days * _SECONDS_PER_DAY * goodput / steps,
        fits=site.fits,
        layout=None if site.layout is None else LayoutSummary.of(site.layout, site.memory_bytes),
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


def _batch(plan: Plan, drawing: RunSettings) -> tuple[float, str]:
    if drawing.batch_tokens is not None:
        if drawing.batch_tokens < 1:
            raise UsageError(f"a batch of {drawing.batch_tokens:.3g} tokens is less than one", hint="4M, for example")
        return min(drawing.batch_tokens, plan.tokens), "given"
    from scaleplan.presets.rules import RuleLibrary

    tokens = RuleLibrary().load(BATCH_RULE).batch_tokens(tokens=plan.tokens)
    assert tokens is not None
    return min(tokens, plan.tokens), f"rule of thumb {BATCH_RULE}"


DRAWN = ("style", "batch", "region")
"""The words that say how a run is drawn out, which needs ``shape``."""


def model_from(source: Model | str | Path | Mapping[str, object], context: str | float | None = None) -> Model:
    """Return the model that is meant, at a context; raises FileError for a config that cannot be read."""
    if isinstance(source, Model):
        return source
    return read_model(source, context=whole(context, what="context"))


def size_by(preset: Preset, model: Model) -> tuple[float, tuple[Notice, ...]]:
    """Return the size of a model as a law counts it, and what to say about asking this law.

    For laws in FLOP per token that is M of the architecture at its context.
    """
    own = preset.conventions.params
    params = model.params_as(own)
    if model.architecture.experts is None or preset.is_moe or own in {"active", "flops_per_token"}:
        return params, ()
    message = (
        f"{preset.id} was fitted to dense models and counts all {model.params / 1e9:.3g}B parameters of this "
        f"mixture, of which a token uses {model.active_params / 1e9:.3g}B"
    )
    return params, (Notice(code="mixture_by_dense_law", message=message),)


def drawing_of(words: Mapping[str, Any]) -> RunSettings | None:
    """Return how the run of a plan is asked for; None where it is not.

    Raises
    ------
    UsageError
        For a word about a run that nobody asked for.

    """
    context = words.get("context")
    given = {name: words[name] for name in DRAWN if words.get(name) is not None}
    if context is not None and words.get("model") is None:
        given["context"] = context
    if not words.get("shape"):
        if given:
            name = next(iter(given))
            raise UsageError(f"--{name} says nothing about a plan without its run", hint="add --shape")
        return None
    batch = given.get("batch")
    return RunSettings(
        style=given.get("style", "llama"),
        sequence=whole(context, what="context"),
        batch_tokens=None if batch is None else parse_count(batch, what="tokens"),
        grid=given.get("region"),
    )


def drawn(plan: Plan, drawing: RunSettings | None, model: Model | None) -> Plan:
    """Return a plan with its run, where one is asked for."""
    if drawing is None:
        return plan
    blueprint, notices = draw(plan, drawing, model=model)
    return replace(plan, blueprint=blueprint, warnings=(*plan.warnings, *notices))
