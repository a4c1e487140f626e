"""The records of a ladder: pilot runs, each with its shape, batch, learning rate, command, folder and hours.

The record is the JSON that ``design`` keeps in the folder of a ladder, from which the files that start runs follow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from scaleplan.ladder.command import PLACEHOLDERS
from scaleplan.logs.ladder_run import RUN_FILE_KEYS, LadderRunFile
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scaleplan.errors import Notice

__all__ = ["Ladder", "LadderRun"]

_FOLDER = "scaleplan.ladder.ladder_folder"
"""The module that writes a ladder, imported when one is written: the engines stand above the records."""


class LadderRun(Record):
    """One run of a ladder.

    ``name`` is its folder's, of letters, digits, dots and hyphens; ``params`` are all parameters of the shape,
    ``flops`` the compute of its training. ``batch`` is in tokens, ``batch_sequences`` the same in sequences of
    ``context`` tokens; ``steps`` are whole. ``words`` are the command as a program and its arguments, which no shell
    reads, and ``out`` is the folder as the command is given it. ``hours`` of time are predicted on the GPUs of the
    ladder, and a run is stopped after ``limit_hours``; both are None where the GPU is not known. The output head of
    ``tied_embeddings`` is the table of the vocabulary.
    """

    name: str
    params: int
    tokens: int
    flops: float
    seed: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocab: int
    context: int
    batch: int
    batch_sequences: int
    steps: int
    lr: float
    out: str
    words: tuple[str, ...]
    hours: float | None = None
    limit_hours: float | None = None
    tied_embeddings: bool | None = None

    def values(self, gpus: int) -> dict[str, str | float]:
        """Return the values that a command can name, on the GPUs of the ladder."""
        return {name: getattr(self, name, gpus) for name in PLACEHOLDERS}

    def of_file(self) -> LadderRunFile:
        """Return what the file in the folder of the run says of it."""
        return LadderRunFile(**{name: getattr(self, name) for name in RUN_FILE_KEYS})


class Ladder(Record, Result):
    """Pilot runs that an engine can start, longest first.

    ``file`` is what the engine is given, in ``folder``, and ``submit`` the command for it; ``command`` is the
    template of each run's. ``law`` and ``target`` (FLOP) are those of the design, ``rule`` gave batch and learning
    rate, ``style`` the shapes. ``gpus`` are those of each run, all on one machine, of the kind ``gpu`` of a
    ``vendor``, and ``at_once`` the runs that may run at the same time. ``gpu_hours``, ``days`` and ``cost`` are
    predicted for all runs; ``most_gpu_hours``, ``most_days`` and ``most_cost`` are what they cannot exceed by their
    limits of time.
    """

    schema: ClassVar[str] = "scaleplan/ladder/1"

    engine: str
    folder: str
    file: str
    submit: str
    command: str
    law: str
    target: float
    rule: str
    style: str
    gpu: str | None
    gpus: int
    at_once: int
    runs: tuple[LadderRun, ...]
    flops: float
    gpu_hours: float | None
    days: float | None
    cost: float | None
    most_gpu_hours: float | None
    most_days: float | None
    most_cost: float | None
    price: float | None
    currency: str | None
    image: str | None = None
    storage: str | None = None
    vendor: str | None = None
    warnings: tuple[Notice, ...] = ()

    def cost_of(self, gpu_hours: float | None) -> float | None:
        """Return what GPU-hours cost at the price of the ladder; None where either is not known."""
        return None if gpu_hours is None or self.price is None else self.price * gpu_hours

    def write(self) -> tuple[Path, ...]:
        """Write the engine's file and ``ladder.json`` into the ladder's folder, and return their paths.

        Raises FileError where the folder holds anything; nothing is written then.
        """
        write: Callable[[Ladder], tuple[Path, ...]] = import_module(_FOLDER).write_ladder
        return write(self)
