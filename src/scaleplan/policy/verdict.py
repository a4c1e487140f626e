"""The outcome of a check: one verdict for each run and limit, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar

from scaleplan.policy.outcome import EXIT_STATUSES
from scaleplan.records import as_mapping, as_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.config.run import Place
    from scaleplan.notices import Notice

__all__ = ["Check", "CheckedRun", "Verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one run keeps one limit.

    ``status`` is ``pass``, ``warn`` or ``fail`` for a limit that is not kept by its severity, or ``error`` where
    it could not be judged. ``value`` is the estimate, ``low`` and ``high`` its interval at ``level`` where the
    limit asks for a confidence; ``bound`` is in the base unit of ``quantity``. ``file`` and ``line`` say where
    the value comes from, ``also`` what else it follows from. A run that could not be planned has one verdict
    without a limit.
    """

    run: str
    status: str
    severity: str
    limit: str | None
    quantity: str | None
    value: float | None
    op: str | None
    bound: float | None
    level: float | None
    low: float | None
    high: float | None
    message: str
    note: str
    hint: str | None
    file: str
    line: int | None
    key: str
    also: tuple[Place, ...] = ()
    policy_file: str | None = None
    policy_line: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the verdict as a flat mapping."""
        return {item.name: as_mapping(getattr(self, item.name)) for item in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRun:
    """A run, its law, and its quantities in base units; no law and no values where it could not be planned."""

    name: str
    file: str
    line: int | None
    preset: str | None
    loss_unit: str | None
    values: Mapping[str, float | None]
    warnings: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Runs, and whether they keep their policy.

    ``status`` is ``within``, ``violated``, or ``unreadable`` where a run could not be judged.
    """

    schema: ClassVar[str] = "scaleplan/check/1"

    status: str
    failures: int
    warnings: int
    errors: int
    verdicts: tuple[Verdict, ...]
    runs: tuple[CheckedRun, ...]

    @property
    def exit_status(self) -> int:
        """The exit status: 0 within, 1 violated, 2 unreadable."""
        return EXIT_STATUSES[self.status]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)
