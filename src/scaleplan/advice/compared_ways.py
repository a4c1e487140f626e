"""The records of a comparison of ways to train a model, and to serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from scaleplan.errors import Notice

__all__ = ["ServingWay", "Way", "Ways"]


class Way(Record):
    """One way to train or tune the model: ``memory`` with these ``options`` gives the same bytes.

    Tokens, hours, money and energy are those of the whole run, as if it fitted; None where no speed, price or power
    is known. ``possible_tokens`` are what a limit in hours or money pays for.
    """

    name: str
    options: str
    fits: bool
    memory_bytes: float
    """What a device needs, as the fit counts it."""
    device_used: float
    """What the driver shows."""
    spare: float
    """Share of what can be used that stays free; below 0 it does not fit."""
    recompute: str
    micro_batch: int
    devices: int
    trained_params: int
    flops_per_token: float
    tokens: float
    tokens_per_second: float | None = None
    hours: float | None = None
    hours_interval: tuple[float, float] | None = None
    cost: float | None = None
    cost_interval: tuple[float, float] | None = None
    energy_kwh: float | None = None
    possible_tokens: float | None = None
    possible_tokens_interval: tuple[float, float] | None = None
    possible_epochs: float | None = None
    longest_context: int | None = None
    """Tokens of the longest sequence that fits with full recomputation, one at once."""
    on_host: bool = False
    """Whether states wait in host memory, so that the hours are the least that it takes."""
    answers: bool = True
    """Whether it may be the answer: it reaches all layers, and not by plain SGD, whose steps are the same for all
    weights and seldom tune a language model."""
    from_scratch: bool = False
    configured: bool = False
    """Whether it is the way of a training config."""


class ServingWay(Record):
    """The model served on the same devices, its weights stored in one way."""

    weights: str
    options: str
    fits: bool
    memory_bytes: float


class Ways(Record, Result):
    """Every usual way to train or tune a model on some GPUs: those that fit first, the fewest hours before."""

    schema: ClassVar[str] = "scaleplan/ways/1"

    model: str
    params: int
    gpu: str
    gpus: int
    memory_bytes: float
    context: int
    tokens: float
    tokens_source: str
    epochs: float | None
    data_tokens: float | None
    fits: bool
    limit_hours: float | None
    limit_cost: float | None
    ways: tuple[Way, ...]
    serving: tuple[ServingWay, ...]
    ways_out: tuple[str, ...] = ()
    """Options with which something fits where nothing does."""
    band: float | None = None
    """Real hours are within this factor either way."""
    interval_level: float | None = None
    price_per_hour: float | None = None
    price_source: str | None = None
    price_date: str | None = None
    utilisation: float | None = None
    utilisation_source: str | None = None
    no_hours: str | None = None
    """Why no hours are known."""
    unified_memory: bool = False
    warnings: tuple[Notice, ...] = ()

    @property
    def best(self) -> Way:
        """The cheapest way that fits and may be the answer; else of those that fit, else the nearest to fitting."""
        tuned = [way for way in self.ways if not way.from_scratch]
        return next((way for way in tuned if way.answers and way.fits == self.fits), tuned[0])
