"""Errors, each with a message, a hint and a code, and the warnings of results.

::

    ScaleplanError              every error a user can cause or meet (exit status 2)
    ├── UsageError              the request is wrong: options, names, combinations
    │   ├── QuantityError       an amount that cannot be read; points at the place with a caret
    │   └── UnknownNameError    a preset, accelerator, field … that does not exist; did you mean
    ├── FileError               a file is unreadable or invalid; names the file and the key
    └── UnreachableError        the request is right and the answer is "no" (exit status 1)

The command line is the only place that prints them, and the warnings, each a :class:`Notice`.
"""

from __future__ import annotations

import re
from copyreg import __newobj__  # type: ignore[attr-defined]  # how pickle makes objects without their constructors
from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "FileError",
    "Notice",
    "QuantityError",
    "ScaleplanError",
    "UnknownNameError",
    "UnreachableError",
    "UsageError",
    "did_you_mean",
    "either",
    "escape_control",
    "is_visible",
    "quote",
    "system_reason",
    "unexpected_keyword",
]

_LONGEST_QUOTE = 80


_INVISIBLE = frozenset(
    map(
        chr,
        (
            *(0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),  # joiner, fillers, vowels, a blank
            *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),  # variations
        ),
    )
)
"""Letters and marks that show nothing (Default_Ignorable_Code_Point of Unicode), and the blank among the Braille."""


def is_visible(text: str) -> bool:
    """Return whether every character shows: no control, direction mark, zero width, tag or surrogate."""
    return text.isprintable() and (text.isascii() or _INVISIBLE.isdisjoint(text))


def escape_control(text: str) -> str:
    """Spell out what does not show, so that no text of a user or a file can steer a terminal, a log or a reader."""
    if is_visible(text):
        return text
    return "".join(c if is_visible(c) else c.encode("unicode_escape").decode() for c in text)


def quote(value: object) -> str:
    """Write foreign text for a message: printable, shortened, in single quotes; of a path the end is kept."""
    text = escape_control(str(value))
    if len(text) > _LONGEST_QUOTE:
        is_path = hasattr(value, "__fspath__")
        text = "…" + text[1 - _LONGEST_QUOTE :] if is_path else text[: _LONGEST_QUOTE - 1] + "…"
    return f"'{text}'"


def system_reason(error: Exception, otherwise: str = "not readable") -> str:
    """Return why a file cannot be used, as the system says it; ``otherwise`` where it says nothing."""
    reason: str = getattr(error, "strerror", None) or otherwise
    return reason.lower()


_SAME_MEANING: Mapping[str, str] = {
    "flops": "budget compute c total_flops training_flops",
    "cost": "budget money dollars dollar usd price_total spend expense bill",
    "gpu_hours": "hours gpuhours accelerator_hours device_hours",
    "days": "time day duration deadline wall_clock walltime wall_time",
    "time": "days day hours duration deadline wall_clock walltime wall_time",
    "gpus": "gpu_count num_gpus n_gpus ngpus devices num_devices accelerators world_size cluster_size hardware",
    "gpu": "device accelerator hardware gpu_type chip card",
    "params": "size n model_size parameters parameter n_params num_params nparams",
    "tokens": "data d dataset dataset_size n_tokens num_tokens training_tokens train_tokens",
    "unique_tokens": "data dataset dataset_size corpus_size",
    "model": "config config_json architecture arch",
    "preset": "law scaling_law",
    "region": "grid country location",
    "mfu": "utilization utilisation hfu efficiency",
    "precision": "dtype data_type",
    "train_bits": "bits",
    "gptq_int4": "int4 4bit 4_bit q4 w4a16 gptq awq awq_int4",
    "int8": "8bit 8_bit q8 w8a8",
    "adamw": "adam adamw_torch",
    "huggingface": "hf trl peft transformers",
    "level": "confidence ci interval_level",
    "context": "seq seq_len seqlen sequence_length sequence max_seq_len context_length",
    "tensor": "tp tp_size tensor_parallel tensor_parallel_size",
    "pipeline": "pp pp_size pipeline_parallel pipeline_parallel_size",
    "context_parallel": "cp cp_size context_parallel_size",
    "expert": "ep ep_size expert_parallel expert_parallel_size",
    "experts": "moe num_experts n_experts num_local_experts",
    "zero": "fsdp zero_stage sharding",
    "recompute": "checkpointing activation_checkpointing gradient_checkpointing remat recomputation",
    "8bit_adam": "adam8bit adam_8bit adamw_8bit",
    "batch_regime": "regime",
    "batch": "batch_size global_batch_size batch_tokens",
    "limit": "constraint constraints bound max min",
    "learning_rate": "lr",
    "tokens_per_param": "tpp ratio d/n tokens/params tokens/param tokens_per_parameter",
    "energy_kwh": "energy kwh mwh",
    "carbon_kg": "carbon co2 emissions",
    "memory_gb": "memory mem vram gpu_memory",
    "get": "field key",
    "markdown": "md",
    "output": "out file save",
    "optimal": "plan optimise optimize best allocate",
    "loss": "predict",
    "presets": "laws list",
    "hyperparameters": "lr batch hparams hyperparams",
    "check": "validate lint ci verify",
    "plot": "chart graph draw",
    "vocab": "vocabulary tokenizer",
    "memory": "mem vram",
    "break-even": "inference serve breakeven",
    "convert": "bill price units",
    "price_per_hour": "price",
    "exchange_rate": "currency rate fx eur",
    "power_price": "electricity electricity_price",
    "owned": "own buy purchase capex on_prem",
    "interruptions": "failures preemptions",
    "theme": "dark light style",
    "hours": "time days duration deadline",
    "write": "save dump to_file",
    "list_gpus": "gpus",
    "list_presets": "presets",
    "list_models": "models",
    "list_families": "families",
}
"""Words that people use for a name, by the name; where several stand for a word, the first that exists is meant."""


