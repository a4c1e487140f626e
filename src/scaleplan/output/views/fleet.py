"""Show the laws of many groups and metrics: a row each, and below them why there is none of some."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scaleplan.errors import quote
from scaleplan.output import Report, ReportTable
from scaleplan.output.views.plan import format_loss
from scaleplan.units import counted, format_count, format_factor, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.fitting.fleet_laws import Fleet, FleetLaw

__all__ = ["fleet_report"]

_COEFFICIENTS = 3  # in the table; the others, such as A and B, stand in the data
_DIGITS = 4
_MOST_NAMED = 6
_NONE = "–"


def fleet_report(fleet: Fleet) -> Report:
    """Return the table of all laws, the reasons for those that are missing, and where more is known."""
    columns = [*_columns(fleet)]
    text = {*fleet.each, _metric_title(fleet)}
    return Report(
        title=_title(fleet),
        grid=ReportTable(
            [name for name, _ in columns],
            rows=[tuple(written(law) for _, written in columns) for law in fleet.laws],
            text=text,
            keys=len(fleet.each) + bool(fleet.metrics),
        ),
        remarks=[*_remarks(fleet)],
    )


def _title(fleet: Fleet) -> str:
    of = " and ".join([*fleet.each, *([_of_metrics(fleet)] if fleet.metrics else [])])
    failed = f", {fleet.not_fitted:,} not fitted" if fleet.not_fitted else ""
    return f"{fleet.file}: {counted(len(fleet.laws), 'law')} by {of}{failed}"


def _of_metrics(fleet: Fleet) -> str:
    return (
        f"{counted(len(fleet.metrics), 'column')} of the loss"
        if _is_of_loss(fleet)
        else counted(len(fleet.metrics), "column")
    )


def _is_of_loss(fleet: Fleet) -> bool:
    return all(law.value is None for law in fleet.laws)


def _metric_title(fleet: Fleet) -> str:
    return "loss column" if _is_of_loss(fleet) else "column"


Column = tuple[str, "Callable[[FleetLaw], str]"]


def _columns(fleet: Fleet) -> Iterator[Column]:
    for name in fleet.each:
        yield name, partial(_value_of, name)
    if fleet.metrics:
        yield _metric_title(fleet), lambda law: law.metric or ""
    yield "runs", lambda law: f"{law.rows_used:,}"
    for name in _shown(fleet):
        yield name, partial(_coefficient, name)
    if any(law.params is not None for law in fleet.laws):
        yield "N*", lambda law: _cell(None if law.status == "not identified" else law.params, format_count)
    if any(law.loss is not None for law in fleet.laws):
        yield "loss", lambda law: _cell(law.loss, format_loss)
    if any(law.value is not None for law in fleet.laws):
        yield "value", lambda law: _cell(law.value, _number)
    if any(law.status in ("identified", "not identified") for law in fleet.laws):
        yield "N* within", _within


def _shown(fleet: Fleet) -> list[str]:
    """Return the coefficients that stand in the table: those that the laws do not all share."""
    values: dict[str, set[float]] = {}
    for law in fleet.laws:
        for name, value in law.coefficients.items():
            values.setdefault(name, set()).add(value)
    names = [name for name in values if name not in ("A", "B")]
    varied = [name for name in names if len(values[name]) > 1]  # not those of a base law
    return (varied if fleet.fitted > 1 and varied else names)[:_COEFFICIENTS]


def _value_name(fleet: Fleet) -> Iterator[str]:
    if any(law.loss is not None for law in fleet.laws):
        yield f"loss ({fleet.loss_unit})"
    elif any(law.value is not None for law in fleet.laws):
        yield "value"


def _value_of(name: str, law: FleetLaw) -> str:
    return law.group.get(name, "")


def _coefficient(name: str, law: FleetLaw) -> str:
    return _cell(law.coefficients.get(name), _number)


def _number(value: float) -> str:
    return format_number(value, digits=_DIGITS)


def _cell(value: float | None, written: Callable[[float], str]) -> str:
    return _NONE if value is None else written(value)


def _within(law: FleetLaw) -> str:
    """Write the factor within which N* is known, or that it is not."""
    if law.status not in ("identified", "not identified"):
        return _NONE
    return "unknown" if law.known_within is None else format_factor(law.known_within)


def _remarks(fleet: Fleet) -> Iterator[str]:
    targets = {law.target_flops for law in fleet.laws if law.target_flops is not None}
    if targets:
        where = format_flops(min(targets)) if len(targets) == 1 else "the target, ten times the largest run of each"
        shown = [*(["N*"] if any(law.params is not None for law in fleet.laws) else []), *_value_name(fleet)]
        if shown:
            yield f"{' and '.join(shown)} {'are those' if len(shown) > 1 else 'is that'} at {where}"
    columns = {law.metric for law in fleet.laws if law.status != "not fitted"}
    if not fleet.metrics and _is_of_loss(fleet) and len(columns) == 1 and columns.isdisjoint({None, "loss"}):
        yield f"the loss is column {quote(str(columns.pop()))}"
    yield from _where_unknown(fleet)
    yield f"--format csv has the sizes and {format_fraction(fleet.level)} intervals of each law too"
    reasons: dict[str, list[FleetLaw]] = {}
    for law in fleet.laws:
        if law.status == "not fitted":
            reasons.setdefault(str(law.reason), []).append(law)
    for reason, laws in sorted(reasons.items(), key=lambda item: -len(item[1])):
        hint = f"; {laws[0].hint}" if laws[0].hint else ""
        yield f"not fitted: {_named(laws)}: {reason}{hint}"
    written = [law.file for law in fleet.laws if law.file is not None]
    if written:
        yield f"plan with one: scaleplan optimal --flops 1e21 --preset {written[0]}"


def _where_unknown(fleet: Fleet) -> Iterator[str]:
    """Yield why N* is not known of some laws, and where their loss is then: at the optimum, or where the runs are."""
    unknown = [law for law in fleet.laws if law.status == "not identified" and law.loss is not None]
    beyond = [law for law in unknown if law.reason is None]
    if beyond:
        yield f"N* not known of {_named(beyond)}: beyond what the runs can vouch for; the loss is that at the optimum"
    refused = [law for law in unknown if law.reason is not None]
    if refused:
        yield (
            f"N* not known of {_named(refused)}: the runs do not determine it; the loss is that on the line of the "
            "runs, or at the tokens per parameter of the largest; --format csv has the reasons"
        )


def _named(laws: Sequence[FleetLaw]) -> str:
    """Return the names of some laws, of many the first."""
    names = ", ".join(quote(law.name) for law in laws[:_MOST_NAMED])
    return names + (f" and {len(laws) - _MOST_NAMED:,} more" if len(laws) > _MOST_NAMED else "")
