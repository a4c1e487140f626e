"""What does a forward pass leave behind for the backward pass? Bytes of activations and of logits.

Korthikanti et al. 2022 (arXiv:2205.05198, section 4) list the saved tensors of a layer in 16 bits: 34 d bytes a token
and 5 a s for standard attention. The same list for any heads and blocks, with sequence s, width d, a query and k
key-value heads of size q and inner width f, reads::

    norms and inputs   8 d            kept whole by every tensor-parallel rank, unless the sequence is split too
    dropout masks      2 d            (only with dropout)
    attention          4 a q + 4 k q  queries, keys, values, input of the output matrix
    block              4 f or 8 f     two or three matrices; a recomputed product saves 2 f of the 8
    scores             5 a s          (only standard attention; fused kernels do not store them)

which is 34 d for full heads, f = 4d, two matrices and dropout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = ["MARGIN", "RECOMPUTE", "Activations", "layer_activations", "logits_bytes"]

RECOMPUTE = ("none", "selective", "full")
"""Nothing; the attention core and the product inside gated blocks; everything but the input of each layer."""

MARGIN = 1.3
"""Real frameworks keep more than the list: the recommended factor, between formula and measurement (28 copies of the
hidden state for Llama-3.1-8B, where the list has 17 to 20)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """Bytes of one layer and one token: what stays until the backward pass, and what one layer works with."""

    kept: float
    working: float


def layer_activations(
    architecture: Architecture,
    *,
    sequence: int,
    recompute: str = "none",
    tensor: int = 1,
    sequence_parallel: bool = True,
    flash: bool = True,
    dropout: bool = False,
) -> Activations:
    """Return the bytes of activations per token in one layer, on one of ``tensor`` devices that share it.

    Parameters
    ----------
    architecture
        The model.
    sequence
        Tokens of the whole sequence, which standard attention has scores with.
    recompute
        ``none``, ``selective`` or ``full``.
    tensor
        Tensor-parallel devices.
    sequence_parallel
        Whether they split the norms and the residual stream too, along the sequence.
    flash
        Whether attention is fused, so that its scores are never stored.
    dropout
        Whether dropout masks are kept.

    Raises
    ------
    UnknownNameError
        For an unknown kind of recomputation.

    """
    if recompute not in RECOMPUTE:
        raise UnknownNameError("recomputation", recompute, RECOMPUTE)
    a = architecture
    whole = (10.0 if dropout else 8.0) * a.width
    split = _attention(a) + _block(a, lean=recompute == "selective")
    if not flash and recompute != "selective":
        split += 5.0 * a.heads * sequence
    kept = whole / (tensor if sequence_parallel else 1) + split / tensor
    if recompute != "full":
        return Activations(kept=kept, working=0.0)
    return Activations(kept=2.0 * a.width / (tensor if sequence_parallel else 1), working=kept)


def _attention(a: Architecture) -> float:
    """Return 4 a q + 4 k q, or the same with the ranks of latent attention."""
    keys = a.heads if a.latent else a.kv_heads
    ranks = (a.latent.query_rank or 0) + a.latent.kv_rank + a.latent.rope if a.latent else 0
    return 2.0 * (a.heads + keys) * (a.score_size + a.value_size) + 2.0 * ranks


def _block(a: Architecture, *, lean: bool) -> float:
    """Return the bytes of the largest feed-forward block: all experts that a token uses, or the dense one."""
    each = 4.0 if a.ffn_matrices == 2 else 6.0 if lean else 8.0
    if a.experts:
        # each expert has its own copy of the token, there and back
        copies = 4.0 * a.experts.per_token * a.width
        return each * (a.experts.per_token * a.experts.width + a.experts.shared_width) + copies
    return each * a.ffn_width


def logits_bytes(architecture: Architecture, *, fused: bool = False) -> float:
    """Return the bytes of one token's logits: 16 bits, an fp32 copy, and its gradient unless the loss is fused."""
    return (6.0 if fused else 10.0) * architecture.vocab
