"""A question about a run: every option that the command line, Python and ``scaleplan.toml`` share, declared once.

:class:`Request` says of each option its kind of amount, its help and its group; the command line's options are
generated from it, and the typed keywords of Python below and the keys of a project's runs are checked against it.
"""

from __future__ import annotations

from dataclasses import field, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from scaleplan.errors import UsageError, quote
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.planning.constraints import options as constraint_options
from scaleplan.planning.problem import RULES
from scaleplan.record import Record
from scaleplan.units import exact, parse, parse_hours, parse_usd_per_hour
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scaleplan.models import Model
    from scaleplan.planning.context import Context
    from scaleplan.presets.preset import Preset

__all__ = [
    "SWEPT",
    "Amount",
    "ArrayWords",
    "BudgetWords",
    "ChosenWords",
    "ConversionWords",
    "GoalWords",
    "LawWords",
    "Request",
    "SweepWords",
    "option_names",
]

Amount = str | float
"""An amount as given: ``"1e21"``, ``"2.5 ZFLOP"``, or a number in the base unit."""

SWEPT = {"flops": "flops", "gpu_hours": "hours", "time": "seconds", "cost": "usd"}
"""The forms of a budget, which ``sweep`` can range over, each with its kind of quantity."""


def _option(
    group: str,
    kind: str,
    *,
    metavar: str = "",
    help: str = "",  # noqa: A002  the name of the field in the help
    flags: tuple[str, ...] = (),
    setting: bool = False,
    default: object = None,
) -> Any:  # noqa: ANN401  a field of whatever type it is declared with
    """Declare an option: ``kind`` names its parser; a ``setting`` may stand in the environment and settings files."""
    declared = {"group": group, "kind": kind, "metavar": metavar, "help": help, "flags": flags, "setting": setting}
    return field(default=default, metadata=declared)


