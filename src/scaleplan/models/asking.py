"""The Python API of models: a config or a size in the words of the options → what it amounts to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.models.model import read_model
from scaleplan.models.shape import shape as find_shape
from scaleplan.quantities import parse_count, parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.models.model import Model
    from scaleplan.models.shape import Shape

__all__ = ["Amount", "model", "shape", "whole"]

Amount = str | float
"""An amount as a person gives it: ``"7B"``, ``"8k"``, or a number."""


def whole(amount: Amount | None, *, what: str) -> int | None:
    """Return a whole number of at least 1 (``"128k"`` is 128,000), None for None.

    Raises
    ------
    UsageError
        For a number that is not whole.

    """
    if amount is None:
        return None
    value = parse_count(amount, what="tokens") if what == "context" else parse_integer(amount)
    if value % 1 or value < 1:
        raise UsageError(f"{what} {quote(amount)} is not a whole number of at least 1")
    return int(value)


def model(
    source: str | Path | Mapping[str, object], *, arch: str | None = None, context: Amount | None = None
) -> Model:
    """Return what a model config amounts to: exact parameters, training FLOP per token, cache.

    Parameters
    ----------
    source
        A ``config.json``, a folder that holds one, its text, or the mapping itself.
    arch
        The family to read it as, where the config's ``model_type`` is unknown or absent.
    context
        Tokens in a training sequence, for the FLOP of attention.

    Raises
    ------
    FileError
        When the config cannot be read, or fields are missing, malformed or contradictory.

    Examples
    --------
    >>> import scaleplan as sp
    >>> sizes = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    >>> sp.model({**sizes, "n_positions": 1024}).params
    124439808

    """
    return read_model(source, arch=arch, context=whole(context, what="context"))


def shape(
    params: Amount,
    *,
    style: str = "llama",
    count: str = "total",
    vocab: Amount | None = None,
    tied: bool | None = None,
    kv_heads: Amount | None = None,
    tensor_parallel: Amount = 1,
    context: Amount | None = None,
    experts: Amount | None = None,
    experts_per_token: Amount | None = None,
) -> Shape:
    """Return a hardware-aligned architecture of a size; see :func:`scaleplan.models.shape.shape`.

    ``count`` says whether ``params`` counts everything (``total``) or leaves tables and head out
    (``non_embedding``).

    Examples
    --------
    >>> import scaleplan as sp
    >>> found = sp.shape("7B")
    >>> abs(found.params / 7e9 - 1) < 0.01
    True

    """
    return find_shape(
        parse_count(params, what="params"),
        style=style,
        convention=count,
        vocab=whole(vocab, what="vocab"),
        tied=tied,
        kv_heads=whole(kv_heads, what="kv_heads"),
        tensor_parallel=whole(tensor_parallel, what="tensor_parallel") or 1,
        context=whole(context, what="context"),
        experts=whole(experts, what="experts"),
        experts_per_token=whole(experts_per_token, what="experts_per_token"),
    )
