"""The request for a plan: every option that the command line, Python and ``scaleplan.toml`` share, declared once.

:class:`Request` gives each option its kind of amount, its help and its group; the command line's options are
generated from it, and the typed keywords of Python below and the keys of a project's runs are checked against it.
"""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from scaleplan.errors import UsageError, quote, unexpected_keyword
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.planning.constraints import ConstraintKeywords, constraint_options
from scaleplan.planning.problem import RULES
from scaleplan.record import option
from scaleplan.units import (
    exact,
    format_flops,
    parse,
    parse_exchange_rate,
    parse_hours,
    parse_usd,
    parse_usd_per_hour,
    parse_usd_per_kwh,
    stated_currency,
)
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scaleplan.models import Model
    from scaleplan.planning.context import Context
    from scaleplan.presets.preset import Preset
    from scaleplan.units import Amount, ExchangeRate

__all__ = [
    "RIVALS",
    "SETTINGS",
    "SWEPT",
    "ArrayKeywords",
    "BudgetKeywords",
    "ChosenKeywords",
    "ConversionKeywords",
    "GoalKeywords",
    "LaunchKeywords",
    "LimitedKeywords",
    "QuestionKeywords",
    "Request",
    "SweepKeywords",
    "option_names",
    "parse_budget",
    "parse_price",
]

SWEPT = {"flops": "flops", "gpu_hours": "hours", "time": "seconds", "cost": "usd"}
"""The forms of a budget, over which ``sweep`` can range, each with its kind of quantity."""


