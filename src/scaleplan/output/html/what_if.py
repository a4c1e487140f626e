"""What the page needs to plan again by itself: the law, its uncertainty, the limits, and the rates of the hardware.

The page computes with the same formulas as the program (``planner.js``), from coefficients and not from a table of
results. Everything is in raw units; an upper end of null is unbounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaleplan.hardware.budget import BAND_LEVEL
from scaleplan.laws.additive import Additive, DataConstrained, ReducedSurface, ThreeExponent
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.markup import Markup, element
from scaleplan.planning.constraints.inference import Inference
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.planning.constraints.repetition import R_PARAMS, R_TOKENS, RepeatedData
from scaleplan.planning.plan import edges
from scaleplan.planning.uncertainty import moved_laws, sigmas_of
from scaleplan.units import LEAST_COUNT, MOST_COUNT, SECONDS_PER_DAY, USD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.laws.base import Cost, Law
    from scaleplan.laws.forecast import Forecast
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.planning.request import Request
    from scaleplan.presets.preset import Preset

__all__ = ["WhatIf", "what_if", "what_if_section"]


@dataclass(frozen=True)
class WhatIf:
    """The question of a page as plain values (``data``), or in one line why the page cannot change it."""

    data: Mapping[str, object] | None = None
    refusal: str | None = None


def what_if(planner: Planner, request: Request, plan: Plan, *, command: str) -> WhatIf:
    """Return what the page needs to plan this question again; ``planner`` is the one on the plan's hardware.

    ``command`` asks the program the same, but for the budget and the price, which the page adds.
    """
    request = request.with_deadline()
    refusal = _refusal(planner, request)
    if refusal is not None:
        return WhatIf(refusal=refusal)
    preset, bounds = planner.preset, planner.bounds
    law, forecast = preset.law, preset.forecast
    assert isinstance(law, LossSurface)  # anything else is refused
    least, most = planner.supported_ratios
    computed = plan.budget.gpu is not None and not _open_devices(request)
    data: dict[str, object] = {
        "law": _coefficients(law if forecast is None else forecast.base),
        "forecast": None if forecast is None else _forecast(forecast),
        **_uncertainty(preset, planner.level),
        "cost": _cost(preset.cost),
        "inference": next(map(_served, planner.constraints.terms), None),
        "maps": [_map(quantity.on(law), scarce=quantity.scarcity) for quantity in planner.constraints.effective],
        "limits": [
            {"name": part.name, "quantity": part.quantity, "low": part.span.low, "high": _open(part.span.high)}
            for part in bounds.parts
        ],
        "ratios": [least, _open(most)],
        "largestRun": preset.range.flops[1] if preset.range.flops else None,
        "fitted": _fitted(preset),
        "least": LEAST_COUNT,
        "most": MOST_COUNT,
        "byHardware": planner.by_hardware,
        "hardware": _hardware(planner, request, plan) if computed else None,
    }
    data["command"] = command
    # a price beside owned hardware is no question of the program
    data["repricing"] = request.owned is None
    data["givenPrice"] = request.price is not None
    return WhatIf(data={**data, **_start(request, plan, on_hardware=computed, fixed=bounds.fixed)})


_WATCHED = {"flops": "flops", "params": "params", "tokens": "tokens", "tokens_per_param": "tokensPerParam"}
"""The quantities whose fitted range a plan is watched for, by their names in the page."""


def _fitted(preset: Preset) -> dict[str, list[float]]:
    """Return the two ends of the fitted range of each quantity that a plan is watched for."""
    found: dict[str, list[float]] = {}
    for edge in edges(preset):
        found.setdefault(_WATCHED[edge.name], []).append(edge.value)
    return found


def _refusal(planner: Planner, request: Request) -> str | None:
    """Return why the page cannot plan this question again; None where it can."""
    preset = planner.preset
    if planner.choices:
        return "this law leaves a quantity of its mixtures open, and each of its values is another law"
    if isinstance(preset.law, Allocation) or not isinstance(preset.law, LossSurface):
        return f"{preset.id} states the best split of a budget itself, and has no loss to weigh other splits by"
    if not preset.allocates or preset.line is not None:
        return f"{preset.id} must not choose how to split a budget"
    if _open_devices(request) and (planner.by_hardware or request.flops is None):
        return "the number of GPUs follows from the deadline, and with it what the budget buys"
    if preset.forecast is None and not isinstance(preset.law, Additive | ReducedSurface):
        return f"the page has no formula for a law of the form '{preset.form}'"
    return None


def _coefficients(law: Law) -> dict[str, object]:
    """Return a law as E + (A/N^alpha + B/D^beta)^gamma, which every law that splits a budget comes down to."""
    inner = law if isinstance(law, Additive) else law.reduced  # type: ignore[attr-defined]  # one of the two
    found: dict[str, object] = {**inner.coefficients(), "gamma": 1.0}
    if isinstance(law, ThreeExponent):
        found |= {"E": law.E, "gamma": law.gamma}
    if isinstance(law, DataConstrained):
        found["decays"] = [law.R_D, law.R_N]
    return found


def _forecast(forecast: Forecast) -> dict[str, object]:
    return {
        "span": forecast.span,
        "terms": forecast.terms,
        "weights": forecast.weights,
        "root": forecast.root,
        "noise": forecast.noise,
        "path": forecast.expansion_path(),
    }


def _uncertainty(preset: Preset, level: float) -> dict[str, object]:
    """Return the laws whose plans make the interval: along each direction of the covariance, or of each draw."""
    known = preset.uncertainty
    found: dict[str, object] = {"level": level, "sigmas": sigmas_of(level), "stretch": 1.0, "backtest": None}
    if known is None or preset.forecast is not None:
        return found
    found["stretch"] = sigmas_of(level, known.freedom) / sigmas_of(level)
    if known.backtest is not None:
        found["backtest"] = {"factors": known.backtest.factors, "rms": known.backtest.rms}
    if known.draws:
        return {**found, "draws": [_coefficients(preset.law_at(draw)) for draw in known.draws]}
    pairs = [[_coefficients(law) for law in pair] for pair in moved_laws(preset)]
    return {**found, "moved": {"centre": _coefficients(preset.law_at(preset.centre())), "pairs": pairs}}


def _cost(cost: Cost) -> dict[str, float]:
    return {
        "perParamToken": cost.per_param_token,
        "perToken": cost.per_token,
        "perParam": cost.per_param,
        "routing": cost.routing,
        "exponent": cost.exponent,
    }


def _served(term: object) -> dict[str, float | None]:
    """Return the demand that a budget pays for beside training."""
    assert isinstance(term, Inference)  # the one term there is
    return {"tokens": term.tokens, "mfu": term.mfu, "price": term.usd_per_hour}


def _map(effective: object, *, scarce: bool) -> dict[str, object]:
    """Return what nominal quantities count for."""
    if isinstance(effective, RepeatedData):
        return {"unique": effective.unique_tokens, "decays": [R_TOKENS, R_PARAMS], "scarce": scarce}
    assert isinstance(effective, Scaled)  # the two kinds of maps there are
    return {"most": effective.most, "scarce": scarce}


def _hardware(planner: Planner, request: Request, plan: Plan) -> dict[str, object]:
    """Return the rates of the hardware; the utilisation is a figure, or the rule by which it depends on the size."""
    budget = plan.budget
    rule = None
    if not request.fixes_speed:
        catalogue = planner.context
        devices = catalogue.accelerators.get(budget.gpu or "")
        found = catalogue.utilisations.rule(
            devices,
            precision=budget.precision,
            gpus=request.gpus,
            profile=request.profile,
            moe=planner.mixture,
        )
        rule = {
            "levels": found.levels,
            "waste": found.fixed_cost,
            "factors": found.factors,
            "digits": found.digits,
            "goodput": budget.goodput,
        }
    counted = 6 if planner.preset.conventions.params == "flops_per_token" else 1
    return {
        "gpu": budget.gpu,
        "gpus": budget.gpus,
        "peak": budget.peak_flops_per_s,
        "price": budget.price_per_hour,
        "utilisation": budget.utilisation,
        "rule": rule,
        "band": budget.band,
        "working": None if planner.model is None else planner.working_params(plan.params),
        "counted": counted,
    }


def _open_devices(request: Request) -> bool:
    """Whether the number of GPUs follows from a deadline, and so moves with the size and with the memory it takes."""
    return request.deadline is not None and request.gpus is None


def _start(request: Request, plan: Plan, *, on_hardware: bool, fixed: bool) -> dict[str, object]:
    """Return the controls of the page: the forms that the budget may have, with the amounts of the plan."""
    budget = plan.budget
    given = {
        "flops": request.flops,
        "gpu_hours": request.gpu_hours,
        "days": None if request.time is None else request.time / SECONDS_PER_DAY,
        "cost": request.cost,
    }
    taken = {"gpu_hours": budget.gpu_hours, "days": budget.days, "cost": budget.cost} if on_hardware else {}
    amounts = {"flops": plan.flops} | {form: amount for form, amount in taken.items() if amount is not None}
    form = next(name for name, amount in given.items() if amount is not None)
    return {
        "form": form,
        "amounts": {**amounts, form: given[form]},
        "price": budget.price_per_hour if on_hardware else None,
        "currency": budget.currency or USD,
        "shared": not fixed,
        "unpriced": budget.gpu is not None and not on_hardware,
        "bandLevel": BAND_LEVEL,
    }


def _open(end: float) -> float | None:
    return None if end == math.inf else end


_FORMS = {"flops": "FLOP", "gpu_hours": "GPU-hours", "days": "days", "cost": ""}
"""The units that a budget may be given in, by form; money is in the currency of the plan."""


def what_if_section(data: Mapping[str, Any]) -> list[Markup]:
    """Return the controls and the places of the results, which the page fills."""
    sliders = [_control("budget", "Budget", reach=1.5, before=_form_of_budget(data))]
    if data["shared"]:
        sliders.append(_control("share", "Tokens, in multiples of the optimal", reach=1.0))
    if data["price"] is not None:
        label = f"Price of a GPU-hour ({data['hardware']['gpu']}), in {data['currency']}"
        sliders.append(_control("price", label, reach=0.6))
    sentence = (
        "Move a slider or type a number: the page plans again by the same law, limits and rates, and computes what "
        "the program would. Training on more or fewer tokens than are optimal keeps the compute and changes the size."
    )
    if data["unpriced"]:
        sentence += " Hours and cost stay out of it: the number of GPUs follows from the deadline."
    return [
        element("p", sentence),
        element(
            "fieldset",
            element("legend", "The question"),
            *sliders,
            element("button", "Back to the plan", type_="button", id=f"{_ID}-reset"),
            class_="controls",
        ),
        element("p", id=f"{_ID}-problem", role="alert", class_="problem"),
        element("p", id=f"{_ID}-doubt", class_="problem"),
        element("output", id=f"{_ID}-summary", aria_live="polite", class_="summary"),
        element("dl", *_results(data), id=f"{_ID}-results", class_="tiles"),
        element("p", "The same from the program:", id=f"{_ID}-command-label"),
        element("pre", element("code"), id=f"{_ID}-command", tabindex="0", aria_labelledby=f"{_ID}-command-label"),
    ]


_ID = "what-if"


def _form_of_budget(data: Mapping[str, Any]) -> Markup:
    """Return the choice of the unit that the budget is given in."""
    ident = f"{_ID}-form"
    options = [
        element("option", _FORMS[form] or data["currency"], value=form, selected="" if form == data["form"] else None)
        for form in _FORMS
        if form in data["amounts"]
    ]
    return element(
        "span",
        element("label", "in", for_=ident),
        element("select", *options, id=ident, autocomplete="off"),
        class_="unit",
    )


def _control(name: str, label: str, *, reach: float, before: Markup | None = None) -> Markup:
    """Return a number and its slider, of so many powers of ten either way from the plan."""
    ident = f"{_ID}-{name}"
    return element(
        "div",
        element("label", label, for_=ident),
        before,
        element(
            "input",
            type_="number",
            id=ident,
            min="0",
            step="any",
            inputmode="decimal",
            autocomplete="off",
            aria_describedby=f"{_ID}-problem",
        ),
        element(
            "input",
            type_="range",
            id=f"{ident}-slider",
            min=-reach,
            max=reach,
            step="0.01",
            aria_label=f"{label.partition(',')[0]}, slider",
            autocomplete="off",
        ),
        class_="control",
    )


def _results(data: Mapping[str, Any]) -> Iterator[Markup]:
    """Yield a tile for each quantity."""
    tiles = {
        "params": "parameters",
        "tokens": "tokens",
        "tokensPerParam": "tokens per parameter",
        "loss": "loss",
        "excessLoss": "loss above the optimum",
        "flops": "training compute",
    }
    if data["hardware"] is not None:
        tiles["gpuHours"] = "GPU-hours"
        tiles |= {"days": "time"} if data["hardware"]["gpus"] is not None else {}
        tiles |= {"cost": "cost"} if data["price"] is not None else {}
    for name, label in tiles.items():
        value = element("data", id=f"{_ID}-value-{name}", class_="value", value="")
        place = element("span", id=f"{_ID}-range-{name}", class_="range")
        yield element("div", element("dt", label), element("dd", value, element("br"), place))
