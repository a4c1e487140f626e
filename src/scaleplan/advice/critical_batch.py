"""The trade between steps and tokens around the critical batch, and the least time it leaves a run.

McCandlish et al. 2018 (arXiv:1812.06162): (S/S_min - 1)(E/E_min - 1) = 1, with E = B*S, so that a batch B takes
S = S_min (1 + B_crit/B) steps and E = E_min (1 + B/B_crit) tokens, where B_crit = E_min/S_min.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cluster", "Tradeoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """Steps and tokens of one run as functions of its batch.

    Parameters
    ----------
    tokens_min
        Tokens in the limit of small batches, E_min.
    critical
        The critical batch in tokens, B_crit; there both steps and tokens are twice their least.

    """

    tokens_min: float
    critical: float

    @classmethod
    def of(cls, *, steps_min: float, tokens_min: float) -> Tradeoff:
        """Return the trade from the two limits."""
        return cls(tokens_min=tokens_min, critical=tokens_min / steps_min)

    @property
    def steps_min(self) -> float:
        """Steps in the limit of large batches."""
        return self.tokens_min / self.critical

    def steps(self, batch: float) -> float:
        """Return the steps with a batch in tokens."""
        return self.steps_min * (1 + self.critical / batch)

    def tokens(self, batch: float) -> float:
        """Return the tokens with a batch in tokens."""
        return self.tokens_min * (1 + batch / self.critical)

    def tokens_of_steps(self, steps: float) -> float:
        """Return the tokens of a run of ``steps`` (more than the least) by the hyperbola itself."""
        return self.tokens_min * (1 + 1 / (steps / self.steps_min - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How a batch becomes time: replicas of the model that each take whole sequences.

    Parameters
    ----------
    flops_per_second
        What one accelerator achieves: peak times utilisation.
    gpus
        Accelerators at hand; None for as many as the batch can feed.
    sequence
        Tokens of one sequence, the least that a replica takes in a step.
    gpus_per_replica
        Accelerators that hold one copy of the model.

    """

    flops_per_second: float
    gpus: float | None
    sequence: float
    gpus_per_replica: float

    def fed(self, batch: float) -> float:
        """Return the accelerators that a batch keeps busy, one sequence a replica, none more than there are."""
        feedable = max(1.0, batch / self.sequence) * self.gpus_per_replica
        return feedable if self.gpus is None else min(self.gpus, feedable)

    def seconds(self, flops: float, trade: Tradeoff, batch: float) -> float:
        """Return the time of a run that needs ``flops`` at small batches, with this batch."""
        spent = flops * trade.tokens(batch) / trade.tokens_min
        return spent / (self.fed(batch) * self.flops_per_second)

    def floor_seconds(self, flops: float, trade: Tradeoff) -> float:
        """Return the time that no number of accelerators undercuts: S_min steps of one sequence a replica."""
        step = flops / trade.tokens_min * self.sequence / (self.gpus_per_replica * self.flops_per_second)
        return trade.steps_min * step

    def best_batch(self, trade: Tradeoff) -> float:
        """Return the batch with the shortest time.

        Below the batch that feeds every accelerator the time falls as 1/B + 1/B_crit, above it rises: the best
        batch feeds exactly all of them. Without a number of accelerators it is the critical batch, where the
        time is twice the floor; larger ones gain at most that factor and waste the tokens.
        """
        if self.gpus is None:
            return max(trade.critical, self.sequence)
        return max(1.0, self.gpus / self.gpus_per_replica) * self.sequence
