"""Read configs of Lightning's litgpt, for pre-training and fine-tuning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.trainers.common import optimizer, passes, precision, product, round_up, vocabulary
from scaleplan.trainers.named import named_sizes, sources
from scaleplan.trainers.settings import Setting, Settings, combined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["litgpt", "litgpt_run", "litgpt_sizes"]


def litgpt(document: Document) -> Settings | None:
    """Recognise ``train`` with its batch beside a model's name, config or checkpoint."""
    s = Settings(document, file=document.name)
    train = s.any("train.max_tokens", "train.micro_batch_size", "train.global_batch_size")
    return s if train and s.any("model_name", "model_config", "checkpoint_dir", "train.max_tokens") else None


_DEFAULTS: dict[str, object] = {
    "n_layer": 16,
    "n_embd": 4096,
    "n_head": 32,
    "vocab_size": 50254,
    "padding_multiple": 512,
    "block_size": 4096,
    "norm_class_name": "LayerNorm",
    "norm_qk": False,
    "norm_qk_type": "default",
    "norm_1": True,
    "norm_2": True,
    "post_attention_norm": False,
    "post_mlp_norm": False,
    "parallel_residual": True,
    "shared_attention_norm": False,
    "attn_bias": False,
    "bias": True,
    "lm_head_bias": False,
    "mlp_class_name": "GptNeoxMLP",
    "n_expert": 0,
    "n_expert_per_token": 0,
}
"""The defaults of ``litgpt.config.Config`` (Lightning-AI/litgpt litgpt/config.py, 0.5.13)."""


class _Sizes:
    """The sizes of ``model_config``, and those that it does not have of a model that is known by name."""

    def __init__(self, settings: Settings, named: Mapping[str, object]) -> None:
        self.own = settings
        self.named = named

    def size(self, key: str, default: int | None = None) -> int:
        """Return a dimension."""
        stated = self.named.get(key, default)
        whole = stated if isinstance(stated, int) and not isinstance(stated, bool) else None
        return self.own.size(key, default=whole)

    def flag(self, key: str) -> bool:
        """Return true or false."""
        return bool(self.own.flag(key, default=bool(self.named.get(key, False))).value)

    def text(self, key: str) -> str:
        """Return a text."""
        return str(self.own.text(key, default=str(self.named.get(key, ""))).value)

    def has(self, key: str) -> bool:
        """Return whether a size is known."""
        return self.own.any(key) or key in self.named


def litgpt_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of litgpt's GPT, by its name in litgpt.config or the sizes in ``model_config``."""
    named: dict[str, object] = dict(_DEFAULTS)
    own = s.section("model_config")
    name = _name(s)
    if name is not None and not s.any("model_config.n_layer", "model_config.n_embd"):
        named |= named_sizes("litgpt", name, s, "model_name", "model_config.name", "checkpoint_dir")
        reading.note(f"{name} has the sizes of {sources()['litgpt']}")
    elif not s.any("model_config"):
        raise s.error("the file names no model", "model_name", "checkpoint_dir", hint="give model or params")
    own.refuse("latent_attention", "n_expert_groups")
    sizes = _Sizes(own, named)
    width, heads, bias = sizes.size("n_embd"), sizes.size("n_head"), sizes.flag("bias")
    layers = own.layers("n_layer", default=sizes.size("n_layer"))
    block = sizes.text("mlp_class_name")
    if block not in ("GptNeoxMLP", "LLaMAMLP", "GemmaMLP", "LLaMAMoE"):
        raise s.error("blocks of this kind are not counted here", "model_config.mlp_class_name")
    inner = sizes.size("intermediate_size", 4 * width if block == "GptNeoxMLP" else None)
    rms = "RMS" in sizes.text("norm_class_name")
    fields: dict[str, object] = {
        "model_type": "litgpt",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": sizes.size("n_query_groups", heads),
        "intermediate_size": inner,
        "mlp_gated": block != "GptNeoxMLP",
        "norm": "rms" if rms else "layer",
        "norms_per_layer": _norms(s, sizes),
        "qkv_bias": bias or sizes.flag("attn_bias"),
        "output_bias": bias,
        "mlp_bias": bias,
        "head_bias": sizes.flag("lm_head_bias"),
        "qk_norm": _QK_NORMS.get(sizes.text("norm_qk_type"), "head") if sizes.flag("norm_qk") else "none",
        "qk_norm_shift": not rms,
        "tie_word_embeddings": bool(s.flag("train.tie_embeddings", default=False).value),
        "max_position_embeddings": sizes.size("block_size"),
        **_table(own, reading, named),
    }
    if sizes.has("head_size"):
        fields["head_dim"] = sizes.size("head_size")
    if sizes.has("sliding_window_size"):
        fields["sliding_window"] = sizes.size("sliding_window_size")
        indices = [int(each.value) for each in own.items("sliding_window_indices") if isinstance(each, Setting)]
        known = named.get("sliding_window_indices")
        fields["windowed"] = (indices or (known if isinstance(known, list) else []))[:layers]
    if block == "LLaMAMoE":
        fields |= _experts(sizes, layers, inner)
    return fields


