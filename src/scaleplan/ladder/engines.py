"""The engines that start the runs of a ladder, each with the file that it reads.

An engine is offered where a test gives its file to the engine itself, or to the engine's own schema.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["ENGINES", "REMOTE_FOLDER", "Engine", "engine_of", "label_of", "remote_folder"]


class Engine(NamedTuple):
    """How runs are handed to an engine.

    ``file`` is the name of its file, ``writer`` the function ``(ladder, runs, again) -> str`` that returns its
    text, and ``submit`` the command that submits a file, which :meth:`submission` fills in. Where its machines vanish
    with what runs wrote, ``storage`` says what keeps it, and the folders of runs lie in :data:`REMOTE_FOLDER`.
    ``image`` is whether it needs a container image. ``marks`` are characters that it reads as marks of its own in the
    path of the folder that a file is submitted from, so that no run starts there.
    """

    file: str
    writer: str
    submit: str
    storage: str | None = None
    image: bool = False
    marks: str = ""

    @property
    def remote(self) -> bool:
        """Whether runs write to storage that the engine mounts, not to the disk of the user."""
        return self.storage is not None

    def submission(self, file: str, places: int) -> str:
        """Return the command that submits a file of runs of which ``places`` may run at the same time."""
        return self.submit.format(file=shlex.quote(file), places=places)

    def write(self, ladder: Ladder, runs: Sequence[LadderRun], again: Mapping[str, str] | None = None) -> str:
        """Return the text of the file that starts some runs of a ladder, in their order.

        ``again`` has those that ended too early with exit status 0, as ``shell.run_functions`` takes them.
        """
        module, _, name = self.writer.partition(":")
        function: Callable[[Ladder, Sequence[LadderRun], Mapping[str, str] | None], str]
        function = getattr(import_module(module), name)
        return function(ladder, runs, again)


REMOTE_FOLDER = "/ladder"
"""Where an engine without the user's own disk mounts what keeps the folders of ladders."""

_LONGEST_LABEL = 40
"""Of the 63 characters of a DNS label, so that engines can add theirs: a hash, the number of a run, five letters."""

ENGINES: Mapping[str, Engine] = {
    "slurm": Engine(
        file="slurm.sh",
        writer="scaleplan.ladder.slurm:slurm_script",
        submit="sbatch {file}",
        marks="%\\",  # of file names, by which it finds that of --output from there
    ),
    "skypilot": Engine(
        file="skypilot.yaml",
        writer="scaleplan.ladder.skypilot:skypilot_task",
        submit="sky jobs launch --num-jobs {places} {file}",
        storage="a bucket, s3://NAME",
    ),
    "kubernetes": Engine(
        file="kubernetes.yaml",
        writer="scaleplan.ladder.kubernetes:kubernetes_job",
        submit="kubectl apply -f {file}",
        storage="the name of a PersistentVolumeClaim",
        image=True,
    ),
    "csv": Engine(file="runs.csv", writer="scaleplan.ladder.list_of_runs:list_of_runs", submit=""),
}
"""The engines, by the name of the format that chooses one."""


def engine_of(name: str) -> Engine:
    """Return the engine of a name; raises UnknownNameError."""
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return ENGINES[name]


def label_of(folder: str) -> str:
    """Return a DNS label that starts with a letter and is like the last part of a path."""
    plain = unicodedata.normalize("NFKD", PurePath(folder).name).encode("ascii", "ignore").decode().lower()
    label = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if not label[:1].isalpha():
        label = f"pilots-{label}"
    return label[:_LONGEST_LABEL].strip("-")


def remote_folder(folder: str) -> str:
    """Return where the folders of runs lie on what an engine mounts: ladders of several names share one place."""
    return f"{REMOTE_FOLDER}/{label_of(folder)}"
