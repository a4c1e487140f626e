"""Plan a run of a project, and measure each quantity that a policy can limit."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scaleplan.documents.document import DataDocument, leaves, located
from scaleplan.errors import FileError, QuantityError, ScaleplanError, UsageError, escape_control, quote
from scaleplan.hardware.accelerators import FILE_ENDING
from scaleplan.hardware.budget import BAND_LEVEL
from scaleplan.hardware.chances import limit_chance
from scaleplan.models.model import read_model
from scaleplan.models.public_models import LISTING, PublicModels
from scaleplan.planning.context import Context
from scaleplan.planning.on_hardware import plan_budget, plan_run
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import SWEPT, Request
from scaleplan.planning.size_memory import memory_per_device
from scaleplan.presets.library import preset_of
from scaleplan.project.configs import Configs, is_readable, where
from scaleplan.project.run_config import model_of, training_config, values_of
from scaleplan.toml_table import Table
from scaleplan.trainers.training_config import NOT_GIVEN, RunGiven
from scaleplan.units import USD, ExchangeRate, format_plain, parse
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from scaleplan.documents.key_path import Document, Location
    from scaleplan.hardware.budget import Budget
    from scaleplan.models.model import Model
    from scaleplan.models.public_models import PublicModel
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.uncertainty import Interval
    from scaleplan.presets.preset import Preset
    from scaleplan.project.configs import Given
    from scaleplan.project.project import Run
    from scaleplan.project.source import Tree
    from scaleplan.trainers.training_config import TrainingConfig
    from scaleplan.units.limits import Limit

__all__ = [
    "ADDITIVE",
    "Estimate",
    "Estimator",
    "chance_of_keeping",
    "hardware_intervals",
    "interval_of",
    "measure",
    "measures",
    "measures_of",
    "sources",
    "usd_of",
]

_LEVEL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The plan of a run, its carbon and memory, and where the values stand that lead to it."""

    plan: Plan
    carbon_kg: float | None
    memory_gb: float | None
    places: Mapping[str, tuple[Location, ...]]
    given: Mapping[str, Given]
    _estimator: Estimator
    _run: Run

    def interval(self, level: float) -> Interval[float] | None:
        """Return the intervals of the plan at a level; None when the law's source gives no uncertainty."""
        known = self.plan.interval
        if known is None or known.level == level:
            return known
        return self._estimator.plan(self._run, self.given, level=level).interval


