"""Count an architecture: parameters, training FLOP per token, and bytes of cached keys and values.

Parameters follow the reference implementations to the last one: a tied table counts once, buffers do not count. For
a plain layer with width d, a query heads, k key and value heads of size q and inner width f that is
``d q (a + 2k) + a q d + m d f`` weights (m = 2 or 3 matrices), plus norms and biases.

A multiply-add is two FLOP and a backward pass costs twice the forward one. The conventions in use differ by up to
20 %; with L layers, context T, N parameters, and ``N_flop`` those that multiply each token (active parameters without
the tables, plus the output head, V d):

=================  ========================  ====================================================
convention         FLOP per token            source
=================  ========================  ====================================================
``6N``             6 N                       Kaplan et al. 2020, arXiv:2001.08361
full attention     6 N_flop + 12 L a q T     Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, B
causal attention   6 N_flop + 6 L a q T      FlashAttention's count, the lower triangle only
full recompute     8 N_flop + 16 L a q T     one more forward pass
=================  ========================  ====================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture, Latent

__all__ = [
    "Count",
    "TrainingFlops",
    "attention_flops",
    "count",
    "kv_bytes",
    "kv_bytes_per_token",
    "layer_params",
    "training_flops",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Exact parameter counts of a model, by part."""

    params: int
    """All trainable parameters, each once; multi-token-prediction blocks are not part of it."""
    active_params: int
    """Parameters without the routed experts that a token does not use; both token tables included."""
    non_embedding_params: int
    """Parameters without token, position and segment tables, output head and its bias."""
    active_non_embedding_params: int
    embedding_params: int
    """What ``non_embedding_params`` leaves out."""
    input_embedding_params: int
    output_embedding_params: int
    """An output head of its own; 0 when it is the token table."""
    position_embedding_params: int
    attention_params: int
    ffn_params: int
    """Dense blocks, shared experts and routers."""
    expert_params: int
    """Routed experts."""
    norm_params: int
    extra_params: int
    """Multi-token-prediction blocks, which training may use and ``params`` leaves out."""


def count(architecture: Architecture) -> Count:
    """Count the parameters of an architecture."""
    a = architecture
    table = a.vocab * a.table_width
    output = 0 if a.tied else table
    head_bias = a.vocab if a.head_bias else 0
    positions = a.positions * a.width
    embedding = table + output + positions + a.token_types * a.width + head_bias

    attention = a.layers * _attention(a)
    ffn = a.dense_layers * _block(a, a.ffn_width, bias=a.ffn_bias)
    expert = unused = 0
    if a.experts:
        e = a.experts
        one = _block(a, e.width, bias=e.bias)
        expert = e.layers * e.count * one
        unused = e.layers * (e.count - e.per_token) * one
        ffn += e.layers * _always(a)
    norm = (a.layers * a.norms_per_layer + a.final_norm + a.embedding_norm) * a.norm_weights * a.width
    non_embedding = attention + ffn + expert + norm + _joins(a)
    params = non_embedding + embedding
    return Count(
        params=params,
        active_params=params - unused,
        non_embedding_params=non_embedding,
        active_non_embedding_params=non_embedding - unused,
        embedding_params=embedding,
        input_embedding_params=table,
        output_embedding_params=output,
        position_embedding_params=positions,
        attention_params=attention,
        ffn_params=ffn,
        expert_params=expert,
        norm_params=norm,
        extra_params=_extra(a),
    )


def layer_params(architecture: Architecture) -> int:
    """Return the parameters of the largest layer: with experts where there are any."""
    a = architecture
    norms = a.norms_per_layer * a.norm_weights * a.width
    if a.experts and a.experts.layers:
        routed = a.experts.count * _block(a, a.experts.width, bias=a.experts.bias)
        return _attention(a) + norms + routed + _always(a)
    return _attention(a) + norms + _block(a, a.ffn_width, bias=a.ffn_bias)


def _attention(a: Architecture) -> int:
    """Count one attention block, without the norms before and after it."""
    if a.latent:
        return _latent(a, a.latent) + (a.width if a.output_bias else 0)
    query, key_value = a.heads * a.head_size, 2 * a.kv_heads * a.head_size
    return (
        2 * a.width * query  # queries and output
        + a.width * key_value
        + (query if a.query_bias else 0)
        + (key_value if a.kv_bias else 0)
        + (a.width if a.output_bias else 0)
        + (a.heads if a.sinks else 0)
        + a.qk_norm
    )


def _latent(a: Architecture, latent: Latent) -> int:
    """Count queries ``d r + r + r a (nope + rope)`` (or ``d a (nope + rope)``), keys and values, output."""
    score = a.heads * (latent.nope + latent.rope)
    if latent.query_rank is None:
        query = a.width * score
    else:
        rank = latent.query_rank
        query = a.width * rank + rank + rank * score + (rank if latent.bias else 0)
    down = latent.kv_rank + latent.rope
    up = latent.kv_rank * a.heads * (latent.nope + latent.value)
    key_value = a.width * down + latent.kv_rank + up + (down if latent.bias else 0)
    return query + key_value + a.heads * latent.value * a.width


