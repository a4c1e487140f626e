"""Plan the training of language models: compute in, parameters, tokens and expected loss out.

>>> import scaleplan as sp
>>> plan = sp.optimal(flops="1e21")
>>> f"{plan.params:.3g} parameters, {plan.tokens:.3g} tokens"
'2.78e+09 parameters, 6e+10 tokens'

Everything here is imported when it is first used; ``import scaleplan`` itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.api import compare, convert, loss, optimal, optimal_array, sweep, target
    from scaleplan.errors import ScaleplanError
    from scaleplan.library import Library
    from scaleplan.models.asking import model, shape
    from scaleplan.plan import Plan, Plans

__version__ = "0.1.0"

__all__ = [
    "Library",
    "Plan",
    "Plans",
    "ScaleplanError",
    "__version__",
    "compare",
    "convert",
    "loss",
    "model",
    "optimal",
    "optimal_array",
    "shape",
    "sweep",
    "target",
]

_HOMES = {
    "Library": "library",
    "Plan": "plan",
    "Plans": "plan",
    "ScaleplanError": "errors",
    "compare": "api",
    "convert": "api",
    "loss": "api",
    "model": "models.asking",
    "optimal": "api",
    "optimal_array": "api",
    "shape": "models.asking",
    "sweep": "api",
    "target": "api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'scaleplan' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(import_module(f"scaleplan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
