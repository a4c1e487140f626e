"""Read a measured speed of training, ``410k tokens/s``, ``1.9 s/step`` or ``420 TFLOP/s``, as FLOP/s of one device.

A rate of tokens or steps is that of one model, whose FLOP per token turn it into compute: the size of the plan where
the request fixes one, else the size at the end, ``410k tokens/s at 7B``. ``1.9 s/step of 4M tokens`` (or
``of 1024 x 4096``) has its batch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import QuantityError, UsageError, quote
from scaleplan.units import format_number, parse_count
from scaleplan.units.numeral import scan

if TYPE_CHECKING:
    from scaleplan.units.numeral import Scanned

__all__ = ["Measurement", "parse_measurement", "share_of_peak"]

_FORMS = "'410k tokens/s', '5100 tokens/s/gpu', '1.9 s/step of 4M tokens' or '420 TFLOP/s'"

_TAILS = re.compile(
    r"(?P<rate>.+?)(?:\s+of\s+(?P<batch>.+?))?(?:\s+at\s+(?P<size>[^ ]+)(?:\s+param\w*)?)?", re.DOTALL
)

_PRODUCT = re.compile(r"([1-9][0-9]{0,8}) ?[x*×] ?([1-9][0-9]{0,8})(?: tokens?)?")

_DEVICE = r"(?:gpu|device|accelerator|chip)s?"
_PER = r"\s*(?:/|\bper\b)\s*"
_SECOND = r"s(?:ec(?:ond)?)?"
_TOKENS = re.compile(
    rf"(?P<scale>(?-i:[kKMBGT]))? ?(?:(?:tokens?|toks?)(?:{_PER}{_SECOND}(?P<late>{_PER}{_DEVICE})?"
    rf"|(?P<early>{_PER}{_DEVICE}){_PER}{_SECOND})|tps(?P<tps>{_PER}{_DEVICE})?)",
    re.IGNORECASE,
)
_FLOPS = re.compile(
    rf"(?P<prefix>[MGTPE]?)(?:FLOPs?(?:{_PER}{_SECOND}|ps)(?:{_PER}{_DEVICE})?|FLOPs(?:{_PER}{_DEVICE})?"
    rf"|FLOPs?{_PER}{_DEVICE}{_PER}{_SECOND})",
    re.IGNORECASE,
)
_STEP = r"(?:steps?|its?|iters?|iterations?)"
_TIME = re.compile(rf"(?P<unit>ms|milliseconds?|s|secs?|seconds?|min|minutes?){_PER}{_STEP}", re.IGNORECASE)
_STEPS = re.compile(rf"{_STEP}{_PER}{_SECOND}", re.IGNORECASE)

_SCALES = {"k": 3, "m": 6, "b": 9, "g": 9, "t": 12}
_PREFIXES = {"": 0, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_EXACT = 1e-9  # relative; a rate at the peak is not above it


class Measurement(NamedTuple):
    """A measured speed: tokens or FLOP in a second, or the seconds of a step, as ``kind`` says.

    ``per_device`` is whether the rate is that of one device; ``batch`` the tokens of a step and ``params`` the
    size that it was measured on, None where the text does not have them.
    """

    text: str
    kind: str
    value: float
    per_device: bool
    batch: float | None
    params: float | None

    @property
    def needs_size(self) -> bool:
        """Whether it says nothing about compute without the size of the model."""
        return self.kind != "flops" and self.params is None

    def flops_per_second(
        self, *, gpus: float | None, flops_per_token: float | None, batch: float | None = None
    ) -> float:
        """Return the model FLOP/s of one device.

        Parameters
        ----------
        gpus
            The devices that it was measured on.
        flops_per_token
            Training FLOP of a token, where the text has no size.
        batch
            Tokens of a step, where the text has none.

        Raises
        ------
        UsageError
            When one of them is missing that the measurement needs.

        """
        if self.kind == "flops":
            return self.value
        if self.params is not None:
            flops_per_token = 6 * self.params
        if flops_per_token is None:
            raise UsageError(
                f"--measured {quote(self.text)} is the speed of one model, and no size is given",
                hint=f"say which size: --measured '{self.text} at 7B', or fix it with --params or --model",
            )
        if gpus is None and not self.per_device:
            raise UsageError(
                f"--measured {quote(self.text)} is the speed of all GPUs, and their number is not given",
                hint="give --gpus, or the speed of one: tokens/s/gpu",
            )
        tokens = self.value
        if self.kind == "step":
            batch = self.batch or batch
            if batch is None:
                raise UsageError(
                    f"--measured {quote(self.text)} needs the tokens of a step: batch times sequence length",
                    hint=f"add them: --measured '{self.text} of 4M tokens', or give --batch",
                )
            tokens = batch / self.value
        return tokens * flops_per_token / (1.0 if self.per_device or gpus is None else gpus)


def parse_measurement(value: object) -> Measurement:
    """Return the measurement of a text; raises QuantityError or UsageError for what is none."""
    if not isinstance(value, str):
        raise UsageError(f"measured {quote(value)} has no unit", hint=f"write {_FORMS}")
    text = " ".join(value.split())
    match = _TAILS.fullmatch(text)
    if match is None:
        raise UsageError("--measured is empty", hint=f"write {_FORMS}")
    try:
        batch = None if match["batch"] is None else _tokens(match["batch"])
        params = None if match["size"] is None else parse_count(match["size"])
        kind, amount, per_device = _rate(scan(match["rate"], example="410k tokens/s"), text)
    except QuantityError as error:
        error.hint = error.hint or f"write {_FORMS}"
        raise
    if batch is not None and kind != "step":
        raise UsageError(f"measured {quote(text)}: 'of' belongs to the time of a step", hint=f"write {_FORMS}")
    if params is not None and kind == "flops":
        raise UsageError(f"measured {quote(text)}: FLOP/s need no size", hint=f"write {match['rate']}")
    return Measurement(text, kind, amount, per_device, batch, params)


def _tokens(text: str) -> float:
    """Return the tokens of a step: ``4M tokens``, or sequences times their length, ``512 x 4096``."""
    product = _PRODUCT.fullmatch(text)
    if product is None:
        return parse_count(text, what="tokens")
    return float(product[1]) * float(product[2])


def _rate(scanned: Scanned, text: str) -> tuple[str, float, bool]:
    """Return the kind, the amount in base units, and whether it is that of one device."""
    unit = scanned.unit
    if found := _TOKENS.fullmatch(unit):
        shift = _SCALES.get((found["scale"] or "").casefold(), 0)
        return (
            "tokens",
            scanned.value(shift=shift, suffix=found["scale"]),
            bool(found["late"] or found["early"] or found["tps"]),
        )
    if found := _FLOPS.fullmatch(unit):
        return "flops", scanned.value(shift=_PREFIXES[found["prefix"].upper()]), True
    if found := _TIME.fullmatch(unit):
        name = found["unit"].casefold()
        milli, minute = name.startswith(("ms", "milli")), name.startswith("min")
        return "step", scanned.value(shift=-3 if milli else 0, factor=60.0 if minute else 1.0), False
    if _STEPS.fullmatch(unit):
        return "step", 1.0 / scanned.value(), False
    raise scanned.refuse_unit(f"{quote(text)} is not a measured speed", hint=f"write {_FORMS}")


def share_of_peak(measured: Measurement, achieved: float, peak: float, *, device: str, precision: str) -> float:
    """Return what a measurement reaches of the peak; raises UsageError for more than all of it."""
    if achieved > peak * (1 + _EXACT):
        raise UsageError(
            f"--measured {quote(measured.text)} comes to {format_number(achieved / 1e12, digits=4)} TFLOP/s on "
            f"each {device}, above its "
            f"{precision} peak of {format_number(peak / 1e12, digits=4)}",
            hint="check its unit, the number of GPUs, the size of the model and --precision",
        )
    return min(achieved / peak, 1.0)
