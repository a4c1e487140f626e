"""Read the model of a run from its config.json, or from the sizes in a training config of a layout that is known.

A layout is a reader of :data:`LAYOUTS`: it returns the architecture, or None for a config of another trainer. A size
that decides the count and is not in the file, because the tokenizer, a default of the trainer's code or the launch
has it, is an error with the place in the file: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaleplan.documents.document import DataDocument
from scaleplan.documents.key_path import Undetermined, format_key, parse_key
from scaleplan.errors import FileError, escape_control
from scaleplan.models.architecture import Architecture
from scaleplan.models.model import Model, describe, read_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.documents.key_path import Document, Found

__all__ = ["LAYOUTS", "model_of"]

_LARGEST = 10**9  # of a dimension, as in a config.json: no network comes near

_HINT = "give params in the project's file, or model with the config.json of the model"


def model_of(document: Document) -> Model:
    """Return the model that a file describes.

    Raises FileError where the file does not determine it, at the line that comes nearest.
    """
    data = document.data if isinstance(document, DataDocument) else None
    if isinstance(data, dict) and {"model_type", "architectures", "text_config"} & data.keys():
        return _described(data, document.name)
    for read in LAYOUTS:
        found = read(_Sizes(document))
        if found is not None:
            return found
    if isinstance(data, dict) and document.name.endswith(".json"):
        return _described(data, document.name)  # says which fields a config.json needs
    raise _undetermined(document)


def _described(data: Mapping[str, object], name: str) -> Model:
    """Return the model of the fields of a config.json that stand in a file of this name."""
    try:
        return replace(read_model(data), source=name)
    except FileError as error:
        message = error.message.removeprefix("config")
        raise FileError(f"{name}{message}", hint=error.hint, file=name) from None


class _Sizes:
    """The sizes in a section of a config."""

    def __init__(self, document: Document, section: str = "") -> None:
        self.document = document
        self.name = document.name
        self.section = parse_key(section) if section else ()

    def _find(self, name: str) -> Found | None:
        found = self.document.find((*self.section, *parse_key(name)))
        return None if found is None or found.value is None else found

    def has(self, *names: str) -> bool:
        """Return whether all of these are there, and not null."""
        return all(self._find(name) is not None for name in names)

    def error(self, name: str, message: str) -> FileError:
        """Return an error about a size; where it is missing, at the section."""
        found = self._find(name) or self.document.find(self.section)
        line = found.line if found is not None else None
        key = escape_control(format_key((*self.section, *parse_key(name))))
        at = f"{self.name}:{line}" if line else self.name
        return FileError(f"{at}: {key}: {message}", hint=_HINT, file=self.name, line=line)

    def size(self, name: str, default: int | None = None) -> int:
        """Return a whole number of at least 1."""
        found = self._find(name)
        if found is None:
            if default is None:
                raise self.error(name, "the size of the model is not determined by the file, which lacks this key")
            return default
        value = found.value
        if isinstance(value, str) and value.isdecimal() and len(value) <= 10:  # a word of a shell script
            value = int(value)
        if isinstance(value, Undetermined):
            raise self.error(name, f"not determined by the file: {value.reason}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.error(name, "not determined by the file: expected a whole number")
        if not 1 <= value <= _LARGEST:
            raise self.error(name, "not determined by the file: the number is no size, so the run finds it")
        return int(value)

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return true or false."""
        found = self._find(name)
        if found is None and default is not None:
            return default
        if found is None or not isinstance(found.value, bool):
            raise self.error(name, "not determined by the file: expected true or false")
        return found.value

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text."""
        found = self._find(name)
        if found is None and default is not None:
            return default
        if found is None or not isinstance(found.value, str):
            raise self.error(name, "the size of the model is not determined by the file, which lacks this name")
        return found.value

    def refuse(self, *names: str) -> None:
        """Refuse keys that change the count in a way that is not counted here."""
        for name in names:
            found = self._find(name)
            if found is not None and found.value is not False and found.value != 0:
                raise self.error(name, "a model with this is not counted here")

    def share(self, width: int, heads: int) -> int:
        """Return the size of a head that has its share of the width."""
        if width % heads:
            raise FileError(f"{self.name}: width {width} is not a multiple of {heads} heads", file=self.name)
        return width // heads


def _model(sizes: _Sizes, name: str, **fields: Any) -> Model:  # noqa: ANN401
    """Return the model of an architecture; heads share the width and have their own keys unless stated."""
    width, heads = fields["width"], fields["heads"]
    fields.setdefault("kv_heads", heads)
    if "head_size" not in fields:
        fields["head_size"] = sizes.share(width, heads)
    if heads % fields["kv_heads"]:
        raise FileError(f"{sizes.name}: {heads} heads cannot share {fields['kv_heads']} key heads", file=sizes.name)
    return describe(Architecture(family=name, **fields), source=sizes.name)


def _biased(*, on: bool) -> dict[str, bool]:
    return dict.fromkeys(("query_bias", "kv_bias", "output_bias", "ffn_bias"), on)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def nanogpt(sizes: _Sizes) -> Model | None:
    """Return nanoGPT's GPT-2: learned positions, a tied head, no shift in the norms where there are no biases.

    A Python config changes the assignments of train.py, whose sizes are 12 layers, 12 heads, 768, no biases, and
    50304 rows (karpathy/nanoGPT train.py); in another file each is to be stated.
    """
    config = sizes.name.endswith(".py") and sizes.has("block_size", "max_iters")
    if not (config or sizes.has("n_layer", "n_head", "n_embd", "block_size")):
        return None
    layers, heads, width, vocab = (12, 12, 768, 50304) if config else (None, None, None, None)
    bias = sizes.flag("bias", default=False if config else None)
    width, context = sizes.size("n_embd", width), sizes.size("block_size")
    return _model(
        sizes,
        "nanogpt",
        layers=sizes.size("n_layer", layers),
        width=width,
        heads=sizes.size("n_head", heads),
        ffn_width=4 * width,
        ffn_matrices=2,
        vocab=sizes.size("vocab_size", vocab),
        tied=True,
        context=context,
        positions=context,
        norm_weights=2 if bias else 1,
        **_biased(on=bias),
    )


def llama_params(sizes: _Sizes) -> Model | None:
    """Return the model of the params.json beside Meta's Llama weights, whose vocabulary may be -1: the tokenizer's.

    The inner width is ``multiple_of * ceil(int(2/3 * 4 dim) * ffn_dim_multiplier / multiple_of)``: 4096 gives 11008
    for Llama 2 7B, and 14336 with 1.3 and 1024 for Llama 3 8B, as their config.json have it.
    """
    if not sizes.has("dim", "n_layers", "n_heads", "multiple_of"):
        return None
    sizes.refuse("moe", "moe_args", "num_experts")
    width, heads = sizes.size("dim"), sizes.size("n_heads")
    inner: float = int(2 * 4 * width / 3)
    if sizes.has("ffn_dim_multiplier"):
        found = sizes.document.find(("ffn_dim_multiplier",))
        factor = found.value if found is not None else None
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 100:
            raise sizes.error("ffn_dim_multiplier", "expected a number above 0")
        inner = int(factor * inner)
    return _model(
        sizes,
        "llama",
        layers=sizes.size("n_layers"),
        width=width,
        heads=heads,
        kv_heads=sizes.size("n_kv_heads", heads),
        ffn_width=_up(int(inner), sizes.size("multiple_of")),
        ffn_matrices=3,
        vocab=sizes.size("vocab_size"),
        tied=False,
    )


def nanotron(sizes: _Sizes) -> Model | None:
    """Return Nanotron's Llama; its table is padded to a multiple that grows with the tensor-parallel group."""
    inner = _Sizes(sizes.document, "model.model_config")
    if not inner.has("is_llama_config", "hidden_size", "num_hidden_layers"):
        return None
    heads = inner.size("num_attention_heads")
    multiple = sizes.size("model.make_vocab_size_divisible_by") * sizes.size("parallelism.tp")
    return _model(
        inner,
        "llama",
        layers=inner.size("num_hidden_layers"),
        width=inner.size("hidden_size"),
        heads=heads,
        kv_heads=inner.size("num_key_value_heads", heads),
        ffn_width=inner.size("intermediate_size"),
        ffn_matrices=3,
        vocab=_up(inner.size("vocab_size"), multiple),
        tied=inner.flag("tie_word_embeddings"),
        context=inner.size("max_position_embeddings", _LARGEST) if inner.has("max_position_embeddings") else None,
    )


