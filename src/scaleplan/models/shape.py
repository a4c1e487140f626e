"""What does a model of N parameters look like? A size and a style in, a concrete ``config.json`` out.

The shape follows published ladders: width over depth slowly growing with size, heads of 64 or 128 channels, inner
widths that fill the tiles of matrix units (Anthony et al. 2024, arXiv:2401.14489), and an exact count within 1 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.models.model import read_model
from scaleplan.models.published import nearest
from scaleplan.models.search import Candidate, Search, candidates
from scaleplan.models.styles import STYLES, config_of

if TYPE_CHECKING:
    from scaleplan.models.model import Model
    from scaleplan.models.published import Published

__all__ = ["CONVENTIONS", "Shape", "shape"]

CONVENTIONS = ("total", "non_embedding")
"""How the target may be counted."""

_RANGE = (1e6, 2e12)
_SMALL = 1e7
_TABLE_SHARE = 0.4  # GPT-2 small has 31 % of its parameters in the token table; from 60 % on it crowds out the layers
_SMALL_VOCABULARIES = (32768, 16384, 8192, 4096, 2048, 1024, 512)
_VOCAB_TILE = 128
_FEWEST_EXPERTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A concrete architecture of a wanted size."""

    style: str
    target: float
    """Parameters asked for, by ``convention``."""
    convention: str
    error: float
    """Relative deviation of the count from the target."""
    config: dict[str, object]
    """The ``config.json``."""
    model: Model
    """What the config amounts to, read back."""
    deeper: Shape | None = None
    """A narrower and deeper shape of the same size, if there is one."""
    wider: Shape | None = None
    """A wider and shallower shape of the same size, if there is one."""
    published: Published | None = None
    """The published model that is nearest."""
    notes: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """All parameters."""
        return self.model.params

    def to_dict(self) -> dict[str, object]:
        """Return the machine-readable form, ``scaleplan/shape/1``."""
        published = self.published
        return {
            "schema": "scaleplan/shape/1",
            **_sizes(self),
            "target": self.target,
            "params_convention": self.convention,
            "deeper": _sizes(self.deeper) if self.deeper else None,
            "wider": _sizes(self.wider) if self.wider else None,
            "nearest": {
                "name": published.name,
                "params": published.params,
                "layers": published.layers,
                "width": published.width,
                "heads": published.heads,
                "kv_heads": published.kv_heads,
                "ffn_width": published.ffn_width,
                "source": published.source,
            }
            if published
            else None,
            "notes": list(self.notes),
        }


