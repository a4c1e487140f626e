"""A run of a project → its plan: what ``loss`` answers (or ``optimal``, for a budget), asked a thousand times.

Presets, training configs and price lists are read once each.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.api import planner_of
from scaleplan.asking import Hardware, request_of
from scaleplan.config.document import DataDocument, parse_document
from scaleplan.config.names import BUDGETS
from scaleplan.config.run import Configs, Place
from scaleplan.config.tree import display_name
from scaleplan.errors import FileError, UsageError
from scaleplan.funding import Catalogue, resolve, settle
from scaleplan.library import DEFAULT_PRESET, Library
from scaleplan.notices import Notice
from scaleplan.quantities import parse_count
from scaleplan.records import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.config.run import Given, Run
    from scaleplan.config.tree import Tree
    from scaleplan.energy import Grids
    from scaleplan.models import Model
    from scaleplan.plan import Plan
    from scaleplan.planner import Planner
    from scaleplan.presets import Preset
    from scaleplan.uncertainty import Interval

__all__ = ["Estimate", "Estimator"]

_LEVEL = 0.9
_HARDWARE = ("gpu", "gpus", "mfu", "goodput", "precision", "profile", "price")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The plan of a run, what a plan does not hold, and where the values came from that lead to it."""

    plan: Plan
    unique_tokens: float | None
    carbon_kg: float | None
    places: Mapping[str, tuple[Place, ...]]
    _estimator: Estimator
    _run: Run

    def interval(self, level: float) -> Interval[float] | None:
        """Return the intervals of the plan at a level; None when the law's source gives no uncertainty."""
        known = self.plan.interval
        if known is None or known.level == level:
            return known
        return self._estimator.estimate(self._run, level=level).plan.interval


