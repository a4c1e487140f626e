"""A run of a project → its plan: what ``loss`` answers (or ``optimal``, for a budget), asked a thousand times.

Presets, training configs and price lists are read once each.


What a run's plan amounts to, in each of the quantities that a policy can limit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, UsageError
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.layout import linked_devices
from scaleplan.models.memory import device_bytes
from scaleplan.models.model import DEFAULT_CONTEXT
from scaleplan.notices import Notice
from scaleplan.planning.constraints import home_preset, options
from scaleplan.planning.plan import preset_switched
from scaleplan.planning.planner import plan_aim, plan_budget, planner_of
from scaleplan.planning.request import HardwareRequest, request_of
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.presets.library import DEFAULT_PRESET, Library
from scaleplan.project.document import DataDocument, parse_document
from scaleplan.project.project import BUDGETS, HARDWARE, Configs, Location
from scaleplan.project.source import display_name
from scaleplan.toml_table import Table
from scaleplan.units import parse_count
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.hardware.energy import PowerGrids
    from scaleplan.models import Model
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.planning.uncertainty import Interval
    from scaleplan.presets.preset import Preset
    from scaleplan.project.project import Run
    from scaleplan.project.source import Tree

__all__ = ["ADDITIVE", "Estimate", "Estimator", "interval_of", "measure", "measures", "measures_of", "sources"]

_LEVEL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The plan of a run, what a plan does not hold, and where the values came from that lead to it."""

    plan: Plan
    carbon_kg: float | None
    memory_gb: float | None
    places: Mapping[str, tuple[Location, ...]]
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
        self._grids: PowerGrids | None = None

    def estimate(self, run: Run, *, level: float = _LEVEL) -> Estimate:
        """Return the plan of a run, with intervals at ``level``.

        Raises
        ------
        ScaleplanError
            When the run, or a file that it points into, cannot be understood, or no model satisfies it.

        """
        given = run.read(self._configs)
        values = {word: item.value for word, item in given.items()}
        constraints = {option.name: values[option.name] for option in options() if option.name in values}
        preset, notices = self._law(values.get("preset"), constraints, run)
        if "batch_regime" in values:
            preset = preset.with_regime(str(values["batch_regime"]))
        moe = preset.is_moe
        if "model" in values:
            model = self._model(str(values["model"]), run)
            values["params"] = _params_of(model, preset, notices)
            moe = moe or model.architecture.experts is not None
        planner = self._planner(preset, level, _sides(values), run.limits, constraints)
        plan = self._plan(planner, run, values, moe=moe)
        carbon = None
        if "grid" in values and plan.budget.energy_kwh is not None:
            carbon = self._grid_carbon(str(values["grid"]), plan.budget.energy_kwh)
        return Estimate(
            plan=replace(plan, warnings=(*notices, *plan.warnings)),
            carbon_kg=carbon,
            memory_gb=self._memory_gb(plan),
            places={word: item.places for word, item in given.items()},
            _estimator=self,
            _run=run,
        )

    def _memory_gb(self, plan: Plan) -> float | None:
        """Return the least memory of each device in GB of 1e9 bytes: all states shared, everything recomputed."""
        budget = plan.budget
        if budget.gpu is None or budget.gpus is None or unconvertible(plan.params_convention, "total") is not None:
            return None
        params = convert_params(plan.params, source=plan.params_convention, target="total")
        linked = linked_devices(self._catalogue.accelerators.get(budget.gpu))
        return device_bytes(params, gpus=budget.gpus, sequence=DEFAULT_CONTEXT, linked=linked) / 1e9

    def _plan(self, planner: Planner, run: Run, values: Mapping[str, str | float], *, moe: bool) -> Plan:
        hardware = HardwareRequest(**{word: values[word] for word in HARDWARE if word in values})  # type: ignore[arg-type]
        budget = {word: values[word] for word in BUDGETS if word in values}
        sides = [word for word in ("params", "tokens") if word in values]
        if len(sides) == 2 and budget:
            raise UsageError(
                f"the run has params, tokens and a budget ({', '.join(budget)})", hint="leave one of the three out"
            )
        if len(sides) == 2:
            if run.limits:
                raise UsageError("limit bounds the plan of a budget", hint="limits to judge by belong in a policy")
            size = parse_count(values["params"], what="params")
            data = parse_count(values["tokens"], what="tokens")
            return plan_aim(planner, hardware, lambda on: on.loss(size, data), moe=moe, catalogue=self._catalogue)
        if not budget:
            missing = [word for word in ("params", "tokens") if word not in sides]
            raise UsageError(
                f"the run has no {' and no '.join(missing)}, and no budget",
                hint="give params (or a model) and tokens, or flops, gpu_hours, time or cost",
            )
        return plan_budget(planner, request_of(hardware, **budget), moe=moe, catalogue=self._catalogue)

    def _planner(
        self,
        preset: Preset,
        level: float,
        sides: Mapping[str, str | float],
        limits: tuple[str, ...],
        constraints: Mapping[str, str | float],
    ) -> Planner:
        # presets are kept, so that the id of one stays its own
        key = (id(preset), level, tuple(sides.items()), limits, tuple(constraints.items()))
        if key not in self._planners:
            words = {**sides, **constraints}
            self._planners[key] = planner_of(preset=preset, level=level, limit=limits, **words)  # type: ignore[arg-type]
        return self._planners[key]

    def _law(
        self, named: str | float | None, constraints: Mapping[str, object], run: Run
    ) -> tuple[Preset, list[Notice]]:
        """Return the law that a run names, or the one that its constraints were measured on, or the default one."""
        if named is not None:
            return self._preset(str(named), run), []
        home = home_preset(constraints)
        said = [] if home is None else [preset_switched(home, DEFAULT_PRESET)]
        return self._preset(home or DEFAULT_PRESET, run), said

    def _preset(self, name: str, run: Run) -> Preset:
        is_path = name.endswith(".toml") or "/" in name or os.sep in name
        key = str(run.folder / name) if is_path else name
        if key not in self._presets:
            self._presets[key] = self._preset_file(run, name) if is_path else self._library.load(name)
        return self._presets[key]

    def _preset_file(self, run: Run, name: str) -> Preset:
        from scaleplan.presets.reader import preset_of

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
        from scaleplan.hardware.energy import PowerGrids

        self._grids = self._grids or PowerGrids()
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