class Request(Record):
    """Everything that a question about a run can say; None where the default decides.

    Amounts are in base units. ``constraints`` has the texts of the options that registered constraints declare.
    """

    gpu: str | None = _option(
        "hardware", "text", metavar="ID", help="Accelerator; 'scaleplan gpus list' shows them.", setting=True
    )
    mfu: float | None = _option(
        "hardware",
        "fraction",
        metavar="F",
        help="Model FLOP utilisation, 0.4 or 40%; by device and size if not given.",
        setting=True,
    )
    goodput: float | None = _option(
        "hardware", "fraction", metavar="F", help="Share of the paid time that trains.", setting=True
    )
    precision: str | None = _option(
        "hardware",
        "text",
        metavar="NAME",
        help="Precision of the matrix products: bf16, fp16, fp8, …",
        setting=True,
    )
    profile: str | None = _option(
        "hardware",
        "text",
        metavar="NAME",
        help="Utilisation to assume: benchmark, typical or end-to-end.",
        setting=True,
    )
    price: float | str | None = _option(
        "hardware",
        "usd_per_hour",
        metavar="USD/H",
        help="Price of one accelerator-hour, or the name of a price preset.",
        setting=True,
    )
    flops: float | None = _option(
        "budget", "flops", metavar="AMOUNT", help="Total training compute: 1e21, 2.5 ZFLOP, 500 PF-days."
    )
    gpu_hours: float | None = _option(
        "budget", "hours", metavar="AMOUNT", help="Accelerator-hours: 10k, '2k H100-hours'."
    )
    gpus: float | None = _option(
        "budget", "integer", metavar="N", help="Number of accelerators; a budget together with --time."
    )
    time: float | None = _option(
        "budget", "seconds", metavar="TIME", help="Wall-clock time on --gpus: 30d, 2 weeks, 36h."
    )
    cost: float | None = _option("budget", "usd", metavar="USD", help="Money for accelerators: 250k, '1.2M USD'.")
    preset: str | Preset | None = _option(
        "law",
        "text",
        metavar="NAME",
        help="Scaling law: an id, an alias or a .toml file; besiroglu-2024 if not given.",
        flags=("--preset", "-p"),
        setting=True,
    )
    level: float = _option(
        "law", "fraction", metavar="F", help="Confidence level of the intervals.", setting=True, default=0.9
    )
    overhead: float = _option(
        "law",
        "ratio",
        metavar="F",
        help="Compute overhead that still counts as near-optimal.",
        setting=True,
        default=0.05,
    )
    batch_regime: str | None = _option("python", "text")
    count: str | None = _option("python", "text")
    limit: tuple[str, ...] = _option(
        "limits",
        "texts",
        metavar="LIMIT",
        help="A limit, repeatable: 'params <= 70B', 'tokens_per_param >= 20', 'days <= 30', 'epochs <= 4'.",
        default=(),
    )
    params: float | None = _option("sides", "params", metavar="N", help="Fix the model size: 7B.")
    tokens: float | None = _option("sides", "tokens", metavar="D", help="Fix the training tokens: 1T.")
    model: Model | str | Path | Mapping[str, object] | None = _option(
        "run",
        "text",
        metavar="CONFIG",
        help="Fix the size by a config.json or its folder, counted as the law does.",
    )
    shape: bool = _option(
        "run",
        "flag",
        help="Draw the plan out: architecture, layout, steps, days, money, energy.",
        flags=("--shape",),
        default=False,
    )
    style: str | None = _option(
        "run", "text", metavar="NAME", help="Style of the architecture: llama, gpt2, qwen3, …"
    )
    context: Amount | None = _option("run", "raw", metavar="T", help="Tokens in a training sequence.")
    batch: float | None = _option(
        "run", "tokens", metavar="TOKENS", help="Tokens of a step; by a rule of thumb if not given."
    )
    region: str | None = _option(
        "run", "text", metavar="NAME", help="Country or cloud region, for the carbon of the run."
    )
    constraints: Mapping[str, Amount | None] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Mapping[str, Any], context: Context) -> Request:
        """Read the texts of a question's options.

        Raises
        ------
        TypeError
            For a word that is no option.
        QuantityError
            For an amount that cannot be read.
        UsageError
            When the accelerator-hours name another accelerator than ``gpu``.

        """
        known = {option.name for option in constraint_options()}
        unknown = words.keys() - _DECLARED.keys() - known
        if unknown:
            msg = f"unexpected keyword argument '{min(unknown)}'"
            raise TypeError(msg)
        values: dict[str, Any] = {
            name: _READ.get(_DECLARED[name]["kind"], _amount)(name, words[name]) for name in _given(words)
        }
        if isinstance(words.get("gpu_hours"), str):
            named = parse_hours(words["gpu_hours"])[1]
            if named is not None:
                _require_one_accelerator(words["gpu_hours"], named, values.get("gpu"), context)
                values["gpu"] = values.get("gpu") or named
        return cls(**values, constraints={name: words[name] for name in words if name in known})

    def changed(self, **values: Any) -> Request:  # noqa: ANN401  a value of any field
        """Return the request with some of its values, already read, replaced."""
        return replace(self, **values)

    def budget(self, **other: float | None) -> BudgetRequest:
        """Return the budget and its hardware; with ``other``, that form of budget in place of the one given."""
        forms = dict.fromkeys(SWEPT) | other if other else {}
        return BudgetRequest(**({name: getattr(self, name) for name in _BUDGET} | forms))

    def limits(self) -> tuple[Limit, ...]:
        """Return the limits on a plan; a fixed quantity is an equality.

        Raises
        ------
        UsageError
            For a limit on a quantity that cannot bound a plan, or at a confidence.

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
                found.append(limit)
        return tuple(found)


_DECLARED: dict[str, Mapping[str, Any]] = {item.name: item.metadata for item in fields(Request) if item.metadata}
_BUDGET = tuple(name for name, option in _DECLARED.items() if option["group"] in ("hardware", "budget"))


def option_names(*groups: str) -> tuple[str, ...]:
    """Return the names of the options of some groups, in the order of their declaration."""
    return tuple(name for name, option in _DECLARED.items() if option["group"] in groups)


def _given(words: Mapping[str, Any]) -> list[str]:
    return [name for name in _DECLARED if words.get(name) is not None]


def _amount(name: str, value: Amount) -> float:
    return parse(_DECLARED[name]["kind"], value)


def _price(_: str, value: Amount) -> float | str:
    """Return a price per hour, or the name of one: a text that starts with a letter names a price preset."""
    return value if isinstance(value, str) and value.strip()[:1].isalpha() else parse_usd_per_hour(value)


_READ = {
    "text": lambda _, value: value,
    "raw": lambda _, value: value,
    "flag": lambda _, value: bool(value),
    "texts": lambda _, value: tuple(value),
    "usd_per_hour": _price,
}
"""How an option whose text is not simply an amount is read, by kind."""


def _require_one_accelerator(text: str, named: str, gpu: str | None, context: Context) -> None:
    if gpu is not None and context.accelerators.get(named).id != context.accelerators.get(gpu).id:
        raise UsageError(f"{quote(text)} names {named}, and --gpu names {gpu}", hint="name one accelerator")


class ConstraintWords(TypedDict, total=False):
    """The constraints that come with the program; a registered one adds its own words."""

    unique_tokens: Amount | None
    compute_multiplier: Amount | None
    inference_tokens: Amount | None
    inference_mfu: Amount | None
    inference_price: Amount | None
    train_bits: Amount | None
    bits_weights: Amount | None
    bits_activations: Amount | None
    bits_kv: Amount | None
    ptq_bits: Amount | None
    fp_format: str | None
    quant_block: Amount | None
    moe_leverage: str | None
    experts: Amount | None
    max_memory: Amount | None
    kv_tokens: Amount | None
    granularity: Amount | None


class LawWords(ConstraintWords, total=False):
    """Which law, what stands between it and the plan, and how its answer is reported."""

    preset: str | Preset | None
    level: Amount
    overhead: Amount
    batch_regime: str | None
    count: str | None


class HardwareWords(TypedDict, total=False):
    """What the compute runs on."""

    gpu: str | None
    gpus: Amount | None
    mfu: Amount | None
    goodput: Amount | None
    precision: str | None
    profile: str | None
    price: Amount | None


class RunWords(TypedDict, total=False):
    """A concrete model, and how a plan is drawn out to a run."""

    model: Model | str | Path | Mapping[str, object] | None
    shape: bool
    style: str | None
    context: Amount | None
    batch: Amount | None
    region: str | None


class FormWords(TypedDict, total=False):
    """The forms of a budget."""

    flops: Amount | None
    gpu_hours: Amount | None
    time: Amount | None
    cost: Amount | None


class ChosenWords(LawWords, HardwareWords, RunWords, total=False):
    """What accompanies a model on its tokens."""


class GoalWords(LawWords, HardwareWords, total=False):
    """What accompanies a goal."""

    limit: Sequence[str] | None


class SweepWords(GoalWords, total=False):
    """What accompanies a range of budgets."""

    params: Amount | None
    tokens: Amount | None


class BudgetWords(SweepWords, RunWords, FormWords, total=False):
    """A budget and what accompanies it."""


class ConversionWords(HardwareWords, FormWords, total=False):
    """An amount to convert, and the hardware."""


class ArrayWords(LawWords, total=False):
    """What accompanies an array of budgets in FLOP."""

    params: Amount | None
    tokens: Amount | None
    limit: Sequence[str] | None
