"""What did a change do to the bill: two sets of runs, compared quantity by quantity, and judged where asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.notices import Notice
from scaleplan.policy.measure import ADDITIVE
from scaleplan.policy.outcome import EXIT_STATUSES, outcome
from scaleplan.policy.wording import amount
from scaleplan.quantities.limits import QUANTITIES
from scaleplan.records import as_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.config.run import Place
    from scaleplan.policy.change import Threshold

__all__ = ["Breach", "Change", "Difference", "Snapshot", "State", "compare"]

_STANDARDS = ("loss", "excess_loss")  # measured on a law's own text: those of two laws are never subtracted


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One run on one side of a comparison: its quantities in base units, its law, and where its values come from."""

    values: Mapping[str, float | None]
    preset: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One side of a comparison: runs by name, and what to call it."""

    label: str
    runs: Mapping[str, State]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One quantity of one run, before and after; ``run`` is None for the total over all runs.

    ``status`` says what became of the run: ``changed``, ``same``, ``added`` or ``removed``. ``change`` is after minus
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
    """What a threshold found about one run (None: the total): ``pass``, ``fail``, or ``error`` if it cannot tell."""

    run: str | None
    threshold: str
    quantity: str
    status: str
    message: str
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Two sets of runs, compared.

    ``status`` is ``within``, ``violated`` where a threshold is exceeded, ``unreadable`` where one cannot be judged.
    """

    schema: ClassVar[str] = "scaleplan/diff/1"

    status: str
    before: str
    after: str
    changes: tuple[Change, ...]
    judged: tuple[Breach, ...]
    warnings: tuple[Notice, ...]

    @property
    def exit_status(self) -> int:
        """The exit status: 0 within, 1 violated, 2 unreadable."""
        return EXIT_STATUSES[self.status]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)


def compare(before: Snapshot, after: Snapshot, *, thresholds: Sequence[Threshold] = ()) -> Difference:
    """Return what changed from one side to the other; runs are matched by name.

    Parameters
    ----------
    before, after
        The two sides. If each has a single run, these two are compared whatever they are called.
    thresholds
        Changes that are too much; those of a single run are judged for every run that both sides have, and for
        quantities that have a sum, also for runs that were added (from nothing) or removed.

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
        comparable = not (old and new and old.preset != new.preset and quantity in _STANDARDS)
        rows.append((quantity, before, after, comparable))
    moved = any(before != after for _, before, after, _ in rows) or bool(old and new and old.preset != new.preset)
    status = "added" if old is None else "removed" if new is None else "changed" if moved else "same"
    for quantity, before, after, comparable in rows:
        yield _change(name, status, quantity, before, after, comparable=comparable)


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
        if old and new and old.preset != new.preset and quantity in _STANDARDS:
            before = None
        yield _breach(threshold, name, before, after, places=new.places if new else ())


def _breach(
    threshold: Threshold, run: str | None, before: float | None, after: float | None, *, places: tuple[Place, ...]
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
            yield Notice(
                code="other_law",
                message=f"{name}: the law changed from {old.preset} to {new.preset}: their losses are not comparable",
            )
