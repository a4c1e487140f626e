"""Turn a budget into FLOP: FLOP, accelerator-hours, a cluster for some time, or money; and price the FLOP of a run.

``flops = gpu_hours * 3600 * peak * utilisation`` with ``utilisation = mfu * goodput``. Every figure of that line is
part of the answer. Nothing is read from disk for a budget in plain FLOP.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import Notice, UsageError
from scaleplan.record import Record, computed, option
from scaleplan.units import format_usd_per_hour

if TYPE_CHECKING:
    from collections.abc import Callable
    from statistics import NormalDist

    from scaleplan.hardware.accelerators import Accelerator, Accelerators
    from scaleplan.hardware.energy import PowerDraw, PowerGrids
    from scaleplan.hardware.measured import Measurement
    from scaleplan.hardware.prices import Price, Prices
    from scaleplan.hardware.utilisation import Utilisation, UtilisationTable

__all__ = [
    "Bill",
    "Budget",
    "BudgetRequest",
    "Catalogue",
    "band_text",
    "bill_of",
    "consistent_mfu",
    "priced",
    "resolve_budget",
    "resolve_consistently",
]

_EXAMPLE = "give one of --flops, --gpu-hours, --gpus with --time, or --cost"


_hardware, _budget = partial(option, "hardware", setting=True), partial(option, "budget")


class BudgetRequest(Record):
    """A budget in exactly one of four forms, and the hardware it runs on; None for a default.

    The forms are total FLOP, accelerator-hours, US dollars, and ``gpus`` for some ``time`` in seconds. With another
    form ``gpus`` alone adds the days it takes. All but plain FLOP need the accelerator ``gpu``, an id or an alias.
    """

    gpu: str | None = _hardware("text", metavar="ID", help="Accelerator; 'scaleplan gpus list' shows them.")
    mfu: float | None = _hardware(
        "fraction", metavar="F", help="Model FLOP utilisation, 0.4 or 40%; by device and size if not given."
    )
    goodput: float | None = _hardware("fraction", metavar="F", help="Share of the paid time that trains.")
    precision: str | None = _hardware(
        "text", metavar="NAME", help="Precision of the matrix products: bf16, fp16, fp8, …"
    )
    profile: str | None = _hardware(
        "text",
        metavar="NAME",
        help="Utilisation to assume: project (what whole projects pay for, the default) or tuned-benchmark.",
    )
    measured: str | None = _hardware(
        "text",
        metavar="SPEED",
        help="Your own speed in place of a default: '410k tokens/s', '1.9 s/step of 4M tokens', '420 TFLOP/s'.",
    )
    pue: float | None = _hardware(
        "ratio", metavar="F", help="Power usage effectiveness of the building; 1.1 if not given."
    )
    price: float | str | None = _hardware(
        "usd_per_hour", metavar="USD/H", help="Price of one accelerator-hour, or the name of a price preset."
    )
    flops: float | None = _budget(
        "flops", metavar="AMOUNT", help="Total training compute: 1e21, 2.5 ZFLOP, 500 PF-days."
    )
    gpu_hours: float | None = _budget("hours", metavar="AMOUNT", help="Accelerator-hours: 10k, '2k H100-hours'.")
    gpus: float | None = _budget(
        "integer", metavar="N", help="Number of accelerators; a budget together with --time."
    )
    time: float | None = _budget("seconds", metavar="TIME", help="Wall-clock time on --gpus: 30d, 2 weeks, 36h.")
    cost: float | None = _budget("usd", metavar="USD", help="Money for accelerators: 250k, '1.2M USD'.")
    power: PowerDraw | None = None

    @property
    def step_tokens(self) -> float | None:
        """The tokens of a step, for a measured time of one; None where the request has none."""
        return None

    @property
    def fixes_speed(self) -> bool:
        """Whether the request has a utilisation of its own, so that no default is needed."""
        return self.mfu is not None or self.measured is not None

    def measurement(self) -> Measurement | None:
        """Return the measured speed of the request, if it has one; raises UsageError beside another utilisation."""
        if self.measured is None:
            return None
        from scaleplan.hardware.measured import parse_measurement  # only where there is one

        for name in ("mfu", "profile"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--measured and --{name} both say how fast it runs",
                    hint="give one of them; --goodput goes with both",
                )
        return parse_measurement(self.measured)

    def draw(self) -> PowerDraw:
        """Return the factors of the power: those given in Python, with the PUE of the request."""
        from scaleplan.hardware.energy import PowerDraw

        power = self.power or PowerDraw()
        return power if self.pue is None else replace(power, pue=self.pue)

    def source(self) -> str:
        """Return the form: ``flops``, ``gpu_hours``, ``cluster`` or ``cost``; else raises UsageError."""
        self._check_figures()
        given = {
            "flops": (self.flops, "--flops"),
            "gpu_hours": (self.gpu_hours, "--gpu-hours"),
            "cluster": (self.time, "--gpus with --time" if self.gpus is not None else "--time"),
            "cost": (self.cost, "--cost"),
        }
        forms = {form: option for form, (value, option) in given.items() if value is not None}
        if len(forms) > 1:
            raise UsageError(f"more than one budget: {' and '.join(forms.values())}", hint="give exactly one of them")
        if not forms:
            if self.gpus is not None:
                raise UsageError("--gpus alone is no budget", hint="say for how long with --time, such as --time 30d")
            raise UsageError("there is no budget", hint=_EXAMPLE)
        form, option = forms.popitem()
        if form == "cluster" and self.gpus is None:
            raise UsageError("--time alone is no budget", hint="say how many accelerators with --gpus")
        if self.gpu is None:
            self._require_gpu(form, option)
        return form

    def _require_gpu(self, form: str, option: str) -> None:
        if form != "flops":
            raise UsageError(
                f"{option} needs --gpu to become FLOP",
                hint="name the accelerator, such as --gpu h100-sxm; 'scaleplan gpus list' lists them",
            )
        for name in ("gpus", "price", "mfu", "goodput", "precision", "profile", "measured", "pue", "power"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name} says nothing about a budget in FLOP without an accelerator",
                    hint="add --gpu, or drop it",
                )

    def _check_figures(self) -> None:
        for name in ("flops", "gpu_hours", "gpus", "time", "cost", "price", "mfu", "goodput", "pue"):
            value = getattr(self, name)
            if value is None or isinstance(value, str):
                continue
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is a number above 0, not {value:g}")
            if name in {"mfu", "goodput"} and value > 1:
                raise UsageError(f"{name} is a fraction of at most 1, not {value:g}", hint=f"try {value / 100:g}")
            if name in {"mfu", "goodput"} and value < _LEAST_SHARE:
                raise UsageError(f"{name} of {value:g} is no share of any time", hint="0.4 is 40 %")
        if self.gpus is not None and self.gpus % 1:
            raise UsageError(f"a number of accelerators is whole, not {self.gpus:g}")


_LEAST_SHARE = 1e-30  # of a smaller one the FLOP that it leaves may be none

_SECONDS_PER_HOUR = 3600.0

_HOURS_PER_DAY = 24.0

BAND_LEVEL = 0.8
"""The share of projects whose hours lie within the band of a default utilisation (``utilisation.toml``)."""


def _around(name: str) -> Any:  # noqa: ANN401  a field
    """Declare the range of a figure of a budget: within its band either way, None without one."""

    def interval(budget: Budget) -> tuple[float, float] | None:
        value = getattr(budget, name)
        return None if budget.band is None or value is None else (value / budget.band, value * budget.band)

    return computed(interval)


def _bought(budget: Budget) -> tuple[float, float] | None:
    """Return the compute that a budget in hours, time or money buys, with the band of its utilisation."""
    rate, hours = (budget.peak_flops_per_s or 0.0) * (budget.utilisation or 0.0), budget.gpu_hours
    if budget.band is None or budget.source == "flops" or hours is None or not rate:
        return None
    flops = hours * _SECONDS_PER_HOUR * rate
    return flops / budget.band, flops * budget.band


def _standard_normal() -> NormalDist:
    from statistics import NormalDist  # slow to import, and needed for limits alone

    return NormalDist()


class Budget(Record):
    """The derivation of the FLOP of a plan; None where a figure does not apply or is not known.

    Units: hours of one accelerator, days on all ``gpus``, FLOP/s, ``currency`` per accelerator-hour, kWh from
    the grid, watts. ``utilisation = mfu * goodput`` is what multiplies the peak. The compute of the plan takes hours
    within a factor of ``band`` either way, with a probability of ``interval_level``; None for a utilisation that was
    given or measured. ``bought_flops_interval`` is the other direction: the compute that these hours do, where the
    budget is one of hours, time or money.
    """

    source: str
    gpu: str | None = None
    gpus: int | None = None
    gpu_hours: float | None = None
    days: float | None = None
    utilisation: float | None = None
    peak_flops_per_s: float | None = None
    precision: str | None = None
    cost: float | None = None
    currency: str | None = None
    mfu: float | None = None
    goodput: float | None = None
    profile: str | None = None
    price_per_hour: float | None = None
    energy_kwh: float | None = None
    utilisation_source: str | None = None
    band: float | None = None
    interval_level: float | None = computed(lambda budget: None if budget.band is None else BAND_LEVEL)
    gpu_hours_interval: tuple[float, float] | None = _around("gpu_hours")
    days_interval: tuple[float, float] | None = _around("days")
    cost_interval: tuple[float, float] | None = _around("cost")
    energy_kwh_interval: tuple[float, float] | None = _around("energy_kwh")
    bought_flops_interval: tuple[float, float] | None = computed(_bought)
    price_source: str | None = None
    price_date: str | None = None
    chip_w: float | None = None
    host_w: float | None = None
    pue: float | None = None

    def chance_below(self, factor: float) -> float | None:
        """Return the probability that the hours needed stay below ``factor`` times those promised.

        The logarithm of that ratio is taken as normal, with the band at its own level. None without a band.
        """
        if self.band is None or self.band <= 1 or factor <= 0:
            return None
        normal = _standard_normal()
        return normal.cdf(math.log(factor) / math.log(self.band) * normal.inv_cdf((1 + BAND_LEVEL) / 2))

    def interval_at(self, name: str, level: float) -> tuple[float, float] | None:
        """Return the range of ``gpu_hours``, ``days``, ``cost`` or ``energy_kwh`` at a level; None without a band.

        By the distribution of :meth:`chance_below`.
        """
        value = getattr(self, name)
        if self.band is None or value is None:
            return None
        ends = (_standard_normal().inv_cdf((1 + each) / 2) for each in (level, BAND_LEVEL))
        factor = self.band ** (next(ends) / next(ends))
        return value / factor, value * factor

    def scaled(self, share: float) -> Budget:
        """Return the budget of a share of the compute: hours, days, cost and energy scale, rates stay."""
        values = {name: getattr(self, name) for name in ("gpu_hours", "days", "cost", "energy_kwh")}
        return replace(self, **{name: share * value for name, value in values.items() if value is not None})


def band_text(band: float) -> str:
    """Write a band: ``x/÷ 1.6, 80 %``."""
    return f"x/÷ {band:g}, {100 * BAND_LEVEL:g} %"


def priced(usd_per_hour: float, source: str | None, date: str | None) -> str:
    """Write the price of an hour with its source and its date: ``$2.95/h, default of 2026-05: …``."""
    kind, colon, origin = (source or GIVEN).partition(": ")
    dated = f" of {date}" if date else ""
    return f"{format_usd_per_hour(usd_per_hour)}, {kind}{dated}{colon}{origin}"


class ResolvedBudget(NamedTuple):
    """The compute that a budget buys, its derivation, and the model size behind a default utilisation, if any."""

    flops: float
    budget: Budget
    params: float | None = None
    notices: tuple[Notice, ...] = ()


class Catalogue:
    """The accelerators, prices, utilisations and grids on disk, each read when it is first needed, and only once."""

    @cached_property
    def accelerators(self) -> Accelerators:
        """The accelerators by name."""
        from scaleplan.hardware.accelerators import Accelerators

        return Accelerators()

    @cached_property
    def prices(self) -> Prices:
        """The prices by accelerator."""
        from scaleplan.hardware.prices import Prices

        return Prices()

    @cached_property
    def utilisations(self) -> UtilisationTable:
        """The default utilisations."""
        from scaleplan.hardware.utilisation import UtilisationTable

        return UtilisationTable()

    @cached_property
    def grids(self) -> PowerGrids:
        """The carbon intensity of countries and cloud regions."""
        from scaleplan.hardware.energy import PowerGrids

        return PowerGrids()


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
    form = request.source()
    if request.gpu is None:
        assert request.flops is not None
        return ResolvedBudget(flops=float(request.flops), budget=Budget(source=form))
    cluster = _Cluster(request, form, catalogue)
    per_token = 6 * params if flops_per_token is None and params is not None else flops_per_token
    return cluster.resolve(cluster.utilisation(params, moe=moe, flops_per_token=per_token))._replace(params=params)


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
    the best model depends on the utilisation even for a budget in FLOP, as limits in hours make it.
    :func:`consistent_mfu` resolves the circle. ``flops_per_token`` is that of a model of fixed size.
    """
    form = request.source()
    if request.gpu is None or request.fixes_speed:
        return resolve_budget(catalogue, request, moe=moe, flops_per_token=flops_per_token)
    if request.flops is not None and not by_hardware:
        plain = ResolvedBudget(flops=float(request.flops), budget=Budget(source=form))
        return resolve_budget(catalogue, request, params=best_params(plain), moe=moe)
    from scaleplan.hardware.utilisation import Utilisation

    def params_at(utilisation: float) -> float:
        assumed = Utilisation(mfu=utilisation, goodput=1.0, profile=None, source="", band=None)
        return best_params(cluster.resolve(assumed))

    cluster = _Cluster(request, form, catalogue)
    found = consistent_mfu(lambda params: cluster.utilisation(params, moe=moe), params_at)
    resolved = cluster.resolve(found.utilisation)._replace(params=found.params)
    if found.consistent:
        return resolved
    taken = f"the lower value, {found.utilisation.mfu:.3g}, is used"
    message = f"the best size jumps where the default utilisation depends on it; {taken}"
    notice = Notice(code="utilisation_step", message=message)
    return resolved._replace(notices=(*resolved.notices, notice))


