"""What single judgements come to: within the policy, in violation of it, or not to be judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EXIT_STATUSES", "outcome"]

EXIT_STATUSES: Mapping[str, int] = {"within": 0, "violated": 1, "unreadable": 2}
"""The exit status of each outcome."""


def outcome(statuses: Iterable[str]) -> str:
    """Return the outcome of judgements by their statuses; one that could not be made outweighs a violation."""
    found = set(statuses)
    return "unreadable" if "error" in found else "violated" if "fail" in found else "within"
