"""Run every console block of the documentation in a shell, and write or compare what it prints.

``python docs/console.py PAGE…`` rewrites the output below each command; with ``--check`` it exits with status 1 and
shows the difference where the pages no longer match the program. The commands of a page run in order in one bash, in
a temporary folder of their own with the files of ``docs/examples``.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["rewritten"]

DOCS = Path(__file__).parent

_BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)

_PROMPT, _MORE = "$ ", "> "

_LIMIT = 300  # seconds a page may take

_ENVIRONMENT = {
    "COLUMNS": "80",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",
    "SOURCE_DATE_EPOCH": "1767225600",  # of forecasts that are written down: 2026-01-01
    "TERM": "dumb",
    "TZ": "UTC",
    "XDG_CONFIG_HOME": "/nonexistent",
}


def rewritten(page: Path) -> str:
    """Return the text of a page with what its commands print now.

    Raises RuntimeError when its shell ends before its last command.
    """
    text = page.read_text(encoding="utf-8")
    blocks = [_commands(match["body"], match["indent"]) for match in _BLOCK.finditer(text)]
    printed = iter(_run([command for block in blocks for command in block], page))
    commands = iter(blocks)

    def block(match: re.Match[str]) -> str:
        lines: list[str] = []
        for command in next(commands):
            first, *more = command.split("\n")
            lines += [f"{_PROMPT}{first}", *(f"{_MORE}{line}" for line in more), *next(printed)]
        body = "".join(f"{match['indent']}{line}".rstrip() + "\n" for line in lines)
        return f"{match['indent']}```console\n{body}{match['indent']}```"

    return _BLOCK.sub(block, text)


def _commands(body: str, indent: str) -> list[str]:
    """Return the commands of a block, one of several lines as one text."""
    found: list[str] = []
    typed = False
    for line in (line.removeprefix(indent) for line in body.splitlines()):
        if line.startswith(_PROMPT):
            found.append(line.removeprefix(_PROMPT))
            typed = True
        elif typed and (line.startswith(_MORE) or line == _MORE.rstrip()):
            found[-1] += "\n" + line.removeprefix(_MORE.rstrip()).removeprefix(" ")
        else:
            typed = False
    return found


def _run(commands: list[str], page: Path) -> list[list[str]]:
    """Return the lines that each command prints, those of standard error where they come."""
    if not commands:
        return []
    mark = "=== end of a command of the documentation ==="
    script = "".join(f"{command}\nprintf '%s\\n' '{mark}'\n" for command in commands)
    program = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        shutil.copytree(DOCS / "examples", here, dirs_exist_ok=True)
        done = subprocess.run(  # noqa: S603  the documentation's own commands
            ["/bin/bash", "--noprofile", "--norc", "-c", f"exec 2>&1\n{script}"],
            cwd=here,
            env={**_ENVIRONMENT, "PATH": f"{program}:{os.environ['PATH']}", **_python_path()},
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            timeout=_LIMIT,
            check=False,
        )
    *parts, rest = done.stdout.decode().split(f"{mark}\n")
    if len(parts) != len(commands):
        msg = f"{page}: the shell ended after {len(parts)} of {len(commands)} commands: {rest}"
        raise RuntimeError(msg)
    return [part.replace(folder, "…").rstrip("\n").split("\n") if part.strip() else [] for part in parts]


def _python_path() -> dict[str, str]:
    """Return where Python finds the program when it is not installed."""
    path = os.environ.get("PYTHONPATH")
    return {} if path is None else {"PYTHONPATH": path}


def main(arguments: list[str]) -> int:
    """Rewrite or check pages, and return the exit status."""
    check = "--check" in arguments
    pages = [Path(name) for name in arguments if name != "--check"]
    stale = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for page, new in zip(pages, pool.map(rewritten, pages), strict=True):
            old = page.read_text(encoding="utf-8")
            if old == new:
                continue
            stale += 1
            if check:
                sys.stdout.writelines(
                    difflib.unified_diff(old.splitlines(True), new.splitlines(True), str(page), "what it prints now")
                )
            else:
                page.write_text(new, encoding="utf-8")
    sys.stdout.write(f"{len(pages)} pages, {stale} {'out of date' if check else 'rewritten'}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
