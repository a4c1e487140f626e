"""Place the model of a plan on its devices: its size by the law, its memory and layout, and the training run.

A law's own count of a model's parameters is computed from its architecture and not approximated.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.arrays import whole
from scaleplan.errors import Notice, ScaleplanError, UsageError
from scaleplan.hardware.bill import bill_of
from scaleplan.models.feasibility import largest_params
from scaleplan.models.layout import LayoutSearch, linked_devices
from scaleplan.models.margins import read_margins
from scaleplan.models.memory import typical
from scaleplan.models.model import Model, read_model
from scaleplan.models.questions import parse_whole
from scaleplan.models.sequences import DEFAULT_CONTEXT, Batch, round_number
from scaleplan.models.shape import shape
from scaleplan.models.walltime import Machine, beyond_utilisation, least_time
from scaleplan.planning.request import SWEPT
from scaleplan.planning.size_memory import total_params
from scaleplan.planning.training_run import LayoutSummary, TrainingRun
from scaleplan.presets.conventions import convert_params
from scaleplan.record import Record
from scaleplan.units import GIGA, MOST_COUNT, SECONDS_PER_DAY, format_count, format_days, format_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.budget import Budget
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.layout import Layout
    from scaleplan.models.shape import Shape
    from scaleplan.models.walltime import LeastTime
    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import Request
    from scaleplan.presets.preset import Preset

__all__ = [
    "Holding",
    "count_by",
    "holding",
    "layouts_on",
    "model_of",
    "read_model_of",
    "sequence_of",
    "sizes_in_memory",
    "with_training_run",
]

BATCH_RULE = "step-law-2025"
"""The rule of thumb for the tokens of a step, where none are given; in the middle of the published ones."""

_ROUNDING = 1.05  # steps are whole, and times are estimates
_ROUNDS = 4
_ROUNDED = 0.01  # a step of whole sequences may differ that much from the wanted one
_STYLE, _MIXTURE_STYLE = "llama", "mixtral"


def read_model_of(request: Request) -> Model:
    """Return the model that a request names, at its context; raises FileError for a config that cannot be read."""
    if isinstance(request.model, Model):
        return request.model
    assert request.model is not None
    return read_model(request.model, context=parse_whole(request.context, what="context"))


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
        f"{preset.id} was fitted to dense models: of the {format_count(model.params)} parameters of this mixture the "
        f"{format_count(model.active_params)} that a token uses are counted"
    )
    return float(active), (Notice(code="experts_as_active", message=message),)


def with_training_run(
    plan: Plan, request: Request, model: Model | None, context: Context, *, on: Callable[[int], Budget]
) -> Plan:
    """Return a plan with its training run, or with a warning where its model does not fit its devices.

    ``on`` gives its budget on a number of devices, where a deadline found one that does not hold the model.

    Raises UsageError for an option of a run that is not requested, or margins of devices that are not known.
    """
    plan = _held(plan, request, model, context, on)
    known = plan.budget.gpu is not None and (request.shape or plan.budget.gpus is not None)
    if request.margins is not None and not known:
        raise UsageError("--margins says nothing about a plan without GPUs", hint="add --gpu and --gpus")
    if not request.shape:
        given = {"style": request.style, "batch": request.batch, "region": request.region}
        if request.measured is not None:  # the tokens of a measured step
            del given["batch"]
        given["context"] = request.context if request.model is None else None
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"--{name} says nothing about a plan without its run", hint="add --shape")
        notice = _misfit_of(plan, request, model, context)
        return plan if notice is None else replace(plan, warnings=(*plan.warnings, notice))
    if request.region is not None and plan.budget.gpu is None:
        raise UsageError("--region says nothing about a plan without a GPU: its energy is unknown", hint="add --gpu")
    run, notices = _training_run(plan, request, model, context)
    return replace(plan, blueprint=run, warnings=(*plan.warnings, *notices))


def _misfit_of(plan: Plan, request: Request, model: Model | None, context: Context) -> Notice | None:
    """Warn of a plan whose model fits its devices by no layout; None where it fits, or nothing is known of it."""
    if plan.budget.gpu is None or plan.budget.gpus is None:
        return None
    architecture = _architecture_of(plan, request, model)
    if architecture is None:
        return None
    search = _search(plan, request, architecture, context)
    return None if search.feasible.fits(plan.budget.gpus) else _misfit(plan, request, search)


def _architecture_of(plan: Plan, request: Request, model: Model | None) -> Architecture | None:
    """Return the architecture that a plan is taken to have; None where its law does not determine what it holds."""
    if model is not None:
        return model.architecture
    if plan.params_convention == "active" and plan.total_params is None:
        return None
    try:
        return _model_for(plan, request, None)[0].architecture
    except ScaleplanError:  # no shape is known of this size
        total = total_params(plan, None)
        if total is None:
            return None
        if total > MOST_COUNT:
            raise UsageError(
                f"this plan has {format_count(total)} parameters in all its experts: no run is like that",
                hint="check --experts",
            ) from None
        return typical(total)


def _held(plan: Plan, request: Request, model: Model | None, context: Context, on: Callable[[int], Budget]) -> Plan:
    """Return a plan, whose devices a deadline found, on as many as hold its model where these are more."""
    deadline, architecture = plan.budget.deadline, _architecture_of(plan, request, model)
    if deadline is None or architecture is None or request.gpus is not None:
        return plan
    fewest = _search(plan, request, architecture, context).fewest
    if fewest is None or fewest <= deadline.gpus:
        return plan
    budget = on(fewest)
    chance = budget.chance_below(deadline.days / (budget.days or deadline.days))
    deadline = replace(deadline, memory_gpus=fewest, chance=chance)
    return replace(plan, budget=replace(budget, source=plan.budget.source, deadline=deadline))


class Holding(NamedTuple):
    """Whether the devices of a plan hold its model, None where it has none, and the fewest that do, None for none."""

    fits: bool | None
    fewest: int | None


def holding(plan: Plan, request: Request, model: Model | None, context: Context) -> Holding | None:
    """Return how many accelerators of a plan hold its model; None where its law does not determine what they hold."""
    architecture = _architecture_of(plan, request, model)
    if architecture is None:
        return None
    search = _search(plan, request, architecture, context)
    return Holding(None if plan.budget.gpus is None else search.feasible.fits(plan.budget.gpus), search.fewest)


def _model_for(plan: Plan, request: Request, model: Model | None) -> tuple[Model, dict[str, object] | None]:
    """Return the model of a plan, and its ``config.json`` where it is a shape that was found for its size."""
    if model is not None:
        return model, None
    if plan.total_params:
        return _mixture_of(plan, request.style)
    return model_of(plan.params, plan.params_convention, style=request.style or _STYLE)


def sequence_of(request: Request, architecture: Architecture) -> int:
    """Return the tokens of a training sequence."""
    given = parse_whole(request.context, what="context")
    return given or min(architecture.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)


def _training_run(
    plan: Plan, request: Request, model: Model | None, context: Context
) -> tuple[TrainingRun, tuple[Notice, ...]]:
    """Return the run of a plan with the options of a request, and the warnings about it; ``model`` fixes the shape.

    Raises UsageError for a style, batch or sequence out of its domain; UnreachableError when no shape of the style
    has the size of the plan.
    """
    model, config = _model_for(plan, request, model)
    sequence = sequence_of(request, model.architecture)
    wanted, source = _batch(plan, request.batch, context)
    batch = Batch(wanted / sequence, given=request.batch is not None)
    placed = _place(plan, request, model, batch, context)
    tokens = float(_step(placed, batch, sequence, plan))
    if abs(tokens / wanted - 1) > _ROUNDED:
        source += ", in whole sequences of every replica" if placed.layout is not None else ", rounded"
    steps = math.ceil(plan.tokens / tokens)
    days, goodput = plan.budget.days, plan.budget.goodput or 1.0
    least, notices = placed.limits(plan, model, batch_tokens=tokens)
    run = TrainingRun(
        architecture={key: value for key, value in model.to_dict().items() if key not in {"schema", "source"}},
        config=config,
        sequence=sequence,
        steps=steps,
        tokens_per_step=whole(tokens),
        batch_source=source,
        step_seconds=None if days is None else days * SECONDS_PER_DAY * goodput / steps,
        fits=placed.fits,
        layout=None if placed.layout is None else LayoutSummary.of(placed.layout, placed.memory_bytes),
        fewest_devices=placed.fewest,
        largest_params=None if placed.largest is None else math.floor(placed.largest),
        least_time=least,
        bill=None if plan.budget.gpu is None else bill_of(plan.budget, request.region, context),
        closest=None if placed.closest is None else LayoutSummary.of(placed.closest, placed.memory_bytes),
    )
    return run, (*placed.notices, *notices)


def _step(placed: Placement, batch: Batch, sequence: int, plan: Plan) -> float:
    """Return the tokens of a step: those of the layout, else a round number of sequences; all at most the plan's."""
    if placed.layout is not None:
        return placed.layout.tokens_per_step
    if batch.given or batch.sequences < 1:
        return min(batch.sequences * sequence, plan.tokens)
    return min(float(round_number(batch.sequences) * sequence), plan.tokens)


