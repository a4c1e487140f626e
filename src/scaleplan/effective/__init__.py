"""Effective quantities: what a nominal size and nominal tokens are worth to a law. One file and one entry each."""

from __future__ import annotations

from scaleplan.constraint import Entry, Key, Option

__all__ = ["EFFECTIVE"]

EFFECTIVE: dict[str, Entry] = {
    "repetition": Entry(
        where="scaleplan.effective.repetition:Repetition",
        options=(Option("unique_tokens", "D", "Distinct tokens there are; beyond them data repeats: 300B."),),
        keys=(
            Key("unique_tokens", "unique tokens", "tokens"),
            Key("epochs", "epochs"),
            Key("effective_tokens", "effective tokens", "tokens"),
            Key("effective_params"),
            Key("loss_if_data_doubled"),
        ),
        preset="muennighoff-2023",
    ),
    "recipe": Entry(
        where="scaleplan.effective.recipe:Recipe",
        options=(Option("compute_multiplier", "F", "Compute that a better recipe is worth, your own number: 1.3."),),
        keys=(Key("compute_multiplier", "recipe multiplier"),),
    ),
}
"""Every effective quantity, in the order in which they apply to nominal quantities."""
