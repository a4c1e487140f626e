"""Read single values, and the lines on which they stand, from Python configs and shell scripts, without running them.

Of Python, what is assigned at the top: literals, ``+ - * / // **`` on numbers, names assigned before, and keywords of
a call as if they were keys (``config = Train(steps=1000)`` has ``config.steps``); and every call wherever it stands,
for who knows what it calls. Of a shell script, assignments and flags, ``NAME=value``, ``--name value`` and
``--name=value``, with ``$NAME``, ``${NAME:-default}`` and ``$((2 * NAME))`` of the same file, and the words of each
command with its arrays put in. Whatever a run would have to compute is
:class:`~scaleplan.documents.key_path.Undetermined`.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections import ChainMap
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from scaleplan.documents.key_path import Found, Undetermined
from scaleplan.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scaleplan.documents.key_path import Key

__all__ = ["Call", "Command", "PythonDocument", "ShellDocument"]

_MOST_CHARACTERS = 200_000  # of a config; a tenth of a second to parse

_LONGEST_WHOLE = 19  # digits of a shell's whole number, which has 64 bits

_DEEPEST = 8  # arrays inside of arrays

_LONGEST = 10_000  # characters of a variable, which may hold all flags of a launch

_LARGEST = 1e300  # of a number that arithmetic may give: no amount comes near


class _Place:
    """A value, or the values by key of a mapping, a list or a call, and the line; ``call`` is what was called."""

    __slots__ = ("call", "inside", "line", "value")

    def __init__(self, value: object, line: int, inside: _Inside | None = None, call: str = "") -> None:
        self.value = value
        self.line = line
        self.inside = inside
        self.call = call


class Call(NamedTuple):
    """A call in a Python text: the dotted name of what is called, its line, and the function that it stands in.

    ``place`` leads to its arguments: keywords by name, the others by position.
    """

    name: str
    line: int
    function: str
    place: _Place

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path among the arguments, None without one; ``0`` is the first without name."""
        return _found(_follow(self.place, tuple(_position_of(part) for part in key)))

    def called(self, key: Key) -> str:
        """Return what is called at a key path, an empty text for another value."""
        place = _follow(self.place, key)
        return "" if place is None else place.call

    def names(self, key: Key) -> list[str]:
        """Return the keywords of the call, or the keys at a key path."""
        return _keys(_follow(self.place, key))


class _Inside(dict[str | int, _Place]):
    """What is in a mapping, a list or a call; several names may share it.

    Where something may have changed it, ``lost`` stands in place of every value.
    """

    lost: _Place | None = None


def _limit(text: str, name: str) -> None:
    if len(text) > _MOST_CHARACTERS:
        raise FileError(f"{name}: larger than {_MOST_CHARACTERS:,} characters", file=name)


def _undetermined(reason: str, line: int) -> _Place:
    return _Place(Undetermined(reason), line)


class PythonDocument:
    """A Python text; ``name`` is its file as shown to the user. Raises FileError when it is not Python."""

    def __init__(self, text: str, *, name: str) -> None:
        self.name = name
        _limit(text, name)
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
        return _found(_follow(_Place(None, 1, self._top), key))

    def names(self, key: Key) -> list[str]:
        """Return the names that are assigned at the top, or the keys at a key path, for hints."""
        return _keys(_follow(_Place(None, 1, self._top), key))


def _follow(place: _Place | None, key: Key) -> _Place | None:
    """Return what is at a key path inside of a place."""
    for part in key:
        if place is None:
            break
        inside = place.inside
        place = None if inside is None else inside.lost or inside.get(part)
    return place


def _found(place: _Place | None) -> Found | None:
    if place is None:
        return None
    whole = place.inside is None or isinstance(place.value, Undetermined)
    return Found(value=place.value if whole else {}, line=place.line)


def _position_of(part: str | int) -> str | int:
    return int(part) if isinstance(part, str) and part.isdecimal() else part


def _keys(place: _Place | None) -> list[str]:
    return [str(name) for name in place.inside] if place is not None and place.inside is not None else []


