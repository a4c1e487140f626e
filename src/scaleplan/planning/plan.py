"""Plans as frozen records whose fields are the JSON keys, and the warnings that they carry."""

from __future__ import annotations

import re
from dataclasses import field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, SupportsIndex, TypeVar, overload

from scaleplan.arrays import whole
from scaleplan.errors import Notice
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.constraints import constraint_keys
from scaleplan.presets.conventions import bits_per_byte, perplexity
from scaleplan.record import Record, Result, as_mapping, computed
from scaleplan.units import counted, format_count, format_factor, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scaleplan.hardware.budget import Budget
    from scaleplan.hardware.chances import LimitChance
    from scaleplan.laws.base import Law
    from scaleplan.planning.conflicts import BindingLimit
    from scaleplan.planning.training_run import TrainingRun
    from scaleplan.planning.uncertainty import Interval
    from scaleplan.presets.preset import LossText, Preset

__all__ = [
    "Converted",
    "NearOptimal",
    "Plan",
    "Plans",
    "Reference",
    "SizeErrors",
    "always",
    "budget_left",
    "edges",
    "in_whole_counts",
    "left_out",
    "of_several",
    "one_a_cause",
    "plan_notices",
    "preset_switched",
]


class NearOptimal(Record):
    """The sizes that cost at most ``compute_overhead`` more compute than the optimum, for the same loss."""

    compute_overhead: float
    params: tuple[float, float]


class SizeErrors(Record):
    """The compute that a model of half and of twice the optimal size wastes, as a fraction of what is needed."""

    half: float | None
    double: float | None


class Reference(Record):
    """The optimum that a plan away from it is measured against, at the same compute."""

    params: float
    tokens: float
    loss: float | None


class Converted(Record):
    """The size by another convention than the law's; None where it is unknown, for the reason in ``method``."""

    convention: str
    params: float | None
    method: str


def _perplexity_ends(plan: Plan) -> tuple[float, float] | None:
    ends = None if plan.interval is None else plan.interval.loss
    low, high = (perplexity(end, plan.loss_unit) for end in ends or (None, None))
    return None if low is None or high is None else (low, high)


def _bits_per_byte_ends(plan: Plan) -> tuple[float, float] | None:
    ends = None if plan.interval is None else plan.interval.loss
    low, high = (bits_per_byte(end, plan.loss_unit, plan.bytes_per_token) for end in ends or (None, None))
    return None if low is None or high is None else (low, high)


class Plan(Record, Result):
    """A model size and a number of training tokens for a budget, and what to expect of them.

    Units: ``params`` and ``tokens`` are counts, ``flops`` is total training compute in FLOP, losses are in
    ``loss_unit``; ``compute_overhead`` is the compute used over the least that reaches the same loss, minus 1.
    None means: not available, or not part of the question. A key that follows from others is ``computed``.
    ``loss_text`` is what a published law's loss was measured on, None for a law of the user's runs or without a loss.
    ``chances`` are those of keeping the limits on hours, days, money and energy, by quantity.
    A loss in nats per token is a ``perplexity`` too, and with ``bytes_per_token`` known it is ``bits_per_byte``.
    ``constraints`` holds the keys that constraints add, which are keys of the JSON form and attributes like the
    others.
    """

    schema: ClassVar[str] = "scaleplan/plan/1"

    preset: str
    form: str
    flops: float
    params: float
    tokens: float
    loss: float | None
    tokens_per_param: float | None = computed(
        lambda plan: (  # a saved plan may hold any numbers
            plan.tokens / plan.params if plan.params and plan.params_convention != "flops_per_token" else None
        )
    )
    params_convention: str
    flops_convention: str
    loss_unit: str
    converted: Converted | None
    interval: Interval[float] | None
    near_optimal: NearOptimal | None
    size_errors: SizeErrors | None
    optimum: Reference | None
    excess_loss: float | None
    compute_overhead: float | None
    budget: Budget
    binding: tuple[BindingLimit, ...] = ()
    constraints: Mapping[str, object] = field(default_factory=dict)
    blueprint: TrainingRun | None = None
    loss_text: LossText | None = None
    chances: Mapping[str, LimitChance] = field(default_factory=dict)
    perplexity: float | None = computed(lambda plan: perplexity(plan.loss, plan.loss_unit))
    perplexity_interval: tuple[float, float] | None = computed(_perplexity_ends)
    bytes_per_token: float | None = None
    bits_per_byte: float | None = computed(
        lambda plan: bits_per_byte(plan.loss, plan.loss_unit, plan.bytes_per_token)
    )
    bits_per_byte_interval: tuple[float, float] | None = computed(_bits_per_byte_ends)
    warnings: tuple[Notice, ...] = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  which keys there are is not known here
        """Return the key of a constraint, such as ``epochs``; None without that constraint."""
        if not name.startswith("_") and name != "constraints" and name in _constraint_keys():
            return self.constraints.get(name)
        return super().__getattr__(name)  # type: ignore[misc]

    def to_dict(self) -> dict[str, object]:
        """Return the plan as the flat mapping that ``--json`` prints, the keys of constraints among the others."""
        values: dict[str, object] = {"schema": self.schema}
        for item in fields(self):
            if item.name == "constraints":
                values |= {name: as_mapping(self.constraints.get(name)) for name in _constraint_keys()}
            else:
                values[item.name] = as_mapping(getattr(self, item.name))
        return values