class Estimator:
    """Plans the runs of projects that share a tree of files.

    Parameters
    ----------
    tree
        Where files are read from.

    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._configs = Configs(tree)
        self._catalogue = Catalogue()
        self._library = Library()
        self._presets: dict[str, Preset] = {}
        self._planners: dict[tuple[object, ...], Planner] = {}
        self._grids: Grids | None = None

    def estimate(self, run: Run, *, level: float = _LEVEL) -> Estimate:
        """Return the plan of a run, with intervals at ``level``.

        Raises
        ------
        ScaleplanError
            When the run, or a file that it points into, cannot be understood, or no model satisfies it.

        """
        given = run.read(self._configs)
        values = {word: item.value for word, item in given.items()}
        preset = self._preset(given.get("preset"), run)
        if "batch_regime" in values:
            preset = preset.with_regime(str(values["batch_regime"]))
        notices: list[Notice] = []
        moe = preset.is_moe
        if "model" in values:
            model = self._model(str(values["model"]), run)
            values["params"] = _params_of(model, preset, notices)
            moe = moe or model.architecture.experts is not None
        plan = self._plan(run, values, preset, level=level, moe=moe)
        unique = parse_count(values["unique_tokens"], what="tokens") if "unique_tokens" in values else None
        if unique is not None and plan.tokens > unique and plan.loss is not None:
            notices.append(_repeats(preset.id, plan.tokens / unique))
        carbon = None
        if "grid" in values and plan.budget.energy_kwh is not None:
            carbon = self._grid_carbon(str(values["grid"]), plan.budget.energy_kwh)
        return Estimate(
            plan=replace(plan, warnings=(*notices, *plan.warnings)),
            unique_tokens=unique,
            carbon_kg=carbon,
            places={word: item.places for word, item in given.items()},
            _estimator=self,
            _run=run,
        )

    def _plan(self, run: Run, values: Mapping[str, str | float], preset: Preset, *, level: float, moe: bool) -> Plan:
        hardware = Hardware(**{word: values[word] for word in _HARDWARE if word in values})  # type: ignore[arg-type]
        budget = {word: values[word] for word in BUDGETS if word in values}
        sides = {word: values[word] for word in ("params", "tokens") if word in values}
        if len(sides) == 2 and budget:
            raise UsageError(
                f"the run has params, tokens and a budget ({', '.join(budget)})", hint="leave one of the three out"
            )
        if len(sides) == 2:
            if run.limits:
                raise UsageError("limit bounds the plan of a budget", hint="limits to judge by belong in a policy")
            planner = self._planner(preset, level, {}, ())
            plan = planner.loss(
                parse_count(sides["params"], what="params"), parse_count(sides["tokens"], what="tokens")
            )
            request = request_of(hardware, flops=plan.flops)
            funding = resolve(request, params=plan.params, moe=moe, catalogue=self._catalogue)
            return replace(plan, budget=funding.budget, warnings=(*plan.warnings, *funding.notices))
        if not budget:
            missing = [word for word in ("params", "tokens") if word not in sides]
            raise UsageError(
                f"the run has no {' and no '.join(missing)}, and no budget",
                hint="give params (or a model) and tokens, or flops, gpu_hours, time or cost",
            )
        planner = self._planner(preset, level, sides, run.limits)
        funding = settle(
            request_of(hardware, **budget),
            lambda paid: planner.on(paid.budget).best(paid.flops)[0],
            moe=moe,
            by_hardware=planner.by_hardware,
            catalogue=self._catalogue,
        )
        plan = planner.on(funding.budget).optimal(funding.flops, budget=funding.budget)
        return replace(plan, warnings=(*plan.warnings, *funding.notices))

    def _planner(
        self, preset: Preset, level: float, sides: Mapping[str, str | float], limits: tuple[str, ...]
    ) -> Planner:
        key = (id(preset), level, tuple(sides.items()), limits)  # presets are kept, so that ids stay theirs
        if key not in self._planners:
            self._planners[key] = planner_of(preset=preset, level=level, limit=limits, **sides)  # type: ignore[arg-type]
        return self._planners[key]

    def _preset(self, given: Given | None, run: Run) -> Preset:
        name = DEFAULT_PRESET if given is None else str(given.value)
        is_path = name.endswith(".toml") or "/" in name or os.sep in name
        key = str(run.folder / name) if is_path else name
        if key not in self._presets:
            self._presets[key] = self._preset_file(run, name) if is_path else self._library.load(name)
        return self._presets[key]

    def _preset_file(self, run: Run, name: str) -> Preset:
        from scaleplan.preset_reader import preset_of

        path = run.folder / name
        shown = display_name(path)
        document = parse_document(self.tree.text(path, what="preset"), name=shown)
        if not isinstance(document, DataDocument) or not isinstance(document.data, dict):
            raise FileError(f"{shown}: a preset is a TOML file")
        return preset_of(Table(document.data, source=shown))

    def _model(self, name: str, run: Run) -> Model:
        from scaleplan.models import describe
        from scaleplan.models.config import parse_config
        from scaleplan.models.families import architecture_of

        path = run.folder / name
        if not name.endswith(".json"):
            path /= "config.json"
        shown = display_name(path)
        data = parse_config(self.tree.text(path, what="model config"), source=shown)
        return describe(architecture_of(data, source=shown), source=shown)

    def _grid_carbon(self, name: str, kwh: float) -> float:
        from scaleplan.energy import Grids

        self._grids = self._grids or Grids()
        return self._grids.get(name).carbon_kg(kwh)


def _params_of(model: Model, preset: Preset, notices: list[Notice]) -> float:
    """Return the size of a model as the law counts; of a mixture of experts the part that is active."""
    convention, counts = preset.conventions.params, model.counts
    if model.architecture.experts is None or convention in ("active", "flops_per_token"):
        return float(model.params_as(convention))
    message = f"{preset.id} speaks of dense models: this mixture of experts is counted by its active parameters"
    notices.append(Notice(code="experts_as_active", message=message))
    active = {
        "total": counts.active_params,
        "non_embedding": counts.active_non_embedding_params,
        "total_minus_input_embedding": counts.active_params - counts.input_embedding_params,
    }
    return float(active[convention])


def _repeats(preset: str, epochs: float) -> Notice:
    message = f"{epochs:.3g} passes over the data: {preset} expects every token to be new, so the loss is too low"
    return Notice(code="repeats_not_modelled", message=message)