class Estimator:
    """Plans the runs of projects that share a tree of files; presets, configs and price lists are read once each."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._configs = Configs(tree)
        self._context = Context()
        self._presets: dict[Path, Preset] = {}
        self._models: dict[tuple[Path, RunGiven], Model] = {}

    def estimate(self, run: Run) -> Estimate:
        """Return the plan of a run, with what else its values give.

        Raises ScaleplanError when the run, or a file that it points into, cannot be understood, or no model satisfies
        it.
        """
        given = run.read(self._configs)
        try:
            given = {**self._configured(run, given), **given}
            return self._estimate(run, given)
        except ScaleplanError as error:
            raise self._at_its_place(error, given) from None

    def _configured(self, run: Run, given: Mapping[str, Given]) -> dict[str, Given]:
        """Return what the run takes from the training config that it names."""
        if "config" not in given:
            return {}
        text = str(given["config"].value)
        config = self._training_config(text, run, given)
        return values_of(config, text, given=given.keys())

    def _training_config(self, text: str, run: Run, given: Mapping[str, Given]) -> TrainingConfig:
        document = self._configs.document(run.folder / text, folder=run.folder, what="training config")
        with _unquoted(document):
            return training_config(document, _beside_config(given), self._find(run.folder / text, run))

    def _find(self, path: Path, run: Run) -> Callable[[str], Document | None]:
        """Return the way from a file to another that it names, as far as the project has it."""

        def find(name: str) -> Document | None:
            try:
                return self._configs.document(path.parent / name, folder=run.folder, what="config")
            except FileError:
                return None

        return find

    def plan(self, run: Run, given: Mapping[str, Given], *, level: float) -> Plan:
        """Return the plan of a run and its values, with intervals at ``level``."""
        options: dict[str, Any] = {name: item.value for name, item in given.items() if name not in OWN_KEYS}
        if str(options.get("gpu", "")).casefold().endswith(FILE_ENDING):
            raise UsageError(
                f"gpu {quote(options['gpu'])} is a file, and a run names a GPU by its id",
                hint="put the file into the preset folder; 'scaleplan gpus path' prints where that is",
            )
        if "preset" in options:
            options["preset"] = self._preset(str(options["preset"]), run)
        if "model" in options:
            options["model"] = self._model(str(options["model"]), run, given)
        return self._plan(Request.of({**options, "level": level, "limit": run.limits}, self._context))

    def _estimate(self, run: Run, given: Mapping[str, Given]) -> Estimate:
        plan = self.plan(run, given, level=_LEVEL)
        model = self._model(str(given["model"].value), run, given) if "model" in given else None
        region: Any = given["region"].value if "region" in given else None
        kwh = plan.budget.energy_kwh
        grid = None if region is None else self._context.grids.get(region)
        return Estimate(
            plan=plan,
            carbon_kg=None if grid is None or kwh is None else grid.carbon_kg(kwh),
            memory_gb=memory_per_device(plan, model, self._context),
            places={name: item.places for name, item in given.items()},
            given=given,
            _estimator=self,
            _run=run,
        )

    def _at_its_place(self, error: ScaleplanError, given: Mapping[str, Given]) -> ScaleplanError:
        """Return an error about a value of a run with the place where that stands.

        Of a name or path in another file the key alone is shown: what a message quotes ends in annotations, and more
        people see these than the files that a run can read.
        """
        for name, item in given.items():
            if item.foreign and _quotes(error, item.value):
                place = item.places[0]
                message = f"{where(place)}: no {name} can be read from what stands here"
                return FileError(message, file=place.file, line=place.line)
        if isinstance(error, FileError) and error.file is not None:
            return error
        wrong = next((item for name, item in given.items() if self._is_wrong(name, item, error)), None)
        if wrong is None:
            return error
        place = wrong.places[0]
        at = where(place) if wrong.foreign else place.key  # the verdict has the file of the run, and the line
        return FileError(f"{at}: {error.message}", hint=error.hint, file=place.file, line=place.line)

    def _is_wrong(self, name: str, item: Given, error: ScaleplanError) -> bool:
        """Return whether an error is about a value: it quotes the value, or the value cannot be read by itself."""
        if isinstance(item.value, str) and quote(item.value) in error.message:
            return True
        try:
            if name not in ("model", "preset", *OWN_KEYS):
                Request.of({name: item.value}, self._context)
        except QuantityError:
            return True
        except ScaleplanError:
            return False
        return False

    def inputs(self, run: Run, given: Mapping[str, Given]) -> dict[Location, str | float | None]:
        """Return what the run is made of, by place: its own values, and what stands in its model and its law."""
        found: dict[Location, str | float | None] = {}
        for item in given.values():
            found.update(zip(item.places, item.texts, strict=True))
        for name in ("model", "preset"):
            text = str(given[name].value) if name in given else ""
            path = self._model_path(text, run) if name == "model" else run.folder / text
            if text and (_is_path(text) if name == "preset" else self._published(text, run) is None):
                document = self._configs.document(path, folder=run.folder, what=name)
                found.update(leaves(document))
        if "config" in given:
            found.update(self._training_config(str(given["config"].value), run, given).read)
        return found

    def _plan(self, request: Request) -> Plan:
        """Return the plan of a size on its tokens, or of a budget and one side at most."""
        size, tokens = request.params or request.model, request.tokens
        forms = [name for name in SWEPT if getattr(request, name) is not None]
        if size is not None and tokens is not None:
            if forms:
                raise UsageError(
                    f"the run has params, tokens and a budget ({', '.join(forms)})", hint="leave one of the three out"
                )
            if request.limit:
                raise UsageError("limit bounds the plan of a budget", hint="limits to judge by belong in a policy")
            return plan_run(request, self._context)
        if not forms:
            missing = [name for name, value in (("params", size), ("tokens", tokens)) if value is None]
            raise UsageError(
                f"the run has no {' and no '.join(missing)}, and no budget",
                hint="give params (or a model) and tokens, or flops, gpu_hours, time or cost",
            )
        return plan_budget(Planner.of(request, self._context), request)

    def _preset(self, name: str, run: Run) -> Preset:
        """Return the law of a name, or of a file relative to the project's folder, as the tree has it."""
        if not _is_path(name):
            return self._context.preset(name)
        path = run.folder / name
        if path not in self._presets:
            document = self._configs.document(path, folder=run.folder, what="preset")
            if not isinstance(document, DataDocument) or not isinstance(document.data, dict):
                raise FileError(f"{document.name}: a preset is a TOML file", file=document.name)
            with _unquoted(document):
                self._presets[path] = preset_of(Table(document.data, source=document.name))
        return self._presets[path]

    def _model(self, name: str, run: Run, given: Mapping[str, Given]) -> Model:
        """Return the model of a config beside the project's file, as the tree has it, or of a published one."""
        path = self._model_path(name, run)
        beside = _beside_config(given)
        key = path, beside
        published = self._published(name, run)
        if key not in self._models and published is not None:
            self._models[key] = read_model(published)
        if key not in self._models:
            try:
                document = self._configs.document(path, folder=run.folder, what="model config")
            except FileError as error:
                close = None if self.tree.has(run.folder / name) else self._public_models.close_to(name)
                if close is not None:
                    error.hint = f"did you mean {quote(close)}? '{LISTING}' lists the models that are known by name"
                raise
            with _unquoted(document):
                self._models[key] = model_of(document, beside, self._find(path, run))
        return self._models[key]

    def _published(self, name: str, run: Run) -> PublicModel | None:
        """Return the published model that a run names, where the tree has no file or folder of that name."""
        found = self._public_models.find(name)
        return None if found is None or self.tree.has(run.folder / name) else found

    @cached_property
    def _public_models(self) -> PublicModels:
        return PublicModels()

    def _model_path(self, name: str, run: Run) -> Path:
        path = run.folder / name
        return path if path.suffix else path / "config.json"


