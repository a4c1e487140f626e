"""Families in the line of Llama: RMS norms, gated feed-forward blocks, rotary positions, grouped heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.models.families.base import biases, decoder, family

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture
    from scaleplan.models.config import Fields, Windows

__all__ = ["full_norms", "gated", "head_size", "qwen_windows"]


def gated(fields: Fields, *, tied: bool = False, **choices: object) -> Architecture:
    """Return a decoder with RMS norms and three-matrix blocks; ``tied`` is the family's default."""
    return decoder(fields, tied=tied, **{"ffn_matrices": 3, **choices})


def head_size(fields: Fields) -> int:
    """Return the size of a head, the width shared by the heads unless stated."""
    fields.require("width", "heads")
    return fields.size("head_size", fields.size("width") // fields.size("heads"))


def full_norms(fields: Fields) -> int:
    """Return the weights of norms over all query and all key channels of a layer."""
    size = head_size(fields)
    return size * (fields.size("heads") + fields.size("kv_heads", fields.size("heads")))


@family("llama", "code_llama", "granite", classes=("Llama", "LLaMA", "GraniteFor", "GraniteModel"))
def llama(fields: Fields) -> Architecture:
    """Llama 1 to 3, TinyLlama, SmolLM 1 and 2, Yi, Granite 3."""
    return gated(fields, ffn_bias=fields.flag("mlp_bias", default=False), **biases(fields))


@family("smollm3", classes=("SmolLM3",))
def smollm3(fields: Fields) -> Architecture:
    """SmolLM 3: Llama with a tied head."""
    return gated(fields, tied=True, ffn_bias=fields.flag("mlp_bias", default=False), **biases(fields))


@family("arcee", classes=("Arcee",))
def arcee(fields: Fields) -> Architecture:
    """Arcee AFM: Llama with two-matrix blocks."""
    bias = fields.flag("mlp_bias", default=False)
    return gated(fields, ffn_matrices=2, ffn_bias=bias, **biases(fields))


@family("mistral", "ministral", classes=("Mistral", "Ministral"), defaults={"kv_heads": 8})
def mistral(fields: Fields) -> Architecture:
    """Mistral: a sliding window in the first 7B; Nemo states a head size of its own."""
    return gated(fields, **fields.windows())


@family("qwen2", classes=("Qwen2For", "Qwen2Model"))
def qwen2(fields: Fields) -> Architecture:
    """Qwen 1.5, 2 and 2.5: biases on queries, keys and values."""
    return gated(fields, query_bias=True, kv_bias=True, **qwen_windows(fields))


@family("qwen3", classes=("Qwen3For", "Qwen3Model"), defaults={"head_size": 128})
def qwen3(fields: Fields) -> Architecture:
    """Qwen 3: norms on each query and key head, heads of 128 whatever the width."""
    return gated(fields, qk_norm=2 * head_size(fields), **biases(fields), **qwen_windows(fields))


def qwen_windows(fields: Fields) -> Windows:
    """Return Qwen's local attention, which only ``use_sliding_window`` turns on."""
    if not fields.flag("use_sliding_window", default=False):
        return {"window": None, "windowed_layers": 0}
    return fields.windows(first_full=fields.size("max_window_layers", 28, at_least=0), default=4096)


@family("gemma", classes=("GemmaFor", "GemmaModel"), defaults={"head_size": 256})
def gemma(fields: Fields) -> Architecture:
    """Gemma 1: heads of 256, tied head."""
    return gated(fields, tied=True, **biases(fields))


@family("gemma2", classes=("Gemma2",), defaults={"head_size": 256, "sliding_window": 4096})
def gemma2(fields: Fields) -> Architecture:
    """Gemma 2: four norms a layer, every second layer local."""
    return gated(fields, tied=True, norms_per_layer=4, **biases(fields), **fields.windows(every=2))


@family(
    "gemma3_text",
    "gemma3",
    classes=("Gemma3For", "Gemma3Text", "Gemma3Model"),
    # the published multimodal configs state only what differs from these
    defaults={
        "heads": 8,
        "kv_heads": 4,
        "head_size": 256,
        "vocab": 262_208,
        "context": 131_072,
        "sliding_window": 4096,
    },
)
def gemma3(fields: Fields) -> Architecture:
    """Gemma 3: Gemma 2 with norms on each query and key head, five local layers to a global one."""
    every = fields.size("sliding_window_pattern", 6)
    return gated(
        fields,
        tied=True,
        norms_per_layer=4,
        qk_norm=2 * head_size(fields),
        **biases(fields),
        **fields.windows(every=every),
    )


@family("olmo", classes=("OlmoFor", "OLMoFor", "OlmoModel"))
def olmo(fields: Fields) -> Architecture:
    """OLMo 1: norms without weights."""
    return gated(fields, norm_weights=0, **biases(fields))


@family("olmo2", classes=("Olmo2",))
def olmo2(fields: Fields) -> Architecture:
    """OLMo 2: norms over all query and all key channels."""
    return gated(fields, qk_norm=full_norms(fields), **biases(fields))


@family("olmo3", classes=("Olmo3",), defaults={"sliding_window": 4096})
def olmo3(fields: Fields) -> Architecture:
    """OLMo 3: OLMo 2 with three local layers to a global one."""
    return gated(fields, qk_norm=full_norms(fields), **biases(fields), **fields.windows(every=4))


@family("phi3", classes=("Phi3",))
def phi3(fields: Fields) -> Architecture:
    """Phi 3, 3.5 and 4: fused projections without biases."""
    return gated(fields, **fields.windows())


@family("stablelm", "stablelm_epoch", classes=("StableLm", "StableLM"))
def stablelm(fields: Fields) -> Architecture:
    """StableLM: layer norms with shifts around gated blocks, rotary positions on a part of each head."""
    qk_norm = full_norms(fields) if fields.flag("qk_layernorm", default=False) else 0
    return gated(
        fields,
        norm_weights=2,
        norms_per_layer=1 if fields.flag("use_parallel_residual", default=False) else 2,
        qk_norm=qk_norm,
        **biases(fields, "use_qkv_bias", output=False),
    )


@family("cohere", classes=("CohereFor", "CohereModel"))
def cohere(fields: Fields) -> Architecture:
    """Command R: one norm a layer with a scale only, tied head."""
    qk_norm = full_norms(fields) if fields.flag("use_qk_norm", default=False) else 0
    return gated(fields, tied=True, norms_per_layer=1, qk_norm=qk_norm, **biases(fields))


@family("cohere2", classes=("Cohere2For", "Cohere2Model"), defaults={"sliding_window": 4096})
def cohere2(fields: Fields) -> Architecture:
    """Command R7B and A: Command R with three local layers to a global one."""
    every = fields.size("sliding_window_pattern", 4)
    return gated(fields, tied=True, norms_per_layer=1, **biases(fields), **fields.windows(every=every))


@family("glm", classes=("GlmFor", "GlmModel"), defaults={"head_size": 128})
def glm(fields: Fields) -> Architecture:
    """GLM-4-9B: Llama with biases on queries, keys and values when stated."""
    return gated(fields, **biases(fields, output=False))


@family("glm4", classes=("Glm4For", "Glm4Model"), defaults={"head_size": 128})
def glm4(fields: Fields) -> Architecture:
    """GLM-4-0414: GLM-4 with four norms a layer."""
    return gated(fields, norms_per_layer=4, **biases(fields, output=False))


@family("seed_oss", classes=("SeedOss",), defaults={"head_size": 128})
def seed_oss(fields: Fields) -> Architecture:
    """Seed-OSS: a switch of its own for the output bias."""
    switches = biases(fields)
    switches["output_bias"] = fields.flag("attention_out_bias", default=False)
    return gated(fields, ffn_bias=fields.flag("mlp_bias", default=False), **switches)
