"""Run the command line as a process, and turn every outcome into an exit status."""

from __future__ import annotations

import codecs
import gc
import os
import signal
import sys
import warnings
from contextlib import suppress
from typing import NoReturn, TextIO, cast

__all__ = ["main", "run"]

_USAGE = 2

_BUG = 70

_INTERRUPTED = 130


def main() -> None:
    """Run the command line on the process's arguments and exit."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job may have it ignored
        signal.signal(signal.SIGINT, _end)
    # BLAS threads only cost start-up here, and one thread gives the same sums on every machine
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _settle_streams()
    if not sys.warnoptions:  # those of libraries are for developers; processes that are started here inherit it
        warnings.simplefilter("ignore")
        os.environ.setdefault("PYTHONWARNINGS", "ignore")
    gc.set_threshold(100_000)  # collecting while modules are imported finds nothing and takes milliseconds
    _leave(run(sys.argv[1:]))


def _end(*_: object) -> NoReturn:
    """End an interrupted process wherever it is: an exception would be a traceback in places such as imports."""
    if os.isatty(2):
        with suppress(OSError):
            os.write(2, b"\r\x1b[K")  # a line of progress
    os._exit(_INTERRUPTED)


def _leave(status: int) -> NoReturn:
    """End the process at once: taking the interpreter apart would cost as much as the plan itself."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
    if (parallel := sys.modules.get("scaleplan.fitting.parallel")) is not None:
        with suppress(Exception):  # processes that are not ended here end with this one
            parallel.release()
    os._exit(status)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit status: 0, 1, 2, 70 or 130."""
    if arguments in (["--version"], ["-V"]):
        from scaleplan.version import __version__

        sys.stdout.write(f"scaleplan {__version__}\n")
        return 0
    try:
        from scaleplan.cli.app import execute

        status = execute(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()  # the reader has all it wanted
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # the boundary: a user meets no traceback
        if _is_of_output(error):
            _discard_output()
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            sys.stderr.write(f"error: cannot write the result: {reason}\n")
            return _USAGE
        if "--debug" in arguments:
            raise
        from scaleplan.errors import escape_control

        sys.stderr.write(
            f"error: internal error: {type(error).__name__}: {escape_control(str(error)):.200}\n"
            "hint: this is a bug in scaleplan; run again with --debug and report what it prints\n"
        )
        return _BUG
    return status


def _discard_output() -> None:
    from scaleplan.files import discard_output

    discard_output()


def _is_of_output(error: Exception) -> bool:
    """Return whether standard output failed: of a file an error has the name, and a lost folder is not found."""
    return isinstance(error, OSError) and error.filename is None and not isinstance(error, FileNotFoundError)


def _settle_streams() -> None:
    """Put nothing in place of a closed stream, and ASCII for what an encoding lacks: ``->`` for an arrow.

    A locale that says C means ASCII; Python would write UTF-8 nevertheless.

    What goes to standard error never changes the answer: where it cannot be written, it is lost.
    """
    codecs.register_error("scaleplan", _spell)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        else:
            stream.reconfigure(encoding="ascii" if _is_plain_locale() else None, errors="scaleplan")
    sys.stderr = cast("TextIO", _Unfailing(sys.stderr))


def _spell(error: UnicodeError) -> tuple[str | bytes, int]:
    from scaleplan.ascii import replace_unencodable  # where something cannot be written as it is

    return replace_unencodable(error)


def _is_plain_locale() -> bool:
    """Return whether the user's locale is C, and no encoding is chosen for Python."""
    if os.environ.get("PYTHONIOENCODING") or os.environ.get("PYTHONUTF8"):
        return False
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return next(filter(None, names), "") in ("C", "POSIX")


class _Unfailing:
    """A stream that takes what it can and never fails: a full disk and a closed pipe swallow the rest."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is waiting, if it can be written."""
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


if __name__ == "__main__":
    main()
