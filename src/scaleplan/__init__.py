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
    from scaleplan.advice.break_even import break_even
    from scaleplan.advice.gpu_comparison import compare_gpus
    from scaleplan.advice.ways import ways
    from scaleplan.api import compare, convert, loss, optimal, optimal_array, sweep, target
    from scaleplan.charts.plots import plot
    from scaleplan.errors import ScaleplanError
    from scaleplan.fitting.candidate_pool import choose_runs
    from scaleplan.fitting.fit import backtest, fit
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.fit_result import FitResult as Fitted
    from scaleplan.fitting.pilot import design
    from scaleplan.logs.collect import runs
    from scaleplan.models.memory_questions import memory
    from scaleplan.models.questions import model, shape
    from scaleplan.output.html.page import report
    from scaleplan.planning.evaluation import Evaluation, evaluate
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.presets.library import Library
    from scaleplan.project.kept_forecasts import forecasts, register, resolve
    from scaleplan.tracking.track import track
    from scaleplan.version import __version__

__all__ = [
    "Evaluation",
    "FitResult",
    "Fitted",
    "Library",
    "Plan",
    "Plans",
    "ScaleplanError",
    "__version__",
    "backtest",
    "break_even",
    "choose_runs",
    "compare",
    "compare_gpus",
    "convert",
    "design",
    "evaluate",
    "fit",
    "forecasts",
    "loss",
    "memory",
    "model",
    "optimal",
    "optimal_array",
    "plot",
    "register",
    "report",
    "resolve",
    "runs",
    "shape",
    "sweep",
    "target",
    "track",
    "ways",
]

_HOMES = {
    "Evaluation": "planning.evaluation",
    "FitResult": "fitting.fit_result",
    "Fitted": "fitting.fit_result:FitResult",
    "Library": "presets.library",
    "Plan": "planning.plan",
    "Plans": "planning.plan",
    "ScaleplanError": "errors",
    "__version__": "version",
    "backtest": "fitting.fit",
    "break_even": "advice.break_even",
    "choose_runs": "fitting.candidate_pool",
    "compare": "api",
    "compare_gpus": "advice.gpu_comparison",
    "convert": "api",
    "design": "fitting.pilot",
    "evaluate": "planning.evaluation",
    "fit": "fitting.fit",
    "forecasts": "project.kept_forecasts",
    "loss": "api",
    "memory": "models.memory_questions",
    "model": "models.questions",
    "optimal": "api",
    "optimal_array": "api",
    "plot": "charts.plots",
    "register": "project.kept_forecasts",
    "report": "output.html.page",
    "resolve": "project.kept_forecasts",
    "runs": "logs.collect",
    "shape": "models.questions",
    "sweep": "api",
    "target": "api",
    "track": "tracking.track",
    "ways": "advice.ways",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'scaleplan' has no attribute '{name}'"
        raise AttributeError(msg)
    module, _, original = _HOMES[name].partition(":")
    return getattr(import_module(f"scaleplan.{module}"), original or name)


def __dir__() -> list[str]:
    return list(__all__)
