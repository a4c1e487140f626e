"""What does a model of N parameters look like? A size and a style in, a concrete ``config.json`` out.

The shape follows published ladders: width over depth slowly growing with size, heads of 64 or 128 channels, inner
widths that fill the tiles of matrix units (Anthony et al. 2024, arXiv:2401.14489), and an exact count within 1 %.


Which sizes give a model of N parameters? Enumerate aligned widths and depths, solve for the inner width, score.

The counts of a style are linear in depth and, at fixed depth, in the inner width:
``N = base + L (c0 + c1 f)``. Three exact counts per width give the coefficients, so the search is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.models.count import count
from scaleplan.models.families import architecture_of
from scaleplan.models.model import read_model
from scaleplan.models.styles import STYLES, Style, StyleSizes, config_of, head_counts, kv_head_count, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.count import Count
    from scaleplan.models.model import Model
    from scaleplan.models.styles import Published

__all__ = ["CONVENTIONS", "Search", "Shape", "ShapeCandidate", "aspect_for", "candidates", "shape"]

_GRID = 64  # inner width of the probes that fix the linear coefficients

_NORMAL, _FINE, _FINEST = 64, 32, 16
"""Alignment of widths and least head size: normal, and relaxed for models of a few million parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is looked for."""

    style: Style
    params: float
    """Target by ``convention``."""
    convention: str
    """``total`` or ``non_embedding``."""
    tolerance: float
    vocab: int
    context: int
    tied: bool
    kv_heads: int | None
    """Key and value heads; None for the style's habit."""
    tensor_parallel: int
    experts: int
    experts_per_token: int

    @property
    def sparsity(self) -> float:
        """Share of the routed experts that a token uses; 1 for a dense model."""
        return self.experts_per_token / self.experts if self.experts else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeCandidate:
    """Sizes that hit the target, and how good a shape they are (less is better)."""

    sizes: StyleSizes
    params: int
    score: float
    shape_score: float
    """The score without the term for the aspect ratio, to choose among deeper or wider models."""
    alignment: int

    @property
    def aspect(self) -> float:
        """Width over depth."""
        return self.sizes.width / self.sizes.layers


def aspect_for(params: float) -> float:
    """Return the usual width over depth: 64 at 1e8 parameters, 107 at 1e10, 137 at 1e11.

    A power through published ladders, clamped to the range that they span; loss hardly depends on it
    (Kaplan et al. 2020, arXiv:2001.08361, section 3.1).
    """
    return min(160.0, max(40.0, 64.0 * (params / 1e8) ** 0.11))


def candidates(search: Search) -> list[ShapeCandidate]:
    """Return all sizes within the tolerance, the best first; alignment is relaxed only if nothing else fits."""
    for alignment in (_NORMAL, _FINE, _FINEST):
        found = [c for width in _widths(search, alignment) for c in _at_width(search, width, alignment)]
        if found:
            return sorted(found, key=lambda c: (c.score, c.sizes.width, c.sizes.layers, c.sizes.ffn_width))
    return []


def _ratio(search: Search, *, grouped: bool) -> float:
    """Return the usual active inner width over width: 4, or 8/3 with three matrices, more with fewer KV weights."""
    if search.style.matrices == 2:
        return 4.0
    return 3.2 if grouped else 8 / 3


def _widths(search: Search, alignment: int) -> Iterator[int]:
    """Yield aligned widths around the one that the aspect ratio asks for."""
    active = search.params * search.sparsity
    aspect = aspect_for(active)
    per_square = 4.0 + search.style.matrices * 3.0 / search.sparsity
    tables = 0 if search.convention == "non_embedding" else search.vocab * (1 if search.tied else 2)
    low, high = 1.0, 1e6
    for _ in range(40):  # bisection of per_square d³ / aspect + tables d = N
        middle = math.sqrt(low * high)
        too_wide = per_square * middle**3 / aspect + tables * middle > search.params
        low, high = (low, middle) if too_wide else (middle, high)
    width = alignment * math.ceil(0.6 * low / alignment)
    while width <= 1.7 * low + alignment:
        step = _step(width, alignment)
        width = step * math.ceil(width / step)
        yield width
        width += step


def _step(width: int, alignment: int) -> int:
    if alignment < _NORMAL:
        return alignment
    for bound, step in ((1024, 64), (4096, 128), (8192, 256)):
        if width < bound:
            return step
    return 512


