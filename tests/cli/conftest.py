"""The command line, in process and apart from the settings of whoever runs the tests."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

import scaleplan
from scaleplan.__main__ import run

SOURCE = Path(scaleplan.__file__).parents[1]


@dataclass(frozen=True)
class Result:
    """What a run of the command line left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out, parse_constant=_refuse)

    @property
    def error(self):
        return json.loads(self.err, parse_constant=_refuse)


def _refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def command_line(*arguments):
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(argument) for argument in arguments])
    return Result(status, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def apart(tmp_path_factory, monkeypatch):
    """Run each test in an empty folder, without settings, on a wide screen."""
    for name in [*os.environ]:
        if name.startswith("SCALEPLAN_") or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COLUMNS", "100")  # narrower ones where a test says so: test_width.py
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def cli():
    return command_line


@pytest.fixture
def process():
    """Return how to start the command line as a process: its arguments, and the environment it needs."""

    def prepared(*arguments, **environment):
        command = [sys.executable, "-m", "scaleplan", *map(str, arguments)]
        return command, {**os.environ, "PYTHONPATH": str(SOURCE), **environment}

    return prepared
