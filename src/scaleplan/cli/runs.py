"""The command about training logs: a table of their runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import scaleplan
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.fit import Progress
from scaleplan.cli.options import PANELS
from scaleplan.errors import Notice, UsageError, quote
from scaleplan.files import is_file, require_writable, write_atomic
from scaleplan.output import Rendering

if TYPE_CHECKING:
    from scaleplan.logs.logged_run import LoggedRuns

__all__ = ["APPS"]

APPS = {"runs": single()}

_WRITTEN = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".jsonl": "jsonl"}
"""The format of a file by its ending."""


def _per_run(metavar: str, text: str, *flags: str) -> object:
    """Return an option that is given for every run, or by name, repeatable."""
    return typer.Option(*flags, metavar=f"[RUN=]{metavar}", help=text)


@command(
    APPS["runs"],
    examples=[
        "scaleplan runs logs/",
        "scaleplan runs logs/ -o runs.csv && scaleplan fit runs.csv",
        "scaleplan runs main.log --params 124M --batch 512 --context 1024",
        "scaleplan runs logs/ --params small=125M --params 'wide-*=350M' --get loss",
        "scaleplan runs checkpoint-500/trainer_state.json --tokens-per-step 524288 --json",
    ],
)
def runs(
    *,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Training logs, and folders of them; - for standard input."),
    ],
    params: Annotated[
        list[str] | None,
        _per_run("AMOUNT", "Parameters, repeatable: 125M for every run, small=125M, 'wide-*=350M'."),
    ] = None,
    model: Annotated[
        list[str] | None,
        _per_run("SOURCE", "Model whose parameters are counted: a config.json, a training config, gpt2; likewise."),
    ] = None,
    tokens_per_step: Annotated[
        list[str] | None, _per_run("AMOUNT", "Tokens of an optimizer step, of all GPUs; likewise.")
    ] = None,
    batch: Annotated[
        list[str] | None, _per_run("N", "Sequences of an optimizer step, of all GPUs; likewise.")
    ] = None,
    context: Annotated[
        list[str] | None,
        _per_run("N", "Tokens in a training sequence; likewise.", "--context", "--sequence"),
    ] = None,
    steps: Annotated[
        list[str] | None, _per_run("N", "Step at which the run was to end, where the log does not say; likewise.")
    ] = None,
    vocab: Annotated[
        str | None, typer.Option(metavar="N", help="Vocabulary of training configs that leave it to the tokenizer.")
    ] = None,
    params_from_name: Annotated[
        bool,
        typer.Option(
            "--params-from-name", help="Read parameters from the name of a run where nothing else has them."
        ),
    ] = False,
    output_file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the table: .csv, .tsv, .json or .jsonl.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
) -> Answer:
    """Read training logs of any trainer and tracker into one table: a row a run, which fit and backtest take."""
    if output_file is not None:
        _require_table(output_file, paths)
    with Progress("runs") as progress:
        found = scaleplan.runs(  # imported when it is called
            paths,
            params=params,
            model=model,
            tokens_per_step=tokens_per_step,
            batch=batch,
            context=context,
            steps=steps,
            vocab=vocab,
            params_from_name=params_from_name,
            progress=progress,
        )
    if output_file is None:
        return Answer(result=found, notices=found.warnings)
    replaced = (
        (Notice(code="replaced", message=f"replaced {quote(output_file)}"),) if is_file(Path(output_file)) else ()
    )
    return Answer(result=found, notices=(*found.warnings, *replaced), write=partial(_write, output_file, found))


def _require_table(output: str, paths: list[str]) -> None:
    """Refuse a file that no table is written to, before the work."""
    path = Path(output)
    if path.suffix.lower() not in _WRITTEN:
        raise UsageError(f"output {quote(output)} does not end in {', '.join(_WRITTEN)}", hint="-o runs.csv")
    require_writable(path, inputs=paths)


def _write(output: str, found: LoggedRuns) -> Path:
    path = Path(output)
    return write_atomic(path, Rendering(found).write(_WRITTEN[path.suffix.lower()]))