def _at_width(search: Search, width: int, alignment: int) -> Iterator[ShapeCandidate]:
    split = head_counts(search.style, width, smallest=alignment)
    if split is None or split[0] % search.tensor_parallel:
        return
    heads, head_size = split
    kv_heads = search.kv_heads or kv_head_count(
        search.style, heads, search.params, tensor_parallel=search.tensor_parallel
    )
    if heads % kv_heads or kv_heads % search.tensor_parallel:
        return
    line = _Line.of(search, width=width, heads=heads, kv_heads=kv_heads, head_size=head_size)
    ideal = _ratio(search, grouped=kv_heads < heads)
    unit = _unit(width, alignment) * search.tensor_parallel
    if search.experts:
        unit = max(alignment, _unit(width, alignment) // 2) * search.tensor_parallel
    used = search.experts_per_token if search.experts else 1
    aspect = aspect_for(search.params * search.sparsity)
    narrow, broad = (line.depth(search.params, share * ideal * width / used) for share in (1.5, 0.5))
    shallowest = max(2, math.floor(0.35 * width / aspect), math.floor(narrow))
    for layers in range(shallowest, math.ceil(min(2.2 * width / aspect, broad)) + 1):
        exact = line.inner(search.params, layers)
        for ffn_width in sorted({unit * math.floor(exact / unit), unit * math.ceil(exact / unit)}):
            ratio = used * ffn_width / width
            if not 0.5 * ideal <= ratio <= 1.5 * ideal:
                continue
            params = line.params(layers, ffn_width)
            miss = params / search.params - 1
            if abs(miss) > search.tolerance:
                continue
            sizes = line.sizes(layers, ffn_width)
            shape = (
                math.log2(ratio / ideal) ** 2
                + 0.3 * (miss / 0.02) ** 2
                + _untidy(sizes, matrices=search.style.matrices)
            )
            yield ShapeCandidate(
                sizes=sizes,
                params=params,
                score=shape + math.log2(width / layers / aspect) ** 2,
                shape_score=shape,
                alignment=alignment,
            )


def _unit(width: int, alignment: int) -> int:
    """Return what the inner width must be a multiple of: whole tiles of the matrix units (Anthony et al. 2024)."""
    if alignment < _NORMAL:
        return alignment
    return 64 if width < 1024 else 128 if width < 4096 else 256


def _untidy(sizes: StyleSizes, *, matrices: int) -> float:
    """Return the penalty for sizes that kernels, parallel layouts and readers like less."""
    width, heads, kv_heads = sizes.width, sizes.heads, sizes.kv_heads
    marks = [
        sizes.layers % 2 != 0,
        width % 256 != 0,
        width >= 4096 and width % 512 != 0,
        width >= 4096 and width % 1024 != 0,
        width >= 8192 and width % 2048 != 0,
        width >= 16384 and width % 4096 != 0,
        heads > 8 and heads % 8 != 0,
        heads > 4 and heads % 4 != 0,
        heads > 4 and heads % 4 != 0,  # twice: no rank count but 1 and 2 divides them
        heads > 1 and heads % 2 != 0,
        heads >= 8 and kv_heads < heads and kv_heads not in {4, 8, 16},
        matrices == 2 and sizes.ffn_width != 4 * width,
    ]
    return 0.05 * sum(marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The exact count at one width: ``base + L (c0 + c1 f)``."""

    search: Search
    width: int
    heads: int
    kv_heads: int
    head_size: int
    base: int
    fixed: int
    slope: int

    @classmethod
    def of(cls, search: Search, *, width: int, heads: int, kv_heads: int, head_size: int) -> _Line:
        probe = cls(
            search=search,
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            base=0,
            fixed=0,
            slope=0,
        )
        one, wider, deeper = probe.measure(1, _GRID), probe.measure(1, 2 * _GRID), probe.measure(2, _GRID)
        slope, layer = (wider - one) // _GRID, deeper - one
        return cls(
            search=search,
            width=width,
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            base=one - layer,
            fixed=layer - slope * _GRID,
            slope=slope,
        )

    def sizes(self, layers: int, ffn_width: int) -> StyleSizes:
        s = self.search
        return StyleSizes(
            width=self.width,
            layers=layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_size=self.head_size,
            ffn_width=ffn_width,
            vocab=s.vocab,
            context=s.context,
            tied=s.tied,
            experts=s.experts,
            experts_per_token=s.experts_per_token,
        )

    def measure(self, layers: int, ffn_width: int) -> int:
        config = config_of(self.search.style, self.sizes(layers, ffn_width))
        return _by(self.search.convention, count(architecture_of(config, source="shape")))

    def params(self, layers: int, ffn_width: int) -> int:
        return self.base + layers * (self.fixed + self.slope * ffn_width)

    def depth(self, params: float, ffn_width: float) -> float:
        return (params - self.base) / (self.fixed + self.slope * ffn_width)

    def inner(self, params: float, layers: int) -> float:
        return max(0.0, ((params - self.base) / layers - self.fixed) / self.slope)


def _by(convention: str, counts: Count) -> int:
    return counts.non_embedding_params if convention == "non_embedding" else counts.params


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


def _shape(search: Search, candidate: ShapeCandidate, style: str) -> Shape:
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
