"""The output options of commands that judge: the formats of CI services, beside those of every command."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.options import OutputOptions

__all__ = ["JudgingOptions"]


class JudgingOptions(OutputOptions):
    """How the answer is written."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            envvar="SCALEPLAN_FORMAT",
            help="text, json, jsonl, csv, tsv, markdown, github, junit or sarif.",
        ),
    ] = "text"
