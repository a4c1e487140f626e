"""The usual mixers and feed-forward blocks: each shorthand of a description is only the tensors that it makes.

A shorthand takes sizes by keyword and returns the tensors of a :class:`~scaleplan.models.architecture.Part` with what
follows from them (cache, state, channels of scores). Sizes: width d, heads h, key-value heads k, head size e.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.architecture import Architecture, Atom, Experts, Part, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SHORTHANDS", "SIZES", "check_sizes", "plain"]

SIZES = ("cache", "state", "pairs", "keys", "window", "heads", "kv_heads", "head_size", "inner")
"""What a part states of itself beside its tensors."""

Pieces = dict[str, Any]
"""Fields of a :class:`~scaleplan.models.architecture.Part`."""


def _matrix(label: str, rows: int, columns: int, *, bias: bool = False) -> Atom:
    return Atom(label, "matrix", rows, columns, columns if bias else 0)


def attention(
    *,
    width: int,
    heads: int,
    kv_heads: int = 0,
    head_size: int,
    value_size: int = 0,
    query_bias: bool = False,
    kv_bias: bool = False,
    output_bias: bool = False,
    qk_norm: int = 0,
    gate: bool = False,
    sinks: bool = False,
    reads: int = 0,
    cached: bool = True,
    reuses: bool = False,
    value_is_key: bool = False,
    fused: bool = False,
) -> Pieces:
    """Return grouped-query attention: ``d -> h e``, ``d -> k e`` twice, ``h e -> d``.

    ``kv_heads`` default to ``heads``, ``value_size`` to ``head_size`` and ``reads`` (the width of its input) to the
    width. ``qk_norm`` are the weights of query and key norms, ``gate`` doubles the query matrix, ``sinks`` is one
    weight a head, ``reuses`` takes keys and values of an earlier layer, ``value_is_key`` has no value matrix,
    ``fused`` stores those of queries, keys and values as one.
    """
    kv_heads, value_size, reads = kv_heads or heads, value_size or head_size, reads or width
    if kv_heads > heads or heads % kv_heads:
        raise ValueError(f"{heads} attention heads cannot share {kv_heads} key-value heads evenly")
    atoms = [_matrix("query and gate" if gate else "query", reads, (1 + gate) * heads * head_size, bias=query_bias)]
    if not reuses:
        atoms.append(_matrix("key", reads, kv_heads * head_size, bias=kv_bias))
        if not value_is_key:
            atoms.append(_matrix("value", reads, kv_heads * value_size, bias=kv_bias))
    atoms.append(_matrix("output", heads * value_size, width, bias=output_bias))
    if qk_norm:
        atoms.append(Atom("query and key norms", "vector", qk_norm))
    if sinks:
        atoms.append(Atom("sinks", "vector", heads))
    keys = 0 if reuses else kv_heads * (head_size + value_size)
    return {
        "atoms": atoms,
        "cache": keys if cached else 0,
        "keys": keys,
        "pairs": heads * (head_size + value_size),
        "heads": heads,
        "kv_heads": kv_heads,
        "head_size": head_size,
        "fused": (("query", "key", "value"),) if fused else (),
    }


def latent(
    *,
    width: int,
    heads: int,
    query_rank: int | None = None,
    kv_rank: int,
    nope: int,
    rope: int,
    value_size: int,
    bias: bool = False,
    output_bias: bool = False,
    reads: int = 0,
) -> Pieces:
    """Return multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values from one latent of a rank.

    ``query_rank`` none is a plain query matrix; ``bias`` those of the down-projections. Cached are the latent and
    one rotary key.
    """
    reads = reads or width
    score = heads * (nope + rope)
    if query_rank:
        atoms = [
            _matrix("query down", reads, query_rank, bias=bias),
            Atom("query norm", "vector", query_rank),
            _matrix("query up", query_rank, score),
        ]
    else:
        atoms = [_matrix("query", reads, score)]
    atoms += [
        _matrix("key and value down", reads, kv_rank + rope, bias=bias),
        Atom("latent norm", "vector", kv_rank),
        _matrix("key and value up", kv_rank, heads * (nope + value_size)),
        _matrix("output", heads * value_size, width, bias=output_bias),
    ]
    return {
        "atoms": atoms,
        "cache": kv_rank + rope,
        "keys": heads * (nope + rope + value_size),
        "pairs": heads * (nope + rope + value_size),
        "heads": heads,
        "kv_heads": heads,
        "head_size": nope + rope,
    }


def mlp(
    *, width: int, inner: int, gated: bool = True, bias: bool = False, reads: int = 0, fused: bool = False
) -> Pieces:
    """Return a feed-forward block: gate and up ``d -> f`` and down ``f -> d``, or without the gate.

    ``fused`` stores gate and up as one matrix.
    """
    reads = reads or width
    names = ("gate", "up") if gated else ("up",)
    atoms = [*(_matrix(name, reads, inner, bias=bias) for name in names), _matrix("down", inner, width, bias=bias)]
    return {"atoms": atoms, "inner": inner, "gated": gated, "fused": (("gate", "up"),) if fused else ()}


def moe(
    *,
    width: int,
    count: int,
    per_token: int,
    inner: int,
    gated: bool = True,
    bias: bool = False,
    router_bias: bool = False,
    router_rows: int = 0,
    shared: int = 0,
    shared_gate: bool = False,
    shared_bias: bool = False,
    reads: int = 0,
) -> Pieces:
    """Return a mixture of experts: a router ``d -> E``, ``count`` experts, and a shared block of width ``shared``.

    ``router_rows`` are the outputs of the router where they differ from ``count`` (zero experts), ``shared_gate`` is
    one weight a channel.
    """
    if per_token > count:
        raise ValueError(f"a token cannot use {per_token} of {count} experts")
    atoms = [_matrix("router", width, router_rows or count, bias=router_bias)]
    if shared:
        found = mlp(width=width, inner=shared, gated=gated, bias=shared_bias)["atoms"]
        atoms += [atom._replace(label=f"shared {atom.label}") for atom in found]
    if shared_gate:
        atoms.append(_matrix("shared gate switch", width, 1))
    one = mlp(width=width, inner=inner, gated=gated, bias=bias, reads=reads)["atoms"]
    return {
        "atoms": atoms,
        "experts": Experts(count, per_token, tuple(one), inner),
        "inner": shared,
        "gated": gated,
    }


def delta(*, width: int, key_heads: int, value_heads: int, key_size: int, value_size: int, taps: int) -> Pieces:
    """Return a gated delta net (Qwen3-Next): queries, keys, values and gate in one matrix, a short convolution."""
    keys, values = key_heads * key_size, value_heads * value_size
    return {
        "atoms": [
            _matrix("query, key, value and gate", width, 2 * keys + 2 * values),
            _matrix("beta and alpha", width, 2 * value_heads),
            Atom("convolution", "conv", 2 * keys + values, taps),
            Atom("decay", "vector", value_heads),
            Atom("time step", "vector", value_heads),
            Atom("output norm", "vector", value_size),
            _matrix("output", values, width),
        ],
        "state": value_heads * key_size * value_size + (2 * keys + values) * taps,
        "heads": value_heads,
        "head_size": key_size,
    }


def kda(*, width: int, heads: int, head_size: int, taps: int) -> Pieces:
    """Return Kimi delta attention: low-rank forget and output gates, a convolution over queries, keys and values."""
    inner = heads * head_size
    return {
        "atoms": [
            *(_matrix(name, width, inner) for name in ("query", "key", "value")),
            Atom("convolution", "conv", 3 * inner, taps),
            _matrix("forget gate down", width, head_size),
            _matrix("forget gate up", head_size, inner),
            Atom("time step", "vector", inner),
            Atom("decay", "vector", heads),
            _matrix("beta", width, heads),
            _matrix("output gate down", width, head_size),
            _matrix("output gate up", head_size, inner),
            Atom("output norm", "vector", head_size),
            _matrix("output", inner, width),
        ],
        "state": heads * head_size * head_size + 3 * inner * taps,
        "heads": heads,
        "head_size": head_size,
    }


def mamba1(
    *,
    width: int,
    inner: int,
    states: int,
    taps: int,
    rank: int,
    conv_bias: bool = True,
    bias: bool = False,
) -> Pieces:
    """Return a selective state space (Mamba, arXiv:2312.00752): ``d -> 2 i``, convolution, ``i -> r + 2 s``."""
    return {
        "atoms": [
            _matrix("input", width, 2 * inner, bias=bias),
            Atom("convolution", "conv", inner, taps, inner if conv_bias else 0),
            _matrix("selection", inner, rank + 2 * states),
            _matrix("time step", rank, inner, bias=True),
            Atom("decay", "vector", inner * states),
            Atom("skip", "vector", inner),
            _matrix("output", inner, width, bias=bias),
        ],
        "state": inner * states + inner * taps,
    }


def mamba2(
    *,
    width: int,
    heads: int,
    head_size: int,
    groups: int,
    states: int,
    taps: int,
    conv_bias: bool = True,
    bias: bool = False,
    norm: bool = True,
) -> Pieces:
    """Return a Mamba 2 mixer (arXiv:2405.21060) of inner width ``i = heads * head_size`` with a gated norm."""
    inner = heads * head_size
    channels = inner + 2 * groups * states
    return {
        "atoms": [
            _matrix("input", width, inner + channels + heads, bias=bias),
            Atom("convolution", "conv", channels, taps, channels if conv_bias else 0),
            *(Atom(name, "vector", heads) for name in ("time step", "decay", "skip")),
            *([Atom("gated norm", "vector", inner)] if norm else []),
            _matrix("output", inner, width, bias=bias),
        ],
        "state": inner * states + channels * taps,
        "heads": heads,
        "head_size": head_size,
    }


def shortconv(*, width: int, taps: int, bias: bool = False) -> Pieces:
    """Return the gated short convolution of LFM2: ``d -> 3 d``, a depthwise convolution, ``d -> d``."""
    return {
        "atoms": [
            _matrix("input", width, 3 * width, bias=bias),
            Atom("convolution", "conv", width, taps, width if bias else 0),
            _matrix("output", width, width, bias=bias),
        ],
        "state": width * taps,
    }


SHORTHANDS: dict[str, Callable[..., Pieces]] = {
    function.__name__: function for function in (attention, latent, mlp, moe, delta, kda, mamba1, mamba2, shortconv)
}
"""The shorthands of a part, by the key that stands in its table."""


def check_sizes(source: str, where: str, name: str, values: Mapping[str, object]) -> None:
    """Refuse a size that a shorthand does not have, and the lack of one that it needs."""
    code, defaults = SHORTHANDS[name].__code__, SHORTHANDS[name].__kwdefaults__ or {}
    known = code.co_varnames[: code.co_kwonlyargcount]
    for key in values:
        if key not in known:
            close = did_you_mean(key, known)
            raise FileError(
                f"{source}: {where}: unknown size {quote(key)}",
                hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
            )
    needed = [key for key in known if key not in defaults and key != "width"]
    missing = [key for key in needed if key not in values]
    if missing:
        others = [key for key in known if key not in needed]
        raise FileError(
            f"{source}: {where}: {missing[0]} is missing",
            hint=f"it needs {', '.join(needed)}, and may have {', '.join(others)}",
        )


def plain(
    *, family: str, layers: int, width: int, heads: int, kv_heads: int, head_size: int, ffn_width: int, vocab: int
) -> Architecture:
    """Return a decoder with RMS norms, gated blocks and an untied head straight from its dimensions."""
    norm = Atom("norm", "norm", width)
    mixer = attention(width=width, heads=heads, kv_heads=kv_heads, head_size=head_size)
    block = mlp(width=width, inner=ffn_width)
    return Architecture(
        family=family,
        vocab=vocab,
        width=width,
        tied=False,
        stacks=(
            Stack(
                layers,
                (
                    Part(name="attention", **{**mixer, "atoms": (norm, *mixer["atoms"])}),
                    Part(name="mlp", **{**block, "atoms": (norm, *block["atoms"])}),
                ),
            ),
        ),
        atoms=(norm._replace(label="final norm"),),
    )
