"""Find a shape of N parameters in a style: a size in, a concrete ``config.json`` out.

The shape follows published ladders: width over depth slowly growing with size, heads of 64 or 128 channels, inner
widths that fill the tiles of matrix units (Anthony et al. 2024, arXiv:2401.14489), and an exact count within 1 %.
Aligned widths and depths are enumerated, the inner width is solved for, and the candidates are scored. The counts of
a style are linear in depth and, at fixed depth, in the inner width, so the search is arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.models.count import count
from scaleplan.models.families.finding import architecture_of
from scaleplan.models.model import Model, ModelSizes, read_model
from scaleplan.models.styles import (
    STYLES,
    PublishedShape,
    Style,
    StyleSizes,
    aspect_for,
    config_of,
    head_counts,
    kv_head_count,
    nearest,
    usual_width,
)
from scaleplan.record import Result
from scaleplan.units import format_count, format_fraction, format_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Shape", "ShapeSizes", "ShapeSummary", "shape"]

_CONVENTIONS = ("total", "non_embedding")

_RANGE = (1e6, 2e12)

_SMALL = 1e7

_TABLE_SHARE = 0.4  # GPT-2 small has 31 % of its parameters in the token table; from 60 % on it crowds out the layers

_SMALL_VOCABULARIES = (32768, 16384, 8192, 4096, 2048, 1024, 512)

_VOCAB_TILE = 128

_FEWEST_EXPERTS = 8

_NORMAL, _FINE, _FINEST = 64, 32, 16
"""Alignment of widths and least head size: normal, and relaxed for models of a few million parameters."""

_WIDTH_STEPS = ((1024, 64), (4096, 128), (8192, 256), (10**9, 512))

_INNER_STEPS = ((1024, 64), (4096, 128), (10**9, 256))
"""What inner widths are multiples of, by the width below: whole tiles of the matrix units (Anthony et al. 2024)."""

_PROBE = 64  # inner width of the counts that fix the linear coefficients


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(Result):
    """A concrete architecture of a ``target`` size by ``convention``, and the ``model`` of its config, read back.

    ``error`` is the relative deviation of the count from the target; ``deeper`` and ``wider`` are shapes of the same
    size.
    """

    schema: ClassVar[str] = "scaleplan/shape/1"

    style: str
    target: float
    convention: str
    error: float
    config: dict[str, object]
    model: Model
    deeper: Shape | None = None
    wider: Shape | None = None
    notes: tuple[str, ...] = ()

    @property
    def params(self) -> int:
        """All parameters."""
        return self.model.params

    @property
    def published(self) -> PublishedShape | None:
        """The nearest published model."""
        model = self.model
        return nearest(model.architecture, params=model.params, active_params=model.active_params)

    def viewed(self) -> ShapeSummary:
        """Return the summary, whose views show this."""
        return self.summary()

    def summary(self) -> ShapeSummary:
        """Return the record that ``--json`` prints."""
        return ShapeSummary(
            **_sizes(self),
            target=self.target,
            params_convention=self.convention,
            deeper=ShapeSizes(**_sizes(self.deeper)) if self.deeper else None,
            wider=ShapeSizes(**_sizes(self.wider)) if self.wider else None,
            nearest=self.published,
            notes=self.notes,
            windowed_layers=self.model.architecture.windowed_layers,
        )

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return self.summary().to_dict()


def _sizes(shape: Shape) -> dict[str, Any]:
    return {"style": shape.style, "error": shape.error, **shape.model.sizes(), "config": shape.config}


@dataclass(frozen=True, kw_only=True)
class _Origin:
    style: str
    error: float


@dataclass(frozen=True, kw_only=True)
class ShapeSizes(ModelSizes, _Origin):  # the fields of the last base come first
    """A shape in numbers, and its ``config.json``."""

    config: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ShapeSummary(Result, ShapeSizes):
    """A concrete architecture of a size: the fields are the keys of the JSON."""

    schema: ClassVar[str] = "scaleplan/shape/1"

    target: float
    params_convention: str
    deeper: ShapeSizes | None
    wider: ShapeSizes | None
    nearest: PublishedShape | None
    notes: tuple[str, ...] = ()
    windowed_layers: int | None = None
    """None in a result that was saved before there was this key."""


class ShapeKeywords(TypedDict, total=False):
    """The parts of a shape that may be fixed; the style's own choice for None."""

    vocab: int | None
    tied: bool | None
    kv_heads: int | None
    tensor_parallel: int
    context: int | None
    experts: int | None
    experts_per_token: int | None


