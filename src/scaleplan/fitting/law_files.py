"""Names of laws, as parts of ids and of files, and the file of each of several laws."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["LONGEST_ID", "files_of_laws", "name_part", "value_part"]

LONGEST_ID = 80
"""Characters of the id of a law that is made of several values."""

_LONGEST_PART = 60
"""Characters of one value: two of them and a path of usual length stay within the 255 bytes of a file's name."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")

_NOT_IN_NAME = re.compile(r"[^\w.-]+")


def name_part(text: str) -> str:
    """Return a text as part of an id or of a file's name, of ASCII alone; empty where nothing of it is left."""
    return _part(text, _NOT_IN_ID)


def value_part(text: str, *, ascii_only: bool = False) -> str:
    """Return a value as part of the name of a file, or with ASCII alone of an id; its bytes where nothing is left."""
    found = _part(unicodedata.normalize("NFC", text), _NOT_IN_ID if ascii_only else _NOT_IN_NAME)
    return found or text.encode(errors="surrogatepass").hex()[:_LONGEST_PART]


def _part(text: str, other: re.Pattern[str]) -> str:
    return other.sub("-", text).strip("-._").lower()[:_LONGEST_PART]


def files_of_laws(path: str, laws: Sequence[Mapping[str, str]], known: Iterable[str]) -> list[Path]:
    """Return the file of each law: the path with the values of the law for placeholders such as ``{corpus}``.

    Raises UsageError for a path that does not tell the laws apart, UnknownNameError for a placeholder that is not
    ``known``.
    """
    used, known = _PLACEHOLDER.findall(path), list(known)
    for name in used:
        if name not in known:
            raise UnknownNameError("placeholder", f"{{{name}}}", [f"{{{each}}}" for each in known])
    varied = [name for name in known if len({law[name] for law in laws}) > 1]
    lacking = [name for name in varied if name not in used]
    if lacking:
        needed = "-".join(f"{{{name}}}" for name in varied)
        raise UsageError(
            f"output {quote(path)} does not say one file for each law: {quote(f'{{{lacking[0]}}}')} is not in it",
            hint=f"-o 'law-{needed}.toml' does",
        )
    if not path.endswith(".toml"):
        raise UsageError(f"output {quote(path)} does not end in .toml", hint="presets are .toml files")
    files = [_filled(path, law) for law in laws]
    first: dict[str, int] = {}
    for i, file in enumerate(files):
        # file systems of macOS and Windows tell no case apart
        other = first.setdefault(str(file).casefold(), i)
        if other != i:
            names = " and ".join(quote(", ".join(laws[each].values())) for each in (other, i))
            raise UsageError(
                f"the laws of {names} would be written to one file, {quote(file)}",
                hint="rename one of them, or keep some with --where",
            )
    return files


_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=[./\\]|$)", re.IGNORECASE)
"""How the name of a file or folder begins that Windows takes for a device, whatever its ending."""


def _filled(path: str, values: Mapping[str, str]) -> Path:
    """Return a path with values for its placeholders; one that Windows would take for a device gets an underscore."""

    def value(match: re.Match[str]) -> str:
        text, after = value_part(values[match[1]]), path[match.end() :]
        device = _DEVICE.match(text + after[:1]) if path[: match.start()][-1:] in ("", "/", "\\") else None
        return text if device is None else f"{device[0]}_{text[device.end() :]}"

    return Path(_PLACEHOLDER.sub(value, path))
