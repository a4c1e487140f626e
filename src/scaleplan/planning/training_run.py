"""The training run of a plan as records: architecture, layout, steps, days, money, energy and carbon.

What is estimated carries its error: accelerator-hours are known to a factor, so the days, the money and the energy of
the same compute are too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.hardware.bill import Bill
    from scaleplan.models.layout import Layout
    from scaleplan.models.memory import Memory, Parallel
    from scaleplan.models.walltime import LeastTime

__all__ = ["LayoutSummary", "TrainingRun"]


class LayoutSummary(Record):
    """The division of the model over the devices, and the memory of each in bytes."""

    parallel: Parallel
    states: str
    recompute: str
    micro_batch: int
    largest_micro_batch: int
    accumulation: int
    bubble: float
    memory: Memory
    memory_bytes: float
    in_flight: int | None = None
    idle_devices: int | None = None

    @classmethod
    def of(cls, layout: Layout, memory_bytes: float) -> LayoutSummary:
        """Return the record of a layout on devices of so many nominal bytes."""
        training = layout.training
        return cls(
            parallel=layout.parallel,
            states=training.states,
            recompute=training.recompute,
            micro_batch=training.micro_batch,
            largest_micro_batch=layout.largest_micro_batch,
            accumulation=training.accumulation,
            bubble=layout.bubble,
            memory=layout.memory,
            memory_bytes=memory_bytes,
            in_flight=layout.in_flight if layout.parallel.pipeline > 1 else None,
            idle_devices=layout.idle,
        )


class TrainingRun(Record):
    """A run in concrete terms; None where the hardware is not known, or nothing fits.

    ``batch_source`` is the origin of ``tokens_per_step``; ``step_seconds`` is the time of one step while
    training. ``architecture`` is the record of :meth:`scaleplan.models.model.Model.to_dict`, and ``config`` the
    ``config.json`` of a shape that was found here. Where no layout fits, ``closest`` is the one that needs the least.
    """

    schema: ClassVar[str] = "scaleplan/blueprint/1"

    architecture: dict[str, object]
    config: dict[str, object] | None
    sequence: int
    steps: int
    tokens_per_step: float
    batch_source: str
    step_seconds: float | None
    fits: bool | None
    layout: LayoutSummary | None
    fewest_devices: int | None
    largest_params: float | None
    least_time: LeastTime | None
    bill: Bill | None
    closest: LayoutSummary | None = None
