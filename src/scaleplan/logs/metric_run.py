"""Read the metrics of one run: which of them its curves are made of, and what its rows state of the whole run.

Every structured log comes down to rows: a row has values of some metrics, and mostly the step at which they were
logged. Here it is decided which column counts the steps, which metric is the training loss and which the validation
loss. The choice is made by the first rows that are given, so that a file of any length is read in one pass.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.logs.metrics import STATED, role_of
from scaleplan.tables.cells import is_missing, to_number
from scaleplan.tables.headings import listed, normalised
from scaleplan.tables.loss_units import LOSS_UNITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.logs.metrics import Meaning
    from scaleplan.logs.recorder import Recorder
    from scaleplan.tables.cells import Cell, Numbers

__all__ = ["CALLS", "LEAST_ROWS", "MetricRun", "by_step", "seconds_since_1970"]

_FEW = 0.05
"""The share of the points of the fullest candidate below which a metric is no curve beside it: the mean over the run
that is logged once, at its end."""

LEAST_ROWS = 3
"""Rows before a step that returns to the first one for which they are a run of their own."""

_CURVES = frozenset(
    {
        *("loss", "val_loss", "lr", "relative_lr", "tokens", "samples", "seconds", "clock", "grad_norm", "mfu"),
        *("tokens_per_second", "device_tokens_per_second", "step_seconds"),
    }
)
_LOSSES = frozenset({"loss", "val_loss"})
_COUNTS = frozenset({"tokens", "seconds", "clock"})
CALLS = 9
"""The rank of a count of calls of a logger: no steps of training."""

_OTHER_UNIT = 20.0  # the rank of a loss in another unit than nats
_MOSTLY = 0.9  # of the rows a count of tokens rises in, with a restart or two between them
_LARGEST_MFU = 1.5  # above it a utilisation is in percent
_SINCE_1970 = 1e8  # a time stamp in seconds, of a date after 1973; a run of as many seconds lasts three years
_MILLISECONDS = 1e11  # seconds since 1970 reach it in the year 5138; milliseconds did in 1973


def by_step(columns: Mapping[str, Numbers], steps: Array) -> Index | None:
    """Return the order of rows by their steps, where each metric is in order and they together are not.

    So are files that hold one metric after the other. None where the rows stay as they are: in order already, or
    those of a run that went back.
    """
    if not np.any(np.diff(steps[np.isfinite(steps)]) < 0):
        return None
    for name, numbers in columns.items():
        meaning = role_of(name)
        if meaning is not None and meaning.role in _CURVES - _COUNTS and meaning.role != "samples":
            of_metric = steps[~numbers.absent]
            if np.any(np.diff(of_metric[np.isfinite(of_metric)]) < 0):
                return None
    order: Index = np.argsort(steps, kind="stable")
    return order


class MetricRun:
    """One run as its rows come: the metrics that were chosen for its curves, and the recorder that they go to."""

    def __init__(self, recorder: Recorder, *, loss: str | None = None) -> None:
        self.recorder = recorder
        self.first_step = math.inf
        self.rows = 0
        self._named_loss = loss
        self._chosen: dict[str, str] = {}
        self._factors: dict[str, float] = {}
        self._counted: set[str] = set()  # the samples that were found to be all so far
        self._steps: list[str] | None = None
        self._last_step = math.nan
        self._warned = False

    def extend(self, columns: Mapping[str, Numbers], steps: Array, lines: Callable[[int], int]) -> None:
        """Record rows at ``steps``; ``lines`` returns the line of one."""
        roles = _roles(columns)
        self._state(columns, roles)
        self._choose(columns, roles, steps)
        curves: dict[str, Array] = {}
        lost = np.zeros(len(steps), dtype=bool)
        for role, name in self._chosen.items():
            if name not in columns:
                continue
            numbers = columns[name]
            curves[role] = self._converted(role, name, numbers.values)
            if role in {"loss", "val_loss"}:
                lost |= self._is_lost(role, numbers, columns)
        known = np.isfinite(steps)
        if not known.any():
            return
        if "loss" in curves and "val_loss" in curves:  # when a validation was written down is no time of training
            validated = np.isfinite(curves["val_loss"]) & ~np.isfinite(curves["loss"]) & ~lost
            for role in _COUNTS & curves.keys():
                curves[role] = np.where(validated, np.nan, curves[role])
        self.rows += int(known.sum())
        self.first_step = min(self.first_step, float(np.min(steps[known])))
        clock = next((columns[n] for n, meaning in roles.items() if meaning.role == "clock"), None)
        if clock is not None and clock.there().any():
            latest = float(np.nanmax(np.where(clock.there(), clock.values, np.nan)))
            self.recorder.written = seconds_since_1970(latest) or self.recorder.written
        if curves:
            rows = np.flatnonzero(known & (lost | _any_finite(curves)))
            self.recorder.extend(
                steps[rows],
                {role: values[rows] for role, values in curves.items()},
                lost=lost[rows],
                line_of=lambda row: lines(int(rows[row])),
            )

    def steps(self, columns: Mapping[str, Numbers]) -> Array:
        """Return the step of each row: of the best column that counts them, else of the row before."""
        roles = {name: meaning for name in columns if (meaning := role_of(name)) is not None}
        if self._steps is None:
            self._steps = self._step_columns(columns, roles)
        count = len(next(iter(columns.values())).values)
        steps = np.full(count, np.nan)
        for name in self._steps:
            if name in columns:
                factor = roles[name].factor if name in roles and roles[name].role == "tokens" else 1.0
                steps = np.where(np.isfinite(steps), steps, columns[name].values * factor)
        steps[~np.isfinite(steps)] = np.nan
        if not self._steps:
            return np.arange(self.rows + 1.0, self.rows + count + 1.0)
        known = np.isfinite(steps)
        if not known.all():
            last = np.maximum.accumulate(np.where(known, np.arange(count), -1))
            steps = np.where(last >= 0, steps[np.maximum(last, 0)], self._last_step)
        if count and np.isfinite(steps[-1]):
            self._last_step = float(steps[-1])
        return steps

    def _step_columns(self, columns: Mapping[str, Numbers], roles: Mapping[str, Meaning]) -> list[str]:
        """Return the columns that count steps, of the best kind that there is; ``[]`` where rows must be counted."""
        found = [(roles[name].rank, name) for name in columns if name in roles and roles[name].role == "step"] + [
            (9.0, name) for name in columns if name == "Step" and "_step" in columns
        ]
        found = [
            (rank, name) for rank, name in sorted(found, key=lambda each: each[0]) if columns[name].there().any()
        ]
        if found:
            best = int(found[0][0])
            if best >= CALLS:
                self.recorder.warn(
                    "logged_calls", f"'{found[0][1]}' counts calls of the logger, and nothing the steps of training"
                )
            return [name for rank, name in found if int(rank) == best or (best < 2 and int(rank) == 2)]
        for role, warning in (
            ("tokens", None),
            ("epoch", "no count of steps: epochs are counted instead"),
        ):
            name = next((name for name, meaning in roles.items() if meaning.role == role and name in columns), None)
            if name is not None and columns[name].there().any():
                if warning is not None:
                    self.recorder.warn("epochs_for_steps", warning)
                elif role == "tokens":
                    self.recorder.state(tokens_per_step=1.0)
                return [name]
        self.recorder.warn("rows_for_steps", "no count of steps: rows are counted instead")
        return []

    def _choose(self, columns: Mapping[str, Numbers], roles: Mapping[str, Meaning], steps: Array) -> None:
        """Choose a metric for each curve that has none yet."""
        found = self._candidates(columns, roles, steps)
        for role in sorted(found, key=lambda role: role != "loss"):  # a validation loss is to be in its unit
            names = found[role]
            points = {name: int(np.count_nonzero(~columns[name].absent)) for name in names}
            fullest = max(
                points[name] for name in [name for name in names if roles[name].rank < _OTHER_UNIT] or names
            )
            kept = names if role == "val_loss" else [name for name in names if points[name] > _FEW * fullest]
            best = min(kept, key=lambda name: (roles[name].rank, -points[name]))
            if self._named_loss in names:
                best = str(self._named_loss)
            if role != "val_loss" or self._comparable(roles[best], best):
                self._chosen[role] = best
                self._scale(role, best, columns[best], roles[best])
                if role in _LOSSES:
                    others = {name: columns[name] for name in kept if name != best}
                    self._describe(best, roles[best], columns[best], others)
        self._reconcile(columns, steps)

    def _candidates(
        self, columns: Mapping[str, Numbers], roles: Mapping[str, Meaning], steps: Array
    ) -> dict[str, list[str]]:
        """Return the metrics with values that could be the curve of each role that has none."""
        found: dict[str, list[str]] = {}
        for name, meaning in roles.items():
            if meaning.role not in _CURVES or meaning.role in self._chosen or name in self._chosen.values():
                continue
            numbers = columns[name]
            has_values = numbers.there().any() or (meaning.role in _LOSSES and not numbers.absent.all())
            if has_values and (meaning.role != "tokens" or self._rises(name, numbers, steps)):
                found.setdefault(meaning.role, []).append(name)
        return found

    def _reconcile(self, columns: Mapping[str, Numbers], steps: Array) -> None:
        """Keep one of several things that tell the same: the rate itself, the time of the run, its tokens."""
        relative = self._chosen.pop("relative_lr", None)
        if relative is not None and "lr" not in self._chosen:
            self._chosen["lr"] = relative
            self.recorder.state(relative_rate=True)
        for role, better in (("clock", "seconds"), ("step_seconds", "seconds"), ("step_seconds", "clock")):
            if better in self._chosen:
                self._chosen.pop(role, None)
        samples, sequence = self._chosen.get("samples"), self.recorder.stated("sequence")
        if samples is None or samples in self._counted:
            return
        del self._chosen["samples"]
        if "tokens" not in self._chosen and self._rises(samples, columns[samples], steps):
            self._counted.add(samples)
            self._chosen["tokens" if sequence else "samples"] = samples
            self._factors[samples] = float(sequence or 1)

    def _rises(self, name: str, numbers: Numbers, steps: Array) -> bool:
        """Whether a count of tokens is one of all tokens so far."""
        there = np.flatnonzero(numbers.there() & np.isfinite(steps))
        values = numbers.values[there][np.argsort(steps[there], kind="stable")]
        if len(values) < 2:
            return len(values) == 1 and values[0] > 0
        if values[-1] > values[0] and np.mean(np.diff(values) >= 0) >= _MOSTLY:
            return True
        if len(values) >= LEAST_ROWS and "total" not in normalised(name):
            self.recorder.warn(
                "tokens_do_not_rise", f"'{name}' does not rise with the steps: no count of tokens so far"
            )
        return False

    def _comparable(self, meaning: Meaning, name: str) -> bool:
        """Whether a validation loss is in the unit of the training loss, or becomes so; says where it is not."""
        unit = LOSS_UNITS[meaning.unit].kept
        trained = self._chosen.get("loss")
        if trained is None:
            return True
        meant = role_of(trained)
        if meant is None or LOSS_UNITS[meant.unit].kept == unit:
            return True
        self.recorder.warn(
            "other_unit", f"'{name}' is in {LOSS_UNITS[meaning.unit].meaning}, and left out beside '{trained}'"
        )
        return False

    def _scale(self, role: str, name: str, numbers: Numbers, meaning: Meaning) -> None:
        """Keep what the values of a metric are multiplied by."""
        values = numbers.values[numbers.there()]
        factor = meaning.factor
        if role in _LOSSES:
            factor = LOSS_UNITS[meaning.unit].factor
        elif role == "mfu" and ("%" in name or "percent" in name or np.max(values, initial=0.0) > _LARGEST_MFU):
            factor = 0.01
        elif role == "clock" and len(values):
            factor = _clock_factor(float(np.max(values)))
        self._factors[name] = factor

    def _describe(self, name: str, meaning: Meaning, numbers: Numbers, others: Mapping[str, Numbers]) -> None:
        """Record which loss was chosen, in which unit it is, and which others there were."""
        unit = LOSS_UNITS[meaning.unit]
        if unit.kept != "nats/token":
            self.recorder.state(loss_unit=next(key for key, each in LOSS_UNITS.items() if each.meaning == unit.kept))
            self.recorder.warn("other_unit", f"'{name}' is in {unit.meaning}, not in nats per token")
        elif meaning.unit != "nats":
            self.recorder.warn("converted", f"'{name}' is in {unit.meaning}; its loss is in nats per token")
        if meaning.role == "loss":
            self.recorder.label = name
            if meaning.means_over is not None:
                is_epoch = meaning.means_over == "epoch"
                self.recorder.state(smoothing="mean of an epoch" if is_epoch else meaning.means_over)
        else:
            self.recorder.val_label = name
        rivals = [
            other
            for other, of_other in others.items()
            if (meant := role_of(other)) is not None
            and meant.unit == meaning.unit
            and meant.means_over is None
            and not _same(of_other, numbers)
        ]
        if rivals:
            which = "training" if meaning.role == "loss" else "validation"
            message = f"the {which} loss is '{name}'; also there: {listed(rivals, most=5)}"
            self.recorder.warn(f"several_{meaning.role}", message)

    def _converted(self, role: str, name: str, values: Array) -> Array:
        meaning = role_of(name)
        if role in _LOSSES and meaning is not None and LOSS_UNITS[meaning.unit].scale == "ppl":
            with np.errstate(all="ignore"):
                values = np.log(np.where(values > 0, values, np.nan))
        factor = self._factors.get(name, 1.0)
        return values if factor == 1.0 else values * factor

    def _is_lost(self, role: str, numbers: Numbers, columns: Mapping[str, Numbers]) -> Mask:
        """Return where a loss was NaN: not where an export writes NaN for a value that is not there.

        An export that leaves cells empty, or keys out, writes NaN for itself. Where every cell is filled, the NaN of
        a validation loss and of a training loss beside a validation loss is an empty cell.
        """
        infinite = np.isinf(numbers.values)
        nan = np.isnan(numbers.values) & ~numbers.absent
        if not nan.any() or numbers.absent.any():
            return nan | infinite
        if role == "val_loss":
            return (nan & nan.all()) | infinite
        other = self._chosen.get("val_loss")
        if other is not None and other in columns:
            nan &= ~columns[other].there()
        rate = self._chosen.get("lr") or self._chosen.get("grad_norm")
        if rate is not None and rate in columns and columns[rate].there().any():
            nan &= columns[rate].there()
        return nan | infinite

    def _state(self, columns: Mapping[str, Numbers], roles: Mapping[str, Meaning]) -> None:
        """Record what rows state of the whole run: the same number in all of them, above 0."""
        accumulated = any("accum" in name.lower() for name in columns)
        for name in sorted((name for name in roles if roles[name].role in STATED), key=lambda name: roles[name].rank):
            numbers, meaning = columns[name], roles[name]
            values = numbers.values[numbers.there()]
            if not len(values) or values[0] != values[-1] or (values[0] <= 0 and meaning.role != "seed"):
                continue
            self.state(meaning.role, float(values[0]) * meaning.factor, accumulated=accumulated)

    def state(self, role: str, value: float, *, accumulated: bool = False) -> None:
        """Record a number that is stated by a role of :data:`~scaleplan.logs.metrics.STATED`."""
        if not math.isfinite(value):
            return
        if role == "batch_maybe":
            if accumulated or (self.recorder.stated("devices") or 1) > 1:
                return
            role = "batch"
        if role in {"total_steps", "sequence", "devices", "seed"}:
            if value == int(value):
                self.recorder.state(**{role: int(value)})
        elif role != "gpu":
            self.recorder.state(**{role: value})

    def state_texts(self, cells: Mapping[str, Cell]) -> None:
        """Record settings by their names: numbers, and the name of the device."""
        accumulated = any("accum" in name.lower() for name in cells)
        known = [(meaning.rank, name, meaning) for name in cells if (meaning := role_of(name)) is not None]
        for _, name, meaning in sorted(known, key=lambda each: each[0]):
            cell = cells[name]
            if meaning.role == "gpu" and isinstance(cell, str) and not is_missing(cell):
                self.recorder.state(gpu=cell.strip())
            elif meaning.role in STATED and not is_missing(cell):
                try:
                    value = to_number(cell) * meaning.factor
                except ValueError:
                    continue
                if value > 0 or meaning.role == "seed":
                    self.state(meaning.role, value, accumulated=accumulated)


def _roles(columns: Mapping[str, Numbers]) -> dict[str, Meaning]:
    """Return what the columns mean; a time since 1970 is a clock, whatever it is called."""
    roles = {name: meaning for name in columns if (meaning := role_of(name)) is not None}
    for name, meaning in roles.items():
        if meaning.role == "seconds" and np.nanmax(columns[name].values, initial=0.0) > _SINCE_1970:
            roles[name] = meaning._replace(role="clock", factor=1.0)
    return roles


def _clock_factor(latest: float) -> float:
    """Return what a time stamp is multiplied by to be seconds: trackers count milli-, micro- and nanoseconds too."""
    factor = 1.0
    while latest * factor > _MILLISECONDS:
        factor *= 1e-3
    return factor


def seconds_since_1970(latest: float) -> float | None:
    """Return a time stamp as seconds since 1970; None of one that counts from elsewhere."""
    value = latest * _clock_factor(latest)
    return value if value > _SINCE_1970 else None


def _any_finite(curves: Mapping[str, Array]) -> Mask:
    found = [np.isfinite(values) for values in curves.values()]
    any_of: Mask = np.logical_or.reduce(found)
    return any_of


def _same(left: Numbers, right: Numbers) -> bool:
    return bool(np.array_equal(left.values, right.values, equal_nan=True))
