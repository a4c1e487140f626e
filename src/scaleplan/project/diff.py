"""Compare two sets of runs quantity by quantity: saved plans, project files, or a git revision of them.

Two saved results of another kind are compared value by value, as their JSON has them.
Thresholds on a change make the comparison a check: ``cost increase > 10%``, ``total gpu_hours increase > 5000``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from scaleplan.documents.document import located
from scaleplan.documents.key_path import Location, format_key, paired_values
from scaleplan.errors import FileError, Notice, QuantityError, ScaleplanError, UnknownNameError, UsageError, quote
from scaleplan.files import read_text
from scaleplan.planning.plan import Plan, Plans
from scaleplan.project.check import EXIT_STATUSES, Check, amount, check, outcome
from scaleplan.project.estimate import ADDITIVE, Estimator, measures, measures_of, sources
from scaleplan.project.project import Project, UnreadProject, read_project, read_projects, run_names
from scaleplan.project.saved import MAX_SAVED_BYTES, lines_of, read_saved
from scaleplan.project.source import Revision, WorkTree, display_name
from scaleplan.record import Result
from scaleplan.units import exact, format_fraction, parse
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.documents.key_path import Value
    from scaleplan.project.check import Verdict
    from scaleplan.project.saved import ResultRecord
    from scaleplan.project.source import Tree

__all__ = [
    "Breach",
    "Change",
    "Difference",
    "Snapshot",
    "State",
    "Unreadable",
    "compare",
    "compare_with_revision",
    "of_file",
    "of_projects",
    "parse_threshold",
]

_STANDARDS = ("loss", "excess_loss")  # measured on a law's own text: those of two laws are never subtracted


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Something on one side, ``before`` or ``after``, that could not be read: a run, or a whole file if it is None.

    ``file`` and ``line`` are the place to point at.
    """

    side: str
    run: str | None
    message: str
    hint: str | None
    file: str
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One run on one side of a comparison: its quantities in base units, its law, and where its values come from.

    ``inputs`` is what stands at each place. A run that could not be planned has its ``problem`` and nothing else.
    """

    values: Mapping[str, float | None] = field(default_factory=dict)
    preset: str = ""
    places: tuple[Location, ...] = ()
    inputs: Mapping[Location, str | float | None] = field(default_factory=dict)
    problem: Unreadable | None = None
    band: float | None = None


_UNREAD = State(problem=Unreadable(side="", run=None, message="", hint=None, file="", line=None))
"""A run in a file that could not be read: whether there is one of its name is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One side of a comparison: runs by name, what to call it, and the files that could not be read.

    ``kind`` is that of a saved result, as its schema names it. One that holds no plans has its JSON as ``values``,
    and a single run with the quantities among them.
    """

    label: str
    runs: Mapping[str, State]
    problems: tuple[Unreadable, ...] = ()
    kind: str = "project"
    values: Mapping[str, object] | None = None

    def state(self, name: str) -> State | None:
        """Return the run of a name; None where there is none, a run that is not known where a file is missing."""
        return self.runs.get(name, _UNREAD if self.problems else None)

    def all_problems(self) -> list[Unreadable]:
        """Return what could not be read, files first."""
        return [*self.problems, *(state.problem for state in self.runs.values() if state.problem)]


def of_file(name: str, *, side: str = "before") -> Snapshot:
    """Return the snapshot of a saved JSON result or of a project's TOML file.

    Raises ScaleplanError when it cannot be read.
    """
    path = Path(name)
    if path.suffix.casefold() == ".toml":
        return of_projects([read_project(path)], WorkTree(), side=side)
    shown = display_name(path)
    text = read_text(path, what="saved result", limit=MAX_SAVED_BYTES)
    try:
        result = read_saved(text, name=shown)
        kind = result.schema.split("/")[1]
        if not isinstance(result, Plan | Plans | Check):
            values = json.loads(text)
            return Snapshot(label=shown, runs={kind: _quantities(values)}, kind=kind, values=values)
        runs = _saved_runs(result, shown, side)
        for position, state in enumerate(runs.values()):
            _require_values(state, result, position, shown)
    except FileError as error:
        raise located(error, name=shown, lines=lines_of(text)) from None
    return Snapshot(label=shown, runs=runs, kind=kind)


def _quantities(values: Mapping[str, object]) -> State:
    """Return the quantities and the law that a result has among its own keys."""
    found = {name: value for name in QUANTITIES if _is_number(value := values.get(name))}
    law = values.get("preset", values.get("law"))
    return State(values=found, preset=law if isinstance(law, str) else "")


def _saved_runs(result: Plan | Plans | Check, shown: str, side: str) -> dict[str, State]:
    if isinstance(result, Plan):
        return {"plan": _state(result)}
    if isinstance(result, Plans):
        return {f"plan {i}": _state(plan) for i, plan in enumerate(result, start=1)}
    if not result.runs:
        raise FileError(f"{shown}: runs: a check has at least one run", hint="save the result again with --json")
    twice = Counter(run.name for run in result.runs)
    found: dict[str, State] = {}
    for run in result.runs:
        name = f"{run.name} ({run.file})" if twice[run.name] > 1 else run.name
        if run.preset is not None:
            found[name] = State(values=run.values, preset=run.preset, band=run.budget.band if run.budget else None)
        else:
            reasons = (
                verdict.message for verdict in result.verdicts if verdict.run == run.name and not verdict.limit
            )
            message = next(reasons, f"run {quote(run.name)} could not be planned")
            found[name] = State(
                problem=Unreadable(side=side, run=name, message=message, hint=None, file=shown, line=None)
            )
    return found


_SIGNED = ("excess_loss", "compute_overhead")  # 0 but for rounding at an optimum

_OF_BUDGET = ("gpus", "gpu_hours", "days", "cost", "energy_kwh")  # where a saved plan keeps them

_LARGEST = 1e300  # of a saved amount: differences and sums stay finite


def _require_values(state: State, result: ResultRecord, position: int, shown: str) -> None:
    """Refuse values that no plan has: such a file was damaged, or written by something else."""
    for quantity, value in state.values.items():
        if isinstance(result, Check):
            key = f"runs[{position}].values.{quantity}"
        else:
            section = "budget." if quantity in _OF_BUDGET else ""
            key = f"plans[{position}].{section}{quantity}" if isinstance(result, Plans) else f"{section}{quantity}"
        if quantity not in QUANTITIES:
            raise FileError(f"{shown}: {key}: there is no quantity of this name")
        if value is not None and not (abs(value) <= _LARGEST and (value >= 0 or quantity in _SIGNED)):
            raise FileError(
                f"{shown}: {key}: no plan has the value {quote(value)}", hint="save the result again with --json"
            )


def of_projects(
    projects: Sequence[Project | UnreadProject],
    tree: Tree,
    *,
    side: str,
    label: str | None = None,
    names: Mapping[tuple[str, str], str] | None = None,
) -> Snapshot:
    """Return the snapshot of the runs of some projects; what cannot be read or planned is a problem of it.

    ``names`` is what to call the runs, by file and name.
    """
    estimator = Estimator(tree)
    read = [project for project in projects if isinstance(project, Project)]
    names = run_names(read) if names is None else names
    runs: dict[str, State] = {}
    for run in (run for project in read for run in project.runs):
        name = names.get((run.file, run.name), run.name)
        try:
            estimate = estimator.estimate(run)
        except ScaleplanError as error:
            message = f"run {quote(run.name)} cannot be planned: {error.message}"
            at = Location(file=run.file, line=run.line, key="")
            runs[name] = State(problem=_problem(error, message, side=side, at=at, run=name, label=label))
            continue
        runs[name] = State(
            values=measures(estimate),
            preset=estimate.plan.preset,
            places=sources(estimate, "flops"),
            inputs=estimator.inputs(run, estimate.given),
            band=estimate.plan.budget.band,
        )
    problems = [
        _problem(
            each.error,
            each.error.message,
            side=side,
            at=Location(file=each.file, line=None, key=""),
            run=None,
            label=label,
        )
        for each in projects
        if isinstance(each, UnreadProject)
    ]
    shown = label or ", ".join(project.file for project in projects)
    return Snapshot(label=shown, runs=runs, problems=tuple(problems))


def _problem(
    error: ScaleplanError, message: str, *, side: str, at: Location, run: str | None, label: str | None
) -> Unreadable:
    """Return the problem of an error, at the place that it knows or else at this one; ``label`` is the revision."""
    file, line = at.file, at.line
    if isinstance(error, FileError) and error.file is not None:
        file, line = error.file, error.line
    if label is not None:
        message = f"at {quote(label)}: {message}"
    return Unreadable(side=side, run=run, message=message, hint=error.hint, file=file, line=line)


def _state(plan: Plan) -> State:
    return State(values=measures_of(plan), preset=plan.preset, band=plan.budget.band)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One quantity of one run, before and after; ``run`` is None for the total over all runs.

    ``status`` is that of the run: ``changed``, ``same``, ``renamed``, ``added`` or ``removed``. ``change`` is after
    minus before in the base unit, ``ratio`` the same as a fraction of what was before; None where there is no such
    number. Of results without runs it is one value that differs: ``quantity`` is its key path, ``run`` is None, and
    ``status`` is its own.
    """

    run: str | None
    status: str
    quantity: str
    before: Value
    after: Value
    change: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """The judgement of one run (None: the total) by a threshold: ``pass``, ``fail``, or ``error`` if unknown.

    It is ``warn`` where the base is why it is unknown. Then the runs are judged by their policy, and the threshold is
    a limit of that.
    """

    run: str | None
    threshold: str
    quantity: str
    status: str
    message: str
    places: tuple[Location, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Result):
    """Two sets of runs, compared.

    ``status`` is ``within``, ``violated`` where a threshold is exceeded, ``unreadable`` where one cannot be judged or
    a run cannot be read. It is ``base_unreadable`` where only the revision to compare with cannot be read, as before
    a change that repairs it: what can be compared is, and the runs of the work tree keep their policy.
    Hours, days, money, energy and carbon of a side lie within a factor of ``band``, four times in five; None where no
    utilisation is a default. ``kind`` is that of two results that are compared value by value, None of runs.
    """

    schema: ClassVar[str] = "scaleplan/diff/1"

    status: str
    before: str
    after: str
    changes: tuple[Change, ...]
    judged: tuple[Breach, ...]
    warnings: tuple[Notice, ...]
    problems: tuple[Unreadable, ...] = ()
    band: float | None = None
    kind: str | None = None

    @property
    def exit_status(self) -> int:
        """The exit status: 0 within or where only the base is unreadable, 1 violated, 2 unreadable."""
        return EXIT_STATUSES[self.status]