def _beside_config(given: Mapping[str, Given]) -> RunGiven:
    """Return what a run gives beside the training config that it names."""
    kinds = {"vocab": "params", "gpus": "integer", "context": "tokens"}
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if name in given and not given[name].taken:
            found[{"context": "sequence"}.get(name, name)] = int(parse(kind, given[name].value))
    return NOT_GIVEN._replace(**found)


def _quotes(error: ScaleplanError, value: str | float) -> bool:
    """Return whether an error repeats a text of another file that is no amount, or a part of it."""
    if not isinstance(value, str) or is_readable(value):
        return False
    shown = escape_control(value).casefold()  # names are looked up in lower case, and quoted so
    parts = (part.strip("…") for part in _QUOTED.findall(f"{error.message} {error.hint}".casefold()))
    return any(part and part in shown for part in parts)  # messages shorten what they quote, at either end


OWN_KEYS = ("region", "config", "vocab", "context")
"""The keys of a run that are no options of its plan."""

_QUOTED = re.compile(r"'([^']+)'")


def _is_path(name: str) -> bool:
    """Return whether the name of a law is that of a file."""
    return name.endswith(".toml") or "/" in name or os.sep in name


_FOUND = re.compile(r", found '.*'$")


@contextmanager
def _unquoted(document: Document) -> Iterator[None]:
    """Give errors about a file of a run the line of their key, and leave out what stands there."""
    try:
        yield
    except FileError as error:
        message = _FOUND.sub("", error.message)
        for value in leaves(document).values():
            if isinstance(value, str) and value:
                message = message.replace(f" {quote(value)}", "")
        bare = FileError(message, hint=error.hint, file=document.name, line=error.line)
        lines = document.lines if isinstance(document, DataDocument) else {}
        raise located(bare, name=document.name, lines=lines) from None


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
    "carbon_kg": 'add gpu and region to the run, such as region = "FRA"',
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
    "carbon_kg": ("tokens", "params", "model", "region"),
}

_SIDES = ("tokens", "params", "model")

_BUDGETS = ("flops", "gpu_hours", "time", "cost", "gpus")


def measures(estimate: Estimate) -> dict[str, float | None]:
    """Return every quantity of a run's plan, in base units; None where unknown."""
    return measures_of(estimate.plan, estimate.carbon_kg, estimate.memory_gb)


