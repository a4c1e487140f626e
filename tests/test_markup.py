"""Elements that are safe by construction."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import escape_control
from scaleplan.markup import Markup, element, joined


class Reader(HTMLParser):
    """What a browser would see: tags, attributes, text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@given(st.text(), st.text())
def test_any_text_stays_text(content, attribute):
    """Whatever it holds, one element with one attribute and that text is read back."""
    reader = Reader()
    reader.feed(element("p", content, title=attribute))
    reader.close()
    assert reader.tags == [("p", {"title": escape_control(attribute)})]
    assert reader.text == escape_control(content)


def test_markup_is_not_escaped_twice():
    """Elements nest."""
    assert element("p", element("b", "a & b"), None, " <c>") == "<p><b>a &amp; b</b> &lt;c&gt;</p>"
    assert isinstance(joined("a", Markup("<br>")), Markup)


def test_attributes_have_the_names_of_html():
    """Underscores become hyphens, and None is left out."""
    assert element("td", "x", class_="a", data_key="k", id=None) == '<td class="a" data-key="k">x</td>'


def test_void_elements_are_written_as_their_language_wants():
    """HTML without an end, SVG with a slash."""
    assert element("br") == "<br>"
    assert element("line", x1=1.239, y1=-0.001) == '<line x1="1.24" y1="0"/>'
