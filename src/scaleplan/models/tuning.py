"""Ways to train, as data: what is trained, how weights are stored, and what optimizer, loss and kernels keep.

Each way is a few plain choices; the bytes of a parameter and of a token follow from them. A trainer is a named set of
choices (:data:`HABITS`), not one of constants.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.architecture import Atom

__all__ = [
    "ALSO",
    "ATTENTION",
    "FROZEN",
    "HABITS",
    "KERNELS",
    "LOSSES",
    "METHOD",
    "OFFLOADED",
    "OPTIMIZERS",
    "PRECISIONS",
    "QUANTIZED",
    "STORED",
    "TARGETS",
    "TUNED",
    "UPCAST",
    "Method",
    "Optimizer",
    "Precision",
    "extremes_of",
    "method_of",
    "names_of_matrix",
    "target_labels",
]


class Precision(NamedTuple):
    """Bytes of a trained weight, its gradient and master copy, of an activation, and of the residual stream."""

    weights: float
    gradients: float
    master: float
    activations: float
    stream: float
    copies: float = 0.0
    """Bytes of the copy that autocast makes of each matrix and keeps until the backward pass is over."""


PRECISIONS = {
    "fp32": Precision(4, 4, 0, 4, 4),
    "autocast": Precision(4, 4, 0, 2, 4, copies=2),  # fp32 weights and stream; matrices multiply in 16 bits
    "bf16": Precision(2, 2, 0, 2, 2),  # all in 16 bits
    "mixed": Precision(2, 2, 4, 2, 2),  # 16 bits with an fp32 master copy
    "fsdp": Precision(4, 4, 0, 2, 2),  # fp32 weights, gradients and states, shared; gathered and computed in 16 bits
    "fp8": Precision(4, 4, 0, 2, 2),  # as fsdp: products in fp8, what is kept for the backward pass in 16 bits
    "nvfp4": Precision(4, 4, 0, 2, 2),
}
"""Bytes by the precision of a training."""


class Optimizer(NamedTuple):
    """Moments of a parameter that an optimizer keeps on the device, and how."""

    moments: float
    """Moments of a matrix' parameter."""
    bits: float | None = None
    """Bits of a moment; None for those of the weight or its master copy."""
    tables: float | None = None
    """Moments of everything that is no matrix in a layer; None for as many."""
    factored: bool = False
    """Whether a matrix has one moment per row and one per column instead of one per parameter."""
    projected: bool = False
    """Whether moments are those of a gradient projected to a rank (GaLore)."""
    torch: bool = False
    """Whether it is PyTorch's Adam, which copies a moment of all weights where it works on many tensors at once."""


_BLOCK8 = 8 + 32 / 256  # 8-bit blockwise moments: an fp32 maximum for each 256 (bitsandbytes; arXiv:2110.02861)

OPTIMIZERS = {
    "adamw": Optimizer(2, torch=True),
    "adamw-fp32": Optimizer(2, bits=32, torch=True),
    "adamw-bf16": Optimizer(2, bits=16, torch=True),
    "adamw-8bit": Optimizer(2, bits=_BLOCK8),
    "paged-adamw": Optimizer(0),  # in managed memory: on the host until a step needs them
    "paged-adamw-8bit": Optimizer(0),
    "lion": Optimizer(1),
    "lion-8bit": Optimizer(1, bits=_BLOCK8),
    "adafactor": Optimizer(1, bits=32, factored=True),  # arXiv:1804.04235, without a first moment
    "muon": Optimizer(1, tables=2),  # one momentum for matrices, Adam for the rest
    "sgd": Optimizer(0),
    "sgd-momentum": Optimizer(1),
    "galore": Optimizer(2, projected=True),  # arXiv:2403.03507
    "galore-8bit": Optimizer(2, bits=_BLOCK8, projected=True),
    "q-galore": Optimizer(2, bits=_BLOCK8, projected=True),  # arXiv:2407.08296: projections in 4 bits
}
"""The optimizers, by name."""

STORED = {
    "bf16": 16.0,
    "fp32": 32.0,
    "nf4": 4 + 32 / 64,  # an fp32 maximum for each 64 weights; QLoRA, arXiv:2305.14314, section 3
    "nf4-dq": 4 + 8 / 64 + 32 / (64 * 256),  # the maxima in 8 bits
    "int8": 8.0,
    "fp8": 8.0,
    "gptq-int4": 4 + 20 / 128,  # a 16-bit scale and a 4-bit zero for each 128
    "gptq-int8": 8 + 24 / 128,
    "nvfp4": 4 + 8 / 16,
}
"""Bits of a stored weight, scales included, by the way of storing it."""

