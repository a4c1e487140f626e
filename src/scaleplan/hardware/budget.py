"""The records of a budget: how a request gives it, what it comes to on hardware, and the data files behind that.

``flops = gpu_hours * 3600 * peak * utilisation`` with ``utilisation = mfu * goodput``. Every figure of that line is
part of the answer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import Notice, UsageError
from scaleplan.record import Record, computed, option
from scaleplan.units import (
    SECONDS_PER_HOUR,
    format_band,
    format_fraction,
    format_plain,
    money_in,
)

if TYPE_CHECKING:
    from statistics import NormalDist
    from typing import Self

    from scaleplan.hardware.accelerators import Accelerators
    from scaleplan.hardware.deadline import Deadline
    from scaleplan.hardware.energy import PowerDraw, PowerGrids
    from scaleplan.hardware.interruptions import Interruptions
    from scaleplan.hardware.measured import Measurement
    from scaleplan.hardware.owned import OwnedPrice
    from scaleplan.hardware.prices import Prices
    from scaleplan.hardware.utilisation import UtilisationTable
    from scaleplan.units import ExchangeRate

__all__ = [
    "BAND_LEVEL",
    "GIVEN",
    "MEASURED",
    "Budget",
    "BudgetRequest",
    "Catalogue",
    "ResolvedBudget",
    "band_text",
    "dated_price",
]

_EXAMPLE = "give one of --flops, --gpu-hours, --gpus with --time, or --cost"


_hardware, _budget = partial(option, "hardware", setting=True), partial(option, "budget", everyday=True)


class BudgetRequest(Record):
    """A budget in exactly one of four forms, and the hardware it runs on; None for a default.

    The forms are total FLOP, GPU-hours, US dollars, and ``gpus`` for some ``time`` in seconds. With another
    form ``gpus`` alone adds the days it takes. All but plain FLOP need the GPU ``gpu``, an id or an alias.
    """

    gpu: str | None = _hardware(
        "text", metavar="ID", help="The GPU; 'scaleplan gpus list' shows them.", everyday=True
    )
    mfu: float | None = _hardware(
        "fraction",
        metavar="F",
        help="Model FLOP utilisation: 0.4 or 40%. By GPU and size if not given.",
        everyday=True,
    )
    goodput: float | None = _hardware("fraction", metavar="F", help="Share of the paid time that trains.")
    precision: str | None = _hardware(
        "text", metavar="NAME", help="Precision of the matrix products: bf16, fp16, fp8, …"
    )
    profile: str | None = _hardware(
        "text",
        metavar="NAME",
        help="Utilisation to assume: project or tuned-benchmark. The default, project, is what whole runs pay for.",
    )
    measured: str | None = _hardware(
        "text",
        metavar="SPEED",
        help="Your own speed: '410k tokens/s', '420 TFLOP/s'. Also '1.9 s/step of 4M tokens'; in place of a default.",
    )
    pue: float | None = _hardware(
        "ratio", metavar="F", help="Power usage effectiveness of the building; 1.1 if not given."
    )
    price: float | str | None = _hardware(
        "usd_per_hour",
        metavar="USD/H",
        help="Price of one GPU-hour, or the name of a price preset.",
        everyday=True,
    )
    owned: str | None = _hardware(
        "text",
        metavar="LIST",
        help="Hardware of your own in place of a price: 'price=30k USD, years=4, use=70%'; sunk if paid for.",
    )
    power_price: float | None = _hardware(
        "usd_per_kwh", metavar="USD/KWH", help="Price of the power of your own hardware: '0.08 USD/kWh'."
    )
    exchange_rate: ExchangeRate | None = _hardware(
        "exchange_rate", metavar="RATE", help="Answer in another currency: '1 EUR = 1.08 USD'."
    )
    interruptions: str | None = _hardware(
        "text",
        metavar="LIST",
        help="Goodput from interruptions: 'every=6h, save=2min, restart=10min', or every='50k GPU-hours'.",
    )
    flops: float | None = _budget(
        "flops", metavar="AMOUNT", help="Total training compute: 1e21, 2.5 ZFLOP, 500 PF-days."
    )
    gpu_hours: float | None = _budget("hours", metavar="AMOUNT", help="GPU-hours: 10k, '2k H100-hours'.")
    gpus: float | None = _budget("integer", metavar="N", help="Number of GPUs; a budget together with --time.")
    time: float | None = _budget(
        "seconds",
        metavar="TIME",
        help="Wall-clock time on --gpus: 30d, 2 weeks, 36h. Beside another budget, the deadline that finds N.",
    )
    cost: float | None = _budget("usd", metavar="USD", help="Money for GPUs: 250k, '1.2M USD'.")
    power: PowerDraw | None = None
    deadline: float | None = None
    """Seconds in which a budget of another form is to be done, by as many GPUs as that takes if not given."""

    def with_deadline(self) -> Self:
        """Return the request with its time as a deadline, where it is no budget but stands beside one."""
        others = (self.flops, self.gpu_hours, self.cost)
        if self.time is None or self.gpus is not None or all(value is None for value in others):
            return self
        return replace(self, time=None, deadline=self.time)

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
            raise UsageError("--time alone is no budget", hint="say how many GPUs with --gpus, such as --gpus 1")
        if self.gpu is None:
            self._require_gpu(form, option)
        return form

    def plain(self) -> ResolvedBudget | None:
        """Return the compute of a request without a GPU, which gives it in FLOP; None of one on hardware."""
        form = self.source()
        if self.gpu is not None or self.flops is None:
            return None
        return ResolvedBudget(flops=float(self.flops), budget=Budget(source=form))

    def _require_gpu(self, form: str, option: str) -> None:
        if form != "flops":
            raise UsageError(
                f"{option} needs --gpu to become FLOP",
                hint="name the GPU, such as --gpu h100-sxm; 'scaleplan gpus list' lists them",
            )
        for name in ("gpus", "deadline", *_OF_DEVICES):
            if getattr(self, name) is not None:
                option = "time" if name == "deadline" else name
                raise UsageError(
                    f"--{option.replace('_', '-')} says nothing about a budget in FLOP without a GPU",
                    hint="add --gpu, or drop it",
                )

    def _check_figures(self) -> None:
        several = ("flops", "gpu_hours", "gpus", "time", "deadline", "cost", "price", "power_price", "mfu")
        for name in (*several, "goodput", "pue"):
            value = getattr(self, name)
            if value is None or isinstance(value, str):
                continue
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is a number above 0, not {format_plain(value)}")
            if name in {"mfu", "goodput"} and value > 1:
                raise UsageError(
                    f"{name} is a fraction of at most 1, not {format_plain(value)}",
                    hint=f"try {format_plain(value / 100)}",
                )
            if name in {"mfu", "goodput"} and value < _LEAST_SHARE:
                raise UsageError(f"{name} of {format_plain(value)} is no share of any time", hint="0.4 is 40 %")
        if self.gpus is not None and self.gpus % 1:
            raise UsageError(f"a number of GPUs is whole, not {format_plain(self.gpus)}")


_OF_DEVICES = (
    *("price", "owned", "power_price", "exchange_rate"),
    *("mfu", "goodput", "interruptions", "precision", "profile", "measured", "pue", "power"),
)
"""What says nothing without an accelerator."""

_LEAST_SHARE = 1e-30  # of a smaller one the FLOP that it leaves may be none

GIVEN, MEASURED = "given", "measured"
"""How the source of a utilisation begins that is no default."""

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
    flops = hours * SECONDS_PER_HOUR * rate
    return flops / budget.band, flops * budget.band


def _expected(budget: Budget) -> float | None:
    """Return how many interruptions are expected; None where neither GPU-hours nor days say how long it takes."""
    found, hours = budget.interruptions, budget.gpu_hours
    if found is None or hours is None:
        return None
    if found.every_gpu_hours is not None:
        return hours / found.every_gpu_hours
    return None if budget.days is None else 24 * budget.days / found.every_hours


def _standard_normal() -> NormalDist:
    from statistics import NormalDist  # slow to import, and needed for limits alone

    return NormalDist()


class Budget(Record):
    """The derivation of the FLOP of a plan; None where a figure does not apply or is not known.

    Units: hours of one GPU, days on all ``gpus``, FLOP/s, ``currency`` per GPU-hour, kWh from
    the grid, watts. ``utilisation = mfu * goodput`` is what multiplies the peak. The compute of the plan takes hours
    within a factor of ``band`` either way, with a probability of ``interval_level``; None for a utilisation that was
    given or measured. ``bought_flops_interval`` is the other direction: the compute that these hours do, where the
    budget is one of hours, time or money. ``exchange_rate`` is what a unit of ``currency`` is worth in US dollars,
    None where that is the currency; ``expected_interruptions`` is how many come in all these hours.
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
    deadline: Deadline | None = None
    exchange_rate: float | None = None
    owned: OwnedPrice | None = None
    interruptions: Interruptions | None = None
    expected_interruptions: float | None = computed(_expected)

    @property
    def cost_usd(self) -> float | None:
        """The cost in US dollars, in which the runs of a project are compared and added up."""
        return None if self.cost is None else self.cost * (self.exchange_rate or 1.0)

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
    """Write a band: ``1.6x either way, 80 %``."""
    return f"{format_band(band)}, {format_fraction(BAND_LEVEL)}"


def dated_price(per_hour: float, source: str | None, date: str | None, *, currency: str | None = None) -> str:
    """Write the price of an hour with its source and its date: ``$2.95/h, default of 2026-05: …``."""
    kind, colon, origin = (source or GIVEN).partition(": ")
    dated = f" of {date}" if date else ""
    return f"{money_in(currency)(per_hour)}/h, {kind}{dated}{colon}{origin}"


class ResolvedBudget(NamedTuple):
    """The compute that a budget buys, its derivation, and the model size behind a default utilisation, if any."""

    flops: float
    budget: Budget
    params: float | None = None
    notices: tuple[Notice, ...] = ()


class Catalogue:
    """The GPUs, prices, utilisations and grids on disk, each read when it is first needed, and only once."""

    @cached_property
    def accelerators(self) -> Accelerators:
        """The GPUs by name."""
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
