"""Place the model of a plan on its devices: its size by the law, its memory and layout, and the training run.

A law's own count of a model's parameters is computed from its architecture and not approximated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import Notice, ScaleplanError, UsageError
from scaleplan.hardware.budget import bill_of
from scaleplan.models.layout import fewest_devices, find_layout, linked_devices
from scaleplan.models.memory import DEFAULT_STATES, STATES_SHARE, USABLE, device_bytes, largest_params, states_of
from scaleplan.models.model import DEFAULT_CONTEXT, Model, read_model
from scaleplan.models.questions import whole
from scaleplan.models.shape import shape
from scaleplan.models.walltime import Machine, beyond_utilisation, least_time
from scaleplan.planning.training_run import LayoutSummary, TrainingRun
from scaleplan.presets.conventions import convert_params, unconvertible

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.budget import Budget
    from scaleplan.models.layout import Layout
    from scaleplan.models.walltime import LeastTime
    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import Request
    from scaleplan.presets.preset import Preset

__all__ = ["count_by", "memory_per_device", "model_of", "read_model_of", "sizes_in_memory", "with_training_run"]

BATCH_RULE = "step-law-2025"
"""The rule of thumb for the tokens of a step, where none are given; in the middle of the published ones."""

_GIGA = 1e9
_SECONDS_PER_DAY = 86_400.0
_ROUNDING = 1.05  # steps are whole, and times are estimates
_ROUNDS = 4
_ROUNDED = 0.01  # a step of whole sequences may differ that much from the wanted one
_STYLE, _MIXTURE_STYLE = "llama", "mixtral"


def read_model_of(request: Request) -> Model:
    """Return the model that a request names, at its context; raises FileError for a config that cannot be read."""
    if isinstance(request.model, Model):
        return request.model
    assert request.model is not None
    return read_model(request.model, context=whole(request.context, what="context"))


def count_by(preset: Preset, model: Model) -> tuple[float, tuple[Notice, ...]]:
    """Return the size of a model as a law counts it, with a warning where the law is of another kind.

    A law of dense models sees of a mixture of experts the parameters that a token uses, as they make its compute. For
    laws in FLOP per token the size is M of the architecture at its context.
    """
    own, counts = preset.conventions.params, model.counts
    if model.architecture.experts is None or preset.is_moe or own in {"active", "flops_per_token"}:
        return float(model.params_as(own)), ()
    active = {
        "total": counts.active_params,
        "non_embedding": counts.active_non_embedding_params,
        "total_minus_input_embedding": counts.active_params - counts.input_embedding_params,
    }[own]
    message = (
        f"{preset.id} was fitted to dense models: of the {model.params / 1e9:.3g}B parameters of this mixture the "
        f"{model.active_params / 1e9:.3g}B that a token uses are counted"
    )
    return float(active), (Notice(code="experts_as_active", message=message),)


def with_training_run(plan: Plan, request: Request, model: Model | None, context: Context) -> Plan:
    """Return a plan with its training run; raises UsageError for an option of a run that is not requested."""
    if not request.shape:
        given = {"style": request.style, "batch": request.batch, "region": request.region}
        if request.measured is not None:  # the tokens of a measured step
            del given["batch"]
        given["context"] = request.context if request.model is None else None
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"--{name} says nothing about a plan without its run", hint="add --shape")
        return plan
    run, notices = _training_run(plan, request, model, context)
    return replace(plan, blueprint=run, warnings=(*plan.warnings, *notices))


def _training_run(
    plan: Plan, request: Request, model: Model | None, context: Context
) -> tuple[TrainingRun, tuple[Notice, ...]]:
    """Return the run of a plan with the options of a request, and the warnings about it; ``model`` fixes the shape.

    Raises UsageError for a style, batch or sequence out of its domain; UnreachableError when no shape of the style
    has the size of the plan.
    """
    config = None
    sequence = whole(request.context, what="context")
    if model is None:
        found = _mixture_of(plan, request.style) if plan.total_params else None
        model, config = found or model_of(plan.params, plan.params_convention, style=request.style or _STYLE)
    sequence = sequence or min(model.architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    batch, batch_source = _batch(plan, request.batch, context)
    placed = _place(plan.budget, model, sequence, batch, context)
    if placed.layout is not None:
        if abs(placed.layout.tokens_per_step / batch - 1) > _ROUNDED:
            batch_source += ", rounded to whole sequences of every replica"
        batch = float(placed.layout.tokens_per_step)
    steps = math.ceil(plan.tokens / batch)
    days, goodput = plan.budget.days, plan.budget.goodput or 1.0
    least, notices = placed.limits(plan, model, batch_tokens=batch)
    run = TrainingRun(
        architecture={key: value for key, value in model.to_dict().items() if key not in {"schema", "source"}},
        config=config,
        sequence=sequence,
        steps=steps,
        tokens_per_step=batch,
        batch_source=batch_source,
        step_seconds=None if days is None else days * _SECONDS_PER_DAY * goodput / steps,
        fits=placed.fits,
        layout=None if placed.layout is None else LayoutSummary.of(placed.layout, placed.memory_bytes),
        fewest_devices=placed.fewest,
        largest_params=placed.largest,
        least_time=least,
        bill=None if plan.budget.gpu is None else bill_of(plan.budget, request.region, context),
    )
    return run, (*placed.notices, *notices)


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


def _mixture_of(plan: Plan, style: str | None) -> tuple[Model, dict[str, object]]:
    """Return a mixture with all the parameters of a plan, and its ``config.json``.

    A law of granularity G has G experts to a token, of G times as many (arXiv:2402.07871, section 3); others one.
    """
    granularity = round(plan.granularity or 1)
    found = shape(
        plan.total_params,
        style=style or _MIXTURE_STYLE,
        experts=round(plan.experts) * granularity,
        experts_per_token=granularity,
    )
    return found.model, found.config


def _batch(plan: Plan, given: float | None, context: Context) -> tuple[float, str]:
    """Return the tokens of a step, and where they come from."""
    if given is not None:
        if given < 1:
            raise UsageError(f"a batch of {given:.3g} tokens is less than one", hint="4M, for example")
        return min(given, plan.tokens), "given"
    tokens = context.rules.load(BATCH_RULE).batch_tokens(tokens=plan.tokens)
    assert tokens is not None
    return min(tokens, plan.tokens), f"rule of thumb {BATCH_RULE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The fit of a model on devices: its layout, or the fewest devices and the largest size that would fit."""

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


