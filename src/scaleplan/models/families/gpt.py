"""Families in the line of GPT-2 and BERT: layer norms with shifts, two-matrix feed-forward blocks, biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.families.base import biases, decoder, family

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.config import Fields


def _four_widths(fields: Fields) -> int:
    """Return the feed-forward width, four times the model's unless stated."""
    return fields.size("ffn_width", 4 * fields.size("width"))


def _biased(fields: Fields, *, on: bool = True, tied: bool = False, **choices: object) -> Architecture:
    """Return a decoder with layer norms, two-matrix blocks and, where ``on``, a bias on every matrix."""
    every = dict.fromkeys(("query_bias", "kv_bias", "output_bias", "ffn_bias"), on)
    return decoder(fields, tied=tied, **{"ffn_matrices": 2, "norm_weights": 2, **every, **choices})


@family("gpt2", classes=("GPT2",))
def gpt2(fields: Fields) -> Architecture:
    """GPT-2 and Cerebras-GPT: learned positions, tied head."""
    if fields.flag("add_cross_attention", default=False):
        raise FileError(f"{fields.source}: add_cross_attention: models with cross-attention are not counted here")
    fields.require("context")
    return _biased(fields, tied=True, ffn_width=_four_widths(fields), positions=fields.size("context"))


@family("gpt_bigcode", classes=("GPTBigCode",))
def gpt_bigcode(fields: Fields) -> Architecture:
    """StarCoder: GPT-2 with one key and value head."""
    fields.require("context", "heads")
    kv_heads = 1 if fields.flag("multi_query", default=True) else fields.size("heads")
    return _biased(
        fields, tied=True, ffn_width=_four_widths(fields), kv_heads=kv_heads, positions=fields.size("context")
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
        tied=True,
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
    return _biased(fields, **biases(fields, default=True))


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
        tied=True,
    )


@family("bloom", classes=("Bloom",))
def bloom(fields: Fields) -> Architecture:
    """BLOOM: ALiBi positions, a norm after the token table."""
    return _biased(fields, ffn_width=_four_widths(fields), embedding_norm=True, tied=True)


@family("mpt", classes=("MPT", "Mpt"), defaults={"expansion_ratio": 4})
def mpt(fields: Fields) -> Architecture:
    """MPT: ALiBi positions and no bias anywhere, also not in the norms."""
    if not fields.flag("no_bias", default=True):
        raise FileError(f"{fields.source}: no_bias: MPT models with biases are not counted here")
    fields.require("width")
    return _biased(
        fields, on=False, ffn_width=fields.size("expansion_ratio") * fields.size("width"), norm_weights=1, tied=True
    )


@family("falcon", "RefinedWeb", "RefinedWebModel", classes=("Falcon", "RW"))
def falcon(fields: Fields) -> Architecture:
    """Falcon: 7B shares one key and value head and has one norm a layer, 40B and 180B groups and two norms."""
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
        tied=True,
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
    )


@family("starcoder2", classes=("Starcoder2",))
def starcoder2(fields: Fields) -> Architecture:
    """StarCoder 2: rotary positions, grouped keys and values, local attention, tied head."""
    return _biased(fields, on=fields.flag("use_bias", default=True), tied=True, **fields.windows())


@family("nemotron", classes=("NemotronFor", "NemotronModel"))
def nemotron(fields: Fields) -> Architecture:
    """Nemotron 3 and 4: squared-ReLU blocks of two matrices, layer norms, no biases unless stated."""
    return _biased(fields, ffn_bias=fields.flag("mlp_bias", default=False), **biases(fields))


def _encoder(fields: Fields, *, token_types: int, pooler: bool = True) -> Architecture:
    """Return an encoder with the heads of the class that ``architectures`` names.

    That is a pooler for ``BertModel`` (and where no class is named), the masked-token head for ``BertForMaskedLM``,
    the same head over causal attention for the causal classes (``RobertaForCausalLM``, ``BertLMHeadModel``), and
    head, pooler and the next-sentence classifier for ``BertForPreTraining``. BERT-base so has 109,482,240,
    109,514,298 (twice) and 110,106,428 parameters.
    """
    fields.require("context")
    classes = [str(name) for name in fields.sequence("architectures")]
    name = classes[0] if classes else ""
    pretraining = name.endswith("ForPreTraining")
    decoder_class = name.endswith(("ForCausalLM", "LMHeadModel"))
    prediction_head = decoder_class or name.endswith("ForMaskedLM") or pretraining
    return _biased(
        fields,
        tied=True,
        causal=fields.flag("is_decoder", default=False) or decoder_class,
        positions=fields.size("context"),
        token_types=token_types,
        embedding_norm=True,
        final_norm=False,
        head_bias=prediction_head,
        prediction_head=prediction_head,
        sentence_head=pretraining,
        pooler=pooler and (pretraining or not prediction_head),
    )


@family(
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    classes=("BertFor", "BertModel", "BertLM", "Roberta", "XLMRoberta", "Camembert"),
)
def bert(fields: Fields) -> Architecture:
    """BERT, RoBERTa, XLM-RoBERTa, CamemBERT: norms after each block and after the tables."""
    return _encoder(fields, token_types=fields.size("type_vocab_size", 2))


@family("distilbert", classes=("DistilBert",))
def distilbert(fields: Fields) -> Architecture:
    """DistilBERT: BERT without segments and pooler."""
    return _encoder(fields, token_types=0, pooler=False)
