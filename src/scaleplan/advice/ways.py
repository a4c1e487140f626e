"""Compare every usual way to train or tune a model on the GPUs that one has: memory, hours, money.

Each way takes the least recomputation that fits; its memory is that of :func:`scaleplan.memory` with the same
options, its hours follow from the work of a token (:mod:`scaleplan.models.work`) at a default utilisation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.advice.compared_ways import ServingWay, Way, Ways
from scaleplan.errors import Notice, ScaleplanError, UsageError
from scaleplan.hardware.budget import BAND_LEVEL, BudgetRequest
from scaleplan.hardware.device_budget import DeviceBudget
from scaleplan.models.memory import DEFAULT_STATES
from scaleplan.models.memory_questions import memory
from scaleplan.models.memory_summary import SHORTEST, about_context, shown
from scaleplan.models.memory_to_train import about_kernels, best_layout, search_of
from scaleplan.models.questions import parse_whole, sized
from scaleplan.models.training_setup import LAYOUT, about_config, stated_config, training_setup
from scaleplan.models.usual_ways import options_text, way_name, way_options, ways_with
from scaleplan.models.weights import weights_of
from scaleplan.models.work import work_of
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request, parse_price
from scaleplan.units import SECONDS_PER_HOUR, format_plain, parse, parse_count, parse_positive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.utilisation import Utilisation
    from scaleplan.models import Model
    from scaleplan.models.layout import Layout, LayoutSearch
    from scaleplan.models.memory import Footprint
    from scaleplan.models.training_setup import TrainingSetup
    from scaleplan.models.tuning import Method
    from scaleplan.models.work import Work
    from scaleplan.trainers.training_config import TrainingConfig
    from scaleplan.units import Amount

__all__ = ["ways"]

_TOKENS = 10e6
"""Tokens where none are given: some 20,000 examples of 500 tokens, a usual set of instructions."""

_FED = 2048
"""Tokens that a GPU takes at once where the micro-batch is free: with fewer, launching kernels takes longer than
they run (the published speeds of fine-tuning fall from there on), and more only take memory."""

_SERVING = ("serve", "sequences", "weight_bits", "cache_bits")
_OTHERS = (*_SERVING, "vocab")
"""Options of ``memory`` that say nothing about a training."""

_PROFILE, _SCRATCH = "fine-tuning", "project"
"""The utilisation of tuning a model, and that of a whole pre-training."""

_MOST_DEVICES = 64
"""GPUs up to which more of them are a way out where there are a few."""


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
    """Return every usual way to train or tune a model on some GPUs, with memory, hours and money.

    Parameters
    ----------
    source
        What :func:`scaleplan.memory` takes; the way that a training config states is there too.
    gpu, gpus
        The GPUs, one where no number is given.
    tokens, epochs, data_tokens
        The tokens of the run, or passes over so many; 10M where neither is given.
    hours, cost
        A limit, for which each way has the tokens that it can do within.
    price, mfu, profile
        Price of a GPU-hour, and the utilisation: its share of the peak, or a profile in place of ``fine-tuning``.
    data
        The data files; read anew by default.
    options
        Those of :func:`scaleplan.memory`: they hold in all ways, and leave those out that contradict them.

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
    unknown = options.keys() - {*LAYOUT, *_OTHERS, *way_options()}
    if unknown:
        msg = f"unexpected keyword argument '{min(unknown)}'"
        raise TypeError(msg)
    for name in _SERVING:
        if options.get(name):
            raise UsageError(
                "--ways compares trainings, and shows serving below",
                hint=f"leave out --{name.replace('_', '-')}, or --ways",
            )
    if options.get("states") is not None:
        raise UsageError("--ways names optimizers and precisions instead of states", hint="leave out --states")
    context = data or Context()
    if profile is not None:
        context.utilisations.profile(profile)  # refuses an unknown one
    model = sized(source, options.get("vocab"))
    config, stated = stated_config(source, {**options, "gpus": gpus})
    if (
        config is not None and gpus is None and "gpus" not in stated
    ):  # its batch may follow from the one that is meant
        config, stated = stated_config(source, {**options, "gpus": 1})
    own = {name: stated.pop(name) for name in [*stated] if name not in LAYOUT or name == "recompute"}
    given = {
        **stated,
        **{name: value for name, value in options.items() if value is not None and name not in _OTHERS},
    }
    if gpus is not None:
        given["gpus"] = gpus
    devices = parse_whole(given.pop("gpus", None), what="gpus") or 1
    comparison = _Comparison(
        model=model,
        device=context.accelerators.get(gpu),
        gpus=devices,
        options=given,
        configured=own,
        run=_run_of({} if config is None else _stated(config), tokens=tokens, epochs=epochs, data_tokens=data_tokens),
        limits=_Limits(
            None if hours is None else _above(parse_positive(hours), "hours"),
            None if cost is None else _above(parse("usd", cost), "cost"),
        ),
        paid=BudgetRequest(
            gpu=gpu,
            gpus=float(devices),
            flops=1.0,
            price=None if price is None else parse_price(price),
            mfu=None if mfu is None else parse("fraction", mfu),
            profile=profile,
        ),
        context=context,
        vocab=options.get("vocab"),
    )
    found = comparison.answer()
    return replace(found, warnings=(*about_config(config), *found.warnings))


