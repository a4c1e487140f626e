"""Read single values, and the lines on which they stand, from a YAML text.

Only what is looked up is constructed: anchors, aliases and merge keys are followed, each node once a look-up. A tag
other than YAML's own is never acted on, but for ``!include`` of a file that the reader has beside this one, and what
it stands on is refused; so is a mapping with a key twice, of which readers of YAML take the last, the first, or none.
``${a.b}`` refers to another key of the text, as OmegaConf (llm-foundry, NeMo, OLMo) has it: absolute, or relative
with leading dots. Of the functions that configs register, ``${multiply:2,${a.b}}``, those of :data:`_RESOLVERS` are
computed.
"""

from __future__ import annotations

import operator
import posixpath
import re
from copy import copy
from functools import reduce
from typing import TYPE_CHECKING, Any

from scaleplan.documents.key_path import Found, Undetermined, parse_key
from scaleplan.errors import FileError, UsageError, escape_control, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scaleplan.documents.key_path import Key

__all__ = ["YamlDocument"]

_MOST_CHARACTERS = 200_000  # training configs are kilobytes; the slowest text of this size takes 1.5 s to parse

_MOST_NAMES = 200  # that a hint can use

_MOST_REFERENCES = 20  # from one value to the next: more is a circle, or not a config

_MOST_INCLUDED = 5  # from one file to the next: more is a circle, or not a config

_LONGEST_NUMBER = 400  # characters; the largest float has 309 digits

_REFERENCE = re.compile(r"\$\{([^${}]*)\}")

_NESTED = re.compile(r"(?:[\[{]\s*+){64}")

_QUOTED = re.compile(r" '(?!<)[^']{2,}'")
"""What the parser's reasons repeat of the text, which a message is not to; kinds of tokens stand in ``<>``."""

_TAG = "tag:yaml.org,2002:"

_SEVERAL = "expected a single document in the stream"
"""What the parser says of a text with several documents."""

_COLLECTIONS = ("map", "seq")


