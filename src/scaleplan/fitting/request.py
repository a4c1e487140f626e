"""What is asked of a fit, checked before any work is done: the form, the method, the objective, the resamples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.forms import CURVES
from scaleplan.presets.preset import PARAMS_CONVENTIONS

if TYPE_CHECKING:
    from scaleplan.fitting.objective import Objective
    from scaleplan.presets.preset import Preset

__all__ = ["FORMS", "METHODS", "PRESET_NAME", "FitRequest", "form_named", "is_curve"]

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