def olmo(sizes: _Sizes) -> Model | None:
    """Return OLMo's model: with SwiGLU ``mlp_hidden_size`` is gate and up together, ``embedding_size`` the table."""
    inner = _Sizes(sizes.document, "model")
    if not inner.has("d_model", "n_heads", "n_layers") or inner.has("name"):
        return None
    gated = inner.text("activation_type").casefold() == "swiglu"
    width, heads = inner.size("d_model"), inner.size("n_heads")
    stated = inner.size("mlp_hidden_size")
    biased = inner.flag("include_bias")
    inner.refuse("attention_layer_norm", "multi_query_attention", "block_group_size")
    affine = inner.flag("layer_norm_with_affine")
    if affine or biased:
        raise inner.error("layer_norm_with_affine", "which norms have weights is not determined by the file")
    return _model(
        inner,
        "olmo",
        layers=inner.size("n_layers"),
        width=width,
        heads=heads,
        kv_heads=inner.size("n_kv_heads", heads),
        ffn_width=stated // 2 if gated else stated,
        ffn_matrices=3 if gated else 2,
        vocab=inner.size("embedding_size") if inner.has("embedding_size") else inner.size("vocab_size"),
        tied=inner.flag("weight_tying"),
        context=inner.size("max_sequence_length"),
        norm_weights=0,
    )