class Request(BudgetRequest):
    """Every option of a question about a run; None where the default decides.

    The budget and its hardware come first. Amounts are in base units. ``constraints`` has the texts of the options
    that registered constraints declare.
    """

    preset: str | Preset | None = option(
        "law",
        "text",
        metavar="NAME",
        help="Scaling law, a name or .toml file; else besiroglu-2024.",
        flags=("--preset", "-p"),
        setting=True,
        everyday=True,
    )
    level: float = option(
        "law", "fraction", metavar="F", help="Confidence level of the intervals.", setting=True, default=0.9
    )
    overhead: float = option(
        "law",
        "ratio",
        metavar="F",
        help="Compute overhead that still counts as near-optimal.",
        setting=True,
        default=0.05,
    )
    batch_regime: str | None = option(
        "law",
        "text",
        metavar="NAME",
        help="Batch of a law that tells them apart, as kaplan-2020: critical or small.",
    )
    bytes_per_token: float | None = option(
        "law", "number", metavar="F", help="Bytes of text in a token, for the loss in bits per byte: 4.3."
    )
    count: str | None = option(
        "python", "text", help="Convention to convert sizes to: total or non_embedding; none if not given."
    )
    limit: tuple[str, ...] = option(
        "limits",
        "texts",
        metavar="LIMIT",
        help="A limit, repeatable: 'params <= 70B', 'days <= 30'. Also 'tokens_per_param >= 20', 'epochs <= 4'.",
        default=(),
        everyday=True,
    )
    params: float | None = option("sides", "params", metavar="N", help="Fix the model size: 7B.", everyday=True)
    tokens: float | None = option("sides", "tokens", metavar="D", help="Fix the training tokens: 1T.", everyday=True)
    model: Model | str | Path | Mapping[str, object] | None = option(
        "run",
        "text",
        metavar="CONFIG",
        help="Fix the size by a config.json or a published model's name. A folder will do; counted as the law does.",
        everyday=True,
    )
    shape: bool = option(
        "run",
        "flag",
        help="Draw the plan out: architecture, layout, days, energy, …",
        flags=("--shape",),
        default=False,
        everyday=True,
    )
    style: str | None = option("run", "text", metavar="NAME", help="Style of the architecture: llama, gpt2, qwen3, …")
    context: Amount | None = option(
        "run",
        "raw",
        metavar="T",
        help="Tokens in a training sequence. 2,048 if not given, or the model's own if that is less.",
        everyday=True,
    )
    batch: float | None = option(
        "run", "tokens", metavar="TOKENS", help="Tokens of a step. By a rule of thumb if not given."
    )
    region: str | None = option(
        "run", "text", metavar="NAME", help="Country or cloud region, for the carbon of the run.", everyday=True
    )
    margins: str | None = option(
        "memory",
        "text",
        metavar="LIST",
        help="What to leave free of a GPU: 'reserve=2GB, usable=92%'. "
        "Of 'states=80%, activations=1, reserve=2GB, usable=92%' any part.",
    )
    constraints: Mapping[str, Amount | None] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping[str, Any], context: Context) -> Request:
        """Read the texts of options.

        Raises TypeError for a keyword that is no option; QuantityError for an amount that cannot be read; UsageError
        when the GPU-hours name another GPU than ``gpu``.
        """
        known = {each.name for each in constraint_options()}
        unknown = options.keys() - _DECLARED.keys() - known
        if unknown:
            raise unexpected_keyword(min(unknown), (*_DECLARED, *known))
        values: dict[str, Any] = {}
        rate = None if options.get("exchange_rate") is None else parse_exchange_rate(options["exchange_rate"])
        for name, declared in _DECLARED.items():
            if options.get(name) is not None:
                values[name] = _value_of(declared["kind"], options[name], rate)
        if "gpu_hours" in values:
            values["gpu_hours"], named = values["gpu_hours"]
            if named is not None:
                _require_one_accelerator(options["gpu_hours"], named, values.get("gpu"), context)
                values["gpu"] = values.get("gpu") or named
        constraints = {name: options[name] for name in options if name in known}
        for each in constraint_options():
            if each.money and constraints.get(each.name) is not None:
                constraints[each.name] = parse_usd_per_hour(constraints[each.name], rate)
        return cls(**values, constraints=constraints)

    def changed(self, **values: Any) -> Request:  # noqa: ANN401  a value of any field
        """Return the request with some of its values, already read, replaced."""
        return replace(self, **values)

    def paying(self, flops: float | None) -> Request:
        """Return the request with a budget in FLOP, or with none, in place of the one given."""
        return self.changed(**dict.fromkeys(SWEPT) | {"flops": flops})

    def source(self) -> str:
        """Return the form of the budget; a size and its tokens in place of one are the error that says how."""
        unpaid = all(getattr(self, form) is None for form in SWEPT)
        if unpaid and self.tokens is not None and (self.params or self.model):
            flops = None if self.params is None else format_flops(6 * self.params * self.tokens).split()[0]
            compute = "" if flops is None else f", such as --flops {flops}"
            raise UsageError(
                "a size and its tokens are no budget",
                hint=f"'scaleplan loss' answers for them; else drop --tokens and give its compute{compute}",
            )
        return super().source()

    @property
    def step_tokens(self) -> float | None:
        """The tokens of a step that the request gives."""
        return self.batch

    def limits(self) -> tuple[Limit, ...]:
        """Return the limits on a plan; a fixed quantity is an equality.

        Raises UsageError for a limit on a quantity that cannot bound a plan, or at a confidence.
        """
        found = [
            Limit(name, "=", value, None, f"{name} = {exact(name, value)}")
            for name in ("params", "tokens")
            if (value := getattr(self, name)) is not None
        ]
        for text in self.limit:
            for limit in parse_limit(text):
                if limit.quantity not in RULES:
                    raise UsageError(
                        f"{quote(text)} cannot bound a plan", hint=f"quantities that can: {', '.join(RULES)}"
                    )
                if limit.level is not None:
                    raise UsageError(
                        f"{quote(text)} is a limit at a confidence", hint="a plan is bounded by estimates"
                    )
                found.append(limit.counted_in(self.exchange_rate))
        return tuple(found)


_DECLARED: dict[str, Mapping[str, Any]] = {item.name: item.metadata for item in fields(Request) if item.metadata}


def option_names(*groups: str) -> tuple[str, ...]:
    """Return the names of the options of some groups, in the order of their declaration."""
    return tuple(name for name, declared in _DECLARED.items() if declared["group"] in groups)


SETTINGS = ("preset", *option_names("hardware"), "level", "format", "color")
"""The options that ``[defaults]`` of a settings file may set, by their long names."""


RIVALS: Mapping[str, tuple[str, ...]] = {
    "measured": ("mfu", "profile"),
    "mfu": ("measured",),
    "profile": ("measured",),
    "goodput": ("interruptions",),
    "interruptions": ("goodput",),
    "price": ("owned", "power_price"),
    "owned": ("price",),
    "power_price": ("price",),
}
"""Options that exclude each other: one that is given wins over a setting of the other."""


def parse_budget(form: str, value: Amount, rate: ExchangeRate | None = None) -> float:
    """Return a budget of one of the forms :data:`SWEPT`; money in the currency of a rate."""
    return parse_usd(value, rate) if form == "cost" else parse(SWEPT[form], value)


