"""Evaluate the small expressions of a description: whole numbers, flags, texts and lists; nothing is executed.

An expression is parsed by Python's own grammar, and only the forms below are let through: numbers, texts, true and
false, names, ``+ - * // / % **``, comparisons, ``and or not``, ``in``, ``A if C else B``, indexing and slices, lists,
and the functions of :data:`FUNCTIONS`. It is compiled once to closures over a scope of names.
"""

from __future__ import annotations

import ast
import operator
import warnings
from functools import lru_cache
from math import isqrt
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from scaleplan.errors import FileError, quote

if TYPE_CHECKING:
    from collections.abc import Callable

    Compiled: TypeAlias = "Callable[[Names], Any]"

__all__ = ["FUNCTIONS", "ExpressionError", "SizesError", "compiled", "names_of"]

_LONGEST, _LARGEST, _MOST_POWER = 2_000, 10**30, 64  # a size is below 1e13, an expression a line
_MOST_ENTRIES = 200_000  # of a list, those of the lists in it among them, and characters of a text

_LARGEST_PRIME, _MOST_PRIMES = 10**8, 256  # a second of trial division


class Names(Protocol):
    """What has a value for each name: a mapping, or a scope that evaluates it when it is used."""

    def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401  a number, flag, text or list


class ExpressionError(FileError):
    """An expression that cannot be parsed or evaluated."""


class SizesError(FileError):
    """Sizes of a config that do not fit together."""


def _ceildiv(value: int, divisor: int) -> int:
    """Divide and round up."""
    return -(-value // divisor)


def _round_up(value: int, multiple: int) -> int:
    """Round up to a multiple."""
    return multiple * _ceildiv(value, multiple)


def _at(value: Any, index: int) -> Any:  # noqa: ANN401  a number, flag or text
    """Return the entry of a list, or the one value that stands in place of a list."""
    return value[index] if isinstance(value, list) else value


def _own_of(layers: Any, index: int, name: str, usual: Any) -> Any:  # noqa: ANN401  whatever the field holds
    """Return what one layer has of a field: its own, from a table by the numbers of layers, or the usual."""
    for number, own in layers.items():
        if int(number) == index and isinstance(own, dict):
            return own.get(name, usual)
    return usual


def _index(values: list[object], value: object) -> int:
    """Return where a value stands in a list."""
    return values.index(value)


@lru_cache(maxsize=64)
@lru_cache(maxsize=1024)
def _primes(after: int, many: int) -> list[int]:
    """Return the primes that follow a number: tables of hashes have prime sizes."""
    if not 0 <= after <= _LARGEST_PRIME or not 0 <= many <= _MOST_PRIMES:
        raise OverflowError
    found: list[int] = []
    value = max(after, 1)
    while len(found) < many:
        value += 1
        if all(value % divisor for divisor in range(2, isqrt(value) + 1)):
            found.append(value)
    return found


def _share(width: int, heads: int) -> int:
    """Return the size of a head that has its share of the width."""
    if _remainder(width, heads):
        raise SizesError(
            f"width {width} is not a multiple of {heads} attention heads",
            hint="state head_dim if the heads do not share the width",
        )
    return width // heads


def _starts(text: str, *beginnings: str) -> bool:
    """Whether a text starts with one of some beginnings."""
    return text.startswith(beginnings)


def _ends(text: str, *ends: str) -> bool:
    """Whether a text ends with one of some endings."""
    return text.endswith(ends)


def _count(values: list[object] | str, value: object) -> int:
    """Count how often a value stands in a list or text."""
    return values.count(value)  # type: ignore[arg-type]


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "int": int,
    "len": len,
    "sum": sum,
    "count": _count,
    "at": _at,
    "own_of": _own_of,
    "index": _index,
    "sorted": sorted,
    "primes": _primes,
    "ceildiv": _ceildiv,
    "round_up": _round_up,
    "share": _share,
    "starts": _starts,
    "ends": _ends,
}
"""The functions of an expression, by name."""


def _remainder(first: Any, second: Any) -> Any:  # noqa: ANN401
    if isinstance(first, str):  # of a text it would be a format
        raise TypeError
    return first % second


def _multiply(first: Any, second: Any) -> Any:  # noqa: ANN401
    for one, other in ((first, second), (second, first)):
        if isinstance(one, list | str) and (not isinstance(other, int) or other * max(len(one), 1) > _MOST_ENTRIES):
            raise OverflowError
    return first * second


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _remainder,
    ast.Pow: operator.pow,
}

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}

_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}

_CONSTANTS = {"true": True, "false": False, "none": None}


_REASONS = {
    "ZeroDivisionError": "division by zero",
    "IndexError": "an index beyond the list",
    "OverflowError": "a value that is too large",
    "RecursionError": "nested too deeply",
}


