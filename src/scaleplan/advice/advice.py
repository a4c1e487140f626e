"""What the rules of thumb say of a plan, as records: an answer a rule, their spread, the trades of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.records import as_record

if TYPE_CHECKING:
    from scaleplan.notices import Notice

__all__ = ["Advice", "Critical", "Outside", "RuleAnswer", "Spread", "Trade", "Tuned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """By what factor a quantity leaves the range a rule was fitted on; ``side`` is ``above`` or ``below``."""

    quantity: str
    factor: float
    side: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAnswer:
    """What one rule says about a plan; None where it says nothing, and ``reason`` why it says nothing at all.

    ``asked_with`` holds the quantities by the rule's own conventions, ``batch_tokens`` is in tokens.
    """

    rule: str
    status: str
    learning_rate: float | None
    batch_tokens: float | None
    batch_kind: str | None
    params_convention: str
    asked_with: dict[str, float]
    outside: tuple[Outside, ...]
    reason: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The least and the greatest answer, and their ratio."""

    low: float
    high: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A run with one batch: its steps, its tokens, the extra tokens, and the time where a cluster is known."""

    batch_tokens: float
    steps: float
    tokens: float
    overhead: float
    gpus: float | None
    days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Critical:
    """What one rule for the critical batch allows: the trades, the best on the cluster, the floor of the time."""

    rule: str
    batch_tokens: float
    steps_min: float
    trades: tuple[Trade, ...]
    best: Trade | None
    floor_days: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A batch tuned on fewer tokens, carried to the plan's by published exponents; batches in tokens."""

    tokens_from: float
    batch_from: float
    batch_tokens: float
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Batch and learning rate of a plan by several rules; None where not available or not asked."""

    schema: ClassVar[str] = "scaleplan/hyperparameters/1"

    preset: str
    params: float
    tokens: float
    flops: float
    loss: float | None
    rules: tuple[RuleAnswer, ...]
    learning_rate: Spread | None
    batch_tokens: Spread | None
    critical: tuple[Critical, ...]
    tuned: Tuned | None
    sequence: float
    gpus_per_replica: float
    gpu: str | None
    gpus: float | None
    warnings: tuple[Notice, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)
