"""A law that was fitted to a file of runs, with what was asked, what was read, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.methods import Approach
    from scaleplan.fitting.request import FitRequest
    from scaleplan.fitting.result import Fit
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.base import Law
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset, Uncertainty

__all__ = ["Fitted", "Value", "on_bound", "plain_values"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A fitted number; ``error`` is its standard error and ``interval`` its interval over the resamples, or None."""

    name: str
    value: float
    error: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """The answer of :func:`scaleplan.fit`.

    Attributes
    ----------
    runs
        The runs that were read, and the account of those that were not used.
    request, reading
        What was asked of the fit, and of the reading of the file where it was not the default.
    law
        The law in raw units; None for groups, and for repetition, which is no law of its own.
    values
        Coefficients, and what follows from them, with errors and intervals.
    score, residuals, converged, bounds
        The objective, fitted minus observed in its unit, whether the descent ended, and what ended on a bound;
        None where the method has no objective.
    remarks
        What must be known of this fit, one sentence each.
    uncertainty
        What a preset says of the coefficients; None where the method gives none.
    diagnosis
        The diagnosis of an additive surface, None for any other form.
    approaches
        The methods side by side, when all were asked for.
    members
        The fit of each group, when grouped.
    group
        The name of the group, for a member.

    """

    runs: Runs
    request: FitRequest
    reading: Mapping[str, object]
    law: Law | None
    values: tuple[Value, ...] = ()
    score: float | None = None
    residuals: NDArray[float64] | None = None
    converged: bool = True
    bounds: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    uncertainty: Uncertainty | None = None
    diagnosis: Fit | None = None
    approaches: tuple[Approach, ...] = ()
    members: tuple[Fitted, ...] = ()
    group: str | None = None

    @property
    def identified(self) -> bool | None:
        """Whether the law may choose how to split a budget; None for a form that has no such question."""
        return None if self.diagnosis is None else self.diagnosis.identified

    @property
    def refusal(self) -> str | None:
        """Why the law must not choose tokens per parameter, or None."""
        return None if self.diagnosis is None else self.diagnosis.refusal

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The coefficients of the law, or what was fitted instead, by name."""
        if self.law is not None:
            return self.law.coefficients()
        return {value.name: value.value for value in self.values}

    @property
    def target_flops(self) -> float | None:
        """The budget at which the law is told: the one asked for, or ten times the largest run."""
        import numpy as np

        if self.request.target is not None:
            return self.request.target
        largest = float(np.max(self.runs.flops))
        return 10.0 * largest if np.isfinite(largest) else None

    @property
    def preset(self) -> Preset:
        """The law as a preset, ready for every question of the planner.

        Raises
        ------
        UsageError
            For a fit that is no single law.

        """
        from scaleplan.fitting.writing import preset_of_fit

        return preset_of_fit(self)

    def plan(self) -> Plan | None:
        """Return what the law says at :attr:`target_flops`; None for a law that plans nothing.

        A law that must not choose tokens per parameter is asked at the ratio of its largest run.
        """
        from scaleplan.fitting.telling import told

        return told(self)

    def to_toml(self) -> str:
        """Return the text of the preset file."""
        from scaleplan.fitting.writing import preset_text

        return preset_text(self)

    def write(self, path: str | Path) -> Path:
        """Write the preset file, whole or not at all, and return its path."""
        from scaleplan.fitting.writing import write_preset

        return write_preset(self, path)

    def to_dict(self, *, report: bool = False, residuals: bool = False) -> dict[str, object]:
        """Return the mapping that ``--json`` prints, with the checklist and every residual where asked for."""
        from scaleplan.fitting.summary import summary

        return summary(self, report=report, residuals=residuals)


def plain_values(coefficients: Mapping[str, float]) -> tuple[Value, ...]:
    """Return coefficients as values without errors."""
    return tuple(Value(name=name, value=value) for name, value in coefficients.items())


def on_bound(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the remark about coefficients that ended on a bound, if any did."""
    return (f"on a bound of the search, and so not determined: {', '.join(names)}",) if names else ()