@lru_cache(maxsize=4096)
def compiled(text: str) -> Compiled:
    """Return the function of a scope that evaluates an expression; raises ExpressionError for what is not allowed."""
    try:
        run = _compile(_parsed(text), text)
    except RecursionError:
        raise ExpressionError(f"{quote(text)}: nested too deeply") from None

    def evaluate(scope: Names) -> Any:  # noqa: ANN401  a number, flag, text or list
        try:
            return run(scope)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            shown = _REASONS.get(type(error).__name__, "its values do not fit together")
            raise ExpressionError(f"{quote(text)}: {shown}") from None

    return evaluate


@lru_cache(maxsize=4096)
def names_of(text: str) -> frozenset[str]:
    """Return the names that an expression uses."""
    nodes = list(ast.walk(_parsed(text)))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}  # a field may be called as a function is
    found = {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in called}
    return frozenset(found - _CONSTANTS.keys())


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise ExpressionError(f"{quote(text[:40])}: longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of "1if x else 2", which is as clear as it is ugly
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{quote(text)} is not an expression") from None


def _compile(node: ast.expr, text: str) -> Compiled:  # noqa: C901, PLR0911, PLR0912  one case a form
    def inner(child: ast.expr) -> Compiled:
        return _compile(child, text)

    match node:
        case ast.Constant(value=value) if isinstance(value, bool | str) or (
            isinstance(value, int | float) and abs(value) <= _LARGEST
        ):
            return lambda _: value
        case ast.Name(id=name) if name in _CONSTANTS:
            constant = _CONSTANTS[name]
            return lambda _: constant
        case ast.Name(id=name):
            return lambda scope: scope[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            first, second, apply = inner(left), inner(right), _BINARY[type(op)]
            if isinstance(op, ast.Pow):
                return lambda scope: _power(first(scope), second(scope))
            return lambda scope: _bounded(apply(first(scope), second(scope)))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            value_of, change = inner(operand), _UNARY[type(op)]
            return lambda scope: change(value_of(scope))
        case ast.BoolOp(op=ast.And(), values=values):
            every = [inner(value) for value in values]
            return lambda scope: _last(every, scope, stop=False)
        case ast.BoolOp(op=ast.Or(), values=values):
            some = [inner(value) for value in values]
            return lambda scope: _last(some, scope, stop=True)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            first, second, compare = inner(left), inner(right), _COMPARE[type(op)]
            return lambda scope: compare(first(scope), second(scope))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            asks, then, other = inner(test), inner(body), inner(orelse)
            return lambda scope: then(scope) if asks(scope) else other(scope)
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            items = [inner(element) for element in elements]
            return lambda scope: _bounded([item(scope) for item in items])
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=None)):
            whole = inner(value)
            start, stop = (inner(end) if end is not None else (lambda _: None) for end in (lower, upper))
            return lambda scope: whole(scope)[start(scope) : stop(scope)]
        case ast.Subscript(value=value, slice=index):
            whole, at = inner(value), inner(index)
            return lambda scope: whole(scope)[at(scope)]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            function, arguments = FUNCTIONS[name], [inner(argument) for argument in args]
            return lambda scope: _bounded(function(*(argument(scope) for argument in arguments)))
    raise ExpressionError(
        f"{quote(text)}: {quote(ast.unparse(node))} is not allowed in an expression",
        hint=f"numbers, names, + - * // % **, comparisons, if … else, lists, {', '.join(sorted(FUNCTIONS))}",
    )


def _last(parts: list[Compiled], scope: Names, *, stop: bool) -> Any:  # noqa: ANN401
    """Return the first value that decides, as Python does: `k or h` is k where it is stated."""
    value = None
    for part in parts:
        value = part(scope)
        if bool(value) is stop:
            break
    return value


def _bounded(value: Any) -> Any:  # noqa: ANN401  whatever an operator gives
    if isinstance(value, int | float):
        if not abs(value) <= _LARGEST:
            raise OverflowError
    elif isinstance(value, str):
        if len(value) > _MOST_ENTRIES:
            raise OverflowError
    elif isinstance(value, list):
        _entries(value, _MOST_ENTRIES)
    return value


def _entries(values: list[Any], most: int) -> int:
    """Return the entries of a list and of the lists in it; raises OverflowError for more than ``most``."""
    found = len(values)
    for value in values:
        if found > most:
            break
        if isinstance(value, list):
            found += _entries(value, most - found)
    if found > most:
        raise OverflowError
    return found


def _power(base: Any, exponent: Any) -> Any:  # noqa: ANN401
    if not isinstance(base, int | float) or not isinstance(exponent, int | float) or abs(exponent) > _MOST_POWER:
        raise OverflowError
    if abs(base) > 1 and isinstance(base, int) and base.bit_length() * abs(exponent) > 128:
        raise OverflowError
    value = base**exponent
    if isinstance(value, complex):
        raise TypeError
    return _bounded(value)
