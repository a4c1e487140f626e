"""Tasks that other processes do in tests: they are found there by the name of this module."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from scaleplan.errors import UnknownNameError


def square(number):
    return number * number


def slow_square(number):
    time.sleep(0.02)
    return number * number


def held_square(folder, number):
    """Wait for the gate to be opened, all but the first; tell of each that it has begun."""
    (folder / str(number)).touch()
    if number:
        wait_for(folder / "open")
    return number * number


def wait_for(path):
    end = time.monotonic() + 120
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.01)


def later_square(number):
    """Take longer for a smaller number."""
    time.sleep(max(0.0, 0.2 - 0.1 * number))
    return number * number


def refuse_odd(number):
    """Fail for odd numbers, sooner for later ones."""
    if number % 2:
        time.sleep(1 / (1 + number))
        raise UnknownNameError("number", str(number), ["0", "2"], listing="scaleplan numbers")
    return number


def break_at_three(number):
    return 1 / (number - 3)


def write_into(array):
    """Change the part in place, as a copy in this process may be."""
    array += 1
    return float(array.sum()), array[:3]


def end_at_three(number, ending=signal.SIGKILL):
    if number == 3:
        os.kill(os.getpid(), ending)
        time.sleep(10)
    return number


def end_once(path, number):
    """End the process that does the third part, the first time."""
    if number == 3 and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number * number


def threads_of_blas(_):
    from threadpoolctl import threadpool_info

    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def identity(folder, _):
    """Return who does this part, when there are two who do parts."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + 120
    while len(list(folder.iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return os.getpid()
