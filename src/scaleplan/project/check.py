"""Judge the runs of a project by its policy: one verdict for each run and limit, and the outcome of all.

One predicate on unrounded numbers decides status and message. Amounts are written with three digits where these
show the comparison, and with as many as it takes where they do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from scaleplan.documents.key_path import Location
from scaleplan.errors import FileError, Notice, QuantityError, ScaleplanError, quote
from scaleplan.hardware.chances import percent
from scaleplan.project.estimate import (
    Estimate,
    Estimator,
    chance_of_keeping,
    hardware_intervals,
    interval_of,
    measure,
    measures,
    sources,
    usd_of,
)
from scaleplan.project.project import PolicyRule, Project, UnreadProject, run_names
from scaleplan.project.source import WorkTree
from scaleplan.record import Result
from scaleplan.units import (
    exact,
    format_count,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    money_in,
    parse,
    stated_money,
)
from scaleplan.units.limits import QUANTITIES, parse_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scaleplan.hardware.budget import Budget
    from scaleplan.project.project import Run
    from scaleplan.project.source import Tree
    from scaleplan.units.limits import Limit

__all__ = [
    "EXIT_STATUSES",
    "NEGATED",
    "Check",
    "CheckedRun",
    "Verdict",
    "amount",
    "bound",
    "check",
    "decisive_amount",
    "outcome",
]

EXIT_STATUSES: Mapping[str, int] = {
    "within": 0,
    "violated": 1,
    "unreadable": 2,
    "unjudged": 0,
    "base_unreadable": 0,
}
"""The exit status of each outcome; the last is that of a comparison alone, see :class:`Difference`."""


def outcome(statuses: Iterable[str]) -> str:
    """Return the outcome of judgements by their statuses; one that could not be made outweighs a violation."""
    found = set(statuses)
    return "unreadable" if "error" in found else "violated" if "fail" in found else "within"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one run keeps one limit.

    ``status`` is ``pass``, ``warn`` or ``fail`` for a limit that is not kept by its severity, or ``error`` where
    it could not be judged. ``value`` is the estimate, ``low`` and ``high`` its interval at ``level`` where the
    limit has a confidence, ``judged`` the one of these that was compared; ``bound`` is in the base unit of
    ``quantity``. ``file`` and ``line`` are where the value stands, ``also`` what else it follows from. A run that
    could not be planned, or a file that could not be read, has one verdict without a limit.
    """

    run: str
    status: str
    severity: str = "error"
    limit: str | None = None
    quantity: str | None = None
    value: float | None = None
    op: str | None = None
    bound: float | None = None
    level: float | None = None
    low: float | None = None
    high: float | None = None
    message: str
    note: str = ""
    hint: str | None
    file: str
    line: int | None
    key: str = ""
    also: tuple[Location, ...] = ()
    policy_file: str | None = None
    policy_line: int | None = None
    judged: float | None = None
    chance: float | None = None
    """The probability that hours, days, money, energy or carbon keep the limit, by the band of the utilisation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRun:
    """A run, its law, and its quantities in base units; no law and no values where it could not be planned."""

    name: str
    file: str
    line: int | None
    preset: str | None = None
    loss_unit: str | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The ranges, at 80 %, that a default utilisation leaves of hours, days, US dollars, energy and carbon."""
    budget: Budget | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Result):
    """Runs, and whether they keep their policy.

    ``status`` is ``within``, ``violated``, ``unreadable`` where a run could not be judged, or ``unjudged`` where a
    project has no limits to judge by.
    """

    schema: ClassVar[str] = "scaleplan/check/1"

    status: str
    failures: int
    warnings: int
    errors: int
    verdicts: tuple[Verdict, ...]
    runs: tuple[CheckedRun, ...]

    @property
    def exit_status(self) -> int:
        """The exit status: 0 within or without limits, 1 violated, 2 unreadable."""
        return EXIT_STATUSES[self.status]

    @property
    def unlimited(self) -> tuple[str, ...]:
        """The files of projects without a limit on any of their runs."""
        return _unlimited(self.runs, self.verdicts)


