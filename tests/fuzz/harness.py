"""Run a case apart from everything else, in this process or as one of its own, and hold it to the contract.

The contract is that of every command line: an exit status that means something, a result that parses and holds finite
numbers, errors that say what to do, and nothing left behind.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unicodedata
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from xml.etree import ElementTree as ET

import numpy as np
from tests.fuzz.files import SECRET
from tests.fuzz.grammar import Case, commands

import scaleplan
from scaleplan.__main__ import _settle_streams, run
from scaleplan.cli.app import execute
from scaleplan.errors import ScaleplanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["CPU_SECONDS", "Finding", "Outcome", "Sandbox", "answer", "cpu_seconds", "judged", "options_of"]

CPU_SECONDS = 3.0
"""The most that a call may compute: no question of the grammar has more than seconds of work in it."""

_HANGING = 20.0  # CPU seconds after which a call is ended, so that the other cases are tried

SOURCE = Path(scaleplan.__file__).parents[1]


class Finding(NamedTuple):
    """One breach of the contract: its kind, what groups it with its like, and the particulars."""

    kind: str
    cause: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a call left behind; ``raised`` is an exception that came through the entry point."""

    status: int | None
    out: str
    err: str
    seconds: float
    raised: BaseException | None = None
    caught: tuple[str, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)
    leaked: tuple[str, ...] = ()


class HangingError(BaseException):
    """A call that computes without end; no handler of ordinary errors may take it."""


def answer(arguments: list[str]) -> str:
    """Return what a command line prints in this process; empty where it refuses."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        run(arguments)
    return out.getvalue()


class Sandbox:
    """A folder apart with a home and a work folder, in which cases run one after another."""

    def __enter__(self) -> Self:
        shared = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None))
        self.work, self.home = self.root / "work", self.root / "home"
        self._before = dict(os.environ), Path.cwd()
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG", "TMPDIR") if name in os.environ}
        self._environment = kept | {
            "SOURCE_DATE_EPOCH": "1767225600",  # a forecast is dated
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "MPLCONFIGDIR": str(self.root / "matplotlib"),
            "OPENBLAS_NUM_THREADS": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CEILING_DIRECTORIES": str(self.root),
        }
        return self

    def __exit__(self, *_: object) -> None:
        environment, folder = self._before
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        shutil.rmtree(self.root, ignore_errors=True)

    def call(self, case: Case, entry: Callable[[list[str]], int | None] = run) -> Outcome:
        """Run a case in this process."""
        with self._prepared(case) as environment, _streams(self.root, case) as (out, err):
            os.environ.clear()
            os.environ.update(environment)
            before = _state()
            raised, status = None, None
            began = cpu_seconds()
            with _deadline(), _threads() as started, warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    status = entry([*case.arguments])
                except (Exception, SystemExit, KeyboardInterrupt, HangingError) as error:  # noqa: BLE001  it is judged
                    raised, status = error, error.code if isinstance(error, SystemExit) else None  # type: ignore[assignment]
            seconds = cpu_seconds() - began
            kept = before.keys() - (_CHANGED_ON_FAILURE if case.surroundings in _BROKEN_STREAMS else set())
            leaked = tuple(name for name, value in _state().items() if name in kept and value != before[name])
            leaked += ("threads",) if any(each.is_alive() for each in started) else ()
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            changed = self._changes(case)
        return Outcome(
            status=status, out=out(), err=err(), seconds=seconds, raised=raised, leaked=leaked, changed=changed,
            caught=tuple(f"{each.category.__name__}: {each.message}" for each in caught),
        )  # fmt: skip

    def process(self, case: Case) -> Outcome:
        """Run a case as a process of its own, interrupted after a while where the case is.

        Arguments that no process can have are left out.
        """
        words = [
            word for word in case.arguments if "\0" not in word and word.encode(errors="ignore").decode() == word
        ]
        with self._prepared(case) as environment:
            before = os.times()
            closed = ["sh", "-c", 'exec "$@" <&-', "sh"] if case.given is None else []  # as a service may find it
            with subprocess.Popen(
                [*closed, sys.executable, "-m", "scaleplan", *words],
                env={**environment, "PYTHONPATH": str(SOURCE)},
                stdin=None if case.given is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as child:
                if case.surroundings == "interrupted":
                    while child.poll() is None and not _takes_interrupts(child.pid):
                        time.sleep(0.001)
                    time.sleep(len(case.arguments) % 10 / 20)
                    child.send_signal(signal.SIGINT)
                try:
                    out, err = child.communicate(case.given, timeout=10 * _HANGING)
                except subprocess.TimeoutExpired:
                    child.kill()
                    out, err = child.communicate()
            after = os.times()
            seconds = after.children_user + after.children_system - before.children_user - before.children_system
            changed = self._changes(case)
        return Outcome(
            status=child.returncode, out=out.decode(errors="replace"), err=err.decode(errors="replace"),
            seconds=seconds, changed=changed,
        )  # fmt: skip

    def empty(self) -> None:
        """Leave nothing of the case before, neither in the work folder nor in the home."""
        for folder in (self.work, self.home):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    @contextmanager
    def _prepared(self, case: Case) -> Iterator[dict[str, str]]:
        """Fill the work folder and go there; yield the environment of the call."""
        self.empty()
        folder = self._folder(case)
        folder.mkdir(exist_ok=True)
        if case.committed:
            _write(folder, case.committed)
            _commit(folder, self._environment)
        _write(folder, case.files)
        environment = {**self._environment, **case.environment}
        if case.surroundings == "home missing":
            del environment["HOME"], environment["XDG_CONFIG_HOME"]
        elif case.surroundings == "settings unreadable" and not (self.home / "config").exists():
            (self.home / "config").symlink_to(self.home / "config")
        os.chdir(folder)
        if case.surroundings == "folder gone":
            gone = self.root / "gone"
            gone.mkdir()
            os.chdir(gone)
            gone.rmdir()
        elif case.surroundings == "folder deep":
            for _ in range(_DEPTH):
                os.mkdir(_LONG_NAME)  # noqa: PTH102  the whole path is longer than a call may have it
                os.chdir(_LONG_NAME)
        try:
            yield environment
        finally:
            os.chdir(self.root)

    def _folder(self, case: Case) -> Path:
        """Return the folder of a case's files; its name is no text of any encoding where the case has it so."""
        return self.work / _ODD_NAME if case.surroundings == "folder odd" else self.work

    def _changes(self, case: Case) -> dict[str, str]:
        """Return what became of files: ``written``, ``changed`` or ``gone`` by name."""
        found = {}
        own = self._folder(case)
        for folder, folders, names in os.walk(own):
            if ".git" in folders:
                folders.remove(".git")
            for name in names:
                path = Path(folder, name)
                key = str(path.relative_to(own))
                if key not in case.files:
                    if key not in case.committed:
                        found[key] = "written"
                elif path.read_bytes() != case.files[key]:
                    found[key] = "changed"
        gone = {name for name in case.files if not (own / name).exists()}
        return found | dict.fromkeys(gone, "gone")


