"""What is this model? The one entry point: a config in, exact counts, FLOP per token and cache out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.models.config import read_config
from scaleplan.models.count import Count, TrainingFlops, count, kv_bytes_per_token, training_flops
from scaleplan.models.families import architecture_of, text_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.models.architecture import Architecture

__all__ = ["DEFAULT_CONTEXT", "Model", "describe", "read_model"]

DEFAULT_CONTEXT = 2048
"""Tokens in a training sequence when neither the user nor the config states one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as its configuration describes it, with everything that follows from that exactly."""

    source: str
    architecture: Architecture
    counts: Count
    flops: TrainingFlops
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """The ``model_type`` by which the config was read."""
        return self.architecture.family

    @property
    def params(self) -> int:
        """All trainable parameters."""
        return self.counts.params

    @property
    def active_params(self) -> int:
        """Parameters that a token uses, token tables included."""
        return self.counts.active_params

    @property
    def non_embedding_params(self) -> int:
        """Parameters without tables and output head."""
        return self.counts.non_embedding_params

    @property
    def embedding_params(self) -> int:
        """Parameters of tables and output head."""
        return self.counts.embedding_params

    @property
    def flops_per_token(self) -> float:
        """Training FLOP per token, 6 times the active parameters; ``flops`` has the other conventions."""
        return self.flops.six_n

    @property
    def kv_bytes_per_token(self) -> float:
        """Bytes of keys and values per token of context, at 16 bits a value."""
        return kv_bytes_per_token(self.architecture)

    def params_as(self, convention: str) -> float:
        """Return the parameters by the convention of a law.

        Parameters
        ----------
        convention
            ``total``, ``active``, ``non_embedding``, ``total_minus_input_embedding`` or ``flops_per_token``
            (DeepSeek's M: non-embedding FLOP per token with full attention at the model's context).

        Raises
        ------
        UsageError
            For any other convention.

        """
        c = self.counts
        known: dict[str, float] = {
            "total": c.params,
            "active": c.active_params,
            "non_embedding": c.non_embedding_params,
            "total_minus_input_embedding": c.params - c.input_embedding_params,
            "flops_per_token": self.flops.full_attention
            - 6.0 * (self.flops.flop_params - c.active_non_embedding_params),
        }
        if convention not in known:
            raise UsageError(
                f"unknown parameter convention {quote(convention)}", hint=f"known: {', '.join(sorted(known))}"
            )
        return known[convention]

    def to_dict(self) -> dict[str, object]:
        """Return the machine-readable form, ``scaleplan/model/1``."""
        a, c, f = self.architecture, self.counts, self.flops
        experts = a.experts
        return {
            "schema": "scaleplan/model/1",
            "source": self.source,
            "family": self.family,
            "params": c.params,
            "active_params": c.active_params,
            "non_embedding_params": c.non_embedding_params,
            "active_non_embedding_params": c.active_non_embedding_params,
            "embedding_params": c.embedding_params,
            "input_embedding_params": c.input_embedding_params,
            "output_embedding_params": c.output_embedding_params,
            "position_embedding_params": c.position_embedding_params,
            "attention_params": c.attention_params,
            "ffn_params": c.ffn_params,
            "expert_params": c.expert_params,
            "norm_params": c.norm_params,
            "extra_params": c.extra_params,
            "tied_embeddings": a.tied,
            "flops_per_token": self.flops_per_token,
            "flop_params": f.flop_params,
            "context": f.context,
            "flops_per_token_full_attention": f.full_attention,
            "flops_per_token_causal_attention": f.causal_attention,
            "flops_per_token_selective_recompute": f.selective_recompute,
            "flops_per_token_full_recompute": f.full_recompute,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "layers": a.layers,
            "width": a.width,
            "heads": a.heads,
            "kv_heads": a.kv_heads,
            "head_size": a.head_size,
            "ffn_width": a.ffn_width,
            "vocab": a.vocab,
            "max_context": a.context,
            "experts": experts.count if experts else None,
            "experts_per_token": experts.per_token if experts else None,
            "expert_width": experts.width if experts else None,
            "window": a.window,
            "notes": list(self.notes),
        }


def read_model(
    source: str | Path | Mapping[str, object], *, arch: str | None = None, context: int | None = None
) -> Model:
    """Read a model config and derive everything that follows from it.

    Parameters
    ----------
    source
        A ``config.json``, a folder that holds one, its text, or the mapping itself.
    arch
        The family to read it as, for configs whose ``model_type`` is unknown or absent.
    context
        Tokens in a training sequence, for the FLOP of attention; ``DEFAULT_CONTEXT`` (or the model's own, if
        that is shorter) when None.

    Raises
    ------
    FileError
        When the config cannot be read, or fields are missing, malformed or contradictory.
    UsageError
        For a context that is not at least 1.

    """
    data, name = read_config(source)
    architecture = architecture_of(data, source=name, arch=arch)
    notes = []
    if text_part(data, name)[0] is not data:
        notes.append("only the language model of this multimodal config is counted")
    return describe(architecture, source=name, context=context, notes=tuple(notes))


def describe(
    architecture: Architecture, *, source: str, context: int | None = None, notes: tuple[str, ...] = ()
) -> Model:
    """Derive everything that follows from an architecture; arguments as in :func:`read_model`."""
    if context is not None and (isinstance(context, bool) or context < 1):
        raise UsageError(f"context {quote(context)} is not a whole number of at least 1")
    a = architecture
    notes = (*notes, *_notes(a))
    return Model(
        source=source,
        architecture=a,
        counts=count(a),
        flops=training_flops(a, context=context or min(a.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)),
        notes=notes,
    )


def _notes(a: Architecture) -> tuple[str, ...]:
    notes = []
    if a.extra_layers:
        notes.append("multi-token-prediction blocks are left out of the counts; extra_params is their size")
    if not a.causal and not a.prediction_head:
        notes.append("counted as the bare encoder; architectures in the config selects a head")
    return tuple(notes)