def model_of(
    params: float, convention: str, *, style: str, context: int | None = None, vocab: int | None = None
) -> tuple[Model, dict[str, object]]:
    """Return an architecture with ``params`` by the convention of a law, and its ``config.json``.

    ``context`` is the longest sequence it is made for, ``vocab`` the entries of its vocabulary; those of the style if
    None, fewer in a small model.
    """
    found = _shape_of(params, convention, style, context, vocab)
    return found.model, deepcopy(found.config)


@lru_cache(maxsize=64)
def _shape_of(params: float, convention: str, style: str, context: int | None, vocab: int | None) -> Shape:
    """Find the shape of a size; a plan needs it several times, and so does the same plan on another GPU."""
    if convention in {"total", "non_embedding"}:
        return shape(params, style=style, convention=convention, context=context, vocab=vocab)
    target = params / 6 if convention == "flops_per_token" else params
    for _ in range(_ROUNDS):  # the count by the law's convention is nearly in proportion to the total
        found = shape(target, style=style, context=context, vocab=vocab)
        target *= params / found.model.params_as(convention)
    return found


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
            raise UsageError(f"a batch of {format_plain(given)} tokens is less than one", hint="4M, for example")
        return min(given, plan.tokens), "given"
    tokens = context.rules.load(BATCH_RULE).batch_tokens(tokens=plan.tokens)
    assert tokens is not None
    return min(tokens, plan.tokens), f"rule of thumb {BATCH_RULE}"


