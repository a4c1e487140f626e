"""Words that are something to a shell, to YAML or to an engine, and a trainer that says what it was given."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import strategies

WORDS = (
    "a b",
    "it's",
    'say "hi"',
    "$(touch pwned)",
    "`touch pwned`",
    "$HOME",
    "${HOME}",
    "$$",
    "$$$(HOME)",
    "$(HOME)",
    "$(JOB_COMPLETION_INDEX)",
    "$(",
    "$é",
    "$$é",
    "{{ x }}",
    "{% raw %}",
    "key: value",
    "# no comment",
    "-n",
    "--",
    "@file",
    "*",
    "&anchor",
    "!tag",
    "%d%%",
    "~",
    "null",
    "yes",
    "1e21",
    "0x1F",
    "2026-11-27",
    "12:30:45",
    "",
    " lead and trail ",
    "back\\slash \\n \\",
    "; exit 1",
    "|| true",
    "> pwned",
    "naïve ✓ 漢字 🚀",
    "x" * 5000,
)

words = strategies.one_of(
    strategies.sampled_from(WORDS),
    strategies.text(
        strategies.one_of(
            strategies.sampled_from("$(){}'\"\\`:#-@*&!%~|>;= "),
            strategies.characters(exclude_categories=("C", "Zl", "Zp")),
        ),
        max_size=30,
    ),
)

_TRAINER = "import json, sys; open(sys.argv[1] + '/argv.json', 'w').write(json.dumps(sys.argv[2:]))"


def trainer(out, arguments):
    """Return the words of a command that writes its arguments to the folder of its run."""
    return (sys.executable, "-c", _TRAINER, out, *arguments)


def arguments_of(folder):
    """Return the arguments that a trainer was given."""
    return json.loads((folder / "argv.json").read_text())


def run_shell(script, folder, shell="sh", **environment):
    """Run a script in a folder with an environment of its own; return its status and what it printed."""
    done = subprocess.run(
        [shell, "-c", script],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nowhere", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
