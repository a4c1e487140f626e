"""Files of YAML for engines, every text of the user's quoted, and the names that engines allow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from scaleplan.errors import UsageError, quote
from scaleplan.ladder.comments import comments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["image_of", "yaml_file"]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9/._-]*(?: [A-Za-z0-9/._-]+)*")
"""Texts that no YAML reader takes for a number, a date or a mark; yes, no, null and the like are left to PyYAML.

PyYAML alone is not enough: it leaves 1e21 without quotes, which is a number to the YAML 1.2 of Go.
"""

_ONE_LINE = 2**20
"""Characters after which a text would be broken into lines: longer than any command."""

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
"""The characters of a reference to an image, of the OCI distribution specification."""


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as it stands, and any that could be read as something else in quotes."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if _PLAIN.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def yaml_file(
    ladder: Ladder, runs: Sequence[LadderRun], what: str, notes: Mapping[str, str], document: Mapping[str, Any]
) -> str:
    """Return a file of one document: in comments what it is, what it takes, how it is submitted, and notes."""
    return comments(ladder, runs, what, notes) + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=_ONE_LINE
    )


def image_of(ladder: Ladder) -> str | None:
    """Return the container image; raises UsageError where it is no reference to one."""
    if ladder.image is not None and not _IMAGE.fullmatch(ladder.image):
        raise UsageError(
            f"no container image has the name {quote(ladder.image)}",
            hint="one is, for example, nvcr.io/nvidia/pytorch:25.08-py3",
        )
    return ladder.image
