"""What tests of several modules share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from scaleplan.laws.base import LossSurface


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden(LossSurface):
    """A surface without its closed forms, which leaves the work to the solver."""

    form: ClassVar[str] = "hidden"
    formula: ClassVar[str] = "that of another law"

    law: LossSurface

    @property
    def floor(self):
        return self.law.floor

    def loss(self, params, tokens):
        return self.law.loss(params, tokens)

    def reducible(self, params, tokens):
        return self.law.reducible(params, tokens)


@pytest.fixture(scope="session")
def hidden():
    """Return how to hide the closed forms of a surface."""
    return lambda law: Hidden(law=law)
