"""How should a cluster divide a model? A layout that fits, its micro-batch and schedule; or how few devices could.

The order of preference is that of practice: full sharding alone on up to 512 devices, where each has enough tokens a
step to hide the gathering; else tensor parallelism within the linked devices, then pipeline stages (and context
parallelism for long sequences); the least recomputation that fits, then smaller optimizer states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnreachableError
from scaleplan.models.activations import RECOMPUTE
from scaleplan.models.capacity import fewest_devices, largest_micro_batch
from scaleplan.models.count import count
from scaleplan.models.divisions import Task, Wishes, chunks, divisions
from scaleplan.models.memory import Memory, Parallel, Training, training_memory

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = ["Layout", "Wishes", "find_layout"]

FALLBACKS = ("mixed", "8bit-adam", "offload")
"""Ways to keep the states, in the order they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A division of the work that fits, and what each device holds.

    ``largest_micro_batch`` is what would fit; ``bubble`` is the idle time of the pipeline over its working time.
    """

    parallel: Parallel
    training: Training
    memory: Memory
    largest_micro_batch: int

    @property
    def sequences_per_step(self) -> int:
        """Sequences of one optimizer step."""
        return self.parallel.data * self.training.micro_batch * self.training.accumulation

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.sequences_per_step * self.training.sequence

    @property
    def bubble(self) -> float:
        """``(p - 1) / (m v)`` for p stages, m micro-batches and v chunks a stage."""
        return (self.parallel.pipeline - 1) / (self.training.accumulation * self.parallel.virtual)


def find_layout(
    architecture: Architecture,
    *,
    gpus: int,
    memory_bytes: float,
    linked: int,
    sequence: int,
    batch_tokens: float,
    wishes: Wishes | None = None,
) -> Layout:
    """Return the preferred layout that fits.

    Parameters
    ----------
    architecture
        The model.
    gpus, memory_bytes, linked
        The devices, the nominal memory of each, and how many share a fast link.
    sequence, batch_tokens
        Tokens of a sequence and of an optimizer step; a step has at least one sequence a replica.
    wishes
        What must be as given.

    Raises
    ------
    UnreachableError
        When no layout fits.

    """
    step = max(1, round(batch_tokens / sequence))
    task = Task(
        model=architecture,
        gpus=gpus,
        memory_bytes=memory_bytes,
        linked=linked,
        sequence=sequence,
        sequences=step,
        wishes=wishes or Wishes(),
    )
    for states in (task.wishes.states,) if task.wishes.states else FALLBACKS:
        for sequences in (step, max(step, gpus)):  # a larger step only where the wanted one feeds too few devices
            found = _search(replace(task, sequences=sequences), states)
            if found is not None:
                return found
    fewest = fewest_devices(architecture, memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    raise UnreachableError(
        f"no layout of {count(architecture).params / 1e9:.3g}B parameters fits {gpus:,} x {memory_bytes / 1e9:g} GB",
        hint=f"take {fewest:,} such devices or more, a shorter sequence, or a smaller model",
    )


def _search(task: Task, states: str) -> Layout | None:
    """Return the first layout that fits, in the order of preference."""
    kinds = (task.wishes.recompute,) if task.wishes.recompute else RECOMPUTE
    candidates = list(divisions(task))
    alone = [parallel for parallel in candidates if parallel.replica == 1]
    shared = [parallel for parallel in candidates if parallel.replica > 1]
    for group in (alone, shared):
        for recompute in kinds:
            for parallel in group:
                found = _filled(task, Training(sequence=task.sequence, states=states, recompute=recompute), parallel)
                if found is not None:
                    return found
    return None


def _filled(task: Task, training: Training, parallel: Parallel) -> Layout | None:
    """Return the layout with the largest micro-batch that fits and divides the step; None when none fits."""
    each = max(1, round(task.sequences / parallel.data))  # sequences of a replica in a step
    training = replace(training, accumulation=each)
    largest = largest_micro_batch(task.model, training, parallel, memory_bytes=task.memory_bytes)
    most = min(largest, each // parallel.pipeline)
    wanted = task.wishes.micro_batch
    sizes = range(most, 0, -1) if wanted is None else [wanted] if wanted <= most else []
    for size in sizes:
        virtual = chunks(task.model.layers, parallel.pipeline, each // size)
        if each % size or virtual is None:
            continue
        filled = replace(training, micro_batch=size, accumulation=each // size)
        division = replace(parallel, virtual=virtual)
        memory = training_memory(task.model, filled, division)
        if memory.fits(task.memory_bytes):
            return Layout(parallel=division, training=filled, memory=memory, largest_micro_batch=largest)
    return None
