"""Read configs of Google's MaxText: YAML, and ``key=value`` words of a command."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from scaleplan.documents.shell_document import Command, ShellDocument
from scaleplan.trainers.common import precision, vocabulary
from scaleplan.trainers.elsewhere import named_configs
from scaleplan.trainers.named import named_sizes, sources
from scaleplan.trainers.settings import Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["maxtext", "maxtext_run", "maxtext_sizes"]


def maxtext(document: Document) -> Settings | None:
    """Recognise the base dimensions, or a batch of a device beside the length of a target."""
    if isinstance(document, ShellDocument):
        for command in document.commands:
            s = Settings(command, file=document.name)
            if s.any("per_device_batch_size", "base_emb_dim", "max_target_length") and (
                s.any("model_name", "base_emb_dim", "max_target_length")
            ):
                return s
        return None
    s = Settings(document, file=document.name)
    own = s.has("base_emb_dim") or s.has("per_device_batch_size", "max_target_length")
    return s if own else None


_KEYS = ("per_device_batch_size", "max_target_length", "steps")


def _other(s: Settings) -> str:
    """Return the config that a command starts from, where it is not that of the defaults."""
    names = named_configs(s.source) if isinstance(s.source, Command) else []
    return next((name for name in names if name.rpartition("/")[2] != "base.yml"), "")


_DEFAULTS: dict[str, object] = {
    "base_emb_dim": 2048, "base_num_query_heads": 16, "base_num_kv_heads": 16, "base_mlp_dim": 7168,
    "base_num_decoder_layers": 16, "head_dim": 128, "vocab_size": 32_000, "num_experts": 1, "num_experts_per_tok": 1,
    "mlp_activations": ["silu", "linear"], "logits_via_embedding": False, "decoder_block": "llama2",
}  # fmt: skip
"""The defaults of MaxText (AI-Hypercomputer/maxtext src/maxtext/configs/base.yml)."""

_BLOCKS = ("llama2", "mistral", "mixtral", "gemma", "gemma2", "qwen3", "default", "gpt3")


def maxtext_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of a model by its name or its dimensions, times ``global_parameter_scale``, a power of two.

    Layers of Gemma 2 stand for two each, one local and one global.
    """
    named: dict[str, object] = dict(_DEFAULTS)
    name = s.raw("model_name")
    if name is None and (other := _other(s)):
        raise s.error(f"the size of the model is not determined: {other} has it", *_KEYS, hint=f"give {other}")
    if isinstance(name, Setting) and name.value != "default":
        named |= named_sizes("MaxText", str(name.value), s, "model_name")
        reading.note(f"{name.value} has the sizes of {sources()['MaxText']}")

    def size(key: str, default: object = None) -> int:
        stated = named.get(key, default)
        return s.size(key, default=stated if isinstance(stated, int) else None)

    block = str(s.text("decoder_block", default=str(named["decoder_block"])).value)
    if block not in _BLOCKS:
        raise s.error("blocks of this kind are not counted here", "decoder_block", "model_name")
    s.refuse("mtp_num_layers", "q_lora_rank", "kv_lora_rank")
    stated = [str(each.value) for each in s.items("mlp_activations") if isinstance(each, Setting)]
    default = named["mlp_activations"]
    activations = stated or (default if isinstance(default, list) else [])
    scales = _scales(s)
    layers = s.layers("base_num_decoder_layers", default=size("base_num_decoder_layers")) * scales[3]
    fields: dict[str, object] = {
        "model_type": "maxtext",
        "hidden_size": size("base_emb_dim") * scales[0],
        "num_hidden_layers": layers * (2 if block == "gemma2" else 1),
        "num_attention_heads": size("base_num_query_heads") * scales[1],
        "num_key_value_heads": size("base_num_kv_heads") * scales[1],
        "head_dim": size("head_dim"),
        "intermediate_size": size("base_mlp_dim") * scales[2],
        "mlp_gated": len(activations) == 2,
        "norm": "rms",
        "norms_per_layer": 4 if block == "gemma2" else 2,
        "qk_norm": "head" if s.flag("use_qk_norm", default=block == "qwen3").value else "none",
        "tie_word_embeddings": bool(
            s.flag("logits_via_embedding", default=bool(named["logits_via_embedding"])).value
        ),
        "max_position_embeddings": size("max_target_length", 2048),
        **_table(s, reading, named),
    }
    if block == "gpt3":
        fields |= {"norm": "layer", "qkv_bias": True, "output_bias": True, "mlp_bias": True}
        fields["position_table"] = size("trainable_position_size")
    if block == "gemma2":
        fields["sliding_window"] = size("sliding_window_size")
        fields["windowed"] = [1, 0] * layers
    if (count := size("num_experts")) > 1:
        fields |= {"num_experts": count, "num_experts_per_tok": size("num_experts_per_tok")}
        fields["moe_intermediate_size"] = size("base_moe_mlp_dim", fields["intermediate_size"]) * (
            scales[2] if s.any("base_moe_mlp_dim") else 1
        )
    return fields