def compare(
    before: Snapshot,
    after: Snapshot,
    *,
    thresholds: Sequence[Threshold] = (),
    verdicts: Sequence[Verdict] | None = None,
) -> Difference:
    """Return what changed from one side to the other; runs are matched by name, other results value by value.

    If each side has a single run, these two are compared whatever their names. ``thresholds`` of a single run are
    judged for every run that both sides have, and for quantities that have a sum, also for runs that were added
    (from nothing) or removed. ``verdicts`` are those of the runs after the change by their policy: with them, what
    cannot be read before the change is no error. Raises UsageError for two results of different kinds, unless both
    hold runs.
    """
    if before.kind != after.kind and (before.values is not None or after.values is not None):
        raise UsageError(
            f"a result of kind '{before.kind}' ({before.label}) cannot be compared with one of kind '{after.kind}' "
            f"({after.label})",
            hint="compare two results of the same command",
        )
    pairs = list(_pairs(before, after))
    broken, unread = before.all_problems(), after.all_problems()
    if not pairs and not broken and not unread:
        raise FileError(f"{before.label}, {after.label}: there is no run to compare", hint="describe one in [[run]]")
    renamed = len(pairs) == 1 and len(before.runs) == len(after.runs) == 1 and before.runs.keys() != after.runs.keys()
    if before.values is not None and after.values is not None:
        changes = [*_value_changes(before.values, after.values, other_law=_other_law(*pairs[0][1:]))]
    else:
        changes = [change for name, old, new in pairs for change in _changes(name, old, new, renamed=renamed)]
    if len(pairs) > 1:
        changes += _totals(pairs)
    judged = [
        breach for threshold in thresholds for breach in _judged(threshold, pairs, excused=verdicts is not None)
    ]
    judged += [_by_policy(verdict) for verdict in verdicts or () if verdict.limit is not None]
    statuses = [breach.status for breach in judged] + ["error"] * len(
        unread if verdicts is not None else broken + unread
    )
    status = outcome(statuses)
    return Difference(
        status="base_unreadable" if broken and status == "within" else status,
        before=before.label,
        after=after.label,
        changes=tuple(changes),
        judged=tuple(judged),
        warnings=tuple(_notices(pairs)),
        problems=(*broken, *unread),
        band=max((state.band for _, *sides in pairs for state in sides if state and state.band), default=None),
        kind=before.kind if before.values is not None else None,
    )


