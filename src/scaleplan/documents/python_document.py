"""Read single values and calls, and the lines on which they stand, from a Python config, without running it.

What is assigned at the top: literals, arithmetic on numbers, names assigned before, and keywords of a call as if they
were keys (``config = Train(steps=1000)`` has ``config.steps``); and every call wherever it stands, for who knows what
it calls. Whatever a run would have to compute is :class:`~scaleplan.documents.key_path.Undetermined`.
"""

from __future__ import annotations

import ast
import warnings
from collections import ChainMap
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from scaleplan.documents.key_path import Found, Undetermined
from scaleplan.documents.script_values import Inside, Place, dotted, evaluate, follow, require_size, undetermined
from scaleplan.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.documents.key_path import Key

__all__ = ["Call", "PythonDocument"]


class Call(NamedTuple):
    """A call in a Python text: the dotted name of what is called, its line, and the function that it stands in.

    ``place`` leads to its arguments: keywords by name, the others by position.
    """

    name: str
    line: int
    function: str
    place: Place

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path among the arguments, None without one; ``0`` is the first without name."""
        return _found(follow(self.place, tuple(_position_of(part) for part in key)))

    def called(self, key: Key) -> str:
        """Return what is called at a key path, an empty text for another value."""
        place = follow(self.place, key)
        return "" if place is None else place.call

    def names(self, key: Key) -> list[str]:
        """Return the keywords of the call, or the keys at a key path."""
        return _keys(follow(self.place, key))


class PythonDocument:
    """A Python text; ``name`` is its file as shown to the user. Raises FileError when it is not Python."""

    def __init__(self, text: str, *, name: str) -> None:
        self.name = name
        require_size(text, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the text's own syntax, such as escapes
                tree = ast.parse(text)
            calls = _Calls()
            self._top = _scope(tree.body, calls=calls)
            calls.functions()
            self.calls = tuple(calls.found)
            self.imports = tuple(_imports(tree))
        except SyntaxError as error:
            line = error.lineno
            where = f" at line {line}" if line else ""
            raise FileError(f"{name}: not valid Python{where}", file=name, line=line) from None
        except (ValueError, RecursionError, MemoryError):
            message = f"{name}: not valid Python: unreadable characters, or nested too deeply"
            raise FileError(message, file=name) from None

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        return _found(follow(Place(None, 1, self._top), key))

    def names(self, key: Key) -> list[str]:
        """Return the names that are assigned at the top, or the keys at a key path, for hints."""
        return _keys(follow(Place(None, 1, self._top), key))


def _found(place: Place | None) -> Found | None:
    if place is None:
        return None
    whole = place.inside is None or isinstance(place.value, Undetermined)
    return Found(value=place.value if whole else {}, line=place.line)


def _position_of(part: str | int) -> str | int:
    return int(part) if isinstance(part, str) and part.isdecimal() else part


def _keys(place: Place | None) -> list[str]:
    return [str(name) for name in place.inside] if place is not None and place.inside is not None else []


_MOST_CALLS = 5000  # of a config: large ones have a hundred


class _Calls:
    """Collects the calls of a text with what their arguments are where they stand."""

    def __init__(self) -> None:
        self.found: list[Call] = []
        self._later: list[tuple[list[ast.stmt], ChainMap[str | int, Place], str]] = []

    def statement(self, statement: ast.stmt, known: ChainMap[str | int, Place], function: str) -> None:
        """Take the calls of one statement, those inside of another call first."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = statement.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            named += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
            lost = undetermined("the caller of a function gives it", statement.lineno)
            self._later.append((statement.body, known.new_child({each.arg: lost for each in named}), statement.name))
            return
        if isinstance(statement, ast.ClassDef):
            return  # its body is a scope of its own
        value = getattr(statement, "value", None) if isinstance(statement, _SIMPLE) else statement
        if not isinstance(value, ast.AST):
            return
        nodes = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
        if nodes:
            lost = undetermined("it is assigned where a run decides", statement.lineno)
            own = {node.arg if isinstance(node, ast.arg) else node.id for node in ast.walk(value) if _binds(node)}
            inner = known.new_child(dict.fromkeys(own, lost)) if own else known
            for node in sorted(nodes, key=_position)[: _MOST_CALLS - len(self.found)]:
                if name := dotted(node.func):
                    self.found.append(Call(name, node.lineno, function, evaluate(node, inner)))

    def functions(self) -> None:
        """Take the calls in the bodies of functions, which run when the whole module has run."""
        while self._later:
            body, known, name = self._later.pop(0)
            _scope(body, known, self, name)


_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)


def _binds(node: ast.AST) -> TypeGuard[ast.arg | ast.Name]:
    return isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def _position(node: ast.Call) -> tuple[int, int]:
    return (node.end_lineno or node.lineno, node.end_col_offset or 0)