def _sides(values: Mapping[str, str | float]) -> dict[str, str | float]:
    """Return what bounds the planner: one side of the split, where a budget pays for the other."""
    sides = {word: values[word] for word in ("params", "tokens") if word in values}
    return sides if len(sides) == 1 else {}


ADDITIVE = ("flops", "gpu_hours", "cost", "energy_kwh", "carbon_kg")
"""The quantities of which several runs have a sum that means something."""

_UNKNOWN: Mapping[str, str] = {
    "loss": "choose a preset with a loss, such as besiroglu-2024",
    "excess_loss": "choose a preset with a loss that may choose sizes, such as besiroglu-2024",
    "compute_overhead": "choose a preset with a loss that may choose sizes, such as besiroglu-2024",
    "tokens_per_param": "this law counts the FLOP per token in place of parameters",
    "gpu_hours": "add gpu to the run",
    "gpus": "add gpu and gpus to the run",
    "days": "add gpu and gpus to the run",
    "cost": "add gpu to the run, and price where there is no default",
    "energy_kwh": "add gpu to the run",
    "carbon_kg": 'add gpu and grid to the run, such as grid = "FRA"',
    "unique_tokens": "add unique_tokens to the run",
    "epochs": "add unique_tokens to the run",
    "memory_gb": "add gpu and gpus to the run, and a law that counts all parameters",
}

_CAUSES: Mapping[str, tuple[str, ...]] = {
    "params": ("params", "model"),
    "tokens": ("tokens",),
    "unique_tokens": ("unique_tokens",),
    "epochs": ("tokens", "unique_tokens"),
    "gpus": ("gpus",),
    "days": ("tokens", "params", "model", "gpus"),
    "memory_gb": ("params", "model", "gpus"),
    "carbon_kg": ("tokens", "params", "model", "grid"),
}

_SIDES = ("tokens", "params", "model")

_BUDGETS = ("flops", "gpu_hours", "time", "cost", "gpus")


def measures(estimate: Estimate) -> dict[str, float | None]:
    """Return every quantity of a run's plan, in base units; None for what is not known."""
    return measures_of(estimate.plan, carbon_kg=estimate.carbon_kg, memory_gb=estimate.memory_gb)


def measures_of(
    plan: Plan, *, carbon_kg: float | None = None, memory_gb: float | None = None
) -> dict[str, float | None]:
    """Return every quantity of a plan, in base units; None for what is not known."""
    budget = plan.budget
    return {
        "params": plan.params,
        "tokens": plan.tokens,
        "unique_tokens": plan.unique_tokens,
        "flops": plan.flops,
        "tokens_per_param": plan.tokens_per_param,
        "epochs": plan.epochs,
        "loss": plan.loss,
        "excess_loss": plan.excess_loss,
        "compute_overhead": plan.compute_overhead,
        "gpus": budget.gpus,
        "gpu_hours": budget.gpu_hours,
        "days": budget.days,
        "cost": budget.cost,
        "energy_kwh": budget.energy_kwh,
        "carbon_kg": carbon_kg,
        "memory_gb": memory_gb,
    }


def measure(estimate: Estimate, quantity: str) -> float:
    """Return one quantity of a run's plan, in its base unit.

    Raises
    ------
    UsageError
        When it is not known, with what to add to the run.

    """
    value = measures(estimate)[quantity]
    if value is None:
        raise UsageError(f"{quantity} is not known for this run", hint=_UNKNOWN[quantity])
    return value


def interval_of(estimate: Estimate, quantity: str, level: float) -> tuple[float, float]:
    """Return the interval of a quantity at a level, as the plan shows it.

    Raises
    ------
    UsageError
        When the law's source gives no uncertainty, or none that reaches this quantity.

    """
    measure(estimate, quantity)
    intervals = estimate.interval(level)
    if intervals is None:
        raise UsageError(
            f"preset '{estimate.plan.preset}' has no uncertainty to take {quantity}@{level:g} from",
            hint=f"ask for the estimate: {quantity} without '@', or choose a preset with uncertainty",
        )
    known = {name: getattr(intervals, name, None) for name in QUANTITIES}
    found: tuple[float, float] | None = known[quantity]
    if found is None:
        names = ", ".join(name for name, span in known.items() if span is not None)
        raise UsageError(f"{quantity} has no interval", hint=f"quantities with one: {names}")
    return found


def sources(estimate: Estimate, quantity: str) -> tuple[Location, ...]:
    """Return the places of the values that a quantity follows from, the foremost first."""
    places = estimate.places
    causes = _CAUSES.get(quantity, _SIDES)
    found = [place for word in causes for place in places.get(word, ())]
    if not found:  # the plan of a budget: its sides were not given
        found = [place for word in _BUDGETS for place in places.get(word, ())]
    return tuple(dict.fromkeys(found))