def _stated(config: TrainingConfig) -> dict[str, float]:
    """Return the length of the run of a training config."""
    return {name: float(config.values[name].value) for name in ("tokens", "epochs") if name in config.values}


class _Run(NamedTuple):
    """The tokens of the run, how they came about, and the passes over the data, where that is known."""

    tokens: float
    source: str
    epochs: float | None = None
    data_tokens: float | None = None


class _Limits(NamedTuple):
    """What the user has for it: hours, and US dollars."""

    hours: float | None
    cost: float | None


def _above(value: float, what: str) -> float:
    if not 0 < value <= _MOST:
        raise UsageError(
            f"{what} is a number above 0, not {format_plain(value)}", hint=f"at most {format_plain(_MOST)}"
        )
    return value


_MOST = 1e15
"""Of hours, US dollars and passes; the amounts of all runs there have been are far below."""


def _run_of(
    stated: Mapping[str, float], *, tokens: Amount | None, epochs: Amount | None, data_tokens: Amount | None
) -> _Run:
    """Return the run that the options describe, with what a training config states where they say nothing."""
    size = None if data_tokens is None else parse_count(data_tokens, what="tokens")
    passes = None if epochs is None else _above(parse_positive(epochs), "epochs")
    if tokens is not None:
        if passes is not None:
            raise UsageError("--tokens and --epochs both say how long the run is", hint="give one of them")
        found = parse_count(tokens, what="tokens")
        return _Run(found, "given", None if size is None else found / size, size)
    if size is not None:
        source = "epochs x data-tokens" if passes is not None else "data-tokens, once"
        if passes is None and "epochs" in stated:
            passes, source = stated["epochs"], "epochs of the config x data-tokens"
        found = parse_count((passes or 1.0) * size, what="tokens")
        return _Run(found, source, passes or 1.0, size)
    if passes is not None:
        raise UsageError(
            "--epochs are passes over data whose size is not given", hint="add --data-tokens, or --tokens"
        )
    if "tokens" in stated:
        return _Run(stated["tokens"], "training config")
    return _Run(_TOKENS, "default")


class _Speed(NamedTuple):
    """FLOP/s that a GPU reaches, and the utilisation behind it; or why it is not known."""

    rate: float
    utilisation: Utilisation | None = None
    why: str | None = None


_PRECISIONS = {"fp32": "fp32", "fp8": "fp8", "nvfp4": "fp4"}
"""The precision of the products, by that of a training; 16 bits for all others."""