def measures_of(
    plan: Plan, carbon_kg: float | None = None, memory_gb: float | None = None
) -> dict[str, float | None]:
    """Return every quantity of a plan, in base units, money in US dollars; None where unknown."""
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
        "cost": budget.cost_usd,
        "energy_kwh": budget.energy_kwh,
        "carbon_kg": carbon_kg,
        "memory_gb": memory_gb,
    }


def measure(estimate: Estimate, quantity: str) -> float:
    """Return one quantity of a run's plan, in its base unit.

    Raises UsageError when it is not known, with what to add to the run.
    """
    value = measures(estimate)[quantity]
    if value is None:
        raise UsageError(f"{quantity} is not known for this run", hint=_UNKNOWN[quantity])
    return value


def interval_of(estimate: Estimate, quantity: str, level: float) -> tuple[float, float]:
    """Return the interval of a quantity at a level, as the plan shows it.

    Raises UsageError when the law's source gives no uncertainty, or none that reaches this quantity.
    """
    measure(estimate, quantity)
    if quantity in _HARDWARE:
        return _hardware_interval(estimate, quantity, level)
    intervals = estimate.interval(level)
    if intervals is None:
        raise UsageError(
            f"preset '{estimate.plan.preset}' has no uncertainty to take {quantity}@{format_plain(level)} from",
            hint=f"ask for the estimate: {quantity} without '@', or choose a preset with uncertainty",
        )
    found: tuple[float, float] | None = getattr(intervals, quantity, None)
    if found is None:
        names = ", ".join(name for name in QUANTITIES if getattr(intervals, name, None) is not None)
        raise UsageError(f"{quantity} has no interval", hint=f"quantities with one: {names}")
    return found


_HARDWARE = ("gpu_hours", "days", "cost", "energy_kwh", "carbon_kg")
"""The quantities whose interval is that of the utilisation."""


def _hardware_interval(estimate: Estimate, quantity: str, level: float) -> tuple[float, float]:
    budget = estimate.plan.budget
    found = budget.interval_at("energy_kwh" if quantity == "carbon_kg" else quantity, level)
    if found is None:
        raise UsageError(
            f"{quantity} has no interval: the utilisation of this run is {budget.utilisation_source}",
            hint=f"ask for the estimate: {quantity} without '@'",
        )
    if quantity == "cost":
        usd = budget.exchange_rate or 1.0
        return found[0] * usd, found[1] * usd
    if quantity != "carbon_kg":
        return found
    share = measure(estimate, quantity) / (budget.energy_kwh or 1.0)
    return found[0] * share, found[1] * share


def hardware_intervals(estimate: Estimate) -> dict[str, tuple[float, float]]:
    """Return the ranges of hours, days, money, energy and carbon of a run, where they have one."""
    known = measures(estimate)
    if estimate.plan.budget.band is None:
        return {}
    return {name: _hardware_interval(estimate, name, BAND_LEVEL) for name in _HARDWARE if known.get(name) is not None}


def chance_of_keeping(estimate: Estimate, limit: Limit) -> float | None:
    """Return the probability that the hours of a run keep a limit, by the band of its default utilisation.

    None for other quantities, an equality, and a utilisation that was given or measured.
    """
    value = measures(estimate).get(limit.quantity)
    if limit.quantity not in _HARDWARE:
        return None
    if value is not None and limit.money:
        value /= usd_of(limit, estimate.plan.budget)
    return limit_chance(estimate.plan.budget, value, [limit])


def usd_of(limit: Limit, budget: Budget) -> float:
    """Return what the currency of a limit on money is worth in US dollars, by the exchange rate of a run.

    Raises QuantityError for a currency other than that of the run and US dollars.
    """
    if budget.exchange_rate is None or budget.currency is None:
        limit.counted_in(None)
        return 1.0
    if limit.currency in (None, USD):  # without a currency it is in dollars, as the verdict shows it
        return 1.0
    limit.counted_in(ExchangeRate(budget.currency, budget.exchange_rate))
    return budget.exchange_rate


def sources(estimate: Estimate, quantity: str) -> tuple[Location, ...]:
    """Return the places of the values that a quantity follows from, the foremost first."""
    places = estimate.places
    causes = _CAUSES.get(quantity, _SIDES)
    found = [place for name in causes for place in places.get(name, ())]
    if not found:  # the plan of a budget: its sides were not given
        found = [place for name in _BUDGETS for place in places.get(name, ())]
    return tuple(dict.fromkeys(found))