TUNED = ("full", "lora", "dora")

TARGETS = {
    "query": ("q", "q_proj"),
    "key": ("k", "k_proj"),
    "value": ("v", "v_proj"),
    "output": ("o", "o_proj", "output_proj"),
    "gate": ("gate_proj",),
    "up": ("up_proj",),
    "down": ("down_proj",),
}
"""The matrices that adapters are put on, by label, with the names that adapter configs use."""

_OF_SEVERAL = {
    **dict.fromkeys(("query and gate", "query down", "query up", "queries and gates up"), ("query",)),
    **dict.fromkeys(("key and value", "keys and values", "key and value down", "key and value up"), ("key", "value")),
    "queries and keys": ("query", "key"),
    "gate and up": ("gate", "up"),
}
"""The targets that a matrix of another label is: one matrix for several, or one of two through a latent.

One whose label merely has the word (an output gate, an indexer, the one input of a recurrence) is none of them."""

FROZEN = ("embeddings", "norms", "attention", "ffn")

LOSSES = ("full", "compiled", "shifted", "chunked", "chunked-16", "fused")

ATTENTION = ("flash", "sdpa", "eager")

KERNELS = ("eager", "compiled")

OFFLOADED = ("activations", "optimizer")


HABITS: Mapping[str, Mapping[str, object]] = {
    "huggingface": {"kernels": "eager", "upcast": True, "foreach": True},
    "axolotl": {"kernels": "eager", "foreach": True, "recompute": "full", "packed": False},
    "ms-swift": {
        "kernels": "eager",
        "upcast": True,
        "foreach": True,
        "recompute": "full",
        "loss": "shifted",
        "packed": False,
    },
    "unsloth": {
        "kernels": "compiled",
        "adapter_bits": 32,
        "recompute": "full",
        "loss": "fused",
        "offload": ("activations",),
    },
    "torchtune": {
        "kernels": "eager",
        "split": True,
        "attention": "sdpa",
        "adapter_bits": 16,
        "loss": "chunked",
        "packed": False,
    },
    "litgpt": {
        "kernels": "eager",
        "attention": "sdpa",
        "adapter_bits": 16,
        "loss": "chunked-16",
        "merged": True,
        "split": True,
        "dropout": True,
        "foreach": True,
        "untied": True,
        "gathers_all": True,
        "quantizes_head": True,
        "packed": False,
        "targets": ("query", "value"),
    },
    "torchtitan": {"kernels": "compiled", "precision": "fsdp", "recompute": "selective"},
}
"""What trainers choose by themselves, as plain choices: their defaults of 2024 to 2026."""


def names_of_matrix(label: str) -> frozenset[str]:
    """Return the names of :data:`TARGETS` by which adapters are put on a matrix, that of a shared expert too."""
    plain = label.removeprefix("shared ")
    return frozenset(_OF_SEVERAL.get(plain, (plain,))) & TARGETS.keys()


