"""How much compute does a budget buy, and what does compute cost: FLOP ↔ accelerator-hours, days, money, energy.

``flops = gpu_hours * 3600 * peak * utilisation`` with ``utilisation = mfu * goodput``. Every figure of that line is
part of the answer. Nothing is read from disk for a budget in plain FLOP.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.hardware.budget import Budget, BudgetRequest
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.accelerators import Accelerator, Accelerators
    from scaleplan.hardware.prices import Prices
    from scaleplan.hardware.utilisation import Utilisation, UtilisationTable
    from scaleplan.notices import Notice

__all__ = ["Catalogue", "Funding", "resolve", "settle"]

_SECONDS_PER_HOUR = 3600.0
_HOURS_PER_DAY = 24.0


class Funding(Record):
    """The compute a budget buys, its derivation, and what to say about it.

    ``params`` is the size the default utilisation was settled with, None where the size played no part.
    """

    flops: float
    budget: Budget
    params: float | None = None
    notices: tuple[Notice, ...] = ()


class Catalogue:
    """The accelerators, prices and utilisations on disk, each read when it is first needed, and only once.

    Whoever funds many budgets hands the same one to each.
    """

    def __init__(self) -> None:
        self._accelerators: Accelerators | None = None
        self._prices: Prices | None = None
        self._utilisations: UtilisationTable | None = None

    @property
    def accelerators(self) -> Accelerators:
        """The accelerators by name."""
        from scaleplan.hardware.accelerators import Accelerators

        self._accelerators = self._accelerators or Accelerators()
        return self._accelerators

    @property
    def prices(self) -> Prices:
        """The prices by accelerator."""
        from scaleplan.hardware.prices import Prices

        self._prices = self._prices or Prices()
        return self._prices

    @property
    def utilisations(self) -> UtilisationTable:
        """The default utilisations."""
        from scaleplan.hardware.utilisation import UtilisationTable

        self._utilisations = self._utilisations or UtilisationTable()
        return self._utilisations


def resolve(
    request: BudgetRequest, *, params: float | None = None, moe: bool = False, catalogue: Catalogue | None = None
) -> Funding:
    """Return the FLOP of a budget for a model of known (or unknown) size.

    Parameters
    ----------
    request
        The budget.
    params
        Active parameters of the model; decides the default utilisation, which assumes 7B (and says so) for None.
    moe
        Whether the model is a mixture of experts.
    catalogue
        What is known of hardware; read from disk by default.

    Raises
    ------
    UsageError
        When the request is no budget, more than one, or lacks an accelerator, a price or a utilisation.

    """
    form = request.source()
    if request.gpu is None:
        assert request.flops is not None
        return Funding(flops=float(request.flops), budget=Budget(source=form))
    site = _Site(request, form, catalogue or Catalogue())
    return replace(site.fund(site.utilisation(params, moe=moe)), params=params)


def settle(
    request: BudgetRequest,
    best_params: Callable[[Funding], float],
    *,
    moe: bool = False,
    by_hardware: bool = False,
    catalogue: Catalogue | None = None,
) -> Funding:
    """Return the FLOP of a budget whose default utilisation agrees with the model it pays for.

    Parameters
    ----------
    request
        The budget.
    best_params
        The (active) parameters of the best model for the compute; called a handful of times at most, and
        not at all where the utilisation is given or no hardware is involved.
    moe
        Whether the model is a mixture of experts.
    by_hardware
        Whether the best model depends on the utilisation even for a budget in FLOP, as limits in hours make it.
    catalogue
        What is known of hardware; read from disk by default.

    See :func:`scaleplan.hardware.settling.settle` for how the circle is resolved; raises what :func:`resolve` raises.

    """
    form = request.source()
    if request.gpu is None or request.mfu is not None:
        return resolve(request, moe=moe, catalogue=catalogue)
    if request.flops is not None and not by_hardware:
        anyhow = Funding(flops=float(request.flops), budget=Budget(source=form))
        return resolve(request, params=best_params(anyhow), moe=moe, catalogue=catalogue)
    from scaleplan.hardware.settling import settle as settle_utilisation
    from scaleplan.hardware.utilisation import Utilisation
    from scaleplan.notices import Notice

    def funded(utilisation: float) -> Funding:
        return site.fund(Utilisation(mfu=utilisation, goodput=1.0, profile=None, source="", band=None))

    site = _Site(request, form, catalogue or Catalogue())
    settled = settle_utilisation(
        lambda params: site.utilisation(params, moe=moe),
        lambda utilisation: best_params(funded(utilisation)),
        site.catalogue.utilisations.edges,
    )
    funding = replace(site.fund(settled.utilisation), params=settled.params)
    if settled.consistent:
        return funding
    taken = f"the lower value, {settled.utilisation.mfu:.3g}, is used"
    message = f"the best size lies where the default utilisation steps down; {taken}"
    return replace(funding, notices=(*funding.notices, Notice(code="utilisation_step", message=message)))


class _Site:
    """The accelerator, its peak and its price: what stays the same whatever the utilisation."""

    def __init__(self, request: BudgetRequest, form: str, catalogue: Catalogue) -> None:
        assert request.gpu is not None
        self.request = request
        self.form = form
        self.catalogue = catalogue
        self.accelerator: Accelerator = catalogue.accelerators.get(request.gpu)
        self.precision = self.accelerator.precision(request.precision)
        self.peak = self.accelerator.peak(self.precision)
        self.price, self.notices = _price(request, self.accelerator, catalogue)

    def utilisation(self, params: float | None, *, moe: bool) -> Utilisation:
        """Return the given utilisation, or the default one for a model of ``params``."""
        from scaleplan.hardware.utilisation import Utilisation

        request = self.request
        if request.mfu is None:
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
                profile, _, goodput = self.catalogue.utilisations.profile(request.profile)
            found = Utilisation(mfu=request.mfu, goodput=goodput, profile=profile, source="given", band=None)
        return found if request.goodput is None else replace(found, goodput=request.goodput)

    def hours(self, utilisation: float) -> float:
        """Return the accelerator-hours of the budget."""
        request = self.request
        if request.gpu_hours is not None:
            return float(request.gpu_hours)
        if request.flops is not None:
            return request.flops / (self.peak * utilisation * _SECONDS_PER_HOUR)
        if request.cost_usd is not None:
            assert self.price is not None
            return request.cost_usd / self.price
        assert request.gpus is not None
        assert request.seconds is not None
        return request.gpus * request.seconds / _SECONDS_PER_HOUR

    def flops(self, utilisation: float) -> float:
        """Return the FLOP of the budget."""
        if self.request.flops is not None:
            return float(self.request.flops)
        flops = self.hours(utilisation) * _SECONDS_PER_HOUR * self.peak * utilisation
        if not 0 < flops < math.inf:
            raise UsageError(f"this budget comes to {flops:g} FLOP, beyond what can be planned")
        return flops

    def fund(self, utilisation: Utilisation) -> Funding:
        """Return the FLOP with their whole derivation."""
        from scaleplan.hardware.energy import Power
        from scaleplan.hardware.prices import CURRENCY

        request, hours = self.request, self.hours(utilisation.value)
        cost = (
            None
            if self.price is None
            else hours * self.price
            if request.cost_usd is None
            else float(request.cost_usd)
        )
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
            price_per_hour=self.price,
            energy_kwh=(request.power or Power()).kwh(hours, tdp_w=self.accelerator.tdp_w),
            utilisation_source=utilisation.source,
        )
        notices = (*self.notices, *utilisation.notices)
        return Funding(flops=self.flops(utilisation.value), budget=budget, notices=notices)


def _price(
    request: BudgetRequest, accelerator: Accelerator, catalogue: Catalogue
) -> tuple[float | None, tuple[Notice, ...]]:
    """Return the price per hour; None with the reason where nobody gave one and there is no default."""
    if isinstance(request.price, int | float):
        return float(request.price), ()
    from scaleplan.notices import Notice

    prices = catalogue.prices
    if request.price is not None:
        return prices.named(accelerator.id, request.price).usd_per_hour, ()
    default = prices.default(accelerator.id)
    if default is not None:
        return default.usd_per_hour, ()
    if request.cost_usd is not None:
        raise UsageError(f"--cost needs a price for {accelerator.id}", hint=prices.hint(accelerator.id))
    message = f"no cost is shown: there is no default price for {accelerator.id}; {prices.hint(accelerator.id)}"
    return None, (Notice(code="no_price", message=message),)
