"""Model families: which layout does this config describe? To add one, write its reader in one of the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.architecture import Fields
from scaleplan.models.families import encoder, gpt, latent, llama, mixture  # noqa: F401  they register their families
from scaleplan.models.families.base import FAMILIES, Family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.architecture import Architecture

__all__ = ["FAMILIES", "Family", "architecture_of", "find_family"]

_TEXT_CONFIGS = ("text_config", "language_config", "llm_config")


def architecture_of(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Architecture:
    """Return the architecture that a config describes.

    The text part of a multimodal config is read, the rest of it is left out.

    Parameters
    ----------
    data
        The JSON object.
    source
        Its name in errors.
    arch
        The family to read it as, in place of the ``model_type`` it states.

    Raises
    ------
    FileError
        For an unknown family, and for fields that are missing, malformed or contradictory.

    """
    text, where = text_part(data, source)
    family = find_family(text, source=where, arch=arch)
    if data.get("is_encoder_decoder") is True:
        raise FileError(f"{source}: is_encoder_decoder: encoder-decoder models are not counted here")
    fields = Fields({**text, "model_type": family.name}, source=where, defaults=family.defaults)
    return family.read(fields)


def text_part(data: Mapping[str, object], source: str) -> tuple[Mapping[str, object], str]:
    """Return the nested config of the language model, if there is one, and its name in errors."""
    for key in _TEXT_CONFIGS:
        nested = data.get(key)
        if isinstance(nested, dict):
            inherited = {k: data[k] for k in ("model_type", "architectures", "tie_word_embeddings") if k in data}
            return {**inherited, **nested}, f"{source}: {key}"
    return data, source


def find_family(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Family:
    """Return the family of a config by ``arch``, its ``model_type``, or the class that it names."""
    if arch is not None:
        if arch not in FAMILIES:
            raise _unknown(arch, data, source="arch")
        return FAMILIES[arch]
    name = data.get("model_type")
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    if name is not None:
        raise _unknown(name, data, source=source)
    classes = data.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    for family in FAMILIES.values():
        if isinstance(first, str) and first.startswith(family.classes):
            return family
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
