"""Scaling laws, and the compute convention by which each counts the cost of a run.

A law is a frozen record of coefficients in *raw* units (parameters, tokens and FLOP, not millions or PF-days):

* a :class:`LossSurface` has the loss of any model size on any number of tokens, ``loss(params, tokens)``;
* an :class:`Allocation` has the compute-optimal size and tokens for a budget, measured directly;
* a :class:`Curve` has one quantity as a function of named others (an error of a loss).

``relations`` declares what can be evaluated, and of which inputs. The mathematics is written with plain operators, so
the same lines serve a Python float and a NumPy array.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from scaleplan.arrays import Number
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.toml_table import Table

__all__ = [
    "Allocation",
    "Cost",
    "Curve",
    "Law",
    "LossSurface",
    "Number",
    "Relation",
    "Units",
    "VariableSurface",
    "coefficient",
]


_CONVENTION = re.compile(
    r"(?P<k>\d+(?:\.\d+)?(?:e[+-]?\d+)?)?(?:(?P<size>N)(?:\^(?P<p>\d+(?:\.\d+)?))?|(?P<rate>M))D"
    r"(?:\s*\+\s*(?P<c>\d+(?:\.\d+)?(?:e[+-]?\d+)?)D)?"
)


class Cost(Record):
    """Training compute ``C = (per_param_token*N^exponent + routing*N^(2/3) + per_token)*D + per_param*N``.

    It is linear in the tokens, so that the tokens a budget buys follow in closed form for each model size.
    ``per_param_token`` is the k of C = kND, 6 by default; ``per_token`` is compute that does not depend on the
    size (Hunyuan-Large's 2.3e8 D, attention at a fixed shape); ``per_param`` is compute that does not depend on
    the training tokens and is not training (2 FLOP per inference token). ``routing`` is compute per token that
    grows as N^(2/3): the routers of a mixture of experts, whose size is layers*width. ``exponent`` is 1 but for
    a count of its own in which the share of the parameters that compute changes with the size.
    """

    per_param_token: float = 6.0
    per_token: float = 0.0
    per_param: float = 0.0
    routing: float = 0.0
    exponent: float = 1.0

    @classmethod
    def from_convention(cls, text: str) -> Cost | None:
        """Read ``6ND``, ``MD`` (M is FLOP per token), ``9.59ND + 2.3e8D`` or ``0.04N^1.2D``; None for others."""
        match = _CONVENTION.fullmatch(text.strip())
        if match is None or (match["size"] == "N") == (match["k"] is None):
            return None
        return cls(
            per_param_token=float(match["k"] or 1.0),
            per_token=float(match["c"] or 0.0),
            exponent=float(match["p"] or 1.0),
        )

    @property
    def is_product(self) -> bool:
        """Whether the cost is k*N*D and nothing else, as closed-form optima require."""
        return self.per_token == 0 and self.per_param == 0 and self.routing == 0 and self.exponent == 1

    @property
    def training(self) -> Cost:
        """The part that is training."""
        return self if self.per_param == 0 else replace(self, per_param=0.0)

    def flops(self, params: Number, tokens: Number) -> Number:
        """Return the compute of training ``params`` on ``tokens``."""
        return self._each(params) * tokens + self.per_param * params

    def tokens(self, params: Number, flops: Number | float) -> Number:
        """Return the tokens that ``flops`` buy for a model of ``params``; not positive when they buy none."""
        return (flops - self.per_param * params) / self._each(params)

    def params(self, tokens: Number | float, flops: Number) -> Number:
        """Return the size that ``flops`` can train on ``tokens``; not positive when they can train none."""
        if self.exponent != 1:
            bought = (flops - self.per_token * tokens) / (self.per_param_token * tokens)
            size = (0.5 * (abs(bought) + bought)) ** (1 / self.exponent)
            return self._shrunk(size, flops, lambda _: tokens) if self.routing or self.per_param else size
        size = (flops - self.per_token * tokens) / (self.per_param_token * tokens + self.per_param)
        return size if self.routing == 0 else self._shrunk(size, flops, lambda _: tokens)

    def params_at_ratio(self, ratio: Number | float, flops: Number) -> Number:
        """Return the size that ``flops`` can train on ``ratio`` tokens per parameter."""
        if self.exponent != 1:
            size = (flops / (self.per_param_token * ratio)) ** (1 / (1 + self.exponent))
            simple = self.routing == self.per_token == self.per_param == 0
            return size if simple else self._shrunk(size, flops, lambda params: ratio * params)
        linear = self.per_token * ratio + self.per_param
        root = (linear * linear + 4 * self.per_param_token * ratio * flops) ** 0.5
        size = 2 * flops / (linear + root)
        return size if self.routing == 0 else self._shrunk(size, flops, lambda params: ratio * params)

    def _each(self, params: Number) -> Number:
        """Return the compute of one token."""
        size = params if self.exponent == 1 else params**self.exponent
        each = self.per_param_token * size + self.per_token
        return each if self.routing == 0 else each + self.routing * params ** (2 / 3)

    def _shrunk(self, size: Number, flops: Number | float, tokens: Callable[[Number], Number | float]) -> Number:
        """Return the size that spends ``flops``, by bisection below ``size``, which would do so without routing."""
        positive = 0.5 * (abs(size) + size)
        low, high = 0.0 * positive, positive
        for _ in range(120):
            middle = 0.5 * (low + high)
            fits = self.flops(middle, tokens(middle)) <= flops  # type: ignore[type-var]
            low, high = low + fits * (middle - low), middle + fits * (high - middle)
        return low + 0.5 * (size - abs(size))


def coefficient(
    meaning: str,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    default: float | None = None,
    optional: bool = False,
    raw: Callable[[Any, Units], float] | None = None,
) -> Any:  # noqa: ANN401  a dataclass field specifier is typed by the field it stands for
    """Declare a scalar coefficient of a form with its meaning and its domain; None when optional and absent.

    ``raw`` gives the coefficient for quantities in raw units from the law and the units it is stated in: a law in N/u
    has A*u^alpha for raw N. Without it the coefficient does not depend on units.
    """
    metadata = {"meaning": meaning, "above": above, "at_least": at_least, "at_most": at_most, "raw": raw}
    if default is None and not optional:
        return field(metadata=metadata)
    return field(default=default, metadata=metadata)


class Units(Record):
    """The units in which a source states its quantities, each as a multiple of the raw unit.

    A law published for N in billions has ``params=1e9``; one in PF-days has ``flops=8.64e19``.
    """

    params: float = 1.0
    tokens: float = 1.0
    flops: float = 1.0

    def of(self, name: str) -> float:
        """Return the unit of a quantity by name; 1 for one that is never rescaled, such as a loss."""
        return {"params": self.params, "tokens": self.tokens, "flops": self.flops}.get(name, 1.0)


class Relation(NamedTuple):
    """A quantity that a law gives as a function of named inputs, in raw units.

    ``value`` takes the ``inputs`` as keywords. Those with a default may be left out. ``kinds`` names how the text of
    an input is read where its name is not enough: ``share`` (0 to 1) or ``rates`` (a sequence).
    """

    quantity: str
    inputs: tuple[str, ...]
    value: Callable[..., float | None]
    defaults: Mapping[str, float] = MappingProxyType({})
    kinds: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Law(ABC):
    """The coefficients of one functional form."""

    form: ClassVar[str]
    formula: ClassVar[str]
    regimes: ClassVar[tuple[str, ...]] = ()
    """The batch regimes that the law distinguishes; none for most laws."""

    @classmethod
    def from_table(cls, table: Table) -> Self:
        """Read the ``[coefficients]`` of a preset; raises FileError if one is missing or out of range."""
        values = {}
        for item in fields(cls):
            meta = item.metadata
            if "meaning" not in meta:
                continue
            if item.default is None:
                values[item.name] = table.optional_number(item.name, above=meta["above"], at_least=meta["at_least"])
                continue
            default = None if item.default is MISSING else item.default
            domain = {bound: meta[bound] for bound in ("above", "at_least", "at_most")}
            values[item.name] = table.number(item.name, default, **domain)
        table.done()
        return cls(**values)

    @abstractmethod
    def relations(self) -> tuple[Relation, ...]:
        """Return what can be evaluated; of several quantities of the same inputs the first is the default."""

    def coefficients(self) -> dict[str, float]:
        """Return the coefficients by name, without the optional ones that the source does not give."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if "meaning" in item.metadata}
        return {name: value for name, value in values.items() if value is not None}

    def with_coefficients(self, values: Mapping[str, float]) -> Self:
        """Return the law with some coefficients changed."""
        return replace(self, **values)

    def with_regime(self, regime: str) -> Self:
        """Return the law for one of its batch regimes."""
        msg = f"form {self.form} has no batch regime {regime}"
        raise NotImplementedError(msg)

    def in_raw_units(self, units: Units | None) -> Self:
        """Return the same law for quantities in raw units, given the units of its coefficients; None means raw ones.

        Raises NotImplementedError when the form declares no coefficient that depends on units.
        """
        if units is None or units == Units():
            return self
        rules = {item.name: raw for item in fields(self) if (raw := item.metadata.get("raw"))}
        if not rules:
            msg = f"form {self.form} does not support units other than raw"
            raise NotImplementedError(msg)
        known = self.coefficients()
        return replace(self, **{name: raw(self, units) for name, raw in rules.items() if name in known})


class LossSurface(Law):
    """A law that gives the loss of every model size on every number of tokens.

    The optional closed forms return None where a form has none; the solver then does the work.
    """

    __slots__ = ()

    def relations(self) -> tuple[Relation, ...]:
        """Return the loss."""
        return (Relation("loss", ("params", "tokens"), self.loss),)

    @abstractmethod
    def loss(self, params: Number, tokens: Number) -> Number:
        """Return the expected loss, in the law's own unit."""

    @property
    def floor(self) -> float:
        """The loss that no size and no amount of data reaches; 0 when the form has no irreducible term."""
        return 0.0

    def reducible(self, params: Number, tokens: Number) -> Number:
        """Return the loss above the floor; forms override it where the subtraction would cancel digits."""
        return self.loss(params, tokens) - self.floor

    def aim(self, params: Number, tokens: Number) -> Number:
        """Return what the best split makes least: the loss above the floor, but for a form with an aim of its own."""
        return self.reducible(params, tokens)

    @property
    def likely_ratios(self) -> tuple[float, float]:
        """The tokens per parameter between which a search for an optimum begins."""
        return 0.0, float("inf")

    def best_split(self, product: Number) -> tuple[Number, Number] | None:
        """Return (params, tokens) that minimise the aim at ``params * tokens = product``."""
        return None

    def least_product(self, loss: Number) -> Number | None:
        """Return the least ``params * tokens`` that reaches ``loss`` (above the floor)."""
        return None

    def size_overhead(self, factor: float) -> float | None:
        """Return the compute that a size ``factor`` times the optimum wastes, where that holds at every budget."""
        return None

    def expansion_path(self) -> tuple[float, float] | None:
        """Return (c, p) where the size for which D tokens are optimal is c*D^p, for a budget spent as k*N*D."""
        return None


class VariableSurface(LossSurface):
    """A law of mixtures of experts with one more quantity, which is chosen and not fitted; sizes are active ones."""

    __slots__ = ()

    variable: ClassVar[str]
    """The name of the quantity, which is an attribute of the law."""
    choices: ClassVar[tuple[float, ...]]
    """The values it may be chosen among."""

    def choose(self, value: float) -> Self:
        """Return the law for another value of the quantity."""
        return replace(self, **{self.variable: value})

    def relations(self) -> tuple[Relation, ...]:
        """Return the loss and the parameters of all experts, each also at another value of the quantity."""

        def loss(*, params: float, tokens: float, **chosen: float) -> float:
            return self.choose(chosen[self.variable]).loss(params, tokens)

        def total(*, params: float, **chosen: float) -> float:
            return self.choose(chosen[self.variable]).total_params(params)

        default = {self.variable: float(getattr(self, self.variable))}
        return (
            Relation("loss", ("params", "tokens", self.variable), loss, default),
            Relation("total_params", ("params", self.variable), total, default),
        )

    @abstractmethod
    def total_params(self, params: float) -> float:
        """Return the parameters of all experts together, for ``params`` active ones."""

    @property
    def routing_flops(self) -> float:
        """FLOP per token of the routers of a model of one active parameter; they grow with N^(2/3)."""
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(Law):
    """A law that gives the compute-optimal split of a budget directly.

    A source measures the size or the tokens; ``cost`` is its compute convention, by which the other side follows.
    """

    cost: Cost = field(default_factory=Cost)

    def relations(self) -> tuple[Relation, ...]:
        """Return the optimal size and tokens of a budget, and their loss where the law has one."""
        split = (
            Relation("params", ("flops",), lambda flops: self.split(flops)[0]),
            Relation("tokens", ("flops",), lambda flops: self.split(flops)[1]),
        )
        if self.frontier_loss(1.0) is None:
            return split
        return (*split, Relation("loss", ("flops",), self.frontier_loss))

    def with_cost(self, cost: Cost) -> Self:
        """Return the law with another compute convention."""
        return replace(self, cost=cost)

    @abstractmethod
    def split(self, flops: Number) -> tuple[Number, Number]:
        """Return the compute-optimal (params, tokens) for a training budget, by the law's own conventions."""

    def frontier_loss(self, flops: Number) -> Number | None:
        """Return the loss at the optimum, or None for a law that measured the split only."""
        return None


class Curve(Law):
    """A law that gives one quantity as a function of named others."""

    __slots__ = ()

    quantity: ClassVar[str] = "loss"
    """What the curve gives; a form whose files name it has a field ``y`` instead."""
    kinds: ClassVar[Mapping[str, str]] = {}
    """How inputs are read where that does not follow from their names; see :class:`Relation`."""
    defaults: ClassVar[Mapping[str, float]] = {}
    """Inputs that may be left out."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The names of the quantities that the curve needs."""

    @abstractmethod
    def value(self, **inputs: Number) -> Number:
        """Return the quantity for the inputs the curve declares, in raw units."""

    def relations(self) -> tuple[Relation, ...]:
        """Return the quantity of the curve."""
        names = (*self.inputs, *self.defaults)
        return (Relation(getattr(self, "y", self.quantity), names, self.value, self.defaults, self.kinds),)