class Method(Record):
    """One way to train a model. The default trains all of it with fused kernels and full logits."""

    tune: str = "full"
    """``full``, or adapters of a rank beside frozen matrices: ``lora``, or ``dora`` with trained magnitudes."""
    rank: int = 8
    targets: tuple[str, ...] = ()
    """Labels of the matrices that have adapters; empty for all in the layers."""
    layers: int | None = None
    """The last layers that are trained or have adapters; None for all."""
    frozen: tuple[str, ...] = ()
    """Parts that are not trained, of :data:`FROZEN`."""
    quantize: str | None = None
    """How the matrices of the layers are stored, of :data:`STORED`; tables, norms and head stay as they are."""
    upcast: bool = False
    """Whether what is not quantised, and the stream, is in fp32 (as PEFT prepares a quantised model)."""
    adapter_bits: int = 32
    """Bits of an adapter's weight; its input is copied where they are not those of the activations."""
    dropout: bool = False
    """Whether adapters, or blocks, have dropout: a copy and a mask of what they read."""
    optimizer: str | None = None
    """Of :data:`OPTIMIZERS`; None where the states are given by name."""
    galore_rank: int = 1024
    precision: str | None = None
    """Of :data:`PRECISIONS`; None where the states are given by name."""
    in_backward: bool = False
    """Whether each gradient is used and freed as soon as it is computed."""
    foreach: bool = False
    """Whether the optimizer works on many tensors at once, PyTorch's default, and copies a moment of all weights."""
    loss: str = "full"
    attention: str = "flash"
    kernels: str = "compiled"
    split: bool = False
    """Whether the trainer's own models have adapters on each of the matrices that Hugging Face's store as one."""
    merged: bool = False
    """Whether one matrix makes queries, keys and values, whose output stays alive."""
    offload: tuple[str, ...] = ()
    """What is in host memory, of :data:`OFFLOADED`."""
    untied: bool = False
    """Whether a head that is the word table has weights of its own all the same."""
    gathers_all: bool = False
    """Whether full sharding gathers all weights at once: FSDP 1 where they are frozen, and for whole checkpoints."""
    quantizes_head: bool = False
    """Whether the head is quantised too, and what is quantised is computed in fp32 before it is cast."""
    accumulates: bool = False
    """Whether gradients of several micro-batches are summed, so that they stay until a step is over."""
    packed: bool = True
    """Whether all sequences are equally long; else the allocator keeps blocks of many sizes."""

    def __hash__(self) -> int:
        found = self.__dict__.get("_hash")  # a key of every search
        if found is None:
            found = self.__dict__["_hash"] = super().__hash__()
        return int(found)

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained, and the rest is frozen."""
        return self.tune != "full"

    @property
    def numbers(self) -> Precision:
        """The precision; that of states by name where none is given."""
        found = PRECISIONS[self.precision or "bf16"]
        return found._replace(stream=4.0, activations=4.0) if self.upcast else found

    @property
    def plain(self) -> bool:
        """Whether states given by name say everything about the weights."""
        return not (self.adapts or self.precision or self.optimizer)

    def summing(self) -> Method:
        """Return the same with gradients that are summed over micro-batches."""
        return replace(self, accumulates=True)

    def in_one_memory(self) -> Method:
        """Return the same on a device whose memory is the host's: nothing is kept elsewhere."""
        if not self.offload and not (self.optimizer or "").startswith("paged-"):
            return self
        return replace(self, offload=(), optimizer=self.optimizer and self.optimizer.removeprefix("paged-"))

    def target(self, atom: Atom) -> bool:
        """Whether a matrix of a layer has an adapter."""
        if atom.kind != "matrix" or "router" in atom.label:
            return False
        return not self.targets or not names_of_matrix(atom.label).isdisjoint(self.targets)

    def trains(self, kind: str) -> bool:
        """Whether parts of a kind (``attention``, ``ffn``, ``norms``, ``embeddings``) are trained themselves."""
        return not self.adapts and ("attention" if kind == "recurrent" else kind) not in self.frozen

    @property
    def text(self) -> str:
        """What is trained and by what, as a clause."""
        what = f"{self.tune} of rank {self.rank}" if self.adapts else "all weights"
        if self.layers is not None:
            what += f" of the last {self.layers} layers"
        if self.frozen:
            what += f" but {', '.join(self.frozen)}"
        if self.quantize:
            what += f" on {self.quantize}" if self.adapts else f" in {self.quantize}"
        parts = [what, self.precision, self.optimizer or "adamw"]
        parts += [f"{', '.join(self.offload)} in host memory"] if self.offload else []
        parts += [f"{self.loss} loss", f"{self.kernels} kernels"]
        return ", ".join(part for part in parts if part)

    def checked(self) -> Method:
        """Return this, or raise UsageError for a choice that is not known or choices that contradict each other."""
        known = (
            ("way to tune", self.tune, (*TUNED, *QUANTIZED)),
            ("way to store weights", self.quantize, STORED),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("precision", self.precision, PRECISIONS),
            ("loss", self.loss, LOSSES),
            ("attention", self.attention, ATTENTION),
            ("kind of kernels", self.kernels, KERNELS),
            *(("part to freeze", name, FROZEN) for name in self.frozen),
            *(("part to offload", name, OFFLOADED) for name in self.offload),
        )
        for what, name, names in known:
            if name is not None and name not in names:
                raise UnknownNameError(what, name, names)
        if self.adapter_bits not in {16, 32}:
            raise UsageError(f"adapters of {self.adapter_bits} bits are not trained", hint="--adapter-bits 16 or 32")
        return self


