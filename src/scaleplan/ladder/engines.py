"""The engines that start the runs of a ladder, each with the file that it reads.

An engine is offered where a test gives its file to the engine itself, or to the engine's own schema.
"""

from __future__ import annotations

import shlex
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["ENGINES", "Engine", "engine_of"]


class Engine(NamedTuple):
    """How runs are handed to an engine.

    ``file`` is the name of its file, ``writer`` the function ``(ladder, runs) -> str`` that returns its text, and
    ``submit`` the command that submits a file, which :meth:`submission` fills in. ``remote`` is whether its machines
    vanish with what runs wrote, so that a place is needed that keeps it; there the folders of runs lie in
    :data:`REMOTE_FOLDER`. ``image`` is whether it needs a container image.
    """

    file: str
    writer: str
    submit: str
    remote: bool = False
    image: bool = False

    def submission(self, file: str, places: int) -> str:
        """Return the command that submits a file of runs of which ``places`` may run at the same time."""
        return self.submit.format(file=shlex.quote(file), places=places)

    def write(self, ladder: Ladder, runs: Sequence[LadderRun]) -> str:
        """Return the text of the file that starts some runs of a ladder, in their order."""
        module, _, name = self.writer.partition(":")
        function: Callable[[Ladder, Sequence[LadderRun]], str] = getattr(import_module(module), name)
        return function(ladder, runs)


REMOTE_FOLDER = "/ladder"
"""Where an engine without the user's own disk mounts what keeps the folders of runs."""

ENGINES: Mapping[str, Engine] = {
    "slurm": Engine(file="slurm.sh", writer="scaleplan.ladder.slurm:slurm_script", submit="sbatch {file}"),
    "skypilot": Engine(
        file="skypilot.yaml",
        writer="scaleplan.ladder.skypilot:skypilot_task",
        submit="sky jobs launch --num-jobs {places} {file}",
        remote=True,
    ),
    "kubernetes": Engine(
        file="kubernetes.yaml",
        writer="scaleplan.ladder.kubernetes:kubernetes_job",
        submit="kubectl apply -f {file}",
        remote=True,
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
