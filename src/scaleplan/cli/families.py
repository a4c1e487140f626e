"""The commands about model families: list them, show one, check a description of your own."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, group
from scaleplan.models.families import listing

__all__ = ["APPS"]

APPS = {"families": group("The model families, as descriptions of layers: list, show, validate.")}


@command(APPS["families"], "list", examples=["scaleplan families list", "scaleplan families list --json"])
def list_families() -> Answer:
    """List the families of models that are counted exactly."""
    return Answer(result=listing.family_list())


@command(
    APPS["families"],
    "show",
    examples=["scaleplan families show llama", "scaleplan families show ./mine.toml --config config.json"],
)
def show_family(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A family, a model_type or a .toml file.")],
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="A config.json, for the sizes of each part in numbers.")
    ] = None,
) -> Answer:
    """Show one family: the fields of a config.json that it reads, and the tensors of its parts."""
    return Answer(result=listing.family_summary(name, config=config))


@command(
    APPS["families"],
    "validate",
    examples=["scaleplan families validate mine.toml", "scaleplan families validate mine.toml --config config.json"],
)
def validate_families(
    *,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Descriptions of architectures.")],
    config: Annotated[str | None, typer.Option(metavar="FILE", help="A config.json to count by them.")] = None,
) -> Answer:
    """Check descriptions of architectures; the exit status is 2 if any is invalid."""
    result = listing.validate_families(files, config=config)
    return Answer(result=result, exit_status=2 if result.invalid else 0)