def _constraint_keys() -> tuple[str, ...]:
    return tuple(key.name for key in constraint_keys())


def in_whole_counts(plan: Plan) -> Plan:
    """Return a plan with every count a whole number: those of its split are so already, but for their type."""
    kinds = {key.name: key.kind for key in constraint_keys()}
    return replace(
        plan,
        params=whole(plan.params),
        tokens=whole(plan.tokens),
        converted=None if plan.converted is None else _whole_fields(plan.converted, "params"),
        interval=None if plan.interval is None else _whole_fields(plan.interval, "params", "tokens"),
        near_optimal=None if plan.near_optimal is None else _whole_fields(plan.near_optimal, "params"),
        optimum=None if plan.optimum is None else _whole_fields(plan.optimum, "params", "tokens"),
        constraints={name: _whole_fact(value, kinds.get(name)) for name, value in plan.constraints.items()},
    )


_COUNTS = ("params", "tokens", "count")
"""The kinds of the keys that are counts, and the fields of records that are."""


def _whole_fact(value: object, kind: str | None) -> object:
    """Return the value of a constraint's key, in whole numbers where it is a count or a record with counts."""
    if is_dataclass(value) and not isinstance(value, type):
        return _whole_fields(value, *(item.name for item in fields(value) if item.name.endswith(_COUNTS)))
    return whole(value) if kind in _COUNTS and isinstance(value, float) else value


_Fields = TypeVar("_Fields")


def _whole_fields(record: _Fields, *names: str) -> _Fields:
    """Return a record with some of its fields, counts or pairs of them, in whole numbers."""
    values: dict[str, object] = {}
    for name in names:
        value = getattr(record, name)
        values[name] = tuple(map(whole, value)) if isinstance(value, tuple) else value and whole(value)
    return replace(record, **values)  # type: ignore[type-var]


class Plans(Record, Result):
    """Several plans, in the order of the request."""

    schema: ClassVar[str] = "scaleplan/plans/1"

    plans: tuple[Plan, ...]
    warnings: tuple[Notice, ...] = ()

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Plan: ...

    @overload
    def __getitem__(self, place: slice) -> Plans: ...

    def __getitem__(self, place: SupportsIndex | slice) -> Plan | Plans:
        """Return the plan at a place, or those of a slice."""
        if isinstance(place, slice):
            return Plans(plans=self.plans[place], warnings=self.warnings)
        return self.plans[place]

    def to_dict(self) -> dict[str, object]:
        """Return ``{"schema": …, "plans": [...], "warnings": [...]}``."""
        return {
            "schema": self.schema,
            "plans": [plan.to_dict() for plan in self.plans],
            "warnings": as_mapping(self.warnings),
        }


_NAMES = {"flops": "compute", "params": "model size", "tokens": "tokens", "tokens_per_param": "tokens per parameter"}

_WRITERS: Mapping[str, Callable[[float], str]] = {
    "flops": format_flops,
    "params": format_count,
    "tokens": format_count,
    "tokens_per_param": format_number,
}

_FORECAST_NAMES = ("flops", "tokens_per_param")  # the coordinates of its surface: size and tokens follow from them

_ABOVE, _BELOW = "above the largest", "below the smallest"

_WIDENS, _COMPARE = "which widens the intervals", "so see what other laws say with 'scaleplan compare'"


class Edge(NamedTuple):
    """One end of the range a law was fitted on, and the warning about a plan beyond it."""

    name: str
    value: float
    above: bool
    forecast: bool

    @property
    def code(self) -> str:
        """The code of the notice."""
        return f"extrapolated_{self.name}"

    @property
    def template(self) -> str:
        """The message, with slots for the plan's value and for the factor by which it leaves the range."""
        return (
            f"{_NAMES[self.name]} of %s is %s {_ABOVE if self.above else _BELOW} this law was fitted on "
            f"({_WRITERS[self.name](self.value)}): extrapolated, {_WIDENS if self.forecast else _COMPARE}"
        )

    def slots(self, value: float) -> tuple[str, str]:
        """Return what fills the template: the value, and by how much it lies beyond this end."""
        factor = value / self.value if self.above else self.value / value
        return _WRITERS[self.name](value), format_factor(factor)


_BEYOND = re.compile(
    rf"({'|'.join(_NAMES.values())}) of .+ is (\S+x) ({_ABOVE}|{_BELOW}) this law was fitted on .+, (.+)"
)
"""The message of an edge, of a plan or of one that was saved, from which the warnings of a cause are put together."""


