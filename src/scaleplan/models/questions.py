"""The public functions about a model: its counts, a shape of a size, and the model that a source means.

They are called by the command line and from Python; amounts are texts or numbers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import QuantityError, UsageError, quote
from scaleplan.files import is_file, is_folder
from scaleplan.models.model import Model, read_model
from scaleplan.models.shape import shape as find_shape
from scaleplan.units import parse_count, parse_integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.shape import Shape
    from scaleplan.units import Amount

__all__ = ["model", "parse_whole", "shape", "sized"]

_LONGEST_CONTEXT = 1e9  # a hundred times that of any model


def parse_whole(amount: Amount | None, *, what: str) -> int | None:
    """Return a whole number of at least 1 (``"128k"`` is 128,000), None for None; raises UsageError for others."""
    if amount is None:
        return None
    if what != "context":
        return parse_integer(amount)
    tokens = parse_count(amount, what="tokens")
    if tokens % 1 or not 1 <= tokens <= _LONGEST_CONTEXT:
        raise UsageError(f"{what} {quote(amount)} is not a whole number from 1 to 1,000,000,000", hint="8192 or 128k")
    return int(tokens)


def model(
    source: str | Path | Mapping[str, object],
    *,
    arch: str | None = None,
    context: Amount | None = None,
    vocab: Amount | None = None,
) -> Model:
    """Read a model config: exact parameters, training FLOP per token, cache.

    Parameters
    ----------
    source
        A ``config.json``, a folder that holds one, its text, the mapping itself, the training config of a trainer
        that is known, or the name of a published model.
    arch
        The family to read it as, where the config's ``model_type`` is unknown or absent.
    context
        Tokens in a training sequence, for the FLOP of attention.
    vocab
        The vocabulary of a training config that leaves it to the tokenizer.

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
    length, rows = parse_whole(context, what="context"), parse_whole(vocab, what="vocab")
    return read_model(source, arch=arch, context=length, vocab=rows)


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

    ``count`` is ``total`` where ``params`` counts everything, ``non_embedding`` where it leaves tables and head out.

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
        vocab=parse_whole(vocab, what="vocab"),
        tied=tied,
        kv_heads=parse_whole(kv_heads, what="kv_heads"),
        tensor_parallel=parse_whole(tensor_parallel, what="tensor_parallel") or 1,
        context=parse_whole(context, what="context"),
        experts=parse_whole(experts, what="experts"),
        experts_per_token=parse_whole(experts_per_token, what="experts_per_token"),
    )


def sized(source: Amount | Path | Mapping[str, object] | Model, vocab: Amount | None = None) -> Model:
    """Return the model of a config, or of a size: a text that reads as a count is one; a model is itself."""
    if isinstance(source, Model):
        return source
    if not isinstance(source, str | int | float):
        return model(source, vocab=vocab)
    try:
        params = parse_count(source, what="params")
    except QuantityError:
        if not isinstance(source, str) or _is_amount(source):
            raise  # a number with a fault in it, and no name of a file
        return model(source, vocab=vocab)
    return replace(find_shape(params).model, source=f"{source} in the llama style")


def _is_amount(text: str) -> bool:
    """Return whether a text is meant as a number: it starts with a digit, and neither is nor looks like a file."""
    path = Path(text)
    named = (
        path.suffix in (".json", ".yaml", ".yml", ".sh", ".py", ".toml")
        or len(path.parts) > 1
        or is_file(path)
        or is_folder(path)
    )
    return text.strip()[:1].isdigit() and not named
