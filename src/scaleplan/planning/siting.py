"""Whether a model fits the devices of a budget, how it is divided over them, and how fast it could be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.models.capacity import fewest_devices, linked_devices
from scaleplan.models.footprint import device_bytes, largest_params
from scaleplan.models.layout import find_layout
from scaleplan.models.memory import STATES_SHARE, USABLE
from scaleplan.models.model import DEFAULT_CONTEXT
from scaleplan.models.states import DEFAULT_STATES, states_of
from scaleplan.models.walltime import Machine, beyond_utilisation, least_time
from scaleplan.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.budget import Budget
    from scaleplan.hardware.funding import Catalogue
    from scaleplan.models.layout import Layout
    from scaleplan.models.model import Model
    from scaleplan.models.walltime import LeastTime
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset

__all__ = ["Site", "site_of", "sizes_in_memory"]

_GIGA = 1e9
_ROUNDING = 1.05  # steps are whole, and times are estimates


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The devices, and what of the model fits them."""

    memory_bytes: float = 0.0
    bandwidth: float = 0.0
    layout: Layout | None = None
    fits: bool | None = None
    fewest: int | None = None
    largest: float | None = None
    notices: tuple[Notice, ...] = ()

    def limits(self, plan: Plan, model: Model, *, batch_tokens: float) -> tuple[LeastTime | None, tuple[Notice, ...]]:
        """Return the least time of the run on its devices, and warn where the time of the plan is below it."""
        budget = plan.budget
        if self.layout is None or budget.peak_flops_per_s is None or budget.mfu is None:
            return None, ()
        least = least_time(
            model.architecture,
            Machine(flops_per_second=budget.peak_flops_per_s * budget.mfu, bandwidth=self.bandwidth),
            flops=plan.flops,
            tokens=plan.tokens,
            batch_tokens=batch_tokens,
            sequence=self.layout.training.sequence,
            parallel=self.layout.parallel,
            gpus=budget.gpus,
        )
        found = None if budget.days is None else beyond_utilisation(plan.flops, budget.days)
        notices = [] if found is None else [found]
        if budget.days is not None and least.days > budget.days * _ROUNDING:
            message = f"{least.binds} keeps this run from ending before {least.days:.3g} days, whatever it is given"
            notices.append(Notice(code="least_time", message=message))
        return least, tuple(notices)


def site_of(budget: Budget, model: Model, sequence: int, batch: float, catalogue: Catalogue) -> Site:
    """Lay the model out on the devices of a budget."""
    if budget.gpu is None:
        return Site()
    device = catalogue.accelerators.get(budget.gpu)
    memory, linked = device.memory_bytes, linked_devices(device)
    fewest = _fewest(model, memory, linked, sequence)
    if budget.gpus is None:
        return Site(memory_bytes=memory, bandwidth=device.bandwidth, fewest=fewest)
    largest, needed = _largest(memory, budget.gpus, linked, sequence)
    layout, notices = None, []
    try:
        layout = find_layout(
            model.architecture,
            gpus=budget.gpus,
            memory_bytes=memory,
            linked=linked,
            sequence=sequence,
            batch_tokens=batch,
        )
    except ScaleplanError as error:
        parts = [error.message, error.hint or ""]
        if largest:
            limit = f"--limit 'memory_gb <= {math.floor(needed / _GIGA)}'"
            parts.append(f"about {largest / _GIGA:.2g}B parameters do: {limit}")
        notices.append(Notice(code="does_not_fit", message="; ".join(part for part in parts if part)))
    else:
        notices += _told(layout, budget)
    return Site(
        memory_bytes=memory,
        bandwidth=device.bandwidth,
        layout=layout,
        fits=layout is not None,
        fewest=fewest,
        largest=largest,
        notices=tuple(notices),
    )


def _told(layout: Layout, budget: Budget) -> list[Notice]:
    """Say what a layout costs that the utilisation may not contain."""
    notices = []
    if layout.training.recompute == "full":
        message = (
            "memory forces full recomputation, a third more work than is counted; default utilisations of many "
            "servers contain that, and a measured one is better: --mfu"
        )
        notices.append(Notice(code="recomputation", message=message))
    if layout.training.states == "offload":
        message = f"the optimizer does not fit {budget.gpu}: kept in host memory, which is slow"
        notices.append(Notice(code="offload", message=message))
    if layout.training.states == "8bit-adam":
        notices.append(Notice(code="small_states", message="memory forces 8-bit optimizer states"))
    return notices


def _fewest(model: Model, memory_bytes: float, linked: int, sequence: int) -> int | None:
    try:
        return fewest_devices(model.architecture, memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    except ScaleplanError:  # one sequence is too long for any number of them
        return None


def sizes_in_memory(preset: Preset, budget: Budget) -> Callable[[float], float]:
    """Return what turns GB on each device of a budget into the largest size, as a law counts it.

    Raises
    ------
    UsageError
        By the result, for a law whose count says nothing about memory.

    """
    assert budget.gpu is not None
    assert budget.gpus is not None
    gpus, linked = budget.gpus, linked_devices(Accelerators().get(budget.gpu))
    own = preset.conventions.params

    def largest(gigabytes: float) -> float:
        if own == "active":
            raise UsageError(
                f"memory cannot be limited by preset '{preset.id}': active parameters say nothing about the others",
                hint="limit params instead",
            )
        total = largest_params(gigabytes * _GIGA, gpus=gpus, sequence=DEFAULT_CONTEXT, linked=linked)
        # M, FLOP per token, is a little above 6 N for the same memory: attention has FLOP and no parameters
        return 6 * total if own == "flops_per_token" else total

    return largest


def _largest(memory_bytes: float, gpus: int, linked: int, sequence: int) -> tuple[float, float]:
    """Return the largest size that fits devices as layouts do, and the bytes of each that it needs."""
    found = largest_params(USABLE * memory_bytes, gpus=gpus, sequence=sequence, linked=linked)
    found = min(found, gpus * STATES_SHARE * memory_bytes / states_of(DEFAULT_STATES).total)
    if not found:
        return 0.0, USABLE * memory_bytes
    return found, device_bytes(found, gpus=gpus, sequence=sequence, linked=linked)
