"""Read the arguments of Hugging Face's Trainer, and axolotl's YAML, which is built on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.documents.script import PythonDocument, ShellDocument
from scaleplan.trainers.common import adapted, launched, optimizer, passes, switched_precision, zero_of_fsdp
from scaleplan.trainers.deepspeed import deepspeed_file
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
    reading.put("sequence", s.whole("max_seq_length", "max_length", "block_size", "model_max_length", "cutoff_len"))
    reading.leave("sequence", "the arguments do not have it")
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


def _adapter(s: Settings, reading: Reading, document: Document) -> None:
    """Take the rank of an adapter from arguments or from a ``LoraConfig``, and the bits of a quantised base."""
    if isinstance(document, PythonDocument):
        for call in document.calls:
            own = s.of(call, show=call.name)
            if call.name.endswith("LoraConfig"):
                reading.put("lora_rank", own.whole("r"), default=8)
                adapted(own, reading, "target_modules")
            elif call.find(("load_in_4bit",)) is not None or call.find(("load_in_8bit",)) is not None:
                _bits(own, reading)
    else:
        _bits(s, reading)
        adapted(s, reading, "lora_target", "lora_target_modules")
        kind = s.raw("finetuning_type")
        if isinstance(kind, Setting) and kind.value == "full":
            return
    if "lora_rank" in reading.values:
        name = "qlora" if "weight_bits" in reading.values else "lora"
        reading.put("adapter", Setting(name, reading.values["lora_rank"].places))


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


def axolotl(document: Document) -> Settings | None:
    """Recognise a base model beside a micro-batch."""
    s = Settings(document, file=document.name)
    return s if s.has("base_model") and s.any("micro_batch_size", "sequence_len", "num_epochs") else None


def axolotl_sizes(s: Settings, _: Reading, __: Document) -> Setting:
    """Return the name of the base model."""
    return s.text("base_model_config", "base_model")


def axolotl_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch, length, states, and what is trained; packed samples fill the sequence."""
    launched(s, reading, document)
    reading.put("sequence", s.whole("sequence_len"), default=512)
    if not s.flag("sample_packing", default=False).value:
        reading.note("samples are not packed: a step has at most these tokens")
    reading.put("micro_batch", s.whole("micro_batch_size"), default=1)
    reading.put("accumulation", s.whole("gradient_accumulation_steps"), default=1)
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
    if isinstance(kind, Setting) and str(kind.value) in ("lora", "qlora", "dora"):
        reading.put("adapter", kind)
        reading.put("lora_rank", s.whole("lora_r"), default=8)
        if s.flag("lora_target_linear", default=False).value:
            reading.put("lora_targets", combined("all", s.flag("lora_target_linear")))
        adapted(s, reading, "lora_target_modules")
    _bits(s, reading)
