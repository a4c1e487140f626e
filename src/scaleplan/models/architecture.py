"""What a language model is made of: one description for every family, from which everything is counted.

A family's reader (``families/``) turns a ``config.json`` into an :class:`Architecture`; counts, FLOPs, caches,
memory and layouts read this record and know nothing of families.


The fields of a ``config.json`` under their many names, typed and bounded.

Families name the same quantity differently (``hidden_size``, ``n_embd``, ``d_model``); :data:`NAMES` lists the
spellings of each, and a config that gives two different values for one quantity is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from scaleplan.errors import FileError, quote
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NAMES", "Architecture", "Experts", "Fields", "Latent", "Windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The mixture-of-experts layers: a router that sends each token to some of many feed-forward blocks."""

    count: int
    """Routed experts in each such layer."""
    per_token: int
    """Routed experts that a token uses."""
    width: int
    """Inner width of one routed expert."""
    layers: int
    """Layers that have experts; the others have a dense feed-forward block."""
    shared_width: int = 0
    """Inner width of all always-active (shared) experts together."""
    shared_gate: bool = False
    """Whether the shared expert is scaled by a learned gate (one weight a channel)."""
    bias: bool = False
    """Whether the matrices of the routed experts have biases."""
    router_bias: bool = False
    """Whether the router has a learned bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values from a low-rank latent."""

    query_rank: int | None
    """Rank of the query projection; None for a plain matrix."""
    kv_rank: int
    """Rank of the joint key and value latent, which is what the cache holds."""
    nope: int
    """Channels of a query or key head without rotary position."""
    rope: int
    """Channels of a query head with rotary position; one key of this size is shared by all heads."""
    value: int
    """Channels of a value head."""
    bias: bool = False
    """Whether the down-projections have biases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The normalised description of a transformer."""

    family: str
    layers: int
    width: int
    """Width of the residual stream, d."""
    heads: int
    """Query heads."""
    kv_heads: int
    """Key and value heads."""
    head_size: int
    """Channels of a query, key and value head; not always ``width / heads``."""
    ffn_width: int
    """Inner width of a dense feed-forward block; 0 when every layer has experts and no such width is stated."""
    ffn_matrices: int
    """2 for up and down, 3 for the gated kinds (SwiGLU, GeGLU)."""
    vocab: int
    """Rows of the token table, padding included."""
    tied: bool
    """Whether the output head is the token table."""
    context: int | None = None
    """Longest context the configuration states, in tokens."""
    causal: bool = True
    """False for encoders, which attend to both sides and keep no cache."""

    positions: int = 0
    """Rows of a learned position table; 0 for rotary and ALiBi positions."""
    token_types: int = 0
    """Rows of a learned segment table (BERT)."""
    embedding_width: int | None = None
    """Width of the token table where it differs from ``width``: two projections then join them (OPT-350M)."""

    query_bias: bool = False
    kv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    head_bias: bool = False

    norm_weights: int = 1
    """Weights a channel of a norm: 0 non-parametric, 1 scale, 2 scale and shift."""
    norms_per_layer: int = 2
    qk_norm: int = 0
    """Weights of the query and key norms of one layer."""
    final_norm: bool = True
    embedding_norm: bool = False
    sinks: bool = False
    """Whether each query head has a learned attention sink (gpt-oss)."""

    experts: Experts | None = None
    latent: Latent | None = None
    window: int | None = None
    """Tokens that the layers with local attention see."""
    windowed_layers: int = 0
    """Layers with local attention."""
    extra_layers: int = 0
    """Multi-token-prediction blocks, which are not part of the counts."""

    pooler: bool = False
    """An encoder's pooler: a dense layer on the first token."""
    prediction_head: bool = False
    """An encoder's masked-token head: a dense layer and a norm before the token table."""
    sentence_head: bool = False
    """BERT's next-sentence classifier."""

    @property
    def dense_layers(self) -> int:
        """Layers with a dense feed-forward block."""
        return self.layers - (self.experts.layers if self.experts else 0)

    @property
    def table_width(self) -> int:
        """Width of the token table."""
        return self.embedding_width or self.width

    @property
    def score_size(self) -> int:
        """Channels of a head in the attention scores (query times key)."""
        return self.latent.nope + self.latent.rope if self.latent else self.head_size

    @property
    def value_size(self) -> int:
        """Channels of a head in the mixed values."""
        return self.latent.value if self.latent else self.head_size


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
