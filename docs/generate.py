"""Writes the generated parts of the documentation: what commands print, and the help of every command.

Used by cog in ``README.md`` and ``docs/cli.md``: ``bash docs/write`` rewrites them, and ``.ci/run`` fails when
they no longer match the program.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex

__all__ = ["console", "reference"]


def _run(arguments: list[str]) -> str:
    from scaleplan.__main__ import run

    out, err = io.StringIO(), io.StringIO()
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "XDG_CONFIG_HOME": "/nonexistent"}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        run(arguments)
    return err.getvalue() + out.getvalue()


def console(*commands: str) -> str:
    """Return a console block with each command and what it prints, warnings first as a terminal shows them."""
    lines = ["```console"]
    for command in commands:
        lines.append(f"$ {command}")
        lines += _run(shlex.split(command)[1:]).rstrip("\n").split("\n")
    return "\n".join([*lines, "```"])


def reference() -> str:
    """Return the help of the program and of every command, as Markdown."""
    from scaleplan.cli.app import COMMANDS, build

    parts = []
    for words in [[], *([name] for name in COMMANDS)]:
        inner = getattr(build(words[0]), "commands", {}) if words else {}
        for path in [words, *([*words, name] for name in inner)]:
            title = " ".join(["scaleplan", *path])
            parts.append(f"## {title}\n\n```text\n{_run([*path, '--help']).rstrip()}\n```")
    return "\n\n".join(parts)
