"""The HTML report as one file that needs nothing else, and runs nothing.

There is no script. The policy forbids everything but the one style sheet, by its hash; the data is JSON that no
browser executes. All text passes through :mod:`scaleplan.markup`, which escapes it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from scaleplan.files import read_text
from scaleplan.markup import Markup, element, joined
from scaleplan.output.data import encode
from scaleplan.output.html.sections import headline, sections
from scaleplan.output.html.subject import gather

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.output.html.subject import Subject
    from scaleplan.planning.request import BudgetWords

__all__ = ["page", "report"]

_HARMLESS = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})


def page(subject: Subject) -> str:
    """Return the report as the text of an HTML file."""
    style = read_text(Path(__file__).with_name("style.css"), what="style sheet")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    parts = list(sections(subject))
    links = [element("li", element("a", name, href=f"#{ident}")) for ident, name, _ in parts]
    title = headline(subject.plan)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content=subject.versions),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title} – {subject.plan.preset}"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("a", "Skip to the answer", href="#answer", class_="skip"),
        element(
            "header",
            element("p", f"Training plan by the scaling law {subject.plan.preset}", class_="soft"),
            element("h1", title),
            element("nav", element("ul", *links), aria_label="Sections"),
        ),
        element("main", *(part for _, _, part in parts)),
        element("footer", element("p", f"Computed by {subject.versions}.", class_="soft")),
        _data("plan", subject.plan.to_dict()),
        _data("comparison", {"plans": [plan.to_dict() for plan in subject.others]}),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _data(ident: str, value: Mapping[str, object]) -> Markup:
    """Return JSON that a program can read from the page, written so that nothing in it can end the element."""
    text = Markup(encode(value).translate(_HARMLESS))
    return joined(element("script", text, type_="application/json", id=ident))


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
    return page(gather({name: value for name, value in words.items() if value is not None}))