def compare_with_revision(name: str, paths: Sequence[Path], *, thresholds: Sequence[Threshold] = ()) -> Difference:
    """Return what the work tree changes in the projects of some files since a git revision.

    A file that the revision lacks has no runs there. Raises ScaleplanError for a revision that git does not know, and
    where no file of the work tree can be read.
    """
    revision = Revision(name, folder=paths[0].parent)
    tree = WorkTree()
    new = read_projects(paths, tree=tree)
    if all(isinstance(project, UnreadProject) for project in new):
        raise next(project.error for project in new if isinstance(project, UnreadProject))
    old = read_projects([path for path in paths if revision.has(path)], tree=revision)
    names = run_names([project for project in (*old, *new) if isinstance(project, Project)])
    before = of_projects(old, revision, side="before", label=name, names=names)
    if revision.lacking:  # nothing that the change could repair
        raise FileError(
            f"git cannot give {', '.join(map(quote, dict.fromkeys(revision.lacking)))} at {quote(name)}",
            hint="it is in a submodule, or left out of this clone: compare two saved results, or clone it in full",
        )
    after = of_projects(new, tree, side="after", names=names)
    verdicts = None
    if before.all_problems():
        verdicts = check(new, tree=tree).verdicts if after.runs else ()
    return compare(before, after, thresholds=thresholds, verdicts=verdicts)