def _unlimited(runs: Iterable[CheckedRun], verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    judged = {verdict.run for verdict in verdicts}
    limited = {run.file for run in runs if run.name in judged}
    return tuple(dict.fromkeys(run.file for run in runs if run.file not in limited))


NEGATED: Mapping[str, str] = {"<=": ">", ">=": "<", "<": ">=", ">": "<=", "=": "≠"}
"""What holds instead where a comparison does not."""

_MOST_DIGITS = 17  # enough to distinguish any float from its neighbours

_WRITERS: Mapping[str, Callable[..., str]] = {
    "params": format_count,
    "tokens": format_count,
    "flops": format_flops,
    "number": format_number,
    "ratio": format_fraction,
    "integer": lambda value, **_: f"{value:,.0f}",
    "hours": format_hours,
    "days": format_number,  # in the unit of the limit beside it
    "kwh": format_kwh,
    "kilograms": format_kilograms,
    "gigabytes": format_gigabytes,
}


def amount(quantity: str, value: float, *, digits: int = 3, currency: str | None = None) -> str:
    """Write a value of a quantity; losses with a fourth digit, as every plan shows them."""
    kind = QUANTITIES[quantity]
    least = 4 if quantity == "loss" else 3
    return _writer(kind, currency)(value, digits=max(digits, least))


def _writer(kind: str, currency: str | None) -> Callable[..., str]:
    return money_in(currency) if kind == "usd" else _WRITERS[kind]


def bound(limit: Limit) -> str:
    """Write the bound of a limit in full, in the form in which :func:`amount` writes values."""
    kind = QUANTITIES[limit.quantity]
    for digits in range(1, _MOST_DIGITS):
        text = _writer(kind, limit.currency)(limit.value, digits=digits)
        if _reads_as(kind, text) == limit.value:
            return text
    return limit.text.partition(f" {limit.op} ")[2]


def decisive_amount(limit: Limit, value: float) -> str:
    """Write a value with the digits that show the comparison: ``70.0001B`` beside a limit of 70B."""
    kind = QUANTITIES[limit.quantity]
    holds = limit.holds(value)
    shown_bound = bound(limit)
    for digits in range(3, _MOST_DIGITS + 1):
        text = amount(limit.quantity, value, digits=digits, currency=limit.currency)
        seen = _reads_as(kind, text)
        if seen is not None and limit.holds(seen) == holds and (holds or text != shown_bound):
            return text
        if seen is None:  # zero and below have no form to be read back
            return text
    return exact(kind, value)


def _reads_as(kind: str, text: str) -> float | None:
    try:
        return stated_money(text)[0] if kind == "usd" else parse(kind, text)
    except QuantityError:
        return None


def check(
    projects: Sequence[Project | UnreadProject], *, limits: Iterable[str] = (), tree: Tree | None = None
) -> Check:
    """Judge every run of some projects by its policy.

    ``limits`` are limits on every run, beside the policies; not keeping one is an error. ``tree`` is where the files
    that runs point into are read from, the work tree by default. Runs that are called the same in several files have
    their file behind the name.

    A project that could not be read, or has no run where another has one, is a verdict that says so. Raises the error
    of the first where none can be judged; QuantityError, UnknownNameError for a limit that cannot be read.
    """
    extra = tuple(
        PolicyRule(limit=limit, severity="error", message="", file="--limit", line=None)
        for text in limits
        for limit in parse_limit(text)
    )
    if not any(project.runs for project in projects if isinstance(project, Project)):
        raise next((each.error for each in projects if isinstance(each, UnreadProject)), _no_run(projects))
    estimator = Estimator(tree or WorkTree())
    names = run_names([project for project in projects if isinstance(project, Project)])
    verdicts: list[Verdict] = []
    runs: list[CheckedRun] = []
    for project in projects:
        if isinstance(project, UnreadProject):
            verdicts.append(_not_judged(project.file, project.error, project.error.message, project.file, None))
            continue
        if not project.runs:
            error = _no_run([project])
            verdicts.append(_not_judged(project.file, error, error.message, project.file, None))
        for position, run in enumerate(project.runs):
            name = names[run.file, run.name]
            try:
                estimate = estimator.estimate(run)
            except ScaleplanError as error:
                message = f"run {quote(run.name)} cannot be planned: {error.message}"
                verdicts.append(_not_judged(name, error, message, run.file, run.line))
                runs.append(CheckedRun(name=name, file=run.file, line=run.line))
                continue
            runs.append(_checked(name, run, estimate))
            verdicts += [_verdict(name, run, estimate, rule) for rule in (*project.rules_of(position), *extra)]
    statuses = [verdict.status for verdict in verdicts]
    status = outcome(statuses)
    return Check(
        status="unjudged" if status == "within" and _unlimited(runs, verdicts) else status,
        failures=statuses.count("fail"),
        warnings=statuses.count("warn"),
        errors=statuses.count("error"),
        verdicts=tuple(verdicts),
        runs=tuple(runs),
    )


def _no_run(projects: Sequence[Project | UnreadProject]) -> FileError:
    files = ", ".join(project.file for project in projects)
    return FileError(f"{files}: there is no run to check", hint="describe one in [[run]]; 'scaleplan init' shows how")


def _not_judged(name: str, error: ScaleplanError, message: str, file: str, line: int | None) -> Verdict:
    """Return the verdict that something could not be read, at the place that the error knows or else at this one."""
    if isinstance(error, FileError) and error.file is not None:
        file, line = error.file, error.line
    return Verdict(run=name, status="error", message=message, hint=error.hint, file=file, line=line)


def _checked(name: str, run: Run, estimate: Estimate) -> CheckedRun:
    plan = estimate.plan
    return CheckedRun(
        name=name,
        file=run.file,
        line=run.line,
        preset=plan.preset,
        loss_unit=plan.loss_unit,
        values=measures(estimate),
        warnings=plan.warnings,
        intervals=hardware_intervals(estimate),
        budget=None if plan.budget.gpu is None else plan.budget,
    )


def _verdict(name: str, run: Run, estimate: Estimate, rule: PolicyRule) -> Verdict:
    limit = rule.limit
    # points at the first value that the quantity follows from, else at the run itself
    place, *also = sources(estimate, limit.quantity) or (Location(file=run.file, line=run.line, key=""),)
    value: float | None = None
    span: tuple[float, float] | None = None
    hint: str | None = None
    judged: float | None = None
    chance: float | None = None
    try:
        value = measure(estimate, limit.quantity)
        span = None if limit.level is None else interval_of(estimate, limit.quantity, limit.level)
        if limit.money:
            usd = usd_of(limit, estimate.plan.budget)
            value, span = value / usd, None if span is None else (span[0] / usd, span[1] / usd)
    except ScaleplanError as error:
        status, message, hint = "error", f"{limit.text} cannot be judged: {error.message}", error.hint
    else:
        breach = next((end for end in _ends(limit, value, span) if not limit.holds(end)), None)
        status = "pass" if breach is None else "warn" if rule.severity == "warn" else "fail"
        judged = _ends(limit, value, span)[0] if breach is None else breach
        chance = chance_of_keeping(estimate, limit)
        message = _message(limit, value, span, judged, chance)
    return Verdict(
        run=name,
        status=status,
        severity=rule.severity,
        limit=limit.text,
        quantity=limit.quantity,
        value=value,
        op=limit.op,
        bound=limit.value,
        level=limit.level,
        low=span[0] if span else None,
        high=span[1] if span else None,
        message=message,
        note=rule.message,
        hint=hint,
        file=place.file,
        line=place.line,
        key=place.key,
        also=tuple(also),
        policy_file=rule.file,
        policy_line=rule.line,
        judged=judged,
        chance=chance,
    )


def _ends(limit: Limit, value: float, span: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the values that must keep the limit: the estimate, or the end of the interval that decides."""
    if span is None:
        return (value,)
    if limit.op == "=":
        return span
    return (span[1],) if limit.op[0] == "<" else (span[0],)


def _message(
    limit: Limit, value: float, span: tuple[float, float] | None, decisive: float, chance: float | None
) -> str:
    name = limit.quantity
    sign = limit.op if limit.holds(decisive) else NEGATED[limit.op]
    comparison = f"{decisive_amount(limit, decisive)} {sign} {bound(limit)}"
    likely = "" if chance is None else f"{percent(chance)} chance to keep it"
    if span is None:
        return f"{name} {comparison}{likely and f' ({likely})'}"
    assert limit.level is not None
    end = "upper" if decisive == span[1] else "lower"
    level = format_fraction(limit.level).replace(" ", "")
    about = ", ".join(filter(None, (f"estimate {amount(name, value, currency=limit.currency)}", likely)))
    return f"{name} {end} end at {level} {comparison} ({about})"
