"""The fields of a ``config.json`` under their many names, typed and bounded.

Families name the same quantity differently (``hidden_size``, ``n_embd``, ``d_model``); :data:`NAMES` lists the
spellings of each, and a config that gives two different values for one quantity is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from scaleplan.errors import FileError, quote
from scaleplan.records import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMES", "Fields", "Windows"]

NAMES: dict[str, tuple[str, ...]] = {
    "width": ("hidden_size", "n_embd", "d_model", "n_embed", "dim"),
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
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

_LARGEST = 10**9  # no dimension of a network comes near; beyond it is a mistake or an attack
_MOST_LAYERS = 10**5


class Windows(TypedDict):
    """The local attention of an :class:`~scaleplan.models.architecture.Architecture`."""

    window: int | None
    windowed_layers: int


class Fields:
    """A model config with typed getters; a null counts as absent.

    Parameters
    ----------
    data
        The JSON object.
    source
        Its name in errors.
    defaults
        What the reference implementation assumes for fields that published configs leave out.

    """

    __slots__ = ("_table", "data", "source")

    def __init__(self, data: Mapping[str, object], *, source: str, defaults: Mapping[str, int] | None = None) -> None:
        self.data = data
        self.source = source
        present = {key: value for key, value in data.items() if value is not None}
        for name, value in (defaults or {}).items():
            if not any(key in present for key in NAMES.get(name, (name,))):
                present[NAMES.get(name, (name,))[0]] = value
        self._table = Table(present, source=source)

    def __contains__(self, name: str) -> bool:
        return any(key in self._table for key in NAMES.get(name, (name,)))

    def missing(self, *names: str) -> list[str]:
        """Return the first spelling of each quantity that the config does not state."""
        return [NAMES.get(name, (name,))[0] for name in names if name not in self]

    def require(self, *names: str) -> None:
        """Refuse a config that leaves out any of these quantities, naming all of them at once."""
        missing = self.missing(*names)
        if missing:
            noun = "field" if len(missing) == 1 else "fields"
            raise FileError(
                f"{self.source}: missing {noun} {', '.join(missing)}",
                hint="this family's parameters cannot be counted without; nothing is guessed",
            )

    def size(self, name: str, default: int | None = None, *, at_least: int = 1) -> int:
        """Return a whole number by the name of the quantity or of a field.

        Raises
        ------
        FileError
            When it is absent without a default, not a whole number, out of bounds, or stated twice with
            different values.

        """
        keys = [key for key in NAMES.get(name, (name,)) if key in self._table]
        if not keys:
            if default is None:
                self.require(name)
            return default or 0
        values = [self._bounded(key, name, at_least=at_least) for key in keys]
        if len(set(values)) > 1 and name != "context":
            both = " and ".join(f"{key} {value}" for key, value in zip(keys, values, strict=True))
            raise FileError(f"{self.source}: {both} contradict each other")
        return values[0]

    def optional(self, name: str) -> int | None:
        """Return a whole number of at least 1, or None when the field is absent or null."""
        return self.size(name) if name in self else None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return self._table.boolean(name, default=default)

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        return self._table.text(name, default)

    def sequence(self, name: str) -> list[object]:
        """Return a list; an empty one when absent."""
        value = self._table.data.get(name, [])
        if not isinstance(value, list):
            raise self._table.error(name, "expected a list")
        return value

    def error(self, name: str, expected: str) -> FileError:
        """Return the error for one field."""
        return self._table.error(name, expected)

    def windows(self, *, every: int | None = None, first_full: int = 0, default: int | None = None) -> Windows:
        """Return which layers have local attention.

        Parameters
        ----------
        every
            Each layer whose number is a multiple of this one attends globally, unless ``layer_types`` lists
            the kinds; None when all layers are local.
        first_full
            The number of leading layers with full attention (Qwen's ``max_window_layers``).
        default
            The window when the config does not state one.

        """
        layers = self.size("layers")
        kinds = self.sequence("layer_types")
        if kinds and len(kinds) != layers:
            raise FileError(f"{self.source}: layer_types has {len(kinds)} entries for {layers} layers")
        for kind in kinds:
            if kind not in {"full_attention", "sliding_attention"}:
                raise FileError(f"{self.source}: layer_types: {quote(kind)} is not a kind of attention known here")
        window = self.size("sliding_window", default or 0, at_least=0) or None
        if window is None:
            return {"window": None, "windowed_layers": 0}
        if kinds:
            local = sum(kind == "sliding_attention" for kind in kinds)
        elif every is not None:
            local = layers - layers // every
        else:
            local = max(0, layers - first_full)
        return {"window": window if local else None, "windowed_layers": local}

    def _bounded(self, key: str, name: str, *, at_least: int) -> int:
        value = self._table.integer(key, at_least=at_least)
        most = _MOST_LAYERS if name == "layers" else _LARGEST
        if value > most:
            raise self._table.error(key, f"expected at most {most:,}")
        return value
