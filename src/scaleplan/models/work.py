"""Count the work of a token in a way to train, matrix by matrix, and the bytes moved to unpack quantised weights.

A product of a matrix costs two FLOP a weight forward, two for the gradient of what it reads, and two for its own
gradient, which a frozen matrix does not have; what is recomputed costs its forward pass again. Layers below the first
trained one have a forward pass alone. ``docs/guides/memory.md`` has how this was held against published speeds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.models.count import attention_flops
from scaleplan.models.tuning import STORED, Method
from scaleplan.models.weights import adapted, trained_layers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.models.architecture import Architecture, Atom, Part, Stack

__all__ = ["MOVED_SHARE", "Work", "work_of"]

MOVED_SHARE = 1 / 3
"""Share of the bandwidth at which quantised weights become 16-bit ones: the median of 19 published pairs of LoRA with
and without 4-bit weights, which lie between a sixth and four fifths (litgpt and ms-swift tables, Qwen's and
torchtune's README)."""

_UNPACKED = 4.0  # a weight in 16 bits is written, and read by the product

_SCALED = 48.0
"""Bytes moved for each weight that has a magnitude (DoRA), in each forward pass: some twelve reads and writes of fp32
for its sum with the adapters' product, and its norm. Two runs of the PEFT method comparison on one L40S differ by as
much; older code took three times as long."""


class Work(NamedTuple):
    """FLOP of a token by what they are for, and the bytes that a device moves for each micro-batch besides."""

    forward: float
    inputs: float
    """Gradients of what matrices read, and of attention."""
    weights: float
    """Gradients of trained matrices, those of adapters among them."""
    recomputed: float
    moved: float
    """Bytes, whatever the number of tokens: quantised weights unpacked, and magnitudes of adapters."""

    @property
    def flops(self) -> float:
        """All FLOP of a token."""
        return self.forward + self.inputs + self.weights + self.recomputed

    def moving_seconds(self, bandwidth: float) -> float:
        """Return the seconds of a micro-batch that moving takes on a device of so many bytes a second."""
        return self.moved / (bandwidth * MOVED_SHARE)


class _Product(NamedTuple):
    """A matrix of a layer: how often it multiplies a token, what it is, and how much of it is computed again."""

    atom: Atom
    times: float
    part: Part
    again: float
    """The share that selective recomputation computes again."""
    held: float
    """How many of it are unpacked for a micro-batch."""
    beside: Atom | None
    """What an adapter of it stands beside: of matrices stored as one, at the first of them."""


def work_of(a: Architecture, method: Method, *, context: int, recompute: str) -> Work:
    """Return the work of a token of sequences of ``context`` tokens."""
    forward = inputs = weights = recomputed = moved = 0.0
    packed = STORED[method.quantize] / 8 + _UNPACKED if method.quantize else 0.0
    for stack, own in zip(a.stacks, trained_layers(a, method), strict=True):
        for product in _products(stack, method):
            flops = 2.0 * product.times * product.atom.executed
            again = {"none": 0.0, "selective": product.again, "full": 1.0}[recompute]
            forward += stack.repeat * flops
            inputs += own * flops
            recomputed += own * again * flops
            if method.trains(product.part.kind):
                weights += own * flops
            beside = product.beside if method.adapts else None
            small = method.rank * (beside.rows + beside.columns) if beside else 0
            if small:
                extra = 2.0 * product.times * small
                forward += own * extra
                inputs += own * extra
                weights += own * extra
                recomputed += own * again * extra
            if product.atom.kind == "matrix":
                passes = stack.repeat + own * (1.0 + again)
                moved += passes * packed * product.held * product.atom.executed
                if beside and method.tune == "dora":
                    moved += own * (1.0 + again) * _SCALED * product.held * beside.executed
        attention = attention_flops(replace(a, stacks=(stack._replace(repeat=1),)), context=context, causal=a.causal)
        forward += stack.repeat * attention / 3
        inputs += own * attention * 2 / 3
        recomputed += own * attention / 3 * (recompute == "full")
    for size, kind in (
        (sum(atom.executed for atom in a.atoms), "norms"),
        (a.head_rows * a.head_width, "embeddings"),
    ):
        forward += 2.0 * size
        inputs += 2.0 * size
        weights += 2.0 * size * method.trains(kind)
    if method.quantizes_head and packed:
        moved += 2.0 * packed * a.head_rows * a.head_width
    return Work(forward, inputs, weights, recomputed, moved)


def _products(stack: Stack, method: Method) -> Iterator[_Product]:
    """Yield the matrices and convolutions of a layer in their order.

    An operation-selective choice keeps every second product, and of experts one inner and the outer one; it keeps the
    core of attention, and computes convolutions again.
    """
    turn = 0
    for part in stack.parts:
        for atom, beside in zip(part.atoms, adapted(part, method), strict=True):
            if not atom.executed:
                continue
            again = 1.0
            if atom.kind == "matrix":
                again = 0.0 if "router" in atom.label else float(turn % 2)
                turn += "router" not in atom.label
            yield _Product(atom, 1.0, part, again, 1.0, beside)
        if part.experts:
            inside = [atom for atom in part.experts.atoms if atom.executed]
            for atom in inside:
                again = max(0.0, 1 - 2 / len(inside))
                beside = atom if method.target(atom) else None
                yield _Product(atom, float(part.experts.per_token), part, again, float(part.experts.count), beside)
