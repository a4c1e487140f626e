"""Logs that trainers print as lines: what the readers of all of them share.

A reader is a subclass of :class:`PrintedLog` with its kinds of lines. A kind says how a line begins and which values
may follow; the words between them differ from version to version, so that the expression that reads a line at full
speed is made from the lines of the log itself.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from scaleplan.logs.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scaleplan.arrays import Array, Index, Mask
    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.run_log import Ended

__all__ = ["Entries", "LineKind", "PrintedLog", "Value", "amount", "clock", "joined", "numbers", "roundest", "whole"]

_MOST_LAYOUTS = 4
"""Layouts of one kind of line that are read at full speed; more at once are seldom in one log."""

_SAMPLE = 256
"""Lines of a piece of a log that its layouts are made from."""

_UNKNOWN_SHARE = 0.05
"""Share of lines of unknown layout from which on it pays to make a new expression."""

_TAIL = 1 << 16
"""Bytes after the last entry that are searched for the end of the run: the tracebacks of some processes."""

_BEFORE = 1 << 22
"""Bytes before the first entry that are searched for settings."""

_CRASHED = re.compile(
    rb"Traceback \(most recent call last\)|OutOfMemoryError|out of memory|Segmentation fault|core dumped"
    rb"|ChildFailedError|NCCL (?:error|WARN|watchdog)|Watchdog caught collective|Bus error|SIGABRT|Signal \d+ \(SIG"
    rb"|srun: error|RuntimeError:|AssertionError|oom[-_]kill|ERROR: .*exit code",
)
_STOPPED = re.compile(
    rb"DUE TO TIME LIMIT|CANCELLED AT|DUE TO PREEMPTION|KeyboardInterrupt|SIGINT|SIGTERM|exiting program at iteration"
)
"""What ends a job from outside, or on purpose: the run neither finished nor crashed."""

_PROCESS = re.compile(rb"[ \t]*(\[?(?:rank|default)?[ ]?\d+\]?):")
"""The number of a process, which launchers put before its lines: ``[rank0]:``, ``[default7]:``, ``0:``."""

_UNITS = {b"K": 1e3, b"M": 1e6, b"B": 1e9, b"G": 1e9, b"T": 1e12}
_VARIABLE = re.compile(rb"\d|nan|inf", re.IGNORECASE)


class Value(NamedTuple):
    """A value of a line: its name among :data:`QUANTITIES` or a name of the reader's, and its pattern, of one group.

    A space behind a colon stands for any number of them. ``spare`` is read only where the line has no loss.
    """

    name: str
    pattern: bytes
    scale: float = 1.0
    spare: bool = False


class Entries(NamedTuple):
    """The entries of a piece of a log in their order: where each begins, its step and its values (NaN: none)."""

    places: Array
    steps: Array
    columns: dict[str, Array]
    lost: Mask

    def take(self, rows: Index | Mask | slice) -> Entries:
        """Return some of the entries."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Entries(self.places[rows], self.steps[rows], columns, self.lost[rows])


def whole(text: bytes) -> int:
    """Return a whole number, with or without separators of thousands."""
    return int(text.replace(b",", b"").replace(b"_", b""))


def numbers(texts: Sequence[bytes]) -> Array:
    """Return numbers as trainers print them: ``2,046``, ``1.13K``, ``nan``; NaN for what is none."""
    if 4 * len(set(texts[:_SAMPLE])) < len(texts[:_SAMPLE]) and 4 * len(different := set(texts)) < len(texts):
        table = {text: _number(text) for text in different}  # a setting on every line
        return np.array([table[text] for text in texts])
    try:
        return np.array(list(map(float, texts)))
    except ValueError:
        pass
    try:
        return np.array(list(map(float, b"\n".join(texts).replace(b",", b"").split(b"\n"))))
    except ValueError:
        return np.array([_number(text) for text in texts])


def amount(text: bytes) -> float | None:
    """Return one such number; None for what is none."""
    value = _number(text)
    return value if np.isfinite(value) else None


