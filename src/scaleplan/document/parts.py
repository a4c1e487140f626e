"""What sections of a page are made of: tables that scroll on their own, lists of facts, values to read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.markup import Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["exact_value", "section", "table", "told"]


def section(ident: str, heading: str, *content: str | None) -> Markup:
    """Return a section with its heading, to which the navigation can point."""
    return element(
        "section",
        element("h2", heading, id=f"{ident}-heading"),
        *content,
        id=ident,
        aria_labelledby=f"{ident}-heading",
    )


def exact_value(value: float | str, text: str, *, key: str | None = None) -> Markup:
    """Return a value written for people that keeps every digit for programs; ``key`` names it among the page's."""
    return element("data", text, value=value if isinstance(value, str) else repr(value), data_key=key)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: frozenset[str] = frozenset(),
) -> Markup:
    """Return a table whose first column names its rows; columns in ``words`` are text and not numbers."""

    def style(name: str) -> str | None:
        return "words" if name in words else None

    first, *rest = columns
    head = [element("th", first, scope="col", class_="words")]
    head += [element("th", name, scope="col", class_=style(name)) for name in rest]
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=style(name)) for name, cell in zip(rest, row[1:], strict=True)),
        )
        for row in rows
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", element("span", caption)),
            element("thead", element("tr", *head)),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def told(pairs: Iterable[tuple[str, str | Markup]]) -> Markup:
    """Return a list of names and what there is to say of each."""
    return element("dl", *(joined(element("dt", name), element("dd", said)) for name, said in pairs), class_="told")
