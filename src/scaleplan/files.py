"""Read small files safely, write files whole or not at all, and find the folders of data."""

from __future__ import annotations

import os
import stat
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaleplan.errors import FileError, UsageError, did_you_mean, escape_control, quote, system_reason
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from zipfile import Path as Entry

MAX_TEXT_BYTES = 4_000_000  # presets and configurations are kilobytes; more is a mistake or an attack


def read_text(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file as :func:`read_bytes` reads it; raises FileError also for what is not UTF-8."""
    return decoded(read_bytes(path, what=what, limit=limit), f"{what} {quote(path)}")


def decoded(data: bytes, name: str) -> str:
    """Return text without a mark of its byte order; a FileError names what is not UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{name} is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None


def read_bytes(path: Path, *, what: str, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a file of at most ``limit`` bytes.

    Raises FileError when there is no such file, it is not a regular file (or pipe), or too large.
    """
    entry = _packed(path)
    if entry is not None and entry.is_file():
        return entry.read_bytes()
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileError(f"{what} {quote(path)} is a directory", hint="name a file inside it")
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
            raise FileError(f"{what} {quote(path)} is not a regular file")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise FileError(f"{what} {quote(path)} does not exist", hint=_nearby(path)) from None
    except (OSError, ValueError) as error:
        raise _failed(f"read {what} {quote(path)}", error) from None
    if len(data) > limit:
        raise FileError(f"{what} {quote(path)} is larger than {limit:,} bytes")
    return data


_MOST_NAMES = 1000  # in a larger folder a name is not looked for


def _nearby(path: Path) -> str:
    """Return the hint for a file that is not there: one of a similar name, or where it was looked for."""
    folder = path.parent
    try:
        names = [Path(name) for name in os.listdir(folder)]  # noqa: PTH208  half the time of iterdir
    except (OSError, ValueError):
        return f"there is no folder {quote(folder)}"
    if len(names) <= _MOST_NAMES:  # an ending that many share makes no two names alike
        stems = {name.stem: name for name in names if name.suffix == path.suffix}
        close = did_you_mean(path.stem, stems)
        if close is not None:
            return f"did you mean {quote(folder / stems[close])}?"
    return f"it is looked for in {'this folder' if str(folder) == '.' else quote(folder)}"


def _failed(doing: str, error: Exception) -> FileError:
    return FileError(f"cannot {doing}: {system_reason(error, 'not a usable path')}")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; what is no path at all is refused where it is opened."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; False where that cannot be found out."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def beginning_of(path: Path, size: int) -> bytes | None:
    """Return the first bytes of a regular file, which never keeps a reader waiting; None without one to read."""
    try:
        if not is_file(path):
            return None
        with path.open("rb") as stream:
            return stream.read(size)
    except (OSError, ValueError):
        return None


def is_readable(path: Path) -> bool:
    """Return whether a path is a regular file that this user may read."""
    try:
        if is_file(path):
            path.open("rb").close()
            return True
    except OSError:
        pass
    return False


def read_input(limit: int, *, hint: str) -> bytes:
    """Return at most ``limit`` bytes of standard input; raises UsageError, with the hint, where there is none."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", hint=hint)
    try:
        return sys.stdin.buffer.read(limit)
    except OSError as error:
        raise UsageError(f"cannot read standard input: {system_reason(error)}", hint=hint) from None


def discard_output() -> None:
    """Keep the interpreter from flushing into a closed pipe or a full disk when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def project_file() -> Path | None:
    """Return the nearest ``scaleplan.toml``, or ``pyproject.toml`` with a table of it, at or above this folder."""
    try:
        folder = Path.cwd()
    except OSError:  # it was removed
        return None
    for place in (folder, *folder.parents):
        own = place / "scaleplan.toml"
        if is_file(own):
            return own
        shared = place / "pyproject.toml"
        if is_file(shared):
            try:
                if b"[tool.scaleplan" in read_bytes(shared, what="settings file", limit=MAX_TEXT_BYTES):
                    return shared
            except FileError:  # not readable, or too large to be one of ours
                continue
    return None


def with_ending(file: str, endings: Sequence[str], *, hint: str) -> Path:
    """Return the path of a file to write; raises UsageError, with the hint, for the ending of another kind of file.

    A name without an ending is as good, since it promises nothing.
    """
    path = Path(file)
    if path.suffix and path.suffix.lower() not in endings:
        raise UsageError(f"output {quote(file)} does not end in {' or '.join(endings)}", hint=hint)
    return path


def require_writable(path: Path, *, inputs: Iterable[str | None] = ()) -> None:
    """Refuse, by a FileError, a path that a file cannot be written to, before the work that would fill it.

    ``inputs`` are the files that the work reads: none of them is replaced by its outcome.
    """
    if _descriptor(path) is not None:
        return
    try:
        target = _target(path)
        if not target.parent.is_dir():
            folder = target.parent if path.is_symlink() else path.parent
            raise FileError(
                f"cannot write {quote(path)}: there is no folder {quote(folder)}",
                hint="make the folder, or name a file in another one",
            )
        # a device or pipe is written to, and its folder left alone
        replaced = target.is_file() or not os.access(target, os.F_OK)
        writable = os.access(target.parent if replaced else target, os.W_OK)
        same = [each for each in inputs if each and target.exists() and is_file(Path(each)) and target.samefile(each)]
    except (OSError, ValueError) as error:
        raise _failed(f"write {quote(path)}", error) from None
    if not writable:
        raise FileError(f"cannot write {quote(path)}: permission denied", hint="name a file in a folder of your own")
    if same:
        raise FileError(f"cannot write {quote(path)}: the command reads this file", hint="name another file")


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write ``path`` whole or not at all, and return it: a temporary neighbour, then a rename.

    A link is followed, and an existing file keeps its mode and group. Signals that end the process wait until the
    temporary file is gone. Raises FileError if it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            sys.stdout.flush()
            with os.fdopen(os.dup(descriptor), "wb") as stream:
                stream.write(data)
            return path
        target = _target(path)
        if target.exists() and not target.is_file():  # a device or pipe cannot be replaced by a rename
            target.write_bytes(data)
            return path
        with _Uninterrupted():
            _replace(target, data)
    except BrokenPipeError:
        raise  # the reader has all it wanted
    except (OSError, ValueError) as error:
        raise _failed(f"write {quote(path)}", error) from None
    return path


def write_together(files: Mapping[Path, str | bytes]) -> None:
    """Write several files, all of them or none: a temporary neighbour of each, then their renames.

    A rename that fails after others, which a file system has little reason for, takes those back that made new files.
    Raises FileError as :func:`write_atomic`.
    """
    path = next(iter(files), Path())
    staged: list[tuple[Path, Path, bool]] = []
    done: list[Path] = []
    with _Uninterrupted():
        try:
            for path, content in files.items():
                target = _target(path)
                old = _status(target)
                temporary = _stage(target, content.encode() if isinstance(content, str) else content, old)
                staged.append((temporary, target, old is None))
            for temporary, target, is_new in staged:
                temporary.replace(target)
                done += [target] if is_new else []
        except BaseException as error:
            for target in done:
                target.unlink(missing_ok=True)
            if isinstance(error, OSError | ValueError):
                raise _failed(f"write {quote(path)}", error) from None
            raise
        finally:
            for temporary, _, _ in staged:
                temporary.unlink(missing_ok=True)
        for folder in {target.parent for _, target, _ in staged}:
            _sync_folder(folder)


_STREAMS = {"/dev/stdout": 1, "/dev/stderr": 2}


def _descriptor(path: Path) -> int | None:
    """Return the number of the open file that a path stands for: opening ``/dev/stdout`` would start it anew."""
    text = str(path)
    number = text.removeprefix("/dev/fd/").removeprefix("/proc/self/fd/")
    return int(number) if number != text and number.isdecimal() else _STREAMS.get(text)


def _target(path: Path) -> Path:
    """Return the file that a path leads to, through links; refuse a folder, and a file that must not be replaced.

    A rename needs the permission of the folder alone. Here that of the file counts too, and whose it is.
    """
    target = Path(os.path.realpath(path))
    try:
        found = target.stat()
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(found.st_mode):
        raise FileError(f"cannot write {quote(path)}: it is a directory", hint="name a file inside it")
    if stat.S_ISREG(found.st_mode):
        if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise FileError(f"cannot write {quote(path)}: it is read-only", hint="name another file, or remove it")
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            hint = "name another file, or remove it"
            raise FileError(f"cannot write {quote(path)}: it belongs to another user", hint=hint)
    return target


def _replace(target: Path, data: bytes) -> None:
    """Write a new neighbour of a file, on the disk, and rename it to the file."""
    temporary = _stage(target, data, _status(target))
    try:
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _stage(target: Path, data: bytes, old: os.stat_result | None) -> Path:
    """Write a new neighbour of a file that has the status ``old``, on the disk, and return it."""
    temporary = target.with_name(f".scaleplan-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    # as private as can be until it has the mode of the file that it replaces; a new one gets what the umask leaves
    number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old is None else 0o600)
    try:
        with os.fdopen(number, "wb") as stream:
            if old is not None and hasattr(os, "fchown"):
                _keep_group(number, old.st_gid)
                os.fchmod(number, stat.S_IMODE(old.st_mode))
            stream.write(data)
            stream.flush()
            os.fsync(number)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _keep_group(number: int, group: int) -> None:
    try:
        os.fchown(number, -1, group)
    except OSError:  # a group that this user is not in
        return


def _sync_folder(folder: Path) -> None:
    """Bring a rename to the disk, where folders can be opened."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(number)
    except OSError:  # some file systems know no such thing
        return
    finally:
        os.close(number)


def require_new_folder(folder: Path, *, hint: str) -> None:
    """Refuse, by a FileError with the hint, a folder that holds something, or that cannot be made."""
    try:
        if folder.is_dir():
            found = sorted(os.listdir(folder))  # noqa: PTH208  as above
            if found:
                raise FileError(f"folder {quote(folder)} is not empty: it holds {quote(found[0])}", hint=hint)
            if not os.access(folder, os.W_OK):
                raise FileError(f"cannot write into {quote(folder)}: permission denied", hint=hint)
        elif not _is_free(folder):
            raise FileError(f"{quote(folder)} is no folder", hint=hint)
        elif not folder.parent.is_dir():
            raise FileError(
                f"cannot make {quote(folder)}: there is no folder {quote(folder.parent)}", hint="make that folder"
            )
        elif not os.access(folder.parent, os.W_OK):
            raise FileError(f"cannot make {quote(folder)}: permission denied", hint=hint)
    except (OSError, ValueError) as error:
        raise _failed(f"make {quote(folder)}", error) from None


def _is_free(path: Path) -> bool:
    """Return whether nothing has a path, no broken link either; raises OSError or ValueError for what is no path."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    return False


def write_folder(folder: Path, files: Mapping[str, str], *, hint: str) -> tuple[Path, ...]:
    """Write files into a folder that is new or empty, all of them or none, and return their paths.

    Raises FileError as :func:`require_new_folder` does, or if a file cannot be written.
    """
    require_new_folder(folder, hint=hint)
    texts = {folder / name: text for name, text in files.items()}
    made = False
    with _Uninterrupted():
        try:
            made = not folder.is_dir()
            if made:
                folder.mkdir()
            write_together(texts)
        except BaseException as error:
            if made and folder.is_dir():
                folder.rmdir()
            if isinstance(error, OSError | ValueError):
                raise _failed(f"make {quote(folder)}", error) from None
            raise
    return tuple(texts)


class _Uninterrupted:
    """A stretch of work that no signal cuts off: those that would end the process arrive after it.

    To block them would not do: a process that has shared its work has further threads, and one of these would take
    the signal. They are noted in the main thread, which alone handles signals; another thread cannot keep them away.
    """

    def __enter__(self) -> None:
        import signal  # only a command that writes a file needs it

        self._signals = signal
        self._noted: list[int] = []
        self._before: dict[int, Any] = {}
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # of which a system may lack some
        for number in (int(getattr(signal, name)) for name in names if hasattr(signal, name)):
            before = signal.getsignal(number)
            if before not in (None, signal.SIG_IGN):
                try:
                    signal.signal(number, lambda found, _: self._noted.append(found))
                except ValueError:  # another thread
                    return
                self._before[number] = before

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            self._signals.signal(number, before)
        for number in dict.fromkeys(self._noted):
            self._signals.raise_signal(number)


DATA_FILES = frozenset(
    {
        *("accelerators.toml", "grid_carbon.toml", "models.toml", "prices.toml", "shapes.toml"),
        *("trainer_models.toml", "utilisation.toml"),
    }
)
"""The files of a preset folder that are not laws."""

DATA_SCHEMA = 1


@cache
def _archive() -> tuple[str, Entry] | None:
    """Return the archive that this program runs from, and its content; None where it runs from folders."""
    place: str | None = getattr(getattr(__spec__, "loader", None), "archive", None)
    if place is None:
        return None
    from zipfile import Path as Entry

    return place, Entry(place)


def _packed(path: Path) -> Entry | None:
    """Return the entry of a path inside the archive that this program runs from; None of any other path."""
    found = _archive()
    if found is None or not path.is_relative_to(found[0]):
        return None
    return found[1].joinpath(path.relative_to(found[0]).as_posix())


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, of the archive that this program runs from too; raises OSError as listdir."""
    entry = _packed(folder)
    if entry is not None and entry.is_dir():
        return [item.name for item in entry.iterdir()]
    return os.listdir(folder)  # noqa: PTH208  half the time of iterdir


def data_folder() -> Path:
    """Return the folder of the bundled presets: inside an installed package, else the checkout's ``presets``."""
    package = Path(__file__).parent
    installed = package / "presets_data"
    entry = _packed(installed)
    is_there = installed.is_dir() if entry is None else entry.is_dir()
    return installed if is_there else package.parents[1] / "presets"


def config_folder() -> Path:
    """Return the user's own folder for this program, which need not exist.

    It is ``scaleplan`` in the platform's folder for configuration (``XDG_CONFIG_HOME`` or ``~/.config``,
    ``~/Library/Application Support``, ``%APPDATA%``).
    """
    home = os.path.expanduser("~")  # noqa: PTH111  unlike Path.home() it does not raise where there is no home
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or f"{home}/AppData/Roaming"
    elif sys.platform == "darwin":
        base = f"{home}/Library/Application Support"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    return Path(base) / "scaleplan"


def user_folder() -> Path:
    """Return the user's own preset folder: ``SCALEPLAN_PRESETS``, or ``presets`` in their configuration folder."""
    named = os.environ.get("SCALEPLAN_PRESETS")
    return Path(named) if named else config_folder() / "presets"


def preset_folders() -> tuple[Path, ...]:
    """Return the folder of the bundled presets, then the user's own.

    A folder that only its usual place makes the user's own is absent where it cannot be looked into; one that they
    named is reported there. Raises FileError where they named a file.
    """
    own = user_folder()
    named = bool(os.environ.get("SCALEPLAN_PRESETS"))
    if named and is_file(own):
        raise FileError(
            f"SCALEPLAN_PRESETS names {quote(own)}, which is a file",
            hint="name the folder that holds the preset files",
        )
    return (data_folder(), own) if named or not _closed(own) else (data_folder(),)


def _closed(folder: Path) -> bool:
    """Return whether something keeps this user from a folder, or from finding out whether there is one."""
    try:
        os.listdir(folder)  # noqa: PTH208  half the time of iterdir
        (folder / ".").stat()  # its files can be reached
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return False


def read_table(path: Path, *, what: str) -> Table:
    """Return the TOML file at ``path`` as a table; ``what`` is the kind of file in the message of a FileError."""
    import tomllib  # 8 ms, and a plan from FLOP alone may not need it

    try:
        return Table(tomllib.loads(read_text(path, what=what)), source=escape_control(str(path)))
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # no TOML, a whole number of thousands of digits, an impossible date
        reason = str(error)
    raise FileError(f"{what} {quote(path)} is not valid TOML: {escape_control(reason)}")


def read_data(name: str, folders: Iterable[Path] | None = None) -> list[Table]:
    """Return the data file ``name`` of each folder that has one: the bundled, then the user's own.

    Raises FileError when one of them is unreadable, invalid, or of another schema.
    """
    tables = []
    for folder in preset_folders() if folders is None else folders:
        path = folder / name
        if not is_absent(path):
            table = read_table(path, what="data file")
            require_schema(table)
            tables.append(table)
    return tables


def require_schema(table: Table) -> None:
    """Refuse a data file of another schema; raises FileError."""
    if table.integer("schema") != DATA_SCHEMA:
        raise table.error("schema", f"expected {DATA_SCHEMA}")


def is_absent(path: Path) -> bool:
    """Return whether there is no such file; one that cannot be looked at is not absent, and is reported."""
    entry = _packed(path)
    if entry is not None and entry.exists():
        return False
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
