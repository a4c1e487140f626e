"""Compare two sets of runs quantity by quantity: saved results, project files, or a git revision of them.

Thresholds on a change make the comparison a check: ``cost increase > 10%``, ``total gpu_hours increase > 5000``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, Notice, QuantityError, ScaleplanError, UnknownNameError, UsageError, quote
from scaleplan.planning.plan import Plan, Plans
from scaleplan.project.check import EXIT_STATUSES, Check, amount, outcome
from scaleplan.project.estimate import ADDITIVE, Estimator, measures, measures_of, sources
from scaleplan.project.project import read_project
from scaleplan.project.saved import read_saved_file
from scaleplan.project.source import Revision, WorkTree, display_name
from scaleplan.record import Result
from scaleplan.units import exact, format_fraction, parse
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scaleplan.project.project import Location
    from scaleplan.project.source import Tree

__all__ = [
    "Breach",
    "Change",
    "Difference",
    "Snapshot",
    "State",
    "at_revision",
    "compare",
    "of_file",
    "of_projects",
    "parse_threshold",
]

_STANDARDS = ("loss", "excess_loss")  # measured on a law's own text: those of two laws are never subtracted


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One run on one side of a comparison: its quantities in base units, its law, and where its values come from."""

    values: Mapping[str, float | None]
    preset: str
    places: tuple[Location, ...] = ()
    band: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One side of a comparison: runs by name, and what to call it."""

    label: str
    runs: Mapping[str, State]


def of_file(name: str) -> Snapshot:
    """Return the snapshot of a saved JSON result or of a project's TOML file.

    Raises ScaleplanError when it cannot be read, or a run in it cannot be planned.
    """
    path = Path(name)
    if path.suffix.casefold() == ".toml":
        return of_projects([path])
    shown = display_name(path)
    result = read_saved_file(path)
    if isinstance(result, Plan):
        return Snapshot(label=shown, runs={"plan": _state(result)})
    if isinstance(result, Plans):
        return Snapshot(label=shown, runs={f"plan {i}": _state(plan) for i, plan in enumerate(result, start=1)})
    if isinstance(result, Check):
        runs = {
            run.name: State(values=run.values, preset=run.preset, band=run.budget.band if run.budget else None)
            for run in result.runs
            if run.preset
        }
        return Snapshot(label=shown, runs=runs)
    raise FileError(f"{shown}: holds no plans to compare", hint="compare results of optimal, loss, sweep or check")


def at_revision(name: str, paths: Iterable[Path]) -> Snapshot:
    """Return the snapshot of projects' files as a git revision has them; a file that it lacks has no runs."""
    paths = list(paths)
    revision = Revision(name, folder=paths[0].parent)
    return of_projects([path for path in paths if revision.has(path)], tree=revision, label=name)


def of_projects(paths: Iterable[Path], *, tree: Tree | None = None, label: str | None = None) -> Snapshot:
    """Return the snapshot of the runs of some projects.

    Raises ScaleplanError when a file cannot be read, a run cannot be planned, or two runs share a name.
    """
    estimator = Estimator(tree or WorkTree())
    runs: dict[str, State] = {}
    names = []
    for path in paths:
        project = read_project(path, tree=estimator.tree)
        names.append(project.file)
        for run in project.runs:
            if run.name in runs:
                raise FileError(f"{project.file}: run {quote(run.name)} is in another file too", hint="rename one")
            try:
                estimate = estimator.estimate(run)
            except ScaleplanError as error:
                side = f" at {quote(label)}" if label else ""
                raise FileError(
                    f"{project.file}: run {quote(run.name)}{side} cannot be planned: {error.message}", hint=error.hint
                ) from None
            runs[run.name] = State(
                values=measures(estimate),
                preset=estimate.plan.preset,
                places=sources(estimate, "flops"),
                band=estimate.plan.budget.band,
            )
    return Snapshot(label=label or ", ".join(names), runs=runs)


