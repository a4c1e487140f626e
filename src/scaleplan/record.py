"""A dataclass that costs little to define, the base of every record on the path of a plan."""

from __future__ import annotations

import math
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields, is_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field

__all__ = ["Record", "Result", "as_mapping", "computed", "option"]


def computed(of: Callable[[Any], object], *, init: Literal[False] = False) -> Any:  # noqa: ANN401  as option
    """Declare a field of a :class:`Record` whose value follows from the fields that are given."""
    return field(init=init, metadata={"of": of})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, computed))
class Record:
    """A frozen, keyword-only dataclass whose methods are shared instead of generated.

    ``@dataclass`` writes and compiles half a dozen methods for each class, half a millisecond of every start-up.
    The records on the path of every plan are subclasses of this instead; ``fields``, ``replace`` and
    ``is_dataclass`` treat them alike.
    """

    if TYPE_CHECKING:  # get_type_hints of a subclass would evaluate these too
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
        _defaults: ClassVar[dict[str, Any]]
        _factories: ClassVar[dict[str, Callable[[], Any]]]
        _computed: ClassVar[dict[str, Callable[[Any], Any]]]
        _required: ClassVar[frozenset[str]]
        _compared: ClassVar[tuple[str, ...]]
    else:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401  never returns
            raise _unknown(self, name)

    def __init_subclass__(cls, *, eq: bool = True) -> None:
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False, match_args=False, kw_only=True)(cls)
        own = fields(cls)
        cls._defaults = {item.name: item.default for item in own if item.default is not MISSING}
        cls._factories = {item.name: item.default_factory for item in own if item.default_factory is not MISSING}
        cls._computed = {item.name: item.metadata["of"] for item in own if not item.init}
        cls._required = (
            frozenset(item.name for item in own if item.init) - cls._defaults.keys() - cls._factories.keys()
        )
        cls._compared = tuple(item.name for item in own if item.compare)
        if not eq:  # arrays have no single truth value: such records are compared by identity
            cls.__eq__, cls.__hash__ = object.__eq__, object.__hash__  # type: ignore[method-assign]

    def __init__(self, **values: object) -> None:
        missing = self._required - values.keys()
        unknown = values.keys() - (self.__dataclass_fields__.keys() - self._computed.keys())
        if missing or unknown:
            msg = f"{type(self).__name__} lacks {sorted(missing)} and does not know {sorted(unknown)}"
            raise TypeError(msg)
        self.__dict__.update(self._defaults)
        for name, factory in self._factories.items():
            if name not in values:
                self.__dict__[name] = factory()
        self.__dict__.update(values)
        for name, of in self._computed.items():
            self.__dict__[name] = of(self)

    def __setattr__(self, name: str, value: object) -> None:
        msg = f"cannot assign to field '{name}'"
        raise FrozenInstanceError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"cannot delete field '{name}'"
        raise FrozenInstanceError(msg)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._compared)

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in self._compared))

    def __repr__(self) -> str:
        shown = ", ".join(f"{item.name}={getattr(self, item.name)!r}" for item in fields(self))
        return f"{type(self).__qualname__}({shown})"


def option(
    group: str,
    kind: str,
    *,
    metavar: str = "",
    help: str = "",  # noqa: A002  the name of the field in the help
    flags: tuple[str, ...] = (),
    setting: bool = False,
    everyday: bool = False,
    panel: str = "",
    default: object = None,
) -> Any:  # noqa: ANN401  a field of whatever type it is declared with
    """Declare a field that is an option of the command line too, and a keyword of Python.

    ``kind`` names what it is read as, and ``group`` the options that commands take together; a ``setting`` may
    stand in the environment and in settings files. The help shows an ``everyday`` option first and the others where
    all are wanted, under the title of the group or in a ``panel`` of another name.
    """
    declared = {"group": group, "kind": kind, "metavar": metavar, "help": help, "flags": flags, "setting": setting}
    declared |= {"everyday": everyday, "panel": panel}
    return field(default=default, metadata=declared)


