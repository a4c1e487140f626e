"""The memory that keys and values of past tokens take while a model generates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = ["kv_bytes", "kv_bytes_per_token"]


def kv_bytes_per_token(architecture: Architecture, *, bytes_per_value: float = 2.0) -> float:
    """Return the bytes that one more token adds in all layers, as long as no window is full.

    ``2 L k q`` values for grouped heads; ``L (r_kv + q_rope)`` for latent attention, which stores the latent and
    one rotary key (arXiv:2405.04434, section 2.1); 0 for encoders.
    """
    return architecture.layers * _values_per_layer(architecture) * bytes_per_value


def kv_bytes(architecture: Architecture, *, context: int, bytes_per_value: float = 2.0) -> float:
    """Return the bytes of one sequence of ``context`` tokens; local layers keep no more than their window."""
    a = architecture
    near = min(context, a.window) if a.window else context
    kept = (a.layers - a.windowed_layers) * context + a.windowed_layers * near
    return kept * _values_per_layer(a) * bytes_per_value


def _values_per_layer(a: Architecture) -> int:
    if not a.causal:
        return 0
    if a.latent:
        return a.latent.kv_rank + a.latent.rope
    return 2 * a.kv_heads * a.head_size
