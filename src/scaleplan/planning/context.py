"""Read the data files of a process, each once: the hardware, the laws and the rules of thumb."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from scaleplan.hardware.budget import Catalogue
from scaleplan.presets.library import Library

if TYPE_CHECKING:
    from scaleplan.presets.preset import Preset
    from scaleplan.presets.rules import RuleLibrary

__all__ = ["Context"]


class Context(Catalogue):
    """The catalogue of hardware and the library of presets, made once by the caller at the entry and passed down."""

    def __init__(self) -> None:
        self._presets: dict[str, Preset] = {}

    def preset(self, name: str | Preset) -> Preset:
        """Return the law of a name (an id, an alias or a path); a preset is returned as it is."""
        if not isinstance(name, str):
            return name
        if name not in self._presets:
            self._presets[name] = self.library.load(name)
        return self._presets[name]

    @cached_property
    def library(self) -> Library:
        """The scaling laws."""
        return Library()

    @cached_property
    def rules(self) -> RuleLibrary:
        """The rules of thumb for batch size and learning rate."""
        from scaleplan.presets.rules import RuleLibrary  # a plain plan needs no rule

        return RuleLibrary()
