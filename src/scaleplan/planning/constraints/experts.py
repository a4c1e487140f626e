"""Choose the experts of a mixture: their number, within the memory that all of them need, or their granularity.

Ludziejewski et al. 2025 (arXiv:2502.05172) minimise the loss under ``N_total <= M`` or, with a cache of T tokens,
``N_total + 2*T*layers*width <= M`` numbers of memory, over the number of experts as well. More granularity lowers the
loss and costs routing (arXiv:2402.07871).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from scaleplan.errors import Notice, UsageError
from scaleplan.laws.mixtures import FineGrainedMoE, JointMoE
from scaleplan.planning.constraints.base import Variant, choice_of
from scaleplan.units import (
    GIGA,
    format_count,
    format_factor,
    format_gigabytes,
    format_plain,
    parse_count,
    parse_gigabytes,
)
from scaleplan.units.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.planning.constraints.base import Point
    from scaleplan.presets.preset import Preset

__all__ = ["ExpertCount", "Granularity"]

_BYTES = 2.0  # of one number in bf16

_MOST_EXPERTS = 1_000_000  # four thousand times the published most of a layer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertCount(Variant):
    """A number of experts, and the memory that all of them must fit, in GB of 1e9 bytes."""

    value: float | None = None
    auto: bool = False
    memory_gb: float | None = None
    cached_tokens: float = 0.0

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the number of experts, the memory and the cached tokens."""
        value, auto = choice_of("experts", options)
        memory, cached = options.get("max_memory"), options.get("kv_tokens")
        if value is not None and (value % 1 or value > _MOST_EXPERTS):
            raise UsageError(
                f"a number of experts is a whole one up to {_MOST_EXPERTS:,}, not {format_plain(value)}",
                hint="for example 64",
            )
        return cls(
            value=value,
            auto=auto,
            memory_gb=None if memory is None else parse_gigabytes(memory),
            cached_tokens=0.0 if cached is None else parse_count(cached, what="tokens"),
        )

    def limit(self, preset: Preset) -> Limit | None:
        """Return the largest active size whose experts and cache fit the memory."""
        if self.memory_gb is None:
            return None
        law = preset.law
        assert isinstance(law, JointMoE)
        largest = law.largest(self.memory_gb * GIGA / _BYTES, cached_tokens=self.cached_tokens)
        return Limit("params", "<=", largest, None, f"memory <= {format_gigabytes(self.memory_gb)}")

    def facts(self, point: Point) -> dict[str, object]:
        """Return the experts, the parameters of all of them, and the memory with the cache."""
        law = point.surface
        assert isinstance(law, JointMoE)
        return {
            "experts": law.experts,
            "total_params": law.total_params(point.params),
            "memory_gb": law.elements(point.params, cached_tokens=self.cached_tokens) * _BYTES / GIGA,
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of an assumed number, of memory that is exceeded, and beyond the range of the law."""
        law = point.surface
        assert isinstance(law, JointMoE)
        needed = law.elements(point.params, cached_tokens=self.cached_tokens) * _BYTES / GIGA
        if self.memory_gb is not None and needed > self.memory_gb * (1 + 1e-9):  # of a size that was given
            message = f"{format_count(law.experts)} experts of this size need {format_gigabytes(needed)} of memory"
            return (Notice(code="memory_exceeded", message=f"{message}, above {format_gigabytes(self.memory_gb)}"),)
        most = law.choices[-1]
        if self.value is None and not self.auto:
            message = f"{format_plain(law.experts)} experts are assumed; give --experts, a number or auto"
            return (Notice(code="experts_assumed", message=message),)
        if law.experts > most:
            message = (
                f"{format_plain(law.experts)} experts are {format_factor(law.experts / most)} the most this law "
                "was fitted on"
            )
            return (Notice(code="extrapolated_experts", message=f"{message} ({format_plain(most)})"),)
        if self.auto and law.experts == most and self.memory_gb is None:
            message = (
                f"without --max-memory more experts are always better; {format_plain(most)} are the most this "
                "law knows"
            )
            return (Notice(code="experts_unbounded", message=message),)
        return ()


_FITTED = 16.0  # the finest of the runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Granularity(Variant):
    """A granularity, 4*width/(width of an expert)."""

    value: float | None = None
    auto: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the granularity."""
        value, auto = choice_of("granularity", options)
        return cls(value=value, auto=auto)

    def limit(self, preset: Preset) -> Limit | None:
        """Return none."""
        return None

    def facts(self, point: Point) -> dict[str, object]:
        """Return the granularity, the experts and the parameters of all of them."""
        law = point.surface
        assert isinstance(law, FineGrainedMoE)
        return {
            "granularity": law.granularity,
            "experts": law.experts,
            "total_params": law.total_params(point.params),
        }

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Warn of an assumed granularity, and beyond the range of the runs."""
        law = point.surface
        assert isinstance(law, FineGrainedMoE)
        if self.value is None and not self.auto:
            message = (
                f"a granularity of {format_plain(law.granularity)} is assumed; give --granularity, a number or auto"
            )
            return (Notice(code="granularity_assumed", message=message),)
        if law.granularity > _FITTED:
            message = (
                f"a granularity of {format_plain(law.granularity)} is "
                f"{format_factor(law.granularity / _FITTED)} the finest"
            )
            return (
                Notice(
                    code="extrapolated_granularity",
                    message=f"{message} this law was fitted on ({format_plain(_FITTED)})",
                ),
            )
        return ()
