"""List the tensors that each layer saves for the backward pass, matrix by matrix.

What an operation saves follows from the gradients that it must compute: a matrix that is trained its input, one that
only passes a gradient on nothing; a norm its input; attention queries, keys, values and its output; an activation
function its input; a product both factors. ``docs/guides/memory.md`` has the list and how it was held against
measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError
from scaleplan.models.tuning import STORED

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture, Atom, Part, Stack
    from scaleplan.models.tuning import Method

__all__ = ["RECOMPUTE", "backward_bytes", "check_recompute", "freed_bytes", "layer_kept", "loss_bytes"]

RECOMPUTE = ("none", "selective", "full")
"""Nothing; every second product of matrices and all between them; everything but the input of each layer."""


def layer_kept(
    a: Architecture, stack: Stack, method: Method, *, sequence: int, tensor: int = 1
) -> tuple[float, float, float]:
    """Return the bytes of a token that a trained layer keeps: with nothing recomputed, selectively, its input alone.

    They are those of each of ``tensor`` devices, which divide heads and inner channels, and between matrices the
    tokens (sequence parallelism).
    """
    first = method.numbers.stream * a.width
    whole = products = 0.0
    turn = 0
    for part in stack.parts:
        whole += _part(a, part, method, sequence=sequence, tensor=tensor)
        found, turn = _every_second(part, method, tensor, turn)
        products += found
    return whole / tensor, (first + products) / tensor, first / tensor


def backward_bytes(stack: Stack, method: Method, *, tensor: int = 1) -> float:
    """Return the bytes of a token that the backward pass of a layer works with besides what was kept.

    They are most in its widest block: the gradients of the product, and of one of its factors.
    """
    widest = 0
    for part in stack.parts:
        routed = part.experts.per_token * part.experts.width if part.experts else 0
        widest = max(widest, part.inner + routed)
    return 2 * method.numbers.activations * widest / tensor


def _part(a: Architecture, part: Part, method: Method, *, sequence: int, tensor: int) -> float:
    """Return what a part keeps when nothing is recomputed."""
    h = method.numbers.activations
    learns = method.trains(part.kind)
    matrices = [atom for atom in part.atoms if atom.kind == "matrix"]
    adapted = [atom for atom in matrices if method.adapts and method.target(atom)]
    kept = sum(_norm(atom, method) for atom in part.atoms if atom.kind == "norm")
    if method.dropout and not method.adapts:
        kept += a.width  # the mask of what a part adds
    outer = [atom for atom in matrices if not _inner(atom)]
    if outer or part.experts:
        reads = max((atom.rows for atom in outer), default=a.width)
        kept += _inputs(reads, method, learns=learns, adapted=[atom for atom in outer if atom in adapted])
    kept += sum(_inner_kept(atom, part, method, adapted=adapted) for atom in matrices if _inner(atom))
    if part.pairs:
        kept += _attention(part, method, sequence, tensor) + _head_norms(part, method, learns=learns)
        if method.merged:  # values are a part of what the one matrix has made
            kept += h * (part.head_size * part.heads + part.keys / 2)
            kept += sum(h * atom.columns for atom in adapted if atom.label in ("query", "key", "value"))
    elif part.kind == "recurrent":
        kept += h * sum(atom.columns if atom.kind == "matrix" else atom.rows for atom in _mixing(part))
    kept += _block(part.inner, method, gated=part.gated) + _experts(a, part, method, learns=learns)
    if method.tune == "dora":  # magnitudes need the products that they scale
        kept += sum((h + method.adapter_bits / 8) * atom.columns for atom in adapted)
    return kept


def _inner_kept(atom: Atom, part: Part, method: Method, *, adapted: list[Atom]) -> float:
    """Return what is kept of what an inner matrix reads; that of a latent is normed."""
    if part.pairs and atom.label.endswith(" up"):
        h = method.numbers.activations
        return atom.rows * (h + (4.0 if method.kernels == "eager" else h))
    return _inner_input(atom, part, method, learns=method.trains(part.kind), adapted=atom in adapted)


def _head_norms(part: Part, method: Method, *, learns: bool) -> float:
    """Return what norms of queries and keys keep."""
    if not any("query and key norms" in atom.label for atom in part.atoms):
        return 0.0
    h = method.numbers.activations
    each = 4.0 + (h if learns else 0.0) if method.kernels == "eager" else h
    return each * part.head_size * (part.heads + part.kv_heads)


def _experts(a: Architecture, part: Part, method: Method, *, learns: bool) -> float:
    """Return what the experts that a token uses keep: each has its own copy of the token, there and back."""
    if not part.experts:
        return 0.0
    inner = _block(part.experts.width, method, gated=part.gated)
    for atom in part.experts.atoms:
        if atom.label == "down":
            adapted = method.adapts and method.target(atom)
            inner += _inner_input(atom, part, method, learns=learns, adapted=adapted)
    return part.experts.per_token * (inner + 2 * method.numbers.activations * a.width)


def _mixing(part: Part) -> list[Atom]:
    return [atom for atom in part.atoms if atom.kind == "conv" or (atom.kind == "matrix" and atom.label != "output")]


def _inner(atom: Atom) -> bool:
    """Whether a matrix reads something else than the input of its part."""
    return atom.label == "output" or atom.label.endswith(("down", " up")) or atom.label in ("selection", "time step")


def _norm(atom: Atom, method: Method) -> float:
    """Return what a norm keeps: its input, by an RMS norm of several operations in fp32, and the normed one."""
    numbers = method.numbers
    if method.kernels == "compiled" or atom.bias:  # one operation
        return numbers.stream * atom.rows
    return (4.0 + (numbers.stream if method.trains("norms") else 0.0)) * atom.rows


def _inputs(channels: int, method: Method, *, learns: bool, adapted: list[Atom]) -> float:
    """Return what is kept of an input that some matrices share: once for all, and a copy for each adapter of its own.

    Adapters in other bits cast it, and dropout makes another, with a mask.
    """
    h = method.numbers.activations
    anyway = h * channels if _keeps_input(method) else 0.0
    if learns:
        return h * channels
    if not adapted:
        return anyway
    copies = 1 if method.merged else len(adapted)
    if method.dropout:
        return anyway + copies * channels * (method.adapter_bits / 8 + 1)
    own = method.adapter_bits / 8 != h and method.kernels == "eager"
    return anyway + copies * channels * method.adapter_bits / 8 if own else h * channels


def _keeps_input(method: Method) -> bool:
    """Whether the product with a quantised matrix keeps its input, as that of bitsandbytes does."""
    return method.quantize in ("nf4", "nf4-dq", "int8") and method.kernels == "eager"


def _inner_input(atom: Atom, part: Part, method: Method, *, learns: bool, adapted: bool) -> float:
    """Return what is kept of the input of the last matrix of a part; fused attention keeps its output anyway."""
    h = method.numbers.activations
    kept_anyway = bool(part.pairs) and method.attention != "eager" and atom.label == "output"
    if learns or (_keeps_input(method) and not adapted):
        return 0.0 if kept_anyway else h * atom.rows
    if not adapted:
        return 0.0
    own = method.dropout or (method.adapter_bits / 8 != h and method.kernels == "eager")
    if own:
        anyway = h * _keeps_input(method) * (not kept_anyway)
        return atom.rows * (anyway + method.adapter_bits / 8 + method.dropout)
    return 0.0 if kept_anyway else h * atom.rows


def _attention(part: Part, method: Method, sequence: int, tensor: int) -> float:
    """Return what the core of attention keeps: what fused kernels read and write, or also all scores.

    More devices than key-value heads hold copies of them.
    """
    h = min(method.numbers.activations, 4.0)
    outputs = part.pairs - part.heads * part.head_size
    repeated = float(part.pairs) if method.attention != "flash" else part.keys * _copies(part, tensor)
    if method.attention != "eager":
        return h * (part.pairs + repeated)
    # a softmax of several operations is in fp32, and its result cast; dropout keeps a mask and what it leaves
    each = 4.0 + (h if h != 4.0 else 0.0) if method.kernels == "eager" else h
    each += h + 1.0 if method.dropout and not method.adapts else 0.0
    return h * (part.pairs - outputs + repeated) + each * part.heads * sequence


def _copies(part: Part, tensor: int) -> float:
    """Return how many of some devices that share a part hold the same key-value head."""
    return max(1.0, tensor / part.kv_heads) if part.kv_heads else 1.0


def _block(inner: int, method: Method, *, gated: bool) -> float:
    """Return what a block keeps between its matrices: what the activation reads, and the factors of a product."""
    h = method.numbers.activations
    if not gated:
        return h * inner
    return h * inner * (3 if method.kernels == "eager" else 2)


def _every_second(part: Part, method: Method, tensor: int, turn: int) -> tuple[float, int]:
    """Return what is kept by an operation-selective choice: the core of attention, and every second product."""
    h = method.numbers.activations
    kept = 0.0
    if part.pairs:
        kept += h * (part.pairs - part.heads * part.head_size)
    for atom in part.atoms:
        if atom.kind != "matrix" or "router" in atom.label:
            continue
        unread = method.kernels == "compiled" and atom.label == "down"  # no gradient needs it, and it is not kept
        if method.precision == "nvfp4":  # inputs are kept in 4 bits, with scales, instead of products
            if atom.label not in ("key", "value", "up"):  # whose input is another's too
                kept += STORED["nvfp4"] / 8 * atom.rows
        elif turn % 2 == 0 and not unread:
            kept += h * atom.columns * (_copies(part, tensor) if atom.label in ("key", "value") else 1.0)
        turn += 1
    if part.experts:
        width = next((atom.columns for atom in part.experts.atoms if atom.label == "down"), 0)
        kept += h * part.experts.per_token * (part.experts.width + 2 * width)
    return kept, turn


def loss_bytes(a: Architecture, method: Method) -> float:
    """Return the bytes of a token's logits and their gradients when they take the most, at the start of backward.

    ``full``: log-probabilities and two gradients in fp32; ``compiled``: logits and their gradient in 16 bits and an
    fp32 copy; ``shifted``: as full, and the logits in 16 and 32 bits stay; ``chunked``: the same of one chunk of
    eight, and where operations are not fused logits in 16 bits and log-probabilities of all; ``chunked-16``: both in
    16 bits; ``fused``: no logits but those of a chunk of as many tokens as make it as large as the hidden states.
    """
    h = method.numbers.activations
    if method.loss == "fused":
        return (6.0 + h) * a.width
    per_row = {
        "full": 16.0 if h == 4.0 else 12.0,  # logits in fp32 are no copy and stay
        "compiled": 8.0,
        "shifted": 18.0,
        "chunked": 6.5 if method.kernels == "eager" else 1.5,
        "chunked-16": 4.25,
    }
    return per_row[method.loss] * a.vocab


_FREED = 6.6
"""Bytes of blocks that each entry of the logits leaves: 1.66 fp32 copies, the median of 21 pairs of what tensors took
and what the driver showed of one A100 (fms-acceleration, ``scripts/benchmarks/refs``), 0.9 to 3.4 of models with
32,000 and 128,256 entries; the seven pairs with a fused loss have 0.1."""


def freed_bytes(a: Architecture, method: Method) -> float:
    """Return the bytes of a token's logits whose blocks an allocator keeps although the tensors are gone.

    A loss of several operations makes fp32 logits of all tokens more often than they are alive at once.
    """
    unfused = method.loss in ("full", "shifted") and method.kernels == "eager"
    return _FREED * a.vocab if unfused else 0.0


def check_recompute(kind: str) -> None:
    """Refuse an unknown kind of recomputation; raises UnknownNameError."""
    if kind not in RECOMPUTE:
        raise UnknownNameError("recomputation", kind, RECOMPUTE)