def parse_price(value: Amount, rate: ExchangeRate | None = None) -> float | str:
    """Return a price per hour, or the name of one: a text that starts with a word that is no currency."""
    words: list[str] = value.split() if isinstance(value, str) else []
    named = bool(words) and words[0][0].isalpha() and stated_currency(words[0]) is None
    return str(value) if named else parse_usd_per_hour(value, rate)


def _value_of(kind: str, value: Any, rate: ExchangeRate | None) -> Any:  # noqa: ANN401  of whatever type the option is
    """Return the value of an option of a kind; money in the currency of a rate."""
    if kind in _MONEY:
        return _MONEY[kind](value, rate)
    read = _READ.get(kind)
    return parse(kind, value) if read is None else read(value)


_MONEY: Mapping[str, Callable[[Any, ExchangeRate | None], Any]] = {
    "usd": parse_usd,
    "usd_per_hour": parse_price,
    "usd_per_kwh": parse_usd_per_kwh,
}
"""How an option that is money is read, by kind."""


_READ: Mapping[str, Callable[[Any], Any]] = {
    "text": lambda value: value,
    "raw": lambda value: value,
    "flag": bool,
    "texts": lambda value: (value,) if isinstance(value, str) else tuple(value),
    "hours": parse_hours,
    "exchange_rate": parse_exchange_rate,
}
"""How an option whose text is not simply an amount is read, by kind."""


def _require_one_accelerator(text: str, named: str, gpu: str | None, context: Context) -> None:
    if gpu is not None and context.accelerators.get(named).id != context.accelerators.get(gpu).id:
        raise UsageError(f"{quote(text)} names {named}, and --gpu names {gpu}", hint="name one GPU")


class LawKeywords(ConstraintKeywords, total=False):
    """The law, the constraints between it and the plan, and the report of its uncertainty."""

    preset: str | Preset | None
    level: Amount
    overhead: Amount
    batch_regime: str | None
    bytes_per_token: Amount | None
    count: str | None


class HardwareKeywords(TypedDict, total=False):
    """The hardware of the compute."""

    gpu: str | None
    gpus: Amount | None
    mfu: Amount | None
    goodput: Amount | None
    precision: str | None
    profile: str | None
    measured: str | None
    pue: Amount | None
    price: Amount | None
    owned: str | None
    power_price: Amount | None
    exchange_rate: str | None
    interruptions: str | None


class RunKeywords(TypedDict, total=False):
    """A concrete model, and the training run of a plan."""

    model: Model | str | Path | Mapping[str, object] | None
    shape: bool
    style: str | None
    context: Amount | None
    batch: Amount | None
    region: str | None
    margins: str | None


class FormKeywords(TypedDict, total=False):
    """The forms of a budget."""

    flops: Amount | None
    gpu_hours: Amount | None
    time: Amount | None
    cost: Amount | None


class KeepingKeywords(TypedDict, total=False):
    """The time and the money that a run is to keep."""

    time: Amount | None
    cost: Amount | None


class ChosenKeywords(LawKeywords, HardwareKeywords, RunKeywords, KeepingKeywords, total=False):
    """The options beside a size and its tokens."""


class LimitedKeywords(LawKeywords, HardwareKeywords, total=False):
    """The options of plans within limits."""

    limit: Sequence[str] | None


class GoalKeywords(LimitedKeywords, KeepingKeywords, total=False):
    """The options beside a goal."""


class SweepKeywords(LimitedKeywords, total=False):
    """The options beside a range of budgets."""

    params: Amount | None
    tokens: Amount | None


class QuestionKeywords(SweepKeywords, FormKeywords, total=False):
    """A budget, or a size and its tokens, and the options beside them, without those of a concrete run."""


class BudgetKeywords(SweepKeywords, RunKeywords, FormKeywords, total=False):
    """A budget and the options beside it."""


class LaunchKeywords(TypedDict, total=False):
    """The shape of the runs of a ladder, their machine and its price."""

    gpu: str | None
    gpus: Amount | None
    mfu: Amount | None
    price: Amount | None
    exchange_rate: str | None
    style: str | None
    context: Amount | None


class ConversionKeywords(HardwareKeywords, FormKeywords, total=False):
    """An amount to convert, and the hardware."""


class ArrayKeywords(LawKeywords, total=False):
    """The options beside an array of budgets in FLOP."""

    params: Amount | None
    tokens: Amount | None
    limit: Sequence[str] | None
