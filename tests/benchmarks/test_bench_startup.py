"""Start-up against the smallest Typer application with the same options; run with ``-s`` to see the ratios.

``SCALEPLAN_BENCH_PYTHON`` names the interpreters to compare, separated by ``:`` (an environment with the lowest
Typer and one with the newest, say); ``SCALEPLAN_BENCH_RUNS`` says how often each is started.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scaleplan
from scaleplan.cli.app import build

SOURCE = Path(scaleplan.__file__).parents[1]
PYTHONS = os.environ.get("SCALEPLAN_BENCH_PYTHON", sys.executable).split(":")
RUNS = int(os.environ.get("SCALEPLAN_BENCH_RUNS", "21"))
WORDS = ["optimal", "--flops", "1e21", "--json"]
LIMIT = 1.25  # of the smallest application

HEAD = """\
from typing import Annotated
import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True)
@app.callback()
def smallest(*, version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False):
    "Plan."
@app.command()
def optimal(*,
"""


TAIL = """
):
    "Find the best split."
    import json, sys
    sys.stdout.write(json.dumps({"flops": flops}) + "\\n")
app()
"""


def smallest_application():
    """Return an application with the options of ``scaleplan optimal`` that prints nothing worth computing."""
    lines = []
    for option in build("optimal").params:
        if option.name == "help" or option.param_type_name == "argument":
            continue
        kind, default = ("bool", False) if option.is_flag else ("str | None", None)
        if option.multiple:
            kind = "list[str] | None"
        words = ", ".join(map(repr, [*option.opts]))
        lines.append(
            f"    {option.name}: Annotated[{kind}, typer.Option({words}, help={option.help!r})] = {default},"
        )
    return HEAD + "\n".join(lines) + TAIL, len(lines)


def seconds(command, environment):
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


@pytest.mark.parametrize("python", PYTHONS)
def test_start_up_costs_at_most_a_quarter_more_than_the_smallest_application(python, tmp_path, capsys):
    """Whole processes, alternating, medians; the second figure is each against bare Python."""
    text, options = smallest_application()
    script = tmp_path / "smallest.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    commands = {
        "bare": [python, "-c", "pass"],
        "smallest": [python, str(script), *WORDS],
        "scaleplan": [python, "-m", "scaleplan", *WORDS],
    }
    times = {name: [] for name in commands}
    for turn in range(RUNS + 2):
        for name, command in commands.items():
            took = seconds(command, environment)
            if turn > 1:  # the first two compile and fill the file cache
                times[name].append(took)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    paired = statistics.median(a / b for a, b in zip(times["scaleplan"], times["smallest"], strict=True))
    version = subprocess.run(
        [python, "-c", "import typer; print(typer.__version__)"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with capsys.disabled():
        shown = ", ".join(f"{name} {1000 * taken:.0f} ms" for name, taken in medians.items())
        ratio = medians["scaleplan"] / medians["smallest"]
        print(f"\ntyper {version}, {options} options, {RUNS} runs: {shown}; ratio {ratio:.3f}, paired {paired:.3f}")
    assert min(ratio, paired) <= LIMIT
