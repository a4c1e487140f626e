"""Run the command line as a process, and turn every outcome into an exit status."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

__all__ = ["main", "run"]

_USAGE = 2

_BUG = 70

_INTERRUPTED = 130


def main() -> None:
    """Run the command line on the process's arguments and exit."""
    # BLAS threads only cost start-up here, and one thread gives the same sums on every machine
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _settle_streams()
    gc.set_threshold(100_000)  # collecting while modules are imported finds nothing and takes milliseconds
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = _INTERRUPTED
    _leave(status)


def _leave(status: int) -> NoReturn:
    """End the process at once: taking the interpreter apart would cost as much as the plan itself."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or never there
            stream.flush()
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
    except OSError as error:  # files are read and written with errors of our own: this is standard output
        if "--debug" in arguments:
            raise
        _discard_output()
        sys.stderr.write(f"error: cannot write the result: {(error.strerror or str(error)).lower()}\n")
        return _USAGE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as error:  # the boundary: a user meets no traceback
        if "--debug" in arguments:
            raise
        from scaleplan.errors import escape_control

        sys.stderr.write(
            f"error: internal error: {type(error).__name__}: {escape_control(str(error)):.200}\n"
            "hint: this is a bug in scaleplan; run again with --debug and report what it prints\n"
        )
        return _BUG
    return status


def _settle_streams() -> None:
    """Put nothing in place of a closed stream, and a question mark for what an encoding lacks."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        else:
            stream.reconfigure(errors="replace")


def _discard_output() -> None:
    """Keep the interpreter from flushing into a closed pipe or a full disk when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
