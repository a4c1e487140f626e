"""Evaluate any law at given values: a loss, an optimal size, an accuracy, whatever its form relates."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.arrays import whole
from scaleplan.errors import Notice, UnknownNameError, UsageError
from scaleplan.planning.context import Context
from scaleplan.planning.plan import plan_notices
from scaleplan.planning.posterior import loss_intervals
from scaleplan.planning.uncertainty import interval, require_level
from scaleplan.presets.conventions import bits_per_byte, perplexity
from scaleplan.record import Record, Result
from scaleplan.units import parse, parse_fraction, parse_positive
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import SupportsFloat

    from scaleplan.laws.base import Law, Relation
    from scaleplan.presets.preset import LossText, Preset

    Given = str | SupportsFloat | Sequence[str | SupportsFloat]

__all__ = ["Evaluation", "evaluate"]

_MOST_RATES = 10_000_000
_SHARES = ("error", "accuracy")
_POSITIVE = (*_SHARES, "loss")  # a law far outside its range may say otherwise


class ValueInterval(Record):
    """The central interval of a value, (low, high), at a confidence level."""

    level: float
    value: tuple[float, float]


class Evaluation(Result, Record):
    """One quantity of a law at the given inputs, in base units, by the law's own conventions.

    ``unit`` is None for a pure number; ``others`` names what else the law gives of the same inputs.
    """

    schema: ClassVar[str] = "scaleplan/evaluation/1"

    preset: str
    form: str
    formula: str
    inputs: Mapping[str, float | tuple[float, ...]]
    quantity: str
    value: float
    unit: str | None
    params_convention: str
    flops_convention: str
    others: tuple[str, ...]
    interval: ValueInterval | None
    loss_text: LossText | None = None
    warnings: tuple[Notice, ...]
    perplexity: float | None = None
    perplexity_interval: tuple[float, float] | None = None
    bytes_per_token: float | None = None
    bits_per_byte: float | None = None
    bits_per_byte_interval: tuple[float, float] | None = None


def evaluate(
    preset: str | Preset,
    /,
    *,
    quantity: str | None = None,
    level: str | float = 0.9,
    bytes_per_token: str | float | None = None,
    **values: Given,
) -> Evaluation:
    """Return a quantity of a law at the values of its inputs.

    Parameters
    ----------
    preset
        The law: an id, an alias, a ``.toml`` file or a loaded preset.
    quantity
        What to evaluate, where the law gives several quantities of the same inputs; the first if not given.
    level
        Confidence level of the interval, between 0 and 1.
    bytes_per_token
        Bytes of text in a token, for a loss in bits per byte.
    values
        The inputs, as texts (``"7B"``) or numbers in base units; ``rates`` is a sequence.

    Raises
    ------
    UnknownNameError
        For a preset, a quantity or an input that does not exist.
    UsageError
        For inputs that are missing, and for values at which the law is not defined.

    Examples
    --------
    >>> import scaleplan as sp
    >>> round(sp.evaluate("besiroglu-2024", params="7B", tokens="2T").value, 3)
    2.065

    """
    law = Context().preset(preset)
    if bytes_per_token is not None:
        law = law.with_bytes_per_token(parse_positive(bytes_per_token))
    confidence = require_level(parse_fraction(level))
    relations = law.law.relations()
    at = _choose(law, relations, quantity, list(values))
    relation = relations[at]
    inputs = {
        name: _parse(relation, name, values[name]) if name in values else relation.defaults[name]
        for name in relation.inputs
    }

    def value(moved: Law) -> float:
        try:
            result = moved.relations()[at].value(**inputs)
        except (ArithmeticError, ValueError):  # an overflow, or a logarithm of what is not above 0
            result = None
        # a root of what is below 0 is complex
        real = isinstance(result, float) and math.isfinite(result)
        wrong = result is None or not real or (relation.quantity in _POSITIVE and result < 0)
        if result is None or wrong or (relation.quantity == "loss" and result == 0):
            raise UsageError(f"preset '{law.id}' has no {relation.quantity} at these values", hint=law.law.formula)
        return result

    _require_determined(law, inputs)
    result = value(law.law)
    known = _range_values(law, inputs, relation.quantity, result)
    factor = _beyond(law, known, inputs)
    given = {name for name in relation.inputs if name in values}
    span = _interval(law, value, relation.quantity, inputs, level=confidence, factor=factor)
    return Evaluation(
        preset=law.id,
        form=law.form,
        formula=law.law.formula,
        inputs={name: _counted(name, item) if isinstance(item, float) else item for name, item in inputs.items()},
        quantity=relation.quantity,
        value=_counted(relation.quantity, result),
        unit=_unit(law, relation.quantity),
        params_convention=law.conventions.params,
        flops_convention=law.conventions.flops,
        others=tuple(dict.fromkeys(item.quantity for item in _possible(relations, given) if item is not relation)),
        interval=span,
        loss_text=law.loss_text if relation.quantity == "loss" else None,
        warnings=(*_unknown_range(law), *plan_notices(law, {**known, "loss": result})),
        **(_other_forms(law, result, span) if relation.quantity == "loss" else {}),
    )


def _other_forms(preset: Preset, loss: float, span: ValueInterval | None) -> dict[str, Any]:
    """Return the fields of a loss in other units, with their intervals."""
    unit, size = preset.conventions.loss, preset.conventions.bytes_per_token
    low, high = (None, None) if span is None else span.value
    ends = {
        "perplexity_interval": (perplexity(low, unit), perplexity(high, unit)),
        "bits_per_byte_interval": (bits_per_byte(low, unit, size), bits_per_byte(high, unit, size)),
    }
    return {
        "perplexity": perplexity(loss, unit),
        "bytes_per_token": size,
        "bits_per_byte": bits_per_byte(loss, unit, size),
        **{name: None if None in pair else pair for name, pair in ends.items()},
    }


def _is_count(name: str) -> bool:
    """Return whether a quantity is a number of things, by its name."""
    return name.endswith(("params", "tokens", "steps")) or name == "experts"


def _counted(name: str, value: float) -> float:
    """Return a value, as a whole number where it is a count."""
    return whole(value) if _is_count(name) else value


def _beyond(
    preset: Preset, known: Mapping[str, float | None], inputs: Mapping[str, float | tuple[float, ...]]
) -> float:
    """Return by how much the compute exceeds what the law was fitted on, or the one input of a curve."""
    names = [name for name in ("params", "tokens") if name in inputs] if len(inputs) == 1 else []
    for name in (*names, "flops"):
        span, value = getattr(preset.range, name), known[name]
        if span is not None and value is not None:
            return value / span[1]
    return 1.0


def _require_determined(preset: Preset, inputs: Mapping[str, float | tuple[float, ...]]) -> None:
    """Refuse inputs off the line on which alone a law is determined; raises UsageError."""
    if preset.line is None:
        return
    params, tokens = inputs.get("params"), inputs.get("tokens")
    if not isinstance(params, float) or not isinstance(tokens, float):
        raise UsageError(
            f"preset '{preset.id}' is determined along {preset.line} alone, and this leaves that line",
            hint="give params and tokens",
        )
    preset.require_on_line(params, tokens)


def _possible(relations: Sequence[Relation], given: Collection[str]) -> list[Relation]:
    """Return the relations for which exactly the given inputs are enough."""
    return [item for item in relations if set(item.inputs) - set(item.defaults) <= set(given) <= set(item.inputs)]


def _choose(preset: Preset, relations: Sequence[Relation], quantity: str | None, given: list[str]) -> int:
    """Return the index of the first relation that gives ``quantity`` of the given inputs."""
    wanted = [item for item in relations if quantity in (None, item.quantity)]
    if not wanted:
        raise UnknownNameError("quantity", str(quantity), dict.fromkeys(item.quantity for item in relations))
    if found := _possible(wanted, given):
        return relations.index(found[0])
    names = dict.fromkeys(name for item in wanted for name in item.inputs)
    for name in given:
        if name not in names:
            raise UnknownNameError("input", name, names)
    usable = [item for item in wanted if set(given) <= set(item.inputs)]
    ways: dict[str, list[str]] = {}
    for item in usable or wanted:
        ways.setdefault(_call(item), []).append(item.quantity)
    hint = "it gives " + "; ".join(f"{', '.join(found)} of {call}" for call, found in ways.items())
    if not given:
        raise UsageError(f"there are no values to evaluate preset '{preset.id}' at", hint=hint)
    if not usable:
        raise UsageError(f"preset '{preset.id}' gives nothing of {' and '.join(given)} together", hint=hint)
    missing = {tuple(n for n in item.inputs if n not in given and n not in item.defaults) for item in usable}
    least = min(map(len, missing))
    needed = " or ".join(" and ".join(names) for names in sorted(missing) if len(names) == least)
    raise UsageError(f"preset '{preset.id}' also needs {needed}", hint=hint)


def _unknown_range(preset: Preset) -> tuple[Notice, ...]:
    """Warn that nothing can warn of extrapolation, where the preset states no range."""
    if any(getattr(preset.range, item.name) is not None for item in fields(preset.range)):
        return ()
    message = f"{preset.id} states no range that it was fitted on: a value far outside it looks like any other"
    return (Notice(code="range_unknown", message=message),)


def _call(relation: Relation) -> str:
    return " ".join(f"[{name}=…]" if name in relation.defaults else f"{name}=…" for name in relation.inputs)


def _parse(relation: Relation, name: str, given: Given) -> float | tuple[float, ...]:
    kind = relation.kinds.get(name) or QUANTITIES.get(name, "number")
    if kind == "rates":
        return _parse_rates(given)
    if not isinstance(given, str) and not hasattr(given, "__float__"):
        raise UsageError(f"{name} is one number, not several")
    if kind != "share":
        return float(parse(kind, given))
    share = 0.0 if str(given).strip() in ("0", "0.0", "0%") else parse_fraction(given)
    return float(share)


def _parse_rates(given: Given) -> tuple[float, ...]:
    """Return learning rates step by step: ``'3e-4*1000 1e-4*200'`` is 1,000 steps at the one, 200 at the other."""
    items = given.split() if isinstance(given, str) else given
    if not hasattr(items, "__iter__"):
        items = (items,)
    rates: list[float] = []
    for item in items:
        rate, star, count = item.partition("*") if isinstance(item, str) else (item, "", "")
        steps = int(parse("integer", count)) if star else 1
        if len(rates) + steps > _MOST_RATES:
            raise UsageError(f"a schedule has at most {_MOST_RATES:,} steps")
        rates += [float(parse("number", rate))] * steps
    if not rates:
        raise UsageError("there are no learning rates", hint="for example rates='3e-4*1000 1e-4*200'")
    return tuple(rates)


def _range_values(
    preset: Preset, inputs: Mapping[str, float | tuple[float, ...]], quantity: str, value: float
) -> dict[str, float | None]:
    """Return the quantities that the preset states a range for, as far as inputs and result determine them."""
    known = {**inputs, quantity: value}
    found = {name: known.get(name) for name in ("flops", "params", "tokens", "tokens_per_param")}
    numbers = {name: item if isinstance(item, float) else None for name, item in found.items()}
    params, tokens = numbers["params"], numbers["tokens"]
    if params and tokens:
        numbers["flops"] = preset.cost.flops(params, tokens)
        if preset.conventions.params != "flops_per_token":
            numbers["tokens_per_param"] = tokens / params
    # what overflows or vanishes lies in no range, and no factor says how far
    return {name: value if value and math.isfinite(value) else None for name, value in numbers.items()}


def _unit(preset: Preset, quantity: str) -> str | None:
    if quantity == "loss":
        return preset.conventions.loss if preset.conventions.loss != "not stated" else None
    if quantity == "params" and preset.conventions.params == "flops_per_token":
        return "FLOP per token"
    if quantity.endswith("params"):
        return "parameters"
    return "tokens" if "tokens" in quantity else {"flops": "FLOP", "steps": "steps"}.get(quantity)


def _interval(
    preset: Preset,
    value: Callable[[Law], float],
    quantity: str,
    inputs: Mapping[str, float | tuple[float, ...]],
    *,
    level: float,
    factor: float,
) -> ValueInterval | None:
    """Return the interval by the planner's method: what is positive by its logarithm, all else as it is."""
    if preset.forecast is not None:
        params, tokens = inputs["params"], inputs["tokens"]
        assert isinstance(params, float)
        assert isinstance(tokens, float)
        one_run, _ = loss_intervals(preset.forecast, (params, tokens), value(preset.law), level=level)
        return ValueInterval(level=level, value=one_run)
    if preset.uncertainty is None:
        return None
    if quantity.endswith(("params", "tokens")):
        found = interval(preset, lambda law: (value(law), 1.0, None), level=level, factor=factor)
        ends = found.params if found else None
    else:  # backtests measured errors of the loss alone
        signed = quantity != "loss"
        found = interval(preset, lambda law: (1.0, 1.0, value(law)), level=level, factor=factor, signed=signed)
        ends = found.loss if found else None
    if ends is None:
        return None
    if quantity in _SHARES and 0 <= value(preset.law) <= 1:
        ends = max(ends[0], 0.0), min(ends[1], 1.0)
    low, high = ends
    return ValueInterval(level=level, value=(_counted(quantity, low), _counted(quantity, high)))
