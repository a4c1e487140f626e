"""The share of the peak that a run reaches: defaults by device, precision, model size and scale, and profiles.

One smooth rule (``utilisation.toml`` has its constants and their sources): the level of the kind of device, less what
a small model or many devices lose to the fixed costs of a step, times the profile: what whole projects pay for, or
what a tuned benchmark reaches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import FileError, Notice, UsageError, did_you_mean, quote
from scaleplan.files import read_data
from scaleplan.units import format_count, format_factor, format_number, format_plain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.toml_table import Table

__all__ = ["Profile", "Utilisation", "UtilisationRule", "UtilisationTable"]

_ASSUMED_PARAMS = 7e9  # the size with the most evidence

_DIGITS = 4  # a default is known to far fewer; and a plan's own size has exactly the utilisation that bought it

_SIXTEEN_BITS = ("bf16", "fp16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """A utilisation: ``mfu`` is model FLOP/s over the dense peak, ``goodput`` the share of the paid time that trains.

    Real device-hours lie within a factor of ``band`` either way; ``profile`` and ``band`` are None for a utilisation
    that was given. ``notices`` warn of thin evidence.
    """

    mfu: float
    goodput: float
    profile: str | None
    source: str
    band: float | None
    notices: tuple[Notice, ...] = ()

    @property
    def value(self) -> float:
        """The utilisation that multiplies the peak: ``mfu * goodput``."""
        return self.mfu * self.goodput


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a default stands for: its factor on the level, the share of paid time that trains, and its band."""

    name: str
    title: str
    factor: float
    goodput: float
    band: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeviceClass:
    id: str
    title: str
    level: float
    precisions: tuple[str, ...]
    thin: bool
    thin_below: float
    multi_gpu: str | None
    single_params: float


class UtilisationRule(NamedTuple):
    """How the default ``mfu`` of some devices depends on the size of the model, and on nothing else.

    ``levels`` are (least size, level), ``fixed_cost`` the parameters whose work a step's fixed costs are worth.
    """

    levels: tuple[tuple[float, float], ...]
    fixed_cost: float
    factors: tuple[float, ...]
    digits: int = _DIGITS

    def mfu(self, params: float) -> float:
        """Return the default model FLOP utilisation of training ``params``."""
        level = next(level for least, level in reversed(self.levels) if params >= least)
        found = level / (1 + math.sqrt(self.fixed_cost / params))
        for factor in self.factors:
            found *= factor
        return float(f"{found:.{self.digits}g}")


