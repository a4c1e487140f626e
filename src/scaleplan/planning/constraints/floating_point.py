"""The number of tokens up to which a floating-point format trains (Sun et al. 2025, arXiv:2501.02423).

L = n/N^a + d/D^b + e + D^b/N^a * log2(block)/(g * (E + 0.5)^delta * (M + 0.5)^nu): the penalty of few exponent bits E
and mantissa bits M grows with the tokens, so that beyond a critical number further training does harm. Its
constants belong to its own runs, so that it is a check of a plan and does not change its loss.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.units import format_count, format_plain, parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.laws.base import LossSurface
    from scaleplan.planning.constraints.base import Point

__all__ = ["FloatingPoint"]

_N_SCALE, _N_EXPONENT = 69.2343, 0.2368

_D_SCALE, _D_EXPONENT = 68973.0621, 0.5162

_FLOOR = 1.9061

_GAMMA, _DELTA, _NU = 11334.5197, 3.1926, 2.9543

_FORMAT = re.compile(r"E([1-8])M([0-9]|10)", re.IGNORECASE)

_BLOCK = 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatingPoint(EffectiveQuantity):
    """Training in a format of so many exponent and mantissa bits, with one scale for each block."""

    scarcity: ClassVar[bool] = False
    advice: ClassVar[bool] = True

    exponent: int
    mantissa: int
    block: float = _BLOCK

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read a format such as E4M3, and the size of a block."""
        name, block = options.get("fp_format"), options.get("quant_block")
        if name is None:
            raise UsageError("--quant-block says nothing without a format", hint="add --fp-format, such as E4M3")
        match = _FORMAT.fullmatch(str(name).strip())
        if match is None:
            raise UsageError(
                f"{quote(name)} is no floating-point format", hint="write exponent and mantissa bits, such as E4M3"
            )
        size = _BLOCK if block is None else float(parse_integer(block))
        if size < 2:
            raise UsageError(f"a block of {format_plain(size)} shares no scale", hint="give at least 2, such as 128")
        return cls(exponent=int(match[1]), mantissa=int(match[2]), block=size)

    @property
    def name(self) -> str:
        """The usual name of the format, such as E4M3."""
        return f"E{self.exponent}M{self.mantissa}"

    @property
    def resolution(self) -> float:
        """The worth of the bits: g*(E + 0.5)^delta*(M + 0.5)^nu/log2(block)."""
        bits = _GAMMA * (self.exponent + 0.5) ** _DELTA * (self.mantissa + 0.5) ** _NU
        return bits / math.log2(self.block)

    def loss(self, params: float, tokens: float) -> float:
        """Return the loss by the source's own law, in nats per token of its own text."""
        size, data = params**_N_EXPONENT, tokens**_D_EXPONENT
        return _N_SCALE / size + _D_SCALE / data + _FLOOR + data / size / self.resolution

    def critical_tokens(self, params: float) -> float:
        """Return the tokens of least loss: (d * N^a * resolution)^(1/(2 b))."""
        return (_D_SCALE * params**_N_EXPONENT * self.resolution) ** (1 / (2 * _D_EXPONENT))

    def on(self, surface: LossSurface) -> Scaled:
        """Return the map that changes nothing."""
        return Scaled(most=(1.0, 1.0))

    def facts(self, point: Point) -> dict[str, object]:
        """Return the format and its critical tokens at the size of the plan."""
        return {
            "fp_format": self.name,
            "quant_block": self.block,
            "fp_critical_tokens": self.critical_tokens(point.params),
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of tokens beyond the critical ones."""
        critical = self.critical_tokens(point.params)
        if point.tokens <= critical:
            return ()
        message = (
            f"training in {self.name} with blocks of {format_plain(self.block)} does harm beyond "
            f"{format_count(critical)} tokens "
            f"at this size (Sun et al. 2025); use more bits or smaller blocks"
        )
        return (Notice(code="format_critical_tokens", message=message),)
