"""Divide a model's weights into trained and frozen ones by the way to train it, with the bytes of their states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.models.architecture import Atom
from scaleplan.models.count import count, held_parts
from scaleplan.models.methods import OPTIMIZERS, STORED, Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.architecture import Architecture

__all__ = ["States", "Weights", "trained_layers", "weights_of"]


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
    matrix_bits: float = 16.0
    """Bits in which a layer's matrices are gathered."""


class _Tensor(NamedTuple):
    """A tensor, how many there are of it, and where it stands: ``layers``, ``routed``, ``first`` or ``last``."""

    many: float
    atom: Atom
    where: str
    kind: str
    targeted: bool = False
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
    shares = {
        id(part): own / stack.repeat
        for stack, own in zip(a.stacks, trained_layers(a, method), strict=True)
        for part in stack.parts
    }
    for many, part in held_parts(a):
        trained = many * shares[id(part)]
        for atom in part.atoms:
            kind = "embeddings" if atom.kind == "table" else "norms" if atom.kind == "norm" else part.kind
            yield _Tensor(many, atom, "layers", kind, method.target(atom, part), trained)
        if part.experts:
            each = part.experts.count
            for atom in part.experts.atoms:
                yield _Tensor(many * each, atom, "routed", part.kind, method.target(atom, part), trained * each)
    whole = 1.0 if method.layers is None else 0.0
    for atom in a.atoms:
        table = atom.kind == "table"
        yield _Tensor(1, atom, "first" if table else "layers", "embeddings" if table else "norms", trained=1.0)
    table = Atom("word table", "table", a.vocab, a.table_width)
    yield _Tensor(1, table, "first", "embeddings", trained=1.0 if a.tied else whole)
    if not a.tied:
        yield _Tensor(1, Atom("head", "table", a.head_rows, a.head_width, a.head_bias), "last", "head", trained=1.0)


def weights_of(a: Architecture, method: Method) -> Weights:
    """Return the weights of a model in a way to train it."""
    if method.untied and a.tied:
        a = replace(a, tied=False)
    if method.plain and method.layers is None and not method.frozen:
        c = count(a)
        layers = c.non_embedding_params - c.expert_params
        return Weights(
            layers, c.expert_params, c.embedding_params - c.output_embedding_params, c.output_embedding_params
        )
    numbers = method.numbers
    matrix = STORED[method.quantize] / 8 if method.quantize else None
    rest = 4.0 if method.upcast else (numbers.weights if not method.adapts else 2.0)
    trained = dict.fromkeys(("layers", "routed", "first", "last"), 0.0)
    frozen = dict(trained)
    moments = largest = wide = copied = 0.0
    adapter = method.adapter_bits / 8
    for tensor in _tensors(a, method):
        atom, many = tensor.atom, tensor.many
        head = tensor.kind == "head"
        inside = atom.kind == "matrix" and tensor.where in ("layers", "routed")
        quantised = matrix is not None and (inside or (head and method.quantizes_head))
        stored = matrix if quantised and matrix is not None else rest
        if quantised:
            wide = max(wide, (6.0 if method.quantizes_head else 2.0) * atom.rows * atom.columns)
        learns = method.trains("embeddings" if tensor.kind in ("embeddings", "head") else tensor.kind)
        own = tensor.trained if learns else 0.0
        if method.adapts and tensor.targeted:
            for small in _adapter(atom, method):
                trained[tensor.where] += tensor.trained * small.params
                moments += tensor.trained * _moments(small, method, adapter, matrix=False)
        trained[tensor.where] += own * atom.params
        frozen[tensor.where] += (many - own) * atom.params * stored
        if own:
            moments += own * _moments(atom, method, numbers.master or stored, matrix=inside)
            largest = max(largest, float(atom.params))
            copied += numbers.copies * own * atom.params * (atom.kind == "matrix" or head or a.tied)
    total = sum(trained.values())
    weight = adapter if method.adapts else (matrix or numbers.weights)
    gradient = adapter if method.adapts else numbers.gradients
    optimizer = 0.0 if "optimizer" in method.offload else moments / total if total else 0.0
    master = 0.0 if method.adapts or "optimizer" in method.offload else numbers.master
    return Weights(
        *(trained[where] for where in trained),
        *(frozen[where] for where in frozen),
        states=States(weight, 0.0 if method.in_backward else gradient, master + optimizer),
        still=wide + (gradient * largest if method.in_backward else 0.0),
        copied=copied,
        matrix_bits=8 * matrix if matrix is not None else 16.0,
    )


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