_DEPTH, _LONG_NAME = 40, "deep" * 30
"""Folders inside one another whose path is longer than the 4,096 bytes that a system call takes."""

_ODD_NAME = os.fsdecode(b"caf\xe9 [bold] \x1b[31m\n\xe2\x80\xae,;")


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _takes_interrupts(process: int) -> bool:
    """Return whether Python itself is up, so that an interruption is not the end of it."""
    with suppress(OSError):
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{process}/status").read_text(), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (signal.SIGINT - 1) & 1)
    return False


def _commit(folder: Path, environment: Mapping[str, str]) -> None:
    """Make the folder a git repository whose only revision holds what is in it."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "before"]):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True, capture_output=True)


_BROKEN_STREAMS = {"output full", "errors full", "reader gone"}
_CHANGED_ON_FAILURE = {"streams", "open files"}
"""What a process about to end puts in place of a broken stream."""

_ENCODINGS = {"streams in ASCII": "ascii", "streams in Latin-1": "latin-1", "streams in code page 1252": "cp1252"}
"""Surroundings whose streams have not the characters of every text, as of a system with a locale of its own."""


class _Terminal(io.TextIOWrapper):
    """A file that calls itself a terminal."""

    def isatty(self) -> bool:
        """Return True, as a terminal does."""
        return True


@contextmanager
def _streams(root: Path, case: Case) -> Iterator[tuple[Callable[[], str], Callable[[], str]]]:
    """Put the streams of a case in place of the process's own; yield how to read what was written."""
    own = sys.stdin, sys.stdout, sys.stderr
    out, err = root / "out", root / "err"
    full = Path("/dev/full")
    out.write_bytes(b"")
    err.write_bytes(b"")
    given = root / "given"
    given.write_bytes(case.given or b"")
    first, second = (
        full if case.surroundings == f"{name} full" else path for name, path in (("output", out), ("errors", err))
    )
    encoding = _ENCODINGS.get(case.surroundings, "utf-8")
    kind = _Terminal if case.surroundings == "terminal" else io.TextIOWrapper
    # a terminal's own buffer would hold what the program writes past it
    sys.stdout = kind(first.open("wb"), encoding, newline="\n", write_through=kind is _Terminal)
    sys.stderr = kind(second.open("wb"), encoding, "backslashreplace", newline="\n", line_buffering=True)
    sys.stdin = None if case.given is None else given.open(encoding=encoding)
    opened = [each for each in (sys.stdin, sys.stdout, sys.stderr) if each is not None]
    try:
        _settle_streams()
        if case.surroundings == "reader gone":
            read, write = os.pipe()
            os.close(read)
            os.dup2(write, sys.stdout.fileno())
            os.close(write)
        yield (lambda: _text(out, encoding)), (lambda: _text(err, encoding))
    finally:
        sys.stdin, sys.stdout, sys.stderr = own
        for stream in opened:
            with suppress(OSError, ValueError):
                stream.close()


