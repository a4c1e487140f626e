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
    from scaleplan.advice.advice_api import hyperparameters, precisions, vocab
    from scaleplan.advice.break_even import break_even
    from scaleplan.advice.gpu_comparison import compare_gpus
    from scaleplan.advice.marginal import marginal
    from scaleplan.advice.ways import ways
    from scaleplan.api import compare, convert, loss, optimal, optimal_array, sweep, target
    from scaleplan.charts.plots import plot
    from scaleplan.errors import ScaleplanError
    from scaleplan.fitting.candidate_pool import choose_runs
    from scaleplan.fitting.fit import backtest, fit
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.fit_result import FitResult as Fitted
    from scaleplan.fitting.fleet import fit_each
    from scaleplan.fitting.pilot import design
    from scaleplan.ladder.plan_runs import make_ladder
    from scaleplan.ladder.status import ladder_status
    from scaleplan.logs.collect import runs
    from scaleplan.lookup import list_gpus, list_models, list_presets, show_gpu, show_model, show_preset
    from scaleplan.models.families.listing import family_list as list_families
    from scaleplan.models.families.listing import family_summary as show_family
    from scaleplan.models.families.listing import validate_families
    from scaleplan.models.memory_questions import memory
    from scaleplan.models.questions import model, shape
    from scaleplan.output.html.page import report
    from scaleplan.output.schemas import schema
    from scaleplan.planning.evaluation import Evaluation, evaluate
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.presets.library import Library
    from scaleplan.presets.library import validate as validate_presets
    from scaleplan.project.kept_forecasts import forecasts, register, resolve
    from scaleplan.project.project_api import check, diff, init, load
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
    "check",
    "choose_runs",
    "compare",
    "compare_gpus",
    "convert",
    "design",
    "diff",
    "evaluate",
    "fit",
    "fit_each",
    "forecasts",
    "hyperparameters",
    "init",
    "ladder_status",
    "list_families",
    "list_gpus",
    "list_models",
    "list_presets",
    "load",
    "loss",
    "make_ladder",
    "marginal",
    "memory",
    "model",
    "optimal",
    "optimal_array",
    "plot",
    "precisions",
    "register",
    "report",
    "resolve",
    "runs",
    "schema",
    "shape",
    "show_family",
    "show_gpu",
    "show_model",
    "show_preset",
    "sweep",
    "target",
    "track",
    "validate_families",
    "validate_presets",
    "vocab",
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
    "check": "project.project_api",
    "choose_runs": "fitting.candidate_pool",
    "compare": "api",
    "compare_gpus": "advice.gpu_comparison",
    "convert": "api",
    "design": "fitting.pilot",
    "diff": "project.project_api",
    "evaluate": "planning.evaluation",
    "fit": "fitting.fit",
    "fit_each": "fitting.fleet",
    "forecasts": "project.kept_forecasts",
    "hyperparameters": "advice.advice_api",
    "init": "project.project_api",
    "ladder_status": "ladder.status",
    "list_families": "models.families.listing:family_list",
    "list_gpus": "lookup",
    "list_models": "lookup",
    "list_presets": "lookup",
    "load": "project.project_api",
    "loss": "api",
    "make_ladder": "ladder.plan_runs",
    "marginal": "advice.marginal",
    "memory": "models.memory_questions",
    "model": "models.questions",
    "optimal": "api",
    "optimal_array": "api",
    "plot": "charts.plots",
    "precisions": "advice.advice_api",
    "register": "project.kept_forecasts",
    "report": "output.html.page",
    "resolve": "project.kept_forecasts",
    "runs": "logs.collect",
    "schema": "output.schemas",
    "shape": "models.questions",
    "show_family": "models.families.listing:family_summary",
    "show_gpu": "lookup",
    "show_model": "lookup",
    "show_preset": "lookup",
    "sweep": "api",
    "target": "api",
    "track": "tracking.track",
    "validate_families": "models.families.listing",
    "validate_presets": "presets.library:validate",
    "vocab": "advice.advice_api",
    "ways": "advice.ways",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise _UnknownNameError(name)
    module, _, original = _HOMES[name].partition(":")
    found = getattr(import_module(f"scaleplan.{module}"), original or name)
    if callable(found) and not isinstance(found, type):
        found = import_module("scaleplan.signatures").public(found, name)
    globals()[name] = found  # the same one whenever it is looked up
    return found


class _UnknownNameError(AttributeError):
    """An unknown name; the nearest known one is looked up only when the message is read, since imports try any."""

    def __str__(self) -> str:
        (name,) = self.args
        alike = [known for known in __all__ if known[:1].isupper() == name[:1].isupper()]  # a function or a class
        close = None if name.startswith("_") else import_module("scaleplan.errors").did_you_mean(name, alike)
        hint = "" if close is None else f": did you mean '{close}'?"
        return f"module 'scaleplan' has no attribute '{name}'{hint}"


def __dir__() -> list[str]:
    return list(__all__)