def did_you_mean(name: str, choices: Iterable[str]) -> str | None:
    """Return which of ``choices`` is meant by ``name``: a known synonym or a slip of the hand, else None.

    None is better than a far name: another accelerator or country is no correction of a word.
    """
    wanted = _spelt(name)[:100]
    if not wanted:
        return None
    known = {_spelt(choice): choice for choice in reversed(list(choices))}
    if wanted in known:
        return known[wanted]
    record = wanted.rpartition(".")[0] + "."
    if any(spelt.startswith(record) for spelt in known):  # only its field can be wrong
        known = {spelt.removeprefix(record): choice for spelt, choice in known.items() if spelt.startswith(record)}
        wanted = wanted.removeprefix(record)
    ends = [spelt.rpartition(".")[2] for spelt in known]
    fields = {end: choice for end, choice in zip(ends, known.values(), strict=True) if ends.count(end) == 1} | known
    if wanted in fields:
        return fields[wanted]
    for meant, words in _SAME_MEANING.items():
        if _spelt(meant) in fields and wanted in words.split():
            return fields[_spelt(meant)]
    slips = {choice: _slips(wanted, spelt) for spelt, choice in reversed(known.items()) if _comparable(wanted, spelt)}
    nearest = min(slips, key=slips.__getitem__, default=None)
    return nearest if nearest is not None and slips[nearest] <= _room(wanted) else None


def _spelt(name: str) -> str:
    """Return a name as it is compared: without case, with one separator."""
    return name.strip().lstrip("-").casefold().replace("-", "_").replace(" ", "_")


def _room(name: str) -> int:
    """Return how many slips a name of this length may have; short words are soon others."""
    return 1 if len(name) < 6 else 2 if len(name) < 12 else 3


def _comparable(name: str, choice: str) -> bool:
    """Return whether two names may be one: of one beginning, and not two of a series (a100 and a800, gpt3 and gptj).

    A digit may be missing or too many, or a letter like it; and a year may be another.
    """
    digits, other = _digits(name), _digits(choice)
    strict = len(name) <= 5 or bool(digits)
    if abs(len(name) - len(choice)) > _room(name) or (strict and name[0] != choice[:1]):
        return False
    if len(name) == len(choice):
        return digits == other or _digits(name.translate(_ALIKE)) == _digits(choice.translate(_ALIKE))
    return digits == other or len(digits) != len(other)


_YEAR = re.compile(r"(?<!\d)20[0-4]\d(?!\d)")

_ALIKE = str.maketrans("oil", "011")