class _Cluster:
    """The accelerator of a request, its peak and its price, which do not depend on the utilisation."""

    def __init__(self, request: BudgetRequest, form: str, catalogue: Catalogue) -> None:
        assert request.gpu is not None
        self.request = request
        self.form = form
        self.catalogue = catalogue
        self.accelerator: Accelerator = catalogue.accelerators.get(request.gpu)
        self.precision = self.accelerator.precision(request.precision)
        self.peak = self.accelerator.peak(self.precision)
        self.price, self.notices = _price(request, self.accelerator, catalogue)
        self.power = request.draw().of(self.accelerator)

    def utilisation(self, params: float | None, *, moe: bool, flops_per_token: float | None = None) -> Utilisation:
        """Return the utilisation of the request, or the default one for a model of ``params``."""
        from scaleplan.hardware.utilisation import Utilisation

        request = self.request
        measured = request.measurement()
        if measured is not None:
            found = self._measured(measured, flops_per_token)
        elif request.mfu is None:
            found = self.catalogue.utilisations.default(
                self.accelerator,
                precision=self.precision,
                params=params,
                gpus=request.gpus,
                profile=request.profile,
                moe=moe,
            )
        else:
            profile, goodput = None, 1.0
            if request.profile is not None:
                chosen = self.catalogue.utilisations.profile(request.profile)
                profile, goodput = chosen.name, chosen.goodput
            found = Utilisation(mfu=request.mfu, goodput=goodput, profile=profile, source=GIVEN, band=None)
        return found if request.goodput is None else replace(found, goodput=request.goodput)

    def _measured(self, measured: Measurement, flops_per_token: float | None) -> Utilisation:
        """Return the utilisation that a measured speed comes to; lost time is not in it."""
        from scaleplan.hardware.measured import share_of_peak
        from scaleplan.hardware.utilisation import Utilisation

        achieved = measured.flops_per_second(
            gpus=self.request.gpus, flops_per_token=flops_per_token, batch=self.request.step_tokens
        )
        mfu = share_of_peak(measured, achieved, self.peak, device=self.accelerator.id, precision=self.precision)
        notices = []
        if mfu < _SUSPICIOUS:
            share = f"--measured {measured.text} is {100 * mfu:.2g} % of the peak"
            message = f"{share}: check its unit and the number of devices"
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
            return request.flops / (self.peak * utilisation * _SECONDS_PER_HOUR)
        if request.cost is not None:
            assert self.price is not None
            return request.cost / self.price.usd_per_hour
        assert request.gpus is not None
        assert request.time is not None
        return request.gpus * request.time / _SECONDS_PER_HOUR

    def flops(self, utilisation: float) -> float:
        """Return the FLOP of the budget."""
        if self.request.flops is not None:
            return float(self.request.flops)
        flops = self.hours(utilisation) * _SECONDS_PER_HOUR * self.peak * utilisation
        if not 0 < flops < math.inf:
            raise UsageError(f"this budget comes to {flops:g} FLOP, beyond what can be planned")
        return flops

    def resolve(self, utilisation: Utilisation) -> ResolvedBudget:
        """Return the FLOP with their whole derivation."""
        from scaleplan.hardware.prices import CURRENCY

        request, hours, price = self.request, self.hours(utilisation.value), self.price
        cost = None if price is None else hours * price.usd_per_hour if request.cost is None else float(request.cost)
        budget = Budget(
            source=self.form,
            gpu=self.accelerator.id,
            gpus=None if request.gpus is None else int(request.gpus),
            gpu_hours=hours,
            days=None if request.gpus is None else hours / request.gpus / _HOURS_PER_DAY,
            utilisation=utilisation.value,
            peak_flops_per_s=self.peak,
            precision=self.precision,
            cost=cost,
            currency=None if cost is None else CURRENCY,
            mfu=utilisation.mfu,
            goodput=utilisation.goodput,
            profile=utilisation.profile,
            price_per_hour=None if price is None else price.usd_per_hour,
            energy_kwh=self.power.kwh(hours),
            utilisation_source=utilisation.source,
            band=utilisation.band,
            price_source=None if price is None else price.origin,
            price_date=None if price is None else price.date or None,
            chip_w=self.power.chip_w,
            host_w=self.power.host_w,
            pue=self.power.pue,
        )
        return ResolvedBudget(
            flops=self.flops(utilisation.value), budget=budget, notices=(*self.notices, *utilisation.notices)
        )


