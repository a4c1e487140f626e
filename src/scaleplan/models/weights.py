"""Divide a model's weights into trained and frozen ones by the way to train it, with the bytes of their states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.models.architecture import Atom
from scaleplan.models.count import count
from scaleplan.models.tuning import OPTIMIZERS, STORED, Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.architecture import Architecture, Part

__all__ = ["States", "Weights", "adapted", "trained_layers", "weights_of"]


class States(NamedTuple):
    """Bytes per parameter of one way to train."""

    weights: float
    gradients: float
    optimizer: float

    @property
    def total(self) -> float:
        """Bytes per parameter on one device that shares nothing."""
        return self.weights + self.gradients + self.optimizer

    def shared(self, stage: int, devices: float) -> tuple[float, float, float]:
        """Return the bytes of weights, gradients and optimizer states a parameter on each device at a ZeRO stage."""
        if stage not in {0, 1, 2, 3}:
            raise UsageError(f"there is no ZeRO stage {stage}", hint="stages are 0, 1, 2 and 3; FSDP is 3")
        return (
            self.weights / (devices if stage >= 3 else 1),
            self.gradients / (devices if stage >= 2 else 1),
            self.optimizer / (devices if stage >= 1 else 1),
        )


class Weights(NamedTuple):
    """The weights of a model: trained parameters and bytes of frozen ones, by where they stand.

    ``layers`` are all but routed experts and tables, ``first`` the tables of the first stage of a pipeline, ``last``
    the head, of which a tied one is held by the last stage too.
    """

    layers: float
    routed: float
    first: float
    last: float
    frozen_layers: float = 0.0
    frozen_routed: float = 0.0
    frozen_first: float = 0.0
    frozen_last: float = 0.0
    states: States | None = None
    """Bytes of a trained parameter; None where a name says them."""
    still: float = 0.0
    """Bytes on the device whatever is shared: gradients of the largest tensor where each is freed at once, a matrix
    in 16 bits where they are quantised."""
    copied: float = 0.0
    """Bytes of the copies in fewer bits that autocast makes."""
    step: float = 0.0
    """Bytes of a trained parameter that a step of the optimizer copies."""
    matrix_bits: float = 16.0
    """Bits in which a layer's matrices are gathered."""

    @property
    def trained(self) -> float:
        """All trained parameters."""
        return self.layers + self.routed + self.first + self.last


class _Tensor(NamedTuple):
    """A tensor, how many there are of it, and where it stands: ``layers``, ``routed``, ``first`` or ``last``."""

    many: float
    atom: Atom
    where: str
    kind: str
    adapted: Atom | None = None
    """What its adapters stand beside: itself, or the matrix that it is stored in with others; None for none."""
    trained: float = 0.0
    """Of :attr:`many`, those in layers that are trained."""


def trained_layers(a: Architecture, method: Method) -> list[int]:
    """Return how many layers of each stack are trained: the last ones of the model."""
    left = a.layers if method.layers is None else method.layers
    found = []
    for stack in reversed(a.stacks):
        found.append(min(stack.repeat, left))
        left -= found[-1]
    return found[::-1]


def _tensors(a: Architecture, method: Method) -> Iterator[_Tensor]:
    """Yield every tensor of a model; weights that several places share once."""
    seen: set[str] = set()
    for stack, own in zip(a.stacks, trained_layers(a, method), strict=True):
        for part in stack.parts:
            if part.shared and part.name in seen:
                continue
            seen.add(part.name)
            many, trained = (1, float(own > 0)) if part.shared else (stack.repeat, own)
            for atom, beside in zip(part.atoms, adapted(part, method), strict=True):
                kind = "embeddings" if atom.kind == "table" else "norms" if atom.kind == "norm" else part.kind
                yield _Tensor(many, atom, "layers", kind, beside, trained)
            for atom in part.experts.atoms if part.experts else ():
                each = part.experts.count if part.experts else 0
                yield _Tensor(
                    many * each, atom, "routed", part.kind, atom if method.target(atom) else None, trained * each
                )
    for atom in a.atoms:
        where, kind = ("first", "embeddings") if atom.kind == "table" else ("layers", "norms")
        yield _Tensor(1, atom, where, kind, trained=1.0)
    words = Atom("word table", "table", a.vocab, a.table_width, a.head_bias if a.tied else 0)
    yield _Tensor(1, words, "first", "embeddings", trained=1.0 if a.tied or method.layers is None else 0.0)
    if not a.tied:
        yield _Tensor(
            1, Atom("head", "table", a.head_rows, a.head_width, a.head_bias), "last", "embeddings", trained=1.0
        )


def adapted(part: Part, method: Method) -> Iterator[Atom | None]:
    """Yield what the adapters of each tensor of a part stand beside: of those stored as one, at the first of them."""
    groups = {} if method.split else {group[0]: group for group in part.fused}
    inside = 0
    for position, atom in enumerate(part.atoms):
        if inside:
            inside -= 1
            yield None
            continue
        stored = [atom]
        for other in part.atoms[position + 1 :]:
            if other.label not in groups.get(atom.label, ())[1:]:
                break
            stored.append(other)
        inside = len(stored) - 1
        targeted = any(method.target(each) for each in stored)
        yield atom._replace(columns=sum(each.columns for each in stored)) if targeted else None