def mpt(sizes: _Sizes) -> Model | None:
    """Return llm-foundry's MPT: tied, with biases unless ``no_bias``, and learned positions unless turned off."""
    inner = _Sizes(sizes.document, "model")
    if not (inner.has("name", "d_model") and inner.text("name", "").startswith("mpt")):
        return None
    inner.refuse("ffn_config", "attn_config.kv_n_heads", "attn_config.qk_ln", "attn_config.qk_gn")
    width, biased = inner.size("d_model"), not inner.flag("no_bias", default=False)
    context = inner.size("max_seq_len")
    return _model(
        inner,
        "mpt",
        layers=inner.size("n_layers"),
        width=width,
        heads=inner.size("n_heads"),
        ffn_width=width * inner.size("expansion_ratio"),
        ffn_matrices=2,
        vocab=inner.size("vocab_size"),
        tied=inner.flag("tie_word_embeddings", default=True),
        context=context,
        positions=context if inner.flag("learned_pos_emb", default=True) else 0,
        norm_weights=2 if biased else 1,
        **_biased(on=biased),
    )


def megatron(sizes: _Sizes) -> Model | None:
    """Return Megatron-LM's GPT, by flags or as a mapping (megatron/training/arguments.py).

    The inner width is four times the width, two thirds of that in multiples of 64 with SwiGLU; the table is padded to
    a multiple of 128, or of what is stated, times the tensor-parallel group.
    """
    if not sizes.has("num_layers", "hidden_size", "num_attention_heads") or sizes.has(
        "train_micro_batch_size_per_gpu"
    ):
        return None
    sizes.refuse("num_experts", "multi_latent_attention", "qk_layernorm", "add_qkv_bias", "mtp_num_layers")
    width, heads = sizes.size("hidden_size"), sizes.size("num_attention_heads")
    gated = sizes.flag("swiglu", default=False)
    grouped = sizes.flag("group_query_attention", default=False)
    multiple = sizes.size("make_vocab_size_divisible_by", 128) * sizes.size("tensor_model_parallel_size", 1)
    learned = sizes.text("position_embedding_type") == "learned_absolute"
    return _model(
        sizes,
        "megatron",
        layers=sizes.size("num_layers"),
        width=width,
        heads=heads,
        kv_heads=sizes.size("num_query_groups", 1) if grouped else heads,
        **({"head_size": sizes.size("kv_channels")} if sizes.has("kv_channels") else {}),
        ffn_width=sizes.size("ffn_hidden_size", int(4 * width * 2 / 3 / 64) * 64 if gated else 4 * width),
        ffn_matrices=3 if gated else 2,
        vocab=_up(sizes.size("vocab_size"), multiple),
        tied=not sizes.flag("untie_embeddings_and_output_weights", default=False),
        positions=sizes.size("max_position_embeddings") if learned else 0,
        norm_weights=1 if sizes.text("normalization", "LayerNorm") == "RMSNorm" else 2,
        **_biased(on=not sizes.flag("disable_bias_linear", default=False)),
    )


LAYOUTS: tuple[Callable[[_Sizes], Model | None], ...] = (nanogpt, llama_params, nanotron, olmo, mpt, megatron)
"""The readers of known layouts, tried in turn."""

_SECTIONS = ("", "model", "model_config", "model.model_config")

_MARKS = (
    *("hidden_size", "d_model", "n_embd", "hidden_dim", "dim", "base_emb_dim", "depth"),
    *("model_name", "base_model", "pretrained_model_name_or_path", "flavor", "name"),
)


def _undetermined(document: Document) -> FileError:
    """Return the error of a file of no known layout, at a key that is about the model if there is one."""
    for section in _SECTIONS:
        sizes = _Sizes(document, section)
        for mark in _MARKS:
            if sizes.has(mark):
                return sizes.error(mark, "the size of the model is not determined by this file alone")
    return FileError(f"{document.name}: there is no model in this file", hint=_HINT, file=document.name)