def _digits(name: str) -> str:
    """Return the digits of a name, without a year."""
    return "".join(c for c in _YEAR.sub("", name) if c.isdigit())


def _slips(name: str, other: str) -> int:
    """Return how many letters are wrong, missing, too many, or swapped with the next."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(name, start=1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            slips = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and name[i - 2] == wanted:
                slips = min(slips, last[j - 2] + 1)
            row.append(slips)
    return row[-1]


class ScaleplanError(Exception):
    """What is wrong with a request, and what to do about it.

    All errors raised on purpose derive from it. ``message`` names the problem in the user's own text, in lower
    case and without a full stop; ``hint`` is what to do about it. Scripts rely on ``code``.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...], dict[str, Any]]:
        """Come through to another process whole, whatever the constructor takes."""
        return __newobj__, (type(self), *self.args), self.__dict__

    def to_dict(self) -> dict[str, object]:
        """Return the machine-readable form, ``scaleplan/error/1``."""
        return {"schema": "scaleplan/error/1", "code": self.code, "message": self.message, "hint": self.hint}


class UsageError(ScaleplanError):
    """The request is wrong: a missing, contradictory or impossible option."""

    code = "usage"


class QuantityError(UsageError):
    """An amount cannot be read; ``span`` is where the wrong part of ``text`` begins and where it has ended."""

    code = "quantity"

    def __init__(self, message: str, *, text: str, span: tuple[int, int], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.span = span

    def caret(self) -> str | None:
        """Return two lines, the text and a marker under the offending part; None if it does not fit."""
        shown = escape_control(self.text)
        if len(shown) != len(self.text) or not 0 < len(shown) <= _LONGEST_QUOTE:
            return None
        start, stop = self.span
        return f"{shown}\n{' ' * start}{'^' * max(1, stop - start)}"


class UnknownNameError(UsageError):
    """A name that is not among the ``choices`` of its ``kind`` (``"preset"``, ``"field"``).

    ``listing`` is the command that lists them, ``reason`` why a name that is known is not among them, and
    ``otherwise`` the way for one that is meant and not there.
    """

    code = "unknown_name"

    def __init__(
        self,
        kind: str,
        name: str,
        choices: Iterable[str],
        *,
        listing: str | None = None,
        reason: str | None = None,
        otherwise: str | None = None,
    ) -> None:
        known = list(choices)
        close = did_you_mean(name, known) if reason is None else None
        hints = []
        if close is not None:
            hints.append(f"did you mean '{escape_control(close)}'?")
        if listing is not None:
            hints.append(f"'{listing}' lists them" + (f"; {otherwise}" if otherwise and close is None else ""))
        elif close is None:
            few = len(known) <= 40
            some = ", ".join(map(escape_control, known if few else known[:12]))
            hints.append(f"known: {some}" if few else f"{len(known)} are known, among them {some}")
        why = "" if reason is None else f": {escape_control(reason)}"
        super().__init__(f"unknown {kind} {quote(name)}{why}", hint=" ".join(hints) or None)


class FileError(ScaleplanError):
    """A file cannot be read, or its content is invalid; ``file`` and ``line`` are the place to point at, if known."""

    code = "file"

    def __init__(
        self, message: str, *, hint: str | None = None, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line


class UnreachableError(ScaleplanError):
    """The request is right, and the answer is no: the target cannot be reached, the limits conflict."""

    code = "unreachable"
    exit_status = 1


def unexpected_keyword(name: str, known: Iterable[str], *, function: str | None = None) -> TypeError:
    """Return the error for an unknown keyword, with the nearest known one."""
    close = did_you_mean(name, known)
    where = "" if function is None else f"{function}() got an "
    hint = "" if close is None else f": did you mean '{close}'?"
    return TypeError(f"{where}unexpected keyword argument '{name}'{hint}")


def either(name: str, value: object, old: str, old_value: object) -> Any:  # noqa: ANN401  the type of either
    """Return the value of a keyword that has an earlier name too; raises UsageError where both are given."""
    if value is not None and old_value is not None:
        raise UsageError(f"{name} and {old} are one thing", hint=f"give {name} alone")
    return value if old_value is None else old_value


class Notice(Record):
    """A warning that belongs to a result: a code for scripts and a sentence for readers."""

    code: str
    message: str
