"""The law of Li et al. 2025 (Farseer, arXiv:2506.10972): the exponent of the data falls as the model grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scaleplan.arrays import exp
from scaleplan.laws.base import LossSurface, Number, coefficient

__all__ = ["Farseer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Farseer(LossSurface):
    """L = exp(s*N^q + S) + exp(B*N^b + Q)*D^(-exp(A*N^a + E)), with the authors' names of the coefficients.

    E is no irreducible loss but an offset inside the exponent of the data; with s < 0 the law has no floor. A model
    so large that the exponent of its data is near zero needs none: at a fixed budget the least loss is that of an
    endless model on nothing, and what looks like the optimum is a valley beside it.
    """

    form: ClassVar[str] = "farseer"
    formula: ClassVar[str] = "L = exp(s*N^q + S) + exp(B*N^b + Q)*D^(-exp(A*N^a + E))"

    s: float = coefficient("weight of the size in the logarithm of the loss on endless data")
    q: float = coefficient("exponent of the size there", above=0)
    S: float = coefficient("offset there")
    B: float = coefficient("weight of the size in the logarithm of the data term")
    b: float = coefficient("exponent of the size there")
    Q: float = coefficient("offset there")
    A: float = coefficient("weight of the size in the logarithm of the exponent of the data")
    a: float = coefficient("exponent of the size there", above=0)
    E: float = coefficient("offset there")

    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the loss of ``params`` on ``tokens``."""
        endless = exp(self.s * params**self.q + self.S)
        return endless + exp(self.B * params**self.b + self.Q) * tokens ** -exp(self.A * params**self.a + self.E)