class Placement(Record):
    """The fit of a model on devices: its layout, or the nearest to one, the fewest devices and the largest size."""

    memory_bytes: float = 0.0
    bandwidth: float = 0.0
    layout: Layout | None = None
    fits: bool | None = None
    fewest: int | None = None
    largest: float | None = None
    closest: Layout | None = None
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
            message = (
                f"{least.binds} keeps this run from ending before {format_days(least.days)}, whatever it is given"
            )
            notices.append(Notice(code="least_time", message=message))
        return least, tuple(notices)


def _place(plan: Plan, request: Request, model: Model, batch: Batch, context: Context) -> Placement:
    """Lay the model of a plan out on the devices of its budget."""
    budget = plan.budget
    if budget.gpu is None:
        return Placement()
    device = context.accelerators.get(budget.gpu)
    search = _search(plan, request, model.architecture, context)
    known = Placement(memory_bytes=device.memory_bytes, bandwidth=device.bandwidth, fewest=search.fewest)
    if budget.gpus is None:
        return known
    known = replace(known, largest=_largest(search, budget.gpus))
    layout = search.best(budget.gpus, batch)
    if layout is not None:
        return replace(known, layout=layout, fits=True, notices=tuple(_hidden_costs(layout)))
    notice = _misfit(plan, request, search)
    return replace(known, fits=False, closest=search.closest(budget.gpus), notices=(notice,))


def _search(plan: Plan, request: Request, architecture: Architecture, context: Context) -> LayoutSearch:
    """Return the search for layouts of an architecture on the accelerators of a plan."""
    assert plan.budget.gpu is not None
    return layouts_on(plan.budget.gpu, request, architecture, context)


def layouts_on(gpu: str, request: Request, architecture: Architecture, context: Context) -> LayoutSearch:
    """Return the search for layouts of an architecture on accelerators, at the sequence and margins of a request."""
    device = context.accelerators.get(gpu)
    return LayoutSearch(
        architecture,
        memory_bytes=device.memory_bytes,
        linked=linked_devices(device),
        sequence=sequence_of(request, architecture),
        margins=read_margins(request.margins),
    )


