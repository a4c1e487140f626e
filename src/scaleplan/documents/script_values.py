"""The values of Python configs and shell scripts with their lines, and what arithmetic makes of them.

Literals, ``+ - * / // **`` on numbers, and names whose values are known; nothing is run. Whatever a run would have to
compute is :class:`~scaleplan.documents.key_path.Undetermined`.
"""

from __future__ import annotations

import ast
import math
import operator
from typing import TYPE_CHECKING, TypeGuard

from scaleplan.documents.key_path import Undetermined
from scaleplan.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.documents.key_path import Key

__all__ = ["Inside", "Place", "dotted", "evaluate", "follow", "require_size", "undetermined"]

_MOST_CHARACTERS = 200_000  # of a config; a tenth of a second to parse

_LARGEST = 1e300  # of a number that arithmetic may give: no amount comes near


class Place:
    """A value, or the values by key of a mapping, a list or a call, and the line; ``call`` is what was called."""

    __slots__ = ("call", "inside", "line", "value")

    def __init__(self, value: object, line: int, inside: Inside | None = None, call: str = "") -> None:
        self.value = value
        self.line = line
        self.inside = inside
        self.call = call


class Inside(dict[str | int, Place]):
    """What is in a mapping, a list or a call; several names may share it.

    Where something may have changed it, ``lost`` stands in place of every value.
    """

    lost: Place | None = None


def require_size(text: str, name: str) -> None:
    """Refuse a text that is longer than configs and scripts are."""
    if len(text) > _MOST_CHARACTERS:
        raise FileError(f"{name}: larger than {_MOST_CHARACTERS:,} characters", file=name)


def undetermined(reason: str, line: int) -> Place:
    """Return the place of a value that is not determined, with the reason."""
    return Place(Undetermined(reason), line)


def follow(place: Place | None, key: Key) -> Place | None:
    """Return what is at a key path inside of a place."""
    for part in key:
        if place is None:
            break
        inside = place.inside
        place = None if inside is None else inside.lost or inside.get(part)
    return place


def dotted(node: ast.expr) -> str:
    """Return the dotted name of what is called, an empty text for what has none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((node.id, *reversed(parts)))


_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def evaluate(node: ast.expr, known: Mapping[str | int, Place]) -> Place:
    """Return what an expression stands for, with the values of the names that are known."""
    line = node.lineno
    match node:
        case ast.Constant(value=value):
            return Place(value, line)
        case ast.Name(id=name):
            place = known.get(name)
            return place or undetermined("it is made of a name that this file does not assign before", line)
        case ast.Attribute(value=owner, attr=name) if dotted(owner):
            found = follow(evaluate(owner, known), (name,))
            if found is not None:
                return found
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _combined(evaluate(left, known).value, op, evaluate(right, known).value, line)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _combined(0, ast.Sub(), evaluate(operand, known).value, line)
        case ast.Call(func=ast.Name(id="int" | "float" as kind), args=[argument], keywords=[]):
            number = evaluate(argument, known).value
            if _is_number(number):
                return Place(int(number) if kind == "int" else float(number), line)
    inside = _inside(node, known)
    called = dotted(node.func) if isinstance(node, ast.Call) else ""
    if inside or called:
        named = any(isinstance(name, str) for name in inside) or (inside and not called)
        reason = Undetermined("it is computed when the run starts")
        return Place(None if named else reason, line, inside or None, called)
    return undetermined("it is computed when the run starts", line)


def _inside(node: ast.expr, known: Mapping[str | int, Place]) -> Inside:
    """Return the values in a list, a mapping or the keywords of a call; none of anything else.

    What is unpacked into a mapping may replace the keys before it.
    """
    match node:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return Inside(enumerate(evaluate(item, known) for item in items))
        case ast.Dict(keys=keys, values=values):
            after = max((place for place, key in enumerate(keys) if not isinstance(key, ast.Constant)), default=-1)
            known_keys = list(zip(keys, values, strict=True))[after + 1 :]
            named = [(key.value, value) for key, value in known_keys if isinstance(key, ast.Constant)]
        case ast.Call(args=arguments, keywords=keywords):
            found = Inside()
            for position, each in enumerate(arguments):
                if isinstance(each, ast.Starred):
                    break
                found[position] = _at(evaluate(each, known), each.lineno)
            if any(each.arg is None for each in keywords):  # unpacked: it may hold any keyword that is not named
                pass
            named = [(each.arg, each.value) for each in keywords]
            found.update(
                (name, _at(evaluate(value, known), value.lineno)) for name, value in named if isinstance(name, str)
            )
            return found
        case _:
            return Inside()
    return Inside((name, _at(evaluate(value, known), value.lineno)) for name, value in named if isinstance(name, str))


def _at(place: Place, line: int) -> Place:
    return Place(place.value, line, place.inside, place.call)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _combined(left: object, op: ast.operator, right: object, line: int) -> Place:
    """Return the result of an operation on two numbers, of which neither the work nor the size can run away."""
    for value in (left, right):
        if isinstance(value, Undetermined):
            return Place(value, line)
    if _is_number(left) and _is_number(right):
        try:
            size = float(left) ** float(right) if isinstance(op, ast.Pow) else 0.0
            if not isinstance(size, complex) and abs(size) <= _LARGEST:
                number = _OPERATORS[type(op)](left, right)
                if _is_number(number) and math.isfinite(number):
                    return Place(number, line)
        except ArithmeticError:
            pass
    return undetermined("it is computed when the run starts", line)