def _by_policy(verdict: Verdict) -> Breach:
    """Return a verdict among the judgements of a comparison."""
    places = (Location(file=verdict.file, line=verdict.line, key=verdict.key), *verdict.also)
    assert verdict.limit is not None
    return Breach(
        run=verdict.run,
        threshold=verdict.limit,
        quantity=verdict.quantity or "",
        status=verdict.status,
        message=verdict.message,
        places=places,
    )


_Pair = tuple[str, State | None, State | None]


def _pairs(before: Snapshot, after: Snapshot) -> Iterator[_Pair]:
    if len(before.runs) == len(after.runs) == 1 and not before.problems and not after.problems:
        ((old_name, old),), ((name, new),) = before.runs.items(), after.runs.items()
        yield name if name == old_name else f"{old_name} → {name}", old, new
        return
    for name, new in after.runs.items():
        yield name, before.state(name), new
    for name, old in before.runs.items():
        if name not in after.runs:
            yield name, old, after.state(name)


def _changes(name: str, old: State | None, new: State | None, *, renamed: bool) -> Iterator[Change]:
    if (old and old.problem) or (new and new.problem):
        return  # the problem says so
    rows = []
    for quantity in QUANTITIES:
        before = old.values.get(quantity) if old else None
        after = new.values.get(quantity) if new else None
        if before is None and after is None:
            continue
        rows.append((quantity, before, after))
    moved = _other_law(old, new) or any(before != after for _, before, after in rows)
    status = "added" if old is None else "removed" if new is None else "changed" if moved else "same"
    if status == "same" and renamed:
        status = "renamed"
    for quantity, before, after in rows:
        comparable = not (_other_law(old, new) and quantity in _STANDARDS)
        yield _change(name, status, quantity, before, after, comparable=comparable)


