"""An array job for Slurm, which starts each run of a ladder as a task."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from scaleplan.ladder.comments import comments
from scaleplan.ladder.engines import label_of
from scaleplan.ladder.shell import run_functions
from scaleplan.logs.ladder_run import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["slurm_script"]

_WHAT = "Pilot runs of a ladder as an array job for Slurm; a task writes to the folder of its run."

_WARNING_SECONDS = 120
"""Seconds before Slurm ends a task at which it sends a signal: the time to save, and the minute by which Slurm may be
early. Slurm's limit lies so far beyond those of runs that it comes only where somebody lowers it, or preempts."""

_EXTRA_MINUTES = 5
"""Minutes of a task on top of the limit of its run: to start, to save at the end, and the warning before the end."""

_LARGEST_ARRAY = 1001
"""Tasks that an array may have as Slurm is delivered (MaxArraySize of slurm.conf)."""


def slurm_script(ladder: Ladder, runs: Sequence[LadderRun], again: Mapping[str, str] | None = None) -> str:
    """Return a batch script whose task N starts the run at position N of ``runs``, of which there is at least one.

    GPUs are asked for by ``--gres``, which every Slurm has and which an option of ``sbatch`` overrides with a type
    (``--gpus-per-node`` needs one way of selecting resources, ``cons_tres``). No text of the user's stands in a line
    that Slurm reads.
    """
    last = len(runs) - 1
    options = [
        f"--job-name={label_of(ladder.folder)}",
        f"--array=0-{last}%{max(1, min(ladder.at_once, len(runs)))}",
        "--nodes=1",
        "--ntasks=1",
        f"--gres=gpu:{ladder.gpus}",
        *_time(runs),
        f"--signal=B:TERM@{_WARNING_SECONDS}",
        "--requeue",
        "--open-mode=append",
        "--output=slurm-%A.out",
    ]
    manifest = shlex.quote(f"{ladder.folder.rstrip('/') or '/'}/{MANIFEST}")
    return "\n".join(
        (
            "#!/bin/sh",
            *(f"#SBATCH {option}" for option in options),
            "#",
            comments(ladder, runs, _WHAT, _notes(ladder, runs)),
            f"if [ ! -f {manifest} ]; then",
            "  printf 'there is no %s in %s: submit from the folder in which scaleplan design was run\\n' \\",
            f'    {manifest} "$(pwd)" >&2',
            "  exit 2",
            "fi",
            "",
            run_functions(runs, again),
            'run_pilot "${SLURM_ARRAY_TASK_ID:?is set by Slurm; submit this file with sbatch}"',
            "",
        )
    )


def _time(runs: Sequence[LadderRun]) -> Iterator[str]:
    """Yield the option for the longest limit of the runs, if all have one; each is stopped at its own."""
    limits = [run.limit_hours for run in runs if run.limit_hours is not None]
    if len(limits) == len(runs) > 0:
        minutes = math.ceil(max(limits) * 60) + _EXTRA_MINUTES
        days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
        yield f"--time={days}-{hours:02}:{minutes:02}:00"


def _notes(ladder: Ladder, runs: Sequence[LadderRun]) -> dict[str, str]:
    """Return what to know before the file is submitted, by a name."""
    notes = {
        "where": "in the folder in which scaleplan design was run, with the environment that the runs need. If its "
        "path has % or a backslash, its marks, nothing starts from there without --output=/PLACE/slurm-%A.out.",
        "options": "those given to sbatch override those of this file. Clusters may want --partition=NAME and "
        "--account=NAME; many give one core and little memory without --cpus-per-task=16 and --mem=64G; "
        f"--gres=gpu:TYPE:{ladder.gpus} chooses where there are several types of GPU.",
        "limits": "each run has its own, and --time is above the longest of them. A partition that allows less (see "
        "sinfo -o '%P %l') starts no task: choose another, or give a shorter --time, which stops the longest runs "
        "early. A run that is preempted starts again, which the costs above leave out.",
        "again": "the same file: runs that have finished are skipped.",
        "output": "messages of all tasks go to slurm-JOB.out, what a run prints to output.log in its folder.",
    }
    if len(runs) > _LARGEST_ARRAY:
        notes["array"] = (
            f"{len(runs):,} tasks need a larger MaxArraySize than Slurm's usual {_LARGEST_ARRAY:,}: "
            "'scontrol show config | grep MaxArraySize' tells that of the cluster."
        )
    return notes
