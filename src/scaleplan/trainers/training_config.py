"""What a training config says: the fields of its model, the values of its run, and what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError
from scaleplan.trainers.settings import Open, Setting, combined
from scaleplan.trainers.stated_run import StatedRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scaleplan.documents.key_path import Document, Location

__all__ = ["NOT_GIVEN", "OPTIONS", "STATED", "VALUES", "Reading", "RunGiven", "TrainingConfig"]

OPTIONS: Mapping[str, str] = {
    "vocab": "--vocab, or vocab in the run of a project",
    "gpus": "--gpus, or gpus in the run of a project",
    "sequence": "--context, or context in the run of a project",
    "batch_tokens": "--batch, or tokens in the run of a project",
    "batch": "--batch, or tokens in the run of a project",
    "tokens": "tokens in the run of a project",
    "model": "the model, by its config.json or the name of a public one",
}
"""What gives that which a config leaves open, by name."""


class RunGiven(NamedTuple):
    """What the user gives beside a config; it wins over what stands there."""

    vocab: int | None = None
    gpus: int | None = None
    sequence: int | None = None


NOT_GIVEN = RunGiven()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """A training config of a known trainer.

    ``fields`` are those of a config.json; they lack ``vocab_size`` where the vocabulary is open, and are None where
    ``unsized`` says why, or the model is a ``reference``: the name of a public model, or the path of a config.
    ``values`` are those of the run by name (:data:`VALUES`), ``open`` what it leaves open, ``read`` what was read.
    """

    trainer: str
    file: str
    fields: Mapping[str, object] | None = None
    reference: Setting | None = None
    unsized: FileError | None = None
    values: Mapping[str, Setting] = field(default_factory=dict)
    open: Mapping[str, Open] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sizes: tuple[Location, ...] = ()
    """The places that the model follows from."""
    read: Mapping[Location, str | float | None] = field(default_factory=dict)

    def stated(self) -> StatedRun:
        """Return the run as a flat record, with what is open in words."""
        known = {name: setting.value for name, setting in self.values.items()}
        values = {STATED.get(name, name): value for name, value in known.items()}
        return StatedRun(trainer=self.trainer, **values, open=tuple(self._open()))

    def _open(self) -> Iterator[str]:
        """Yield what is open and not determined otherwise, each with its place and reason."""
        for name, found in self.open.items():
            if name in LABELS and name not in self.values:
                line = f", line {found.place.line}" if found.place is not None and found.place.line else ""
                way = _way(name, found).partition(", or ")[0]
                yield f"{LABELS[name]} not in the file{line}: {found.reason}; give {way}"

    def places(self) -> tuple[Location, ...]:
        """Return every place that was read."""
        return tuple(self.read)

    def missing(self, name: str) -> FileError:
        """Return the error of a value that is needed and open, with its place and the option that gives it."""
        found = self.open.get(name, Open("no key states the value"))
        at = self.file if found.place is None or found.place.line is None else f"{self.file}:{found.place.line}"
        key = f" {found.place.key}:" if found.place is not None else ""
        shown = LABELS.get(name, name)
        return FileError(
            f"{at}:{key} {shown} not in the file: {found.reason}",
            hint=f"give {_way(name, found)}",
            file=self.file,
            line=found.place.line if found.place is not None else None,
        )


def _way(name: str, found: Open) -> str:
    """Return what gives a value that is open: the option of its cause, or its own."""
    way = found.option or OPTIONS.get(name, name)
    return OPTIONS.get(way.removeprefix("--"), way)


LABELS: Mapping[str, str] = {
    "vocab": "vocabulary is",
    "gpus": "the number of GPUs is",
    "sequence": "length of a sequence is",
    "batch_tokens": "tokens of a step are",
    "tokens": "tokens of the run are",
    "model": "model is",
}
"""The beginning of a message about a value that is open."""

VALUES: Mapping[str, str] = {
    "sequence": "tokens of a sequence",
    "batch": "sequences of a step",
    "batch_tokens": "tokens of a step",
    "micro_batch": "sequences that a GPU takes at once",
    "accumulation": "micro-batches of a step on each GPU",
    "steps": "steps of the optimizer",
    "samples": "sequences of the run",
    "tokens": "tokens of the run",
    "epochs": "passes over the data",
    "gpus": "devices",
    "data": "data-parallel groups",
    "tensor": "tensor-parallel GPUs",
    "pipeline": "pipeline stages",
    "context_parallel": "GPUs that split sequences",
    "expert": "GPUs that split experts",
    "zero": "stage of sharing, 3 for full sharding",
    "precision": "precision of the matrices",
    "kept": "how weights are kept: in fp32, or in the same precision",
    "optimizer": "optimizer",
    "recompute": "activations that are recomputed",
    "offload": "what is offloaded to the host: states, or states and weights",
    "adapter": "kind of adapter",
    "lora_rank": "rank of the adapter",
    "lora_targets": "matrices that have one",
    "weight_bits": "bits of a frozen weight",
}
"""The values that a run may have, by name."""


_FACTORS = ("batch", "micro_batch", "accumulation", "data")
"""A batch, and what it is the product of."""


STATED: Mapping[str, str] = {
    "batch": "sequences_per_step",
    "batch_tokens": "tokens_per_step",
    **{name: f"{name}_parallel" for name in ("data", "tensor", "pipeline", "expert")},
}
"""The names of values in a result, where they are others."""


class Reading:
    """The values of a run while a config is read; whatever is put in open is not a value."""

    def __init__(self, given: RunGiven, beside: Callable[[str], Document | None]) -> None:
        self.given = given
        self.beside = beside
        self.values: dict[str, Setting] = {}
        self.open: dict[str, Open] = {}
        self.notes: list[str] = []
        for name in ("gpus", "sequence"):
            value = getattr(given, name)
            if value is not None:
                self.values[name] = Setting(value)

    def put(self, name: str, found: Setting | Open | None, *, default: object = None) -> None:
        """Keep a value of the run, unless the user gives it; with a default of the trainer where it is missing."""
        if name in self.values:
            return
        if isinstance(found, Setting):
            self.values[name] = found
            self.open.pop(name, None)
        elif default is not None and found is None and name not in self.open:
            self.values[name] = Setting(default)
        elif found is not None:
            self.open.setdefault(name, found)

    def leave(self, name: str, reason: str, place: Location | None = None, *, option: str | None = None) -> None:
        """Note what the config leaves open."""
        if name not in self.values:
            self.open.setdefault(name, Open(reason, place, option))

    def note(self, text: str) -> None:
        """Keep a line that is printed with every answer from the config."""
        if text not in self.notes:
            self.notes.append(text)

    def get(self, name: str) -> Setting | None:
        """Return a value that is known."""
        return self.values.get(name)

    def number(self, name: str, default: int) -> int:
        """Return the number of a value that is known, else a default."""
        found = self.values.get(name)
        return default if found is None else int(found.value)

    def derive(self, file: str) -> None:
        """Find what follows: ``dp = gpus / (tp pp cp)``, ``B = micro accumulation dp``, ``tokens = steps B T``.

        Experts do not divide the data-parallel groups. Raises FileError where values contradict each other.
        """
        for step in (self._devices, self._groups, self._batch, self._length):
            step(file)

    def _group(self) -> tuple[int, tuple[Setting | None, ...]]:
        """Return the devices of one copy of the model."""
        parts = tuple(self.values.get(name) for name in ("tensor", "pipeline", "context_parallel"))
        size = 1
        for part in parts:
            size *= 1 if part is None else int(part.value)
        return size, parts

    def _devices(self, _: str) -> None:
        data, (group, parts) = self.values.get("data"), self._group()
        if data is not None:
            self.put("gpus", combined(int(data.value) * group, data, *parts))

    def _groups(self, file: str) -> None:
        gpus, (group, parts) = self.values.get("gpus"), self._group()
        if gpus is None:
            return
        if gpus.value % group:
            raise _at(
                file,
                combined(None, *parts, gpus),
                f"{gpus.value:,} GPUs are no multiple of the {group:,} that one copy of the model takes",
            )
        data = self.values.get("data")
        if data is not None and int(data.value) * group != gpus.value and self.given.gpus is None:
            raise _at(file, data, f"{data.value:,} data-parallel groups of {group:,} are not {gpus.value:,} GPUs")
        self.values["data"] = combined(int(gpus.value) // group, gpus, *parts)
        self.open.pop("data", None)

    def _batch(self, file: str) -> None:
        """Find the batch, or of micro-batch and accumulation the one that is missing; devices are never guessed."""
        sequence, tokens = self.values.get("sequence"), self.values.get("batch_tokens")
        whole = tokens is not None and sequence is not None and tokens.value % sequence.value == 0
        if whole and "batch" not in self.values and tokens is not None and sequence is not None:
            self.values["batch"] = combined(tokens.value // sequence.value, tokens, sequence)
        self._factor(file, counted=tokens is not None)
        batch = self.values.get("batch")
        if tokens is None and batch is not None and sequence is not None:
            self.values["batch_tokens"] = combined(batch.value * sequence.value, batch, sequence)
        for name in ("batch", "batch_tokens"):
            if name in self.values:
                self.open.pop(name, None)
        if "batch_tokens" not in self.values:
            self._explain("batch_tokens", ("sequence",) if batch is not None else ("batch", "gpus", "sequence"))

    def _factor(self, file: str, *, counted: bool) -> None:
        """Find the factor that is missing; a batch that is counted in tokens is no product."""
        missing = [name for name in _FACTORS if name not in self.values]
        factors = [self.values[name] for name in _FACTORS if name in self.values]
        if missing == ["batch"] and not counted:
            self.values["batch"] = combined(prod(each.value for each in factors), *factors)
        elif missing in (["micro_batch"], ["accumulation"]):
            batch, others = factors[0], prod(each.value for each in factors[1:])
            if batch.value % others == 0:
                self.values[missing[0]] = combined(batch.value // others, *factors)
        elif not missing and factors[0].value != prod(each.value for each in factors[1:]):
            batch, micro, steps, data = factors
            raise _at(
                file,
                batch,
                f"a batch of {batch.value:,} is not {micro.value:,} x {steps.value:,} x {data.value:,} "
                "(micro-batch, accumulation, data-parallel groups)",
            )

    def _length(self, _: str) -> None:
        steps, tokens, samples = (self.values.get(name) for name in ("steps", "tokens", "samples"))
        per_step, sequence = self.values.get("batch_tokens"), self.values.get("sequence")
        if tokens is None and samples is not None and sequence is not None:
            tokens = self.values["tokens"] = combined(samples.value * sequence.value, samples, sequence)
        if tokens is None and steps is not None and per_step is not None:
            tokens = self.values["tokens"] = combined(steps.value * per_step.value, steps, per_step)
        elif steps is None and tokens is not None and per_step is not None:
            self.values["steps"] = combined(int(tokens.value // per_step.value), tokens, per_step)
        if tokens is not None:
            self.open.pop("tokens", None)
        else:
            if steps is not None or samples is not None:
                self.open.pop("tokens", None)  # the length is stated: what is open is what it follows with
            self._explain("tokens", ("sequence",) if samples is not None else ("steps", "batch_tokens"))
        if "steps" in self.values:
            self.open.pop("steps", None)

    def _explain(self, name: str, causes: tuple[str, ...]) -> None:
        """Say of what follows from other values which of them is open."""
        for cause in causes:
            if cause not in self.values and cause in self.open:
                found = self.open[cause]
                option = found.option or OPTIONS.get(cause)
                self.open.setdefault(name, Open(found.reason, found.place, option))
                return


def _at(file: str, setting: Setting, message: str) -> FileError:
    """Return an error at the first place of a setting."""
    place = setting.places[0] if setting.places else None
    if place is None:
        return FileError(f"{file}: {message}", file=file)
    at = f"{place.file}:{place.line}" if place.line else place.file
    return FileError(f"{at}: {place.key}: {message}", file=place.file, line=place.line)