def _place(budget: Budget, model: Model, sequence: int, batch: float, context: Context) -> Placement:
    """Lay the model out on the devices of a budget."""
    if budget.gpu is None:
        return Placement()
    device = context.accelerators.get(budget.gpu)
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
        notices += _hidden_costs(layout, budget)
    return Placement(
        memory_bytes=memory,
        bandwidth=device.bandwidth,
        layout=layout,
        fits=layout is not None,
        fewest=fewest,
        largest=largest,
        notices=tuple(notices),
    )


def _hidden_costs(layout: Layout, budget: Budget) -> list[Notice]:
    """Warn of what a layout costs that the utilisation may not contain."""
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


def sizes_in_memory(
    preset: Preset, model: Model | None, budget: Budget, context: Context
) -> Callable[[float], float]:
    """Return what turns GB on each device of a budget into the largest size, as a law counts it.

    Memory holds all parameters, whatever the law counts: of a concrete model the size in memory is known.

    Raises UsageError by the result, for a law whose count does not determine memory.
    """
    assert budget.gpu is not None
    assert budget.gpus is not None
    gpus, linked = budget.gpus, linked_devices(context.accelerators.get(budget.gpu))
    own = preset.conventions.params

    def largest(gigabytes: float) -> float:
        if own == "active" and model is None:
            raise UsageError(
                f"memory cannot be limited by preset '{preset.id}': active parameters say nothing about the others",
                hint="limit params instead",
            )
        total = largest_params(gigabytes * _GIGA, gpus=gpus, sequence=DEFAULT_CONTEXT, linked=linked)
        if model is not None:
            return total * count_by(preset, model)[0] / model.params
        # M, FLOP per token, is a little above 6 N for the same memory: attention has FLOP and no parameters
        return 6 * total if own == "flops_per_token" else total

    return largest


def memory_per_device(plan: Plan, model: Model | None, context: Context) -> float | None:
    """Return the least memory of each device in GB of 1e9 bytes: all states shared, everything recomputed.

    All parameters of a mixture count; None without devices, or where a law does not determine them.
    """
    budget, total = plan.budget, plan.total_params
    if budget.gpu is None or budget.gpus is None:
        return None
    if model is not None:
        total = float(model.params)
    elif total is None:
        if unconvertible(plan.params_convention, "total") is not None:
            return None
        total = convert_params(plan.params, source=plan.params_convention, target="total")
    linked = linked_devices(context.accelerators.get(budget.gpu))
    return device_bytes(total, gpus=budget.gpus, sequence=DEFAULT_CONTEXT, linked=linked) / _GIGA


def _largest(memory_bytes: float, gpus: int, linked: int, sequence: int) -> tuple[float, float]:
    """Return the largest size that fits devices as layouts do, and the bytes of each that it needs."""
    found = largest_params(USABLE * memory_bytes, gpus=gpus, sequence=sequence, linked=linked)
    found = min(found, gpus * STATES_SHARE * memory_bytes / states_of(DEFAULT_STATES).total)
    if not found:
        return 0.0, USABLE * memory_bytes
    return found, device_bytes(found, gpus=gpus, sequence=sequence, linked=linked)
