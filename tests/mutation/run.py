"""Break one line of the program at a time, and see whether a test notices: ``python tests/mutation/run.py``.

``mutations.toml`` beside this file holds the lines: each a text that stands exactly once in its file, what replaces
it, the tests that must fail, and the wrong answer that a user would get. The program is copied to a scratch folder;
the working tree is never changed. Exit status: 0 where at least 90 % are killed, 1 where fewer are, 2 where the table
does not fit the program (a text that is not there once, tests that are missing or fail on the unbroken program).
"""

from __future__ import annotations

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = Path(__file__).with_name("mutations.toml")
LEAST = 0.9
_MISSED, _FOUND = 0, 1  # pytest: all tests passed, some failed; anything else is no verdict


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One line to break: ``old`` stands exactly once in ``file``, and ``tests`` must notice ``new`` in its place."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str

    def applied(self, root: Path) -> tuple[Path, str, str]:
        """Return the file below ``root``, its text, and the broken text; raise ValueError where it does not fit."""
        path = root / self.file
        if not path.is_file():
            raise ValueError(f"{self.file}: no such file ({self.why})")
        text = path.read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            raise ValueError(f"{self.file}: found {count} times instead of once: {self.old!r} ({self.why})")
        if self.old == self.new:
            raise ValueError(f"{self.file}: changes nothing: {self.old!r} ({self.why})")
        missing = [name for name in self.tests if not (ROOT / name.partition("::")[0]).exists()]
        if missing or not self.tests:
            raise ValueError(f"{self.file}: no such tests: {missing} ({self.why})")
        return path, text, text.replace(self.old, self.new)


def read(table: Path) -> list[Mutation]:
    """Read the table."""
    rows = tomllib.loads(table.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def copied(folder: Path) -> Path:
    """Copy the program into a folder and compile it; return the copy."""
    for name in ("src", "presets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    # by the hash of the source, for a broken file may have the size and the second of the whole one
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(folder / "src", quiet=2, invalidation_mode=mode)
    return folder


def tested(folder: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run tests on the copy until one fails; return the status of pytest and what it wrote."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def judged(folder: Path, mutation: Mutation) -> tuple[int, str]:
    """Break one line of the copy, run its tests, and put the line back."""
    path, text, broken = mutation.applied(folder)
    path.write_text(broken, encoding="utf-8")
    try:
        return tested(folder, mutation.tests)
    finally:
        path.write_text(text, encoding="utf-8")


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the table, or a part of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=TABLE, help="another table of mutations")
    parser.add_argument("--only", metavar="TEXT", default="", help="those whose file or reason holds this text")
    parser.add_argument("--check", action="store_true", help="only check that every text stands once in its file")
    options = parser.parse_args()
    mutations = [each for each in read(options.table) if options.only in f"{each.file} {each.why}"]
    problems = []
    for mutation in mutations:
        try:
            mutation.applied(ROOT)
        except ValueError as error:
            problems.append(str(error))
    if problems or not mutations:
        say("\n".join(problems or ["no mutation is chosen"]))
        return 2
    if options.check:
        say(f"{len(mutations)} mutations, each text found once")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        return run(copied(Path(scratch)), mutations)


def run(folder: Path, mutations: list[Mutation]) -> int:
    """Run mutations on a copy, say how each ended, and return the exit status."""
    everything = tuple(dict.fromkeys(name for mutation in mutations for name in mutation.tests))
    status, output = tested(folder, everything)
    if status != 0:
        say(f"{output}\nthe tests fail on the unbroken program")
        return 2
    killed, undecided = 0, 0
    for number, mutation in enumerate(mutations, start=1):
        begun = time.monotonic()
        status, output = judged(folder, mutation)
        verdict = {_FOUND: "killed  ", _MISSED: "SURVIVED"}.get(status, "NO VERDICT")
        killed += status == _FOUND
        undecided += status not in (_FOUND, _MISSED)
        took = time.monotonic() - begun
        say(f"{number:3d}/{len(mutations)} {verdict} {took:5.1f} s  {mutation.file}: {mutation.why}")
        if status not in (_FOUND, _MISSED):
            say(output)
    say(f"{killed} of {len(mutations)} killed ({killed / len(mutations):.0%})")
    if undecided:
        return 2
    return 0 if killed >= LEAST * len(mutations) else 1


if __name__ == "__main__":
    sys.exit(main())
