"""The units of a loss: nats, bits or a perplexity, per token, byte, character or word, and what names say of them."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from scaleplan.tables.headings import normalised

__all__ = ["LOSS_UNITS", "NOT_A_LOSS", "LossUnit", "contradicted_unit", "stated_unit", "unit_in_name"]


class LossUnit(NamedTuple):
    """How a loss is written (``nats``, ``bits``, or ``ppl`` for exp of nats) and what it is per."""

    scale: str
    per: str

    @property
    def meaning(self) -> str:
        """The unit in words."""
        return f"perplexity per {self.per}" if self.scale == "ppl" else f"{self.scale}/{self.per}"

    @property
    def kept(self) -> str:
        """The unit in which the loss is kept: logarithms of perplexities, and bits only where a text is measured."""
        return f"nats/{self.per}" if self.scale == "ppl" or self.per in {"token", "word"} else self.meaning

    @property
    def factor(self) -> float:
        """What a loss, or the logarithm of a perplexity, is multiplied by to be in the unit in which it is kept."""
        return math.log(2) if self.scale == "bits" and self.kept.startswith("nats") else 1.0


LOSS_UNITS: dict[str, LossUnit] = {
    "nats": LossUnit("nats", "token"),
    "bits": LossUnit("bits", "token"),
    "ppl": LossUnit("ppl", "token"),
    "bpb": LossUnit("bits", "byte"),
    "bpc": LossUnit("bits", "character"),
    "bpw": LossUnit("bits", "word"),
    "word_ppl": LossUnit("ppl", "word"),
    "byte_ppl": LossUnit("ppl", "byte"),
    "char_ppl": LossUnit("ppl", "character"),
    "nats/byte": LossUnit("nats", "byte"),
    "nats/character": LossUnit("nats", "character"),
    "nats/word": LossUnit("nats", "word"),
}
"""The units in which a loss column can be written. What is per token, byte, character or word is never the same."""

_SCALES = {
    "ppl": frozenset({"ppl", "perplexity", "perplexities", "pplx"}),
    "bits": frozenset({"bits", "bit", "bpb", "bpc", "bpt", "bpw"}),
    "nats": frozenset({"loss", "nll", "xent", "crossentropy", "entropy", "nats", "nat"}),
}

_PER = {
    "byte": frozenset({"byte", "bytes", "bpb"}),
    "character": frozenset({"char", "chars", "character", "characters", "bpc"}),
    "word": frozenset({"word", "words", "bpw"}),
    "token": frozenset({"token", "tokens", "bpt"}),
}

NOT_A_LOSS = frozenset(
    {
        *("aux", "auxiliary", "balance", "balancing", "router", "z", "scale", "scaler", "weight", "coef"),
        *("std", "stderr", "sem", "se", "stdev", "kl", "count", "step", "steps"),
        *("ln", "log10", "log2", "excess", "reducible", "delta", "diff", "difference", "gap", "relative"),
    }
)
"""Words of auxiliary losses, of the errors and counts of losses, and of what is computed from one.

A log loss is a loss: the name of a cross-entropy.
"""


def unit_in_name(name: str) -> tuple[str | None, str | None]:
    """Return the scale of a loss (nats, bits, ppl) and what it is per, by a column's name; None where it is mute."""
    whole = set(normalised(name).split())
    last = set(normalised(re.split(r"[./]", name)[-1]).split())
    scale = next((scale for parts in (last, whole) for scale, words in _SCALES.items() if parts & words), None)
    if scale == "ppl" and "log" in whole:
        scale = "nats"
    return scale, next((per for per, words in _PER.items() if whole & words), None)


def stated_unit(name: str) -> str | None:
    """Return the loss unit that a column's name states, for one that is no plain loss per token; None for others."""
    scale, per = unit_in_name(name)
    if scale is None or (scale == "nats" and per in {None, "token"}) or set(normalised(name).split()) & NOT_A_LOSS:
        return None
    wanted = LossUnit(scale, per or "token")
    return next((key for key, unit in LOSS_UNITS.items() if unit == wanted), None)


def contradicted_unit(name: str, loss_unit: str) -> str | None:
    """Return the loss unit that a name states where it is another than the user's; None where they agree."""
    (scale, per), wanted = unit_in_name(name), LOSS_UNITS[loss_unit]
    agrees = per in {None, wanted.per} and (scale in {None, "nats"} or scale == wanted.scale)
    unit = stated_unit(name) if scale is not None else None
    return unit if not agrees and unit != loss_unit else None