def _table(s: Settings, reading: Reading, named: dict[str, object]) -> dict[str, int]:
    if reading.given.vocab is not None:
        return vocabulary(s, reading)
    return {"vocab_size": s.size("vocab_size", default=int(str(named["vocab_size"])))}


def _scales(s: Settings) -> tuple[int, int, int, int]:
    """Return the factors of width, heads, inner width and layers of ``global_parameter_scale`` (pyconfig.py).

    Of the power n, heads and inner width are doubled ``(n + 2) // 3`` times, the width ``(n + 1) // 3``, layers
    ``n // 3`` times.
    """
    scale = s.size("global_parameter_scale", default=1)
    if scale & (scale - 1):
        raise s.error("expected a power of two", "global_parameter_scale")
    power = scale.bit_length() - 1
    inner, width, layers = (power + 2) // 3, (power + 1) // 3, power // 3
    return 2**width, 2**inner, 2**inner, 2**layers


_SHARES = ("data", "fsdp", "fsdp_transpose", "sequence", "context", "tensor", "tensor_transpose",
           "tensor_sequence", "autoregressive", "pipeline", "expert", "context_autoregressive")  # fmt: skip


def maxtext_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length and layout: a batch is that of a device, and may be below one sequence."""
    _devices(s, reading)
    _leave_other(s, reading)
    reading.put("sequence", s.whole("max_target_length"), default=2048)
    steps = s.whole("steps")
    reading.put("steps", steps, default=None if "tokens" in reading.open else 150_001)
    if steps is None and "tokens" not in reading.open:
        reading.note("steps are not stated: the trainer's 150,001 are taken")
    elif isinstance(steps, Open):
        reading.leave("tokens", steps.reason, steps.place)
    each, many = s.number("per_device_batch_size"), s.whole("gradient_accumulation_steps") or Setting(1)
    each = Setting(12.0) if each is None and "batch_tokens" not in reading.open else each
    gpus = reading.get("gpus")
    if isinstance(each, Setting) and isinstance(many, Setting):
        group = prod(reading.number(name, 1) for name in ("tensor", "pipeline", "context_parallel"))
        if each.value * group >= 1 and each.value * group == int(each.value * group):
            reading.put("micro_batch", Setting(int(each.value * group), each.places))
        if gpus is not None:
            reading.put("batch", combined(int(each.value * gpus.value) * int(many.value), each, gpus, many))
        else:
            reading.leave(
                "batch", "the batch is that of a GPU", each.places[0] if each.places else None, option="--gpus"
            )
            reading.leave(
                "batch_tokens",
                "the batch is that of a GPU",
                each.places[0] if each.places else None,
                option="--gpus",
            )
    elif isinstance(each, Open):
        reading.leave("batch_tokens", each.reason, each.place)
    precision(s, reading, "dtype")
    reading.put("precision", None, default="bf16")
    reading.put("optimizer", None, default="adamw")
    reading.put("zero", None, default=3)
    policy = s.raw("remat_policy")
    if isinstance(policy, Setting) and isinstance(policy.value, str):
        kind = {"full": "full", "minimal": "none", "none": "none"}.get(policy.value, "selective")
        reading.put("recompute", Setting(kind, policy.places))


def _leave_other(s: Settings, reading: Reading) -> None:
    """Leave open what is not stated, where it may stand in another config than that of the defaults."""
    if other := _other(s):
        for key, value in zip(_KEYS, ("batch_tokens", "sequence", "tokens"), strict=True):
            if not s.any(key):
                reading.leave(
                    value, f"{other} has the other settings, and is not read with the command", s.place(*_KEYS)
                )


def _devices(s: Settings, reading: Reading) -> None:
    """Take the devices as the product of the shares; one that fills what is left leaves them open."""
    shares: list[Setting] = []
    filling: Open | None = None
    for network in ("ici", "dcn"):
        for name in _SHARES:
            found = s.whole(f"{network}_{name}_parallelism")
            if isinstance(found, Setting):
                shares.append(found)
            elif isinstance(found, Open):
                filling = found
    stated = {name for name in ("ici_fsdp_parallelism", "ici_data_parallelism") if s.any(name)}
    sizes = 1
    for share in shares:
        sizes *= int(share.value)
    if shares and filling is None and ("ici_fsdp_parallelism" in stated or sizes > 1):
        reading.put("gpus", combined(sizes, *shares))
    for name, key in (("tensor", "tensor"), ("pipeline", "pipeline"), ("context_parallel", "context")):
        both = [s.whole(f"{network}_{key}_parallelism") for network in ("ici", "dcn")]
        known = [each for each in both if isinstance(each, Setting)]
        if known:
            value = 1
            for each in known:
                value *= int(each.value)
            reading.put(name, combined(value, *known))
    place = filling.place if filling is not None else None
    reading.leave("gpus", "a share of the GPUs fills what is left", place)
