"""Find the fields of a config that change the count of parameters and that its family did not read.

A config that states experts, state-space layers or latent attention, read as a family that has none, would be
counted wrong without a sign of it. The kinds are recognised by their names in the configuration classes of the
transformers library (5.24) and of model repositories, so that a new field of an old kind is caught as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.config import NAMES

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.config import Fields

__all__ = ["refuse_unread"]

_KINDS: dict[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "experts": r"(^|_)experts?(_|$)|^moe_|_moe(_|$)|^is_moe$|^first_k_dense|^num_dense_layers"
        r"|^decoder_sparse_step|^shared_(intermediate|expert)\w*size$"
        r"|^mlp_only_layers|^mlp_layer_types|^ffn_config$|^router_hidden_size",
        "state-space or linear attention": r"^(linear|mamba|ssm|kda|rwkv|gla|lru|delta|gdn|retention|recurrent)_"
        r"|^mamba\d*$|_mamba_|^(short_)?conv(1d)?_?(kernel|width|dim|l_cache|bias)|_conv_(kernel|dim)|^n_groups$"
        r"|^(d_)?(state_size|d_state|d_conv|dt_rank|conv_kernel|time_step_rank)$|^use_conv_bias$"
        r"|^time_mix|^attention_hidden_size$|^hyena|^n_recurrent",
        "latent attention": r"(^|_)(q|kv|o|qk|v)_lora_rank$|^qk_(nope_|rope_)?head_dim$|^v_head_dim$"
        r"|^index_(head|n_heads)|^o_groups$|^(qk|v)_dim_factor$|^compress_rat|^(k|v|q)_rank$",
        "layers of several kinds": r"^attn_layer|^(attention|attn)_layers?$|^full_attn_idxs$|^block_types?$"
        r"|^layers?_block_type|^layer_types$|hybrid_(layer|override|block)|^loop_layer_index_(start|end)$|^(block|layer)_pattern$"
        r"|^layer_group|^per_layer_config$",
        "an encoder or cross-attention": r"^is_encoder_decoder$"
        r"|^(encoder|decoder)_(layers|ffn_dim|attention_heads|config)$"
        r"|^num_(encoder|decoder)_(layers|attention_heads)$|cross_attention|^encoder$|^decoder$",
        "further tables": r"type_vocab_size|(^|_)embedding_size$|per_layer_input$|^word_embed_proj_dim$|ngram"
        r"|^(hc_mult|hc_count|hc_lowrank)$|^altup_num_inputs$|^laurel_rank$|^ple_|^num_mem_blocks$|^emb_dim$"
        r"|^n?um_(codebooks|meta_tokens)$|^(learned|absolute)_pos",
        "attention or blocks of another shape": r"^(attention_k_eq_v|num_kv_shared_layers|use_double_wide_mlp)$"
        r"|^(swa|global|full|local|sliding)_(attn_)?(head_dim|num_\w*heads|\w*kv_heads)$|^num_global_\w*heads$"
        r"|(^|_)(qk|q|k)_(layer)?norm$|^use_qk_norm|^multi_query$|^new_decoder_architecture$|^parallel_attn$"
        r"|output_gate$|^attn_gate|^(use_)?attention_sinks?|^adapter_|_adapter$|^num_(attention|key_value|kv)_heads_per"
        r"|^block_configs$|^(intermediate_size|num_attention_heads|num_key_value_heads)_\w+$|^kv_channels$"
        r"|^(multi_query_group_num|num_query_groups)$|^(ffn|qkv|query_key_value)_multipliers$|^num_(query|kv)_heads$",
        "biases": r"(^|_)bias(es)?$|^add_(bias_linear|qkv_bias)$|^bias_\w+$",
    }.items()
}

# Names of those kinds that set how a model is trained, initialised or run, never how many weights it has.
_HARMLESS = re.compile(
    r"loss|coef|aux|jitter|noise|scor|renorm|norm_topk|topk_(group|method)|n_group$|expert_group|logit|dropout|drop"
    r"|capacity|overlap|implementation|dtype|fp32|softmax|scal|weight_on_input|selection|_eps|_min$|_max$|_floor|_limit"
    r"|init|cache_(dtype|mode|impl)|use_cache|kernels$|pscan|chunk|_act$|activation|clamp|_fn$|path$|period_offset|load_balanc|output_router|z_|alpha"
    r"|beta|multiplier_(in|out)|per_tok|topk$|top_k|parallel_(size|degree)|sparsity|no_rope|no_repeat|^rope_|tokenizer|_token_id|hash"
    r"|correction|update|balanc|combination|safe|allow|before_gate|sinkhorn|magnitude|linear_(scale|attn_[ab])"
)

_ROTARY = {"rope_theta", "rope_scaling", "rope_parameters", "rotary_pct", "rotary_dim", "partial_rotary_factor"}
_ACTIVATIONS = ("hidden_act", "hidden_activation", "mlp_hidden_act", "activation_function", "activation")
_WITHOUT_SHIFT, _WITH_SHIFT = ("rms_norm_eps",), ("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")  # norms
_UNGATED = frozenset({"relu2", "relu_squared", "squared_relu", "xielu"})  # never used with a gate
_USUALLY_UNGATED = _UNGATED | {"gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu"}
_USUALLY_GATED = frozenset({"silu", "swish", "swiglu", "geglu"})

# Where only the user says which family a config is of, whatever other families have in theirs betrays it: also what
# steers training, as long as it is not absent in effect.
_BETRAYING: dict[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "experts": r"expert|moe|router|topk|^n_group$",
        "state-space or linear attention": r"mamba|ssm|kda|time_step|^linear_|conv|(^|_)dt_|^chunk_size$",
        "latent attention": r"^index_|compress_r|lora",
        "prediction blocks": r"mtp|nextn",
        "further tables": r"altup|laurel|^hc_|hash",
        "layers of several kinds": r"_cycles$|layers_per_stack$|(post|pre)_norm$|_sparse_step$|_layer_interval$"
        r"|sparsity_pattern|_kernels$",
        "local attention": r"sliding_window|max_window_layers|^window_size$|attention_chunk",
        "an encoder or cross-attention": r"^encoder_|^decoder_",
    }.items()
}
_WAY_OUT = "the model is of another family, or these fields are not its own: nothing is counted as what it is not"
_EQUAL_TO_WIDTH = re.compile(r"embedding_size$|^word_embed_proj_dim$|^emb_dim$|^attention_hidden_size$")
_EVERY_LAYER = re.compile(r"(step|freq|frequency|interval|period)$")  # 1 stands for every layer
_ORDINARY_KINDS = {"full_attention", "sliding_attention", "attention", "full", "global", "local", "dense"}


def refuse_unread(
    fields: Fields, architecture: Architecture, known: frozenset[str], *, guessed: bool = False
) -> None:
    """Raise FileError where the config states what changes the count and is none of the fields that its family has.

    ``guessed`` is a family that the config itself does not state: then what other families have betrays them.
    """
    learned = any(atom.kind == "table" and "position" in atom.label for atom in architecture.atoms)
    spelled = {spelling for name in known for spelling in NAMES.get(name, (name,))}
    unread = [name for name in fields.data if name not in spelled]
    has = _kinds_of(architecture)
    plain = guessed and not has - {"local attention", "layers of several kinds"}
    _refuse_activation(fields, unread, architecture, guessed=plain)
    found = [
        ("rotary positions instead of a learned table", name)
        for name in unread
        if name in _ROTARY and learned and fields.data[name]
    ]
    found += [
        (kind, name)
        for name in unread
        for kind, pattern in _KINDS.items()
        if pattern.search(name.lower()) and _counts(name, fields.data[name], architecture)
    ]
    if guessed:
        found += [
            (kind, name)
            for name in unread
            for kind, pattern in _BETRAYING.items()
            if kind not in has and fields.data[name] and pattern.search(name.lower()) and not name.startswith("no_")
        ]
    if plain:
        shifted = any(atom.kind == "norm" and atom.bias for _, part in architecture.parts() for atom in part.atoms)
        foreign = _WITHOUT_SHIFT if shifted else _WITH_SHIFT
        found += [("norms of another kind", name) for name in unread if name in foreign]
    if not found:
        return
    kinds = dict.fromkeys(kind for kind, _ in found)
    names = list(dict.fromkeys(name for _, name in found))
    listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    raise FileError(
        f"{fields.source}: {listed} would change the count ({'; '.join(kinds)}) "
        f"and the family {architecture.family} does not use {'it' if len(names) == 1 else 'them'}",
        hint=_WAY_OUT,
    )


def _kinds_of(architecture: Architecture) -> set[str]:
    """Return the kinds of :data:`_BETRAYING` that an architecture has itself: they betray nothing."""
    parts = [part for _, part in architecture.parts()]
    found = {
        "experts": any(part.experts for part in parts),
        "state-space or linear attention": any(part.state for part in parts),
        "latent attention": any(part.pairs and part.cache != part.keys for part in parts),
        "prediction blocks": architecture.extra_params,
        "layers of several kinds": len({stack.parts for stack in architecture.stacks}) > 1,
        "local attention": architecture.window,
        "an encoder or cross-attention": any(stack.encoder for stack in architecture.stacks),
    }
    return {kind for kind, there in found.items() if there}


def _refuse_activation(fields: Fields, unread: list[str], architecture: Architecture, *, guessed: bool) -> None:
    """Refuse an activation that stands for more, or fewer, matrices than the blocks of the family have."""
    blocks = [part for _, part in architecture.parts() if part.inner or part.experts]
    if any(part.gated for part in blocks):
        foreign, own, other = _USUALLY_UNGATED if guessed else _UNGATED, "three", "two"
    elif not blocks:
        return
    else:
        foreign, own, other = _USUALLY_GATED if guessed else frozenset(), "two", "three"
    for name in unread:
        if name in _ACTIVATIONS and str(fields.data[name]) in foreign:
            raise FileError(
                f"{fields.source}: {name} {fields.data[name]} belongs to blocks of {other} matrices, "
                f"and those of the family {architecture.family} have {own}",
                hint=_WAY_OUT,
            )


def _counts(name: str, value: object, architecture: Architecture) -> bool:
    """Return whether a field of one of the kinds, with this value, stands for weights."""
    if name == "is_encoder_decoder":
        return value is True and not any(stack.encoder for stack in architecture.stacks)
    if not value or name.startswith("no_") or (_HARMLESS.search(name.lower()) and not isinstance(value, list)):
        return False
    if isinstance(value, list):
        return not all(isinstance(entry, str) and entry in _ORDINARY_KINDS for entry in value) and any(value)
    if value == 1 and value is not True and _EVERY_LAYER.search(name):
        return False
    if _EQUAL_TO_WIDTH.search(name):
        return value != architecture.width
    if value is True and name.lower().endswith(("bias", "biases")):
        return not any(atom.bias for _, part in architecture.parts() for atom in part.atoms if atom.kind == "matrix")
    return not (
        isinstance(value, int) and name in _STATED_ALIKE and value == getattr(architecture, _STATED_ALIKE[name])
    )


# Other spellings of what the architecture already has: harmless where they agree with it.
_STATED_ALIKE = {
    "v_head_dim": "head_size",
    "qk_head_dim": "head_size",
    "kv_channels": "head_size",
    "num_query_groups": "kv_heads",
    "multi_query_group_num": "kv_heads",
    "decoder_layers": "layers",
    "num_decoder_layers": "layers",
    "decoder_ffn_dim": "ffn_width",
    "decoder_attention_heads": "heads",
    "num_query_heads": "heads",
}
