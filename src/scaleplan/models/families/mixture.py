"""Families with mixture-of-experts layers, around ordinary or (DeepSeek) multi-head latent attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.architecture import Experts, Latent
from scaleplan.models.families.base import biases, family
from scaleplan.models.families.llama import full_norms, gated, head_size, qwen_windows

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.config import Fields


def _routed(fields: Fields, *, width: int | None = None, layers: int | None = None, **choices: object) -> Experts:
    """Return the experts; ``width`` and ``layers`` default to the dense width and to all layers."""
    fields.require("layers", "experts", "experts_per_token")
    count, per_token = fields.size("experts"), fields.size("experts_per_token")
    if per_token > count:
        raise FileError(f"{fields.source}: a token cannot use {per_token} of {count} experts")
    if width is None:
        width = fields.size("ffn_width")
    values: dict[str, object] = {
        "count": count,
        "per_token": per_token,
        "width": width,
        "layers": fields.size("layers") if layers is None else layers,
    }
    return Experts(**{**values, **choices})  # type: ignore[arg-type]


def _after_dense_layers(fields: Fields) -> int:
    """Return the number of expert layers after ``first_k_dense_replace``, every ``moe_layer_freq``-th."""
    fields.require("layers")
    first = fields.size("first_k_dense_replace", 0, at_least=0)
    frequency = fields.size("moe_layer_freq", 1)
    return sum(i >= first and i % frequency == 0 for i in range(fields.size("layers")))


def _sparse_layers(fields: Fields) -> int:
    """Return the number of expert layers by Qwen's ``decoder_sparse_step`` and ``mlp_only_layers``."""
    fields.require("layers")
    step = fields.size("decoder_sparse_step", 1)
    dense = set()
    for index in fields.sequence("mlp_only_layers"):
        if isinstance(index, bool) or not isinstance(index, int):
            raise fields.error("mlp_only_layers", "expected a list of layer numbers")
        dense.add(index)
    return sum(i not in dense and (i + 1) % step == 0 for i in range(fields.size("layers")))


def _with_shared(fields: Fields) -> Experts:
    """Return DeepSeek's kind of experts: shared ones of the routed ones' width, after leading dense layers."""
    width = fields.size("expert_width")
    shared = fields.size("n_shared_experts", 0, at_least=0)
    return _routed(fields, width=width, layers=_after_dense_layers(fields), shared_width=width * shared)


def _dense_width(fields: Fields, experts: Experts) -> int:
    """Return the width of the dense blocks, which must be stated only when there are any."""
    if experts.layers < fields.size("layers"):
        fields.require("ffn_width")
    return fields.size("ffn_width", 0) if "ffn_width" in fields else 0


@family("mixtral", classes=("Mixtral",), defaults={"kv_heads": 8})
def mixtral(fields: Fields) -> Architecture:
    """Mixtral: Mistral with experts of the dense width in every layer."""
    return gated(fields, ffn_width=0, experts=_routed(fields), **fields.windows())


@family("granitemoe", classes=("GraniteMoeFor", "GraniteMoeModel"))
def granitemoe(fields: Fields) -> Architecture:
    """Granite 3 MoE."""
    return gated(fields, ffn_width=0, experts=_routed(fields), **biases(fields))


@family("qwen2_moe", classes=("Qwen2Moe",))
def qwen2_moe(fields: Fields) -> Architecture:
    """Qwen 1.5 and 2 MoE: a gated shared expert beside the routed ones."""
    fields.require("expert_width", "shared_expert_intermediate_size")
    experts = _routed(
        fields,
        width=fields.size("expert_width"),
        layers=_sparse_layers(fields),
        shared_width=fields.size("shared_expert_intermediate_size"),
        shared_gate=True,
    )
    return gated(
        fields,
        ffn_width=_dense_width(fields, experts),
        experts=experts,
        **biases(fields, "qkv_bias", default=True, output=False),
        **qwen_windows(fields),
    )


@family("qwen3_moe", classes=("Qwen3Moe",))
def qwen3_moe(fields: Fields) -> Architecture:
    """Qwen 3 MoE: no shared expert, norms on each query and key head."""
    experts = _routed(fields, width=fields.size("expert_width"), layers=_sparse_layers(fields))
    return gated(
        fields,
        ffn_width=_dense_width(fields, experts),
        experts=experts,
        qk_norm=2 * head_size(fields),
        **biases(fields),
        **qwen_windows(fields),
    )


@family("olmoe", classes=("Olmoe",))
def olmoe(fields: Fields) -> Architecture:
    """OLMoE: experts in every layer, norms over all query and all key channels."""
    return gated(fields, ffn_width=0, experts=_routed(fields), qk_norm=full_norms(fields), **biases(fields))


@family("phimoe", classes=("PhiMoE", "Phimoe"), defaults={"experts": 16, "experts_per_token": 2})
def phimoe(fields: Fields) -> Architecture:
    """Phi-3.5-MoE: layer norms with shifts, biases where stated."""
    return gated(
        fields,
        ffn_width=0,
        experts=_routed(fields),
        norm_weights=2,
        head_bias=fields.flag("lm_head_bias", default=False),
        **biases(fields),
        **fields.windows(),
    )


@family("glm4_moe", classes=("Glm4Moe",))
def glm4_moe(fields: Fields) -> Architecture:
    """GLM-4.5 and 4.6: leading dense layers, shared experts, ordinary grouped attention."""
    fields.require("expert_width", "n_shared_experts")
    experts = _with_shared(fields)
    return gated(
        fields,
        ffn_width=_dense_width(fields, experts),
        experts=experts,
        qk_norm=2 * head_size(fields) if fields.flag("use_qk_norm", default=False) else 0,
        extra_layers=fields.size("num_nextn_predict_layers", 0, at_least=0),
        **biases(fields, output=False),
    )


@family("gpt_oss", classes=("GptOss",), defaults={"head_size": 64, "sliding_window": 128})
def gpt_oss(fields: Fields) -> Architecture:
    """gpt-oss: biases on everything, attention sinks, every second layer local."""
    return gated(
        fields,
        ffn_width=0,
        experts=_routed(fields, bias=True, router_bias=True),
        sinks=True,
        **biases(fields, default=True),
        **fields.windows(every=2),
    )


def _latent(fields: Fields) -> Latent:
    fields.require("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    if "q_lora_rank" not in fields.data:
        raise FileError(
            f"{fields.source}: missing field q_lora_rank", hint="null states a query projection without a low rank"
        )
    return Latent(
        query_rank=fields.optional("q_lora_rank"),
        kv_rank=fields.size("kv_lora_rank"),
        nope=fields.size("qk_nope_head_dim"),
        rope=fields.size("qk_rope_head_dim"),
        value=fields.size("v_head_dim"),
        bias=fields.flag("attention_bias", default=False),
    )


@family("deepseek_v2", "deepseek_v3", "kimi_k2", classes=("DeepseekV2", "DeepseekV3", "KimiK2"))
def deepseek(fields: Fields) -> Architecture:
    """DeepSeek V2 and V3: leading dense layers, shared experts, keys and values from one latent."""
    latent = _latent(fields)
    return gated(
        fields,
        head_size=latent.nope + latent.rope,
        latent=latent,
        experts=_with_shared(fields) if "experts" in fields else None,
        output_bias=latent.bias,
        ffn_bias=fields.flag("mlp_bias", default=False),
        extra_layers=fields.size("num_nextn_predict_layers", 0, at_least=0),
    )
