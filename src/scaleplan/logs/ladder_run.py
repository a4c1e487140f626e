"""The file in the folder of a ladder's run that says what the run is, so that its log need not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RUN_FILE", "LadderSizes", "run_file"]

RUN_FILE = "run.json"

_SCHEMA = "scaleplan/ladder-run/1"


class LadderSizes(Protocol):
    """What a run of a ladder is, of which its file tells the sizes."""

    @property
    def name(self) -> str: ...  # noqa: D102  as in LadderRun
    @property
    def params(self) -> int: ...  # noqa: D102
    @property
    def tokens(self) -> int: ...  # noqa: D102
    @property
    def batch(self) -> int: ...  # noqa: D102
    @property
    def context(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def lr(self) -> float: ...  # noqa: D102


_KEYS = ("name", "params", "tokens", "batch", "context", "steps", "seed", "lr")


def run_file(run: LadderSizes) -> Mapping[str, object]:
    """Return what the file of a run holds."""
    return {"schema": _SCHEMA, **{key: getattr(run, key) for key in _KEYS}}


PAST_LIMIT, STOPPED = 124, 143
"""Exit statuses of a run that its shell stopped at its limit of time, and of one that a signal to the shell stopped:
the engine's limit or preemption, or a person. Neither has ended; one that is started again may go on."""