def shape(
    params: float,
    *,
    style: str = "llama",
    convention: str = "total",
    vocab: int | None = None,
    tied: bool | None = None,
    kv_heads: int | None = None,
    tensor_parallel: int = 1,
    context: int | None = None,
    experts: int | None = None,
    experts_per_token: int | None = None,
) -> Shape:
    """Find a hardware-aligned architecture of ``params`` parameters.

    Parameters
    ----------
    params
        Parameters wanted, 1e6 to 2e12.
    style
        A family of :data:`~scaleplan.models.styles.STYLES`, whose habits are followed.
    convention
        Whether ``params`` counts everything (``total``) or leaves tables and head out (``non_embedding``).
    vocab
        Rows of the token table, padded up to a multiple of 128; the style's own when None, or less where that
        would take more than 40 % of a small model.
    tied
        Whether the head is the token table; the style's habit when None.
    kv_heads
        Key and value heads; the style's habit when None.
    tensor_parallel
        Ranks that share each layer: heads, inner width and vocabulary are divisible by it.
    context
        Longest context; the style's own when None.
    experts, experts_per_token
        For the styles with experts; the style's own when None.

    Raises
    ------
    UsageError
        For a size, style or option out of its domain.
    UnreachableError
        When no aligned shape of this style and these options has the size.

    """
    search, notes = _search(
        params,
        style=style,
        convention=convention,
        vocab=vocab,
        tied=tied,
        kv_heads=kv_heads,
        tensor_parallel=tensor_parallel,
        context=context,
        experts=experts,
        experts_per_token=experts_per_token,
    )
    found = candidates(search)
    while not found and experts is None and experts_per_token is None and search.experts > _FEWEST_EXPERTS:
        search = replace(search, experts=search.experts // 2, experts_per_token=max(1, search.experts_per_token // 2))
        found = candidates(search)
    if not found:
        raise UnreachableError(
            f"no {style} shape has {params:.4g} {convention} parameters within {search.tolerance:.0%}",
            hint="try a smaller vocabulary, other key-value heads, or less tensor parallelism",
        )
    best = found[0]
    if search.experts < STYLES[style].experts and experts is None:
        notes.append(f"{search.experts} experts: too small for the {style} style's {STYLES[style].experts}")
    if best.alignment < 64:
        notes.append(f"too small for widths in multiples of 64: aligned to {best.alignment} instead")
    others = sorted(found, key=lambda c: (c.shape_score, c.score, c.sizes.width, c.sizes.layers))
    deeper = next((c for c in others if c.aspect < 0.75 * best.aspect), None)
    wider = next((c for c in others if c.aspect > best.aspect / 0.75), None)
    chosen = _shape(search, best, style)
    share = chosen.model.embedding_params / chosen.params
    if share > 0.6:
        notes.append(
            f"the token tables are {share:.0%} of the model; a smaller vocabulary leaves more for the layers"
        )
    return Shape(
        style=style,
        target=chosen.target,
        convention=convention,
        error=chosen.error,
        config=chosen.config,
        model=chosen.model,
        deeper=_shape(search, deeper, style) if deeper else None,
        wider=_shape(search, wider, style) if wider else None,
        published=nearest(chosen.model.architecture, params=chosen.params, active_params=chosen.model.active_params),
        notes=tuple(notes),
    )


def _sizes(shape: Shape) -> dict[str, object]:
    """Return what is the same for a shape and its alternatives."""
    record = shape.model.to_dict()
    del record["schema"], record["source"], record["notes"]
    return {"style": shape.style, "error": shape.error, **record, "config": shape.config}


def _shape(search: Search, candidate: Candidate, style: str) -> Shape:
    config = config_of(search.style, candidate.sizes)
    return Shape(
        style=style,
        target=search.params,
        convention=search.convention,
        error=candidate.params / search.params - 1,
        config=config,
        model=read_model(config),
    )


def _search(
    params: float,
    *,
    style: str,
    convention: str,
    vocab: int | None,
    tied: bool | None,
    kv_heads: int | None,
    tensor_parallel: int,
    context: int | None,
    experts: int | None,
    experts_per_token: int | None,
) -> tuple[Search, list[str]]:
    """Check the options and fill them in by the style's habits."""
    if style not in STYLES:
        raise UnknownNameError("style", style, STYLES)
    if convention not in CONVENTIONS:
        raise UsageError(f"unknown parameter convention {quote(convention)}", hint=f"known: {', '.join(CONVENTIONS)}")
    if not _RANGE[0] <= params <= _RANGE[1]:
        raise UsageError(
            f"a model of {params:.4g} parameters is outside of what shapes are known for",
            hint=f"from {_RANGE[0]:g} to {_RANGE[1]:g}",
        )
    habits = STYLES[style]
    if (experts is not None or experts_per_token is not None) and not habits.experts:
        mixtures = ", ".join(name for name, habit in STYLES.items() if habit.experts)
        raise UsageError(f"the {style} style has no experts", hint=f"styles with experts: {mixtures}")
    if kv_heads is not None and habits.model_type in {"gpt2", "gpt_neox"}:
        raise UsageError(f"the {style} style has as many key-value heads as heads")
    ranks = _whole("tensor_parallel", tensor_parallel)
    many = habits.experts if experts is None else _whole("experts", experts)
    used = habits.experts_per_token if experts_per_token is None else _whole("experts_per_token", experts_per_token)
    if used > many:
        raise UsageError(f"a token cannot use {used} of {many} experts")
    tie = habits.ties(params) if tied is None else tied
    rows, notes = _vocabulary(params, style=style, convention=convention, vocab=vocab, tied=tie, ranks=ranks)
    search = Search(
        style=habits,
        params=float(params),
        convention=convention,
        tolerance=0.01 if params >= _SMALL else 0.02,
        vocab=rows,
        context=habits.context if context is None else _whole("context", context),
        tied=tie,
        kv_heads=None if kv_heads is None else _whole("kv_heads", kv_heads),
        tensor_parallel=ranks,
        experts=many,
        experts_per_token=used,
    )
    return search, notes


def _vocabulary(
    params: float, *, style: str, convention: str, vocab: int | None, tied: bool, ranks: int
) -> tuple[int, list[str]]:
    """Return the padded rows of the token table, and what to say about them."""
    tile = math.lcm(_VOCAB_TILE, ranks)
    if vocab is not None:
        rows = tile * math.ceil(_whole("vocab", vocab) / tile)
        return rows, [f"vocabulary {vocab:,} padded to {rows:,}, a multiple of {tile}"] if rows != vocab else []
    own = tile * math.ceil(STYLES[style].vocab / tile)
    if convention == "non_embedding":
        return own, []
    copies = 1 if tied else 2
    for rows in (own, *(tile * math.ceil(v / tile) for v in _SMALL_VOCABULARIES if v < own)):
        # the usual width of a model whose layers have the rest: 12 L d² at an aspect ratio of 64
        width = (max(params * (1 - _TABLE_SHARE), 1.0) * 64 / 12) ** (1 / 3)
        if copies * rows * width <= _TABLE_SHARE * params:
            break
    if rows == own:
        return own, []
    return rows, [
        f"the vocabulary is {rows:,}: the {style} style's {own:,} would crowd out the layers of so small a model"
    ]


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**7:
        raise UsageError(f"{name} {quote(value)} is not a whole number from 1 to 10,000,000")
    return value