_MOST_CALLS = 5000  # of a config: large ones have a hundred


class _Calls:
    """Collects the calls of a text with what their arguments are where they stand."""

    def __init__(self) -> None:
        self.found: list[Call] = []
        self._later: list[tuple[list[ast.stmt], ChainMap[str | int, _Place], str]] = []

    def statement(self, statement: ast.stmt, known: ChainMap[str | int, _Place], function: str) -> None:
        """Take the calls of one statement, those inside of another call first."""
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = statement.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            named += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
            lost = _undetermined("the caller of a function gives it", statement.lineno)
            self._later.append((statement.body, known.new_child({each.arg: lost for each in named}), statement.name))
            return
        if isinstance(statement, ast.ClassDef):
            return  # its body is a scope of its own
        value = getattr(statement, "value", None) if isinstance(statement, _SIMPLE) else statement
        if not isinstance(value, ast.AST):
            return
        nodes = [node for node in ast.walk(value) if isinstance(node, ast.Call)]
        if nodes:
            lost = _undetermined("it is assigned where a run decides", statement.lineno)
            own = {node.arg if isinstance(node, ast.arg) else node.id for node in ast.walk(value) if _binds(node)}
            inner = known.new_child(dict.fromkeys(own, lost)) if own else known
            for node in sorted(nodes, key=_position)[: _MOST_CALLS - len(self.found)]:
                if name := _dotted(node.func):
                    self.found.append(Call(name, node.lineno, function, _evaluate(node, inner)))

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


