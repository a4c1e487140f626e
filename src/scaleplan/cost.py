"""The cost of a run in FLOP: the compute convention of a law, plus terms for other demands.

Every cost here has the shape ``per_token(params) * tokens + fixed(params)``: linear in the tokens, so that the
tokens a budget buys follow in closed form for each model size.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.arrays import Number

__all__ = ["Cost"]

_CONVENTION = re.compile(r"(?P<k>\d+(?:\.\d+)?)?(?P<size>N|M)D(?:\s*\+\s*(?P<c>\d+(?:\.\d+)?(?:e[+-]?\d+)?)D)?")


class Cost(Record):
    """Training compute ``C = (per_param_token*N + routing*N^(2/3) + per_token)*D + per_param*N``.

    ``per_param_token`` is the k of C = kND, 6 by default; ``per_token`` is compute that does not depend on the
    size (Hunyuan-Large's 2.3e8 D, attention at a fixed shape); ``per_param`` is compute that does not depend on
    the training tokens and is not training (2 FLOP per inference token). ``routing`` is compute per token that
    grows as N^(2/3): the routers of a mixture of experts, whose size is layers*width.
    """

    per_param_token: float = 6.0
    per_token: float = 0.0
    per_param: float = 0.0
    routing: float = 0.0

    @classmethod
    def from_convention(cls, text: str) -> Cost | None:
        """Read ``6ND``, ``MD`` (M is FLOP per token) or ``9.59ND + 2.3e8D``; None for any other text."""
        match = _CONVENTION.fullmatch(text.strip())
        if match is None or (match["size"] == "N") == (match["k"] is None):
            return None
        return cls(per_param_token=float(match["k"] or 1.0), per_token=float(match["c"] or 0.0))

    @property
    def is_product(self) -> bool:
        """Whether the cost is k*N*D and nothing else, as closed-form optima require."""
        return self.per_token == 0 and self.per_param == 0 and self.routing == 0

    @property
    def training(self) -> Cost:
        """The part that is training."""
        return self if self.per_param == 0 else replace(self, per_param=0.0)

    def flops(self, params: Number, tokens: Number) -> Number:
        """Return the compute of training ``params`` on ``tokens``."""
        return self._each(params) * tokens + self.per_param * params

    def tokens(self, params: Number, flops: Number | float) -> Number:
        """Return the tokens that ``flops`` buy for a model of ``params``; not positive when they buy none."""
        return (flops - self.per_param * params) / self._each(params)

    def params(self, tokens: Number | float, flops: Number) -> Number:
        """Return the size that ``flops`` can train on ``tokens``; not positive when they can train none."""
        size = (flops - self.per_token * tokens) / (self.per_param_token * tokens + self.per_param)
        return size if self.routing == 0 else self._shrunk(size, flops, lambda _: tokens)

    def params_at_ratio(self, ratio: float, flops: Number) -> Number:
        """Return the size that ``flops`` can train on ``ratio`` tokens per parameter."""
        linear = self.per_token * ratio + self.per_param
        root = (linear * linear + 4 * self.per_param_token * ratio * flops) ** 0.5
        size = 2 * flops / (linear + root)
        return size if self.routing == 0 else self._shrunk(size, flops, lambda params: ratio * params)

    def _each(self, params: Number) -> Number:
        """Return the compute of one token."""
        each = self.per_param_token * params + self.per_token
        return each if self.routing == 0 else each + self.routing * params ** (2 / 3)

    def _shrunk(self, size: Number, flops: Number | float, tokens: Callable[[Number], Number | float]) -> Number:
        """Return the size that spends ``flops``, by bisection below ``size``, which would do so without routing."""
        positive = 0.5 * (abs(size) + size)
        low, high = 0.0 * positive, positive
        for _ in range(120):
            middle = 0.5 * (low + high)
            fits = self.flops(middle, tokens(middle)) <= flops  # type: ignore[type-var]
            low, high = low + fits * (middle - low), middle + fits * (high - middle)
        return low + 0.5 * (size - abs(size))
