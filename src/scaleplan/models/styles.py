"""The styles in which families shape their models, the usual proportions, and the shapes of published models.

A :class:`Style` holds a family's choices (vocabulary, tying, heads, width of the blocks); :func:`config_of` writes
sizes by that family's field names. A new style is one entry of :data:`STYLES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from scaleplan.arrays import whole
from scaleplan.files import read_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.architecture import Architecture

__all__ = [
    "STYLES",
    "PublishedShape",
    "Style",
    "StyleSizes",
    "aspect_for",
    "config_of",
    "head_counts",
    "kv_head_count",
    "nearest",
    "published_shapes",
    "usual_width",
]

_TIED_BELOW = 3e9  # most families share the token table with the head (Llama 3.2, Qwen, SmolLM)

_GROUPED_FROM = 7e9  # grouped keys and values are the common choice


def aspect_for(params: float) -> float:
    """Return the usual width over depth: 64 at 1e8 parameters, 107 at 1e10, 137 at 1e11.

    A power through published ladders, clamped to the range that they span; loss hardly depends on it
    (Kaplan et al. 2020, arXiv:2001.08361, section 3.1).
    """
    return min(160.0, max(40.0, 64.0 * (params / 1e8) ** 0.11))


def usual_width(params: float, *, aspect: float, per_square: float, tables: float) -> float:
    """Return the width d of ``per_square d³ / aspect + tables d`` parameters, by bisection of its logarithm."""
    low, high = 1.0, 1e6
    for _ in range(40):
        middle = math.sqrt(low * high)
        too_wide = per_square * middle**3 / aspect + tables * middle > params
        low, high = (low, middle) if too_wide else (middle, high)
    return low


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleSizes:
    """The dimensions of a model of a style."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    ffn_width: int
    vocab: int
    context: int
    tied: bool
    experts: int = 0
    experts_per_token: int = 0


@dataclass(frozen=True, slots=True)
class Style:
    """The choices of a family for its models: the names in its configs, its defaults, and rules for the rest."""

    model_type: str
    model_class: str
    vocab: int
    context: int
    tied: Literal["always", "never", "small"] = "small"
    """Whether the head is the token table; ``small`` below 3e9 parameters."""
    kv: Literal["full", "eight", "half", "large"] = "large"
    """``full`` heads, groups of 8 heads, ``half`` of the heads, or ``large``: groups from 7e9 parameters."""
    heads: Literal["split", "wide", "free"] = "split"
    """``split`` shares the width in heads of 64 or 128; ``wide`` has heads of 256 in wide models (Gemma); ``free``
    has at least 16 heads of 128 whatever the width (Qwen 3)."""
    matrices: int = 3
    """Matrices in a feed-forward block."""
    experts: int = 0
    experts_per_token: int = 0
    extra: Mapping[str, object] = field(default_factory=dict)
    """Further fields of the config."""

    def ties(self, params: float) -> bool:
        """Return whether a model of this size has one token table."""
        return self.tied == "always" or (self.tied == "small" and params < _TIED_BELOW)


_SILU = {"hidden_act": "silu", "attention_bias": False}

_LLAMA = {**_SILU, "mlp_bias": False}

_FULL = {"hidden_act": "silu", "sliding_window": None}

# Vocabularies are the families' own, padded to a multiple of 128; contexts are those they were trained with first.
STYLES: dict[str, Style] = {
    "gpt2": Style(
        model_type="gpt2",
        model_class="GPT2LMHeadModel",
        vocab=50304,
        context=1024,
        tied="always",
        kv="full",
        matrices=2,
        extra={"activation_function": "gelu_new"},
    ),
    "pythia": Style(
        model_type="gpt_neox",
        model_class="GPTNeoXForCausalLM",
        vocab=50304,
        context=2048,
        tied="never",
        kv="full",
        matrices=2,
        extra={"hidden_act": "gelu", "use_parallel_residual": True},
    ),
    "llama": Style("llama", "LlamaForCausalLM", 32000, 4096, extra=_LLAMA),
    "llama3": Style("llama", "LlamaForCausalLM", 128256, 8192, kv="eight", extra=_LLAMA),
    "mistral": Style("mistral", "MistralForCausalLM", 32768, 32768, tied="never", kv="eight", extra=_FULL),
    "qwen2": Style("qwen2", "Qwen2ForCausalLM", 151936, 32768, kv="eight", extra={"hidden_act": "silu"}),
    "qwen3": Style("qwen3", "Qwen3ForCausalLM", 151936, 32768, kv="eight", heads="free", extra=_SILU),
    "gemma2": Style(
        model_type="gemma2",
        model_class="Gemma2ForCausalLM",
        vocab=256000,
        context=8192,
        tied="always",
        kv="half",
        heads="wide",
        extra={"hidden_activation": "gelu_pytorch_tanh", "sliding_window": 4096},
    ),
    "olmo2": Style("olmo2", "Olmo2ForCausalLM", 100352, 4096, tied="never", kv="full", extra=_SILU),
    "mixtral": Style(
        "mixtral",
        "MixtralForCausalLM",
        32000,
        32768,
        "never",
        "eight",
        experts=8,
        experts_per_token=2,
        extra=_FULL,
    ),
    "olmoe": Style(
        "olmoe", "OlmoeForCausalLM", 50304, 4096, "never", "full", experts=64, experts_per_token=8, extra=_SILU
    ),
    "qwen3_moe": Style(
        model_type="qwen3_moe",
        model_class="Qwen3MoeForCausalLM",
        vocab=151936,
        context=32768,
        tied="never",
        kv="eight",
        heads="free",
        experts=128,
        experts_per_token=8,
        extra={**_SILU, "decoder_sparse_step": 1, "mlp_only_layers": []},
    ),
}


