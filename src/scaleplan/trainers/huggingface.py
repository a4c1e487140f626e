"""Read the arguments of Hugging Face's Trainer, and axolotl's YAML, which is built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.documents.python_document import PythonDocument
from scaleplan.documents.shell_document import Command, ShellDocument
from scaleplan.trainers.common import adapted, launched, optimizer, passes, switched_precision, zero_of_fsdp
from scaleplan.trainers.deepspeed import deepspeed_file
from scaleplan.trainers.elsewhere import named_configs
from scaleplan.trainers.settings import Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["arguments", "arguments_run", "arguments_sizes", "axolotl", "axolotl_run", "axolotl_sizes"]

_MARKS = ("per_device_train_batch_size", "per_gpu_train_batch_size")

_MODELS = ("model_name_or_path", "pretrained_model_name_or_path", "model_name", "model_id", "base_model")


def arguments(document: Document) -> Settings | None:
    """Recognise the batch of a device among arguments in JSON, YAML, flags, or a call in Python."""
    if isinstance(document, ShellDocument):
        for command in document.commands:
            s = Settings(command, file=document.name)
            if s.any(*_MARKS) or (s.any("output_dir") and s.any("num_train_epochs", "max_steps")):
                return s
        return None
    if isinstance(document, PythonDocument):
        for call in document.calls:
            last = call.name.rpartition(".")[2]
            if last.endswith(("TrainingArguments", "SFTConfig")):
                return Settings(call, file=document.name, show=call.name)
        return None
    s = Settings(document, file=document.name)
    return s if s.any(*_MARKS) else None


def arguments_sizes(s: Settings, _: Reading, document: Document) -> Setting:
    """Return the name of the model, which is not in the arguments themselves."""
    found = s.raw(*_MODELS)
    if found is None and isinstance(document, PythonDocument):
        for call in document.calls:
            if call.name.endswith("from_pretrained") and "Tokenizer" not in call.name:
                own = s.of(call, show=call.name)
                found = own.raw("0", "pretrained_model_name_or_path")
                break
    if isinstance(found, Setting) and isinstance(found.value, str):
        return found
    raise s.error(
        "the size of the model is not determined by the file, which names no model",
        *_MARKS,
        hint="give model (its config.json, or the name of a public model) or params",
    )


def arguments_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch and length: ``max_steps`` above 0 wins over epochs."""
    launched(s, reading, document)
    if isinstance(s.source, Command) and (names := named_configs(s.source)):
        _others(s, reading, names[0])
    reading.put("sequence", s.whole(*_SEQUENCES))
    reading.leave("sequence", "the arguments have no length of a sequence")
    reading.put("micro_batch", s.whole(*_MARKS), default=8)
    reading.put("accumulation", s.whole("gradient_accumulation_steps"), default=1)
    _epochs(s, reading, "num_train_epochs")
    switched_precision(s, reading)
    optimizer(s, reading, "optim")
    reading.put("optimizer", None, default="adamw")
    _recompute(s, reading)
    zero_of_fsdp(s, reading, "fsdp")
    deepspeed_file(s, reading)
    if s.any("lora_rank", "lora_r"):
        reading.put("lora_rank", s.whole("lora_rank", "lora_r"))
    _adapter(s, reading, document)


def _others(s: Settings, reading: Reading, name: str) -> None:
    """Leave open what the config that a command names may have, in place of the defaults of the arguments."""
    reason = f"{name} has the other arguments, and is not read with the command"
    place = s.place(*_MARKS, "output_dir")
    for value, keys in (
        ("sequence", _SEQUENCES),
        ("micro_batch", _MARKS),
        ("accumulation", ("gradient_accumulation_steps",)),
        ("tokens", ("max_steps",)),
        ("steps", ("max_steps",)),
        ("optimizer", ("optim",)),
    ):
        if not s.any(*keys):
            reading.leave(value, reason, place)


_SEQUENCES = ("max_seq_length", "max_length", "block_size", "model_max_length", "cutoff_len")


def _adapter(s: Settings, reading: Reading, document: Document) -> None:
    """Take the rank of an adapter from arguments or from a ``LoraConfig``, and the bits of a quantised base."""
    if isinstance(document, PythonDocument):
        for call in document.calls:
            own = s.of(call, show=call.name)
            if call.name.endswith("LoraConfig"):
                reading.put("lora_rank", own.whole("r"), default=8)
                adapted(own, reading, "target_modules")
                _uncounted(own, reading)
            elif call.find(("load_in_4bit",)) is not None or call.find(("load_in_8bit",)) is not None:
                _bits(own, reading)
    else:
        _bits(s, reading)
        adapted(s, reading, "lora_target", "lora_target_modules")
        kind = s.raw("finetuning_type")
        if isinstance(kind, Setting) and kind.value == "full":
            return
        _uncounted(s, reading)
    if "lora_rank" in reading.values:
        name = "qlora" if "weight_bits" in reading.values else "lora"
        reading.put("adapter", Setting(name, reading.values["lora_rank"].places))