def _other_law(old: State | None, new: State | None) -> bool:
    return bool(old and new and not old.problem and not new.problem and old.preset != new.preset)


def _value_changes(before: Mapping[str, object], after: Mapping[str, object], *, other_law: bool) -> Iterator[Change]:
    """Yield the values of two results that differ; of two laws only what is known to be no loss is subtracted."""
    for key, old, new in paired_values(before, after):
        if old == new and isinstance(old, bool) == isinstance(new, bool):
            continue
        status = "added" if old is None else "removed" if new is None else "changed"
        names = {str(part).removesuffix("_interval") for part in key}
        comparable = not other_law or (not names.isdisjoint(QUANTITIES) and names.isdisjoint(_STANDARDS))
        yield _change(None, status, format_key(key), old, new, comparable=comparable)


def _change(
    run: str | None, status: str, quantity: str, before: Value, after: Value, *, comparable: bool = True
) -> Change:
    change = ratio = None
    if comparable and _is_number(before) and _is_number(after):
        change = after - before
        ratio = change / abs(before) if before else None
        if ratio is not None and not math.isfinite(ratio):
            ratio = None
    return Change(run=run, status=status, quantity=quantity, before=before, after=after, change=change, ratio=ratio)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def _judged(threshold: Threshold, pairs: Sequence[_Pair], *, excused: bool) -> Iterator[Breach]:
    """Yield the judgements by one threshold; where only the base is unreadable it warns, if ``excused``."""
    quantity = threshold.quantity
    if threshold.total:
        before, after = _total(pairs, quantity)
        places = tuple(place for _, old, new in pairs if new for place in _places(old, new))
        excused = excused and not any(new and new.problem for _, _, new in pairs)
        yield _breach(threshold, None, before, after, places=places, excused=excused)
        return
    some_gone = any(new is None for *_, new in pairs)
    for name, old, new in pairs:
        if (old is None or new is None) and quantity not in ADDITIVE:
            if old is None and some_gone:  # it may be one of these under another name
                yield _breach(threshold, name, None, None, places=_places(old, new) if new else (), excused=False)
            continue  # a run that came or went has no loss that rose or fell
        before = 0.0 if old is None else old.values.get(quantity)
        after = 0.0 if new is None else new.values.get(quantity)
        if _other_law(old, new) and quantity in _STANDARDS:
            before = None
        places = _places(old, new) if new else ()
        unread = excused and old is not None and old.problem is not None and not (new and new.problem)
        yield _breach(threshold, name, before, after, places=places, excused=unread)


_POSITION = re.compile(r"\brun\[\d+\]")  # of a run in its file, which another run may move


def _places(old: State | None, new: State) -> tuple[Location, ...]:
    """Return where to point for a run: first what changed, then what else its compute follows from."""
    if old is None or old.problem is not None:
        return new.places
    files = {place.file for place in old.inputs}
    before = {(place.file, _POSITION.sub("run", place.key)): value for place, value in old.inputs.items()}
    by_key = {key: value for (_, key), value in before.items()}
    changed = []
    for place, value in new.inputs.items():
        key = _POSITION.sub("run", place.key)
        was = before.get((place.file, key), _UNREAD) if place.file in files else by_key.get(key, _UNREAD)
        if was != value:
            changed.append(place)
    changed.sort(key=lambda place: new.places.index(place) if place in new.places else len(new.places))
    return tuple(dict.fromkeys((*changed, *new.places)))


def _breach(
    threshold: Threshold,
    run: str | None,
    before: float | None,
    after: float | None,
    *,
    places: tuple[Location, ...],
    excused: bool,
) -> Breach:
    quantity, what = threshold.quantity, f"{'total ' if threshold.total else ''}{threshold.quantity}"
    if before is None or after is None:
        reason = "the base cannot be read" if excused else f"{what} is not known on both sides"
        status, message = "warn" if excused else "error", f"{threshold.text} cannot be judged: {reason}"
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
        if old and new and _other_law(old, new):
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
