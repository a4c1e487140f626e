"""Convert between the conventions for counting parameters, where that is possible.

A model of N_E non-embedding parameters has N_T = N_E + omega*N_E^(1/3) in all, with omega = V*(R/12)^(1/3) for
a vocabulary V and an aspect ratio R = width/layers (Pearce and Song 2024, arXiv:2406.12907). The embedding
matrix counts once: as the tied embedding, or as the head of a count that leaves out the input embedding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.arrays import cubic_root
from scaleplan.errors import UsageError
from scaleplan.record import Record
from scaleplan.units import format_number, format_plain

if TYPE_CHECKING:
    from scaleplan.arrays import Number
    from scaleplan.laws.additive import Additive

__all__ = [
    "NATS",
    "Embedding",
    "bits_per_byte",
    "convert_params",
    "flops_per_token",
    "optimal_flops_of_size",
    "perplexity",
    "token_bytes",
    "unconvertible",
]

NATS = "nats/token"
"""The unit of a loss that has a perplexity, and bits per byte where the bytes of a token are known."""

_MOST_BYTES = 20.0  # of a token on average: one of English text has 4 to 5

_FAR = 700.0  # the largest logarithm of a float, nearly

_SAME = frozenset({"total", "total_minus_input_embedding"})

_CONVERTIBLE = _SAME | {"non_embedding"}


class Embedding(Record):
    """The size of the embedding matrix of a family of models, as a function of the rest.

    ``omega`` is 47491 in the source: a vocabulary of 32,000 and an aspect ratio of 39.225, Chinchilla's family.
    """

    omega: float = 47491.0

    @classmethod
    def of(cls, *, vocabulary: float, aspect_ratio: float = 39.225) -> Embedding:
        """Return the family with a vocabulary and a width/layers ratio; double the vocabulary if untied."""
        return cls(omega=vocabulary * (aspect_ratio / 12) ** (1 / 3))

    def total(self, non_embedding: Number) -> Number:
        """Return N_T for N_E."""
        return non_embedding + self.omega * non_embedding ** (1 / 3)

    def non_embedding(self, total: float) -> float:
        """Return N_E for N_T: N_E = t^3 at the root of t^3 + omega*t = N_T."""
        return cubic_root(cubic=1.0, linear=self.omega, total=total) ** 3


def unconvertible(source: str, target: str) -> str | None:
    """Return why a count of parameters cannot be converted; None when it can."""
    if source == target or {source, target} <= _CONVERTIBLE:
        return None
    for convention, reason in _REASONS.items():
        if convention in {source, target}:
            return reason
    return f"no conversion between '{source}' and '{target}' is known"


_REASONS = {
    "flops_per_token": "FLOP per token depend on the layers, the width and the sequence, not on a parameter count",
    "active": "activated parameters say nothing about the experts that rest",
}


def convert_params(params: float, *, source: str, target: str, embedding: Embedding | None = None) -> float:
    """Return a parameter count by the convention ``target``, for Chinchilla's family of models by default.

    ``total``, ``total_minus_input_embedding`` and ``non_embedding`` can be converted into each other, the first two
    being equal here: the matrix counts once in both. Raises UsageError, with the reason, for any other.
    """
    reason = unconvertible(source, target)
    if reason is not None:
        raise UsageError(f"cannot convert parameters from '{source}' to '{target}': {reason}")
    family = embedding or Embedding()
    if source == target or {source, target} <= _SAME:
        return params
    return family.total(params) if source == "non_embedding" else family.non_embedding(params)


def optimal_flops_of_size(law: Additive, non_embedding: Number, *, embedding: Embedding | None = None) -> Number:
    """Return the compute C_E = 6*N_E*D for which a non-embedding size is optimal under a law in total parameters.

    C_E = 6 N_E (N_E + omega/3 N_E^(1/3))^(-1/beta) N_T^((1+alpha)/beta) (beta B / (alpha A))^(1/beta)
    (Pearce and Song 2024): the first-order condition along constant N_E*D.
    """
    family = embedding or Embedding()
    slope = non_embedding + family.omega / 3 * non_embedding ** (1 / 3)
    total = family.total(non_embedding)
    tokens = (slope**-1.0 * total ** (1 + law.alpha) * (law.beta * law.B / (law.alpha * law.A))) ** (1 / law.beta)
    return 6 * non_embedding * tokens


def flops_per_token(*, layers: int, width: int, sequence: int) -> int:
    """Return DeepSeek's M, non-embedding FLOP per token with attention: 72 n d^2 + 12 n d l (arXiv:2401.02954).

    Holds for multi-head attention and 12 width^2 parameters a layer; grouped queries make it smaller.
    """
    return 72 * layers * width**2 + 12 * layers * width * sequence


def perplexity(loss: float | None, unit: str | None) -> float | None:
    """Return the perplexity per token of a loss, exp(loss); None of a loss that is not in nats per token."""
    return None if loss is None or unit != NATS or not loss <= _FAR else math.exp(loss)


def token_bytes(value: float) -> float:
    """Return the bytes that a token has on average; raises UsageError for a number that no tokenizer has."""
    if 1 <= value <= _MOST_BYTES:
        return value
    inverse = f"; {format_number(1 / value)} if that is in tokens per byte" if 1 / _MOST_BYTES <= value < 1 else ""
    raise UsageError(
        f"a token has 1 to {format_plain(_MOST_BYTES)} bytes on average, not {format_plain(value)}",
        hint=f"4.3, for example{inverse}",
    )


def bits_per_byte(loss: float | None, unit: str | None, bytes_per_token: float | None) -> float | None:
    """Return a loss in nats per token as bits per byte of the text, loss / (ln 2 * bytes per token).

    None of a loss in another unit, and where the bytes of a token are not known.
    """
    if loss is None or unit != NATS or bytes_per_token is None:
        return None
    return loss / (math.log(2) * bytes_per_token)
