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
    from scaleplan.advice.demand import break_even
    from scaleplan.api import compare, convert, loss, optimal, optimal_array, sweep, target
    from scaleplan.charts.pictures import plot
    from scaleplan.document.reporting import report
    from scaleplan.errors import ScaleplanError
    from scaleplan.fitting.asking import backtest, fit
    from scaleplan.fitting.designing import design
    from scaleplan.fitting.fitted import Fitted
    from scaleplan.models.asking import memory, model, shape
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.presets.library import Library

__version__ = "0.1.0"

__all__ = [
    "Fitted",
    "Library",
    "Plan",
    "Plans",
    "ScaleplanError",
    "__version__",
    "backtest",
    "break_even",
    "compare",
    "convert",
    "design",
    "fit",
    "loss",
    "memory",
    "model",
    "optimal",
    "optimal_array",
    "plot",
    "report",
    "shape",
    "sweep",
    "target",
]

_HOMES = {
    "Fitted": "fitting.fitted",
    "Library": "presets.library",
    "Plan": "planning.plan",
    "Plans": "planning.plan",
    "ScaleplanError": "errors",
    "backtest": "fitting.asking",
    "break_even": "advice.demand",
    "compare": "api",
    "convert": "api",
    "design": "fitting.designing",
    "fit": "fitting.asking",
    "loss": "api",
    "memory": "models.asking",
    "model": "models.asking",
    "optimal": "api",
    "optimal_array": "api",
    "plot": "charts.pictures",
    "report": "document.reporting",
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