def _state(plan: Plan) -> State:
    return State(values=measures_of(plan), preset=plan.preset, band=plan.budget.band)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One quantity of one run, before and after; ``run`` is None for the total over all runs.

    ``status`` is that of the run: ``changed``, ``same``, ``added`` or ``removed``. ``change`` is after minus
    before in the base unit, ``ratio`` the same as a fraction of what was before; None where there is no such number.
    """

    run: str | None
    status: str
    quantity: str
    before: float | None
    after: float | None
    change: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """The judgement of one run (None: the total) by a threshold: ``pass``, ``fail``, or ``error`` if unknown."""

    run: str | None
    threshold: str
    quantity: str
    status: str
    message: str
    places: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Result):
    """Two sets of runs, compared.

    ``status`` is ``within``, ``violated`` where a threshold is exceeded, ``unreadable`` where one cannot be judged.
    Hours, days, money, energy and carbon of a side lie within a factor of ``band``, four times in five; None where no
    utilisation is a default.
    """

    schema: ClassVar[str] = "scaleplan/diff/1"

    status: str
    before: str
    after: str
    changes: tuple[Change, ...]
    judged: tuple[Breach, ...]
    warnings: tuple[Notice, ...]
    band: float | None = None

    @property
    def exit_status(self) -> int:
        """The exit status: 0 within, 1 violated, 2 unreadable."""
        return EXIT_STATUSES[self.status]


def compare(before: Snapshot, after: Snapshot, *, thresholds: Sequence[Threshold] = ()) -> Difference:
    """Return what changed from one side to the other; runs are matched by name.

    If each side has a single run, these two are compared whatever their names. ``thresholds`` of a single run are
    judged for every run that both sides have, and for quantities that have a sum, also for runs that were added
    (from nothing) or removed.
    """
    pairs = list(_pairs(before, after))
    changes = [change for name, old, new in pairs for change in _changes(name, old, new)]
    if len(pairs) > 1:
        changes += _totals(pairs)
    judged = [breach for threshold in thresholds for breach in _judged(threshold, pairs)]
    return Difference(
        status=outcome(breach.status for breach in judged),
        before=before.label,
        after=after.label,
        changes=tuple(changes),
        judged=tuple(judged),
        warnings=tuple(_notices(pairs)),
        band=max((state.band for _, *sides in pairs for state in sides if state and state.band), default=None),
    )


_Pair = tuple[str, State | None, State | None]


def _pairs(before: Snapshot, after: Snapshot) -> Iterator[_Pair]:
    if len(before.runs) == len(after.runs) == 1:
        ((old_name, old),), ((name, new),) = before.runs.items(), after.runs.items()
        yield name if name == old_name else f"{old_name} → {name}", old, new
        return
    for name, new in after.runs.items():
        yield name, before.runs.get(name), new
    for name, old in before.runs.items():
        if name not in after.runs:
            yield name, old, None


def _changes(name: str, old: State | None, new: State | None) -> Iterator[Change]:
    rows = []
    for quantity in QUANTITIES:
        before = old.values.get(quantity) if old else None
        after = new.values.get(quantity) if new else None
        if before is None and after is None:
            continue
        rows.append((quantity, before, after))
    moved = _other_law(old, new) or any(before != after for _, before, after in rows)
    status = "added" if old is None else "removed" if new is None else "changed" if moved else "same"
    for quantity, before, after in rows:
        comparable = not (_other_law(old, new) and quantity in _STANDARDS)
        yield _change(name, status, quantity, before, after, comparable=comparable)


def _other_law(old: State | None, new: State | None) -> bool:
    return old is not None and new is not None and old.preset != new.preset


def _change(
    run: str | None, status: str, quantity: str, before: float | None, after: float | None, *, comparable: bool = True
) -> Change:
    change = after - before if comparable and before is not None and after is not None else None
    ratio = change / abs(before) if change is not None and before else None
    return Change(run=run, status=status, quantity=quantity, before=before, after=after, change=change, ratio=ratio)


def _totals(pairs: Sequence[_Pair]) -> Iterator[Change]:
    for quantity in ADDITIVE:
        before, after = _total(pairs, quantity)
        if before is not None and after is not None:
            yield _change(None, "same" if before == after else "changed", quantity, before, after)


def _total(pairs: Sequence[_Pair], quantity: str) -> tuple[float | None, float | None]:
    """Return the sums on both sides; None for one in which a run's part is not known."""
    sums: list[float | None] = []
    for side in (1, 2):
        parts = [state.values.get(quantity) for pair in pairs if isinstance(state := pair[side], State)]
        known = [part for part in parts if part is not None]
        sums.append(sum(known) if len(known) == len(parts) else None)
    return sums[0], sums[1]


def _judged(threshold: Threshold, pairs: Sequence[_Pair]) -> Iterator[Breach]:
    quantity = threshold.quantity
    if threshold.total:
        before, after = _total(pairs, quantity)
        places = tuple(place for _, _, new in pairs if new for place in new.places)
        yield _breach(threshold, None, before, after, places=places)
        return
    for name, old, new in pairs:
        if (old is None or new is None) and quantity not in ADDITIVE:
            continue  # a run that came or went has no loss that rose or fell
        before = 0.0 if old is None else old.values.get(quantity)
        after = 0.0 if new is None else new.values.get(quantity)
        if _other_law(old, new) and quantity in _STANDARDS:
            before = None
        yield _breach(threshold, name, before, after, places=new.places if new else ())


