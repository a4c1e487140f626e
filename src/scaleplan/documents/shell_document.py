"""Read single values and commands, and the lines on which they stand, from a shell script, without running it.

Assignments and flags, ``NAME=value``, ``--name value`` and ``--name=value``, with ``$NAME``, ``${NAME:-default}`` and
``$((2 * NAME))`` of the same file, and the words of each command with its arrays put in. Whatever a run would have to
compute is :class:`~scaleplan.documents.key_path.Undetermined`.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from scaleplan.documents.key_path import Found, Undetermined
from scaleplan.documents.script_values import Place, evaluate, require_size
from scaleplan.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.documents.key_path import Key

__all__ = ["Command", "ShellDocument"]

_LONGEST_WHOLE = 19  # digits of a shell's whole number, which has 64 bits

_DEEPEST = 8  # arrays inside of arrays

_LONGEST = 10_000  # characters of a variable, which may hold all flags of a launch

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
        self._places: dict[str, list[Place]] = {}
        values: list[Place] | None = None  # of the flag that further words belong to
        for word, line in words:
            flag = _FLAG.fullmatch(word) if isinstance(word, str) else None
            given = _ASSIGNMENT.fullmatch(word) if isinstance(word, str) else None
            if isinstance(word, _Unknown):
                self._places[word.strip("-=").replace("-", "_")] = [Place(_LATER, line)]
                values = None
            elif flag is not None:
                stated, unsure = flag["value"] is not None, isinstance(word, _Unsure)
                value = _like(flag["value"], word) if stated else True
                places = [Place(_SOMETIMES if unsure else value, line)]
                self._places[flag["name"].replace("-", "_")] = places
                values = None if stated or unsure else places
            elif given is not None:
                self._places[given["name"]] = [Place(_like(given["value"], word), line)]
                values = None
            elif values is not None:
                if values[0].value is True:
                    values.clear()
                    found = word._replace(given=True) if isinstance(word, Undetermined) else word
                    values.append(Place(found, line))
                else:
                    values.append(Place(word, line))

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
        require_size(text, name)
        self.directives = Command(list(_directives(text)), name=name)
        self._found: dict[str, Place] = dict(self._scheduled())
        self._arrays: dict[str, list[tuple[str, int]]] = {}
        self._starts: set[int] = set()  # the words that begin a line
        words = list(self._words(_SUM.sub(lambda m: "${=" + m["sum"].translate(_HIDDEN) + "}", text)))
        self._read(words)
        self.commands = tuple(self._commands(words))

    def _scheduled(self) -> Iterator[tuple[str, Place]]:
        """Yield the variables that Slurm sets from the directives of the script."""
        for flag, names in _OF_SLURM.items():
            found = self.directives.find((flag,))
            if found is not None and isinstance(found.value, str) and found.value.isdecimal():
                yield from ((name, Place(found.value, found.line or 1)) for name in names)

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
        known: dict[str | int, Place] = {}
        for each in ast.walk(node):
            if isinstance(each, ast.BinOp) and isinstance(each.op, ast.Div):
                each.op = ast.FloorDiv()
            if isinstance(each, ast.Name) and each.id in self._found:
                value = self._found[each.id].value
                if isinstance(value, str) and value.isdecimal() and len(value) < _LONGEST_WHOLE:
                    known[each.id] = Place(int(value), 0)
        found = evaluate(node, known).value
        return str(found) if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else "$"

    def _set(self, name: str, value: object, line: int) -> None:
        before = self._found.get(name)
        if before is not None and before.value != value:
            value = Undetermined("it is set twice, to different values")
        self._found[name] = Place(value, line)

    def find(self, key: Key) -> Found | None:
        """Return the value of a variable or flag and its line, None when there is none of that name."""
        name = ".".join(map(str, key))
        place = self._found.get(name) or self._found.get(name.lstrip("-").replace("-", "_"))
        return None if place is None else Found(value=place.value, line=place.line)

    def names(self, key: Key) -> list[str]:
        """Return the names of variables and flags, for hints."""
        return [] if key else list(self._found)
