"""What several trainers share: tables that are padded, launchers, names of optimizers and precisions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.documents.shell_document import ShellDocument
from scaleplan.trainers.durations import UNITS, read_duration
from scaleplan.trainers.settings import Open, Setting, Settings, combined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = [
    "adapted",
    "command_with",
    "duration",
    "gated",
    "launched",
    "optimizer",
    "passes",
    "precision",
    "product",
    "round_up",
    "vocabulary",
    "zero_of_fsdp",
]


_MATRICES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The matrices of a layer, as configs of adapters name them."""


def adapted(settings: Settings, reading: Reading, *names: str) -> None:
    """Take the matrices that have an adapter: a list of their names, or all of the layers."""
    for name in names:
        found = [each for each in settings.items(name) if isinstance(each, Setting)]
        texts = [str(each.value).rpartition(".")[2] for each in found]
        places = tuple(place for each in found for place in each.places)
        if texts in (["all-linear"], ["all"]):
            reading.put("lora_targets", Setting("all", places))
        elif texts and set(texts) <= set(_MATRICES):
            reading.put("lora_targets", Setting(",".join(dict.fromkeys(texts)), places))
        elif texts and "lora_targets" not in reading.values:
            reading.note(f"{name}: adapters are counted as on all matrices of the layers")


def round_up(value: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-value // multiple) * multiple


def vocabulary(settings: Settings, reading: Reading, *names: str, multiple: int = 1) -> dict[str, int]:
    """Return the rows of the table as a field, padded to a multiple; none where the tokenizer decides."""
    if reading.given.vocab is not None:
        return {"vocab_size": round_up(reading.given.vocab, multiple)}
    found = settings.whole(*names, at_most=10**9) if names else None
    if isinstance(found, Setting):
        return {"vocab_size": round_up(int(found.value), multiple)}
    place = settings.place(*names, *_TOKENIZERS, *_WIDTHS) if found is None else found.place
    reading.leave("vocab", "the tokenizer sets the vocabulary", place)
    return {}


_TOKENIZERS = (
    *("tokenizer", "tokenizer_type", "tokenizer_name", "tokenizer_name_or_path", "tokenizer_model", "vocab_file"),
    *("tokenizer_path", "tokenizer.tokenizer_name_or_path"),
)

_WIDTHS = ("hidden_size", "hidden_dim", "d_model", "n_embd", "dim", "depth")
"""Where a vocabulary is missing that the file says nothing about."""


def product(*found: Setting | Open | None) -> Setting | Open | None:
    """Return the product of settings, open where one of them is, None where one is missing."""
    value = 1
    for each in found:
        if not isinstance(each, Setting):
            return each
        value *= each.value
    return combined(value, *(each for each in found if isinstance(each, Setting)))


def command_with(document: Document, *flags: str) -> Settings | None:
    """Return the settings of the first command of a script that has all of these flags."""
    if not isinstance(document, ShellDocument):
        return None
    for command in document.commands:
        if all(command.find((flag,)) is not None for flag in flags):
            return Settings(command, file=document.name)
    return None


_EACH = ("nproc_per_node", "num_gpus", "gpus_per_node")

_NODES = ("nnodes", "num_nodes", "nodes")
"""The devices of a node and the nodes, as torchrun, deepspeed and srun name them."""

_GRES = re.compile(r"gpu(?::[A-Za-z0-9_.-]+)?:(\d+)")


def launched(settings: Settings, reading: Reading, document: Document) -> None:
    """Take the devices from the launcher: torchrun, accelerate, deepspeed, or the directives of Slurm."""
    each, nodes = settings.raw(*_EACH), settings.raw(*_NODES)
    if each is not None:
        counted = settings.whole(*_EACH) if _plain(each) else _open(each)
        machines = settings.whole(*_NODES) if _plain(nodes) else _open(nodes)
        if nodes is None and settings.has("hostfile"):
            machines = Open("the hostfile of the launcher lists the nodes", settings.place("hostfile"))
        elif nodes is None and not settings.any("nproc_per_node", "num_gpus") and isinstance(document, ShellDocument):
            machines = settings.of(document.directives, show="#SBATCH").whole("nodes")  # of srun, in a job
        reading.put("gpus", product(counted, Setting(1) if machines is None else machines))
    elif settings.has("num_processes"):
        reading.put("gpus", settings.whole("num_processes"))  # accelerate counts all of them
    elif isinstance(document, ShellDocument):
        _scheduled(settings.of(document.directives, show="#SBATCH"), reading)
    reading.leave("gpus", "the launcher sets the GPUs", option="--gpus")


def _plain(found: Setting | Open | None) -> bool:
    return found is None or (isinstance(found, Setting) and str(found.value).strip().isdecimal())


def _open(found: Setting | Open | None) -> Open | None:
    if isinstance(found, Setting):
        return Open("the launcher finds the GPUs", found.places[0])
    return found


def _scheduled(directives: Settings, reading: Reading) -> None:
    """Take the devices of a batch script: nodes times those of a node, or all of them."""
    if directives.has("gpus"):
        found = directives.raw("gpus")
        reading.put("gpus", directives.whole("gpus") if _plain(found) else _open(found))
        return
    nodes = directives.whole("nodes")
    each = directives.whole("gpus_per_node") if _plain(directives.raw("gpus_per_node")) else None
    shares = directives.raw("gres")
    if each is None and isinstance(shares, Setting) and (match := _GRES.search(str(shares.value))) is not None:
        each = Setting(int(match[1]), shares.places)
    if each is not None:
        reading.put("gpus", product(each, Setting(1) if nodes is None else nodes))


_PRECISIONS: Mapping[str, str] = {
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp16": "fp16",
    "float16": "fp16",
    "16": "fp16",
    "fp8": "fp8",
    "32": "fp32",
    "fp32": "fp32",
    "float32": "fp32",
}


def precision(settings: Settings, reading: Reading, *names: str) -> None:
    """Take the precision from a text such as ``bf16-mixed`` or ``amp_bf16``."""
    found = settings.raw(*names)
    if isinstance(found, Setting) and isinstance(found.value, str | int):
        parts = re.split(r"[-_,= ]", str(found.value).casefold())
        known = [_PRECISIONS[part] for part in parts if part in _PRECISIONS]
        if known:
            chosen = next((name for name in ("fp8", "bf16", "fp16") if name in known), known[0])
            reading.put("precision", Setting(chosen, found.places))


def switched_precision(settings: Settings, reading: Reading) -> None:
    """Take the precision from switches: ``--bf16``, ``fp16: true``, ``fp16: {enabled: true}``."""
    for name in ("bf16", "fp16"):
        for key in (name, f"{name}.enabled"):
            found = settings.raw(key)
            if isinstance(found, Setting) and not isinstance(found.value, dict):
                if settings.switch(key).value:
                    reading.put("precision", Setting(name, found.places))
            elif isinstance(found, Open) and key == name and (name == "bf16" or found.given):  # bf16: auto
                reading.put("precision", Setting(name, () if found.place is None else (found.place,)))


_OPTIMIZERS: tuple[tuple[str, str], ...] = (
    (r"paged.*(8bit|8_bit)", "paged_adamw_8bit"),
    (r"paged.*adam", "paged_adamw"),
    (r"(galore|apollo).*(8bit|8_bit)", "galore_adamw_8bit"),
    (r"(galore|apollo)", "galore_adamw"),
    (r"adam.*(8bit|8_bit|bnb)|(8bit|bnb).*adam", "adamw_8bit"),
    (r"adafactor", "adafactor"),
    (r"muon", "muon"),
    (r"lion.*8bit", "lion_8bit"),
    (r"lion", "lion"),
    (r"\bsgd\b|sgd_", "sgd"),
    (r"adam", "adamw"),
)
"""Names of optimizers as trainers write them, by the states that they keep; the first that matches counts."""


def optimizer(settings: Settings, reading: Reading, *names: str) -> None:
    """Take the optimizer by what states it keeps."""
    found = settings.raw(*names)
    if isinstance(found, Setting) and isinstance(found.value, str):
        text = found.value.casefold()
        for pattern, name in _OPTIMIZERS:
            if re.search(pattern, text):
                reading.put("optimizer", Setting(name, found.places))
                return


def passes(settings: Settings, reading: Reading, *names: str) -> None:
    """Take the passes over the data, where they are a number above 0."""
    found = settings.number(*names)
    if isinstance(found, Setting):
        reading.put("epochs", found)


def zero_of_fsdp(settings: Settings, reading: Reading, *names: str) -> None:
    """Take the stage of sharing from the name of a strategy of FSDP or DeepSpeed."""
    found = settings.raw(*names)
    if not isinstance(found, Setting) or not isinstance(found.value, str):
        return
    text = found.value.casefold()
    stage = re.search(r"(?:zero|stage|[_/-]z)[_-]?(?:stage[_-]?)?([0-3])", text)
    if stage is not None:
        reading.put("zero", Setting(int(stage[1]), found.places))
    elif "full_shard" in text or "hybrid_shard" in text:
        reading.put("zero", Setting(3, found.places))
    elif "shard_grad_op" in text:
        reading.put("zero", Setting(2, found.places))
    elif "no_shard" in text:
        reading.put("zero", Setting(0, found.places))


def gated(settings: Settings, *names: str, default: bool) -> bool:
    """Return whether an activation multiplies two projections: swiglu, geglu, reglu, bilinear, and fast ones."""
    found = settings.text(*names, default="")
    text = str(found.value).casefold()
    return default if not text else text.endswith(("glu", "bilinear")) or "glu" in text


def duration(
    settings: Settings, reading: Reading, length: Setting, *, units: Mapping[str, str] = UNITS, example: str
) -> None:
    """Take a ``max_duration`` in one of some units, as what it counts or as why that is open.

    Raises FileError for what is no length; ``example`` shows some that are.
    """
    found = read_duration(length.value, units=units)
    if found is None:
        raise settings.error("no length that can be read", "max_duration", hint=f"for example {example}")
    if found.reason:
        reading.leave("tokens", found.reason, length.places[0])
    if found.unit:
        reading.put(found.unit, Setting(found.number, length.places))
