"""Describe a model by its layers, each made of parts, and each part of matrices, vectors, convolutions and tables.

A family's description (``families/``) turns a ``config.json`` into an :class:`Architecture`; counts, FLOP, caches,
memory and layouts read this record and know nothing of families.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Architecture", "Atom", "Experts", "Part", "Stack"]


class Atom(NamedTuple):
    """One tensor of weights."""

    label: str
    kind: str
    """``matrix`` (it multiplies once per token), ``norm`` (of the residual stream), ``vector`` (scales, biases, other
    norms), ``conv`` (depthwise), or ``table`` (rows that are looked up)."""
    rows: int
    """Inputs of a matrix, channels of a convolution, rows of a table, length of a vector."""
    columns: int = 1
    """Outputs of a matrix, taps of a convolution, width of a table."""
    bias: int = 0
    """Weights of its bias, or of a norm's shift."""

    @property
    def params(self) -> int:
        """Weights, the bias among them."""
        return self.rows * self.columns + self.bias

    @property
    def executed(self) -> int:
        """Weights that multiply once per token."""
        return self.rows * self.columns if self.kind in ("matrix", "conv") else 0


@dataclass(frozen=True, slots=True)
class Experts:
    """Several sets of the same weights, of which a router picks some for each token."""

    count: int
    per_token: int
    atoms: tuple[Atom, ...]
    """The weights of one expert."""
    width: int
    """Inner width of one expert; 0 where it has none."""
    layers: int = 1
    """Layers that have such experts (in :attr:`Architecture.experts`)."""

    @property
    def params(self) -> int:
        """Weights of one expert."""
        return sum(atom.params for atom in self.atoms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One mixer or one feed-forward block of a layer, with the norms that belong to it."""

    name: str
    atoms: tuple[Atom, ...] = ()
    experts: Experts | None = None
    cache: int = 0
    """Values that it stores for each token of a sequence."""
    state: int = 0
    """Values that it stores for each sequence whatever its length: recurrent and convolution states."""
    pairs: int = 0
    """Channels that a query and a key meet in: scores and mixed values, ``heads (score size + value size)``."""
    keys: int = 0
    """Channels of the keys and values that are computed for a token; the cache may store them compressed."""
    window: int | None = None
    """Tokens that its attention sees; None for all."""
    fused: tuple[tuple[str, ...], ...] = ()
    """Labels of matrices that the usual implementation (Hugging Face's) stores as one; adapters stand beside that."""
    shared: bool = False
    """Whether it has one set of weights wherever it stands."""
    heads: int = 0
    """Query heads, or heads of a state-space mixer; 0 for a part without heads."""
    kv_heads: int = 0
    head_size: int = 0
    """Channels of a query head."""
    inner: int = 0
    """Inner width of a feed-forward block."""
    gated: bool = False
    """Whether a feed-forward block multiplies two projections of its input."""

    @property
    def kind(self) -> str:
        """What it does: ``attention``, ``recurrent`` (state-space, linear attention, convolution), or ``ffn``."""
        return "attention" if self.pairs else "recurrent" if self.state else "ffn"

    def matrices(self) -> list[Atom]:
        """Return its matrices, and those of one expert."""
        return [
            atom for atom in (*self.atoms, *(self.experts.atoms if self.experts else ())) if atom.kind == "matrix"
        ]

    @property
    def params(self) -> int:
        """Weights, all experts among them."""
        own = sum(atom.params for atom in self.atoms)
        return own + (self.experts.count * self.experts.params if self.experts else 0)

    @property
    def executed(self) -> int:
        """Weights that multiply for each token, those of the experts that it uses among them."""
        own = sum(atom.executed for atom in self.atoms)
        if self.experts:
            own += self.experts.per_token * sum(atom.executed for atom in self.experts.atoms)
        return own


class Stack(NamedTuple):
    """Equal layers that follow one another."""

    repeat: int
    parts: tuple[Part, ...]
    encoder: bool = False
    """Whether they belong to the encoder of an encoder-decoder."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A model: its word table and what stands outside of the layers, and its layers in order."""

    family: str
    vocab: int
    """Rows of the word table, padding included."""
    width: int
    """Width of the residual stream, d."""
    tied: bool
    """Whether the output head is the word table."""
    stacks: tuple[Stack, ...]
    atoms: tuple[Atom, ...] = ()
    """What stands outside of the layers: norms, position tables, projections, poolers."""
    table_width: int = 0
    """Width of the word table; 0 stands for ``width``."""
    head_rows: int = 0
    """Rows of a head of its own; 0 stands for ``vocab``."""
    head_width: int = 0
    """Width of a head of its own; 0 stands for that of the word table."""
    headless: bool = False
    """Whether it has no output head: a bare encoder, whose word table only looks up."""
    head_bias: int = 0
    """Weights of the head's bias."""
    context: int | None = None
    """Longest context that the configuration states, in tokens."""
    causal: bool = True
    """False for encoders, which attend to both sides and keep no cache."""
    extra_params: int = 0
    """Multi-token-prediction blocks, which are not part of the counts."""
    notes: tuple[str, ...] = ()
    """What the description says about its counts."""

    def __post_init__(self) -> None:
        if not self.table_width:
            object.__setattr__(self, "table_width", self.width)
        if self.headless:
            object.__setattr__(self, "head_rows", 0)
        elif not self.head_rows or self.tied:
            object.__setattr__(self, "head_rows", self.vocab)
        if not self.head_width or self.tied:
            object.__setattr__(self, "head_width", self.table_width)

    def parts(self) -> Iterable[tuple[int, Part]]:
        """Yield each part of each stack, and how often it runs."""
        for stack in self.stacks:
            for part in stack.parts:
                yield stack.repeat, part

    @cached_property
    def layers(self) -> int:
        """All layers, those of an encoder among them."""
        return sum(stack.repeat for stack in self.stacks)

    @cached_property
    def attention(self) -> Part | None:
        """The attention that most layers have (the first of equals); None for models without one."""
        return self._commonest([(many, part) for many, part in self.parts() if part.pairs])

    @cached_property
    def block(self) -> Part | None:
        """The dense feed-forward block that most layers have; None where all have experts."""
        return self._commonest([(many, part) for many, part in self.parts() if part.inner and not part.experts])

    @cached_property
    def experts(self) -> Experts | None:
        """The routed experts, with the number of layers that have them; None for a dense model."""
        found = [(many, part.experts) for many, part in self.parts() if part.experts]
        return replace(found[0][1], layers=sum(many for many, _ in found)) if found else None

    @property
    def heads(self) -> int:
        """Query heads of the commonest attention; 0 without attention."""
        return self.attention.heads if self.attention else 0

    @property
    def kv_heads(self) -> int:
        """Key and value heads of the commonest attention."""
        return self.attention.kv_heads if self.attention else 0

    @property
    def head_size(self) -> int:
        """Channels of a query head; not always ``width / heads``."""
        return self.attention.head_size if self.attention else 0

    @property
    def ffn_width(self) -> int:
        """Inner width of a dense feed-forward block; 0 when every layer has experts."""
        return self.block.inner if self.block else 0

    @cached_property
    def window(self) -> int | None:
        """Tokens that the layers with local attention see."""
        return next((part.window for _, part in self.parts() if part.pairs and part.window), None)

    @cached_property
    def windowed_layers(self) -> int:
        """Layers with local attention."""
        return sum(many for many, part in self.parts() if part.pairs and part.window)

    @staticmethod
    def _commonest(found: list[tuple[int, Part]]) -> Part | None:
        totals: dict[str, int] = {}
        for many, part in found:
            totals[part.name] = totals.get(part.name, 0) + many
        return max((part for _, part in found), key=lambda part: totals[part.name], default=None)
