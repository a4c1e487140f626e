"""What is a budget: FLOP, accelerator-hours, a cluster for some time, or money; and how the FLOP came about.

:mod:`scaleplan.hardware.funding` turns the request into FLOP.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.record import Record

if TYPE_CHECKING:
    from scaleplan.hardware.energy import Power

__all__ = ["Budget", "BudgetRequest"]

_EXAMPLE = "give one of --flops, --gpu-hours, --gpus with --time, or --cost"


class BudgetRequest(Record):
    """A budget as asked for: exactly one of four forms, and the hardware it runs on.

    Parameters
    ----------
    flops, gpu_hours, cost_usd
        Three of the forms: total FLOP, accelerator-hours, US dollars.
    gpus, seconds
        Together the fourth: devices, and how long. With another form ``gpus`` alone adds the days it takes.
    gpu
        Accelerator id or alias; all but plain FLOP need it. With ``flops`` it adds hours, days, cost and energy.
    price
        US dollars per accelerator-hour, or the name of a listed price such as ``"spot"``; None for the default.
    mfu, goodput
        Utilisation while training, and share of the paid time that trains; None for the defaults of ``profile``.
    precision
        Precision whose peak counts; None for bf16, or fp16 where there is no bf16.
    profile
        ``benchmark``, ``typical`` or ``end-to-end``; None for typical.
    power
        Load, host overhead and PUE for the energy; None for the defaults.

    """

    flops: float | None = None
    gpu_hours: float | None = None
    gpus: float | None = None
    seconds: float | None = None
    cost_usd: float | None = None
    price: float | str | None = None
    gpu: str | None = None
    mfu: float | None = None
    precision: str | None = None
    profile: str | None = None
    goodput: float | None = None
    power: Power | None = None

    def source(self) -> str:
        """Return which form this is: ``flops``, ``gpu_hours``, ``cluster`` or ``cost``.

        Raises
        ------
        UsageError
            For no budget, more than one, one that lacks its accelerator, or a figure that cannot be.

        """
        self._check_figures()
        given = {
            "flops": (self.flops, "--flops"),
            "gpu_hours": (self.gpu_hours, "--gpu-hours"),
            "cluster": (self.seconds, "--gpus with --time" if self.gpus is not None else "--time"),
            "cost": (self.cost_usd, "--cost"),
        }
        forms = {form: option for form, (value, option) in given.items() if value is not None}
        if len(forms) > 1:
            raise UsageError(f"more than one budget: {' and '.join(forms.values())}", hint="give exactly one of them")
        if not forms:
            if self.gpus is not None:
                raise UsageError("--gpus alone is no budget", hint="say for how long with --time, such as --time 30d")
            raise UsageError("there is no budget", hint=_EXAMPLE)
        form, option = forms.popitem()
        if form == "cluster" and self.gpus is None:
            raise UsageError("--time alone is no budget", hint="say how many accelerators with --gpus")
        if self.gpu is None:
            self._require_gpu(form, option)
        return form

    def _require_gpu(self, form: str, option: str) -> None:
        if form != "flops":
            raise UsageError(
                f"{option} needs --gpu to become FLOP",
                hint="name the accelerator, such as --gpu h100-sxm; 'scaleplan gpus list' lists them",
            )
        for name in ("gpus", "price", "mfu", "goodput", "precision", "profile", "power"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name} says nothing about a budget in FLOP without an accelerator",
                    hint="add --gpu, or drop it",
                )

    def _check_figures(self) -> None:
        for name in ("flops", "gpu_hours", "gpus", "seconds", "cost_usd", "price", "mfu", "goodput"):
            value = getattr(self, name)
            if value is None or isinstance(value, str):
                continue
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is a number above 0, not {value:g}")
            if name in {"mfu", "goodput"} and value > 1:
                raise UsageError(f"{name} is a fraction of at most 1, not {value:g}", hint=f"try {value / 100:g}")
        if self.gpus is not None and self.gpus % 1:
            raise UsageError(f"a number of accelerators is whole, not {self.gpus:g}")


class Budget(Record):
    """How the FLOP of a plan came about; None where it was not asked or cannot be known.

    Units: hours of one accelerator, days on all ``gpus``, FLOP/s, ``currency`` per accelerator-hour, kWh from
    the grid. ``utilisation = mfu * goodput`` is what multiplies the peak.
    """

    source: str
    gpu: str | None = None
    gpus: int | None = None
    gpu_hours: float | None = None
    days: float | None = None
    utilisation: float | None = None
    peak_flops_per_s: float | None = None
    precision: str | None = None
    cost: float | None = None
    currency: str | None = None
    mfu: float | None = None
    goodput: float | None = None
    profile: str | None = None
    price_per_hour: float | None = None
    energy_kwh: float | None = None
    utilisation_source: str | None = None

    def scaled(self, share: float) -> Budget:
        """Return what a share of the compute takes: hours, days, cost and energy scale, rates stay."""
        scaling = ("gpu_hours", "days", "cost", "energy_kwh")
        values = {name: getattr(self, name) for name in scaling}
        return replace(self, **{name: share * value for name, value in values.items() if value is not None})
