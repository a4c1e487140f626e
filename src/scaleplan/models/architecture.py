"""Describe a transformer of any family by one record, from which everything is counted.

A family's reader (``families/``) turns a ``config.json`` into an :class:`Architecture`; counts, FLOPs, caches,
memory and layouts read this record and know nothing of families.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Architecture", "Experts", "Latent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The mixture-of-experts layers: a router that sends each token to some of many feed-forward blocks."""

    count: int
    """Routed experts in each such layer."""
    per_token: int
    """Routed experts that a token uses."""
    width: int
    """Inner width of one routed expert."""
    layers: int
    """Layers that have experts; the others have a dense feed-forward block."""
    shared_width: int = 0
    """Inner width of all always-active (shared) experts together."""
    shared_gate: bool = False
    """Whether the shared expert is scaled by a learned gate (one weight a channel)."""
    bias: bool = False
    """Whether the matrices of the routed experts have biases."""
    router_bias: bool = False
    """Whether the router has a learned bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values from a low-rank latent."""

    query_rank: int | None
    """Rank of the query projection; None for a plain matrix."""
    kv_rank: int
    """Rank of the joint key and value latent, which is what the cache holds."""
    nope: int
    """Channels of a query or key head without rotary position."""
    rope: int
    """Channels of a query head with rotary position; one key of this size is shared by all heads."""
    value: int
    """Channels of a value head."""
    bias: bool = False
    """Whether the down-projections have biases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The normalised description of a transformer."""

    family: str
    layers: int
    width: int
    """Width of the residual stream, d."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key and value heads."""
    head_size: int
    """Channels of a query, key and value head; not always ``width / heads``."""
    ffn_width: int
    """Inner width of a dense feed-forward block; 0 when every layer has experts and no such width is stated."""
    ffn_matrices: int
    """2 for up and down, 3 for the gated kinds (SwiGLU, GeGLU)."""
    vocab: int
    """Rows of the token table, padding included."""
    tied: bool
    """Whether the output head is the token table."""
    context: int | None = None
    """Longest context the configuration states, in tokens."""
    causal: bool = True
    """False for encoders, which attend to both sides and keep no cache."""

    positions: int = 0
    """Rows of a learned position table; 0 for rotary and ALiBi positions."""
    token_types: int = 0
    """Rows of a learned segment table (BERT)."""
    embedding_width: int | None = None
    """Width of the token table where it differs from ``width``: two projections then join them (OPT-350M)."""

    query_bias: bool = False
    kv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    head_bias: bool = False

    norm_weights: int = 1
    """Weights a channel of a norm: 0 non-parametric, 1 scale, 2 scale and shift."""
    norms_per_layer: int = 2
    qk_norm: int = 0
    """Weights of the query and key norms of one layer."""
    final_norm: bool = True
    embedding_norm: bool = False
    sinks: bool = False
    """Whether each query head has a learned attention sink (gpt-oss)."""

    experts: Experts | None = None
    latent: Latent | None = None
    window: int | None = None
    """Tokens that the layers with local attention see."""
    windowed_layers: int = 0
    """Layers with local attention."""
    extra_layers: int = 0
    """Multi-token-prediction blocks, which are not part of the counts."""

    pooler: bool = False
    """An encoder's pooler: a dense layer on the first token."""
    prediction_head: bool = False
    """An encoder's masked-token head: a dense layer and a norm before the token table."""
    sentence_head: bool = False
    """BERT's next-sentence classifier."""

    @property
    def dense_layers(self) -> int:
        """Layers with a dense feed-forward block."""
        return self.layers - (self.experts.layers if self.experts else 0)

    @property
    def table_width(self) -> int:
        """Width of the token table."""
        return self.embedding_width or self.width

    @property
    def score_size(self) -> int:
        """Channels of a head in the attention scores (query times key)."""
        return self.latent.nope + self.latent.rope if self.latent else self.head_size

    @property
    def value_size(self) -> int:
        """Channels of a head in the mixed values."""
        return self.latent.value if self.latent else self.head_size