_QK_NORMS = {"olmo2": "full"}


def _norms(s: Settings, sizes: _Sizes) -> int:
    """Return the norms of a layer: before its parts, after them, one that both share, or both."""
    after = sizes.flag("post_attention_norm") + sizes.flag("post_mlp_norm")
    before = sizes.flag("norm_1") + sizes.flag("norm_2")
    shared = sizes.flag("parallel_residual") and sizes.flag("shared_attention_norm")
    if after not in (0, 2) or not (before or after) or (after and shared):
        raise s.error("norms in this order are not counted here", "model_config.post_attention_norm", "model_name")
    return 1 if shared else before + after


def _experts(sizes: _Sizes, layers: int, inner: int) -> dict[str, object]:
    dense = sizes.size("first_k_dense_replace") if sizes.has("first_k_dense_replace") else 0
    width = sizes.size("moe_intermediate_size", inner)
    return {
        "num_experts": sizes.size("n_expert"),
        "num_experts_per_tok": sizes.size("n_expert_per_token"),
        "moe_intermediate_size": width,
        "sparse": [0] * min(dense, layers) + [1] * (layers - dense),
        "shared_expert_width": sizes.size("n_shared_expert") * width if sizes.has("n_shared_expert") else 0,
    }


def _table(own: Settings, reading: Reading, named: dict[str, object]) -> dict[str, int]:
    """Return the rows of the table: stated as padded, or the vocabulary rounded up to a multiple."""
    stated = own.whole("padded_vocab_size")
    padded = stated.value if isinstance(stated, Setting) else named.get("padded_vocab_size")
    multiple = own.size("padding_multiple", default=int(str(named["padding_multiple"])))
    if reading.given.vocab is not None:
        return vocabulary(own, reading, multiple=multiple)
    if isinstance(padded, int):
        return {"vocab_size": padded}
    return {"vocab_size": round_up(own.size("vocab_size", default=int(str(named["vocab_size"]))), multiple)}


def _name(s: Settings) -> str | None:
    """Return the name of the model: the last part of the path of a checkpoint is one, too."""
    found = s.raw("model_name", "model_config.name", "checkpoint_dir")
    if not isinstance(found, Setting) or not isinstance(found.value, str):
        return None
    return re.split(r"[/\\]", found.value.rstrip("/"))[-1]


_ADAPTED = {
    "lora_query": (True, "q_proj"),
    "lora_key": (False, "k_proj"),
    "lora_value": (True, "v_proj"),
    "lora_projection": (False, "o_proj"),
    "lora_mlp": (False, "gate_proj,up_proj,down_proj"),
}
"""The switches of adapters with their defaults (litgpt/finetune/lora.py @01fe959c), and the matrices meant."""


def litgpt_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length, devices, and what a fine-tuning trains; the batch is that of all ranks."""
    train = s.section("train")
    devices, nodes = s.raw("devices"), s.whole("num_nodes") or Setting(1)
    counted = s.whole("devices") if isinstance(devices, Setting) else devices
    reading.put("gpus", product(counted, nodes))
    reading.leave("gpus", "the file has no GPUs")
    reading.put("sequence", train.whole("max_seq_length"))
    if "sequence" not in reading.values:
        model = s.whole("model_config.block_size")
        reading.put("sequence", model if isinstance(model, Setting) else None)
    reading.leave("sequence", "the longest sample decides, or the context of the model", s.place("train"))
    reading.put("batch", train.whole("global_batch_size"))
    reading.leave("batch", "the trainer's default decides", s.place("train"))
    reading.put("micro_batch", train.whole("micro_batch_size"))
    tokens, steps = train.whole("max_tokens"), train.whole("max_steps")
    reading.put("steps", steps)
    if not isinstance(steps, Setting):
        reading.put("tokens", tokens)
    if not isinstance(steps, Setting) and not isinstance(tokens, Setting):
        place = train.place("epochs") or s.place("train")
        passes(train, reading, "epochs")
        reading.open.pop("tokens", None)
        reading.leave("tokens", "passes over the data, whose size is not in this file", place)
    precision(s, reading, "precision")
    stated = s.raw("precision")
    if isinstance(stated, Setting) and str(stated.value).endswith(("-mixed", "-true")):
        kept = "fp32" if str(stated.value).endswith("-mixed") else "same"
        reading.put("kept", Setting(kept, stated.places))
    optimizer(s, reading, "optimizer.class_path", "optimizer")
    if s.any("quantize"):
        bits = re.search(r"(nf4|fp4|int8)", str(s.text("quantize").value))
        if bits is not None:
            reading.put("weight_bits", Setting(8 if bits[1] == "int8" else 4, s.text("quantize").places))
    rank = s.whole("lora_r")
    if isinstance(rank, Setting):
        reading.put("lora_rank", rank)
        reading.put("adapter", Setting("qlora" if "weight_bits" in reading.values else "lora", rank.places))
        given = [s.flag(key, default=default) for key, (default, _) in _ADAPTED.items()]
        names = [name for each, (_, name) in zip(given, _ADAPTED.values(), strict=True) if each.value]
        if names:
            reading.put("lora_targets", combined(",".join(names), *given))
