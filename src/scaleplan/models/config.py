"""Read a ``config.json``: safely, then each quantity under its many names, typed and bounded.

Families name the same quantity differently (``hidden_size``, ``n_embd``, ``d_model``); :data:`NAMES` lists the
spellings of each, and a config that gives two different values for one quantity is refused.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, quote
from scaleplan.files import is_absent, is_folder, read_table, read_text
from scaleplan.models.public_models import LISTING, PublicModel, PublicModels
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DESCRIBES_A_MODEL",
    "MAX_CONFIG_BYTES",
    "NAMES",
    "Fields",
    "is_description",
    "parse_config",
    "read_config",
]

_SIZE = re.compile(r"\d[\d.,_]*(e\d+)?\s?[kmbt]?", re.IGNORECASE)
"""What looks like a number of parameters, where the name of a file is expected."""

MAX_CONFIG_BYTES = 1_000_000  # real ones are 1 to 30 kB

DESCRIBES_A_MODEL = frozenset({"model_type", "architectures", "text_config"})
"""Fields of which one stands in every config.json, and none in the sizes of a trainer."""


def read_config(source: str | Path | Mapping[str, object] | PublicModel) -> tuple[dict[str, object], str]:
    """Return the configuration and the name to show for it.

    ``source`` is a JSON file, a folder that holds ``config.json``, the JSON text itself (it starts with ``{``), a
    mapping that was read already, the description of an architecture (a TOML file), or, where there is no such file,
    the name of a published model. Raises FileError when it cannot be read, is not a JSON object, has a key twice, or
    is too large or too deeply nested.
    """
    if isinstance(source, PublicModel):
        return dict(source.config), source.source
    if not isinstance(source, str | Path):
        return dict(source), "config"
    if isinstance(source, str) and source.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return parse_config(source, source="config"), "config"
    path = Path(source)
    if is_folder(path):
        path /= "config.json"
    if path.suffix == ".toml":
        return _description(path), str(path)
    try:
        text = read_text(path, what="model config", limit=MAX_CONFIG_BYTES)
    except FileError as error:
        if is_folder(Path(source)) or not is_absent(path):
            raise
        if _SIZE.fullmatch(str(source)):
            error.hint = f"a size is given by --params {source}; 'scaleplan shape {source}' makes a config of it"
            raise
        return read_config(_published(str(source), error))
    return parse_config(text, source=str(path)), str(path)


def _description(path: Path) -> dict[str, object]:
    """Return the description in a file, and in it the config that it names."""
    found = dict(read_table(path, what="description of a model").data)
    if not is_description(found):
        raise FileError(f"{path}: describes no architecture", hint=f"it needs {DESCRIBED}")
    if isinstance(found.get("config"), str):
        beside = path.parent / str(found["config"])
        text = read_text(beside, what="model config", limit=MAX_CONFIG_BYTES)
        found["config"] = parse_config(text, source=str(beside))
    return found


DESCRIBED = "schema, name, [[stack]] and [part.NAME]; 'scaleplan families show llama' is an example"
"""What a description of an architecture has."""


def is_description(data: Mapping[str, object]) -> bool:
    """Return whether what was read describes the layers of an architecture, as the file of a family does."""
    return "schema" in data and ("stack" in data or isinstance(data.get("like"), str))


def _published(name: str, missing: FileError) -> PublicModel:
    """Return the published model of a name that is no file; raises the error about the file if there is none."""
    known = PublicModels()
    found = known.find(name)
    if found is not None:
        return found
    own = known.find(Path(name).name)
    if own is not None and not name.endswith(".json"):
        missing.hint = f"without the path {quote(own.id)} is a published model"
        raise missing
    close = known.close_to(name)
    if close is not None or not (name.endswith(".json") or len(Path(name).parts) > 1):
        meant = f"did you mean {quote(close)}? " if close is not None else ""
        missing.hint = f"{meant}'{LISTING}' lists the models that are known by name"
    raise missing


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
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise _RefusedError(f"key {quote(key)} appears twice")
        table[key] = value
    return table


def _refuse_constant(text: str) -> float:
    raise _RefusedError(f"{text} is not a JSON number")


NAMES: dict[str, tuple[str, ...]] = {
    "width": ("hidden_size", "n_embd", "d_model", "n_embed", "dim"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "layers"),
    "heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "kv_heads": ("num_key_value_heads", "num_kv_heads", "n_head_kv"),
    "head_size": ("head_dim",),
    "ffn_width": ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "hidden_dim"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx"),
    "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
    "experts_per_token": ("num_experts_per_tok", "experts_per_token", "moe_top_k"),
    "expert_width": ("moe_intermediate_size",),
}

_LARGEST, _MOST_LAYERS = 10**9, 10**5  # no network comes near; beyond is a mistake or an attack


class Fields:
    """A model config with typed getters; a null counts as absent.

    ``source`` is its name in errors.
    """

    __slots__ = ("_table", "data", "source")

    def __init__(self, data: Mapping[str, object], *, source: str) -> None:
        self.data = data
        self.source = source
        self._table = Table({key: value for key, value in data.items() if value is not None}, source=source)

    def __contains__(self, name: str) -> bool:
        return any(key in self._table for key in _spellings(name))

    def missing(self, *names: str) -> list[str]:
        """Return the first spelling of each quantity that the config does not state."""
        return [_spellings(name)[0] for name in names if name not in self]

    def inside(self, name: str) -> tuple[Fields | None, str]:
        """Return the fields of the table that a dotted name points into, None without one, and the last name."""
        *tables, last = name.split(".")
        found = self
        for key in tables:
            value = found._table.raw(key)
            if not isinstance(value, dict):
                return None, last
            found = Fields(value, source=f"{found.source}: {key}")
        return found, last

    def refuse_missing(self, missing: list[str]) -> None:
        """Refuse a config that leaves out some fields, naming them."""
        if missing:
            noun = "field" if len(missing) == 1 else "fields"
            raise FileError(
                f"{self.source}: missing {noun} {', '.join(missing)}",
                hint="this family's parameters cannot be counted without; nothing is guessed",
            )

    def size(self, name: str, *, at_least: int = 1) -> int:
        """Return a whole number by the name of the quantity or of a field; raises FileError for any other value.

        It may not be absent, nor stated twice with different values.
        """
        self.refuse_missing(self.missing(name))
        keys = [key for key in _spellings(name) if key in self._table]
        values = [self._bounded(key, name, at_least=at_least) for key in keys]
        if len(set(values)) > 1 and name != "context":
            both = " and ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
            raise FileError(f"{self.source}: {both} contradict each other")
        return values[0]

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return self._table.boolean(name, default=default)

    def number(self, name: str) -> float:
        """Return a number of at least 0."""
        return self._table.number(name, at_least=0)

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        return self._table.text(name, default)

    def sequence(self, name: str) -> list[object]:
        """Return a list; an empty one when absent."""
        value = self._table.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._table.error(name, "expected a list")
        return value

    def _bounded(self, key: str, name: str, *, at_least: int) -> int:
        value = self._table.integer(key, at_least=at_least)
        most = _MOST_LAYERS if name == "layers" else _LARGEST
        if value > most:
            raise self._table.error(key, f"expected at most {most:,}")
        return value


def _spellings(name: str) -> tuple[str, ...]:
    return NAMES.get(name, (name,))
