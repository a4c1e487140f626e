"""Families in the line of GPT-2: layer norms, two-matrix feed-forward blocks, biases, GPT-J's parallel layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.families.base import decoder, family

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture, Fields


def _four_widths(fields: Fields) -> int:
    """Return the feed-forward width, four times the model's unless stated."""
    fields.require("width")
    return fields.size("ffn_width", 4 * fields.size("width"))


def _biased(fields: Fields, *, on: bool = True, **choices: object) -> Architecture:
    """Return a decoder with layer norms and a bias on every matrix."""
    return decoder(
        fields,
        **{
            "ffn_matrices": 2,
            "norm_weights": 2,
            "query_bias": on,
            "kv_bias": on,
            "output_bias": on,
            "ffn_bias": on,
            **choices,
        },
    )


@family("gpt2", classes=("GPT2",))
def gpt2(fields: Fields) -> Architecture:
    """GPT-2 and Cerebras-GPT: learned positions, tied head."""
    if fields.flag("add_cross_attention", default=False):
        raise FileError(f"{fields.source}: add_cross_attention: models with cross-attention are not counted here")
    fields.require("context")
    tied = fields.flag("tie_word_embeddings", default=True)
    return _biased(fields, ffn_width=_four_widths(fields), positions=fields.size("context"), tied=tied)


@family("gpt_bigcode", classes=("GPTBigCode",))
def gpt_bigcode(fields: Fields) -> Architecture:
    """StarCoder: GPT-2 with one key and value head."""
    fields.require("context", "heads")
    kv_heads = 1 if fields.flag("multi_query", default=True) else fields.size("heads")
    tied = fields.flag("tie_word_embeddings", default=True)
    return _biased(
        fields, ffn_width=_four_widths(fields), kv_heads=kv_heads, positions=fields.size("context"), tied=tied
    )


@family("gpt_neo", classes=("GPTNeoFor", "GPTNeoModel"))
def gpt_neo(fields: Fields) -> Architecture:
    """GPT-Neo: learned positions, no query, key and value biases, every second layer local."""
    fields.require("context", "layers")
    return _biased(
        fields,
        ffn_width=_four_widths(fields),
        positions=fields.size("context"),
        query_bias=False,
        kv_bias=False,
        tied=fields.flag("tie_word_embeddings", default=True),
        window=fields.size("window_size", 256),
        windowed_layers=_local_layers(fields),
    )


def _local_layers(fields: Fields) -> int:
    """Count the local layers of GPT-Neo's ``attention_layers``, by default every second one."""
    kinds = fields.sequence("attention_layers")  # written beside attention_types, its compressed form
    layers = fields.size("layers")
    if kinds and len(kinds) != layers:
        raise FileError(f"{fields.source}: attention_layers has {len(kinds)} entries for {layers} layers")
    return sum(kind == "local" for kind in kinds) if kinds else layers // 2


@family("gpt_neox", classes=("GPTNeoX",))
def gpt_neox(fields: Fields) -> Architecture:
    """GPT-NeoX and Pythia: rotary positions, untied head."""
    on = fields.flag("attention_bias", default=True)
    return _biased(
        fields,
        query_bias=on,
        kv_bias=on,
        output_bias=on,
        tied=fields.flag("tie_word_embeddings", default=False),
    )


@family("gptj", "codegen", classes=("GPTJ", "CodeGen"))
def gptj(fields: Fields) -> Architecture:
    """GPT-J and CodeGen: one norm a layer, no attention biases, a bias on the head."""
    return _biased(
        fields,
        ffn_width=_four_widths(fields),
        query_bias=False,
        kv_bias=False,
        output_bias=False,
        head_bias=True,
        norms_per_layer=1,
        tied=fields.flag("tie_word_embeddings", default=False),
    )


@family("opt", classes=("OPT",))
def opt(fields: Fields) -> Architecture:
    """OPT: learned positions with two extra rows; OPT-350M has a narrower token table and no final norm."""
    fields.require("context", "width")
    width = fields.size("width")
    table = fields.size("word_embed_proj_dim", width)
    final_norm = fields.flag("do_layer_norm_before", default=True)
    return _biased(
        fields,
        on=fields.flag("enable_bias", default=True),
        positions=fields.size("context") + 2,
        embedding_width=table if table != width else None,
        norm_weights=2 if fields.flag("layer_norm_elementwise_affine", default=True) else 0,
        final_norm=final_norm and not fields.flag("_remove_final_layer_norm", default=False),
        tied=fields.flag("tie_word_embeddings", default=True),
    )


@family("bloom", classes=("Bloom",))
def bloom(fields: Fields) -> Architecture:
    """BLOOM: ALiBi positions, a norm after the token table."""
    return _biased(
        fields,
        ffn_width=_four_widths(fields),
        embedding_norm=True,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


@family("mpt", classes=("MPT", "Mpt"), defaults={"expansion_ratio": 4})
def mpt(fields: Fields) -> Architecture:
    """MPT: ALiBi positions and no bias anywhere, also not in the norms."""
    fields.require("width")
    return _biased(
        fields,
        on=False,
        ffn_width=fields.size("expansion_ratio") * fields.size("width"),
        norm_weights=1,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


@family("falcon", "RefinedWeb", "RefinedWebModel", classes=("Falcon", "RW"))
def falcon(fields: Fields) -> Architecture:
    """Falcon: 7B shares one key and value head and has one norm a layer, 40B and 180B groups and two norms."""
    fields.require("heads")
    heads = fields.size("heads")
    grouped = fields.flag("new_decoder_architecture", default=False)
    shared = fields.flag("multi_query", default=True) and not grouped
    kv_heads = 1 if shared else fields.size("kv_heads", heads) if grouped else heads
    norms = fields.size("num_ln_in_parallel_attn", 2 if grouped else 1)
    return _biased(
        fields,
        on=fields.flag("bias", default=False),
        ffn_width=_four_widths(fields),
        kv_heads=kv_heads,
        norms_per_layer=norms if fields.flag("parallel_attn", default=True) else 2,
        tied=fields.flag("tie_word_embeddings", default=True),
    )


@family("phi", classes=("PhiFor", "PhiModel"))
def phi(fields: Fields) -> Architecture:
    """Phi-1, 1.5 and 2: biases everywhere, one norm a layer, a bias on the head."""
    fields.require("width", "heads")
    head_size = fields.size("width") // fields.size("heads")
    return _biased(
        fields,
        head_bias=True,
        norms_per_layer=1,
        qk_norm=4 * head_size if fields.flag("qk_layernorm", default=False) else 0,
        tied=fields.flag("tie_word_embeddings", default=False),
    )


@family("starcoder2", classes=("Starcoder2",))
def starcoder2(fields: Fields) -> Architecture:
    """StarCoder 2: rotary positions, grouped keys and values, local attention, tied head."""
    return _biased(
        fields,
        on=fields.flag("use_bias", default=True),
        tied=fields.flag("tie_word_embeddings", default=True),
        **fields.windows(),
    )


@family("nemotron", classes=("NemotronFor", "NemotronModel"))
def nemotron(fields: Fields) -> Architecture:
    """Nemotron 3 and 4: squared-ReLU blocks of two matrices, layer norms, no biases unless stated."""
    on = fields.flag("attention_bias", default=False)
    return _biased(
        fields,
        query_bias=on,
        kv_bias=on,
        output_bias=on,
        ffn_bias=fields.flag("mlp_bias", default=False),
        tied=fields.flag("tie_word_embeddings", default=False),
    )
