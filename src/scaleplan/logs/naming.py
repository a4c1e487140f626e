"""Name a run by the file that its log is in, or by the folders where every run's file is called the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["run_name"]

_GENERIC = re.compile(
    r"(?i)(?:main|log|logs?_?\d*|metrics?(?:[_-](?:log|history))?|trainer_state|history|train(?:ing)?|events|scalars?|data"
    r"|output|out|std(?:out|err)|train(?:ing)?[_-](?:log|logs|metrics|loss|history|stats)|run|loss(?:es)?|wandb-history"
    r"|wandb_history|console|trainer_log|results?|run[_-](?:history|log)|log_history|tracker_metrics|curves?|nohup"
    r"|events\.out\.tfevents\..*)"
)
"""Names of files that say what a file is, not of which run."""

_PLUMBING = re.compile(
    r"(?i)(?:checkpoint-\d+|logs?|metrics|params|tags|files|tb|tensorboard|tb_logs|runs|wandb|outputs?|train|csv_logs"
    r"|lightning_logs|checkpoints?|ckpts?|mlruns|artifacts|results|latest-run|0)"
)
"""Names of folders that a trainer makes for every run."""

_NUMBERED = re.compile(r"(?i)(?:version|trial|seed|rank|fold)?[_-]?\d+")


def run_name(path: Path | None) -> str:
    """Return the name of the run of a file: its own without the ending, or that of a folder around it."""
    if path is None:
        return "standard input"
    stem = path.name if path.name.startswith("events.out.") else path.stem
    if path.is_dir():
        stem = ""
    if stem and not _GENERIC.fullmatch(stem):
        return stem
    absolute = path.absolute()
    parts = list((absolute if path.is_dir() else absolute.parent).parts[1:])
    while parts and _PLUMBING.fullmatch(parts[-1]):
        parts.pop()
    if not parts:
        return stem or path.name or str(path)
    if _NUMBERED.fullmatch(parts[-1]):  # version_0 of what?
        above = [part for part in parts[:-1] if not _PLUMBING.fullmatch(part)]
        if above:
            return f"{above[-1]}/{parts[-1]}"
    return parts[-1]