_UNCOUNTED = {
    **dict.fromkeys(
        ("lora_modules_to_save", "modules_to_save", "additional_target"), "without what is trained in full"
    ),
    **dict.fromkeys(("peft_layers_to_transform", "layers_to_transform"), "with adapters in all layers"),
    **dict.fromkeys(("lora_target_parameters", "target_parameters"), "without adapters on these"),
    "unfrozen_parameters": "as if none of the others were frozen",
    "rl": "without its pairs, samples and reference model",
}
"""What changes the memory of a training and is no value of a run, by key."""


def _uncounted(s: Settings, reading: Reading) -> None:
    """Note what memory is counted without, and take adapters with magnitudes for what they are."""
    for key, what in _UNCOUNTED.items():
        if any(isinstance(each, Setting) and each.value not in ("", False, "false") for each in s.items(key)):
            reading.note(f"{key}: memory is counted {what}")
    for key in ("peft_use_dora", "use_dora"):
        found = s.raw(key)
        if isinstance(found, Setting) and s.switch(key).value:
            reading.put("adapter", Setting("dora", found.places))


def _bits(s: Settings, reading: Reading) -> None:
    for key, bits in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        found = s.raw(key)
        if isinstance(found, Setting) and s.switch(key).value:
            reading.put("weight_bits", Setting(bits, found.places))
    stated = s.whole("quantization_bit")
    if isinstance(stated, Setting):
        reading.put("weight_bits", stated)


def _epochs(s: Settings, reading: Reading, epochs: str) -> None:
    """Take the steps; else the length is in passes over data whose size is not here."""
    steps = s.whole("max_steps")
    if isinstance(steps, Setting):
        reading.put("steps", steps)
        return
    place = s.place(epochs)
    passes(s, reading, epochs)
    reading.leave("tokens", "passes over the data, whose size is not in this file", place)
    reading.leave("steps", "passes over the data, whose size is not in this file", place)


def _recompute(s: Settings, reading: Reading) -> None:
    found = s.raw("gradient_checkpointing")
    if isinstance(found, Setting):
        reading.put(
            "recompute", Setting("full" if s.switch("gradient_checkpointing").value else "none", found.places)
        )


_AXOLOTL_LAYOUT = {
    "tensor": ("tensor_parallel_size",),
    "context_parallel": ("context_parallel_size", "sequence_parallel_degree"),
    "expert": ("expert_parallel_size",),
}
"""The groups of devices (axolotl-ai-cloud/axolotl docs/nd_parallelism.qmd @1377ccc3), older names last."""


def axolotl(document: Document) -> Settings | None:
    """Recognise a base model beside a micro-batch."""
    s = Settings(document, file=document.name)
    return s if s.has("base_model") and s.any("micro_batch_size", "sequence_len", "num_epochs") else None


_SIZES = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size"),
    *("intermediate_size", "moe_intermediate_size", "num_local_experts", "num_experts", "num_experts_per_tok"),
)
"""Fields of a model's config that change its size."""


def axolotl_sizes(s: Settings, _: Reading, __: Document) -> Setting:
    """Return the name of the base model, whose sizes must be its own."""
    s.refuse(*(f"{table}.{name}" for table in ("overrides_of_model_config", "model_config") for name in _SIZES))
    return s.text("base_model_config", "base_model")


def axolotl_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch, length, states, and what is trained; packed samples fill the sequence.

    What is missing has the defaults of its schema (axolotl-ai-cloud/axolotl src/axolotl/utils/schemas/).
    """
    launched(s, reading, document)
    reading.put("sequence", s.whole("sequence_len"), default=512)
    if not s.flag("sample_packing", default=False).value:
        reading.note("samples are not packed: a step has at most these tokens")
    reading.put("micro_batch", s.whole("micro_batch_size"), default=1)
    reading.put("accumulation", s.whole("gradient_accumulation_steps"), default=1)
    for name, keys in _AXOLOTL_LAYOUT.items():
        reading.put(name, s.whole(*keys))
    _epochs(s, reading, "num_epochs")
    switched_precision(s, reading)
    optimizer(s, reading, "optimizer")
    _recompute(s, reading)
    if s.any("deepspeed"):
        deepspeed_file(s, reading)
    elif s.any("fsdp", "fsdp_config", "fsdp_version"):
        place = s.place("fsdp", "fsdp_config", "fsdp_version")
        reading.put("zero", Setting(3, () if place is None else (place,)))
    kind = s.raw("adapter")
    _uncounted(s, reading)
    if isinstance(kind, Setting) and str(kind.value) in ("lora", "qlora", "dora"):
        reading.put("adapter", kind)
        reading.put("lora_rank", s.whole("lora_r"))
        if s.flag("lora_target_linear", default=False).value:
            reading.put("lora_targets", combined("all", s.flag("lora_target_linear")))
        adapted(s, reading, "lora_target_modules")
    _bits(s, reading)
