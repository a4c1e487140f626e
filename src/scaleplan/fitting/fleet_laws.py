"""The law of each group and metric of a table, or why there is none, and what is doubtful about several of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import field, replace
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import Notice, ScaleplanError, UsageError, quote
from scaleplan.fitting.methods import shared_names
from scaleplan.fitting.objective import rms
from scaleplan.planning.uncertainty import Interval
from scaleplan.record import Record, Result
from scaleplan.units import format_flops

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.fitting.fit_result import FitResult

__all__ = ["NOT_FITTED", "Fleet", "FleetLaw", "common_warnings", "law_of_fit", "law_without_fit", "none_fitted"]

NOT_FITTED = "not fitted"
"""The status of a law that could not be fitted."""


class FleetLaw(Record):
    """The law of one group and metric, or why there is none.

    ``group`` are the values of the group by column, and ``metric`` is the column that was fitted: of the loss, or
    what a curve gives. ``status`` is ``identified`` or ``not identified`` as of a fit, ``fitted`` for a form without
    a split, and ``not fitted``; ``reason`` says why for the second and the last, and ``hint`` what to do. The plan is
    that of the fit at ``target_flops``, with ``known_within`` the factor, either way, within which N* is known there;
    ``value`` is what a curve of another quantity than the loss gives there. ``file`` is the preset written.
    """

    group: Mapping[str, str]
    metric: str | None
    status: str
    rows_used: int
    rows_dropped: int
    target_flops: float | None
    params: float | None
    tokens: float | None
    loss: float | None
    interval: Interval[float]
    known_within: float | None
    rms_residual: float | None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    value_interval: tuple[float, float] | None = None
    reason: str | None = None
    hint: str | None = None
    file: str | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def name(self) -> str:
        """The values of the group, and the metric where one is known."""
        return ", ".join([*self.group.values(), *([] if self.metric is None else [self.metric])])


class Fleet(Record, Result):
    """The laws of all groups and metrics of a table, in the order of their first rows.

    ``each`` are the columns whose values separate groups, ``metrics`` those that were fitted in turn, if any were
    named. ``rows`` are those of the table, of which ``rows_without_group`` lack a value in a column of ``each``.
    """

    schema: ClassVar[str] = "scaleplan/fleet/1"

    file: str
    sha256: str
    form: str
    method: str
    each: tuple[str, ...]
    metrics: tuple[str, ...]
    loss_unit: str
    level: float
    rows: int
    rows_without_group: int
    fitted: int
    not_fitted: int
    laws: tuple[FleetLaw, ...]
    warnings: tuple[Notice, ...] = ()


def law_of_fit(result: FitResult, *, group: Mapping[str, str], metric: str | None, rows: int) -> FleetLaw:
    """Return the row of a fit to the ``rows`` of a group."""
    plan, target, request = result.plan(), result.target_flops, result.request
    level = request.level
    interval = None if plan is None else plan.interval
    value = next((each for each in result.values if target and each.name == f"at {format_flops(target)}"), None)
    of_loss = request.y == "loss"
    loss = None if plan is None else plan.loss
    known = interval or _unknown(level)
    if value is not None and of_loss:
        loss, known = value.value, replace(known, loss=value.interval)
    usual = result.runs.columns.get("loss") if of_loss else request.y
    return FleetLaw(
        group=group,
        metric=metric or usual,
        status=result.status or "fitted",
        rows_used=len(result.runs),
        rows_dropped=rows - len(result.runs),
        target_flops=target,
        params=None if plan is None else float(plan.params),
        tokens=None if plan is None else float(plan.tokens),
        loss=loss,
        interval=known,
        known_within=None if result.forecast is None or math.isinf(result.known_within) else result.known_within,
        rms_residual=None if result.residuals is None else rms(result.residuals),
        coefficients={name: float(number) for name, number in result.coefficients.items()},
        value=None if value is None or of_loss else value.value,
        value_interval=None if value is None or of_loss else value.interval,
        reason=result.refusal,
        warnings=(*result.warnings, *_of_one_training(result)),
    )


def _of_one_training(result: FitResult) -> Iterator[Notice]:
    """Yield the warning that several rows are steps of one training, which a fit alone has among its remarks."""
    for message in shared_names(result.request, result.runs):
        yield Notice(code="shared_names", message=message)


def law_without_fit(
    error: ScaleplanError, *, group: Mapping[str, str], metric: str | None, rows: int, level: float
) -> FleetLaw:
    """Return the row of a law that cannot be fitted to the ``rows`` of a group."""
    return FleetLaw(
        group=group,
        metric=metric,
        status=NOT_FITTED,
        rows_used=0,
        rows_dropped=rows,
        target_flops=None,
        params=None,
        tokens=None,
        loss=None,
        interval=_unknown(level),
        known_within=None,
        rms_residual=None,
        reason=error.message,
        hint=error.hint,
    )


def _unknown(level: float) -> Interval[float]:
    return Interval(level=level, params=None, tokens=None, loss=None, tokens_per_param=None)


def none_fitted(laws: Sequence[FleetLaw]) -> UsageError:
    """Return the error for laws none of which could be fitted, with the most frequent reason."""
    reasons = Counter((law.reason, law.hint) for law in laws)
    ((reason, hint), count), *others = reasons.most_common()
    if len(laws) == 1:
        return UsageError(str(reason), hint=hint)
    often = f" ({count:,} of them)" if others else ""
    return UsageError(f"none of {len(laws):,} laws could be fitted: {reason}{often}", hint=hint)


_MOST_NAMED = 3


def common_warnings(laws: Sequence[FleetLaw]) -> Iterator[Notice]:
    """Yield what is doubtful about several laws: a warning for each cause, with the first law as the example."""
    total = len(laws)
    failed = [law for law in laws if law.status == NOT_FITTED]
    if failed:
        names = _named(failed)
        yield Notice(
            code="not_fitted",
            message=f"{len(failed):,} of {total:,} laws could not be fitted ({names}): {failed[0].reason}",
        )
    found: dict[str, list[FleetLaw]] = {}
    for law in laws:
        for code in dict.fromkeys(notice.code for notice in law.warnings):
            found.setdefault(code, []).append(law)
    for code, several in found.items():
        message = next(notice.message for notice in several[0].warnings if notice.code == code)
        yield Notice(code=code, message=f"{len(several):,} of {total:,} laws ({_named(several)}): {message}")


def _named(laws: Sequence[FleetLaw]) -> str:
    """Return the names of some laws, of many the first."""
    names = [quote(law.name) for law in laws[:_MOST_NAMED]]
    return ", ".join([*names, *(["…"] if len(laws) > _MOST_NAMED else [])])
