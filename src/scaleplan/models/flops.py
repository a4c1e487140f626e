"""What does one training token cost? FLOP by the conventions in use, which differ by up to 20 %.

A multiply-add is two FLOP and a backward pass costs twice the forward one. With L layers, a query heads of size
q, context T and N parameters (architecture.md section 4 gathers the sources):

=================  ===============================  ====================================================
convention         FLOP per token                   source
=================  ===============================  ====================================================
``6N``             6 N                              Kaplan et al. 2020, arXiv:2001.08361
full attention     6 N_flop + 12 L a q T            Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, B
causal attention   6 N_flop + 6 L a q T             FlashAttention's count, the lower triangle only
full recompute     8 N_flop + 16 L a q T            one more forward pass
DeepSeek           72 L d² + 12 L d T               DeepSeek LLM 2024, arXiv:2401.02954, M in C = M D
Chinchilla         forward of each matrix, times 3  Hoffmann et al. 2022, arXiv:2203.15556, appendix F
=================  ===============================  ====================================================

``N_flop`` is what really multiplies: active parameters without the tables, plus the output head (V d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.models.count import count

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = [
    "TrainingFlops",
    "attention_flops",
    "chinchilla_flops",
    "deepseek_flops",
    "flop_params",
    "training_flops",
]


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
    matrices = flop_params(architecture)
    full = attention_flops(architecture, context=context, causal=False)
    causal = attention_flops(architecture, context=context, causal=architecture.causal)
    return TrainingFlops(
        context=context,
        flop_params=matrices,
        six_n=6.0 * count(architecture).active_params,
        full_attention=6.0 * matrices + full,
        causal_attention=6.0 * matrices + causal,
        selective_recompute=6.0 * matrices + full + full / 3,
        full_recompute=(6.0 * matrices + full) * 4 / 3,
    )


def flop_params(architecture: Architecture) -> int:
    """Return N_flop: active parameters without the tables, plus the output head, which works even when tied."""
    return count(architecture).active_non_embedding_params + architecture.vocab * architecture.table_width


def attention_flops(architecture: Architecture, *, context: int, causal: bool) -> float:
    """Return the training FLOP per token of scores and value mixing: ``6 L a (q_score + q_value) keys``.

    ``keys`` are the tokens that a query meets: the context, at most the window in layers with local attention;
    with ``causal``, the mean over the positions, ``w - w² / 2T`` for a window w, which is T/2 without one.
    """
    a = architecture
    per_key = 6.0 * a.heads * (a.score_size + a.value_size)
    near = min(context, a.window) if a.window else context

    def mean(reach: int) -> float:
        return reach - reach * reach / (2 * context) if causal else float(reach)

    return per_key * ((a.layers - a.windowed_layers) * mean(context) + a.windowed_layers * mean(near))


def deepseek_flops(architecture: Architecture, *, context: int) -> float:
    """Return DeepSeek LLM's M, ``72 L d² + 12 L d T``: a dense model with two-matrix blocks of 4d is assumed."""
    a = architecture
    return 72.0 * a.layers * a.width**2 + 12.0 * a.layers * a.width * context


def chinchilla_flops(architecture: Architecture, *, context: int, embedding: bool = True) -> float:
    """Return Chinchilla's appendix F per token: three forward passes over every matrix, softmax included.

    Parameters
    ----------
    architecture
        Read as the paper's dense model: full heads, two-matrix blocks.
    context
        Tokens in a sequence, T.
    embedding
        Whether to count the token table and the head; the paper's comparison with 6ND leaves both out.

    """
    a, seq = architecture, float(context)
    inner = a.heads * a.head_size
    layer = (
        2 * 3 * seq * a.width * inner  # queries, keys, values
        + 2 * seq * seq * inner  # scores
        + 3 * a.heads * seq * seq  # softmax
        + 2 * seq * seq * inner  # value mix
        + 2 * seq * inner * a.width  # output projection
        + 2 * seq * (2 * a.width * a.ffn_width)  # feed-forward
    )
    tables = 2 * (2 * seq * a.vocab * a.width) if embedding else 0.0
    return 3 * (a.layers * layer + tables) / seq
