"""Read configs of Karpathy's trainers, nanoGPT and nanochat, and of Hugging Face's Nanotron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.documents.python_document import PythonDocument
from scaleplan.documents.shell_document import Command
from scaleplan.trainers.common import command_with, launched, product, round_up, vocabulary
from scaleplan.trainers.elsewhere import named_configs
from scaleplan.trainers.settings import Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = [
    "nanochat",
    "nanochat_run",
    "nanochat_sizes",
    "nanogpt",
    "nanogpt_run",
    "nanogpt_sizes",
    "nanotron",
    "nanotron_run",
    "nanotron_sizes",
]


def nanogpt(document: Document) -> Settings | None:
    """Recognise the assignments that change train.py, its flags, or the sizes alone."""
    s = Settings(document, file=document.name)
    if isinstance(document, PythonDocument):
        own = ("max_iters", "gradient_accumulation_steps", "n_embd", "n_layer", "init_from")
        return s if s.has("block_size", "max_iters") or (s.any(*own[1:]) and s.any("max_iters", "dataset")) else None
    found = command_with(document, "block_size", "max_iters") or command_with(document, "n_layer", "n_embd")
    if found is not None:  # without a config, whose assignments would change what the flags do not state
        return None if isinstance(found.source, Command) and named_configs(found.source) else found
    return s if s.has("n_layer", "n_head", "n_embd", "block_size") and not s.any("model_type") else None


_GPT2 = {
    "gpt2": (12, 12, 768),
    "gpt2-medium": (24, 16, 1024),
    "gpt2-large": (36, 20, 1280),
    "gpt2-xl": (48, 25, 1600),
}
"""Layers, heads and width of the weights that a run may start from (karpathy/nanoGPT model.py @0011cd44)."""


def nanogpt_sizes(s: Settings, reading: Reading, document: Document) -> dict[str, object]:
    """Return the fields of nanoGPT's GPT-2: learned positions, a tied head, no shift in norms without biases.

    A Python config changes the assignments of train.py, whose sizes are 12 layers, 12 heads, 768, no biases, 1024
    positions, and 50304 rows unless the data have a vocabulary of their own; elsewhere each is to be stated.
    """
    whole = isinstance(document, PythonDocument) or s.source is not document
    started = s.raw("init_from")
    weights = _GPT2.get(str(started.value)) if isinstance(started, Setting) else None
    if isinstance(started, Setting) and started.value == "resume" and not s.any("n_embd"):
        raise s.error("the size of the model is not determined by the file: it is that of a checkpoint", "init_from")
    layers, heads, width = weights or ((12, 12, 768) if whole else (None, None, None))
    bias = True if weights else bool(s.flag("bias", default=False if whole else None).value)
    width = s.size("n_embd", default=width) if weights is None else width
    context = s.size("block_size", default=1024 if whole else None)
    positions = 1024 if weights and context > 1024 else context
    return {
        "model_type": "nanogpt",
        "hidden_size": width,
        "num_hidden_layers": s.layers("n_layer", default=layers) if weights is None else layers,
        "num_attention_heads": s.size("n_head", default=heads) if weights is None else heads,
        "intermediate_size": 4 * (width or 0),
        "mlp_gated": False,
        "norm": "layer" if bias else "scale",
        "qkv_bias": bias,
        "output_bias": bias,
        "mlp_bias": bias,
        "tie_word_embeddings": True,
        "position_table": positions,
        "max_position_embeddings": context,
        **_rows(s, reading, whole=whole, weights=weights is not None),
    }


def _rows(s: Settings, reading: Reading, *, whole: bool, weights: bool) -> dict[str, int]:
    """Return the rows of the table: those of the data where these have characters as tokens."""
    if weights and reading.given.vocab is None:
        return {"vocab_size": 50257}
    if s.any("vocab_size") or reading.given.vocab is not None or not whole:
        return vocabulary(s, reading, "vocab_size")
    data = s.raw("dataset")
    if isinstance(data, Setting) and "char" in str(data.value):
        reading.leave("vocab", "the data have characters as tokens", data.places[0])
        return {}
    return {"vocab_size": 50304}


def nanogpt_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch and length: accumulation counts all GPUs, which divide it among them."""
    whole = isinstance(document, PythonDocument) or s.source is not document
    if not whole and not s.any("max_iters", "batch_size"):
        return
    launched(s, reading, document)
    reading.put("sequence", s.whole("block_size"), default=1024)
    micro, steps = s.whole("batch_size"), s.whole("gradient_accumulation_steps")
    reading.put("micro_batch", micro, default=12)
    batch = product(micro or Setting(12), steps or Setting(40))
    reading.put("batch", batch)
    reading.put("steps", s.whole("max_iters"), default=600_000)
    reading.put("optimizer", None, default="adamw")
    dtype = s.raw("dtype")
    known = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    if isinstance(dtype, Setting) and dtype.value in known:
        reading.put("precision", Setting(known[str(dtype.value)], dtype.places))
    reading.put("zero", None, default=0)
    reading.put("recompute", None, default="none")


