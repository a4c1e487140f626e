"""Read DeepSpeed's JSON, and the settings of DeepSpeed inside of other configs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.trainers.common import optimizer, switched_precision, zero_of_fsdp
from scaleplan.trainers.settings import Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["deepspeed", "deepspeed_batch", "deepspeed_file", "deepspeed_run", "deepspeed_sizes", "deepspeed_states"]


def deepspeed(document: Document) -> Settings | None:
    """Recognise DeepSpeed's batches or stages without any sizes of a model."""
    s = Settings(document, file=document.name)
    own = s.any("zero_optimization", "train_micro_batch_size_per_gpu") and not s.any("hidden_size", "hidden-size")
    return s if own else None


def deepspeed_sizes(s: Settings, _: Reading, __: Document) -> Setting:
    """Refuse: the model is elsewhere."""
    raise s.error(
        "the size of the model is not determined by the file, which names no model",
        "train_batch_size",
        "train_micro_batch_size_per_gpu",
        "zero_optimization",
        hint="give model (its config.json, or the name of a public model) or params",
    )


def deepspeed_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch and states."""
    reading.leave("gpus", "the launcher sets the GPUs")
    reading.leave("sequence", "the file has no length of a sequence")
    deepspeed_batch(s, reading)
    if isinstance(batch := s.raw("train_batch_size"), Open):
        reading.leave("batch", batch.reason, batch.place)
    reading.leave("tokens", "the file has no steps")
    deepspeed_states(s, reading)
    switched_precision(s, reading)
    optimizer(s, reading, "optimizer.type")


def deepspeed_file(s: Settings, reading: Reading) -> None:
    """Take the states from the DeepSpeed config that is named, where it lies beside the file, or from its name."""
    if s.any("deepspeed.zero_optimization"):
        deepspeed_states(s.section("deepspeed"), reading)
        return
    found = s.raw("deepspeed")
    if not isinstance(found, Setting) or not isinstance(found.value, str):
        return
    document = reading.beside(found.value)
    if document is not None:
        deepspeed_states(Settings(document, file=document.name, read=s.read), reading)
    else:
        zero_of_fsdp(s, reading, "deepspeed")


def deepspeed_batch(s: Settings, reading: Reading) -> None:
    """Take two of batch, micro-batch and accumulation; the third follows with the devices."""
    batch, micro = s.whole("train_batch_size"), s.whole("train_micro_batch_size_per_gpu")
    steps = s.whole("gradient_accumulation_steps", "gas")
    reading.put("batch", batch)
    reading.put("micro_batch", micro)
    reading.put("accumulation", steps)
    if not isinstance(batch, Setting) and isinstance(micro, Setting) and steps is None:
        reading.put("accumulation", Setting(1))


def deepspeed_states(s: Settings, reading: Reading) -> None:
    """Take the stage of sharing, and what is offloaded."""
    zero = s.section(
        *(f"{section}.zero_optimization" if section else "zero_optimization" for section in _sections(s))
    )
    reading.put("zero", zero.whole("stage", at_least=0))
    if s.any("zero_optimization"):
        reading.put("zero", None, default=0)
    devices = {name: zero.raw(f"offload_{name}.device") for name in ("optimizer", "param")}
    on = {
        name: each for name, each in devices.items() if isinstance(each, Setting) and each.value not in ("none", None)
    }
    if "param" in on:
        reading.put("offload", combined("states and weights", *on.values()))
    elif on:
        reading.put("offload", combined("states", *on.values()))


def _sections(s: Settings) -> list[str]:
    return [".".join(map(str, section)) for section in s.sections]
