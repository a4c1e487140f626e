"""Writes the generated parts of the documentation: what commands print, and the help of every command.

Used by cog in ``README.md``, ``docs/reference/commands.md`` and ``docs/guides/architectures.md``: ``bash docs/write`` rewrites them, and
``.ci/run`` fails when they no longer match the program.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex

__all__ = ["console", "families", "index", "reference"]


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


def families() -> str:
    """Return the table of model families, as Markdown."""
    from scaleplan.models.families.listing import family_list

    lines = ["| family | `model_type` | models |", "| --- | --- | --- |"]
    for each in family_list().families:
        types = ", ".join(f"`{name}`" for name in each.model_types)
        lines.append(f"| `{each.id}` | {types} | {each.title.replace('|', '/')} |")
    return "\n".join(lines)


def index() -> None:
    """Write which file has which model types and classes beside the families, so that one is found without all."""
    from scaleplan.files import data_folder
    from scaleplan.models.families.finding import INDEX, index_of

    folder = data_folder() / "families"
    text = json.dumps(index_of(folder), indent=1, sort_keys=True)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf-8")
