"""Which sizes give a model of N parameters? Enumerate aligned widths and depths, solve for the inner width, score.

The counts of a style are linear in depth and, at fixed depth, in the inner width:
``N = base + L (c0 + c1 f)``. Three exact counts per width give the coefficients, so the search is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.models.count import count
from scaleplan.models.families import architecture_of
from scaleplan.models.styles import Sizes, Style, config_of, head_counts, kv_head_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.count import Count

__all__ = ["Candidate", "Search", "aspect_for", "candidates"]

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
class Candidate:
    """Sizes that hit the target, and how good a shape they are (less is better)."""

    sizes: Sizes
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


def candidates(search: Search) -> list[Candidate]:
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


def _at_width(search: Search, width: int, alignment: int) -> Iterator[Candidate]:
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
            yield Candidate(
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


def _untidy(sizes: Sizes, *, matrices: int) -> float:
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

    def sizes(self, layers: int, ffn_width: int) -> Sizes:
        s = self.search
        return Sizes(
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