_NOTEBOOK = "scaleplan.output.notebook"
"""The module that shows results, imported when one is: records stand below whatever can show them."""

_HINTS = "scaleplan.errors"
"""The module that knows which name is meant by another."""


class UnknownAttributeError(AttributeError):
    """An attribute that a record does not have; which one is meant is found out when the message is read."""

    def __init__(self, record: object, attribute: str) -> None:
        super().__init__(attribute)
        self._record, self._attribute = record, attribute

    def __str__(self) -> str:
        owner = type(self._record)
        names = [name for name in dir(owner) if not name.startswith("_")]
        inside = (
            name for name in _fields(self._record) if self._attribute in _fields(getattr(self._record, name, None))
        )
        close = next((f"{name}.{self._attribute}" for name in inside), None)
        if close is None:
            known = dict.fromkeys([*_fields(self._record), *names])
            close = import_module(_HINTS).did_you_mean(self._attribute, known)
        hint = "" if close is None else f": did you mean '{close}'?"
        return f"{owner.__name__} has no attribute '{self._attribute}'{hint}"


def _fields(value: object) -> tuple[str, ...]:
    return tuple(getattr(type(value), "__dataclass_fields__", ()))


def _unknown(record: object, name: str) -> AttributeError:
    """Return the error for an unknown attribute, with the nearest known one but for Python's own names."""
    return AttributeError(name) if name.startswith("_") else UnknownAttributeError(record, name)


class Result:
    """A dataclass with a JSON form: its schema, then its fields.

    ``repr`` is one line and ``str`` the report, which a notebook shows as a table.
    """

    __slots__ = ()

    schema: ClassVar[str]

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    else:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401  never returns
            raise _unknown(self, name)

    def __init_subclass__(cls, **keywords: Any) -> None:  # noqa: ANN401  of other bases
        super().__init_subclass__(**keywords)
        setattr(cls, "__repr__", Result.__repr__)  # noqa: B010  neither a record's nor a generated one

    def __repr__(self) -> str:
        try:
            line: str = import_module(_NOTEBOOK).summary(self)
        except Exception:  # noqa: BLE001  what is made by hand may hold anything, and a repr never fails
            return f"{type(self).__qualname__}({', '.join(item.name for item in fields(self))})"
        return line

    def __str__(self) -> str:
        shown: str = import_module(_NOTEBOOK).text(self)
        return shown

    def _repr_html_(self) -> str:
        shown: str = import_module(_NOTEBOOK).html(self)
        return shown

    def viewed(self) -> Result:
        """Return the result whose views show this one: itself, unless it is shown as another."""
        return self

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the rows as columns by the dotted names of the CSV form, for a data frame of any library.

        A result without rows is the only one; columns that are empty in every row are left out.
        """
        found: dict[str, list[Any]] = import_module(_NOTEBOOK).columns(self)
        return found

    def to_pandas(self) -> Any:  # noqa: ANN401  a library that need not be there
        """Return :meth:`to_columns` as a pandas DataFrame."""
        return import_module(_NOTEBOOK).frame(self, "pandas")

    def to_polars(self) -> Any:  # noqa: ANN401  a library that need not be there
        """Return :meth:`to_columns` as a Polars DataFrame."""
        return import_module(_NOTEBOOK).frame(self, "polars")

    def to_arrow(self) -> Any:  # noqa: ANN401  a library that need not be there
        """Return :meth:`to_columns` as a PyArrow Table."""
        return import_module(_NOTEBOOK).frame(self, "pyarrow")

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return {"schema": self.schema, **{item.name: as_mapping(getattr(self, item.name)) for item in fields(self)}}


def as_mapping(value: object) -> object:
    """Return a result as plain mappings, lists and scalars; numbers that are not finite become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_mapping(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): as_mapping(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_mapping(item) for item in value]
    return value