def _is_number(text: bytes) -> bool:
    return text.lower() in (b"nan", b"inf", b"-nan", b"-inf") or np.isfinite(_number(text)).item()


def _number(text: bytes | None) -> float:
    if not text:
        return float("nan")
    scale = _UNITS.get(text[-1:], 1.0)
    try:
        return float((text[:-1] if scale != 1.0 else text).replace(b",", b"")) * scale
    except ValueError:
        return float("nan")


def roundest(low: float, high: float) -> float | None:
    """Return the whole number between two that the highest power of two divides; None without one.

    Tokens a step are sequences times their length: of the numbers that a rounded count allows, the likeliest.
    """
    for power in range(62, -1, -1):
        if (least := -(-low // (1 << power)) * (1 << power)) <= high and least > 0:
            return float(least)
    return None


class LineKind:
    """A kind of line: how it begins (a group for the step, another for the last step), and its values.

    ``needs`` are the names of which a line has one: others that begin alike are none of its kind, or damaged where no
    other line begins so (``alone``). ``before`` is what stands before the name of a value.
    """

    def __init__(
        self,
        start: bytes,
        *values: Value,
        needs: Sequence[str] = ("loss",),
        before: bytes = rb"(?:^|[\s|,])",
        alone: bool = False,
    ) -> None:
        self._start, self._values, self._needs = start, values, frozenset(needs)
        self._groups = re.compile(start).groups
        sources = [value.pattern.replace(b": ", b": *") for value in values]
        self._sources = [source + rb"(?=[\s|,])" for source in sources]
        self._searches = [re.compile(before + rb"[ \t]*(" + source + rb")") for source in self._sources]
        self._alone = alone
        self.damaged: list[int] = []  # where lines of the last text begin that hold too little
        self._layouts: list[tuple[bytes, tuple[int, ...]]] = []
        self._compiled: re.Pattern[bytes] | None = None

    def fresh(self) -> LineKind:
        """Return the kind without the layouts of another log."""
        line = object.__new__(LineKind)
        line.__dict__.update(self.__dict__, _layouts=[], _compiled=None)
        return line

    def first(self, text: bytes) -> re.Match[bytes] | None:
        """Return the first line of this kind that holds what it needs, and a number."""
        for found in re.finditer(self._start + rb"([^\n]*)", text):
            values = self._find(found[found.re.groups])
            if self._needs.intersection(self._names(values)) and any(map(_is_number, values.values())):
                return found
        return None

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a text of whole lines."""
        self.damaged = []
        if self._compiled is None:
            sample = re.finditer(self._start + rb"([^\n]*)", text)
            self._learn([found[found.re.groups] for found, _ in zip(sample, range(_SAMPLE), strict=False)])
        rows, others = self._scan(text)
        if len(others) > _UNKNOWN_SHARE * len(text) / 100 or len(others) > _UNKNOWN_SHARE * sum(
            map(len, rows.values())
        ):
            rests = [other[other.re.groups] for other in others]
            if self._learn(rests[:: max(1, len(rests) // _SAMPLE)]):
                rows, others = self._scan(text)
        return self._gathered(rows, others)

    def begins(self, text: bytes) -> bool:
        """Return whether a line begins as one of this kind."""
        return re.search(self._start, text) is not None

    def _scan(self, text: bytes) -> tuple[dict[str, list[re.Match[bytes]]], list[re.Match[bytes]]]:
        """Return the lines of each layout, and the others."""
        expression = self._expression()
        if not self._layouts:
            return {}, list(expression.finditer(text))
        rows: dict[str, list[re.Match[bytes]]] = {f"l{at}": [] for at in range(len(self._layouts))}
        rows["other"] = []
        for found in expression.finditer(text):
            rows[found.lastgroup or "other"].append(found)
        return rows, rows.pop("other")

    def _gathered(self, rows: dict[str, list[re.Match[bytes]]], others: list[re.Match[bytes]]) -> Entries:
        """Return the values of lines, in the order of the lines."""
        parts = []
        group = self._groups  # the groups of a layout: its values, then an empty one that marks it
        for at, (_, order) in enumerate(self._layouts):
            if found := rows[f"l{at}"]:
                columns = list(zip(*map(re.Match.groups, found), strict=True))
                named = [(self._values[index], columns[group + place]) for place, index in enumerate(order)]
                parts.append(self._part(found, columns[: self._groups], named))
            group += len(order) + 1
        for line in others:
            values = self._find(line[line.re.groups])
            if not self._needs.isdisjoint(self._names(values)):
                named = [(self._values[index], (text,)) for index, text in values.items()]
                parts.append(self._part([line], [(text,) for text in line.groups()[: self._groups]], named))
            elif self._alone:
                self.damaged.append(line.start())
        return joined(parts)

    def _part(
        self,
        lines: Sequence[re.Match[bytes]],
        heads: Sequence[Sequence[bytes | None]],
        values: Sequence[tuple[Value, Sequence[bytes]]],
    ) -> Entries:
        """Return the entries of lines of one layout."""
        steps, *total = (numbers([text or b"" for text in head]) for head in heads)
        columns = {"total": total[0]} if total else {}
        lost = np.zeros(len(lines), dtype=bool)
        for value, texts in values:
            columns[value.name] = numbers(texts) * value.scale
            if value.name in ("loss", "val_loss"):
                lost |= ~np.isfinite(columns[value.name])
        return Entries(np.array(list(map(re.Match.start, lines)), dtype=float), steps, columns, lost)

    def _names(self, values: dict[int, bytes]) -> set[str]:
        return {self._values[index].name for index in values}

    def _find(self, rest: bytes) -> dict[int, bytes]:
        """Return the values of a line by their index, one by one."""
        ended = rest + b"\n"
        return {
            at: found[found.lastindex or 0] if (found.lastindex or 0) > 1 else found[2]
            for at, search in enumerate(self._searches)
            if (found := search.search(ended))
        }

    def _learn(self, rests: Sequence[bytes]) -> bool:
        """Add the layouts of lines, the commonest first; return whether there was a new one."""
        seen: dict[tuple[bytes, tuple[int, ...]], int] = {}
        for rest in rests:
            if layout := self._layout(rest):
                seen[layout] = seen.get(layout, 0) + 1
        new = [layout for layout in sorted(seen, key=lambda each: -seen[each]) if layout not in self._layouts]
        if new:
            self._layouts = (new + self._layouts)[:_MOST_LAYOUTS]
            self._layouts.sort(key=lambda layout: -len(layout[1]))  # a line with more values must not pass for less
            self._compiled = None
        return bool(new)

    def _layout(self, rest: bytes) -> tuple[bytes, tuple[int, ...]] | None:
        """Return the expression of a line after its beginning, and the indices of the values that it captures."""
        ended = rest + b"\n"
        found = sorted(
            (match.start(1), match.end(1), at)
            for at, search in enumerate(self._searches)
            if (match := search.search(ended))
        )
        has_loss = any(self._values[at].name == "loss" for _, _, at in found)
        pattern, order, end = b"", [], 0
        for start, stop, at in found:
            if start < end or (has_loss and self._values[at].spare):
                continue
            pattern += _words(rest[end:start]) + self._sources[at]
            order.append(at)
            end = stop
        if self._needs.isdisjoint(self._values[at].name for at in order):
            return None
        # To the end of the line: what is known of this one must not hide a value that another has.
        return pattern + _words(rest[end:].rstrip()) + rb"[ \t]*(?=\n)", tuple(order)

    def _expression(self) -> re.Pattern[bytes]:
        if self._compiled is None:
            layouts = b"|".join(b"%s(?P<l%d>)" % (pattern, at) for at, (pattern, _) in enumerate(self._layouts))
            other = rb"(?P<other>[^\n]*)"
            self._compiled = re.compile(self._start + rb"(?:" + (layouts + b"|" if layouts else b"") + other + rb")")
        return self._compiled


def _words(gap: bytes) -> bytes:
    """Return the expression of the text between two values: words as they are, numbers as any word."""
    if gap.count(b"|") > 1:
        first, *between, last = gap.split(b"|")
        return _words(first) + rb"\|" + rb"[^|\n]*\|" * len(between) + _words(last)
    pattern = b""
    for word in re.findall(rb"[ \t]+|\||[^\s|]+", gap):
        if word.isspace():
            pattern += rb"[ \t]*" if b"\t" in word else b" *"
        else:
            pattern += rb"[^\s|]+" if _VARIABLE.search(word) else re.escape(word)
    return pattern


class PrintedLog:
    """A log of printed lines: subclasses name their lines, and say what they and the text between them tell.

    ``lines`` are the kinds of lines with values. ``from_start`` tells that a step that returns to the first one
    begins a run.
    """

    name: ClassVar[str]
    lines: ClassVar[tuple[LineKind, ...]] = ()
    finished: ClassVar[re.Pattern[bytes]] = re.compile(rb"(?!)")
    """What a trainer prints when a run is complete."""

    def __init__(self, file: LogFile) -> None:
        self.file = file
        self.kinds = tuple(line.fresh() for line in self.lines)
        self._process: dict[bool, bytes | None] = {}  # the one whose entries of training, or validation, count
        self._damaged: list[int] = []
        self._cut = False
        self._late = 0  # lines that lie back to the first step, alone
        self._total = float("nan")
        self._spacing = float("nan")

    @classmethod
    def recognise(cls, file: LogFile) -> bool:
        """Return whether a file has an entry of this format in its opening."""
        return any(line.first(file.opening) is not None for line in cls.lines)

    @classmethod
    def read(cls, file: LogFile) -> Iterator[Recorder]:
        """Yield the runs of a file, each when it is complete."""
        return cls(file).runs()

    def entries(self, text: bytes) -> Entries:
        """Return the entries of a piece of the log."""
        found = [kind.entries(text) for kind in self.kinds]
        return found[0] if len(found) == 1 else joined(found)

    def begins(self, text: bytes) -> bool:
        """Return whether the beginning of a line is that of an entry."""
        return any(kind.begins(text) for kind in self.kinds)

    def settings(self, text: bytes, run: Recorder) -> None:
        """Record what the text before the first entry of a run states."""

    def record(self, entries: Entries, run: Recorder) -> Entries:
        """Turn values of the reader's own names into quantities and statements."""
        return entries

    def finish(self, run: Recorder) -> None:
        """Record what is known at the end of a run."""

    def ending(self, text: bytes) -> Ended | None:
        """Return what the text after the last entry of a run says of its end."""
        if self.finished.search(text):
            return "finished"
        if _STOPPED.search(text):
            return "stopped"
        return "crashed" if _CRASHED.search(text) else None

    def runs(self) -> Iterator[Recorder]:
        """Yield the runs of the file."""
        run: Recorder | None = None
        count, line, first, last = 0, 1, float("inf"), float("-inf")
        between = b""  # the text since the last entry
        earlier = b""
        for chunk in self.file.chunks():
            text = chunk if chunk.endswith(b"\n") else completed(chunk, earlier)
            entries = self._of_one_process(text, self.entries(text))
            done = 0
            for begins, rows in self._pieces(entries, run is None, first, last):
                piece = entries.take(rows)
                place = int(piece.places[0])
                if begins:
                    between += text[done:place]
                    if run is not None:
                        yield self._complete(run, between, last)
                    count += 1
                    name = self.file.stem if count == 1 else f"{self.file.stem}#{count}"
                    at = line + text.count(b"\n", 0, place)
                    run = Recorder(name, self.file.source, line=at, format_name=self.name, in_order=True)
                    self._total = self._spacing = float("nan")
                    self.settings(between[:_BEFORE] if count == 1 else between[-_BEFORE:], run)
                    first, last = float(piece.steps[0]), float("-inf")
                assert run is not None
                self._note(piece)
                given = self.record(piece, run)
                run.extend(given.steps, given.columns, lost=given.lost, line_of=_lines(text, given.places, line))
                last = max(last, float(np.max(piece.steps)))
                between, done = b"", int(piece.places[-1])
            between += chunk[done:]
            if run is not None:
                between = between[-_TAIL:]
            self._note_damage(chunk, text, line)
            line += chunk.count(b"\n")
            earlier = text[-_TAIL:]
        if run is not None:
            yield self._complete(run, between, last)

    def _complete(self, run: Recorder, after: bytes, last: float) -> Recorder:
        if np.isfinite(self._total):
            run.state(total_steps=int(self._total))
        if self._damaged:
            count, first = len(self._damaged), self._damaged[0]
            many = f"{count} damaged lines are left out, the first at line {first}"
            run.warn("damaged_lines", many if count > 1 else f"a damaged line is left out: line {first}")
            self._damaged = []
        if self._cut:
            run.warn("cut", "the last line of the log is cut, and left out")
        run.ended = run.ended or self.ending(after[-_TAIL:])
        total = run.stated("total_steps")
        if run.ended == "finished" and total and last + max(1, self.spacing or 1) < total:
            run.ended = "stopped"  # in good order, before its last step
        self.finish(run)
        return run

    def _note_damage(self, chunk: bytes, text: bytes, line: int) -> None:
        """Keep the lines that lack values or hold bytes that are no text, and whether the last one is cut."""
        places = [place for kind in self.kinds for place in kind.damaged]
        found = [text.count(b"\n", 0, place) for place in places]
        if b"\0" in text or not _is_utf8(text):
            found += [at for at, each in enumerate(text.split(b"\n")) if b"\0" in each or not _is_utf8(each)]
        self._cut = len(text) < len(chunk) and self.begins(chunk[len(text) :])
        self._damaged += sorted({line + at for at in found})

    def _note(self, entries: Entries) -> None:
        """Keep the last step that the lines state, and how far entries lie apart."""
        total = entries.columns.pop("total", None)
        if total is not None and len(known := total[np.isfinite(total)]):
            self._total = float(known[-1])
        if np.isnan(self._spacing) and len(entries.steps) > 1:
            validated = entries.columns.get("val_loss")
            steps = entries.steps if validated is None else entries.steps[np.isnan(validated)]
            apart = np.diff(steps)
            if len(apart := apart[apart > 0]):
                self._spacing = float(np.median(apart))

    @property
    def spacing(self) -> int | None:
        """Steps from an entry of training to the next; None of one that stands alone."""
        return None if np.isnan(self._spacing) else int(self._spacing)

    def _pieces(self, entries: Entries, begins: bool, first: float, last: float) -> Iterator[tuple[bool, slice]]:
        """Yield stretches of entries of one run, and whether a run begins with each.

        A run begins where the steps go back to the first one of a log that was written from the start of training;
        to a later one, a run was resumed. A single line that lies back is a late one.
        """
        steps = entries.steps
        if not len(steps):
            return
        start = 0
        if begins:
            first, last = float(steps[0]), float("-inf")
        before = np.concatenate([[last], steps[:-1]])
        for row in np.flatnonzero((steps <= first) & (steps < before)).tolist():
            highest = max(last, float(np.max(steps[start:row], initial=float("-inf"))))
            following = float(steps[row + 1]) if row + 1 < len(steps) else highest + self._late
            self._late += following > highest
            from_start = first <= max(1.0, self._spacing if np.isfinite(self._spacing) else _usual(steps[start:row]))
            if following <= highest and from_start:
                if row > start:
                    yield begins, slice(start, row)
                begins, start, last = True, row, float("-inf")
                first = float(steps[row])
        yield begins, slice(start, len(steps))

    def _of_one_process(self, text: bytes, entries: Entries) -> Entries:
        """Return the entries of one process, where several print the same ones: the first that knows the loss.

        Validation may be printed by another process than training is.
        """
        if not len(entries.steps) or self._process_of(text, int(entries.places[0])) is None:
            return entries
        none = np.full(len(entries.steps), np.nan)
        loss, val_loss = (entries.columns.get(name, none) for name in ("loss", "val_loss"))
        steps = entries.steps[np.isfinite(loss)]
        if not self._process and np.all(np.diff(steps) > 0):
            return entries
        names = [self._process_of(text, int(place)) for place in entries.places.tolist()]
        if not self._process and len(set(names)) == 1:
            return entries
        validates = (np.isfinite(val_loss) & ~np.isfinite(loss)).tolist()
        for kind, known in ((False, np.isfinite(loss)), (True, np.isfinite(val_loss))):
            own = [name for name, each in zip(names, validates, strict=True) if each is kind]
            if own and self._process.get(kind) not in own:
                told = [
                    name
                    for name, each, is_known in zip(names, validates, known, strict=True)
                    if each is kind and is_known
                ]
                trains = self._process.get(False)
                self._process[kind] = trains if trains in (told or own) else (told or own)[0]
        kept = [name == self._process.get(kind) for name, kind in zip(names, validates, strict=True)]
        return entries.take(np.array(kept))

    @staticmethod
    def _process_of(text: bytes, place: int) -> bytes | None:
        found = _PROCESS.match(text, text.rfind(b"\n", 0, place) + 1, place)
        return found[1] if found else None


def _usual(steps: Array) -> float:
    """Return the usual distance of steps that rise; that of one alone is its own."""
    apart = np.diff(steps)
    return float(np.median(apart[apart > 0])) if (apart > 0).any() else float(steps[0]) if len(steps) else 0.0


def _lines(text: bytes, places: Array, line: int) -> Callable[[int], int]:
    """Return the function that tells the line of an entry."""
    return lambda row: line + text.count(b"\n", 0, int(places[row]))


_STAMPS = 256
"""Time stamps that are read of a piece of a log: the time between is that of training."""

_STAMP = re.compile(rb"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[,.](\d{1,6}))?")


def clock(text: bytes, places: Array) -> Array:
    """Return the time stamps at the beginning of the lines of some entries, in seconds; NaN of the others."""
    seconds = np.full(len(places), np.nan)
    every = max(1, len(places) // _STAMPS)
    for row in range(0, len(places), every):
        place = int(places[row])
        found = _STAMP.search(text, text.rfind(b"\n", 0, place) + 1, place)
        if found:
            try:
                at = datetime.fromisoformat(found[1].decode()).replace(tzinfo=UTC).timestamp()
            except ValueError:
                continue
            seconds[row] = at + (float(b"0." + found[2]) if found[2] else 0.0)
    return seconds


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def joined(parts: Sequence[Entries]) -> Entries:
    """Return the entries of several kinds of lines as one, in their order."""
    filled = [part for part in parts if len(part.steps)]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        return Entries(np.array([]), np.array([]), {}, np.array([], dtype=bool))
    names = dict.fromkeys(name for part in filled for name in part.columns)
    columns = {
        name: np.concatenate([part.columns.get(name, np.full(len(part.steps), np.nan)) for part in filled])
        for name in names
    }
    places = np.concatenate([part.places for part in filled])
    steps = np.concatenate([part.steps for part in filled])
    lost = np.concatenate([part.lost for part in filled])
    return Entries(places, steps, columns, lost).take(np.argsort(places, kind="stable"))


def completed(chunk: bytes, earlier: bytes) -> bytes:
    """Return the end of a log without a last line that was cut: no earlier one has its words and ends as it does."""
    start = chunk.rfind(b"\n") + 1
    cut = chunk[start:]
    if not cut.strip():
        return chunk[:start]
    outline = _outline(cut)
    whole_lines = (earlier + chunk[:start]).splitlines()[-_SAMPLE:]
    known_end = not cut[-1:].isdigit() or b"." in cut.split()[-1]  # a whole number may have been longer
    return chunk + b"\n" if known_end and any(_outline(each) == outline for each in whole_lines) else chunk[:start]


def _outline(line: bytes) -> tuple[bytes, bytes]:
    """Return the words of a line with its numbers made alike, and its last word with as many decimals as it has."""
    last = line.rsplit(None, 1)[-1] if line.strip() else b""
    decimals = re.sub(rb"\.\d+", lambda found: b"." + b"d" * (len(found[0]) - 1), last)
    words = re.sub(rb"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", b"0", b" ".join(line.split()))
    return words, re.sub(rb"\d+", b"0", decimals)