class UtilisationTable:
    """The default utilisations; ``utilisation.toml`` in the user's folder replaces the bundled one whole."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        files = read_data("utilisation.toml", folders)
        if not files:
            raise FileError("there is no utilisation.toml in the preset folders")
        top = files[-1]
        self.as_of = top.text("as_of")
        self.source = top.text("source")
        overhead = top.table("overhead")
        self._overhead = overhead.number("params", at_least=0)
        self._devices = overhead.number("devices", at_least=1)
        overhead.done()
        self._profiles: dict[str, Profile] = {}
        profiles = top.table("profile")
        for name in profiles.data:
            self._add_profile(name, profiles.table(name))
        self._default = top.text("default_profile")
        if self._default not in self._profiles:
            raise top.error("default_profile", f"expected one of {', '.join(self._profiles)}")
        moe = top.table("moe")
        self._moe = moe.number("factor", above=0, at_most=1)
        moe.done()
        speed = top.table("speed")
        self._speed = {name: speed.number(name, above=0) for name in speed.data}
        speed.done()
        self._classes: dict[str, _DeviceClass] = {}
        for table in top.tables("class"):
            found = _device_class(table)
            for precision in found.precisions:
                if precision not in (*_SIXTEEN_BITS, *self._speed):
                    raise table.error("precisions", f"{quote(precision)} has no speed in [speed]")
            if self._classes.setdefault(found.id, found) is not found:
                raise table.error("id", "expected a class that is not in the table yet")
        top.done()

    def _add_profile(self, name: str, table: Table) -> None:
        profile = Profile(
            name=name,
            title=table.text("title"),
            factor=table.number("factor", above=0),
            goodput=table.number("goodput", above=0, at_most=1),
            band=table.number("band", at_least=1),
        )
        for each in (name, *table.texts("aliases", ())):
            if self._profiles.setdefault(each, profile) is not profile:
                raise table.error("aliases", f"{quote(each)} already names a profile")
        table.done()

    def classes(self) -> tuple[str, ...]:
        """Return the ids of the kinds of device that have a default."""
        return tuple(self._classes)

    def profiles(self) -> tuple[Profile, ...]:
        """Return every profile once."""
        return tuple({each.name: each for each in self._profiles.values()}.values())

    def profile(self, name: str | None = None) -> Profile:
        """Return the profile of a name or an alias, the default one for None; raises UsageError if it is unknown."""
        wanted = self._default if name is None else name.strip().casefold()
        if wanted not in self._profiles:
            close = did_you_mean(wanted, self._profiles)
            known = dict.fromkeys(each.name for each in self._profiles.values())
            hint = f"did you mean '{close}'?" if close else f"known: {', '.join(known)}"
            raise UsageError(f"unknown profile {quote(name)}", hint=hint)
        return self._profiles[wanted]

    def default(
        self,
        accelerator: Accelerator,
        *,
        precision: str | None = None,
        params: float | None = None,
        gpus: float | None = None,
        profile: str | None = None,
        moe: bool = False,
    ) -> Utilisation:
        """Return the default utilisation of training ``params`` (active) on ``gpus`` devices.

        An unknown number of devices counts as few, and an unknown size as 7B, with a notice. Raises UsageError when
        nothing is known for this device and precision, or there is no such profile.
        """
        precision = accelerator.precision(precision)
        chosen = self.profile(profile)
        size = _ASSUMED_PARAMS if params is None else params
        alone, together, from_size = self._kinds(accelerator, precision, gpus)
        kind = together if size >= from_size else alone
        rule = self.rule(accelerator, precision=precision, gpus=gpus, profile=profile, moe=moe)
        mfu = rule.mfu(size)
        many = f" on {gpus:,.0f} GPUs" if gpus is not None and gpus > self._devices else ""
        factors = [f"{format_plain(kind.level)} for {kind.title}"]
        waste = math.sqrt(rule.fixed_cost / size)
        factors.append(f"{format_number(1 / (1 + waste))} for {format_count(size)} parameters{many}")
        if moe:
            factors.append(f"{format_plain(self._moe)} for a mixture of experts")
        if precision not in _SIXTEEN_BITS:
            share = self._share_of_peak(accelerator, precision)
            speed = format_factor(self._speed[precision])
            factors.append(f"{format_number(share)} for {precision}, {speed} the speed of 16 bits")
        if chosen.factor != 1 or chosen.goodput != 1:
            factors.append(f"{format_number(chosen.factor * chosen.goodput)} for {chosen.title}")
        notices = []
        if gpus is None and kind.multi_gpu is not None:
            message = f"the default utilisation assumes one {accelerator.id}; several reach less: give --gpus"
            notices.append(Notice(code="utilisation_gpus_assumed", message=message))
        if params is None:
            message = f"the default utilisation assumes a model of {format_count(size)}; give the size, or --mfu"
            notices.append(Notice(code="utilisation_size_assumed", message=message))
        if kind.thin or size < kind.thin_below or (kind is not alone) or accelerator.class_by_likeness:
            known = f"little is published about utilisation on {accelerator.id} at this size"
            message = f"{known}; measure it and give --mfu, or --measured '410k tokens/s' where the command has it"
            notices.append(Notice(code="utilisation_thin_evidence", message=message))
        return Utilisation(
            mfu=mfu,
            goodput=chosen.goodput,
            profile=chosen.name,
            source=f"{chosen.name}, default of {self.as_of}: {' x '.join(factors)}",
            band=chosen.band,
            notices=tuple(notices),
        )

    def rule(
        self,
        accelerator: Accelerator,
        *,
        precision: str | None = None,
        gpus: float | None = None,
        profile: str | None = None,
        moe: bool = False,
    ) -> UtilisationRule:
        """Return how the default utilisation of these devices depends on the size of the model.

        Raises UsageError as :meth:`default` does.
        """
        precision = accelerator.precision(precision)
        alone, together, from_size = self._kinds(accelerator, precision, gpus)
        levels = [(0.0, alone.level), (from_size, together.level)]
        factors = [self._moe] if moe else []
        if precision not in _SIXTEEN_BITS:
            factors.append(self._share_of_peak(accelerator, precision))
        return UtilisationRule(
            levels=tuple(level for level in levels if level[0] < math.inf),
            fixed_cost=self._overhead * max(1.0, (gpus or 1.0) / self._devices),
            factors=(*factors, self.profile(profile).factor),
        )

    def _kinds(
        self, accelerator: Accelerator, precision: str, gpus: float | None
    ) -> tuple[_DeviceClass, _DeviceClass, float]:
        """Return the class of one device, that of several, and the size from which several must be meant."""
        alone = self._find(accelerator, precision)
        together = self._classes.get(alone.multi_gpu or "", alone)
        if together is alone:
            return alone, alone, math.inf
        return alone, together, 0.0 if (gpus or 1) > 1 else alone.single_params

    def _share_of_peak(self, accelerator: Accelerator, precision: str) -> float:
        """Return the utilisation in a precision over that in 16 bits, each of its own peak."""
        return self._speed[precision] * _sixteen_bit_peak(accelerator) / accelerator.peak(precision)

    def _find(self, accelerator: Accelerator, precision: str) -> _DeviceClass:
        ident = accelerator.utilisation_class
        found = None if ident is None else self._classes.get(ident)
        lacking = precision not in _SIXTEEN_BITS and not accelerator.peaks.keys() & {*_SIXTEEN_BITS}
        if found is None or precision not in found.precisions or lacking:  # a level is a share of the 16-bit peak
            known = (
                "" if found is None else next((name for name in found.precisions if name in accelerator.peaks), "")
            )
            other = f", or --precision {known} where the command has it" if known else ""
            raise UsageError(
                f"there is no default utilisation for {accelerator.id} in {precision}",
                hint=f"give --mfu, such as --mfu 30%{other}",
            )
        return found


def _sixteen_bit_peak(accelerator: Accelerator) -> float:
    return next(accelerator.peaks[name] for name in _SIXTEEN_BITS if name in accelerator.peaks)


def _device_class(table: Table) -> _DeviceClass:
    table.text("source")
    found = _DeviceClass(
        id=table.text("id"),
        title=table.text("title"),
        level=table.number("level", above=0, at_most=1),
        precisions=table.texts("precisions"),
        thin=table.boolean("thin", default=False),
        thin_below=table.optional_number("thin_below", above=0) or 0.0,
        multi_gpu=table.text("multi_gpu") if "multi_gpu" in table else None,
        single_params=table.optional_number("single_params", above=0) or math.inf,
    )
    table.done()
    return found
