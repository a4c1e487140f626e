"""Rules of thumb: the learning rate and the batch that a source gives, and the units it measures them in.

A rule is a TOML file (``presets/rules/ID.toml``): curves of named quantities, with the conventions, the fitted
range and the source. Batches are in tokens here, whatever unit the source counts in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError
from scaleplan.files import data_folder, names_in, read_table
from scaleplan.laws import LAWS, law_class
from scaleplan.laws.base import Curve
from scaleplan.presets.library import range_of, units_of
from scaleplan.presets.preset import NOT_STATED, PARAMS_CONVENTIONS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.laws.base import Units
    from scaleplan.presets.preset import FitRange
    from scaleplan.toml_table import Table

__all__ = ["Rule", "RuleLibrary"]

BATCH_KINDS = ("optimal", "critical")
"""The batch of the least loss, and the one above which further examples a step are largely wasted."""

_SCHEMA = 1

_ADVISE = ("always", "experts", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One source's rule for the learning rate, the batch or both.

    ``params``, ``flops`` and ``loss`` are the source's conventions, ``"not stated"`` if they matter to none of its
    curves. ``learning_rate`` and ``batch`` are curves of quantities in raw units; ``tokens_each`` is the tokens in
    one unit of the source's batch, the length of its sequences or 1. ``exponents`` have no scale: output → input →
    exponent. ``advise`` is ``always`` for a rule for every model, ``experts`` for one of mixtures alone, ``never``
    for one that no plan uses.
    """

    id: str
    title: str
    source: str
    status: str
    params: str
    flops: str
    loss: str
    learning_rate: Curve | None
    batch: Curve | None
    batch_kind: str | None
    tokens_each: float
    exponents: Mapping[str, Mapping[str, float]]
    advise: str
    range: FitRange
    notes: tuple[str, ...]
    origin: str

    def rate(self, **inputs: float) -> float | None:
        """Return the learning rate; None without a curve for it."""
        return None if self.learning_rate is None else self.learning_rate.value(**inputs)

    def batch_tokens(self, **inputs: float) -> float | None:
        """Return the batch in tokens; None without a curve for it."""
        return None if self.batch is None else self.batch.value(**inputs) * self.tokens_each

    def ratio(self, output: str, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        """Return the factor by which ``output`` changes between two settings; UnknownNameError without exponents."""
        if output not in self.exponents:
            raise UnknownNameError("output", output, self.exponents)
        factor = 1.0
        for name, exponent in self.exponents[output].items():
            factor *= (after[name] / before[name]) ** exponent
        return factor


class RuleLibrary:
    """The rule files of a folder, the bundled one by default."""

    __slots__ = ("folder",)

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = data_folder() / "rules" if folder is None else folder

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all rules, sorted."""
        return tuple(sorted(name[:-5] for name in names_in(self.folder) if name.endswith(".toml")))

    def load(self, name: str) -> Rule:
        """Return the rule of an id; raises UnknownNameError, or FileError for an invalid file."""
        if name not in self.ids():
            raise UnknownNameError("rule", name, self.ids())
        return read_rule(self.folder / f"{name}.toml")

    def all(self) -> tuple[Rule, ...]:
        """Return all rules, sorted by id."""
        return tuple(self.load(name) for name in self.ids())


def read_rule(path: Path) -> Rule:
    """Read and check one rule file; raises FileError that names the key."""
    top = read_table(path, what="rule")
    if top.integer("schema") != _SCHEMA:
        raise top.error("schema", f"expected {_SCHEMA}")
    conventions, use, batch = (top.table(key) for key in ("conventions", "use", "batch"))
    units = units_of(top.table("units"))
    kind = batch.choice("kind", BATCH_KINDS) if "batch" in top else None
    tokens_each = batch.number("tokens_each", 1.0, above=0)
    rule = Rule(
        id=top.text("id"),
        title=top.text("title"),
        source=top.text("source"),
        status=top.choice("status", STATUSES),
        params=conventions.choice("params", (*PARAMS_CONVENTIONS, NOT_STATED), NOT_STATED),
        flops=conventions.text("flops", NOT_STATED),
        loss=conventions.text("loss", NOT_STATED),
        learning_rate=_curve(top.table("learning_rate"), units) if "learning_rate" in top else None,
        batch=_curve(batch, units, known=("kind", "tokens_each")) if "batch" in top else None,
        batch_kind=kind,
        tokens_each=tokens_each,
        exponents=_exponents(top.table("exponents")),
        advise=use.choice("advise", _ADVISE, "always"),
        range=range_of(top.table("range")),
        notes=tuple(note.text("text") for note in top.tables("notes")),
        origin=top.source,
    )
    conventions.text("corpus", NOT_STATED)
    use.text("reason", "")
    for table in (conventions, use, top):
        table.done()
    return rule


def _curve(table: Table, units: Units | None, known: tuple[str, ...] = ()) -> Curve:
    """Read a curve whose form and coefficients share one table with the ``known`` keys."""
    kind = law_class(table.choice("form", LAWS))
    if not issubclass(kind, Curve):
        raise table.error("form", "expected a curve, not a law of size and tokens")
    rest = {key: value for key, value in table.data.items() if key not in {"form", *known}}
    return kind.from_table(type(table)(rest, source=table.source, path=table.path)).in_raw_units(units)


def _exponents(table: Table) -> dict[str, dict[str, float]]:
    found = {}
    for output in table.data:
        powers = table.table(output)
        found[output] = {name: powers.number(name) for name in powers.data}
    return found
