"""Take the values of a run from the training configs that it points into: the text of each, and its amount."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from scaleplan.documents.document import parse_document
from scaleplan.documents.key_path import Location, Undetermined, format_key
from scaleplan.errors import FileError, QuantityError, did_you_mean, escape_control, quote
from scaleplan.project.source import display_name, inside
from scaleplan.trainers.durations import DURATION, OPEN_UNITS, UNITS
from scaleplan.trainers.settings import LEFT_OPEN
from scaleplan.units import parse_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scaleplan.documents.key_path import Document, Key
    from scaleplan.project.source import Tree

__all__ = ["Configs", "Given", "Lookup", "Source", "is_readable", "where"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value of a run, every place that it came from, and the text or number that stands at each.

    ``foreign`` is whether another file than the project's own holds it, ``taken`` whether that is the training config
    of the run.
    """

    value: str | float
    places: tuple[Location, ...]
    texts: tuple[str | float, ...] = ()
    foreign: bool = False
    taken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A value to be read at a key path of another file; ``role`` is what the run takes it for."""

    file: str
    key: Key
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A value, or several to be multiplied, and where the run gives it."""

    factors: tuple[str | float | Lookup, ...]
    place: Location
    roles: tuple[str, ...] = ()


class Configs:
    """The training configs that runs point into, each read once from a tree of files."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._documents: dict[Path, Document | FileError] = {}

    def given(self, option: str, source: Source, *, folder: Path) -> Given:
        """Return the value of a source; several factors are multiplied."""
        if len(source.factors) == 1 and not isinstance(source.factors[0], Lookup):
            value = source.factors[0]
            return Given(value=value, places=(source.place,), texts=(value,))
        parts = [
            self._look(factor, folder) if isinstance(factor, Lookup) else _Part(role, factor, (source.place,))
            for factor, role in zip(source.factors, source.roles, strict=True)
        ]
        places = tuple(dict.fromkeys(place for part in parts for place in part.places))
        texts = {place: part.value for part in reversed(parts) for place in part.places}
        if len(parts) > 1 or option in ("tokens", "unique_tokens"):
            value = _product([part.read(option) for part in parts])
        else:
            value = parts[0].value
        foreign = any(isinstance(factor, Lookup) for factor in source.factors)
        return Given(value=value, places=places, texts=tuple(texts[place] for place in places), foreign=foreign)

    def document(self, path: Path, *, folder: Path, what: str) -> Document:
        """Return the parsed file at a path that a run in ``folder`` names; raises FileError, each time the same."""
        document = self._documents.get(path)
        if document is None:
            try:
                text = self.tree.text(inside(path, folder=folder, what=what), what=what)
                document = parse_document(text, name=display_name(path))
            except FileError as error:
                document = error
            self._documents[path] = document
        if isinstance(document, FileError):
            raise FileError(document.message, hint=document.hint, file=document.file, line=document.line)
        return document

    def _look(self, lookup: Lookup, folder: Path) -> _Part:
        document = self.document(folder / lookup.file, folder=folder, what="config")
        found = document.find(lookup.key)
        shown = escape_control(format_key(lookup.key))
        if found is None:
            raise FileError(
                f"{document.name}: there is no key {quote(shown)}",
                hint=_alternative(document, lookup.key),
                file=document.name,
            )
        places = [Location(file=document.name, line=found.line, key=shown)]
        if found.origin is not None:
            key, line = found.origin
            places.append(Location(file=document.name, line=line, key=escape_control(format_key(key))))
        value, reason = found.value, None
        if isinstance(value, Undetermined):
            reason = value.reason
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            reason = f"expected an amount, found {_KINDS.get(type(value), 'something else')}"
        elif str(value).strip().casefold() in LEFT_OPEN:
            reason = f"{quote(value)} leaves it to the run"
        elif not isinstance(value, str) and not value > 0:
            reason = "the number is not above 0, and leaves the value to the run"
        if reason is not None:
            raise FileError(
                f"{where(places[0])}: not determined by the file: {reason}",
                hint="give the amount itself in the project's file",
                file=document.name,
                line=found.line,
            )
        assert isinstance(value, str | int | float)
        return _Part(lookup.role, value, tuple(places), foreign=True)


_KINDS = {dict: "a table", list: "a list", bool: "true or false", type(None): "nothing"}

_OWN_UNITS = {"batch": "samples", "sequence": "tokens", "batch_tokens": "tokens", "steps": "steps", "key": "tokens"}
"""What the number of a role counts: the unit that it may name, and need not."""

_READABLE = re.compile(
    r"[+-]?[0-9][0-9_,.]*(?:[eE][+-]?[0-9]+)? ?(?:[A-Za-z]{1,3}|thousand|million|billion|trillion)?"
)


def is_readable(text: str) -> bool:
    """Return whether a message may quote a text of another file: an amount, well written or not, but no secret."""
    return len(text) <= 40 and _READABLE.fullmatch(text.strip()) is not None


@dataclass(frozen=True, slots=True)
class _Part:
    """One factor of a value: what it is taken for, what stands there, and where."""

    role: str
    value: str | float
    places: tuple[Location, ...]
    foreign: bool = False

    def read(self, option: str) -> tuple[str, float, _Part]:
        """Return what the factor counts, and how many.

        Raises FileError at its place for a text that is no amount, or an amount of something else.
        """
        unit, text = _OWN_UNITS[self.role], self.value
        duration = DURATION.fullmatch(text.strip()) if isinstance(text, str) and option == "tokens" else None
        if duration is not None and duration["unit"] in OPEN_UNITS:
            raise self.error(
                f"not determined by the file: {quote(text)} is {OPEN_UNITS[duration['unit']]}",
                hint="give the tokens in the project's file, or a key that holds them",
            )
        if duration is not None and duration["unit"] in UNITS:
            unit, text = UNITS[duration["unit"]], duration["numeral"]
        try:
            number = parse_count(text, what="tokens")
        except QuantityError as error:
            if self.foreign and not is_readable(str(text)):
                raise self.error("no amount that can be read", hint="for example 1024, 2e12 or 1.4T") from None
            raise self.error(error.message, hint=error.hint) from None
        if unit != _OWN_UNITS[self.role] and not (self.role == "steps" and unit in ("tokens", "samples")):
            raise self.error(
                f"{quote(self.value)} counts {unit} where {_OWN_UNITS[self.role]} are expected",
                hint="tokens = { batch = …, sequence = …, steps = … } multiplies a length in steps or samples",
            )
        return unit, number, self

    def error(self, message: str, *, hint: str | None) -> FileError:
        """Return an error at the place of this factor."""
        place = self.places[0]
        return FileError(f"{where(place)}: {message}", hint=hint, file=place.file, line=place.line)


def _product(parts: Sequence[tuple[str, float, _Part]]) -> float:
    """Return the tokens of batch, sequence and steps; a length in samples or tokens has the batch in it already."""
    lengths = [(unit, part) for unit, _, part in parts if part.role == "steps" and unit != "steps"]
    if lengths and sum(part.role == "steps" for _, _, part in parts) > 1:
        raise lengths[0][1].error("a length in samples or tokens is not multiplied", hint="name it alone, as steps")
    counted = {"samples": ("sequence", "steps"), "tokens": ("steps",)}.get(lengths[0][0] if lengths else "")
    if lengths and counted is not None and "sequence" in counted and not any(p.role == "sequence" for *_, p in parts):
        raise lengths[0][1].error("a length in samples needs the sequence", hint="give batch, sequence and steps")
    return prod(number for _, number, part in parts if counted is None or part.role in counted)


def where(place: Location) -> str:
    """Write a place as the beginning of a message: file, line where that is known, and key."""
    return f"{place.file}:{place.line}: {place.key}" if place.line else f"{place.file}: {place.key}"


def _alternative(document: Document, key: Key) -> str | None:
    """Return a hint on the first part of a key path that the document does not have."""
    for length in range(len(key)):
        if document.find(key[: length + 1]) is None:
            names = document.names(key[:length])
            close = did_you_mean(str(key[length]), names)
            if close is not None:
                return f"did you mean {quote(format_key((*key[:length], close)))}?"
            inside_of = f"in {quote(format_key(key[:length]))}" if length else "at the top"
            return f"{inside_of} there is: {', '.join(map(escape_control, names[:20]))}" if names else None
    return None