class YamlDocument:
    """A parsed YAML text of one document; ``name`` is its file as shown to the user.

    Raises FileError when the text is not YAML.
    """

    def __init__(self, text: str, *, name: str) -> None:
        import yaml  # only a project whose configs are YAML pays for it

        self.name = name
        self._indices: dict[int, tuple[dict[str, tuple[Any, int]], list[Any]]] = {}
        self._beside: Callable[[str], object] | None = None
        self._included: dict[int, Any] = {}
        self._depth = 0
        if len(text) > _MOST_CHARACTERS:
            raise FileError(f"{name}: larger than {_MOST_CHARACTERS:,} characters", file=name)
        if _NESTED.search(text):  # the parser takes quadratic time
            raise FileError(f"{name}: not valid YAML: unreadable characters, or nested too deeply", file=name)
        try:
            loader = yaml.SafeLoader(text)
            try:
                self._root: Any = loader.get_single_node()
            finally:
                loader.dispose()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            if isinstance(error, yaml.composer.ComposerError) and error.context == _SEVERAL:
                first = error.context_mark.line + 1 if error.context_mark else 1
                raise FileError(
                    f"{name} holds several YAML documents, at lines {first} and {line}: which one is meant is open",
                    hint="keep one of them in a file of its own",
                    file=name,
                    line=line,
                ) from None
            where = f" at line {line}" if line else ""
            reason = _QUOTED.sub("", escape_control(str(error.problem)))
            message = f"{name}: not valid YAML{where}: {reason}"
            raise FileError(message, file=name, line=line) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            message = f"{name}: not valid YAML at line {line}: a character that may not stand in YAML"
            raise FileError(message, file=name, line=line) from None
        except (yaml.YAMLError, RecursionError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            message = f"{name}: not valid YAML: unreadable characters, or nested too deeply"
            raise FileError(message, file=name) from None
        self._refuse_twice()

    def follow(self, beside: Callable[[str], object], *, depth: int = _MOST_INCLUDED) -> None:
        """Follow ``!include NAME`` to the YAML document that ``beside`` has by the name, if it has one."""
        self._beside, self._depth, self._included = beside, depth, {}

    def included(self, beside: Callable[[str], object], folder: str, depth: int) -> Any:  # noqa: ANN401
        """Return the top node for a document that includes this one, whose own includes are named from a folder."""
        own = copy(self)
        own.follow(lambda name: beside(posixpath.join(folder, name)), depth=depth)
        return own.top()

    def top(self) -> Any:  # noqa: ANN401
        """Return the top node, or that of the document which is included in its place."""
        return self._followed(self._root)

    def _followed(self, node: Any) -> Any:  # noqa: ANN401
        """Return the node that is included in place of another, or that node itself; a circle ends by its depth."""
        if node is None or node.id != "scalar" or node.tag != "!include" or self._beside is None or not self._depth:
            return node
        if id(node) not in self._included:
            other = self._beside(node.value)
            self._included[id(node)] = (
                other.included(self._beside, posixpath.dirname(node.value), self._depth - 1)
                if isinstance(other, YamlDocument)
                else node
            )
        return self._included[id(node)]

    def _refuse_twice(self) -> None:
        """Refuse a key that stands twice in one mapping; a FileError has its line."""
        waiting, seen = [self._root], set()
        while waiting:
            node = waiting.pop()
            if node is None or node.id == "scalar" or id(node) in seen:
                continue
            seen.add(id(node))
            if node.id == "sequence":
                waiting += node.value
                continue
            names = set()
            for name, value in node.value:
                waiting += name, value
                if name.id != "scalar":
                    continue
                if name.value in names:
                    line = name.start_mark.line + 1
                    message = f"{self.name}: not valid YAML at line {line}: the key {quote(name.value)} appears twice"
                    raise FileError(message, file=self.name, line=line)
                names.add(name.value)

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        return self._find(key, _MOST_REFERENCES)

    def _find(self, key: Key, references: int) -> Found | None:
        node, line = self._node(key)
        if node is None:
            return None
        if node.id != "scalar":
            return Found(value={} if node.id == "mapping" else [], line=line)
        value = self._scalar(node, line)
        if isinstance(value, str) and "${" in value:
            return self._referred(value, key, line, references)
        return Found(value=value, line=line)

    def _scalar(self, node: Any, line: int | None) -> object:  # noqa: ANN401
        kind, text = node.tag.removeprefix(_TAG), node.value
        reader = _READERS.get(kind)
        if reader is None:
            raise self._tagged(node)
        try:
            return reader(text)
        except ValueError:
            raise FileError(
                f"{self.name}: line {line}: not a value of the tag !!{kind}", file=self.name, line=line
            ) from None

    def _tagged(self, node: Any) -> FileError:  # noqa: ANN401
        """Return the error of a tag, which could stand for anything."""
        line, kind = node.start_mark.line + 1, node.tag.removeprefix(_TAG)
        tag = f"!!{kind}" if kind != node.tag else node.tag
        message = f"{self.name}: line {line}: the tag {quote(tag)} is not acted on"
        if tag == "!include" and node.id == "scalar" and self._beside is not None:
            message = f"{self.name}: line {line}: includes {quote(node.value)}, which is no YAML beside or below it"
        return FileError(message, file=self.name, line=line)

    def _referred(self, text: str, key: Key, line: int | None, references: int) -> Found:
        """Return a value in which other keys are referred to; alone, the value of that key as it is."""
        origin: tuple[Key, int | None] | None = None
        for _ in range(_MOST_REFERENCES):
            match = _REFERENCE.search(text)  # one that holds no other
            if match is None:
                break
            value: object
            if ":" in match[1]:
                value = _resolved(match[1])
            else:
                found = self._reference(match[1].strip(), key, references)
                if isinstance(found, Undetermined):
                    return Found(value=found, line=line)
                origin = found[1].origin or (found[0], found[1].line)
                value = found[1].value
            if match.span() == (0, len(text)) or isinstance(value, Undetermined):
                return Found(value=value, line=line, origin=origin)
            text = text[: match.start()] + str(value) + text[match.end() :]
            if len(text) > _LONGEST_NUMBER:
                break
        if len(text) > _LONGEST_NUMBER or "${" in text:
            return Found(value=Undetermined("a reference that is not to one key of this file"), line=line)
        return Found(value=text, line=line, origin=origin)

    def _reference(self, text: str, key: Key, references: int) -> tuple[Key, Found] | Undetermined:
        """Return the key that a reference leads to and what is there."""
        dots = len(text) - len(text.lstrip("."))
        try:
            target = (*key[: max(0, len(key) - dots)], *parse_key(text[dots:])) if dots else parse_key(text)
        except UsageError:
            return Undetermined("a reference that is not to one key of this file")
        if references <= 0:
            return Undetermined("its references lead in a circle")
        found = self._find(target, references - 1)
        if found is None or isinstance(found.value, dict | list):
            return Undetermined("it refers to a value that is not in this file")
        return target, found

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
        node, _ = self._node(key)
        found: dict[str, None] = {}
        for mapping in self._merged(node) if node is not None and node.id == "mapping" else ():
            found.update(dict.fromkeys(self._index(mapping)[0]))
            if len(found) >= _MOST_NAMES:
                break
        return list(found)[:_MOST_NAMES]

    def _node(self, key: Key) -> tuple[Any, int | None]:
        """Return the node at a key path and its line; (None, None) when there is none."""
        node, line = self._root, None
        at: int | None = None  # the line of what is included, whose own lines are those of another file
        for part in key:
            if node is None:
                break
            kind, parent = node.id, node
            node = line = None
            if kind != "scalar" and parent.tag.removeprefix(_TAG) not in _COLLECTIONS:
                raise self._tagged(parent)
            if kind == "sequence" and isinstance(part, int) and part < len(parent.value):
                node = parent.value[part]
                line = node.start_mark.line + 1
            elif kind == "mapping":
                places = (self._index(mapping)[0].get(str(part)) for mapping in self._merged(parent))
                node, line = next((place for place in places if place is not None), (None, None))
            if at is None and (followed := self._followed(node)) is not node:
                node, at = followed, line
        return node, line if at is None or node is None else at

    def _merged(self, node: Any) -> Iterator[Any]:  # noqa: ANN401
        """Yield a mapping and those merged into it, each once: its own keys win, then the first of several."""
        waiting, seen = [node], set()
        while waiting:
            mapping = waiting.pop()
            if id(mapping) not in seen:
                seen.add(id(mapping))
                yield mapping
                waiting += reversed(self._index(mapping)[1])

    def _index(self, node: Any) -> tuple[dict[str, tuple[Any, int]], list[Any]]:  # noqa: ANN401
        """Return the values of a mapping by key, and the mappings merged into it; raises FileError for others."""
        index = self._indices.get(id(node))
        if index is None:
            own: dict[str, tuple[Any, int]] = {}
            merged: list[Any] = []
            if node.id != "mapping" or node.tag != f"{_TAG}map":
                raise self._tagged(node)
            for name, value in node.value:
                if name.tag == f"{_TAG}merge":
                    items = value.value if value.id == "sequence" else [value]
                    merged += items
                elif name.id == "scalar":
                    own[name.value] = (value, name.start_mark.line + 1)
            index = self._indices[id(node)] = (own, merged)
        return index


_RESOLVERS: Mapping[str, Callable[[float, float], float]] = {
    "multiply": operator.mul,
    "mult": operator.mul,
    "add": operator.add,
    "sum": operator.add,
    "subtract": operator.sub,
    "divide": operator.truediv,
    "div": operator.truediv,
    "divide_floor": operator.floordiv,
    "floor_divide": operator.floordiv,
    "divide_ceil": lambda left, right: -(-left // right),
}
"""The functions of two numbers that configs of NeMo and its launcher call (``launcher_scripts/main.py``)."""


def _resolved(text: str) -> object:
    """Return the result of a function on numbers; what is not one of them is for the run to compute."""
    name, _, rest = text.partition(":")
    function = _RESOLVERS.get(name.strip())
    try:
        numbers = [float(part) for part in rest.replace("_", "").split(",")]
        if function is not None and len(numbers) >= 2 and (len(numbers) == 2 or function in _CHAINED):
            result = reduce(function, numbers)
            if abs(result) < _LARGEST_RESULT:
                return int(result) if result == result // 1 else result
    except (ValueError, ArithmeticError):
        pass
    return Undetermined("it is computed when the run starts")


_CHAINED = (operator.mul, operator.add)

_LARGEST_RESULT = 2.0**53  # beyond, a float is not the whole number that was meant


def _nothing(_: str) -> None:
    return None


def _boolean(text: str) -> bool:
    if text.casefold() not in ("yes", "no", "true", "false", "on", "off"):
        raise ValueError(text)
    return text.casefold() in ("yes", "true", "on")


def _whole(text: str) -> object:
    if ":" in text:
        return Undetermined("a time, or a number to base 60")
    if re.fullmatch(r"[-+]?0[0-9_]+", text):
        return Undetermined(
            "a number with leading zeros, which is octal to some readers of YAML and decimal to others"
        )
    if len(text) > _LONGEST_NUMBER:
        return Undetermined("a number of too many digits")
    return int(text.replace("_", ""), 0)


def _real(text: str) -> object:
    if ":" in text:
        return Undetermined("a time, or a number to base 60")
    return float(re.sub(r"\.(?=inf|nan)", "", text.replace("_", "").casefold()))


_READERS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "null": _nothing,
    "bool": _boolean,
    "int": _whole,
    "float": _real,
}
"""The reader of each kind of scalar that a value can be."""