METHOD = Method()
"""All of a model is trained, by fused kernels."""

QUANTIZED = {"qlora": "lora", "qdora": "dora"}
"""Ways to tune that also store the frozen matrices in 4 bits, with what they are besides."""

_USUAL = {"kernels": "eager", "foreach": True, "packed": False}
"""What holds where a way to tune is given and no trainer: what most do. Operations are PyTorch's own, adapters are in
fp32 (PEFT, and what is built on it); examples are not packed (the default of TRL, LLaMA-Factory, ms-swift,
torchtune, litgpt and axolotl); and what is not quantised stays in 16 bits: axolotl casts it back to them, and
LLaMA-Factory, torchtune, litgpt and Unsloth do not upcast it."""

_SHARDED = ("fsdp", "fp8", "nvfp4")
"""Precisions of sharded training."""

UPCAST = ("nf4", "nf4-dq", "int8")
"""Ways to store weights by bitsandbytes, for which PEFT casts all other weights to fp32; with GPTQ's it does not."""

_WHOLE_BITS = 16  # bits from which a stored weight is not quantised

ALSO = {
    "in-backward": "in_backward",
    "foreach": "foreach",
    "dropout": "dropout",
    "unpacked": "packed",
    "upcast": "upcast",
    "merged": "merged",
    "split": "split",
    "untied": "untied",
    "gathers-all": "gathers_all",
    "quantizes-head": "quantizes_head",
}
"""Habits that a word switches on, and with ``no-`` before it off, with the field that it changes."""


def method_of(
    *,
    trainer: str | None = None,
    tune: str | None = None,
    rank: int | None = None,
    targets: str | None = None,
    trained_layers: int | None = None,
    freeze: str | None = None,
    quantize: str | None = None,
    adapter_bits: int | None = None,
    optimizer: str | None = None,
    galore_rank: int | None = None,
    precision: str | None = None,
    loss: str | None = None,
    attention: str | None = None,
    kernels: str | None = None,
    offload: str | None = None,
    also: str | None = None,
) -> tuple[Method, str | None]:
    """Return a way to train from its choices, and the recomputation of the trainer; raises UsageError for conflicts.

    A trainer's choices hold where none is made, with a way to tune those of most trainers. Fused kernels are those of
    the loss too, where layers are not compiled one by one to be sharded.
    """
    adapters = tune is not None and tune != "full"
    if tune in QUANTIZED:
        if STORED.get(quantize or "", 0.0) >= _WHOLE_BITS:
            raise UsageError(
                f"--tune {tune} quantises frozen matrices, and {quantize} does not",
                hint=f"--tune {QUANTIZED[tune]}, or leave out --quantize",
            )
        tune, quantize = QUANTIZED[tune], quantize or "nf4"
    elif optimizer == "q-galore":
        quantize = quantize or "int8"
    only = {"--rank": rank, "--targets": targets, "--adapter-bits": adapter_bits}
    if not adapters:
        _refuse_adapters(only)
    elif freeze is not None:
        raise UsageError("adapters freeze everything else already", hint="leave out --freeze, or --tune")
    if quantize is not None and not adapters and optimizer != "q-galore":
        raise UsageError(
            "weights that are trained are not quantised", hint="--tune qlora, --optimizer q-galore, or --serve"
        )
    _refuse_projection(optimizer, galore_rank, adapters=adapters)
    habits = _habits(trainer, tune=tune, quantize=quantize, kernels=kernels, precision=precision)
    recompute = habits.pop("recompute", None)
    given = {
        "tune": tune,
        "rank": rank,
        "targets": None if targets is None else target_labels(targets),
        "layers": trained_layers,
        "frozen": _words(freeze) or None,
        "quantize": quantize,
        "adapter_bits": adapter_bits,
        "optimizer": optimizer,
        "galore_rank": galore_rank,
        "precision": precision,
        "loss": loss,
        "attention": attention,
        "kernels": kernels,
        "offload": _words(offload) or None,
        **_switched(also),
    }
    method = Method(**{**habits, **{name: value for name, value in given.items() if value is not None}}).checked()
    if method.precision is None:
        method = replace(method, precision=_usual_precision(method, trainer))
    if STORED.get(method.quantize or "", _WHOLE_BITS) >= _WHOLE_BITS and (method.upcast or method.quantizes_head):
        raise UsageError(
            "nothing is quantised that could be upcast, or have its head quantised", hint="add --quantize"
        )
    if method.plain and method.in_backward:
        raise UsageError("gradients that are used at once need an optimizer", hint="add --optimizer adamw")
    return method, recompute


