"""Find the text part of a multimodal config, and what decides whether its head is tied.

``presets/multimodal.toml`` lists the ``model_type`` of multimodal configs: the family of the text part where its own
config does not name it, where that stands, and which of the two flags ties the head.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.files import is_file, preset_folders, read_table
from scaleplan.models.config import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.toml_table import Table

__all__ = ["TextPart", "text_part", "wrappers"]

_KEYS = ("text_config", "language_config", "llm_config", "thinker_config")
"""The keys under which the text part of a config stands; the last has one of the others."""

_TIED = "tie_word_embeddings"
_INHERITED = ("model_type", "architectures", "quantization_config")


class TextPart(NamedTuple):
    """The config of a language model, nested in a multimodal config or the config itself."""

    data: Mapping[str, object]
    source: str
    """Its name in errors."""
    multimodal: bool = False
    tied: object = None
    """Whether the head is tied by what does not stand in ``data``; None where ``data`` decides."""
    stated: bool = False
    """Whether ``tied`` is what the config states at its top level, and not a default of the class."""
    overruled: object = None
    """The flag of the top level where it does not count."""

    def doubt(self, own: Callable[[], bool]) -> str:
        """Return why the other tying of the head is possible, an empty text where it is not.

        ``own`` is the tying by the text part alone.
        """
        nested = self.data.get(_TIED)
        both = "the config ties the head in one place and not in the other: "
        if self.tied is None:
            return f"{both}the text part counts" if self.overruled not in (None, own()) else ""
        if self.stated:
            return f"{both}the top level counts" if nested not in (None, self.tied) else ""
        if own() != self.tied or self.overruled not in (None, self.tied):
            return "the config does not settle whether the head is tied: its class counts"
        return ""


@cache
def wrappers() -> dict[str, Table]:
    """Return what is known of each ``model_type`` of a multimodal config; the user's own file wins."""
    found: dict[str, Table] = {}
    for folder in preset_folders():
        path = folder / "multimodal.toml"
        if is_file(path):
            table = read_table(path, what="multimodal models").table("models")
            found |= {name: table.table(name) for name in table.data}
    return found


def text_part(data: Mapping[str, object], source: str) -> TextPart:
    """Return the config of the language model: nested, at the top level of a multimodal config, or the config."""
    stated = data.get("model_type")
    known = wrappers().get(stated) if isinstance(stated, str) else None
    nested, where = _nested(data, source, known.texts("at", ()) if known else ())
    if nested is None and not _multimodal(data, stated):
        return TextPart(data, source)
    text = known.text("text") if known else None
    flag = data.get(_TIED)
    if nested is not None and known and known.boolean("whole", default=False):
        inner = {key: value for key, value in nested.items() if key != _TIED}
        return TextPart({_TIED: known.boolean("tied", default=False), **data, **inner, "model_type": stated}, where)
    if nested is None:
        found = {**data, "model_type": text}
    else:
        inherited = {key: data[key] for key in _INHERITED if key in data and nested.get(key) is None}
        family = {"model_type": text} if text and nested.get("model_type") is None else {}
        found = {**nested, **inherited, **family}
    ties = known.text("ties", "top") if known else "top"
    if ties == "text" or (ties == "either" and flag is not True):
        return TextPart(found, where, True, overruled=flag)
    if ties == "never":
        return TextPart(found, where, True, tied=False, overruled=flag)
    if flag is not None or known is None:
        return TextPart(found, where, True, tied=flag, stated=True)
    return TextPart(found, where, True, tied=known.boolean("tied", default=False))


def _nested(
    data: Mapping[str, object], source: str, keys: tuple[str, ...] = ()
) -> tuple[Mapping[str, object] | None, str]:
    """Return the nested config of the language model, None without one, and its name in errors."""
    for key in keys or _KEYS:
        inner = data.get(key)
        if isinstance(inner, dict):
            found, where = _nested(inner, f"{source}: {key}")
            return (inner, where) if found is None else (found, where)
    return None, source


def _multimodal(data: Mapping[str, object], stated: object) -> bool:
    """Return whether a config has the fields of its language model at its top level, beside those of other parts."""
    sizes = all(any(name in data for name in NAMES[quantity]) for quantity in ("width", "layers"))
    return isinstance(stated, str) and sizes and stated in wrappers()
