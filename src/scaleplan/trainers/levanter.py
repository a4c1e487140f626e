"""Read configs of Stanford's Levanter, and of Marin, whose experiments are Python over Levanter's classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.documents.python_document import PythonDocument
from scaleplan.trainers.common import precision, vocabulary
from scaleplan.trainers.settings import SIZES_HINT, Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["levanter", "levanter_run", "levanter_sizes", "marin", "marin_run", "marin_sizes"]

_TYPES = ("llama", "mistral", "gpt2", "mixtral", "qwen", "qwen3", "olmo", "olmo2", "gemma")


def levanter(document: Document) -> Settings | None:
    """Recognise a model with ``hidden_dim``, or of a type that Levanter has, beside ``trainer``."""
    s = Settings(document, file=document.name, sections=("model",))
    if s.any("model_type"):
        return None
    trained = s.any("hidden_dim", "type") and s.section("").has("trainer")
    return s if trained or s.has("hidden_dim", "type") else None


def levanter_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object] | Setting:
    """Return the fields of Levanter's models by their type, or a public model; the tokenizer has the vocabulary."""
    top = s.section("")
    if top.flag("use_hf_model_config", default=False).value:
        return top.text("initialize_from_hf")
    kind = str(s.text("type", default="llama").value)
    return _fields(s, reading, kind, "type", "hidden_dim")


def _fields(s: Settings, reading: Reading, kind: str, *keys: str) -> dict[str, object]:
    """Return fields with the defaults of Levanter's classes.

    stanford-crfm/levanter src/levanter/models/: gpt2.py and llama.py @a36cbe5f, mistral.py @00ecb15b, whose
    ``sliding_window`` its transformer, which is Llama's, does not use, mixtral.py @004865be, qwen.py @074f2edd.
    """
    if kind == "gpt2":
        width = s.size("hidden_dim", default=768)
        biased = bool(s.flag("use_bias", default=True).value)
        context = s.size("seq_len", "max_seq_len", default=1024)
        return {
            "model_type": "levanter",
            "hidden_size": width,
            "num_hidden_layers": s.layers("num_layers", default=12),
            "num_attention_heads": s.size("num_heads", default=12),
            "intermediate_size": s.size("mlp_scale", default=4) * width,
            "mlp_gated": False,
            "norm": "layer" if biased else "scale",
            "qkv_bias": biased,
            "output_bias": biased,
            "mlp_bias": biased,
            "tie_word_embeddings": True,
            "position_table": context,
            "max_position_embeddings": context,
            **vocabulary(s, reading),
        }
    if kind not in ("llama", "mistral", "mixtral", "qwen", "qwen3"):
        raise s.error("models of this type are not counted here", *keys, hint="give params or model")
    s.refuse("hybrid_norm")
    width, heads = s.size("hidden_dim", default=4096), s.size("num_heads", default=32)
    grouped = kind in ("mistral", "mixtral")
    if grouped:
        s.refuse("tie_word_embeddings")  # their classes have a head of their own in any case
    if kind == "mixtral":
        s.refuse("use_bias")
    biased = bool(s.flag("use_bias", default=False).value)
    fields: dict[str, object] = {
        "model_type": "levanter",
        "hidden_size": width,
        "num_hidden_layers": s.layers("num_layers", default=32),
        "num_attention_heads": heads,
        "num_key_value_heads": s.size("num_kv_heads", default=8 if grouped else 32),
        "intermediate_size": s.size("intermediate_dim", default=14336 if grouped else 11008),
        "norm": _norm(bool(s.flag("use_layer_norm_weight", default=True).value), biased),
        "qkv_bias": biased or kind == "qwen",
        "output_bias": biased and kind != "qwen",
        "mlp_bias": biased,
        "qk_norm": "head" if kind == "qwen3" or s.any("qk_norm") else "none",
        "tie_word_embeddings": bool(s.flag("tie_word_embeddings", default=False).value),
        "max_position_embeddings": s.size("seq_len", "max_seq_len", default=8192 if grouped else 2048),
        **vocabulary(s, reading),
    }
    if s.any("head_dim"):
        fields["head_dim"] = s.size("head_dim")
    if kind == "mixtral":
        fields["num_local_experts"] = s.size("num_local_experts", "n_routed_experts", default=8)
        fields["num_experts_per_tok"] = s.size("num_experts_per_tok", default=2)
    return fields


