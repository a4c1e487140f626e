"""Count an architecture: parameters, training FLOP per token, and bytes of cached keys and values.

Parameters follow the reference implementations to the last one: a tied table counts once, buffers do not count. For
a plain layer with width d, a query heads, k key and value heads of size q and inner width f that is
``d q (a + 2k) + a q d + m d f`` weights (m = 2 or 3 matrices), plus norms and biases. A shared part counts once as
parameters, and multiplies as often as it runs.

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
    from collections.abc import Iterator

    from scaleplan.models.architecture import Architecture, Part

__all__ = [
    "Count",
    "TrainingFlops",
    "attention_flops",
    "count",
    "executed_params",
    "kv_bytes",
    "kv_bytes_per_token",
    "layer_params",
    "state_bytes",
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
    recurrent_params: int = 0
    """State-space, linear attention and convolution mixers."""


def count(architecture: Architecture) -> Count:
    """Count the parameters of an architecture; a part with one set of weights counts once, wherever it stands."""
    a = architecture
    by_kind = {"attention": 0, "recurrent": 0, "ffn": 0}
    norm = expert = unused = tables = 0
    for many, part in _held(a):
        for atom in part.atoms:
            if atom.kind == "table":
                tables += many * atom.params
            elif atom.kind == "norm":
                norm += many * atom.params
            else:
                by_kind[part.kind] += many * atom.params
        if part.experts:
            one = part.experts.params
            expert += many * part.experts.count * one
            unused += many * (part.experts.count - part.experts.per_token) * one
    table = a.vocab * a.table_width
    output = 0 if a.tied else a.head_rows * a.head_width
    positions = sum(atom.params for atom in a.atoms if atom.kind == "table")
    outside = sum(atom.params for atom in a.atoms if atom.kind not in ("table", "norm"))
    norm += sum(atom.params for atom in a.atoms if atom.kind == "norm")
    embedding = table + output + positions + tables + a.head_bias
    non_embedding = sum(by_kind.values()) + expert + norm + outside
    params = non_embedding + embedding
    return Count(
        params=params,
        active_params=params - unused,
        non_embedding_params=non_embedding,
        active_non_embedding_params=non_embedding - unused,
        embedding_params=embedding,
        input_embedding_params=table,
        output_embedding_params=output,
        position_embedding_params=sum(
            atom.params for atom in a.atoms if atom.kind == "table" and "position" in atom.label
        ),
        attention_params=by_kind["attention"],
        ffn_params=by_kind["ffn"],
        expert_params=expert,
        norm_params=norm,
        extra_params=a.extra_params,
        recurrent_params=by_kind["recurrent"],
    )


def _held(a: Architecture) -> Iterator[tuple[int, Part]]:
    """Yield each part, and of how many of it the weights are held: once of a shared one, which a plain one may be."""
    seen: set[str] = {part.name for _, part in a.parts() if not part.shared}
    for many, part in a.parts():
        if not part.shared:
            yield many, part
        elif part.name not in seen:
            seen.add(part.name)
            yield 1, part


def executed_params(architecture: Architecture) -> int:
    """Return the weights that multiply each token: a shared part as often as it runs, and the head, tied or not."""
    a = architecture
    layers = sum(many * part.executed for many, part in a.parts())
    return layers + sum(atom.executed for atom in a.atoms) + a.head_rows * a.head_width


def _repeated(a: Architecture) -> int:
    """Return the weights of shared parts that multiply a token once more than they are held."""
    return sum(many * part.executed for many, part in a.parts() if part.shared) - sum(
        many * part.executed for many, part in _held(a) if part.shared
    )


def layer_params(architecture: Architecture) -> int:
    """Return the parameters of the largest layer: with experts where there are any."""
    return max((sum(part.params for part in stack.parts) for stack in architecture.stacks), default=0)


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
    matrices = counts.active_non_embedding_params + architecture.head_rows * architecture.head_width
    multiplied = matrices + _repeated(architecture)
    full = attention_flops(architecture, context=context, causal=False)
    causal = attention_flops(architecture, context=context, causal=architecture.causal)
    return TrainingFlops(
        context=context,
        flop_params=matrices,
        six_n=6.0 * counts.active_params,
        full_attention=6.0 * multiplied + full,
        causal_attention=6.0 * multiplied + causal,
        selective_recompute=6.0 * multiplied + full + full / 3,
        full_recompute=(6.0 * multiplied + full) * 4 / 3,
    )


def attention_flops(architecture: Architecture, *, context: int, causal: bool) -> float:
    """Return the training FLOP per token of scores and value mixing: 6 times the channels that meet, times ``keys``.

    ``keys`` are the tokens that a query meets: the context, at most the window in layers with local attention;
    with ``causal``, the mean over the positions, ``w - w² / 2T`` for a window w, which is T/2 without one; an encoder
    attends to both sides.
    """

    def mean(reach: int, masked: bool) -> float:
        return reach - reach * reach / (2 * context) if masked else float(reach)

    return sum(
        6.0 * stack.repeat * part.pairs * mean(min(context, part.window or context), causal and not stack.encoder)
        for stack in architecture.stacks
        for part in stack.parts
    )


def kv_bytes_per_token(architecture: Architecture, *, bytes_per_value: float = 2.0) -> float:
    """Return the bytes that one more token adds in all layers, as long as no window is full.

    ``2 L k q`` values for grouped heads; ``L (r_kv + q_rope)`` for latent attention, which stores the latent and
    one rotary key (arXiv:2405.04434, section 2.1); 0 for encoders.
    """
    if not architecture.causal:
        return 0.0
    return sum(many * part.cache for many, part in architecture.parts()) * bytes_per_value


def state_bytes(architecture: Architecture, *, bytes_per_value: float = 2.0) -> float:
    """Return the bytes that one sequence takes whatever its length: recurrent and convolution states."""
    return sum(many * part.state for many, part in architecture.parts()) * bytes_per_value


def kv_bytes(architecture: Architecture, *, context: int, bytes_per_value: float = 2.0) -> float:
    """Return the bytes of one sequence of ``context`` tokens; local layers keep no more than their window."""
    if not architecture.causal:
        return 0.0
    kept = sum(
        many * (part.cache * min(context, part.window or context) + part.state) for many, part in architecture.parts()
    )
    return kept * bytes_per_value