def nanochat(document: Document) -> Settings | None:
    """Recognise the flags of scripts/base_train.py."""
    for mark in (
        "target_param_data_ratio",
        "aspect_ratio",
        "total_batch_size",
        "num_iterations",
        "device_batch_size",
    ):
        found = command_with(document, "depth", mark)
        if found is not None:
            return found
    found = command_with(document, "depth")
    words = getattr(found.source, "words", []) if found is not None else []
    return found if any("base_train" in str(word) for word in words) else None


def nanochat_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of nanochat's model (nanochat/gpt.py): the width is depth times 64, in whole heads of 128."""
    reading.note("counted as nanochat's @92d63d4e: others have no value embeddings, or have them in other layers")
    return _nanochat_fields(s, reading)


def _nanochat_fields(s: Settings, reading: Reading) -> dict[str, object]:
    depth = s.layers("depth", default=20)
    head = s.size("head_dim", default=128)
    width = round_up(depth * s.size("aspect_ratio", default=64), head)
    pattern = s.text("window_pattern", default="SSSL")
    return {
        "model_type": "nanochat_trainer",
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // head,
        "window_pattern": str(pattern.value),
        "max_position_embeddings": s.size("max_seq_len", default=2048),
        **vocabulary(s, reading, multiple=64),
    }