def _text(path: Path, encoding: str) -> str:
    return path.read_bytes().decode(encoding, "replace")


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _deadline() -> Iterator[None]:
    """End a call that computes without end."""

    def end(*_: object) -> None:
        raise HangingError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, _HANGING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _threads() -> Iterator[list[threading.Thread]]:
    """Yield the threads that this one starts: those of a cluster of other tests start some of their own meanwhile."""
    own, started = threading.get_ident(), []
    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        real(thread)
        if threading.get_ident() == own:
            started.append(thread)

    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        yield started
    finally:
        threading.Thread.start = real  # type: ignore[method-assign]


def _state() -> dict[str, object]:
    """Return what of the process a call must leave as it was."""
    try:
        folder = os.getcwd()  # noqa: PTH109  it may not be there
    except OSError:
        folder = ""
    return {
        "environment": dict(os.environ),
        "working folder": folder,
        "arguments": [*sys.argv],
        "recursion limit": sys.getrecursionlimit(),
        "open files": _open_files(),
        "floating-point errors": np.geterr(),
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)],
        "streams": (sys.stdin, sys.stdout, sys.stderr),
    }


def _open_files():
    """Return the files that are open, by path.

    Threads of a cluster that other tests of this process share open sockets, pipes and files of the system meanwhile.
    """
    found = []
    for each in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():  # noqa: PTH112, PTH208
        with suppress(OSError):  # that of the listing itself
            path = os.readlink(f"/proc/self/fd/{each}")  # noqa: PTH115
            if path.startswith("/") and not path.startswith(("/proc/", "/sys/", "/dev/")):
                found.append(path)
    return sorted(found)


# Judging


def judged(sandbox: Sandbox, case: Case, outcome: Outcome) -> list[Finding]:
    """Return every breach of the contract."""
    found = [*_judged_status(sandbox, case, outcome), *_judged_secrets(outcome)]
    found += [Finding("library warning", _general(text), text) for text in outcome.caught]
    broken = outcome.err.startswith("error: cannot write the result")
    if broken and case.surroundings not in _BROKEN_STREAMS:
        found.append(Finding("a failure blamed on the output", case.surroundings, outcome.err))
    # where the output is given up, nothing takes its place but the end of the process
    found += [Finding("state leak", name) for name in outcome.leaked if not (broken and name == "open files")]
    if outcome.seconds > CPU_SECONDS:
        found.append(Finding("slow", case.command, f"{outcome.seconds:.1f} s"))
    for name, change in outcome.changed.items():
        complete = case.surroundings in _BROKEN_STREAMS  # what failed then is the word that it is written
        if (outcome.status and not complete) or name.endswith(".tmp"):
            found.append(Finding("file left by a failure", f"{case.command}: {change}", name))
    if case.surroundings not in _BROKEN_STREAMS:
        found += [*_judged_errors(case, outcome), *_judged_output(case, outcome)]
    if outcome.status != _INTERRUPTED and (case.surroundings in _HARMLESS or case.environment.keys() & _UNREAD):
        found += _judged_surroundings(case, outcome, sandbox)
    return found