def _norm(weights: bool, shift: bool) -> str:
    """Return the kind of norm; one with a shift alone has as many parameters as one with weights alone."""
    return "layer" if weights and shift else "rms" if weights or shift else "none"


_CONTEXTS = {"gpt2": 1024, "mistral": 8192, "mixtral": 8192}
"""The positions of models where they are not stated, if they are not Llama's 2048 (see :func:`_fields`)."""


def levanter_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, which may be a schedule, and length; both have defaults of the trainer."""
    trainer = s.section("trainer")
    reading.leave("gpus", "the slice of TPUs, or the launcher, sets the GPUs")
    reading.put("sequence", s.section("").whole("train_seq_len"))
    if s.section("").flag("use_hf_model_config", default=False).value:
        place = s.section("").place("initialize_from_hf", "use_hf_model_config")
        reading.leave("sequence", "the length is the context of the model that the run starts from", place)
    else:
        kind = str(s.text("type", default="llama").value)
        reading.put("sequence", s.whole("seq_len", "max_seq_len"), default=_CONTEXTS.get(kind, 2048))
    steps = trainer.whole("num_train_steps") or Setting(400_000)
    if not trainer.any("num_train_steps"):
        reading.note("trainer.num_train_steps is not stated: the trainer's 400,000 are taken")
    reading.put("steps", steps)
    _schedule(trainer, reading, steps)
    micro = trainer.whole("per_device_parallelism")
    reading.put("micro_batch", micro if isinstance(micro, Setting) else None)
    precision(trainer, reading, "mp")
    mp = trainer.raw("mp")
    if isinstance(mp, Setting) and isinstance(mp.value, str):
        compute = re.search(r"(?:^|,)c(?:ompute)?=(\w+)", mp.value)
        if compute is not None:
            known = {"bfloat16": "bf16", "bf16": "bf16", "f16": "fp16", "f32": "fp32", "float32": "fp32"}
            reading.values["precision"] = Setting(known.get(compute[1], "bf16"), mp.places)
    reading.put("zero", None, default=3)
    reading.put("optimizer", None, default="adamw")
    found = s.raw("gradient_checkpointing")
    if isinstance(found, Setting):
        reading.put("recompute", Setting("full" if found.value else "none", found.places))


def _schedule(trainer: Settings, reading: Reading, steps: Setting | Open) -> None:
    """Take the batch: a number, or a list of ``{start, value}`` by steps."""
    key = "train_batch_size"
    if trainer.whole(f"{key}[0].value") is None:
        reading.put("batch", trainer.whole(key), default=512)
        if not trainer.any(key):
            reading.note("trainer.train_batch_size is not stated: the trainer's 512 are taken")
        return
    stages: list[tuple[Setting, Setting]] = []
    for position in range(_MOST_STAGES):
        size = trainer.whole(f"{key}[{position}].value")
        start = trainer.whole(f"{key}[{position}].start", at_least=0)
        if not isinstance(size, Setting) or not isinstance(start, Setting):
            break
        stages.append((start, size))
    if not isinstance(steps, Setting) or not stages:
        reading.leave("batch", "the stages of the batch are not all in the file", trainer.place(key))
        return
    starts = [int(start.value) for start, _ in stages]
    if starts != sorted(set(starts)) or starts[0] != 0:
        raise trainer.error("expected stages that begin at 0 and follow one another", key)
    ends = [*starts[1:], int(steps.value)]
    samples = sum(
        max(0, min(end, int(steps.value)) - start) * int(size.value)
        for start, end, (_, size) in zip(starts, ends, stages, strict=True)
    )
    settings = [each for stage in stages for each in stage]
    reading.put("batch", stages[-1][1])
    reading.put("samples", combined(samples, steps, *settings))


_MOST_STAGES = 100


def marin(document: Document) -> Settings | None:
    """Recognise a ``SimpleTrainConfig`` beside a config of one of Levanter's models."""
    if not isinstance(document, PythonDocument):
        return None
    calls = {call.name.rpartition(".")[2]: call for call in document.calls}
    call = calls.get("SimpleTrainConfig")
    if call is None:
        return None
    return Settings(call, file=document.name, show=call.name)


