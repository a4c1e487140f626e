"""The loss that a run was planned to end at: by a saved plan, a law, a registered forecast, or smaller runs.

Only what was measured like the run itself judges it: a law fitted to the user's runs, a registered forecast or
smaller runs of the recipe. The loss of a published law is of another text and tokenizer, and stands beside alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scaleplan.errors import FileError, Notice, ScaleplanError, UsageError, quote
from scaleplan.files import read_text
from scaleplan.logs.log_reading import is_log
from scaleplan.planning.on_hardware import plan_run
from scaleplan.planning.plan import Plan
from scaleplan.planning.request import Request
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.presets.preset import NOT_STATED
from scaleplan.record import Record
from scaleplan.tables.frames import source_name
from scaleplan.tables.loss_units import LOSS_UNITS
from scaleplan.tracking.registered import LossInterval, RegisteredForecast, changed_error, content_hash
from scaleplan.units import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.planning.context import Context
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike

__all__ = [
    "Metric",
    "PlanSource",
    "Planned",
    "in_unit",
    "of_run",
    "planned_by_law",
    "planned_by_runs",
    "planned_in",
]

Metric = Literal["training", "validation"]

PlanKind = Literal["law", "plan", "forecast", "pilots"]

_MOST_BYTES = 64_000_000  # as for every saved result

_FITTING = "scaleplan.fitting.fit"
"""Half a second of imports, for a law through smaller runs alone."""

_AGAIN = "save it with 'scaleplan optimal … --json', or 'scaleplan loss … --json'"

_NATS = ("nats", "nats per token")
"""What ``nats/token`` is called in laws, too."""

_PUBLISHED = "it is published, and its loss of another text and tokenizer"


class PlanSource(Record):
    """Where a planned loss comes from, and whether it ``judges`` the run; ``reason`` says why not."""

    kind: PlanKind
    name: str
    judges: bool
    reason: str | None = None


class Planned(Record):
    """A planned loss with its interval, and what the same source says of the run and its hardware.

    Plans are of the validation loss; only smaller runs without one are compared by their ``metric``, the training
    loss. ``unit`` is that of the loss, as laws name it.
    """

    source: PlanSource
    loss: float
    unit: str = "nats/token"
    metric: Metric = "validation"
    interval: LossInterval | None = None
    params: float | None = None
    tokens: float | None = None
    gpu: str | None = None
    gpus: float | None = None
    mfu: float | None = None
    precision: str | None = None
    price: float | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def sd(self) -> float:
        """The standard deviation of ln loss; 0 where no interval is known."""
        if self.interval is None:
            return 0.0
        low, high = self.interval.loss
        return math.log(high / low) / (2 * sigmas_of(self.interval.level)) if 0 < low < high else 0.0


def planned_by_law(
    preset: str | Preset, *, params: float | None, tokens: float | None, level: float, context: Context
) -> Planned:
    """Return the loss of a law at the size and the tokens of a run.

    Raises UsageError where one of them is not known, or the law has no loss.
    """
    law = context.preset(preset)
    for value, what, hint in (
        (params, "parameters", "give --params, or lay its config.json beside the log"),
        (tokens, "tokens", "give --tokens, or --plan with a plan that has them"),
    ):
        if value is None:
            raise UsageError(f"the loss of {law.id} depends on the {what} of the run, which are not known", hint=hint)
    plan = plan_run(Request(preset=law, params=params, tokens=tokens, level=level), context)
    if plan.loss is None:
        raise UsageError(f"{law.id} has no loss to compare with", hint="choose a law that has one")
    found = _of_plan(plan, kind="law", name=law.id)
    if not found.source.judges and str(preset).endswith(".toml"):
        reason = "it has no [fit], by which a law of your own runs is known"
        found = replace(found, source=replace(found.source, reason=reason))
    if found.source.judges and law.conventions.tokenizer != NOT_STATED:
        message = (
            f"{law.id} was fitted to losses of the tokenizer {quote(law.conventions.tokenizer)}; no log names its"
        )
        found = _warned(found, Notice(code="tokenizer", message=f"{message} own, so check that it is the same"))
    return found


def planned_by_runs(
    path: TableLike, *, params: float | None, tokens: float | None, level: float, context: Context, loss_unit: str
) -> Planned | Notice:
    """Return the loss that a law through smaller runs forecasts, or why there is none.

    The runs, a table or logs with losses in ``loss_unit``, are fitted as ``fit`` does it.
    """
    try:
        logged = is_log(path)
        fitting = import_module(_FITTING)
        fitted: FitResult = (fitting.fit_logs if logged else fitting.fit)(path, samples=0, loss_unit=loss_unit)
        found = planned_by_law(fitted.preset, params=params, tokens=tokens, level=level, context=context)
    except ScaleplanError as error:
        return Notice(code="no_ladder", message=f"the smaller runs give no loss to expect: {error.message}")
    training = logged and fitted.runs.columns.get("loss") == "loss"  # of the table of runs: no validation loss
    return replace(
        found,
        source=replace(found.source, kind="pilots", name=source_name(path)),
        metric="training" if training else "validation",
    )


def planned_in(path: str | Path | Plan | RegisteredForecast) -> Planned:
    """Return the planned loss in a JSON file: a saved plan, or a registered forecast; or in one of them itself.

    Raises FileError for a file that cannot be read or is neither.
    """
    if isinstance(path, Plan):
        return _of_saved(path.to_dict(), "the plan")
    if isinstance(path, RegisteredForecast):
        return _of_registered(path.to_dict(), path.name)
    name = str(path)
    text = read_text(Path(path), what="plan", limit=_MOST_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise FileError(f"{name}: not valid JSON", hint=_AGAIN) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema == Plan.schema:
        return _of_saved(data, name)
    if schema == RegisteredForecast.schema:
        return _of_registered(data, name)
    raise FileError(f"{name}: holds no plan: its schema is {quote(schema)}", hint=_AGAIN)


def _of_plan(plan: Plan, *, kind: PlanKind, name: str) -> Planned:
    interval = plan.interval
    ends = None if interval is None else interval.loss
    assert plan.loss is not None
    return _judged(
        kind,
        name,
        loss=plan.loss,
        unit=plan.loss_unit,
        reason=_PUBLISHED if plan.loss_text is not None else None,
        interval=None if interval is None or ends is None else LossInterval(level=interval.level, loss=ends),
        warnings=tuple(notice for notice in plan.warnings if notice.code.startswith("extrapolated")),
    )


class _Numbers:
    """The numbers of a JSON object, checked one by one, because a file may hold anything."""

    def __init__(self, data: object, name: str, path: str = "") -> None:
        self._data, self._name, self._path = data if isinstance(data, dict) else {}, name, path

    def number(self, key: str) -> float | None:
        """Return a number above 0; raises FileError for what is none."""
        return self._checked(self._data.get(key), key)

    def interval(self, key: str = "loss") -> LossInterval | None:
        """Return the interval with the level beside it."""
        ends = self._data.get(key)
        if not isinstance(ends, list) or len(ends) != 2:
            return None
        low, high, level = *(self._checked(end, key) for end in ends), self.number("level")
        if low is None or high is None or level is None or low > high or level >= 1:
            raise FileError(f"{self._name}: {self._path}{key}: {quote(ends)} is no interval", hint=_AGAIN)
        return LossInterval(level=level, loss=(low, high))

    def text(self, key: str) -> str | None:
        """Return a text; None of anything else."""
        value = self._data.get(key)
        return value if isinstance(value, str) else None

    def _checked(self, value: object, key: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise FileError(f"{self._name}: {self._path}{key}: {quote(value)} is not a number above 0", hint=_AGAIN)
        return float(value)


def _of_saved(data: Mapping[str, Any], name: str) -> Planned:
    """Return what a saved plan says."""
    plan, budget = _Numbers(data, name), _Numbers(data.get("budget"), name, "budget.")
    loss, price = plan.number("loss"), budget.number("price_per_hour")
    if loss is None:
        raise FileError(f"{name}: this plan has no loss", hint="plan with a law that has one")
    return _judged(
        "plan",
        str(data.get("preset")),
        loss=loss,
        unit=str(data.get("loss_unit")),
        reason=_PUBLISHED if data.get("loss_text") is not None else None,
        interval=_Numbers(data.get("interval"), name, "interval.").interval(),
        params=plan.number("params"),
        tokens=plan.number("tokens"),
        gpu=budget.text("gpu"),
        gpus=budget.number("gpus"),
        mfu=budget.number("mfu"),
        precision=budget.text("precision"),
        price=None if price is None else price * (budget.number("exchange_rate") or 1.0),  # in US dollars
    )


_WIDEST = 0.9
"""The level of a registered interval that is shown, where it has this one; the widest otherwise."""


def _of_registered(data: Mapping[str, Any], name: str) -> Planned:
    """Return what a registered forecast says; it judges where its law was fitted to the user's runs.

    Raises FileError for one that was changed since.
    """
    if content_hash(data) != data.get("sha256"):
        raise changed_error(name)
    forecast = _Numbers(data, name)
    loss = forecast.number("loss")
    if loss is None:
        raise FileError(f"{name}: this forecast has no loss", hint="'scaleplan register … -o FILE' writes one")
    listed = data.get("intervals")
    found = [_Numbers(each, name, "intervals.").interval() for each in listed] if isinstance(listed, list) else []
    intervals = sorted((each for each in found if each is not None), key=lambda each: abs(each.level - _WIDEST))
    reason = None
    if data.get("runs_sha256") is None:
        reason = f"{data.get('preset')}, which gave it, has no runs of your own, and its loss is of another text"
    return _judged(
        "forecast",
        str(data.get("name")),
        loss=loss,
        unit=str(data.get("loss_unit")),
        reason=reason,
        interval=intervals[0] if intervals else None,
        params=forecast.number("params"),
        tokens=forecast.number("tokens"),
    )


def _judged(kind: PlanKind, name: str, *, unit: str, reason: str | None, **known: Any) -> Planned:  # noqa: ANN401
    """Return a planned loss that judges, unless there is a reason against it."""
    source = PlanSource(kind=kind, name=name, judges=reason is None, reason=reason)
    return Planned(source=source, unit="nats/token" if unit in _NATS else unit, **known)


def in_unit(planned: Planned, loss_unit: str) -> Planned | Notice:
    """Return a planned loss for a log in a unit, a key of ``LOSS_UNITS``; of another unit, why it says nothing.

    One that does not state its unit is taken at its word, with a warning.
    """
    unit, name = LOSS_UNITS[loss_unit].meaning, planned.source.name
    if planned.unit not in (unit, NOT_STATED):
        message = f"{name} says nothing of this run: its loss is in {planned.unit}, and that of the log in {unit}"
        return Notice(code="no_verdict", message=message)
    if planned.unit == NOT_STATED and planned.source.judges:
        message = f"{name} does not state the unit of its loss: taken as {unit}, as the log has it"
        return _warned(planned, Notice(code="loss_unit", message=message))
    return planned


_OTHER_TOKENS, _OTHER_SIZE = math.log(1.05), math.log(1.5)
"""How far a plan may be from the run that it judges: 5 % of the tokens move the loss by 0.4 % (an exponent of 0.28 on
a quarter of it), and counts of parameters differ by their convention, as with and without the embeddings."""


def of_run(planned: Planned, *, params: float | None, tokens: float | None) -> Planned:
    """Return a planned loss that judges a run of its own size and tokens alone."""
    for name, own, of_plan, most in (
        ("tokens", tokens, planned.tokens, _OTHER_TOKENS),
        ("parameters", params, planned.params, _OTHER_SIZE),
    ):
        if planned.source.judges and own and of_plan and abs(math.log(own / of_plan)) > most:
            reason = f"it is of {format_count(of_plan)} {name}, and the run of {format_count(own)}"
            planned = replace(planned, source=replace(planned.source, judges=False, reason=reason))
    return planned


def _warned(planned: Planned, notice: Notice) -> Planned:
    return replace(planned, warnings=(*planned.warnings, notice))