class _Comparison:
    """The ways to train a model on some GPUs."""

    def __init__(
        self,
        *,
        model: Model,
        device: Accelerator,
        gpus: int,
        options: Mapping[str, Any],
        configured: Mapping[str, Any],
        run: _Run,
        limits: _Limits,
        paid: BudgetRequest,
        context: Context,
        vocab: Amount | None,
    ) -> None:
        self.model, self.device, self.gpus, self.options, self.configured = model, device, gpus, options, configured
        self.run, self.limits, self.paid, self.context = run, limits, paid, context
        self.counted = {} if vocab is None else {"vocab": vocab}
        self.sequence = training_setup(model, self.base).sequence
        self.bill, self.why = self._bill()
        self.speeds: dict[tuple[str | None, str | None], _Speed] = {}
        self.notices: dict[str, Notice] = {}
        self.searches: dict[str, LayoutSearch] = {}

    @property
    def base(self) -> dict[str, Any]:
        """The options that hold in all ways."""
        return {name: value for name, value in self.options.items() if name in LAYOUT} | {"gpus": self.gpus}

    def _bill(self) -> tuple[DeviceBudget | None, str | None]:
        """Return the budget that knows the peak, the price and the power; else why there are no hours."""
        try:
            self.device.precision()
        except UsageError as error:
            return None, error.message
        return DeviceBudget(self.paid, self.context), None

    def answer(self) -> Ways:
        """Return all ways, in their order."""
        found = [*self._tuned(), *self._scratch()]
        found.sort(key=_order)
        fits = any(way.fits for way in found if not way.from_scratch)
        speed = self._speed(None, self.paid.profile or _PROFILE)
        utilisation, price = speed.utilisation, self.bill.price if self.bill else None
        serving = tuple(self._serving())
        return Ways(
            model=self.model.source,
            params=self.model.params,
            gpu=self.device.id,
            gpus=self.gpus,
            memory_bytes=self.device.memory_bytes,
            context=self.sequence,
            tokens=self.run.tokens,
            tokens_source=self.run.source,
            epochs=self.run.epochs,
            data_tokens=self.run.data_tokens,
            fits=fits,
            limit_hours=self.limits.hours,
            limit_cost=self.limits.cost,
            ways=tuple(found),
            serving=serving,
            ways_out=() if fits else tuple(self._ways_out(found)),
            band=None if utilisation is None else utilisation.band,
            interval_level=None if utilisation is None or utilisation.band is None else BAND_LEVEL,
            price_per_hour=None if price is None else price.per_hour,
            price_source=None if price is None else price.origin,
            price_date=None if price is None else price.date or None,
            utilisation=None if utilisation is None else utilisation.value,
            utilisation_source=None if utilisation is None else utilisation.source,
            no_hours=self.why or speed.why,
            unified_memory=self.device.unified_memory,
            warnings=(*self._about_model(), *(self.bill.notices if self.bill else ()), *self.notices.values()),
        )

    def _about_model(self) -> Iterator[Notice]:
        """Yield what the work of a token leaves out of this model."""
        yield from about_context(self.model, self.sequence)
        yield from about_kernels(self.device, "nf4")
        if self.model.architecture.causal and any(stack.encoder for stack in self.model.architecture.stacks):
            message = "encoder-decoder: hours count each token in both halves, which is more than it works through"
            yield Notice(code="encoder_decoder", message=message)

    # ---- the ways -------------------------------------------------------------------------------------------

    def _tuned(self) -> Iterator[Way]:
        """Yield the usual ways that agree with the options, and that of a training config."""
        given = {name: value for name, value in self.options.items() if name not in LAYOUT}
        own = None
        if self.configured and not given:
            own = self._way(dict(self.configured), configured=True)
            yield own
        refused: UsageError | None = None
        found = False
        for options, method, _ in ways_with(given, layers=self.model.architecture.layers):
            if (self._unstable(method) and "precision" not in given) or (
                self.device.unified_memory and _waits(method)
            ):
                continue
            try:
                way = self._way(options)
            except UsageError as error:  # ranks and layers that this model does not have
                refused = error
                continue
            found = True
            if own is None or (way.name, way.options) != (own.name, own.options):
                yield way
        if refused is not None and not found:
            raise refused
        if not found:
            raise UsageError(
                f"no usual way agrees with {options_text(given)}", hint="leave out --ways to ask for this one"
            )

    def _unstable(self, method: Method) -> bool:
        """Whether a way needs bf16 and no rate in it is published: weights updated in fp16 alone do not learn."""
        peaks = self.device.peaks
        if method.adapts or method.precision != "bf16" or "bf16" in peaks or "fp16" not in peaks:
            return False
        message = f"no bf16 rate of {self.device.id} is published: ways to train all weights in bf16 are left out"
        self.notices["no_bf16"] = Notice(code="no_bf16", message=message)
        return True

    def _scratch(self) -> Iterator[Way]:
        """Yield the training from scratch on the tokens that the default law takes for compute-optimal."""
        if any(name not in LAYOUT for name in self.options):
            return
        try:
            planner = Planner.of(Request(model=self.model), self.context)
            size = next(limit.value for limit in planner.limits if limit.quantity == "params")
            tokens = Planner.of(Request(), self.context).target_params(size).tokens
        except ScaleplanError:  # no law is about such a model
            return
        yield self._way({"states": DEFAULT_STATES}, tokens=tokens)

    def _way(self, options: dict[str, Any], *, tokens: float | None = None, configured: bool = False) -> Way:
        """Return one way with the least recomputation that fits; else the nearest to fitting."""
        setup, search, layout, fits = self._laid_out(options)
        training, parallel, method = layout.training, layout.parallel, layout.training.method
        work = work_of(self.model.architecture, method, context=setup.sequence, recompute=training.recompute)
        weights = weights_of(self.model.architecture, method)
        profile = self.paid.profile or (_PROFILE if tokens is None else _SCRATCH)
        speed = self._speed(_PRECISIONS.get(method.precision or ""), profile)
        footprint = search.feasible.footprint
        if fits and tokens is None:
            self._require_steps(parallel.data * training.sequence)
        per_second = self._tokens_per_second(layout, work, speed.rate, offloaded=_offloaded(footprint, layout))
        exact = {"gpus": self.gpus, **{name: value for name, value in self.base.items() if name != "gpus"}, **options}
        exact |= {"recompute": training.recompute, "micro_batch": training.micro_batch, **self.counted}
        self.searches[options_text(exact)] = search
        used = shown(layout.memory, footprint.reserved(training, parallel), self.device, parallel.devices)
        return Way(
            name=way_name(method, trainer=options.get("trainer")) if tokens is None else "from scratch",
            options=options_text(exact),
            fits=fits,
            memory_bytes=layout.memory.total,
            device_used=used["device_used"],
            spare=1 - layout.memory.demand(self.device.memory_bytes, setup.margins),
            recompute=training.recompute,
            micro_batch=training.micro_batch,
            devices=parallel.devices,
            trained_params=round(weights.trained),
            flops_per_token=work.flops,
            longest_context=self._longest(search, layout),
            on_host=_waits(_with_activations(method)),
            answers=method.layers is None and not method.frozen and method.optimizer != "sgd",
            from_scratch=tokens is not None,
            configured=configured,
            **self._run(self.run.tokens if tokens is None else tokens, per_second, speed.utilisation),
        )

    def _require_steps(self, least: float) -> None:
        """Note that the smallest step of a way has more tokens than the run."""
        if least > self.run.tokens:
            message = f"a step on {self.gpus:,} GPUs has {least:,.0f} tokens or more, and the run has fewer"
            self.notices.setdefault("less_than_a_step", Notice(code="less_than_a_step", message=message))

    def _laid_out(self, options: dict[str, Any]) -> tuple[TrainingSetup, LayoutSearch, Layout, bool]:
        """Return the layout of a way: with enough tokens at once where that fits, else with one sequence."""
        base = {**self.base, **options}
        free = base.get("micro_batch") is None and base.get("batch") is None
        sizes: list[int | None] = [None]
        if free:
            sizes = list(dict.fromkeys((max(1, _FED // self.sequence), 1)))
        for size in sizes:
            setup = training_setup(self.model, {**base, **({"micro_batch": size} if size else {})})
            search = search_of(self.model, self.device, setup)
            layout = best_layout(search, self.gpus, setup)
            if layout is not None:
                return setup, search, layout, True
        return setup, search, search.closest(self.gpus), False

    def _longest(self, search: LayoutSearch, layout: Layout) -> int | None:
        """Return the tokens of the longest sequence that fits, in whole steps of 256; None where none does."""
        parallel, margins = layout.parallel, search.margins
        training = replace(layout.training, micro_batch=1, recompute=search.fixed.recompute or "full")
        most = (self.model.architecture.context or _MOST_CONTEXT) // (_STEP * parallel.context)

        def fits(steps: int) -> bool:
            sequence = steps * _STEP * parallel.context
            held = search.feasible.footprint.memory(replace(training, sequence=sequence), parallel)
            return held.fits(self.device.memory_bytes, margins)

        low, high = 0, most + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return low * _STEP * parallel.context or None

    # ---- speed and money ------------------------------------------------------------------------------------

    def _speed(self, precision: str | None, profile: str) -> _Speed:
        """Return the speed of a GPU in a precision."""
        if self.bill is None:
            return _Speed(0.0, why=self.why)
        if (precision, profile) not in self.speeds:
            self.speeds[precision, profile] = self._found_speed(self.bill, precision, profile)
        return self.speeds[precision, profile]

    def _found_speed(self, bill: DeviceBudget, precision: str | None, profile: str) -> _Speed:
        a, given = self.model.architecture, self.paid.mfu is not None
        try:
            if precision is not None:
                bill = DeviceBudget(replace(self.paid, precision=precision), self.context)
            request = replace(bill.request, profile=self.paid.profile if given else profile)
            bill = DeviceBudget(request, self.context)
            found = bill.utilisation(float(self.model.counts.active_params), moe=a.experts is not None)
        except UsageError as error:
            return _Speed(0.0, why=error.message)
        for notice in found.notices:
            if notice.code == "utilisation_thin_evidence":
                message = f"little is published about utilisation on {self.device.id}; give --mfu if you know better"
                self.notices[notice.code] = Notice(code=notice.code, message=message)
        return _Speed(bill.peak * found.value, utilisation=found)

    def _tokens_per_second(self, layout: Layout, work: Work, rate: float, *, offloaded: float) -> float | None:
        """Return the speed of all devices: the work of a micro-batch, and what is moved for it.

        Bytes that are ``offloaded`` go to the host and come back beside the work.
        """
        if not rate:
            return None
        parallel, training = layout.parallel, layout.training
        tokens = training.micro_batch * training.sequence
        moving = work.moving_seconds(self.device.bandwidth) / (parallel.tensor * parallel.pipeline * parallel.expert)
        seconds = (tokens * work.flops / (parallel.replica * rate) + moving) * (1 + layout.bubble)
        if not self.device.unified_memory:
            link = next(rate for last, rate in _HOST_LINKS if self.device.year <= last)
            seconds = max(seconds, 2 * offloaded / link)
        return parallel.data * tokens / seconds

    def _run(self, tokens: float, per_second: float | None, utilisation: Utilisation | None) -> dict[str, Any]:
        """Return the fields of a run of so many tokens, and what the limits leave of it."""
        found: dict[str, Any] = {"tokens": tokens, "tokens_per_second": per_second}
        if per_second is None or self.bill is None:
            return found
        band = None if utilisation is None else utilisation.band
        hours = tokens / per_second / SECONDS_PER_HOUR
        price, power = self.bill.price, self.bill.power
        paid = None if price is None else price.per_hour * self.gpus
        found |= {"hours": hours, "hours_interval": _around(hours, band)}
        if paid is not None:
            found |= {"cost": hours * paid, "cost_interval": _around(hours * paid, band)}
        if power is not None:
            found["energy_kwh"] = power.kwh(hours * self.gpus)
        limits = [] if self.limits.hours is None else [self.limits.hours]
        if self.limits.cost is not None:
            if paid is None:
                raise UsageError(
                    f"--cost needs a price for {self.device.id}", hint=self.context.prices.hint(self.device.id)
                )
            limits.append(self.limits.cost / paid)
        if limits:
            possible = min(limits) * SECONDS_PER_HOUR * per_second
            found |= {"possible_tokens": possible, "possible_tokens_interval": _around(possible, band)}
            if self.run.data_tokens:
                found["possible_epochs"] = possible / self.run.data_tokens
        return found

    # ---- where nothing fits, and serving --------------------------------------------------------------------

    def _ways_out(self, found: list[Way]) -> Iterator[str]:
        """Yield options with which the way that needs the least fits."""
        tuned = [way for way in found if not way.from_scratch]
        if not tuned:
            return
        least = min(tuned, key=lambda way: way.memory_bytes)
        if least.longest_context is not None and SHORTEST <= least.longest_context < self.sequence:
            yield f"--context {least.longest_context}"
        fewest = self.searches[least.options].fewest
        if fewest is not None and self.gpus < fewest <= _MOST_DEVICES:
            yield f"--gpus {fewest}"

    def _serving(self) -> Iterator[ServingWay]:
        """Yield what serving one sequence takes."""
        for name, bits in _SERVED.items():
            options: dict[str, Any] = {"gpus": self.gpus, "context": self.sequence, **bits}
            try:
                found = memory(
                    self.model,
                    gpu=self.device.id,
                    serve=True,
                    margins=self.options.get("margins"),
                    data=self.context,
                    **options,
                )
            except UsageError:  # heads that so many devices cannot share
                return
            yield ServingWay(
                weights=name,
                options=f"--serve {options_text({**options, **self.counted})}",
                fits=bool(found.fits),
                memory_bytes=found.memory.total,
            )


_SERVED: Mapping[str, dict[str, Any]] = {
    "bf16": {"weight_bits": 16},
    "int8": {"quantize": "int8"},
    "nf4": {"quantize": "nf4"},
}
"""How the weights of a served model are stored, with the options that ask for it."""

_STEP, _MOST_CONTEXT = 256, 1 << 20  # whole steps of a context, and the longest of a model that states none


_HOST_LINKS = ((2019, 12e9), (math.inf, 25e9))
"""Bytes a second that copies to and from the host reach, by the last year of a generation: four fifths of 16 lanes of
PCIe 3, and of PCIe 4; few hosts of one GPU have more."""


def _waits(method: Method) -> bool:
    """Whether something waits in host memory, which a GPU that shares it with the host does not have besides."""
    return bool(method.offload) or str(method.optimizer).startswith("paged")


def _with_activations(method: Method) -> Method:
    """Return a way with its activations on the GPU."""
    return replace(method, offload=tuple(name for name in method.offload if name != "activations"))


def _offloaded(footprint: Footprint, layout: Layout) -> float:
    """Return the bytes of activations of a micro-batch that wait on the host, and not on the GPU."""
    training = layout.training
    method = training.method
    if "activations" not in method.offload:
        return 0.0
    kept = replace(training, method=_with_activations(method))
    return footprint.memory(kept, layout.parallel).activations - layout.memory.activations


def _around(value: float, band: float | None) -> tuple[float, float] | None:
    return None if band is None else (value / band, value * band)


def _order(way: Way) -> tuple[object, ...]:
    """Return the key of the order: what fits, the fewest hours first; states that wait on the host last of these.

    Of equally fast ways one that moves activations to the host without need comes after one that does not.
    """
    work = way.flops_per_token if way.hours is None else way.hours
    if way.fits:
        return way.from_scratch, 0, way.on_host, work, "--offload" in way.options, way.memory_bytes
    return way.from_scratch, 1, False, way.memory_bytes, work