def shape(
    params: float,
    *,
    style: str = "llama",
    convention: str = "total",
    **options: Unpack[ShapeKeywords],
) -> Shape:
    """Find a hardware-aligned architecture of ``params`` parameters (1e6 to 2e12), the style's own choice for None.

    ``params`` counts everything (``total``) or leaves tables and head out (``non_embedding``). The rows of the token
    table are padded up to a multiple of 128; by default they take at most 40 % of a small model. Heads, inner width
    and vocabulary are divisible by ``tensor_parallel``. Raises UsageError for a size, style or option out of its
    domain, and UnreachableError when no aligned shape of this style and these options has the size.
    """
    notes: list[str] = []
    search = _checked(params, style, convention, options, notes)
    experts = options.get("experts")
    free = experts is None and options.get("experts_per_token") is None
    found = _candidates(search)
    while not found and free and search.experts > _FEWEST_EXPERTS:
        search = replace(search, experts=search.experts // 2, experts_per_token=max(1, search.experts_per_token // 2))
        found = _candidates(search)
    if not found:
        raise UnreachableError(
            f"no {style} shape has {format_count(params, digits=4)} {convention} parameters within "
            f"{format_fraction(search.tolerance, digits=2)}",
            hint="try a smaller vocabulary, other key-value heads, or less tensor parallelism",
        )
    best = found[0]
    if search.experts < search.style.experts and experts is None:
        notes.append(f"{search.experts} experts: too small for the {style} style's {search.style.experts}")
    if best.alignment < _NORMAL:
        notes.append(f"too small for widths in multiples of 64: aligned to {best.alignment} instead")
    others = sorted(found, key=lambda c: (c.shape_score, c.score, c.sizes.width, c.sizes.layers))
    deeper = next((c for c in others if c.aspect < 0.75 * best.aspect), None)
    wider = next((c for c in others if c.aspect > best.aspect / 0.75), None)
    chosen = search.shape_of(best)
    share = chosen.model.embedding_params / chosen.params
    if share > 0.6:
        notes.append(
            f"the token tables are {format_fraction(share, digits=2)} of the model; a smaller vocabulary leaves "
            "more for the layers"
        )
    return replace(
        chosen,
        deeper=search.shape_of(deeper) if deeper else None,
        wider=search.shape_of(wider) if wider else None,
        notes=tuple(notes),
    )


def _checked(params: float, name: str, convention: str, options: ShapeKeywords, notes: list[str]) -> _Search:
    """Check the options and fill them in by the style; append what was changed to ``notes``."""
    if name not in STYLES:
        raise UnknownNameError("style", name, STYLES)
    if convention not in _CONVENTIONS:
        raise UsageError(
            f"unknown parameter convention {quote(convention)}", hint=f"known: {', '.join(_CONVENTIONS)}"
        )
    if not _RANGE[0] <= params <= _RANGE[1]:
        raise UsageError(
            f"a model of {format_count(params)} parameters is outside of what shapes are known for",
            hint=f"from {format_plain(_RANGE[0])} to {format_plain(_RANGE[1])}",
        )
    style = STYLES[name]
    experts, experts_per_token = options.get("experts"), options.get("experts_per_token")
    kv_heads, context, tied = options.get("kv_heads"), options.get("context"), options.get("tied")
    if (experts is not None or experts_per_token is not None) and not style.experts:
        mixtures = ", ".join(known for known, other in STYLES.items() if other.experts)
        raise UsageError(f"the {name} style has no experts", hint=f"styles with experts: {mixtures}")
    if kv_heads is not None and style.model_type in {"gpt2", "gpt_neox"}:
        raise UsageError(f"the {name} style has as many key-value heads as heads")
    ranks = _whole("tensor_parallel", options.get("tensor_parallel", 1))
    many = style.experts if experts is None else _whole("experts", experts)
    used = style.experts_per_token if experts_per_token is None else _whole("experts_per_token", experts_per_token)
    if used > many:
        raise UsageError(f"a token cannot use {used} of {many} experts")
    tie = style.ties(params) if tied is None else tied
    vocab = options.get("vocab")
    rows = _vocabulary(params, name=name, convention=convention, vocab=vocab, tied=tie, ranks=ranks, notes=notes)
    return _Search(
        name=name,
        style=style,
        params=float(params),
        convention=convention,
        tolerance=0.01 if params >= _SMALL else 0.02,
        vocab=rows,
        context=style.context if context is None else _whole("context", context),
        tied=tie,
        kv_heads=None if kv_heads is None else _whole("kv_heads", kv_heads),
        tensor_parallel=ranks,
        experts=many,
        experts_per_token=used,
    )


def _vocabulary(
    params: float, *, name: str, convention: str, vocab: int | None, tied: bool, ranks: int, notes: list[str]
) -> int:
    """Return the padded rows of the token table; append what was changed to ``notes``."""
    tile = math.lcm(_VOCAB_TILE, ranks)
    if vocab is not None:
        rows = tile * math.ceil(_whole("vocab", vocab) / tile)
        if rows != vocab:
            notes.append(f"vocabulary {vocab:,} padded to {rows:,}, a multiple of {tile}")
        return rows
    own = tile * math.ceil(STYLES[name].vocab / tile)
    if convention == "non_embedding":
        return own
    copies = 1 if tied else 2
    for rows in (own, *(tile * math.ceil(v / tile) for v in _SMALL_VOCABULARIES if v < own)):
        # the usual width of a model whose layers have the rest: 12 L d² at an aspect ratio of 64
        width = (max(params * (1 - _TABLE_SHARE), 1.0) * 64 / 12) ** (1 / 3)
        if copies * rows * width <= _TABLE_SHARE * params:
            break
    if rows != own:
        notes.append(
            f"the vocabulary is {rows:,}: the {name} style's {own:,} would crowd out the layers of so small a model"
        )
    return rows


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**7:
        raise UsageError(f"{name} {quote(value)} is not a whole number from 1 to 10,000,000")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """Sizes that have the target's count, and their score as a shape (less is better)."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """The target, and the options by the style's defaults; ``kv_heads`` is None where the width decides."""

    name: str
    style: Style
    params: float
    convention: str
    tolerance: float
    vocab: int
    context: int
    tied: bool
    kv_heads: int | None
    tensor_parallel: int
    experts: int
    experts_per_token: int

    @property
    def sparsity(self) -> float:
        """Share of the routed experts that a token uses; 1 for a dense model."""
        return self.experts_per_token / self.experts if self.experts else 1.0

    @property
    def aspect(self) -> float:
        """The usual width over depth."""
        return aspect_for(self.params * self.sparsity)

    def counted(self, sizes: StyleSizes) -> int:
        """Return the exact parameters by the convention."""
        counts = count(architecture_of(config_of(self.style, sizes), source="shape"))
        return counts.non_embedding_params if self.convention == "non_embedding" else counts.params

    def shape_of(self, candidate: _Candidate) -> Shape:
        """Return the shape of a candidate, its config read back."""
        config = config_of(self.style, candidate.sizes)
        return Shape(
            style=self.name,
            target=self.params,
            convention=self.convention,
            error=candidate.params / self.params - 1,
            config=config,
            model=read_model(config),
        )


def _candidates(search: _Search) -> list[_Candidate]:
    """Return all sizes within the tolerance, the best first; alignment is relaxed only if nothing else fits."""
    for alignment in (_NORMAL, _FINE, _FINEST):
        found = [c for width in _widths(search, alignment) for c in _at_width(search, width, alignment)]
        if found:
            return sorted(found, key=lambda c: (c.score, c.sizes.width, c.sizes.layers, c.sizes.ffn_width))
    return []


def _widths(search: _Search, alignment: int) -> Iterator[int]:
    """Yield aligned widths around the one of the usual aspect ratio."""
    per_square = 4.0 + search.style.matrices * 3.0 / search.sparsity
    tables = 0 if search.convention == "non_embedding" else search.vocab * (1 if search.tied else 2)
    usual = usual_width(search.params, aspect=search.aspect, per_square=per_square, tables=tables)
    width = alignment * math.ceil(0.6 * usual / alignment)
    while width <= 1.7 * usual + alignment:
        step = alignment if alignment < _NORMAL else _tile(width, _WIDTH_STEPS)
        width = step * math.ceil(width / step)
        yield width
        width += step


def _tile(width: int, steps: tuple[tuple[int, int], ...]) -> int:
    return next(step for bound, step in steps if width < bound)


def _at_width(search: _Search, width: int, alignment: int) -> Iterator[_Candidate]:
    """Yield the depths and inner widths that have the target's count at one width."""
    style, ranks = search.style, search.tensor_parallel
    split = head_counts(style, width, smallest=alignment)
    if split is None or split[0] % ranks:
        return
    heads, head_size = split
    kv_heads = search.kv_heads or kv_head_count(style, heads, search.params, tensor_parallel=ranks)
    if heads % kv_heads or kv_heads % ranks:
        return
    line = _Line.through(
        search,
        StyleSizes(
            width=width,
            layers=1,
            heads=heads,
            kv_heads=kv_heads,
            head_size=head_size,
            ffn_width=_PROBE,
            vocab=search.vocab,
            context=search.context,
            tied=search.tied,
            experts=search.experts,
            experts_per_token=search.experts_per_token,
        ),
    )
    # the usual active inner width over width: 4, or 8/3 with three matrices, more with fewer key-value weights
    ideal = 4.0 if style.matrices == 2 else 3.2 if kv_heads < heads else 8 / 3
    unit = alignment if alignment < _NORMAL else _tile(width, _INNER_STEPS)
    if search.experts:
        unit = max(alignment, unit // 2)
    unit *= ranks
    used = search.experts_per_token if search.experts else 1
    aspect = search.aspect
    narrow, broad = (line.depth(search.params, share * ideal * width / used) for share in (1.5, 0.5))
    shallowest = max(2, math.floor(0.35 * width / aspect), math.floor(narrow))
    for layers in range(shallowest, math.ceil(min(2.2 * width / aspect, broad)) + 1):
        exact = line.inner(search.params, layers)
        for ffn_width in sorted({unit * math.floor(exact / unit), unit * math.ceil(exact / unit)}):
            ratio = used * ffn_width / width
            params = line.params(layers, ffn_width)
            miss = params / search.params - 1
            if not 0.5 * ideal <= ratio <= 1.5 * ideal or abs(miss) > search.tolerance:
                continue
            sizes = replace(line.sizes, layers=layers, ffn_width=ffn_width)
            score = math.log2(ratio / ideal) ** 2 + 0.3 * (miss / 0.02) ** 2 + _untidy(sizes, matrices=style.matrices)
            yield _Candidate(
                sizes=sizes,
                params=params,
                score=score + math.log2(width / layers / aspect) ** 2,
                shape_score=score,
                alignment=alignment,
            )


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
        *(heads > 4 and heads % 4 != 0,) * 2,  # twice: no rank count but 1 and 2 divides them
        heads > 1 and heads % 2 != 0,
        heads >= 8 and kv_heads < heads and kv_heads not in {4, 8, 16},
        matrices == 2 and sizes.ffn_width != 4 * width,
    ]
    return 0.05 * sum(marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The exact count at one width, as a function of depth L and inner width f: ``base + L (c0 + c1 f)``."""

    sizes: StyleSizes
    base: int
    fixed: int
    slope: int

    @classmethod
    def through(cls, search: _Search, sizes: StyleSizes) -> _Line:
        """Fix the coefficients by three exact counts, at and around ``sizes`` of one layer."""
        one = search.counted(sizes)
        slope = (search.counted(replace(sizes, ffn_width=2 * _PROBE)) - one) // _PROBE
        layer = search.counted(replace(sizes, layers=2)) - one
        return cls(sizes=sizes, base=one - layer, fixed=layer - slope * _PROBE, slope=slope)

    def params(self, layers: int, ffn_width: int) -> int:
        return self.base + layers * (self.fixed + self.slope * ffn_width)

    def depth(self, params: float, ffn_width: float) -> float:
        return (params - self.base) / (self.fixed + self.slope * ffn_width)

    def inner(self, params: float, layers: int) -> float:
        return max(0.0, ((params - self.base) / layers - self.fixed) / self.slope)
