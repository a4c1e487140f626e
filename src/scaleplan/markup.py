"""Elements of HTML and SVG that are safe by construction: text is escaped unless it is already markup."""

from __future__ import annotations

from html import escape

from scaleplan.errors import escape_control

__all__ = ["Markup", "element", "joined", "number"]

VOID = frozenset(
    {"meta", "link", "br", "hr", "col", "input", "path", "line", "rect", "circle", "polygon", "polyline"}
)
"""Elements written without content: those of HTML that may have none, and shapes of SVG."""

_HTML_VOID = frozenset({"meta", "link", "br", "hr", "col", "input"})


class Markup(str):
    """Text that is markup: it came from :func:`element` and is not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | float | None) -> Markup:
    """Return an element; children that are not markup are escaped, and children and attributes of None left out.

    Attributes have ``_`` for ``-``, and a trailing ``_`` where they are Python's own words (``class_``).
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(escape_control(_text(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    content = joined(*children)
    if not content and name in VOID:
        return Markup(f"<{name}{written}>" if name in _HTML_VOID else f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{content}</{name}>")


def joined(*parts: str | None) -> Markup:
    """Return parts one after the other, escaped where they are not markup."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(escape_control(part)) for part in parts if part)
    )


def number(value: float) -> str:
    """Write a coordinate: two decimals at most."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else number(value)
