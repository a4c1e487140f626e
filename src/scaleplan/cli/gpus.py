"""The commands about accelerators: list, show."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, group
from scaleplan.formats import Rendering
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.prices import Prices

__all__ = ["APPS"]

_app = group("The accelerators: list, show.")
APPS = {"gpus": _app}


@command(_app, "list", examples=["scaleplan gpus list", "scaleplan gpus list --vendor amd --json"])
def list_gpus(
    *, vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Only accelerators of this vendor.")] = None
) -> Answer:
    """List the accelerators, with dense peaks and default prices."""
    from scaleplan.errors import UnknownNameError
    from scaleplan.views.gpu import gpus_report

    gpus = Accelerators().all()
    if vendor is not None:
        vendors = sorted({gpu.vendor for gpu in gpus})
        gpus = tuple(gpu for gpu in gpus if gpu.vendor.casefold() == vendor.casefold())
        if not gpus:
            raise UnknownNameError("vendor", vendor, vendors)
    prices = Prices()
    defaults = {gpu.id: prices.default(gpu.id) for gpu in gpus}
    records = [gpu.to_dict(price=defaults[gpu.id]) for gpu in gpus]
    data: dict[str, object] = {"schema": "scaleplan/gpus/1", "gpus": records}
    return Answer(rendering=Rendering(data, records=records, report=lambda: gpus_report(gpus, defaults)))


@command(_app, "show", examples=["scaleplan gpus show h100", "scaleplan gpus show mi300x --json"])
def show(*, name: Annotated[str, typer.Argument(metavar="NAME", help="An id or an alias.")]) -> Answer:
    """Show one accelerator: peaks, memory, power, prices, sources."""
    from scaleplan.views.gpu import gpu_report

    gpu, prices = Accelerators().get(name), Prices()
    default = prices.default(gpu.id)
    return Answer(
        rendering=Rendering(
            gpu.to_dict(price=default), report=lambda: gpu_report(gpu, prices.listed(gpu.id), default)
        )
    )