def _imports(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that a text imports, or imports from."""
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            yield statement.module or ""
        elif isinstance(statement, ast.Import):
            yield from (each.name for each in statement.names)


def _flattened(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run one after the other: those below ``with``, and of a script's main part, too."""
    for statement in body:
        match statement:
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), orelse=[]):
                yield from _flattened(statement.body)
            case ast.With(items=items):
                yield ast.copy_location(ast.With(items=items, body=[]), statement)
                yield from _flattened(statement.body)
            case _:
                yield statement


def _scope(
    body: list[ast.stmt],
    outer: ChainMap[str | int, Place] | None = None,
    calls: _Calls | None = None,
    function: str = "",
) -> Inside:
    """Return what the statements of a module, class or function assign, the last assignment of each name."""
    found, replaced = Inside(), Inside()
    known = ChainMap(found, replaced, *(outer.maps if outer is not None else ()))
    for statement in _flattened(body):
        assigned = _assigned(statement)
        if calls is not None:
            calls.statement(statement, known, function)
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = Place(None, statement.lineno, _scope(statement.body, known, calls, function))
        elif _replaces_all(statement):
            lost = undetermined("what is imported or executed here may replace it", statement.lineno)
            replaced.update(dict.fromkeys(found, lost))
            found.clear()
        elif assigned is not None:
            targets, value = assigned
            place = evaluate(value, known)
            for target in targets:
                _assign(found, target, place)
        for name, reason in _doubtful(statement):
            _lose(found, name, reason, statement.lineno)
    return Inside({**replaced, **found})


def _doubtful(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the names of which a statement does not let us know what they stand for, each with the reason."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        yield statement.name, "it is a function"
        for name in _globals(statement):
            yield name, "a function may assign it"
    elif not isinstance(statement, ast.ClassDef):
        for name in _bound(statement) if _assigned(statement) is None else ():
            yield name, "it is assigned where a run decides"
        for name in _changed(statement):
            yield name, "a call may change it"


def _replaces_all(statement: ast.stmt) -> bool:
    """Return whether a statement may assign any name: an import of everything, or code from elsewhere."""
    if isinstance(statement, ast.ImportFrom):
        return statement.names[0].name == "*"
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == "exec" for function in calls)


def _lose(found: Inside, name: str, reason: str, line: int) -> None:
    """Forget what a name stands for, and what is inside, which other names may share."""
    lost = undetermined(reason, line)
    waiting = [found.setdefault(name, lost)]
    if waiting[0].inside is None:
        found[name] = lost
    while waiting:
        inside = waiting.pop().inside
        if inside is not None and inside.lost is None:
            inside.lost = lost
            waiting += inside.values()


def _assigned(statement: ast.stmt) -> tuple[list[ast.expr], ast.expr] | None:
    """Return the targets and the value of an assignment; ``x *= 2`` is ``x = x * 2``."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            return targets, value
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return [target], value
        case ast.AugAssign(target=ast.Name(id=name) as target, op=op, value=value):
            before = ast.copy_location(ast.Name(id=name, ctx=ast.Load()), statement)
            return [target], ast.copy_location(ast.BinOp(left=before, op=op, right=value), statement)
    return None


def _assign(found: Inside, target: ast.expr, place: Place) -> None:
    if isinstance(target, ast.Name):
        found[target.id] = Place(place.value, target.lineno, place.inside, place.call)
        return
    for name in _bound(target):  # unpacked, or a part of what was assigned before
        _lose(found, name, "it is assigned together with others, or in part", target.lineno)


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement could give another value."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store | ast.Del):
            yield inner.id
        elif isinstance(inner, ast.alias):
            yield inner.asname or inner.name.partition(".")[0]
        elif isinstance(inner, ast.Attribute | ast.Subscript) and isinstance(inner.ctx, ast.Store | ast.Del):
            yield from _base(inner)
        elif isinstance(inner, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and inner.name is not None:
            yield inner.name
        elif isinstance(inner, ast.MatchMapping) and inner.rest is not None:
            yield inner.rest
        elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inner.name


def _base(node: ast.AST) -> Iterator[str]:
    """Yield the name whose attribute or item an expression is."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _globals(function: ast.AST) -> Iterator[str]:
    """Yield the names that a function declares to be those of the module."""
    for inner in ast.walk(function):
        if isinstance(inner, ast.Global):
            yield from inner.names


_CHANGING = frozenset(
    {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"}
)
"""The methods that change a list or a mapping; configs have those of the same names."""


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Yield the names whose content a call in a statement changes: ``a.update(…)``, ``setattr(a, …)``."""
    for inner in ast.walk(statement):
        match inner:
            case ast.Call(func=ast.Attribute(attr=method, value=owner)) if method in _CHANGING:
                yield from _base(owner)
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[owner, *_]):
                yield from _base(owner)
