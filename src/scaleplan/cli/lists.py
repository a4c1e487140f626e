"""The commands about scaling laws and published models: list them, show one, evaluate a law at given values."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan import lookup
from scaleplan.cli.command import Answer, command, group, single
from scaleplan.errors import UsageError, quote
from scaleplan.planning import evaluation
from scaleplan.planning.context import Context
from scaleplan.presets.library import PresetPaths
from scaleplan.presets.library import validate as validate_files

__all__ = ["APPS"]

_presets = group("The scaling laws: list, show, validate, path.")
_models = group("The published models that are known by name: list, show.")
APPS = {"presets": _presets, "models": _models, "evaluate": single()}

_Name = Annotated[str, typer.Argument(metavar="NAME", help="An id, an alias or a .toml file.")]


@command(_presets, "list", examples=["scaleplan presets list", "scaleplan presets list --form additive --json"])
def list_presets(
    *, form: Annotated[str | None, typer.Option(metavar="NAME", help="Only laws of this functional form.")] = None
) -> Answer:
    """List the scaling laws."""
    return Answer(result=lookup.list_presets(form=form))


@command(_presets, "show", examples=["scaleplan presets show chinchilla", "scaleplan presets show kaplan --json"])
def show(*, name: _Name) -> Answer:
    """Show one scaling law: coefficients, conventions, range, source, notes."""
    return Answer(result=lookup.show_preset(name))


@command(_presets, "validate", examples=["scaleplan presets validate my-law.toml"])
def validate(*, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Preset files.")]) -> Answer:
    """Check preset files; the exit status is 2 if any is invalid."""
    result = validate_files(files)
    return Answer(result=result, exit_status=2 if result.invalid else 0)


@command(_presets, "path", examples=["scaleplan presets path", "scaleplan presets path kaplan"])
def path(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An id or an alias; the folders if not given.")
    ] = None,
) -> Answer:
    """Print the file of a scaling law, or the folders that are searched."""
    library = Context().library
    found = map(str, library.folders) if name is None else [library.load(name).origin]
    return Answer(result=PresetPaths(paths=tuple(found)))


@command(_models, "list", examples=["scaleplan models list", "scaleplan models list --family qwen3 --json"])
def list_models(
    *, family: Annotated[str | None, typer.Option(metavar="NAME", help="Only models of this model_type.")] = None
) -> Answer:
    """List the published models that commands know by name in place of a config.json."""
    return Answer(result=lookup.list_models(family=family))


@command(
    _models, "show", examples=["scaleplan models show llama-3.1-8b", "scaleplan models show Qwen/Qwen3-8B --json"]
)
def show_model(*, name: Annotated[str, typer.Argument(metavar="NAME", help="An id or an alias.")]) -> Answer:
    """Show one published model: its config, its published size, sources."""
    return Answer(result=lookup.show_model(name))


@command(
    APPS["evaluate"],
    examples=[
        "scaleplan evaluate besiroglu-2024 params=7B tokens=2T",
        "scaleplan evaluate gadre-2024-c4-error17 loss=2.9",
        "scaleplan evaluate kaplan flops=1e21 --quantity batch_tokens --get value",
        "scaleplan evaluate my-curve.toml flops=1e22",
    ],
)
def evaluate(
    *,
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="An id, an alias or a .toml file.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="The inputs: params=7B tokens=2T, loss=2.9.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to evaluate, where these inputs give several quantities.")
    ] = None,
    level: Annotated[
        str, typer.Option(metavar="F", envvar="SCALEPLAN_LEVEL", help="Confidence level of the interval.")
    ] = "0.9",
    bytes_per_token: Annotated[
        str | None, typer.Option(metavar="F", help="Bytes of text in a token, for the loss in bits per byte: 4.3.")
    ] = None,
) -> Answer:
    """Evaluate a law or a curve at given values: its loss, optimal size, accuracy or whatever it gives."""
    given: dict[str, str] = {}
    for word in values or ():
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{quote(word)} is not name=value", hint="for example params=7B")
        if name in given:
            raise UsageError(f"{quote(name)} is given twice", hint="give each input once")
        given[name] = value
    if clash := given.keys() & {"quantity", "level", "bytes_per_token"}:
        raise UsageError(f"{clash.pop()} is an option", hint="write it with two dashes")
    result = evaluation.evaluate(preset, quantity=quantity, level=level, bytes_per_token=bytes_per_token, **given)
    return Answer(result=result, notices=result.warnings)