def nanochat_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch, in tokens, and length: the first of iterations, FLOP, and tokens for each matrix parameter."""
    launched(s, reading, document)
    sequence = s.whole("max_seq_len")
    reading.put("sequence", sequence, default=2048)
    reading.put("batch_tokens", s.whole("total_batch_size"))
    if not s.any("total_batch_size"):
        reading.leave("batch_tokens", "the trainer finds the batch by a rule", s.place("depth"), option="--batch")
    reading.put("micro_batch", s.whole("device_batch_size"), default=32)
    steps = s.whole("num_iterations")
    if isinstance(steps, Setting):
        reading.put("steps", steps)
    elif isinstance(s.number("target_flops"), Setting):
        found = s.number("target_flops")
        reading.leave("tokens", "the budget is in FLOP", found.places[0] if isinstance(found, Setting) else None)
    else:
        _by_ratio(s, reading)
    reading.values["precision"] = Setting("fp8" if s.switch("fp8").value else "bf16", s.switch("fp8").places)
    reading.put("optimizer", None, default="muon")
    reading.put("recompute", None, default="none")


def _by_ratio(s: Settings, reading: Reading) -> None:
    """Take tokens as a multiple of the matrices and the head, in whole steps."""
    ratio = s.number("target_param_data_ratio")
    if ratio is None:
        ratio = Setting(12.0)  # scripts/base_train.py @92d63d4e; other versions had 10.5, 11 and 20
        reading.note("--target-param-data-ratio is not stated: the trainer's 12 are taken")
    if isinstance(ratio, Open):
        reading.leave("tokens", ratio.reason, ratio.place)
        return
    place = ratio.places[0] if ratio.places else s.place("depth")
    if reading.given.vocab is None:
        reading.leave(
            "tokens",
            "the tokens are a multiple of the parameters, and the tokenizer sets the vocabulary",
            place,
            option="--vocab",
        )
        return
    fields = _nanochat_fields(s, reading)
    width, layers, vocab = (int(str(fields[key])) for key in ("hidden_size", "num_hidden_layers", "vocab_size"))
    gates = (layers + 1) // 2 * 12 * (width // s.size("head_dim", default=128))
    tokens = int(ratio.value * (12 * layers * width**2 + gates + vocab * width))
    step = reading.get("batch_tokens")
    if step is not None:
        many = tokens // int(step.value)
        reading.put("steps", combined(many, ratio, step))
        reading.put("tokens", combined(many * int(step.value), ratio, step))
    else:
        reading.put("tokens", combined(tokens, ratio))


def nanotron(document: Document) -> Settings | None:
    """Recognise ``tokens`` with its steps, or a model config of Nanotron."""
    s = Settings(document, file=document.name)
    return (
        s
        if s.has("model.model_config") and s.any("tokens", "parallelism", "model.model_config.is_llama_config")
        else None
    )


def nanotron_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of Nanotron's Llama or Qwen 2; tensor-parallel groups multiply the padding of the table."""
    own = s.section("model.model_config")
    qwen = own.flag("is_qwen2_config", default=False).value
    if not qwen and not own.flag("is_llama_config", default=False).value:
        raise s.error("models of this kind are not counted here", "model.model_config", hint="give params or model")
    own.refuse("moe_config", "is_moe", "num_experts")
    heads = own.size("num_attention_heads")
    tensor = s.whole("parallelism.tp")
    if tensor is None or isinstance(tensor, Open):
        raise s.error("the padding of the table is not determined by the file, which lacks parallelism.tp", "model")
    multiple = s.size("model.make_vocab_size_divisible_by", default=1) * int(tensor.value)
    biased = bool(own.flag("attention_bias", default=bool(qwen)).value)
    fields = {
        "model_type": "nanotron",
        "hidden_size": own.size("hidden_size"),
        "num_hidden_layers": own.layers("num_hidden_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": own.size("num_key_value_heads", default=heads),
        "intermediate_size": own.size("intermediate_size"),
        "qkv_bias": biased,
        "output_bias": biased and not qwen,
        "tie_word_embeddings": bool(own.flag("tie_word_embeddings").value),
        "max_position_embeddings": own.size("max_position_embeddings", default=2048),
        **vocabulary(own, reading, "vocab_size", multiple=multiple),
    }
    if own.any("head_dim"):
        fields["head_dim"] = own.size("head_dim")
    return fields


def nanotron_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length and layout: the batch is that of a data-parallel group."""
    layout, tokens = s.section("parallelism"), s.section("tokens")
    for name, key in (
        ("data", "dp"),
        ("tensor", "tp"),
        ("pipeline", "pp"),
        ("context_parallel", "context_parallel_size"),
        ("expert", "expert_parallel_size"),
    ):
        found = layout.whole(key)
        reading.put(name, found, default=None if name == "data" else 1)
    reading.leave("gpus", "the file lacks parallelism.dp")
    reading.put("sequence", tokens.whole("sequence_length"))
    reading.put("micro_batch", tokens.whole("micro_batch_size"))
    reading.put("accumulation", tokens.whole("batch_accumulation_per_replica"), default=1)
    reading.put("steps", tokens.whole("train_steps"))
    reading.leave("tokens", "the file has no tokens.train_steps")
    reading.put("zero", s.section("optimizer").whole("zero_stage", at_least=0), default=0)
    dtype = s.raw("model.dtype")
    known = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
    chosen = known.get(str(dtype.value)) if isinstance(dtype, Setting) else "bf16"
    reading.put("precision", Setting(chosen or "bf16", dtype.places if isinstance(dtype, Setting) else ()))
    reading.put("optimizer", None, default="adamw")
    again = layout.raw("recompute_layer")
    if isinstance(again, Setting):
        reading.put("recompute", Setting("full" if again.value else "none", again.places))
