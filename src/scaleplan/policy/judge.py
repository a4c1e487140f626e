"""Does every run of a project keep its policy? One predicate on unrounded numbers decides status and message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.config.project import Rule
from scaleplan.config.tree import WorkTree
from scaleplan.errors import FileError, ScaleplanError, quote
from scaleplan.policy.estimate import Estimate, Estimator
from scaleplan.policy.measure import culprits, interval_of, measure, measures
from scaleplan.policy.outcome import outcome
from scaleplan.policy.verdict import Check, CheckedRun, Verdict
from scaleplan.policy.wording import NEGATED, amount, bound, telling
from scaleplan.quantities import format_fraction
from scaleplan.quantities.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scaleplan.config.project import Project
    from scaleplan.config.run import Place, Run
    from scaleplan.config.tree import Tree
    from scaleplan.quantities.limits import Limit

__all__ = ["check", "rules_of"]

_ASKED = "--limit"


def rules_of(limits: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules of limits that were asked for directly; not keeping one is an error."""
    return tuple(
        Rule(limit=limit, severity="error", message="", file=_ASKED, line=None)
        for text in limits
        for limit in parse_limit(text)
    )


def check(projects: Sequence[Project], *, limits: Iterable[str] = (), tree: Tree | None = None) -> Check:
    """Judge every run of some projects by its policy.

    Parameters
    ----------
    projects
        What the projects' files say.
    limits
        Limits on every run, beside the policies.
    tree
        Where the files that runs point into are read from, the work tree by default.

    Raises
    ------
    FileError
        When there is no run to judge.
    QuantityError, UnknownNameError
        For a limit that cannot be read.

    """
    if not any(project.runs for project in projects):
        files = ", ".join(project.file for project in projects)
        raise FileError(
            f"{files}: there is no run to check", hint="describe one in [[run]]; 'scaleplan init' shows how"
        )
    asked = rules_of(limits)
    estimator = Estimator(tree or WorkTree())
    verdicts: list[Verdict] = []
    runs: list[CheckedRun] = []
    for project in projects:
        for position, run in enumerate(project.runs):
            try:
                estimate = estimator.estimate(run)
            except ScaleplanError as error:
                verdicts.append(_unplanned(run, error))
                runs.append(_checked(run, None))
                continue
            runs.append(_checked(run, estimate))
            verdicts += [_verdict(run, estimate, rule) for rule in (*project.rules_of(position), *asked)]
    counts = {status: sum(verdict.status == status for verdict in verdicts) for status in ("fail", "warn", "error")}
    return Check(
        status=outcome(verdict.status for verdict in verdicts),
        failures=counts["fail"],
        warnings=counts["warn"],
        errors=counts["error"],
        verdicts=tuple(verdicts),
        runs=tuple(runs),
    )


def _checked(run: Run, estimate: Estimate | None) -> CheckedRun:
    plan = estimate.plan if estimate else None
    return CheckedRun(
        name=run.name,
        file=run.file,
        line=run.line,
        preset=plan.preset if plan else None,
        loss_unit=plan.loss_unit if plan else None,
        values=measures(estimate) if estimate else {},
        warnings=plan.warnings if plan else (),
    )


def _unplanned(run: Run, error: ScaleplanError) -> Verdict:
    return Verdict(
        run=run.name,
        status="error",
        severity="error",
        limit=None,
        quantity=None,
        value=None,
        op=None,
        bound=None,
        level=None,
        low=None,
        high=None,
        message=f"run {quote(run.name)} cannot be planned: {error.message}",
        note="",
        hint=error.hint,
        file=run.file,
        line=run.line,
        key="",
    )


def _verdict(run: Run, estimate: Estimate, rule: Rule) -> Verdict:
    limit = rule.limit
    place, also = _places(run, culprits(estimate, limit.quantity))
    value: float | None = None
    span: tuple[float, float] | None = None
    hint: str | None = None
    try:
        value = measure(estimate, limit.quantity)
        span = None if limit.level is None else interval_of(estimate, limit.quantity, limit.level)
    except ScaleplanError as error:
        status, message, hint = "error", f"{limit.text} cannot be judged: {error.message}", error.hint
    else:
        breach = next((end for end in _ends(limit, value, span) if not limit.holds(end)), None)
        status = "pass" if breach is None else "warn" if rule.severity == "warn" else "fail"
        message = _message(limit, value, span, breach)
    return Verdict(
        run=run.name,
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
        file=place[0],
        line=place[1],
        key=place[2],
        also=also,
        policy_file=rule.file,
        policy_line=rule.line,
    )


def _places(run: Run, found: tuple[Place, ...]) -> tuple[tuple[str, int | None, str], tuple[Place, ...]]:
    """Return where to point: at the first value that the quantity follows from, else at the run itself."""
    if not found:
        return (run.file, run.line, ""), ()
    return (found[0].file, found[0].line, found[0].key), found[1:]


def _ends(limit: Limit, value: float, span: tuple[float, float] | None) -> tuple[float, ...]:
    """Return the values that must keep the limit: the estimate, or the end of the interval that is at stake."""
    if span is None:
        return (value,)
    if limit.op == "=":
        return span
    return (span[1],) if limit.op[0] == "<" else (span[0],)


def _message(limit: Limit, value: float, span: tuple[float, float] | None, breach: float | None) -> str:
    name, beyond = limit.quantity, bound(limit)
    if span is None:
        return f"{name} {telling(limit, value)} {limit.op if breach is None else NEGATED[limit.op]} {beyond}"
    assert limit.level is not None
    at_stake = _ends(limit, value, span)[0] if breach is None else breach
    end = "upper" if at_stake == span[1] else "lower"
    comparison = f"{telling(limit, at_stake)} {limit.op if breach is None else NEGATED[limit.op]} {beyond}"
    level = format_fraction(limit.level).replace(" ", "")
    return f"{name} {end} end at {level} {comparison} (estimate {amount(name, value)})"
