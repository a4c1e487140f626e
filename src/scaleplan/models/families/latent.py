"""Families with multi-head latent attention: DeepSeek V2 and V3, Kimi K2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.architecture import Latent
from scaleplan.models.families.base import family
from scaleplan.models.families.llama import gated
from scaleplan.models.families.mixture import leading_dense_layers, routed

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture, Experts, Fields


def _latent(fields: Fields) -> Latent:
    fields.require("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
    if "q_lora_rank" not in fields.data:
        raise FileError(
            f"{fields.source}: missing field q_lora_rank",
            hint="null states a query projection without a low rank",
        )
    return Latent(
        query_rank=fields.optional("q_lora_rank"),
        kv_rank=fields.size("kv_lora_rank"),
        nope=fields.size("qk_nope_head_dim"),
        rope=fields.size("qk_rope_head_dim"),
        value=fields.size("v_head_dim"),
        bias=fields.flag("attention_bias", default=False),
    )


def _experts(fields: Fields) -> Experts | None:
    if "experts" not in fields:
        return None
    fields.require("expert_width")
    width = fields.size("expert_width")
    return routed(
        fields,
        width=width,
        layers=leading_dense_layers(fields),
        shared_width=width * fields.size("n_shared_experts", 0, at_least=0),
    )


@family("deepseek_v2", "deepseek_v3", "kimi_k2", classes=("DeepseekV2", "DeepseekV3", "KimiK2"))
def deepseek(fields: Fields) -> Architecture:
    """DeepSeek V2 and V3: leading dense layers, shared experts, keys and values from one latent."""
    latent = _latent(fields)
    return gated(
        fields,
        head_size=latent.nope + latent.rope,
        latent=latent,
        experts=_experts(fields),
        output_bias=latent.bias,
        ffn_bias=fields.flag("mlp_bias", default=False),
        extra_layers=fields.size("num_nextn_predict_layers", 0, at_least=0),
    )