def _block(a: Architecture, width: int, *, bias: bool) -> int:
    """Count one feed-forward block of inner width ``width``."""
    biases = (a.ffn_matrices - 1) * width + a.width if bias else 0
    return a.ffn_matrices * a.width * width + biases


def _always(a: Architecture) -> int:
    """Count what every token uses of an expert layer: router, shared expert and its gate."""
    e = a.experts
    if e is None:
        return 0
    router = a.width * e.count + (e.count if e.router_bias else 0)
    shared = _block(a, e.shared_width, bias=a.ffn_bias) if e.shared_width else 0
    return router + shared + (a.width if e.shared_gate else 0)


def _joins(a: Architecture) -> int:
    """Count what stands between tables and layers: projections to a narrower table, an encoder's heads."""
    d = a.width
    projections = 2 * d * a.embedding_width if a.embedding_width else 0
    pooler = d * d + d if a.pooler else 0
    prediction = d * d + d + a.norm_weights * d if a.prediction_head else 0
    if a.prediction_head and not a.tied:
        prediction += a.vocab  # the transformers classes keep a second bias on a head of its own
    sentence = 2 * d + 2 if a.sentence_head else 0
    return projections + pooler + prediction + sentence


def _extra(a: Architecture) -> int:
    """Count multi-token-prediction blocks: a layer, three norms and a join of two streams (arXiv:2412.19437, 2.2)."""
    return a.extra_layers * (layer_params(a) + 2 * a.width * a.width + 3 * a.norm_weights * a.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFlops:
    """Training FLOP per token by convention, at one context length."""

    context: int
    flop_params: int
    """The parameters that multiply every token: N_flop."""
    six_n: float
    """6 times the active parameters, tables included."""
    full_attention: float
    """All query-key pairs; the usual numerator of utilisation (MFU)."""
    causal_attention: float
    """Only the pairs that a causal mask keeps."""
    selective_recompute: float
    """Full attention, with the attention core computed twice forward."""
    full_recompute: float
    """Full attention, with the whole forward pass computed twice; what HFU counts."""


def training_flops(architecture: Architecture, *, context: int) -> TrainingFlops:
    """Return the training FLOP per token at a context of ``context`` tokens."""
    counts = count(architecture)
    # the output head multiplies even when it is the token table
    matrices = counts.active_non_embedding_params + architecture.vocab * architecture.table_width
    full = attention_flops(architecture, context=context, causal=False)
    causal = attention_flops(architecture, context=context, causal=architecture.causal)
    return TrainingFlops(
        context=context,
        flop_params=matrices,
        six_n=6.0 * counts.active_params,
        full_attention=6.0 * matrices + full,
        causal_attention=6.0 * matrices + causal,
        selective_recompute=6.0 * matrices + full + full / 3,
        full_recompute=(6.0 * matrices + full) * 4 / 3,
    )


def attention_flops(architecture: Architecture, *, context: int, causal: bool) -> float:
    """Return the training FLOP per token of scores and value mixing: ``6 L a (q_score + q_value) keys``.

    ``keys`` are the tokens that a query meets: the context, at most the window in layers with local attention;
    with ``causal``, the mean over the positions, ``w - w² / 2T`` for a window w, which is T/2 without one.
    """
    a = architecture
    per_key = 6.0 * a.heads * (a.score_size + a.value_size)

    def mean(reach: int) -> float:
        return reach - reach * reach / (2 * context) if causal else float(reach)

    return per_key * ((a.layers - a.windowed_layers) * mean(context) + a.windowed_layers * mean(_reach(a, context)))


def kv_bytes_per_token(architecture: Architecture, *, bytes_per_value: float = 2.0) -> float:
    """Return the bytes that one more token adds in all layers, as long as no window is full.

    ``2 L k q`` values for grouped heads; ``L (r_kv + q_rope)`` for latent attention, which stores the latent and
    one rotary key (arXiv:2405.04434, section 2.1); 0 for encoders.
    """
    return architecture.layers * _values_per_layer(architecture) * bytes_per_value


def kv_bytes(architecture: Architecture, *, context: int, bytes_per_value: float = 2.0) -> float:
    """Return the bytes of one sequence of ``context`` tokens; local layers keep no more than their window."""
    a = architecture
    kept = (a.layers - a.windowed_layers) * context + a.windowed_layers * _reach(a, context)
    return kept * _values_per_layer(a) * bytes_per_value


def _reach(a: Architecture, context: int) -> int:
    """Return the tokens that a layer with local attention sees."""
    return min(context, a.window) if a.window else context


def _values_per_layer(a: Architecture) -> int:
    if not a.causal:
        return 0
    if a.latent:
        return a.latent.kv_rank + a.latent.rope
    return 2 * a.kv_heads * a.head_size
