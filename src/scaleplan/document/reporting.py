"""A question in the words of the options → one self-contained HTML page to read and pass on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

if TYPE_CHECKING:
    from scaleplan.planning.words import BudgetWords

__all__ = ["report"]


def report(**words: Unpack[BudgetWords]) -> str:
    """Return the answer to a question as an HTML page that loads and runs nothing.

    Parameters
    ----------
    words
        As for :func:`scaleplan.api.optimal`.

    Raises
    ------
    ScaleplanError
        When the request is wrong, or no model satisfies it.

    """
    from scaleplan.document.page import page
    from scaleplan.document.subject import gather

    return page(gather({name: value for name, value in words.items() if value is not None}))
