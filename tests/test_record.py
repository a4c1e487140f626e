"""A record behaves as the frozen, keyword-only dataclass it stands for."""

from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace

import numpy as np
import pytest

from scaleplan.record import Record, computed


class Mine(Record):
    """A record of each kind of field."""

    size: int
    name: str = "x"
    notes: list[str] = field(default_factory=list)
    cache: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """The dataclass with the same fields."""

    size: int
    name: str = "x"
    notes: list[str] = field(default_factory=list)
    cache: int = field(default=0, compare=False)


def test_it_has_the_fields_of_the_dataclass():
    """Names, order and defaults are what dataclasses itself would say."""
    assert is_dataclass(Mine)
    assert [(item.name, item.default) for item in fields(Mine)] == [
        (item.name, item.default) for item in fields(Theirs)
    ]
    assert repr(Mine(size=1)) == repr(Theirs(size=1)).replace("Theirs", "Mine")


def test_values_compare_and_replace_as_in_the_dataclass():
    """Fields that do not compare are left out; a factory makes a new value for each."""
    one, other = Mine(size=1), Mine(size=1, cache=9)
    assert one == other
    assert one != replace(one, size=2)
    assert replace(one, name="y") == Mine(size=1, name="y")
    assert one.notes is not other.notes
    assert one != Theirs(size=1)


def test_records_of_hashable_values_are_hashable():
    """Equal records have equal hashes."""

    class Pair(Record):
        left: int
        right: int = 2

    assert hash(Pair(left=1)) == hash(Pair(left=1, right=2))
    assert len({Pair(left=1), Pair(left=1), Pair(left=3)}) == 2


def test_records_of_arrays_are_compared_by_identity():
    """An array has no single truth value, so that equality of the fields would raise."""

    class Column(Record, eq=False):
        values: np.ndarray

    column = Column(values=np.arange(3))
    assert column == column  # noqa: PLR0124
    assert column != Column(values=np.arange(3))
    assert len({column, replace(column)}) == 2


@pytest.mark.parametrize("values", [{}, {"size": 1, "colour": "red"}])
def test_missing_and_unknown_fields_are_refused(values):
    """The message names both."""
    with pytest.raises(TypeError, match=r"Mine lacks \[.*\] and does not know \[.*\]"):
        Mine(**values)


def test_it_is_frozen():
    """Neither set nor deleted."""
    mine = Mine(size=1)
    with pytest.raises(FrozenInstanceError):
        mine.size = 2
    with pytest.raises(FrozenInstanceError):
        del mine.size


class Rectangle(Record):
    """A record with a field that follows from the others."""

    width: float
    area: float = computed(lambda made: made.width * made.height)
    height: float


def test_a_computed_field_follows_from_the_others():
    """Also when they are replaced, and it cannot be given."""
    made = Rectangle(width=2.0, height=3.0)
    assert made.area == 6.0
    assert replace(made, height=4.0) == Rectangle(width=2.0, height=4.0)
    assert replace(made, height=4.0).area == 8.0
    assert [item.name for item in fields(made)] == ["width", "area", "height"]
    with pytest.raises(TypeError):
        Rectangle(width=2.0, height=3.0, area=6.0)
