"""Read the settings of a training config: typed, bounded, each with the places that it came from.

A value that the file leaves to the run (``auto``, ``-1``, an environment variable, a tag, a computation) is no value:
it is kept as *open*, with the reason and the place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from scaleplan.documents.key_path import Location, Undetermined, format_key, parse_key
from scaleplan.errors import FileError, escape_control

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scaleplan.documents.key_path import Found, Key

__all__ = ["LEFT_OPEN", "SIZES_HINT", "Open", "Setting", "Settings", "SettingsSource", "combined"]

LARGEST = 10**16
"""Of a whole number in a config: no run has as many tokens."""

LARGEST_NUMBER = 1e30
"""Of any number in a config; a budget in FLOP is the largest that one states."""

_MOST_LAYERS = 10_000  # ten times those of the deepest model; each may be described apart

_LARGEST_SIZE = 10**9  # of a dimension, as in a config.json

LEFT_OPEN = frozenset({"", "auto", "none", "null", "???", "max", "inf", "-1", "~"})
"""What configs write in place of a value that the run finds when it starts; ``???`` is OmegaConf's missing."""

_WHOLE = re.compile(r"[+-]?\d[\d_,]*")

_NUMBER = re.compile(r"[+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class Setting(NamedTuple):
    """A value of a config and every place that it follows from."""

    value: Any
    places: tuple[Location, ...] = ()


class Open(NamedTuple):
    """What a config does not determine: why, where, and the option that gives it.

    ``given`` is true for a flag of a command that stands there, whose word is not known.
    """

    reason: str
    place: Location | None = None
    option: str | None = None
    given: bool = False


class SettingsSource(Protocol):
    """What settings are read from: a document, a command of a script, or a call in a Python text."""

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path."""


def combined(value: object, *settings: Setting | None) -> Setting:
    """Return a value that follows from some settings, with the places of all of them."""
    places = (place for each in settings if each is not None for place in each.places)
    return Setting(value, tuple(dict.fromkeys(places)))


class Settings:
    """The settings below some sections of a config; a name is looked for in each section in turn.

    ``read`` keeps the value at every place that was consulted, and is shared by all sections of one config.
    """

    def __init__(
        self,
        source: SettingsSource,
        *,
        file: str,
        sections: tuple[str, ...] = ("",),
        read: dict[Location, str | float | None] | None = None,
        show: str = "",
    ) -> None:
        self.source = source
        self.file = file
        self.sections = tuple(parse_key(section) if section else () for section in sections)
        self.read = {} if read is None else read
        self.show = show  # the call that the keys are arguments of

    def section(self, *sections: str) -> Settings:
        """Return the settings below other sections of the same source."""
        return Settings(self.source, file=self.file, sections=sections, read=self.read, show=self.show)

    def of(self, source: SettingsSource, *, show: str = "") -> Settings:
        """Return the settings of another source in the same file."""
        return Settings(source, file=self.file, read=self.read, show=show)

    def _find(self, names: Iterable[str]) -> tuple[Key, Found] | None:
        for name in names:
            parts = parse_key(name)
            for section in self.sections:
                found = self.source.find((*section, *parts))
                if found is not None and found.value is not None:
                    return (*section, *parts), found
        return None

    def has(self, *names: str) -> bool:
        """Return whether all of these are there, and not null."""
        return all(self._find((name,)) is not None for name in names)

    def any(self, *names: str) -> bool:
        """Return whether one of these is there, and not null."""
        return self._find(names) is not None

    def is_null(self, name: str) -> bool:
        """Return whether a setting is there, and null."""
        parts = parse_key(name)
        found = (self.source.find((*section, *parts)) for section in self.sections)
        return any(each is not None and each.value is None for each in found)

    def names(self) -> list[str]:
        """Return the keys of the first section."""
        return self.source.names(self.sections[0])

    def place(self, *names: str) -> Location | None:
        """Return the place of the first of some settings that is there."""
        found = self._find(names)
        return None if found is None else self._place(*found)

    def _place(self, key: Key, found: Found) -> Location:
        shown = escape_control(format_key(key))
        return Location(file=self.file, line=found.line, key=f"{self.show}.{shown}" if self.show else shown)

    def _places(self, key: Key, found: Found) -> tuple[Location, ...]:
        places = [self._place(key, found)]
        if found.origin is not None:
            origin, line = found.origin
            places.insert(0, Location(file=self.file, line=line, key=escape_control(format_key(origin))))
        value = found.value
        kept = value if isinstance(value, str | int | float) else None
        self.read.update(dict.fromkeys(places, kept))
        return tuple(places)

    def error(self, message: str, *names: str, hint: str | None = None) -> FileError:
        """Return an error about a setting, at the place of the first name that is there."""
        found = self._find(names)
        if found is None:
            name = escape_control(names[0]) if names else ""
            return FileError(f"{self.file}: {name}: {message}", hint=hint, file=self.file)
        place = self._place(*found)
        at = f"{place.file}:{place.line}" if place.line else place.file
        return FileError(f"{at}: {place.key}: {message}", hint=hint, file=place.file, line=place.line)

    def raw(self, *names: str) -> Setting | Open | None:
        """Return the value of the first name that is there; open where the file does not determine it."""
        found = self._find(names)
        if found is None:
            return None
        places = self._places(*found)
        value = found[1].value
        if isinstance(value, Undetermined):
            return Open(value.reason, places[0], given=value.given)
        if isinstance(value, str) and value.strip().casefold() in LEFT_OPEN:
            return Open("the file leaves the number to the run", places[0])
        if isinstance(value, int) and not isinstance(value, bool) and value == -1:
            return Open("-1 leaves the number to the run", places[0])
        return Setting(value, places)

    def whole(self, *names: str, at_least: int = 1, at_most: int = LARGEST) -> Setting | Open | None:
        """Return a whole number; raises FileError for another value."""
        found = self.raw(*names)
        if not isinstance(found, Setting):
            return found
        number = _number(found.value)
        if number is None or number != number // 1:
            raise self.error("expected a whole number", *names)
        if number < at_least:
            return Open("the number is left to the run", found.places[0])
        if number > at_most:
            raise self.error(f"expected at most {at_most:,}", *names)
        return Setting(int(number), found.places)

    def number(self, *names: str) -> Setting | Open | None:
        """Return a number above 0; raises FileError for another value."""
        found = self.raw(*names)
        if not isinstance(found, Setting):
            return found
        number = _number(found.value)
        if number is None or number > LARGEST_NUMBER:
            raise self.error("expected a number", *names)
        if number <= 0:
            return Open("the number is left to the run", found.places[0])
        return Setting(number, found.places)

    def flag(self, name: str, *others: str, default: bool | None = None) -> Setting:
        """Return true or false; a switch of a command is true.

        Raises FileError for another value, and without a default where it is missing.
        """
        found = self.raw(name, *others)
        if found is None and default is not None:
            return Setting(default)
        if isinstance(found, Setting):
            value = found.value
            if isinstance(value, bool):
                return found
            text = str(value).strip().casefold()
            if text in _TRUE or text in _FALSE:
                return Setting(text in _TRUE, found.places)
        raise self.error("not determined by the file: expected true or false", name, *others, hint=SIZES_HINT)

    def switch(self, name: str, *others: str) -> Setting:
        """Return whether a switch of a command is given, whatever word follows it; false where it is missing."""
        found = self.raw(name, *others)
        if found is None:
            return Setting(False)
        if isinstance(found, Open):
            if found.given and found.place is not None:
                return Setting(True, (found.place,))
            raise self.error(f"not determined by the file: {found.reason}", name, *others, hint=SIZES_HINT)
        return Setting(str(found.value).strip().casefold() not in _FALSE, found.places)

    def text(self, *names: str, default: str | None = None) -> Setting:
        """Return a text; raises FileError for another value, and without a default where it is missing."""
        found = self.raw(*names)
        if found is None and default is not None:
            return Setting(default)
        if not isinstance(found, Setting) or not isinstance(found.value, str):
            raise self.error("not determined by the file: expected a text", *names, hint=SIZES_HINT)
        return found

    def items(self, name: str) -> Iterator[Setting | Open | None]:
        """Yield the items of a list; those of a text in brackets, ``["silu","linear"]``, too."""
        found = self.raw(name)
        if isinstance(found, Setting) and isinstance(found.value, str):
            for part in found.value.strip("[](){} ").split(","):
                yield Setting(part.strip().strip("'\""), found.places)
            return
        for position in range(_MOST_ITEMS):
            item = self.raw(f"{name}[{position}]")
            if item is None:
                return
            yield item

    def size(self, *names: str, default: int | None = None) -> int:
        """Return a dimension of the model; raises FileError where the file does not determine it."""
        found = self.whole(*names, at_most=_LARGEST_SIZE)
        if found is None and default is not None:
            return default
        if isinstance(found, Setting):
            return int(found.value)
        reason = "the file lacks it" if found is None else found.reason
        raise self.error(f"the size of the model is not determined by the file: {reason}", *names, hint=SIZES_HINT)

    def layers(self, *names: str, default: int | None = None) -> int:
        """Return a number of layers."""
        found = self.size(*names, default=default)
        if found > _MOST_LAYERS:
            raise self.error(f"expected at most {_MOST_LAYERS:,} layers", *names)
        return found

    def refuse(self, *names: str) -> None:
        """Refuse settings that change the count in a way that is not counted here."""
        for name in names:
            found = self.raw(name)
            if isinstance(found, Open) or (
                isinstance(found, Setting)
                and found.value not in (False, 0)
                and not (isinstance(found.value, dict | list) and self._empty(name))
                and str(found.value).casefold() not in _FALSE
            ):
                raise self.error("a model with this is not counted here", name, hint=SIZES_HINT)

    def _empty(self, name: str) -> bool:
        """Return whether a mapping or a list, which has been found, holds nothing."""
        found = self._find((name,))
        assert found is not None
        return not self.source.names(found[0]) and self.source.find((*found[0], 0)) is None


SIZES_HINT = "give params in the project's file, or model with the config.json of the model"

_MOST_ITEMS = 1000


def _number(value: object) -> float | int | None:
    """Return a number, or the number that a text is: ``6E-4`` is a text to YAML 1.1, and a word of a script."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if abs(value) < float("inf") else None  # which NaN is not either
    if isinstance(value, str) and len(value) <= 40:
        text = value.strip().replace("_", "").replace(",", "")
        if _WHOLE.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            number = float(text)
            return number if number < float("inf") else None
    return None