_MODELS = {
    "LlamaConfig": "llama",
    "MistralConfig": "mistral",
    "MixtralConfig": "mixtral",
    "Gpt2Config": "gpt2",
    "QwenConfig": "qwen",
    "Qwen3Config": "qwen3",
}


def marin_sizes(s: Settings, reading: Reading, document: Document) -> dict[str, object]:
    """Return the fields of the model whose config the experiment makes."""
    assert isinstance(document, PythonDocument)
    found = [call for call in document.calls if call.name.rpartition(".")[2] in _MODELS]
    if not found:
        raise s.error("the file makes no model of a type that is counted here", "train_batch_size")
    if len(found) > 1:
        shown = ", ".join(f"{call.name} at line {call.line}" for call in found)
        raise s.error(
            f"the size of the model is not determined by the file, which makes several: {shown}",
            "train_batch_size",
            hint=SIZES_HINT,
        )
    own = s.of(found[0], show=found[0].name)
    return _fields(own, reading, _MODELS[found[0].name.rpartition(".")[2]])


def marin_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch, length, and the slices of TPUs by their names."""
    assert isinstance(document, PythonDocument)
    for call in document.calls:
        if call.name.endswith("with_tpu"):
            _slices(s.of(call, show=call.name), reading)
        elif call.name.endswith("with_gpu"):
            own = s.of(call, show=call.name)
            reading.put("gpus", own.whole("count"))
    reading.leave("gpus", "the file names no resources")
    model = next((call for call in document.calls if call.name.rpartition(".")[2] in _MODELS), None)
    reading.put("sequence", s.whole("train_seq_len"))
    if model is not None:
        own = s.of(model, show=model.name)
        reading.put("sequence", own.whole("max_seq_len", "seq_len"))
    reading.leave("sequence", "the file states no seq_len")
    steps = s.whole("num_train_steps")
    reading.put("steps", steps)
    reading.leave("tokens", "the file states no num_train_steps")
    reading.put("batch", s.whole("train_batch_size"))
    reading.put("precision", None, default="bf16")
    reading.put("optimizer", None, default="adamw")
    reading.put("zero", None, default=3)


_TPU = re.compile(r"v(?P<version>\d+)(?P<kind>p|e|x|litepod|lite)?-(?P<count>\d{1,6})")


def chips_of(name: str) -> int | None:
    """Return the chips of a slice of TPUs: names of v2 to v4 and v5p count cores, two a chip, the others chips.

    As the tables ``TpuTopologyInfo`` of marin-community/marin have them: v5p-8 has 4 chips, v5litepod-8 has 8.
    """
    match = _TPU.fullmatch(name.strip().casefold())
    if match is None:
        return None
    count, version = int(match["count"]), int(match["version"])
    of_cores = version <= 4 or (version == 5 and match["kind"] == "p")
    return count // 2 if of_cores else count


def _slices(own: Settings, reading: Reading) -> None:
    name = own.raw("tpu_type", "0")
    chips = chips_of(str(name.value)) if isinstance(name, Setting) else None
    many = own.whole("slice_count") or Setting(1)
    if chips and isinstance(name, Setting) and isinstance(many, Setting):
        reading.put("gpus", combined(chips * int(many.value), name, many))
