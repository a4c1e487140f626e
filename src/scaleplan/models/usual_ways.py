"""The usual ways to train or tune a model, as options of ``memory``: what is compared where none is chosen."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from scaleplan.errors import UsageError
from scaleplan.models.tuning import HABITS, Method, method_of
from scaleplan.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["BF16", "LORA", "PAGED_IN_BACKWARD", "QLORA", "options_text", "way_name", "way_options", "ways_with"]

Options = dict[str, Any]

_FULL: Options = {"tune": "full"}

BF16: Options = {**_FULL, "precision": "bf16"}
PAGED_IN_BACKWARD: Options = {**BF16, "optimizer": "paged-adamw-8bit", "also": "in-backward"}
LORA: Options = {"tune": "lora", "rank": 16}
QLORA: Options = {"tune": "qlora", "rank": 16}

USUAL: tuple[Options, ...] = (
    {**_FULL, "precision": "mixed"},
    BF16,
    {**BF16, "optimizer": "adamw-8bit"},
    {**BF16, "optimizer": "adafactor"},
    {**BF16, "optimizer": "muon"},
    {**BF16, "optimizer": "sgd"},
    {**BF16, "optimizer": "galore-8bit"},
    {**BF16, "optimizer": "adafactor", "also": "in-backward"},
    {**BF16, "freeze": "embeddings"},
    {**BF16, "trained_layers": "a quarter"},
    LORA,
    {**LORA, "quantize": "int8"},
    {"tune": "dora", "rank": 16},
    QLORA,
    {**QLORA, "loss": "fused"},
    {"tune": "qdora", "rank": 16},
    {**BF16, "optimizer": "paged-adamw-8bit"},
    PAGED_IN_BACKWARD,
    {**_FULL, "precision": "mixed", "offload": "optimizer"},
    {**LORA, "offload": "activations"},
    {"trainer": "unsloth", **QLORA},
)
"""From what takes the most to what takes the least of a device; ``a quarter`` stands for that share of the layers."""

_CHOICES = ("quantize", "freeze", "optimizer", "precision", "offload", "also")
"""Options of which a way has its own: another value than that leaves the way out."""


def ways_with(given: Mapping[str, Any], *, layers: int) -> Iterator[tuple[Options, Method, str | None]]:
    """Yield the usual ways that agree with some choices, each with the options that make it, once.

    A choice that a way does not state is made in all of them; a rank or a number of layers replaces the way's own.
    """
    choices = {name: value for name, value in given.items() if value is not None}
    seen: set[tuple[Method, str | None]] = set()
    for usual in USUAL:
        way = dict(usual)
        if way.get("trained_layers"):
            way["trained_layers"] = max(1, layers // 4)
        if not _agrees(way, choices):
            continue
        options = {**way, **{name: value for name, value in choices.items() if name != "tune"}}
        try:
            found = method_of(**options)
        except UsageError as error:
            if _impossible(choices):
                raise error from None
            continue  # a choice of adapters where all is trained, or the reverse
        if found not in seen:
            seen.add(found)
            yield options, *found


def _agrees(way: Options, choices: Mapping[str, Any]) -> bool:
    """Whether a way does not contradict some choices; one that no usual way makes replaces those of all."""
    tune = choices.get("tune")
    if tune is not None and tune != way["tune"]:
        return False
    made = {name: {usual[name] for usual in USUAL if name in usual} for name in _CHOICES}
    return all(
        name not in way or way[name] == choices[name] or choices[name] not in made[name]
        for name in _CHOICES
        if name in choices
    )


def _impossible(choices: Mapping[str, Any]) -> bool:
    """Whether choices are wrong by themselves, in whatever way they are made."""
    for tune in dict.fromkeys((choices.get("tune"), "full", "lora")):
        try:
            method_of(**{**choices, "tune": tune})
        except UsageError:
            continue
        return False
    return True


def way_options() -> frozenset[str]:
    """Return the names of the options that make a way to train."""
    return frozenset(method_of.__kwdefaults__ or ())


def options_text(options: Mapping[str, Any]) -> str:
    """Return options as they are typed."""
    return " ".join(f"--{name.replace('_', '-')} {quote(str(value))}" for name, value in options.items())


_SHORT = {"lora": "LoRA", "dora": "DoRA"}


def way_name(method: Method, *, trainer: str | None = None) -> str:
    """Return a short name of a way: ``QLoRA r16``, ``full bf16, adafactor, in backward``, ``QLoRA r16, unsloth``.

    A trainer stands for what it chooses.
    """
    if method.adapts:
        four_bits = method.quantize is not None and method.quantize.startswith("nf4")
        name = f"{'Q' if four_bits else ''}{_SHORT[method.tune]} r{method.rank}"
        parts = [name if four_bits or not method.quantize else f"{name} on {method.quantize}"]
        parts += [str(method.precision)] if method.precision != "bf16" else []
    else:
        parts = [f"full {method.precision}"]
    if method.optimizer not in (None, "adamw"):
        parts.append(str(method.optimizer))
    if method.layers is not None:
        parts.append(f"last {counted(method.layers, 'layer').removeprefix('1 ')}")
    parts += [f"{name} frozen" for name in method.frozen]
    parts += ["in backward"] if method.in_backward else []
    habits: Mapping[str, Any] = HABITS[trainer] if trainer else {}
    parts += [f"{method.loss} loss"] if method.loss != habits.get("loss", "full") else []
    parts += [f"{name} on host" for name in method.offload if name not in habits.get("offload", ())]
    return ", ".join([*parts, trainer] if trainer else parts)