def extremes_of(method: Method, said: Mapping[str, object]) -> tuple[Method, Method] | None:
    """Return the ways that keep the least and the most, by what is not said; None where a trainer says all of it."""
    if said.get("trainer") is not None:
        return None
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    if said.get("kernels") is None:
        least["kernels"], most["kernels"] = "compiled", "eager"
    if said.get("loss") is None:
        least["loss"], most["loss"] = "fused", "full"
    if method.adapts and method.quantize in UPCAST and "upcast" not in str(said.get("also")):
        least["upcast"], most["upcast"] = False, True
    return (replace(method, **least), replace(method, **most)) if least else None


def _usual_precision(method: Method, trainer: str | None) -> str | None:
    """Return the precision of a training that names none; None where states given by name say it."""
    if method.adapts or trainer is not None:
        return "bf16"
    partly = method.frozen or method.layers is not None
    return "mixed" if method.optimizer or partly or "optimizer" in method.offload else None


def _refuse_adapters(only: Mapping[str, object]) -> None:
    """Refuse choices of adapters where there are none; raises UsageError."""
    for name, value in only.items():
        if value is not None:
            raise UsageError(f"{name} belongs to adapters", hint="add --tune lora, qlora, dora or qdora")


def _refuse_projection(optimizer: str | None, rank: int | None, *, adapters: bool) -> None:
    """Refuse a rank of projected gradients where none are, and projections of adapters; raises UsageError."""
    projected = optimizer in OPTIMIZERS and OPTIMIZERS[optimizer].projected
    if rank is not None and not projected:
        raise UsageError("--galore-rank belongs to an optimizer of projected gradients", hint="--optimizer galore")
    if adapters and projected:
        raise UsageError(
            f"{optimizer} projects gradients of whole matrices, and adapters have none",
            hint="--optimizer adamw-8bit",
        )


def _habits(
    trainer: str | None, *, tune: str | None, quantize: str | None, kernels: str | None, precision: str | None
) -> dict[str, Any]:
    """Return the choices of a trainer, or of most, that concern a training by these."""
    if trainer is None:
        found: dict[str, Any] = {} if tune is None else dict(_USUAL)
    elif trainer not in HABITS:
        raise UnknownNameError("trainer", trainer, HABITS)
    else:
        idle = {
            *(("targets", "adapter_bits", "upcast") if tune in (None, "full") else ()),
            *(() if STORED.get(quantize or "", _WHOLE_BITS) < _WHOLE_BITS else ("quantizes_head",)),
            *(() if quantize in UPCAST else ("upcast",)),
        }
        found = {name: value for name, value in HABITS[trainer].items() if name not in idle}
    if kernels == "compiled" and (precision or found.get("precision")) not in _SHARDED:
        found.setdefault("loss", "compiled")
    return found


def _switched(also: str | None) -> dict[str, bool]:
    """Return the fields that words switch on, or off."""
    found: dict[str, bool] = {}
    for word in _words(also):
        name = word.removeprefix("no-")
        if name not in ALSO:
            raise UnknownNameError("habit of a training", word, ALSO)
        value = (word == name) != (name == "unpacked")
        if found.setdefault(ALSO[name], value) != value:
            raise UsageError(f"{name} and no-{name} contradict each other", hint="give one of them")
    return found


def _words(text: str | None) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(word.strip() for word in text.split(",")) if text is not None else ()


def target_labels(text: str) -> tuple[str, ...]:
    """Return the labels of the matrices in a text such as ``q,v``; empty for ``all``."""
    if text.strip() in ("all", "all-linear", "all linear"):
        return ()
    labels = []
    for name in text.split(","):
        word = name.strip()
        found = next((label for label, names in TARGETS.items() if word == label or word in names), None)
        if found is None:
            raise UsageError(
                f"adapters cannot be put on {quote(word)}",
                hint=f"name some of {', '.join(TARGETS)}, q, k, v, o, or all",
            )
        labels.append(found)
    return tuple(dict.fromkeys(labels))
