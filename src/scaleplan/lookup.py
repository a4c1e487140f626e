"""The Python API of what there is: laws, GPUs and published models, listed and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError
from scaleplan.hardware.accelerators import AcceleratorList
from scaleplan.hardware.energy import PowerDraw
from scaleplan.laws import LAWS
from scaleplan.models.public_models import PublicModelList, PublicModels
from scaleplan.planning.context import Context
from scaleplan.presets.preset import PresetList

if TYPE_CHECKING:
    from scaleplan.hardware.accelerators import Accelerator, PricedAccelerator
    from scaleplan.models.public_models import PublicModel
    from scaleplan.presets.preset import PresetSummary

__all__ = ["list_gpus", "list_models", "list_presets", "show_gpu", "show_model", "show_preset"]


def list_presets(*, form: str | None = None) -> PresetList:
    """Return the scaling laws; those of one functional ``form``, such as ``"additive"``, where it is given."""
    if form is not None and form not in LAWS:
        raise UnknownNameError("form", form, LAWS)
    presets = (preset.summary() for preset in Context().library.all() if form in (None, preset.form))
    return PresetList(presets=tuple(presets))


def show_preset(name: str) -> PresetSummary:
    """Return one scaling law by its id, an alias or its ``.toml`` file: coefficients, conventions, range, source."""
    return Context().preset(name).summary()


def list_gpus(*, vendor: str | None = None) -> AcceleratorList:
    """Return the GPUs, with dense peaks and default prices; those of one ``vendor`` where it is given."""
    context = Context()
    gpus = context.accelerators.of_vendor(vendor)
    return AcceleratorList(gpus=tuple(_priced(gpu, context) for gpu in gpus))


def show_gpu(name: str) -> PricedAccelerator:
    """Return one GPU by its id or an alias: peaks, memory, power, prices, sources."""
    context = Context()
    gpu = context.accelerators.get(name)
    return _priced(gpu, context)


def _priced(gpu: Accelerator, context: Context) -> PricedAccelerator:
    """Return a GPU with the price that a question without one has."""
    power = PowerDraw().of(gpu)
    return gpu.priced(context.prices.usual(gpu.id, None if power is None else power.kw))


def list_models(*, family: str | None = None) -> PublicModelList:
    """Return the published models that are known by name; those of one ``model_type`` where it is given."""
    models = PublicModels().all()
    if family is not None:
        families = sorted({model.family for model in models})
        models = tuple(model for model in models if model.family == family.casefold())
        if not models:
            raise UnknownNameError("family", family, families)
    return PublicModelList.of(models)


def show_model(name: str) -> PublicModel:
    """Return one published model by its id or an alias: its config, its published size, sources."""
    return PublicModels().get(name)