def config_of(style: Style, sizes: StyleSizes) -> dict[str, object]:
    """Return the ``config.json`` of a model of this style and these sizes."""
    head: dict[str, object] = {"architectures": [style.model_class], "model_type": style.model_type}
    # absent special tokens: a config without a tokenizer must not point outside its vocabulary
    tokens = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    tail = {"vocab_size": sizes.vocab, "tie_word_embeddings": sizes.tied, **tokens, **style.extra}
    if style.model_type == "gpt2":
        return {
            **head,
            "n_embd": sizes.width,
            "n_layer": sizes.layers,
            "n_head": sizes.heads,
            "n_inner": sizes.ffn_width,
            "n_positions": sizes.context,
            **tail,
        }
    config = {
        **head,
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "max_position_embeddings": sizes.context,
        **tail,
    }
    if style.model_type != "gpt_neox":
        config["num_key_value_heads"] = sizes.kv_heads
    if style.heads != "split":
        config["head_dim"] = sizes.head_size
    if not style.experts:
        config["intermediate_size"] = sizes.ffn_width
        return config
    local = style.model_type == "mixtral"
    config["num_local_experts" if local else "num_experts"] = sizes.experts
    config["num_experts_per_tok"] = sizes.experts_per_token
    config["moe_intermediate_size" if style.model_type == "qwen3_moe" else "intermediate_size"] = sizes.ffn_width
    return config


def head_counts(style: Style, width: int, *, smallest: int) -> tuple[int, int] | None:
    """Return (heads, head size) for a width, None when it does not divide; ``smallest`` is the least size."""
    if style.heads == "free" and width >= 1024:
        return (max(16, width // 128), 128) if width % 128 == 0 else None
    size = 64 if width < 1536 else 128
    if style.heads == "wide" and width >= 2048:
        size = 256
    size = min(size, smallest) if smallest < 64 else size
    return (width // size, size) if width % size == 0 else None


def kv_head_count(style: Style, heads: int, params: float, *, tensor_parallel: int) -> int:
    """Return the key and value heads of the style, a divisor of the heads that the ranks share evenly."""
    kind = style.kv
    if kind == "large":
        kind = "eight" if params >= _GROUPED_FROM else "full"
    if kind == "full":
        return heads
    ideal = 8 if kind == "eight" else heads / 2
    divisors = [k for k in range(1, heads + 1) if heads % k == 0 and k % tensor_parallel == 0]
    if kind == "eight":  # 4 rather than 7 for 28 heads, as Qwen does
        divisors = [k for k in divisors if k & (k - 1) == 0] or divisors
    return min(divisors, key=lambda k: (abs(k - ideal), -k), default=heads)


@dataclass(frozen=True, kw_only=True)
class PublishedShape:
    """The shape of a published model."""

    name: str
    params: float
    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn_width: int
    source: str


@dataclass(frozen=True, kw_only=True)
class _Published(PublishedShape):
    active_params: float


def published_shapes() -> list[_Published]:
    """Return the shapes of ``shapes.toml``, the bundled and the user's own; raises FileError for an invalid file."""
    shapes = []
    for table in read_data("shapes.toml"):
        for family in table.tables("families"):
            source = family.text("source")
            for row in family.tables("models"):
                heads, width = row.integer("heads", at_least=1), row.integer("width", at_least=1)
                params = row.number("params", above=0)
                shapes.append(
                    _Published(
                        name=row.text("name"),
                        params=params,
                        active_params=row.number("active_params", params, above=0),
                        layers=row.integer("layers", at_least=1),
                        width=width,
                        heads=heads,
                        kv_heads=row.integer("kv_heads", heads, at_least=1),
                        ffn_width=row.integer("ffn_width", 4 * width, at_least=1),
                        source=source,
                    )
                )
                row.done()
            family.done()
        table.done()
    return shapes


def nearest(architecture: Architecture, *, params: float, active_params: float) -> PublishedShape | None:
    """Return the published shape nearest in the logarithms of sizes, width and depth; None without a data file."""

    def distance(shape: _Published) -> float:
        pairs = (
            (shape.params, params),
            (shape.active_params, active_params),
            (shape.width, architecture.width),
            (shape.layers, architecture.layers),
        )
        return sum(math.log(one / other) ** 2 for one, other in pairs)

    found = min(published_shapes(), key=distance, default=None)
    if found is None:
        return None
    values = {item.name: getattr(found, item.name) for item in fields(PublishedShape)}
    return PublishedShape(**{**values, "params": whole(found.params)})