def one_a_cause(notices: Iterable[Notice]) -> tuple[Notice, ...]:
    """Return warnings for a reader, one a cause: what leaves the range of a law in several quantities does so once.

    The one that takes the place of several has the code of the first of them.
    """
    kept: list[Notice] = []
    beyond: list[tuple[Notice, re.Match[str]]] = []
    for notice in notices:
        match = _BEYOND.fullmatch(notice.message) if notice.code.startswith("extrapolated_") else None
        if match is None:
            kept.append(notice)
            continue
        if not beyond:
            kept.append(notice)
        beyond.append((notice, match))
    if len(beyond) < 2:
        return tuple(kept)
    parts = []
    for side, end in ((_ABOVE, "of the largest run"), (_BELOW, "of the smallest")):
        found = [
            f"{match[2]} {'' if side == _ABOVE else 'below '}the {match[1].removeprefix('model ')}"
            for _, match in beyond
            if match[3] == side
        ]
        if found:
            parts.append(f"{', '.join(found[:-1])}{' and ' if found[1:] else ''}{found[-1]} {end}")
    first = beyond[0][0]
    way = "which widens the intervals" if beyond[0][1][4] == _WIDENS else "'scaleplan compare' shows other laws"
    message = f"beyond what this law was fitted on: {', '.join(parts)}; {way}"
    kept[kept.index(first)] = Notice(code=first.code, message=message)
    return tuple(kept)


def edges(preset: Preset) -> list[Edge]:
    """Return the ends of the fitted range that the preset states and that its plans are watched for."""
    found = []
    forecast = preset.forecast is not None
    for name in _FORECAST_NAMES if forecast else _NAMES:
        span = getattr(preset.range, name)
        if span is not None:
            found += [
                Edge(name, end, above=above, forecast=forecast)
                for end, above in zip(span, (False, True), strict=True)
            ]
    return found


def plan_notices(preset: Preset, values: Mapping[str, float | None]) -> tuple[Notice, ...]:
    """Return the warnings about a plan by this preset, given its quantities by the names of their keys."""
    notices = []
    for edge in edges(preset):
        value = values[edge.name]
        if value is not None and (value > edge.value if edge.above else value < edge.value):
            notices.append(Notice(code=edge.code, message=edge.template % edge.slots(value)))
    return (*notices, *always(preset, has_loss=values["loss"] is not None))


def always(preset: Preset, *, has_loss: bool) -> tuple[Notice, ...]:
    """Return the warnings about every plan by this preset."""
    notices = [Notice(code="caveat", message=caveat) for caveat in preset.caveats]
    if not has_loss:
        message = f"{preset.id} was fitted to optimal sizes only and has no loss; besiroglu-2024 has one"
        if isinstance(preset.law, LossSurface):
            way = "'scaleplan loss' gives that of any size and tokens, by another equation"
            message = f"{preset.id} allocates with the loss of its own optimal sizes only; {way}"
        elif knows_own_losses(preset.law):
            message = f"{preset.id} knows the loss of its own optimal sizes only; besiroglu-2024 has that of any"
        notices.insert(0, Notice(code="loss_unavailable", message=message))
    return tuple(notices)


def knows_own_losses(law: Law) -> bool:
    """Whether a law that has no loss for every size has that of its own optimal sizes."""
    return isinstance(law, Allocation) and law.frontier_loss(1.0) is not None


def of_several(plans: Plans) -> tuple[Notice, ...]:
    """Return the warnings about several plans together: how many leave the fitted range, how many do not fit."""
    kinds = (
        ("extrapolated", "extrapolated_", "leave", "the range their law was fitted on; --json says how far"),
        ("does_not_fit", "does_not_fit", "do", "not fit their GPUs by any layout; --json says why"),
    )
    found = []
    for code, start, verb, what in kinds:
        many = sum(any(notice.code.startswith(start) for notice in plan.warnings) for plan in plans)
        if many:
            does = verb if many > 1 else {"leave": "leaves", "do": "does"}[verb]
            found.append(Notice(code=code, message=f"{many} of {counted(len(plans), 'plan')} {does} {what}"))
    return (*plans.warnings, *found)


def budget_left(flops: float, used: float) -> Notice:
    """Warn that the limits keep the plan from spending its budget."""
    return Notice(
        code="budget_left",
        message=f"the limits leave {format_fraction(1 - used / flops)} of the budget unspent; relax them or lower "
        "the budget",
    )


def left_out(preset: str, reason: str) -> Notice:
    """Warn that a law is not among those compared."""
    return Notice(code="left_out", message=f"{preset} is left out: {reason}")


def preset_switched(preset: str, default: str | None) -> Notice:
    """Warn that a constraint brought its own law, and how to carry it over to the default one where that works."""
    message = f"the law is {preset}, on which this was measured"
    if default is not None:
        message += f"; --preset {default} carries it over to the default"
    return Notice(code="preset_switched", message=message)
