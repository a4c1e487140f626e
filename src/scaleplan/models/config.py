"""What does this ``config.json`` say? Read safely: small, strict JSON, every surprise one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote
from scaleplan.files import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_CONFIG_BYTES", "parse_config", "read_config"]

MAX_CONFIG_BYTES = 1_000_000  # real ones are 1 to 30 kB


def read_config(source: str | Path | Mapping[str, object]) -> tuple[dict[str, object], str]:
    """Return the configuration and the name to show for it.

    Parameters
    ----------
    source
        A path to a JSON file, a folder that holds ``config.json``, the JSON text itself (it starts with ``{``),
        or a mapping that was read already.

    Raises
    ------
    FileError
        When it cannot be read, is not a JSON object, has a key twice, or is too large or too deeply nested.

    """
    if not isinstance(source, str | Path):
        return dict(source), "config"
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return parse_config(source, source="config"), "config"
    path = Path(source)
    try:
        folder = path.is_dir()
    except (OSError, ValueError):
        folder = False
    if folder:
        path /= "config.json"
    return parse_config(read_text(path, what="model config", limit=MAX_CONFIG_BYTES), source=str(path)), str(path)


def parse_config(text: str, *, source: str) -> dict[str, object]:
    """Return the JSON object in ``text``; ``source`` names it in errors."""
    if len(text) > MAX_CONFIG_BYTES:
        raise FileError(f"{source}: larger than {MAX_CONFIG_BYTES:,} characters")
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise FileError(f"{source}: empty, expected a JSON object")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise FileError(f"{source}: nested too deeply to be a model config") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise FileError(f"{source}: not valid JSON ({where}: {error.msg.lower()})") from None
    except ValueError as error:  # our own refusals, and an integer of thousands of digits
        reason = str(error) if isinstance(error, _RefusedError) else "a number with too many digits"
        raise FileError(f"{source}: {reason}") from None
    if not isinstance(data, dict):
        raise FileError(f"{source}: expected a JSON object with the fields of a model config")
    return data


class _RefusedError(ValueError):
    """Valid for Python's JSON reader, and refused here."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RefusedError(f"key {quote(key)} appears twice")
            seen.add(key)
    return table


def _refuse_constant(text: str) -> float:
    raise _RefusedError(f"{text} is not a JSON number")
