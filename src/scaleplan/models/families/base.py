"""Find the family of a config and read its fields as an :class:`~scaleplan.models.architecture.Architecture`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.architecture import Architecture
from scaleplan.models.config import Fields
from scaleplan.models.families.unread import refuse_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FAMILIES", "architecture_of", "biases", "decoder", "family", "text_part", "tie_conflict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One family of models."""

    name: str
    """The ``model_type`` of its configs."""
    classes: tuple[str, ...]
    """Beginnings of its class names in ``architectures`` (``Llama`` of ``LlamaForCausalLM``)."""
    read: Callable[[Fields], Architecture]
    defaults: Mapping[str, int]
    """Sizes that the reference implementation assumes and published configs leave out."""


_TIED = "tie_word_embeddings"

FAMILIES: dict[str, Family] = {}
"""Every known family by its ``model_type``; filled by the modules of readers as they are imported."""


class Biases(TypedDict):
    """The fields of an architecture about attention biases."""

    query_bias: bool
    kv_bias: bool
    output_bias: bool


def family(
    *names: str, classes: tuple[str, ...] = (), defaults: Mapping[str, int] | None = None
) -> Callable[[Callable[[Fields], Architecture]], Callable[[Fields], Architecture]]:
    """Register the reader of a family under its ``model_type`` names."""

    def register(read: Callable[[Fields], Architecture]) -> Callable[[Fields], Architecture]:
        for name in names:
            FAMILIES[name] = Family(name=name, classes=classes, read=read, defaults=defaults or {})
        return read

    return register


def architecture_of(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Architecture:
    """Return the architecture that a config describes.

    The text part of a multimodal config is read, the rest of it is left out. ``source`` is its name in errors;
    ``arch`` is the family to read it as, in place of the ``model_type`` it states. Raises FileError for an unknown
    family, and for fields that are missing, malformed or contradictory.
    """
    text, where = text_part(data, source)
    found = _find(text, source=where, arch=arch)
    if data.get("is_encoder_decoder") is True:
        raise FileError(f"{source}: is_encoder_decoder: encoder-decoder models are not counted here")
    fields = Fields({**text, "model_type": found.name}, source=where, defaults=found.defaults)
    architecture = found.read(fields)
    refuse_unread(fields, architecture)
    return architecture


def text_part(data: Mapping[str, object], source: str) -> tuple[Mapping[str, object], str]:
    """Return the nested config of the language model, if there is one, and its name in errors.

    Where both state whether the head is tied, the top level decides, as it does in transformers 5.
    """
    for key in ("text_config", "language_config", "llm_config"):
        nested = data.get(key)
        if isinstance(nested, dict):
            inherited = {k: data[k] for k in ("model_type", "architectures", "quantization_config") if k in data}
            decided = {} if data.get(_TIED) is None else {_TIED: data[_TIED]}
            return {**inherited, **nested, **decided}, f"{source}: {key}"
    return data, source


def tie_conflict(data: Mapping[str, object]) -> bool:
    """Return whether the top level and the nested config contradict each other on tying the head."""
    for key in ("text_config", "language_config", "llm_config"):
        nested = data.get(key)
        if isinstance(nested, dict):
            flags = (data.get(_TIED), nested.get(_TIED))
            return None not in flags and flags[0] != flags[1]
    return False


def _find(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Family:
    """Return the family of a config by ``arch``, its ``model_type``, or the class that it names."""
    if arch is not None:
        if arch not in FAMILIES:
            raise _unknown(arch, data, source="arch")
        stated = data.get("model_type")
        if isinstance(stated, str) and stated in FAMILIES and FAMILIES[stated].read is not FAMILIES[arch].read:
            raise FileError(
                f"{source}: model_type {quote(stated)} is a known family: it is not read as {quote(arch)}",
                hint="leave out --arch, or correct the config's model_type",
            )
        return FAMILIES[arch]
    name = data.get("model_type")
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    if name is not None:
        raise _unknown(name, data, source=source)
    classes = data.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    for known in FAMILIES.values():
        if isinstance(first, str) and first.startswith(known.classes):
            return known
    raise FileError(
        f"{source}: missing field model_type{_lacking(data, source)}",
        hint=f"name the family with --arch; known: {', '.join(sorted(FAMILIES))}",
    )


def _unknown(name: object, data: Mapping[str, object], *, source: str) -> FileError:
    close = did_you_mean(name, FAMILIES) if isinstance(name, str) else None
    advice = f"did you mean '{close}'? " if close else ""
    advice += "if it is laid out like a known family, name that with --arch; known: "
    return FileError(
        f"{source}: unknown model family {quote(name)}{_lacking(data, source)}",
        hint=advice + ", ".join(sorted(FAMILIES)),
    )


def _lacking(data: Mapping[str, object], source: str) -> str:
    missing = Fields(data, source=source).missing("layers", "width", "heads", "ffn_width", "vocab")
    return f"; of the fields that most families need it lacks {', '.join(missing)}" if missing else ""


def biases(fields: Fields, name: str = "attention_bias", *, default: bool = False, output: bool = True) -> Biases:
    """Return the attention biases that the switch ``name`` turns on, those of the output matrix among them."""
    on = fields.flag(name, default=default)
    return {"query_bias": on, "kv_bias": on, "output_bias": on and output}


def decoder(fields: Fields, *, tied: bool = False, **choices: object) -> Architecture:
    """Return a decoder from the fields that all families share; ``choices`` are what this family sets itself.

    The head is the token table by ``tie_word_embeddings``, which defaults to ``tied``.
    Heads share the width unless ``head_dim`` is stated; keys and values have as many heads as the queries
    unless stated; the feed-forward width must be stated unless chosen.
    """
    fields.require("width", "layers", "heads", "vocab", *(() if "ffn_width" in choices else ("ffn_width",)))
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
        "tied": fields.flag("tie_word_embeddings", default=tied),
    }
    return Architecture(**{**values, **choices})  # type: ignore[arg-type]


def _share(fields: Fields, width: int, heads: int) -> int:
    if width % heads:
        raise FileError(
            f"{fields.source}: width {width} is not a multiple of {heads} attention heads",
            hint="state head_dim if the heads do not share the width",
        )
    return width // heads