def _dotted(node: ast.expr) -> str:
    """Return the dotted name of what is called, an empty text for what has none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((node.id, *reversed(parts)))


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
    outer: ChainMap[str | int, _Place] | None = None,
    calls: _Calls | None = None,
    function: str = "",
) -> _Inside:
    """Return what the statements of a module, class or function assign, the last assignment of each name."""
    found, replaced = _Inside(), _Inside()
    known = ChainMap(found, replaced, *(outer.maps if outer is not None else ()))
    for statement in _flattened(body):
        assigned = _assigned(statement)
        if calls is not None:
            calls.statement(statement, known, function)
        if isinstance(statement, ast.ClassDef):
            found[statement.name] = _Place(None, statement.lineno, _scope(statement.body, known, calls, function))
        elif _replaces_all(statement):
            lost = _undetermined("what is imported or executed here may replace it", statement.lineno)
            replaced.update(dict.fromkeys(found, lost))
            found.clear()
        elif assigned is not None:
            targets, value = assigned
            place = _evaluate(value, known)
            for target in targets:
                _assign(found, target, place)
        for name, reason in _doubtful(statement):
            _lose(found, name, reason, statement.lineno)
    return _Inside({**replaced, **found})


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


def _lose(found: _Inside, name: str, reason: str, line: int) -> None:
    """Forget what a name stands for, and what is inside, which other names may share."""
    lost = _undetermined(reason, line)
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


def _assign(found: _Inside, target: ast.expr, place: _Place) -> None:
    if isinstance(target, ast.Name):
        found[target.id] = _Place(place.value, target.lineno, place.inside, place.call)
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


_OPERATORS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
}


def _evaluate(node: ast.expr, known: Mapping[str | int, _Place]) -> _Place:
    line = node.lineno
    match node:
        case ast.Constant(value=value):
            return _Place(value, line)
        case ast.Name(id=name):
            place = known.get(name)
            return place or _undetermined("it is made of a name that this file does not assign before", line)
        case ast.Attribute(value=owner, attr=name) if _dotted(owner):
            found = _follow(_evaluate(owner, known), (name,))
            if found is not None:
                return found
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _combined(_evaluate(left, known).value, op, _evaluate(right, known).value, line)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _combined(0, ast.Sub(), _evaluate(operand, known).value, line)
        case ast.Call(func=ast.Name(id="int" | "float" as kind), args=[argument], keywords=[]):
            number = _evaluate(argument, known).value
            if _is_number(number):
                return _Place(int(number) if kind == "int" else float(number), line)
    inside = _inside(node, known)
    called = _dotted(node.func) if isinstance(node, ast.Call) else ""
    if inside or called:
        named = any(isinstance(name, str) for name in inside) or (inside and not called)
        reason = Undetermined("it is computed when the run starts")
        return _Place(None if named else reason, line, inside or None, called)
    return _undetermined("it is computed when the run starts", line)


def _inside(node: ast.expr, known: Mapping[str | int, _Place]) -> _Inside:
    """Return the values in a list, a mapping or the keywords of a call; none of anything else.

    What is unpacked into a mapping may replace the keys before it.
    """
    match node:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return _Inside(enumerate(_evaluate(item, known) for item in items))
        case ast.Dict(keys=keys, values=values):
            after = max((place for place, key in enumerate(keys) if not isinstance(key, ast.Constant)), default=-1)
            known_keys = list(zip(keys, values, strict=True))[after + 1 :]
            named = [(key.value, value) for key, value in known_keys if isinstance(key, ast.Constant)]
        case ast.Call(args=arguments, keywords=keywords):
            found = _Inside()
            for position, each in enumerate(arguments):
                if isinstance(each, ast.Starred):
                    break
                found[position] = _at(_evaluate(each, known), each.lineno)
            if any(each.arg is None for each in keywords):  # unpacked: it may hold any keyword that is not named
                pass
            named = [(each.arg, each.value) for each in keywords]
            found.update(
                (name, _at(_evaluate(value, known), value.lineno)) for name, value in named if isinstance(name, str)
            )
            return found
        case _:
            return _Inside()
    return _Inside(
        (name, _at(_evaluate(value, known), value.lineno)) for name, value in named if isinstance(name, str)
    )


def _at(place: _Place, line: int) -> _Place:
    return _Place(place.value, line, place.inside, place.call)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _combined(left: object, op: ast.operator, right: object, line: int) -> _Place:
    """Return the result of an operation on two numbers, of which neither the work nor the size can run away."""
    for value in (left, right):
        if isinstance(value, Undetermined):
            return _Place(value, line)
    if _is_number(left) and _is_number(right):
        try:
            size = float(left) ** float(right) if isinstance(op, ast.Pow) else 0.0
            if not isinstance(size, complex) and abs(size) <= _LARGEST:
                number = _OPERATORS[type(op)](left, right)
                if _is_number(number) and math.isfinite(number):
                    return _Place(number, line)
        except ArithmeticError:
            pass
    return _undetermined("it is computed when the run starts", line)


_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*|\d)(?::?[-=](?P<default>[^{}$`]*))?\}|\{=(?P<sum>[^{}]*)\})"
)
"""A variable, one with a default, and what stands for ``$((…))`` (see :data:`_SUM`)."""

_WHOLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:\[[@*]\])?\})")
"""A word that is one variable or array, all of whose words take its place."""

_SUM = re.compile(r"\$\(\((?P<sum>[\w\s+*/%${}()-]{1,200}?)\)\)")
"""Arithmetic that is put in; it becomes a word of one piece before the marks of the shell are looked for."""

_HIDDEN = str.maketrans("()", "\ue000\ue001", " \t\n${}")
"""The brackets inside of such a piece, which are no marks of the shell there."""

_SHOWN = str.maketrans("\ue000\ue001", "()")

_MOST_WORDS = 5_000  # of one command, with its arrays put in

_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_][\w.]*)(?P<item>\[[^\]]*\])?\+?=(?P<value>.*)", re.DOTALL)

_BLOCKS = {"if": 1, "for": 1, "while": 1, "until": 1, "case": 1, "fi": -1, "done": -1, "esac": -1}
"""The keywords that open and close what runs only where the script decides."""

_LATER = Undetermined("it is computed when the script runs, or comes from the environment")

_SOMETIMES = Undetermined("it is given only where the script decides, or set twice")

_SETTING = frozenset({"read", "readarray", "mapfile", "getopts", "unset", "for", "select", "printf"})
"""Commands and keywords that give the variables named after them a value, or take it."""

_ARITHMETIC = re.compile(
    r"(?<!\w)(?P<name>[A-Za-z_]\w*+)(?:\[[^\[\]]*+\])?(?:\+\+|--|(?:[-+*/%&|^]|<<|>>)?=(?!=))"
    r"|(?:\+\+|--)(?P<after>[A-Za-z_]\w*+)"
)
"""An assignment in ``(( ))``."""

_FRONT = re.compile(r"(?:--)?[A-Za-z_][\w.-]*=")
"""The name of a flag, or of a setting, whose value stands in the same word."""

_FLAG = re.compile(r"--(?P<name>[A-Za-z][\w.-]*)(?:=(?P<value>.*))?", re.DOTALL)


_MARKS = "();&|<>"

_BEFORE = frozenset({*_MARKS, "then", "do", "else"})
"""The words after which a command begins."""

_GAP = re.compile(r"(?:\s|\\\n|#[^\n]*)+")

_WORD = re.compile(r"(?:[^\s'\"\\();&|<>]|\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\")+", re.DOTALL)

_QUOTED = re.compile(r"\\(?P<one>.)|'(?P<single>[^']*)'|\"(?P<double>(?:[^\"\\]|\\.)*)\"", re.DOTALL)


def _unquoted(match: re.Match[str]) -> str:
    """Return what a quoted part of a word stands for."""
    if match["double"] is not None:
        return re.sub(r"\\([\"\\$`\n])", lambda inner: inner[1].strip("\n"), match["double"])
    return match["single"] if match["single"] is not None else match["one"].strip("\n")


_SHORT = {"-N": "--nodes", "-G": "--gpus"}

_OF_SLURM = {
    "nodes": ("SLURM_NNODES", "SLURM_JOB_NUM_NODES"),
    "gpus_per_node": ("SLURM_GPUS_PER_NODE",),
    "ntasks_per_node": ("SLURM_NTASKS_PER_NODE",),
}
"""The variables that Slurm sets from a directive (``man sbatch``, output environment variables)."""

_DIRECTIVE = re.compile(r"^#SBATCH[ \t]+(?P<words>[^\n#]*)", re.MULTILINE)


def _directives(text: str) -> Iterator[tuple[object, int]]:
    """Yield the words for Slurm in the comments of a script, each with its line."""
    for match in _DIRECTIVE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for word in match["words"].split()[:20]:
            flag = _SHORT.get(word[:2])
            yield from ((part, line) for part in ((flag, word[2:]) if flag is not None else (word,)) if part)


class _Unsure(str):
    """A word that a command has only where the script decides."""

    __slots__ = ()


class _Unknown(str):
    """The front of a word, ``--name=`` or ``NAME=``, whose value is not known before the script runs."""

    __slots__ = ()


class _From(str):
    """A word into which a variable was put, and where that was set."""

    __slots__ = ("origin",)

    origin: tuple[Key, int | None]


class Command:
    """One command of a shell script with its words in order, arrays and texts of flags put in.

    A key is the name of a flag, without dashes at its front and with underscores for others, or of a word
    ``NAME=value``; its further values have an index. ``name`` is the file of the script.
    """

    def __init__(self, words: list[tuple[object, int]], *, name: str) -> None:
        self.name = name
        self.line = words[0][1] if words else None
        self.words = [word for word, _ in words if isinstance(word, str)]
        self._places: dict[str, list[_Place]] = {}
        values: list[_Place] | None = None  # of the flag that further words belong to
        for word, line in words:
            flag = _FLAG.fullmatch(word) if isinstance(word, str) else None
            given = _ASSIGNMENT.fullmatch(word) if isinstance(word, str) else None
            if isinstance(word, _Unknown):
                self._places[word.strip("-=").replace("-", "_")] = [_Place(_LATER, line)]
                values = None
            elif flag is not None:
                stated, unsure = flag["value"] is not None, isinstance(word, _Unsure)
                value = _like(flag["value"], word) if stated else True
                places = [_Place(_SOMETIMES if unsure else value, line)]
                self._places[flag["name"].replace("-", "_")] = places
                values = None if stated or unsure else places
            elif given is not None:
                self._places[given["name"]] = [_Place(_like(given["value"], word), line)]
                values = None
            elif values is not None:
                if values[0].value is True:
                    values.clear()
                    found = word._replace(given=True) if isinstance(word, Undetermined) else word
                    values.append(_Place(found, line))
                else:
                    values.append(_Place(word, line))

    def find(self, key: Key) -> Found | None:
        """Return the value of a flag, or its value at an index, and the line; True for a flag without one."""
        index = key[-1] if key and isinstance(key[-1], int) else 0
        name = ".".join(str(part) for part in key if not isinstance(part, int))
        places = self._places.get(name) or self._places.get(name.lstrip("-").replace("-", "_")) or []
        if index >= len(places):
            return None
        value = places[index].value
        origin = value.origin if isinstance(value, _From) else None
        return Found(value=str(value) if isinstance(value, str) else value, line=places[index].line, origin=origin)

    def names(self, key: Key) -> list[str]:
        """Return the names of the flags and words, for hints."""
        return [] if key else list(self._places)


def _like(text: str, word: object) -> str:
    """Return a part of a word, with where its variable was set."""
    if not isinstance(word, _From):
        return text
    part = _From(text)
    part.origin = word.origin
    return part


class ShellDocument:
    """A shell script; ``name`` is its file as shown to the user. Raises FileError when its quotes do not close.

    A key is the name of a variable, or of a flag with its dashes or without; ``commands`` are the commands apart, and
    ``directives`` the flags for the scheduler in its comments.
    """

    def __init__(self, text: str, *, name: str) -> None:
        self.name = name
        _limit(text, name)
        self.directives = Command(list(_directives(text)), name=name)
        self._found: dict[str, _Place] = dict(self._scheduled())
        self._arrays: dict[str, list[tuple[str, int]]] = {}
        self._starts: set[int] = set()  # the words that begin a line
        words = list(self._words(_SUM.sub(lambda m: "${=" + m["sum"].translate(_HIDDEN) + "}", text)))
        self._read(words)
        self.commands = tuple(self._commands(words))

    def _scheduled(self) -> Iterator[tuple[str, _Place]]:
        """Yield the variables that Slurm sets from the directives of the script."""
        for flag, names in _OF_SLURM.items():
            found = self.directives.find((flag,))
            if found is not None and isinstance(found.value, str) and found.value.isdecimal():
                yield from ((name, _Place(found.value, found.line or 1)) for name in names)

    def _words(self, text: str) -> Iterator[tuple[str, int]]:
        """Yield the words and marks of a script, each with its line; not those of a command that is put in."""
        place, line, depth, before, count = 0, 1, 0, "", 0
        while place < len(text):
            gap = _GAP.match(text, place)
            if gap is not None:
                place, line, before = gap.end(), line + gap[0].count("\n"), ""
                if "\n" in gap[0].replace("\\\n", ""):
                    self._starts.add(count)
                continue
            match = _WORD.match(text, place)
            if match is None and text[place] not in _MARKS:
                message = f"{self.name}: not a shell script that can be read: a quote does not close at line {line}"
                raise FileError(message, file=self.name, line=line)
            word = text[place] if match is None else match[0]
            if depth or (word == "(" and before.endswith("$")):
                depth += {"(": 1, ")": -1}.get(word, 0)
            else:
                yield _QUOTED.sub(_unquoted, word), line
                count += 1
            place, line, before = place + len(word), line + word.count("\n"), word

    def _read(self, words: list[tuple[str, int]]) -> None:
        self._changed(words)
        for position, (word, line) in enumerate(words):
            following = words[position + 1][0] if position + 1 < len(words) else ""
            if assignment := _ASSIGNMENT.fullmatch(word):
                value = assignment["value"]
                if assignment["item"] is not None:
                    self._set(assignment["name"], Undetermined("it is an array"), line)
                    continue
                if not value and following == "(":
                    continue  # an array: its words follow, and are read as they are
                self._set(assignment["name"], self._expanded(value), line)
                if " --" in f" {value}":  # a text of flags
                    parts = value.split()
                    for part, after in zip(parts, [*parts[1:], ""], strict=True):
                        self._flag(part, after, line)
            else:
                self._flag(word, following, line)

    def _commands(self, words: list[tuple[str, int]]) -> Iterator[Command]:
        """Yield the commands of the script; the words of an array belong to what it is put into."""
        inside = self._read_arrays(words)
        command: list[tuple[object, int]] = []
        for position, (word, line) in enumerate(words):
            if position in inside:
                continue
            if command and (position in self._starts or word in _MARKS):
                yield Command(command, name=self.name)
                command = []
            if position and words[position - 1][0] == "-c" and " " in word.strip():  # of bash: a command in one word
                for part in word.split():
                    command += self._put_in(part, line, _DEEPEST) if not set(part) <= set(_MARKS) else []
                del command[_MOST_WORDS:]
            elif word not in _MARKS and (command or _ASSIGNMENT.fullmatch(word) is None):
                command += self._put_in(word, line, _DEEPEST)
                del command[_MOST_WORDS:]
        if command:
            yield Command(command, name=self.name)

    def _read_arrays(self, words: list[tuple[str, int]]) -> set[int]:
        """Take the words of each array, ``NAME=( … )``, and text of flags; return where those of arrays stand."""
        inside: set[int] = set()
        array: list[tuple[str, int]] | None = None
        depth = 0
        for position, (word, line) in enumerate(words):
            if array is not None:
                inside.add(position)
                if word == ")":
                    array = None
                else:
                    array.append((_Unsure(word) if depth else word, line))
                continue
            before = words[position - 1][0] if position else ""
            if position in self._starts or before in _BEFORE or not position:
                depth = max(0, depth + _BLOCKS.get(word, 0))
            opened = _ASSIGNMENT.fullmatch(before) if word == "(" else None
            if opened is not None and not opened["value"] and opened["item"] is None:
                array = self._begun(opened["name"], added=before.endswith("+="))
                inside |= {position - 1, position}
            elif (given := _ASSIGNMENT.fullmatch(word)) is not None and given["item"] is None:
                self._read_text(given, line, added=word[len(given["name"]) :].startswith("+="), unsure=depth > 0)
        return inside

    def _begun(self, name: str, *, added: bool) -> list[tuple[str, int]]:
        """Return the words of an array to add to; one that is set again is not known: a command may stand between."""
        if not added and name in self._arrays:
            self._arrays[name] = [(_Unsure(word), line) for word, line in self._arrays[name]]
        return self._arrays.setdefault(name, [])

    def _read_text(self, given: re.Match[str], line: int, *, added: bool, unsure: bool) -> None:
        """Take the words of a variable that is a text of flags, or adds some to itself."""
        parts, name = given["value"].split(), given["name"]
        if parts and parts[0] in (f"${name}", f"${{{name}}}"):
            parts, added = parts[1:], True
        if not any(part.startswith("--") for part in parts):
            return
        array = self._begun(name, added=added)
        array += [(_Unsure(part) if unsure else part, line) for part in parts]

    def _put_in(self, word: str, line: int, depth: int) -> list[tuple[object, int]]:
        """Return the words that take the place of one: of an array, or of a variable that holds several."""
        whole = _WHOLE.fullmatch(word)
        name = (whole["plain"] or whole["name"]) if whole is not None else None
        if name is not None and depth and name in self._arrays:
            found: list[tuple[object, int]] = []
            for inner, at in self._arrays[name]:
                words = self._put_in(inner, at, depth - 1)
                unsure = isinstance(inner, _Unsure)
                found += [
                    (_Unsure(each), at) if unsure and isinstance(each, str) else (each, at) for each, at in words
                ]
                if len(found) > _MOST_WORDS:
                    break
            return found
        value = self._expanded(word)
        if name is not None and isinstance(value, str) and " " in value.strip():
            at = self._found[name].line if name in self._found else line
            return [(part, at) for part in value.split()]
        match = _VARIABLE.search(word)
        place = self._found.get(match["plain"] or match["name"] or "") if match is not None else None
        if isinstance(value, str) and match is not None and place is not None:
            put = _From(value)
            put.origin = ((match["plain"] or match["name"],), place.line)
            return [(put, line)]
        front = _FRONT.match(word)
        return [(_Unknown(front[0]) if value is _LATER and front is not None else value, line)]

    def _changed(self, words: list[tuple[str, int]]) -> None:
        """Find the variables that a command sets while the script runs: ``read N``, ``for N in``, ``((N *= 2))``."""
        lost = Undetermined("a command of the script sets it")
        command, arithmetic = 0, ""  # the line of a command that sets the names after it; what stands in (( ))
        for position, (word, line) in enumerate(words):
            if arithmetic:
                arithmetic += word
                if word == ")":
                    for match in _ARITHMETIC.finditer(arithmetic):
                        self._set(match["name"] or match["after"], lost, line)
                    arithmetic = ""
            elif word == "(" and position and words[position - 1][0] == "(":
                arithmetic = word
            elif word in _SETTING:
                command = line
            elif word in _MARKS or word == "in":
                command = 0
            elif command == line and word.isidentifier() and word.isascii():
                self._set(word, lost, line)

    def _flag(self, word: str, following: str, line: int) -> None:
        """Read a word that may be a flag, with its value or with the word that follows it."""
        flag = _FLAG.fullmatch(word)
        if flag is None:
            return
        value: object = True  # a switch, where no value follows
        if flag["value"] is not None:
            value = self._expanded(flag["value"])
        elif following and not following.startswith("--") and not set(following) <= set(_MARKS):
            value = self._expanded(following)
        self._set(flag["name"].replace("-", "_"), value, line)

    def _expanded(self, text: str) -> object:
        """Return a word with the variables of this file put in."""

        def value_of(match: re.Match[str]) -> str:
            if match["sum"] is not None:
                return self._sum(match["sum"].translate(_SHOWN))
            place = self._found.get(match["plain"] or match["name"])
            value = match["default"] if place is None else place.value
            return value if isinstance(value, str) else "$"

        expanded = _VARIABLE.sub(value_of, text)
        if "$" in expanded or "`" in expanded or len(expanded) > _LONGEST:
            return _LATER
        return expanded

    def _sum(self, text: str) -> str:
        """Return the result of shell arithmetic on whole numbers, ``$`` where it is not known."""
        try:
            node = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return "$"
        known: dict[str | int, _Place] = {}
        for each in ast.walk(node):
            if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Div):
                each.op = ast.FloorDiv()
            if isinstance(each, ast.Name) and each.id in self._found:
                value = self._found[each.id].value
                if isinstance(value, str) and value.isdecimal() and len(value) < _LONGEST_WHOLE:
                    known[each.id] = _Place(int(value), 0)
        found = _evaluate(node, known).value
        return str(found) if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else "$"

    def _set(self, name: str, value: object, line: int) -> None:
        before = self._found.get(name)
        if before is not None and before.value != value:
            value = Undetermined("it is set twice, to different values")
        self._found[name] = _Place(value, line)

    def find(self, key: Key) -> Found | None:
        """Return the value of a variable or flag and its line, None when there is none of that name."""
        name = ".".join(map(str, key))
        place = self._found.get(name) or self._found.get(name.lstrip("-").replace("-", "_"))
        return None if place is None else Found(value=place.value, line=place.line)

    def names(self, key: Key) -> list[str]:
        """Return the names of variables and flags, for hints."""
        return [] if key else list(self._found)
