"""Read configs of MosaicML's llm-foundry, whose trainer is Composer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.trainers.common import adapted, duration, optimizer, precision, vocabulary, zero_of_fsdp
from scaleplan.trainers.settings import Setting, Settings

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["foundry", "foundry_run", "foundry_sizes"]


def foundry(document: Document) -> Settings | None:
    """Recognise a model named ``mpt_causal_lm`` or ``hf_causal_lm``."""
    s = Settings(document, file=document.name, sections=("model",))
    if not s.has("name"):
        return None
    found = s.raw("name")
    name = str(found.value) if isinstance(found, Setting) else ""
    return s if name.startswith(("mpt", "hf_")) or name.endswith("_causal_lm") else None


def foundry_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object] | Setting:
    """Return the fields of MPT, or the name of a public model.

    The defaults are those of mosaicml/llm-foundry llmfoundry/models/mpt/configuration_mpt.py @0085285a.

    MPT is tied, has biases unless ``no_bias``, and learned positions unless turned off or replaced.
    """
    if not str(s.text("name").value).startswith("mpt"):
        s.refuse("config_overrides")
        return s.text("pretrained_model_name_or_path", "config.pretrained_model_name_or_path")
    s.refuse("embedding_fraction_of_rotary", "block_overrides", "attn_config.kv_dim")
    width, heads = s.size("d_model", default=2048), s.size("n_heads", default=16)
    biased = not s.flag("no_bias", default=False).value
    rms = "rms" in str(s.text("norm_type", default="low_precision_layernorm").value)
    context = s.size("max_seq_len", default=2048)
    kind = str(s.text("attn_config.attn_type", default="multihead_attention").value)
    kv = 1 if kind == "multiquery_attention" else s.size("attn_config.kv_n_heads", default=heads)
    replaced = s.flag("attn_config.rope", default=False).value or s.flag("attn_config.alibi", default=False).value
    learned = bool(s.flag("learned_pos_emb", default=True).value) and not replaced
    block = str(s.text("ffn_config.ffn_type", default="mptmlp").value)
    inner = s.size("ffn_config.ffn_hidden_size", default=0) if s.any("ffn_config.ffn_hidden_size") else 0
    qk_ln, qk_gn = (bool(s.flag(f"attn_config.{name}", default=False).value) for name in ("qk_ln", "qk_gn"))
    fields: dict[str, object] = {
        "model_type": "llm_foundry",
        "hidden_size": width,
        "num_hidden_layers": s.layers("n_layers", default=24),
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner or int(_ratio(s) * width),
        "mlp_gated": "glu" in block or block in ("mb_moe", "mb_dmoe", "torch_dmoe"),
        "norm": "rms" if rms else "layer" if biased else "scale",
        "qkv_bias": biased,
        "output_bias": biased,
        "mlp_bias": biased,
        "qk_norm": "full" if qk_ln else "head" if qk_gn else "none",
        "qk_norm_shift": biased and not rms,
        "tie_word_embeddings": bool(s.flag("tie_word_embeddings", default=True).value),
        "position_table": context if learned else 0,
        "max_position_embeddings": context,
        **vocabulary(s, reading, "vocab_size"),
    }
    if "moe" in block:
        if biased:
            raise s.error("experts with biases are not counted here", "ffn_config.ffn_type")
        glu = "glu" in str(s.text("ffn_config.mlp_type", default="mlp").value)
        fields |= {
            "mlp_gated": glu,
            "num_local_experts": s.size("ffn_config.moe_num_experts"),
            "num_experts_per_tok": s.size("ffn_config.moe_top_k", default=1),
        }
    elif block not in ("mptmlp", "mptglu", "te_ln_mlp"):
        raise s.error("blocks of this kind are not counted here", "ffn_config.ffn_type")
    return fields


def _ratio(s: Settings) -> float:
    found = s.number("expansion_ratio")
    return float(found.value) if isinstance(found, Setting) else 4.0


def foundry_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length and states: ``63900ba`` are batches, ``26e9tok`` tokens, ``1000sp`` samples."""
    top = s.section("", "variables", "parameters")
    reading.leave("gpus", "the launcher sets the GPUs")
    reading.put("sequence", top.whole("max_seq_len"))
    reading.put("sequence", s.whole("max_seq_len"))
    reading.put("batch", top.whole("global_train_batch_size"))
    reading.put("micro_batch", top.whole("device_train_microbatch_size"))
    length = top.raw("max_duration")
    if isinstance(length, Setting):
        duration(top, reading, length, example="63900ba, 26e9tok or 1ep")
    elif length is not None:
        reading.put("tokens", length)
    reading.leave("tokens", "the file has no max_duration")
    precision(top, reading, "precision")
    optimizer(top, reading, "optimizer.name")
    zero_of_fsdp(top, reading, "fsdp_config.sharding_strategy", "parallelism_config.fsdp.sharding_strategy")
    again = top.raw("fsdp_config.activation_checkpointing", "parallelism_config.fsdp.activation_checkpointing")
    if isinstance(again, Setting):
        reading.put("recompute", Setting("full" if again.value else "none", again.places))
    if s.any("peft_config.r"):
        reading.put("lora_rank", s.whole("peft_config.r"))
        reading.put("adapter", Setting("lora", reading.values["lora_rank"].places))
        adapted(s, reading, "peft_config.target_modules")