def _price(
    request: BudgetRequest, accelerator: Accelerator, catalogue: Catalogue
) -> tuple[Price | None, tuple[Notice, ...]]:
    """Return the price; None with a notice where the request has none and there is no default."""
    if isinstance(request.price, int | float):
        from scaleplan.hardware.prices import given_price

        return given_price(accelerator.id, float(request.price)), ()
    prices = catalogue.prices
    if request.price is not None:
        return prices.named(accelerator.id, request.price), ()
    default = prices.default(accelerator.id)
    if default is not None:
        return default, ()
    if request.cost is not None:
        raise UsageError(f"--cost needs a price for {accelerator.id}", hint=prices.hint(accelerator.id))
    message = f"no cost is shown: there is no default price for {accelerator.id}; {prices.hint(accelerator.id)}"
    return None, (Notice(code="no_price", message=message),)


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

GIVEN, MEASURED = "given", "measured"
"""How the source of a utilisation begins that is no default."""


class Bill(Record):
    """Hours, days, cost, energy and carbon of a run, as ranges, and the dates of the figures behind them.

    Real accelerator-hours lie within ``factor`` either way; None where the utilisation was given. Units: hours of one
    accelerator, days on all, US dollars, kWh from the grid, kg CO2e.
    """

    factor: float | None
    gpu_hours: tuple[float, float] | None
    days: tuple[float, float] | None
    cost: tuple[float, float] | None
    energy_kwh: tuple[float, float] | None
    carbon_kg: float | None
    grid: str | None
    grid_g_co2_per_kwh: float | None
    grid_year: int | None
    price_date: str | None
    utilisation_date: str | None
    carbon_kg_interval: tuple[float, float] | None = None


def bill_of(budget: Budget, grid: str | None, catalogue: Catalogue) -> Bill:
    """Return the bill of a run, with the range that the error of a default utilisation leaves."""
    where = None if grid is None else catalogue.grids.get(grid)
    energy = budget.energy_kwh_interval

    def point(value: float | None) -> tuple[float, float] | None:
        return None if value is None else (value, value)

    return Bill(
        factor=budget.band,
        gpu_hours=budget.gpu_hours_interval or point(budget.gpu_hours),
        days=budget.days_interval or point(budget.days),
        cost=budget.cost_interval or point(budget.cost),
        energy_kwh=energy or point(budget.energy_kwh),
        carbon_kg=None if where is None or budget.energy_kwh is None else where.carbon_kg(budget.energy_kwh),
        grid=None if where is None else where.code,
        grid_g_co2_per_kwh=None if where is None else where.g_co2_per_kwh,
        grid_year=None if where is None else where.year,
        price_date=budget.price_date,
        utilisation_date=None if budget.band is None else catalogue.utilisations.as_of,
        carbon_kg_interval=(
            None if where is None or energy is None else (where.carbon_kg(energy[0]), where.carbon_kg(energy[1]))
        ),
    )
