"""Tests of the lines of keys in TOML, JSON and YAML texts."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.documents.document import json_lines, parse_document, toml_lines
from scaleplan.documents.key_path import format_key, parse_key
from scaleplan.errors import FileError, UsageError

TOML = '''# a comment with key = 1
top = 1
"quoted.key" = """text
inside = 2
[not.a.header]
"""
'literal' = \'\'\'
also = 3\'\'\'
[tool.x]            # ] = [
a.b = [1,
  { q = "}", r = [2, 3] },  # not = this
  "]#",
]
c = 1979-05-27
[[run]]
name = 'n'
  [run.policy]
  error = ["a",
   "b"]
[[run]]
name = "m\\"="
[[run.part]]
x = 1
[[run.part]]
x = 2
'''
TOML_LINES = {
    ("top",): 2,
    ("quoted.key",): 3,
    ("literal",): 7,
    ("tool", "x"): 9,
    ("tool", "x", "a", "b"): 10,
    ("tool", "x", "a", "b", 1, "r", 1): 11,
    ("tool", "x", "a", "b", 2): 12,
    ("tool", "x", "c"): 14,
    ("run", 0): 15,
    ("run", 0, "name"): 16,
    ("run", 0, "policy"): 17,
    ("run", 0, "policy", "error", 1): 19,
    ("run", 1): 20,
    ("run", 1, "name"): 21,
    ("run", 1, "part", 0, "x"): 23,
    ("run", 1, "part", 1, "x"): 25,
}


def keys_of(value, prefix=()):
    """Return the key paths of everything inside a parsed document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for name, item in items:
        found += [(*prefix, name), *keys_of(item, (*prefix, name))]
    return found


def test_toml_keys_are_found_where_they_stand():
    """Headers, dotted keys, arrays and inline tables have the line of their key; texts and comments have none."""
    lines = toml_lines(TOML)
    assert {key: lines.get(key) for key in TOML_LINES} == TOML_LINES
    assert ("inside",) not in lines
    assert ("key",) not in lines


def test_every_toml_key_has_a_line_whatever_the_line_endings():
    """Each key that the reader finds has a place, with CRLF too."""
    for text in (TOML, TOML.replace("\n", "\r\n")):
        lines = toml_lines(text)
        assert set(keys_of(tomllib.loads(text))) <= set(lines)
        assert lines["run", 1, "part", 1, "x"] == 25


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150)
@given(NESTED)
def test_every_json_key_has_the_line_it_is_printed_on(value):
    """Printed one item a line, each key's line starts with that key; no text inside confuses the count."""
    text = json.dumps(value, indent=1)
    lines, printed = json_lines(text), text.split("\n")
    assert set(lines) == set(keys_of(value))
    for key, line in lines.items():
        if isinstance(key[-1], str):
            assert printed[line - 1].lstrip().startswith(json.dumps(key[-1]) + ":")


YAML = """\
base: &base
  batch: 1024
  steps: 5
train:
  <<: *base
  steps: 250_000
  "odd.key": 2e3
  list:
    - 1
    - size: 7
  tagged: !!python/object/apply:os.system ["true"]
"""


@pytest.mark.parametrize(
    "path, value, line",
    [
        ("train.batch", 1024, 2),
        ("train.steps", 250_000, 6),
        ('train."odd.key"', "2e3", 7),
        ("train.list[1].size", 7, 10),
        ("base.steps", 5, 3),
    ],
)
def test_yaml_values_come_with_their_lines_through_anchors_and_merges(path, value, line):
    """A merged value stands where its anchor is; a mapping's own key wins over a merged one."""
    found = parse_document(YAML, name="a.yaml").find(parse_key(path))
    assert (found.value, found.line) == (value, line)


def test_yaml_tags_are_never_acted_on(tmp_path):
    """A tag that would run code is not constructed, whether its value is asked for or a neighbour's."""
    mark = tmp_path / "mark"
    text = f'a: 1\nb: !!python/object/apply:os.system ["touch {mark}"]\nc: !!python/name:os.system x\n'
    document = parse_document(text, name="a.yml")
    assert document.find(("a",)).value == 1
    assert document.find(("b",)).value == []
    with pytest.raises(FileError, match=r"line 3"):
        document.find(("c",))
    assert not mark.exists()


def test_yaml_aliases_that_would_explode_cost_nothing():
    """Nine levels of nine aliases each are a few nodes, and one value is found among them."""
    text = (
        "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)) + "n: 5\n"
    )
    assert parse_document(text, name="bomb.yaml").find(("n",)).value == 5


@pytest.mark.parametrize(
    "name, text", [("a.yaml", "a: [1"), ("a.json", '{"a": }'), ("a.toml", "a = "), ("a.ini", "")]
)
def test_a_text_of_no_known_format_is_refused_by_name(name, text):
    """The error names the file."""
    with pytest.raises(FileError, match=name):
        parse_document(text, name=name)


def test_deep_nesting_is_an_error_and_not_a_crash():
    """A hundred thousand brackets are refused in each format."""
    deep = "[" * 100_000
    for name, text in (("a.json", deep), ("a.yaml", deep), ("a.toml", f"a = {deep}")):
        with pytest.raises(FileError):
            parse_document(text, name=name)


@given(st.lists(st.text(st.characters(exclude_characters="\"'"), min_size=1) | st.integers(0, 99999), min_size=1))
def test_key_paths_are_read_back_as_written(parts):
    """Writing and reading a key path loses nothing."""
    key = ("top", *parts)
    assert parse_key(format_key(key)) == key


@pytest.mark.parametrize("text", ["", ".", "a.", "a..b", "a[", "a[x]", "[0]", 'a"b"', "a[-1]"])
def test_what_is_no_key_path_is_refused(text):
    """The error quotes the text and gives an example."""
    with pytest.raises(UsageError) as caught:
        parse_key(text)
    assert caught.value.hint
