"""Resolve a budget on accelerators: their peak, utilisation and price make hours and money of FLOP, and back."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from scaleplan.errors import Notice, UsageError
from scaleplan.hardware.budget import GIVEN, MEASURED, Budget, ResolvedBudget
from scaleplan.hardware.deadline import Deadline, least_gpus
from scaleplan.hardware.interruptions import read_interruptions
from scaleplan.hardware.measured import share_of_peak
from scaleplan.hardware.owned import owned_price, owned_text, read_owned
from scaleplan.hardware.prices import HourlyPrice
from scaleplan.hardware.utilisation import Utilisation
from scaleplan.record import Record
from scaleplan.units import SECONDS_PER_HOUR, USD, format_flops, format_fraction, format_number, format_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.budget import BudgetRequest, Catalogue
    from scaleplan.hardware.interruptions import Interruptions
    from scaleplan.hardware.measured import Measurement

__all__ = ["ConsistentMfu", "DeviceBudget", "consistent_mfu", "resolve_budget", "resolve_consistently"]

_HOURS_PER_DAY = 24.0


def resolve_budget(
    catalogue: Catalogue,
    request: BudgetRequest,
    *,
    params: float | None = None,
    moe: bool = False,
    flops_per_token: float | None = None,
) -> ResolvedBudget:
    """Return the FLOP of a budget for a model of ``params`` active parameters, None for an unknown size.

    The size decides the default utilisation, which assumes 7B with a notice for None; ``flops_per_token``, 6N by
    default, what a measured rate of tokens or steps comes to. Raises UsageError when the request is no budget, more
    than one, or lacks an accelerator, a price or a utilisation.
    """
    plain = request.plain()
    if plain is not None:
        return plain
    on_devices = DeviceBudget(request, catalogue)
    per_token = 6 * params if flops_per_token is None and params is not None else flops_per_token
    found = on_devices.resolve(on_devices.utilisation(params, moe=moe, flops_per_token=per_token))
    found = on_devices.with_deadline(found, params, moe=moe, flops_per_token=per_token)
    return found._replace(params=params)


def resolve_consistently(
    catalogue: Catalogue,
    request: BudgetRequest,
    best_params: Callable[[ResolvedBudget], float],
    *,
    moe: bool = False,
    by_hardware: bool = False,
    flops_per_token: float | None = None,
) -> ResolvedBudget:
    """Return the FLOP of a budget whose default utilisation agrees with the model it pays for.

    ``best_params`` gives the active parameters of the best model for the compute; it is called a handful of times at
    most, and not at all where the utilisation is given or measured, or no hardware is involved. With ``by_hardware``
    the best model depends on the utilisation even for a budget in FLOP, as limits in hours make it;
    :func:`consistent_mfu` finds where the two agree. ``flops_per_token`` is that of a model of fixed size.
    """
    if request.gpu is None or request.fixes_speed:
        return resolve_budget(catalogue, request, moe=moe, flops_per_token=flops_per_token)
    if request.flops is not None and not by_hardware:
        plain = ResolvedBudget(flops=float(request.flops), budget=Budget(source=request.source()))
        return resolve_budget(catalogue, request, params=best_params(plain), moe=moe)
    return DeviceBudget(request, catalogue).consistent(best_params, moe=moe)


class DeviceBudget:
    """A budget on the accelerator of a request, whose peak and price do not depend on the utilisation."""

    def __init__(self, request: BudgetRequest, catalogue: Catalogue) -> None:
        assert request.gpu is not None
        self.request = request
        self.form = request.source()
        self.catalogue = catalogue
        self.accelerator: Accelerator = catalogue.accelerators.get(request.gpu)
        self.precision = self.accelerator.precision(request.precision)
        self.peak = self.accelerator.peak(self.precision)
        self.power = request.draw().of(self.accelerator)
        self.price, self.notices = _price(
            request, self.accelerator, None if self.power is None else self.power.kw, catalogue
        )
        if self.power is None:
            message = f"the power of {self.accelerator.id} is not known: energy and carbon are not computed"
            self.notices = (*self.notices, Notice(code="power_unknown", message=message))

    def utilisation(
        self, params: float | None, *, moe: bool, flops_per_token: float | None = None, gpus: float | None = None
    ) -> Utilisation:
        """Return the utilisation of the request, or the default one for a model of ``params``.

        On ``gpus`` devices: those of the request if not given, and without any as many as its deadline takes.
        """
        request, gpus = self.request, gpus or self.request.gpus
        if request.deadline is not None and gpus is None:
            gpus = self._in_time(params, moe=moe, flops_per_token=flops_per_token)
        measured = request.measurement()
        if measured is not None:
            found = self._measured(measured, flops_per_token)
        elif request.mfu is None:
            found = self.catalogue.utilisations.default(
                self.accelerator,
                precision=self.precision,
                params=params,
                gpus=gpus,
                profile=request.profile,
                moe=moe,
            )
        else:
            profile, goodput = None, 1.0
            if request.profile is not None:
                chosen = self.catalogue.utilisations.profile(request.profile)
                profile, goodput = chosen.name, chosen.goodput
            found = Utilisation(mfu=request.mfu, goodput=goodput, profile=profile, source=GIVEN, band=None)
        interruptions = self._interruptions(gpus)
        if interruptions is not None:
            share = interruptions.goodput
            usual = format_plain(found.goodput)
            lost = f"; {format_number(share)} of the time trains between interruptions, in place of {usual}"
            source = found.source if found.profile is None else found.source + lost
            return replace(found, goodput=share, source=source)
        return found if request.goodput is None else replace(found, goodput=request.goodput)

    def _interruptions(self, gpus: float | None) -> Interruptions | None:
        """Return the interruptions on a number of devices; raises UsageError beside another share of the time."""
        text = self.request.interruptions
        if text is not None and self.request.goodput is not None:
            raise UsageError(
                "--goodput and --interruptions both say what share of the time trains", hint="give one of them"
            )
        return None if text is None else read_interruptions(text, gpus)

    def _measured(self, measured: Measurement, flops_per_token: float | None) -> Utilisation:
        """Return the utilisation that a measured speed comes to; lost time is not in it."""
        achieved = measured.flops_per_second(
            gpus=self.request.gpus, flops_per_token=flops_per_token, batch=self.request.step_tokens
        )
        mfu = share_of_peak(measured, achieved, self.peak, device=self.accelerator.id, precision=self.precision)
        notices = []
        if mfu < _SUSPICIOUS:
            share = f"--measured {measured.text} is {format_fraction(mfu, digits=2)} of the peak"
            message = f"{share}: check its unit and the number of GPUs"
            notices.append(Notice(code="measured_slow", message=message))
        return Utilisation(
            mfu=mfu,
            goodput=1.0,
            profile=None,
            source=f"{MEASURED}: {measured.text}",
            band=None,
            notices=tuple(notices),
        )

    def hours(self, utilisation: float) -> float:
        """Return the accelerator-hours of the budget."""
        request = self.request
        if request.gpu_hours is not None:
            return float(request.gpu_hours)
        if request.flops is not None:
            return request.flops / (self.peak * utilisation * SECONDS_PER_HOUR)
        if request.cost is not None:
            assert self.price is not None
            return request.cost / self.price.per_hour
        assert request.gpus is not None
        assert request.time is not None
        return request.gpus * request.time / SECONDS_PER_HOUR

    def flops(self, utilisation: float) -> float:
        """Return the FLOP of the budget."""
        if self.request.flops is not None:
            return float(self.request.flops)
        flops = self.hours(utilisation) * SECONDS_PER_HOUR * self.peak * utilisation
        if not 0 < flops < math.inf:
            raise UsageError(f"this budget comes to {format_flops(flops)}, beyond what can be planned")
        return flops

    def _in_time(
        self,
        params: float | None,
        *,
        moe: bool,
        flops_per_token: float | None,
        factor: float = 1.0,
        step: int = 1,
    ) -> int:
        """Return the fewest devices that do the work within the deadline, of which each takes ``factor`` times."""

        def hours_on(gpus: int) -> float:
            found = self.utilisation(params, moe=moe, flops_per_token=flops_per_token, gpus=gpus)
            return factor * self.hours(found.value)

        return least_gpus(hours_on, (self.request.deadline or 0.0) / SECONDS_PER_HOUR, step=step)

    def with_deadline(
        self, resolved: ResolvedBudget, params: float | None, *, moe: bool, flops_per_token: float | None = None
    ) -> ResolvedBudget:
        """Return a budget with how many devices its deadline takes, where it has one."""
        budget, time = resolved.budget, self.request.deadline
        if time is None or budget.days is None:
            return resolved
        fewest = partial(self._in_time, params, moe=moe, flops_per_token=flops_per_token)
        server, days = self.accelerator.link_devices, time / SECONDS_PER_HOUR / _HOURS_PER_DAY
        gpus = fewest()
        safe = None if budget.band is None else fewest(factor=budget.band)
        deadline = Deadline(
            days=days,
            gpus=gpus,
            safe_gpus=safe,
            server=server,
            gpus_in_servers=fewest(step=server) if gpus > server else None,
            safe_gpus_in_servers=fewest(step=server, factor=budget.band or 1.0) if safe and safe > server else None,
            chance=budget.chance_below(days / budget.days),
        )
        return resolved._replace(budget=replace(budget, deadline=deadline))

    def resolve(self, utilisation: Utilisation) -> ResolvedBudget:
        """Return the FLOP with their whole derivation."""
        request, hours, price, power = self.request, self.hours(utilisation.value), self.price, self.power
        rate, gpus = request.exchange_rate, request.gpus
        if request.deadline is not None and gpus is None:
            gpus = least_gpus(lambda _: hours, request.deadline / SECONDS_PER_HOUR)
        cost = None if price is None else hours * price.per_hour if request.cost is None else float(request.cost)
        budget = Budget(
            source=self.form,
            gpu=self.accelerator.id,
            gpus=None if gpus is None else int(gpus),
            gpu_hours=hours,
            days=None if gpus is None else hours / gpus / _HOURS_PER_DAY,
            utilisation=utilisation.value,
            peak_flops_per_s=self.peak,
            precision=self.precision,
            cost=cost,
            currency=None if cost is None else USD if rate is None else rate.currency,
            mfu=utilisation.mfu,
            goodput=utilisation.goodput,
            profile=utilisation.profile,
            price_per_hour=None if price is None else price.per_hour,
            energy_kwh=None if power is None else power.kwh(hours),
            utilisation_source=utilisation.source,
            band=utilisation.band,
            price_source=None if price is None else price.origin,
            price_date=None if price is None else price.date or None,
            chip_w=None if power is None else power.chip_w,
            host_w=None if power is None else power.host_w,
            pue=None if power is None else power.pue,
            exchange_rate=None if rate is None else rate.usd,
            owned=None if price is None else price.owned,
            interruptions=self._interruptions(gpus),
        )
        return ResolvedBudget(
            flops=self.flops(utilisation.value), budget=budget, notices=(*self.notices, *utilisation.notices)
        )

    def consistent(self, best_params: Callable[[ResolvedBudget], float], *, moe: bool) -> ResolvedBudget:
        """Return the FLOP with a default utilisation that agrees with the model they pay for."""

        def params_at(utilisation: float) -> float:
            assumed = Utilisation(mfu=utilisation, goodput=1.0, profile=None, source="", band=None)
            return best_params(self.resolve(assumed))

        found = consistent_mfu(lambda params: self.utilisation(params, moe=moe), params_at)
        resolved = self.with_deadline(self.resolve(found.utilisation), found.params, moe=moe)
        resolved = resolved._replace(params=found.params)
        if found.consistent:
            return resolved
        taken = f"the lower value, {format_number(found.utilisation.mfu)}, is used"
        message = f"the best size jumps where the default utilisation depends on it; {taken}"
        notice = Notice(code="utilisation_step", message=message)
        return resolved._replace(notices=(*resolved.notices, notice))


def _price(
    request: BudgetRequest, accelerator: Accelerator, kw: float | None, catalogue: Catalogue
) -> tuple[HourlyPrice | None, tuple[Notice, ...]]:
    """Return the price in the currency of the request; None with a notice where it has none and there is no default.

    What is in US dollars is converted by the exchange rate, and the origin says so.
    """
    rate, prices = request.exchange_rate, catalogue.prices
    owned = prices.owned(accelerator.id) if request.price is None else None
    if request.owned is not None or owned is not None:
        found, notices = _owned(request, accelerator, kw, catalogue)
    elif request.power_price is not None:
        raise UsageError(
            "--power-price goes with hardware of your own: a rented price has the power in it",
            hint="add --owned 'price=30k USD, years=4, use=70%', or --owned sunk where the hardware is paid for",
        )
    elif isinstance(request.price, int | float):
        found, notices = HourlyPrice(float(request.price)), ()
    elif request.price is not None:
        found, notices = HourlyPrice.of(prices.named(accelerator.id, request.price), rate), ()
    else:
        default = prices.default(accelerator.id)
        if default is None and request.cost is not None:
            raise UsageError(f"--cost needs a price for {accelerator.id}", hint=prices.hint(accelerator.id))
        if default is None:
            message = (
                f"no cost is shown: there is no default price for {accelerator.id}; {prices.hint(accelerator.id)}"
            )
            return None, (Notice(code="no_price", message=message),)
        found, notices = HourlyPrice.of(default, rate), ()
    return found if rate is None else found._replace(origin=f"{found.origin}; at {rate} (given)"), notices


def _owned(
    request: BudgetRequest, accelerator: Accelerator, kw: float | None, catalogue: Catalogue
) -> tuple[HourlyPrice, tuple[Notice, ...]]:
    """Return the price of an hour on owned hardware, that of the request before that of a file."""
    if request.owned is not None and request.price is not None:
        raise UsageError("--price and --owned both say what an hour costs", hint="give one of them")
    rate = request.exchange_rate
    if request.owned is not None:
        owned = read_owned(request.owned, rate)
    else:
        stated = catalogue.prices.owned(accelerator.id)
        assert stated is not None
        owned = stated.at(rate)
    given = request.power_price is not None
    parts = owned_price(owned, kw, request.power_price if given else owned.power_price)
    origin = owned_text(
        parts,
        kw,
        currency=None if rate is None else rate.currency,
        origin=owned.origin,
        power_origin=GIVEN if given else owned.origin,
    )
    price = HourlyPrice(parts.per_hour, f"owned: {origin}", owned.date, parts)
    if parts.power_price is not None:
        return price, ()
    message = "the price of hardware of your own is without its power: --power-price '0.08 USD/kWh' adds it"
    return price, (Notice(code="power_not_priced", message=message),)


class ConsistentMfu(Record):
    """A utilisation and its model size; not ``consistent`` where no size agrees with its own utilisation."""

    utilisation: Utilisation
    params: float
    consistent: bool


def consistent_mfu(
    utilisation_at: Callable[[float], Utilisation], params_at: Callable[[float], float]
) -> ConsistentMfu:
    """Find a utilisation that agrees with the model size that it pays for.

    ``utilisation_at`` rises slowly with the size; ``params_at`` is the best size for a utilisation
    (``Utilisation.value``), which rises with it no faster than in proportion. So going from one to the other and back
    comes closer to the answer each time, by a factor of ten and more for most models, and ends at it, as defaults
    are rounded. Where the best size jumps, or the utilisation falls, there may be none: then bisection finds the
    jump, and the lower side of it is taken, whose own plan would reach at least what was assumed.
    """
    assumed = utilisation_at(_START_PARAMS)
    low, high = 0.0, math.inf  # utilisations that buy a model which reaches more, and one which reaches less
    safe: ConsistentMfu | None = None
    for _ in range(_MOST_ROUNDS):
        params = params_at(assumed.value)
        reached = utilisation_at(params)
        if math.isclose(reached.value, assumed.value, rel_tol=_AGREES):
            return ConsistentMfu(utilisation=reached, params=params, consistent=True)
        if reached.value > assumed.value:
            low, safe = assumed.value, ConsistentMfu(utilisation=assumed, params=params, consistent=False)
        else:
            high = assumed.value
        if low and high / low < 1 + _JUMP:
            break
        inside = low < reached.value < high
        assumed = reached if inside else replace(reached, mfu=math.sqrt(low * high) / reached.goodput)
    if safe is None:
        params = params_at(low or assumed.value)
        safe = ConsistentMfu(utilisation=assumed, params=params, consistent=False)
    return safe


_START_PARAMS = 7e9  # any will do
_MOST_ROUNDS = 200
_AGREES, _JUMP = 1e-12, 1e-9

_SUSPICIOUS = 0.003  # less than the smallest models reach by default on one device
