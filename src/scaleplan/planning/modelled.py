"""Questions about one concrete model, and plans drawn out to a run: the words of their options.

A law's own count of a model's parameters is computed from its architecture and not approximated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaleplan.errors import UsageError
from scaleplan.models.asking import whole
from scaleplan.models.model import Model, read_model
from scaleplan.notices import Notice
from scaleplan.planning.blueprint import Drawing, draw
from scaleplan.quantities import parse_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset

__all__ = ["DRAWN", "drawing_of", "drawn", "model_from", "size_by"]

DRAWN = ("style", "batch", "region")
"""The words that say how a run is drawn out, which needs ``shape``."""


def model_from(source: Model | str | Path | Mapping[str, object], context: str | float | None = None) -> Model:
    """Return the model that is meant, at a context; raises FileError for a config that cannot be read."""
    if isinstance(source, Model):
        return source
    return read_model(source, context=whole(context, what="context"))


def size_by(preset: Preset, model: Model) -> tuple[float, tuple[Notice, ...]]:
    """Return the size of a model as a law counts it, and what to say about asking this law.

    For laws in FLOP per token that is M of the architecture at its context.
    """
    own = preset.conventions.params
    params = model.params_as(own)
    if model.architecture.experts is None or preset.is_moe or own in {"active", "flops_per_token"}:
        return params, ()
    message = (
        f"{preset.id} was fitted to dense models and counts all {model.params / 1e9:.3g}B parameters of this "
        f"mixture, of which a token uses {model.active_params / 1e9:.3g}B"
    )
    return params, (Notice(code="mixture_by_dense_law", message=message),)


def drawing_of(words: Mapping[str, Any]) -> Drawing | None:
    """Return how the run of a plan is asked for; None where it is not.

    Raises
    ------
    UsageError
        For a word about a run that nobody asked for.

    """
    context = words.get("context")
    given = {name: words[name] for name in DRAWN if words.get(name) is not None}
    if context is not None and words.get("model") is None:
        given["context"] = context
    if not words.get("shape"):
        if given:
            name = next(iter(given))
            raise UsageError(f"--{name} says nothing about a plan without its run", hint="add --shape")
        return None
    batch = given.get("batch")
    return Drawing(
        style=given.get("style", "llama"),
        sequence=whole(context, what="context"),
        batch_tokens=None if batch is None else parse_count(batch, what="tokens"),
        grid=given.get("region"),
    )


def drawn(plan: Plan, drawing: Drawing | None, model: Model | None) -> Plan:
    """Return a plan with its run, where one is asked for."""
    if drawing is None:
        return plan
    blueprint, notices = draw(plan, drawing, model=model)
    return replace(plan, blueprint=blueprint, warnings=(*plan.warnings, *notices))