def weights_of(a: Architecture, method: Method) -> Weights:
    """Return the weights of a model in a way to train it."""
    if method.untied and a.tied:
        a = replace(a, tied=False)
    if method.plain and method.layers is None and not method.frozen:
        c = count(a)
        return Weights(
            layers=c.non_embedding_params - c.expert_params,
            routed=c.expert_params,
            first=c.embedding_params - c.output_embedding_params,
            last=c.output_embedding_params,
        )
    sums = _Sums(a, method)
    for tensor in _tensors(a, method):
        sums.add(tensor)
    return sums.weights()


class _Sums:
    """The sums over the tensors of a model."""

    def __init__(self, a: Architecture, method: Method) -> None:
        self.tied = a.tied
        self.method = method
        self.numbers = method.numbers
        self.matrix = STORED[method.quantize] / 8 if method.quantize else None
        self.rest = 4.0 if method.upcast else 2.0 if method.adapts else self.numbers.weights
        self.trained = dict.fromkeys(("layers", "routed", "first", "last"), 0.0)
        self.frozen = dict(self.trained)
        self.moments = self.largest = self.wide = self.copied = 0.0

    def add(self, tensor: _Tensor) -> None:
        """Count a tensor, and the adapters beside it."""
        atom, method = tensor.atom, self.method
        head = tensor.where == "last" or (self.tied and atom.label == "word table")
        inside = atom.kind == "matrix" and tensor.where in ("layers", "routed")
        stored = self.rest
        if self.matrix is not None and (inside or (method.quantizes_head and tensor.where == "last")):
            stored = self.matrix
            self.wide = max(self.wide, (6.0 if method.quantizes_head else 2.0) * atom.rows * atom.columns)
        own = tensor.trained if method.trains(tensor.kind) else 0.0
        if method.adapts and tensor.adapted is not None:
            for small in _adapter(tensor.adapted, method):
                self.trained[tensor.where] += tensor.trained * small.params
                self.moments += tensor.trained * _moments(small, method, method.adapter_bits / 8, matrix=False)
        self.trained[tensor.where] += own * atom.params
        self.frozen[tensor.where] += (tensor.many - own) * atom.params * stored
        if own:
            self.moments += own * _moments(atom, method, self.numbers.master or stored, matrix=inside)
            self.largest = max(self.largest, float(atom.params))
            self.copied += self.numbers.copies * own * atom.params * (inside or head)

    def weights(self) -> Weights:
        """Return the sums as the weights of a model."""
        method, total = self.method, sum(self.trained.values())
        weight = method.adapter_bits / 8 if method.adapts else self.matrix or self.numbers.weights
        gradient = method.adapter_bits / 8 if method.adapts else self.numbers.gradients
        master = 0.0 if method.adapts else self.numbers.master
        optimizer = master + self.moments / total if total and "optimizer" not in method.offload else 0.0
        return Weights(
            layers=self.trained["layers"],
            routed=self.trained["routed"],
            first=self.trained["first"],
            last=self.trained["last"],
            frozen_layers=self.frozen["layers"],
            frozen_routed=self.frozen["routed"],
            frozen_first=self.frozen["first"],
            frozen_last=self.frozen["last"],
            states=States(weight, 0.0 if method.in_backward else gradient, optimizer),
            still=self.wide + (gradient * self.largest if method.in_backward else 0.0),
            copied=self.copied,
            step=self._step(weight) if method.foreach and not method.in_backward else 0.0,
            matrix_bits=16.0 if self.matrix is None else 8 * self.matrix,
        )

    def _step(self, weight: float) -> float:
        """Return the bytes of a parameter's moment that Adam copies, of all parameters at once."""
        found = OPTIMIZERS[self.method.optimizer or "adamw"]
        if not found.torch or "optimizer" in self.method.offload:
            return 0.0
        return found.bits / 8 if found.bits else self.numbers.master * (not self.method.adapts) or weight


def _adapter(atom: Atom, method: Method) -> Iterator[Atom]:
    yield Atom("adapter", "matrix", atom.rows, method.rank)
    yield Atom("adapter", "matrix", method.rank, atom.columns)
    if method.tune == "dora":
        yield Atom("magnitudes", "vector", atom.columns)


def _moments(atom: Atom, method: Method, weight: float, *, matrix: bool) -> float:
    """Return the bytes of a tensor's moments, and of the projection of its gradient."""
    found = OPTIMIZERS[method.optimizer or "adamw"]
    each = weight if found.bits is None else found.bits / 8
    if found.factored and atom.columns > 1:
        return each * (atom.rows + atom.columns)
    if found.projected and matrix:
        short, long = sorted((atom.rows, atom.columns))
        rank = min(method.galore_rank, short)
        projection = 0.5 if method.optimizer == "q-galore" else 2.0
        return found.moments * each * rank * long + projection * short * rank
    many = found.moments if matrix or found.tables is None else found.tables
    return many * each * atom.params
