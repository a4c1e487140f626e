"""What a family is: a name, the spellings of it, and how its fields become an :class:`Architecture`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import FileError
from scaleplan.models.architecture import Architecture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.models.architecture import Fields

__all__ = ["FAMILIES", "Family", "decoder", "family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of models.

    Parameters
    ----------
    name
        The ``model_type`` of its configs.
    classes
        Beginnings of its class names in ``architectures`` (``Llama`` of ``LlamaForCausalLM``).
    read
        Fields → architecture.
    defaults
        Sizes that the reference implementation assumes and published configs leave out.

    """

    name: str
    classes: tuple[str, ...]
    read: Callable[[Fields], Architecture]
    defaults: Mapping[str, int]


FAMILIES: dict[str, Family] = {}
"""Every known family by its ``model_type``; filled by the modules of this package as they are imported."""


def family(
    *names: str, classes: tuple[str, ...] = (), defaults: Mapping[str, int] | None = None
) -> Callable[[Callable[[Fields], Architecture]], Callable[[Fields], Architecture]]:
    """Register the reader of a family under its ``model_type`` names."""

    def register(read: Callable[[Fields], Architecture]) -> Callable[[Fields], Architecture]:
        for name in names:
            FAMILIES[name] = Family(name=name, classes=classes, read=read, defaults=defaults or {})
        return read

    return register


def decoder(fields: Fields, **choices: object) -> Architecture:
    """Return a decoder from the fields that all families share; ``choices`` say what this family does.

    Heads share the width unless ``head_dim`` is stated; keys and values have as many heads as the queries
    unless stated; the feed-forward width must be stated unless chosen.
    """
    needed = ["width", "layers", "heads", "vocab"]
    if "ffn_width" not in choices:
        needed.append("ffn_width")
    fields.require(*needed)
    width, heads = fields.size("width"), fields.size("heads")
    if "head_size" not in choices:
        choices["head_size"] = fields.optional("head_size") or _share(fields, width, heads)
    if "kv_heads" not in choices:
        choices["kv_heads"] = fields.size("kv_heads", heads)
    if "ffn_width" not in choices:
        choices["ffn_width"] = fields.size("ffn_width")
    kv_heads = choices["kv_heads"]
    if not isinstance(kv_heads, int) or heads % kv_heads:
        raise FileError(f"{fields.source}: {heads} attention heads cannot share {kv_heads} key-value heads evenly")
    values: dict[str, object] = {
        "family": fields.text("model_type", "unknown"),
        "layers": fields.size("layers"),
        "width": width,
        "heads": heads,
        "vocab": fields.size("vocab"),
        "context": fields.optional("context"),
    }
    return Architecture(**{**values, **choices})  # type: ignore[arg-type]


def _share(fields: Fields, width: int, heads: int) -> int:
    if width % heads:
        raise FileError(
            f"{fields.source}: width {width} is not a multiple of {heads} attention heads",
            hint="state head_dim if the heads do not share the width",
        )
    return width // heads
