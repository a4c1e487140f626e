"""Whether further pilot runs are worth their compute: what a better choice of N saves the run that they are for.

A run of the target's budget whose size is off loses what the curvature of the loss on its budget line makes of the
variance of ln N*; the compute that would have reached the same loss less is what the error wastes. Pilots lower it,
and cost. Where the next ones save less than they cost is the place to stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.fitting.expected_error import StandardErrors

__all__ = ["PilotStage", "PilotWorth", "Stage", "worth_of_pilots"]

_SHARES = np.geomspace(1e-5, 0.1, 9)
"""Shares of the main run's compute that pilots have after each stage: people spend a tenth at the very most."""

Known = TypeVar("Known")


class Stage(Record):
    """Further runs: what they cost, how many they are, and the errors after them."""

    flops: float
    runs: int
    after: StandardErrors


class PilotStage(Record):
    """A stage of further pilots: ``flops`` and ``runs`` of all stages so far, ``added_flops`` of this one.

    ``waste`` and ``wasted_flops`` are those expected after it, of the main run; ``saved_flops`` is by how much the
    stage lowers the latter, None where nothing was known before.
    """

    flops: float
    runs: int
    added_flops: float
    log_params: float
    log_loss: float
    waste: float | None
    wasted_flops: float | None
    saved_flops: float | None


class PilotWorth(Record):
    """What pilots save and cost, stage by stage, and the compute of further pilots at which to stop.

    ``stop_flops`` is 0 where no further pilot is worth its compute. ``bounded`` is whether even the last stage is
    worth it: the place to stop is then beyond the table.
    """

    stages: tuple[PilotStage, ...]
    stop_flops: float
    bounded: bool


def worth_of_pilots(
    further: Callable[[float, Known], tuple[Known, Stage] | None],
    known: Known,
    main: float,
    *,
    before: StandardErrors | None,
) -> PilotWorth:
    """Return what stages of further pilots save a main run of a compute.

    ``further`` returns what is known after the best runs of a budget after what was known, and the runs; None where
    none can be had. ``before`` are the errors now, None where there are no runs.
    """
    stages: list[PilotStage] = []
    spent, runs, wasted = 0.0, 0, None if before is None else before.wasted_flops
    for share in _SHARES.tolist():
        found = further(share * main - spent, known)
        if found is None:
            continue
        known, stage = found
        spent, runs = spent + stage.flops, runs + stage.runs
        left = stage.after.wasted_flops
        stages.append(
            PilotStage(
                flops=spent,
                runs=runs,
                added_flops=stage.flops,
                log_params=stage.after.log_params,
                log_loss=stage.after.log_loss,
                waste=stage.after.waste,
                wasted_flops=left,
                saved_flops=None if wasted is None or left is None else wasted - left,
            )
        )
        wasted = left
    worthwhile = 0.0
    for stage_so_far in stages:
        if stage_so_far.saved_flops is not None and stage_so_far.saved_flops < stage_so_far.added_flops:
            break
        worthwhile = stage_so_far.flops
    return PilotWorth(
        stages=tuple(stages),
        stop_flops=worthwhile,
        bounded=bool(stages) and worthwhile >= stages[-1].flops,
    )