def _breach(
    threshold: Threshold, run: str | None, before: float | None, after: float | None, *, places: tuple[Location, ...]
) -> Breach:
    quantity, what = threshold.quantity, f"{'total ' if threshold.total else ''}{threshold.quantity}"
    if before is None or after is None:
        status, message = "error", f"{threshold.text} cannot be judged: {what} is not known on both sides"
    else:
        size = threshold.size(before, after)
        failed = threshold.exceeded(size)
        status = "fail" if failed else "pass"
        sign = threshold.op if failed else {">": "<=", ">=": "<"}[threshold.op]
        limit = threshold.text.rpartition(" ")[2] if threshold.relative else amount(quantity, threshold.value)
        sides = f"{amount(quantity, before)} → {amount(quantity, after)}"
        message = f"{what} {threshold.way} {threshold.written(size)} {sign} {limit} ({sides})"
    return Breach(run=run, threshold=threshold.text, quantity=quantity, status=status, message=message, places=places)


def _notices(pairs: Sequence[_Pair]) -> Iterator[Notice]:
    for name, old, new in pairs:
        if old and new and old.preset != new.preset:
            laws = f"from {old.preset} to {new.preset}: their losses are not comparable"
            yield Notice(code="other_law", message=f"{name}: the law changed {laws}")


_GRAMMAR = re.compile(
    r"\s*(?P<total>total\s+)?(?P<quantity>[A-Za-z_]\w*)\s+(?P<way>increase|decrease|change)\s*(?P<op>>=|>)\s*(?P<amount>.+?)\s*"
)

_NOTHING = re.compile(r"0+(?:\.0*)?\s*%?")

_EXAMPLE = "for example 'cost increase > 10%' or 'total gpu_hours increase > 5000'"

_TOLERANCE = 1e-9  # relative; a tenth more is 1.1 times as much only to the last place
_MOST_DIGITS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A change that is too much: ``way`` is ``increase``, ``decrease`` or ``change``, ``op`` is ``>`` or ``>=``.

    ``value`` is in the base unit of the quantity, or a fraction of the value before if ``relative``; a ``total``
    concerns the sum over all runs rather than each run. ``text`` is the canonical form.
    """

    quantity: str
    way: str
    op: str
    value: float
    relative: bool
    total: bool
    text: str

    def size(self, before: float, after: float) -> float | None:
        """Return the change as it is compared; None for a fraction of nothing, which is beyond any."""
        change = {"increase": after - before, "decrease": before - after, "change": abs(after - before)}[self.way]
        if not self.relative:
            return change
        return change / abs(before) if before else None if change > 0 else 0.0

    def exceeded(self, size: float | None) -> bool:
        """Return whether a change of this size is too much."""
        if size is None:
            return True
        slack = _TOLERANCE * self.value
        return size > self.value + slack if self.op == ">" else size >= self.value - slack

    def written(self, size: float | None) -> str:
        """Write the size of a change with the digits it takes to see on which side it is."""
        if size is None:
            return "from nothing"
        for digits in range(3, _MOST_DIGITS):
            text = self._amount(size, digits)
            if size <= 0 or self._amount(self.value, _MOST_DIGITS - 1) == text:
                continue
            seen = self._read(text)
            if seen is not None and self.exceeded(seen) == self.exceeded(size):
                return text
        return self._amount(size, 3)

    def _amount(self, size: float, digits: int) -> str:
        return format_fraction(size, digits=digits) if self.relative else amount(self.quantity, size, digits=digits)

    def _read(self, text: str) -> float | None:
        try:
            return parse("ratio" if self.relative else QUANTITIES[self.quantity], text)
        except QuantityError:
            return None


def parse_threshold(text: str) -> Threshold:
    """Read ``[total] QUANTITY increase|decrease|change > AMOUNT``, or ``>=``; an amount in percent is relative.

    Raises UsageError for a text of another shape, an amount that cannot be read, and totals that mean nothing;
    UnknownNameError for a quantity that does not exist.

    >>> parse_threshold("cost increase > 10%").value
    0.1

    """
    match = _GRAMMAR.fullmatch(text) if len(text) <= 200 else None
    if match is None:
        raise UsageError(f"{quote(text)} is not a limit on a change", hint=_EXAMPLE)
    quantity, total = match["quantity"], match["total"] is not None
    if quantity not in QUANTITIES:
        raise UnknownNameError("quantity", quantity, QUANTITIES)
    if total and quantity not in ADDITIVE:
        raise UsageError(f"the {quantity} of several runs has no total", hint=f"totals: {', '.join(ADDITIVE)}")
    relative = match["amount"].endswith("%")
    kind = "ratio" if relative else QUANTITIES[quantity]
    value = 0.0 if _NOTHING.fullmatch(match["amount"]) else parse(kind, match["amount"])
    shown = f"{value * 100:.12g}%" if relative else exact(kind, value) if value else "0"
    prefix = "total " if total else ""
    return Threshold(
        quantity=quantity,
        way=match["way"],
        op=match["op"],
        value=value,
        relative=relative,
        total=total,
        text=f"{prefix}{quantity} {match['way']} {match['op']} {shown}",
    )
