"""A law that was fitted to a file of runs, with what was asked, what was read, and how far to trust it.

What a fitted law says at a budget: asked of the planner, so that the answer is the one its preset will give.

What is asked of a fit, checked before any work is done: the form, the method, the objective, the resamples.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, quote
from scaleplan.fitting.curve_fit import CURVES
from scaleplan.laws.base import Curve
from scaleplan.planning.planner import Planner
from scaleplan.presets.preset import PARAMS_CONVENTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.additive_fit import AdditiveFit
    from scaleplan.fitting.approaches import Approach
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.base import Law
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset, Uncertainty

__all__ = [
    "FORMS",
    "METHODS",
    "PRESET_NAME",
    "FitRequest",
    "FitResult",
    "Value",
    "form_named",
    "is_curve",
    "on_bound",
    "plain_values",
    "told",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A fitted number; ``error`` is its standard error and ``interval`` its interval over the resamples, or None."""

    name: str
    value: float
    error: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitResult:
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
    diagnosis: AdditiveFit | None = None
    approaches: tuple[Approach, ...] = ()
    members: tuple[FitResult, ...] = ()
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
        from scaleplan.fitting.preset_file import preset_of_fit

        return preset_of_fit(self)

    def plan(self) -> Plan | None:
        """Return what the law says at :attr:`target_flops`; None for a law that plans nothing.

        A law that must not choose tokens per parameter is asked at the ratio of its largest run.
        """
        return told(self)

    def to_toml(self) -> str:
        """Return the text of the preset file."""
        from scaleplan.fitting.preset_file import preset_text

        return preset_text(self)

    def write(self, path: str | Path) -> Path:
        """Write the preset file, whole or not at all, and return its path."""
        from scaleplan.fitting.preset_file import write_preset

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


def told(fitted: FitResult) -> Plan | None:
    """Return the plan at the target of a fit, along the runs' own ratio where the split is not identified."""
    flops = fitted.target_flops
    if fitted.law is None or flops is None or isinstance(fitted.law, Curve):
        return None
    try:
        preset = fitted.preset
    except FileError:  # coefficients that no preset may hold are still shown
        return None
    planner = Planner(preset=preset, level=fitted.request.level)
    if planner.may_choose:
        return planner.optimal(flops)
    largest = int(np.argmax(fitted.runs.flops))
    ratio = float(fitted.runs.tokens[largest] / fitted.runs.params[largest])
    diagnosis = fitted.diagnosis
    if diagnosis is not None and diagnosis.design.ratio is not None:
        ratio = diagnosis.design.ratio
    params = float(planner.cost.training.params_at_ratio(ratio, flops))
    if not math.isfinite(params):
        return None
    return planner.loss(params, params * ratio)


FORMS = {
    "additive": "L = E + A/N^alpha + B/D^beta",
    "kaplan": "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
    "allocation": "optimal params and/or tokens as powers of flops",
    "data_constrained": "what repeated tokens are worth over a base law (--base)",
    "multiplicative": "y = a * product of x_i^n_i",
    **dict.fromkeys(CURVES, "a curve of one column"),
}
"""The forms that can be fitted, by the name that ``--form`` takes."""

METHODS = ("surface", "isoflop", "envelope", "all")

PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What a preset may be called."""

_ALIASES = {"m1": "power", "m2": "offset_power", "m3": "shifted_power", "m4": "chance_power"}

_MOST_JOBS = 256

_MOST_SAMPLES = 100_000


def form_named(name: str) -> str:
    """Return the form that a name or an alias (M1 to M4) stands for.

    Raises
    ------
    UnknownNameError
        When there is none.

    """
    form = _ALIASES.get(name.casefold(), name.casefold())
    if form not in FORMS:
        raise UnknownNameError("form", name, [*FORMS, *(alias.upper() for alias in _ALIASES)])
    return form


def is_curve(form: str) -> bool:
    """Return whether a form relates columns that the user names."""
    return form in CURVES or form == "multiplicative"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """The settings of a fit, which a preset repeats in its ``[fit]`` table.

    Attributes
    ----------
    form, method
        What is fitted (:data:`FORMS`) and how (:data:`METHODS`).
    objective
        What is minimised.
    tied, floor
        alpha = beta; E kept at a value.
    samples, seed, jobs
        Resamples, the seed of their draws, and how many processes work on them.
    level
        Of the intervals that are told.
    target
        The budget at which the law is told, in FLOP; ten times the largest run when None.
    x, y
        Columns of a curve or a product, by role or by name.
    cluster
        Whether points of one name are one training run, drawn together.
    base
        The law over which repetition is fitted.
    params_convention, tokenizer, corpus
        What the file does not say and a preset must.
    id, title, source
        What the preset is called; made from the name of the file when None.

    """

    form: str = "additive"
    method: str = "surface"
    objective: Objective
    tied: bool = False
    floor: float | None = None
    samples: int = 2000
    seed: int = 0
    jobs: int = 1
    level: float = 0.9
    target: float | None = None
    x: tuple[str, ...] = ("flops",)
    y: str = "loss"
    cluster: bool = False
    base: Preset | None = None
    params_convention: str | None = None
    tokenizer: str = "not stated"
    corpus: str = "not stated"
    id: str | None = None
    title: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method", self.method, METHODS)
        if not 0 < self.level < 1:
            raise UsageError(f"a confidence level lies between 0 and 1, not at {self.level:g}", hint="try 0.9")
        if self.samples == 1 or not 0 <= self.samples <= _MOST_SAMPLES:
            raise UsageError(
                f"{self.samples} resamples", hint=f"2,000 are usual, 0 are none, {_MOST_SAMPLES:,} the most"
            )
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative", hint="any whole number from 0 will do")
        if not 1 <= self.jobs <= _MOST_JOBS:
            raise UsageError(
                f"{self.jobs} jobs cannot share the work",
                hint=f"between 1 and {_MOST_JOBS}: the cores of this machine",
            )
        if self.form != "additive":
            self._require_additive()
        if (self.form == "data_constrained") != (self.base is not None):
            what = "a law for fresh data is needed" if self.base is None else "a base law says nothing here"
            raise UsageError(what, hint="--form data_constrained and --base PRESET go together")
        if self.target is not None and ((is_curve(self.form) and self.x != ("flops",)) or self.base is not None):
            raise UsageError("a target is a budget in FLOP, and this form says nothing of one")
        self._require_names()

    def _require_names(self) -> None:
        if self.params_convention is not None and self.params_convention not in PARAMS_CONVENTIONS:
            raise UnknownNameError("convention of parameters", self.params_convention, PARAMS_CONVENTIONS)
        for text in (self.tokenizer, self.corpus, self.title, self.source):
            if text is not None and (not text.strip() or not text.isprintable()):
                raise UsageError(f"{quote(text)} is not one line of printable text")
        if self.id is not None and not PRESET_NAME.fullmatch(self.id):
            raise UsageError(f"id {quote(self.id)}", hint="use letters, digits, '.', '_' and '-' only")

    def _require_additive(self) -> None:
        given = {
            "--method": self.method != "surface",
            "--tied": self.tied,
            "--floor": self.floor is not None,
            "--cluster": self.cluster,
        }
        for name, is_given in given.items():
            if is_given:
                raise UsageError(f"{name} is for the additive form, not for '{self.form}'")