def _largest(search: LayoutSearch, gpus: int) -> float:
    """Return the largest size of usual proportions that some devices hold; 0 for none."""
    return largest_params(
        search.memory_bytes, gpus=gpus, sequence=search.sequence, margins=search.margins, node=search.feasible.node
    )


def _misfit(plan: Plan, request: Request, search: LayoutSearch) -> Notice:
    """Return the warning about a model that no layout fits: what it needs, what is too large, and what would fit."""
    gpu, gpus = plan.budget.gpu, plan.budget.gpus
    assert gpus is not None
    size, own = _fitting_size(plan, request, search), search.feasible.footprint.params
    planned = total_params(plan, None) if request.model is None else None  # a shape of it has a few more or less
    need = (
        f"needs {search.fewest:,} x {gpu}; it does not" if search.fewest else f"fits no number of {gpu}, and does not"
    )
    way = "" if size is None else f"; a size that fits: --limit 'params <= {size}'"
    return Notice(
        code="does_not_fit",
        message=f"{format_count(planned or own)} {need} fit on {gpus:,}: of the nearest layout, "
        f"{search.excess(gpus).text}{way}",
    )


def _fitting_size(plan: Plan, request: Request, search: LayoutSearch) -> str | None:
    """Return about the largest size, as the law counts, whose shape fits; None where a size may not be chosen.

    It may for a budget that nothing else bounds. The size is tried as it is written.
    """
    gpus, convention = plan.budget.gpus or 1, plan.params_convention
    given = (request.params, request.model, plan.total_params)
    free = any(getattr(request, form) is not None for form in SWEPT) and not request.limit
    largest = _largest(search, gpus) if free and all(value is None for value in given) else 0.0
    if not largest or convention in {"flops_per_token", "active"}:
        return None
    for percent in range(_TRIES):
        size = largest * (1 - percent / 100)
        power = 10.0 ** (math.floor(math.log10(size)) - 2)
        size = float(f"{math.floor(size / power) * power:.3g}")
        try:
            model, _ = model_of(size, convention, style=request.style or _STYLE)
        except ScaleplanError:  # no shape is known of this size
            return None
        if search.changed(architecture=model.architecture).feasible.fits(gpus):
            return format_count(size)
    return None


_TRIES = 25  # percent by which a shape and its tables may differ in memory from the usual proportions


def _hidden_costs(layout: Layout) -> list[Notice]:
    """Warn of what a layout costs that the utilisation may not contain."""
    notices = []
    if layout.training.recompute == "full":
        message = (
            "memory forces full recomputation, a third more work than is counted; default utilisations of many "
            "servers contain that, and a measured one is better: --mfu"
        )
        notices.append(Notice(code="recomputation", message=message))
    if layout.idle:
        message = f"the layout leaves {layout.idle:,} of {layout.gpus:,} GPUs idle, which the days do not contain"
        notices.append(Notice(code="idle_devices", message=message))
    return notices


def sizes_in_memory(
    preset: Preset, model: Model | None, budget: Budget, context: Context
) -> Callable[[float], float]:
    """Return what turns GB on each device of a budget into the largest size, as a law counts it.

    Memory holds all parameters, whatever the law counts: of a concrete model the size in memory is known.

    Raises UsageError by the result, for a law whose count does not determine memory.
    """
    assert budget.gpu is not None
    assert budget.gpus is not None
    gpus, own = budget.gpus, preset.conventions.params
    node = context.accelerators.get(budget.gpu).link_devices

    def largest(gigabytes: float) -> float:
        if own == "active" and model is None:
            raise UsageError(
                f"memory cannot be limited by preset '{preset.id}': active parameters say nothing about the others",
                hint="limit params instead",
            )
        total = largest_params(gigabytes * GIGA, gpus=gpus, sequence=DEFAULT_CONTEXT, node=node)
        if model is not None:
            return total * count_by(preset, model)[0] / model.params
        # M, FLOP per token, is a little above 6 N for the same memory: attention has FLOP and no parameters
        return 6 * total if own == "flops_per_token" else convert_params(total, source="total", target=own)

    return largest