def _judged_surroundings(case: Case, outcome: Outcome, sandbox: Sandbox) -> Iterator[Finding]:
    """Judge what the surroundings of a call changed: never the status, nor the data that programs read."""
    if case.surroundings == "home missing" and any(name.startswith("../home") for name in case.files):
        return  # that home had settings
    environment = {name: value for name, value in case.environment.items() if name not in _UNREAD}
    plain = replace(case, surroundings="" if case.surroundings in _HARMLESS else case.surroundings)
    usual = sandbox.call(replace(plain, environment=environment))
    what = " ".join([case.surroundings, *sorted(case.environment.keys() & _UNREAD)]).strip()
    if usual.status != outcome.status:
        yield Finding(
            "surroundings change the answer", f"{what}: {usual.status} becomes {outcome.status}", outcome.err
        )
    options = options_of(case.arguments) or {}
    encoding = _ENCODINGS.get(case.surroundings, "utf-8")
    expected = usual.out.encode(encoding, "replace").decode(encoding)
    folders = case.arguments[:2] == ("presets", "path")  # the folders of a home are its answer
    data = "json" in options or (options.get("format") in _PARSERS and not _goes_to_a_folder(case, options))
    if data and not folders and outcome.out not in ("", expected):
        yield Finding("surroundings change the result", f"{case.command}: {what}", outcome.out[:200])


def _general(text: str) -> str:
    """Return a message without its particulars, to group it with its like."""
    text = re.sub(r"'[^'\n]*'?|\"[^\"\n]*\"", "'…'", text)
    return re.sub(r"[-+]?[\d.,_]+(e[-+]?\d+)?", "0", text)[:120]


def _judged_status(sandbox: Sandbox, case: Case, outcome: Outcome) -> Iterator[Finding]:
    if isinstance(outcome.raised, HangingError):
        yield Finding("slow", case.command, f"ended after {_HANGING:.0f} s")
    elif isinstance(outcome.raised, ScaleplanError) and "--debug" in case.arguments:
        return
    elif outcome.raised is not None and not isinstance(outcome.raised, SystemExit):
        yield Finding("traceback", _place(outcome.raised), str(outcome.raised)[:200])
    elif outcome.status == 70:
        error = sandbox.call(case, execute).raised
        cause = "gone when it is run again" if error is None else _place(error)
        yield Finding("internal error", cause, outcome.err.partition("\n")[0])
    elif outcome.status not in (0, 1, 2) and (case.surroundings, outcome.status) != ("interrupted", _INTERRUPTED):
        yield Finding("exit status", str(outcome.status), outcome.err[:200])
    if "Traceback (most recent" in outcome.err and "--debug" not in case.arguments:
        yield Finding("traceback", "on standard error", outcome.err[-300:])


def _place(error: BaseException) -> str:
    """Return the kind of an exception and where in the program it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/scaleplan/" in frame.filename]
    frame = own[-1] if own else frames[-1]
    return f"{type(error).__name__} in {frame.filename.rpartition('/scaleplan/')[2]}:{frame.name}"


_INTERRUPTED = 130

_HARMLESS = {"errors full", "settings unreadable", "home missing", "terminal", "interrupted", *_ENCODINGS}
"""Surroundings in which the answer is the usual one."""

_UNREAD = {"COLUMNS", "TERM", "LC_ALL", "TZ", "NO_COLOR", "FORCE_COLOR", "MPLBACKEND", "LINES"}
"""Variables that change no data: how wide a terminal is, of which kind, its language."""

_KNOWN_STARTS = ("error: ", "hint: ", "warning: ", "setting: ", "wrote ", "  ")


def _judged_secrets(outcome: Outcome) -> Iterator[Finding]:
    """Judge that nothing quotes a key that stands in a config."""
    for name, text in (("standard output", outcome.out), ("standard error", outcome.err)):
        if SECRET in text:
            yield Finding("secret", f"on {name}", text[:200])


def _judged_errors(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Judge standard error: known lines only, and a way out of every mistake."""
    err, status = outcome.err, outcome.status
    if "Usage: " in err or "--debug" in case.arguments:
        return
    lines = err.splitlines()
    for line in lines:
        if line.startswith('{"schema": "scaleplan/error/1"'):
            message = json.loads(line)
            if status == 2 and not message["hint"]:
                yield Finding("exit 2 without a hint", _general(message["message"]), message["message"])
        elif not line.startswith(_KNOWN_STARTS):
            yield Finding("stray line on standard error", _general(line), line[:200])
    failed = [line for line in lines if line.startswith("error: ")]
    if failed and status == 2 and not any(line.startswith("hint: ") for line in lines):
        yield Finding("exit 2 without a hint", _general(failed[0]), failed[0])
    if status in (1, 2) and not outcome.out and not lines and '"scaleplan/error/1"' not in err:
        yield Finding("failure without a word", f"{case.command}: {status}", err[:200])
    for char in {*err} - {"\n"}:
        if unicodedata.category(char) in _HIDDEN:
            yield Finding("hidden character on standard error", f"U+{ord(char):04X}")


_HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}
"""Categories of characters that steer, reorder or hide text."""


def options_of(arguments: tuple[str, ...]) -> dict[str, str] | None:
    """Return the options of a command line by name, the last text of each; None where it is of no command."""
    command = next((each for each in commands().values() if arguments[: len(each.words)] == each.words), None)
    if command is None:
        return None
    by_flag = {flag: option for option in command.options.values() for flag in option.flags}
    found, words = {}, [*arguments[len(command.words) :]]
    while words:
        word = words.pop(0)
        if word == "--":
            break
        flag, sign, text = word.partition("=")
        option = by_flag.get(word) or by_flag.get(flag if flag.startswith("--") else word)
        if word in ("-h", "--help", "--help-all"):
            found["help"] = ""
        elif option is not None and option.is_flag:
            found[option.name] = ""
        elif option is not None and not option.is_argument:
            found[option.name] = text if sign else words.pop(0) if words else ""
    return found


def _goes_to_a_folder(case: Case, options: dict[str, str]) -> bool:
    """Return whether the list of a design goes to a file, so that a report stands in its place."""
    return case.command == "design" and "folder" in options and options.get("format") == "csv"


def _judged_output(case: Case, outcome: Outcome) -> Iterator[Finding]:
    """Judge standard output: it parses, its numbers are finite, and no character of it is hidden."""
    out, options = outcome.out, options_of(case.arguments)
    if options is None or "help" in options or not out:
        return
    settings = [*case.files.values(), *(each.encode() for each in case.environment.values())]
    colour = (
        case.surroundings == "terminal"
        or options.get("color") == "always"
        or "FORCE_COLOR" in case.environment
        or any(b"always" in each for each in settings)
    )
    allowed = {"\n", "\t"} | ({"\x1b"} if colour else set())
    for char in {*out} - allowed:
        if unicodedata.category(char) in _HIDDEN:
            yield Finding("hidden character in the result", f"{case.command}: U+{ord(char):04X}")
    if outcome.status not in (0, 1, 2) or (outcome.err.startswith("error: ") and options.get("source") is None):
        return
    name = "json" if "json" in options else options.get("format")
    if name in (None, "text", "markdown") and not _mentions_infinity(case):
        for line in out.splitlines():
            if re.search(r"(^|[\s|–])-?(nan|inf)([\s|%]|$)", line):
                yield Finding("a number that is none", case.command, line)
    if "get" in options or name is None or _goes_to_a_folder(case, options):
        return
    try:
        _PARSERS.get(name, str)(out)
    except (ValueError, ET.ParseError) as error:
        yield Finding("result that does not parse", f"{case.command}: {name}: {_general(str(error))}", out[:200])


def _mentions_infinity(case: Case) -> bool:
    """Return whether a case itself speaks of infinities and the like, which an answer may quote."""
    contents = [*case.files.values(), case.given or b""]
    texts = [*case.arguments, *case.environment.values(), *(each.decode("utf-8", "replace") for each in contents)]
    return any(re.search("nan|inf", text, re.IGNORECASE) for text in texts)


def _parse_json(text: str) -> None:
    for part in [text] if text.startswith(("{\n", "[")) else text.splitlines():
        data = json.loads(part, parse_constant=_refused, parse_float=_finite)
        rows = data if isinstance(data, list) else [data]  # those of --fields
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("no object")


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _parse_lines(text: str) -> None:
    for line in text.splitlines():
        json.loads(line, parse_constant=_refused, parse_float=_finite)


def _parse_rows(delimiter: str) -> Callable[[str], None]:
    def parse(text: str) -> None:
        rows = [*csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)]
        if len({len(row) for row in rows}) > 1:
            raise ValueError("rows of several lengths")
        numbers = [k for k, name in enumerate(rows[0]) if name not in ("file", "id")] if rows else []
        if any(row[k] in ("nan", "inf", "-inf") for row in rows[1:] for k in numbers):  # as Python would write them
            raise ValueError("a number that is not finite")

    return parse


def _parse_annotations(text: str) -> None:
    for line in text.splitlines():
        if not line.startswith(("::error", "::warning", "::notice")):
            raise ValueError("no annotation")


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "json": _parse_json,
    "jsonl": _parse_lines,
    "csv": _parse_rows(","),
    "tsv": _parse_rows("\t"),
    "junit": ET.fromstring,
    "sarif": json.loads,
    "github": _parse_annotations,
}
"""The reader of each format that programs read."""
