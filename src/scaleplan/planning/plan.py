"""The answer: one plan, or several, as frozen records whose fields are the JSON keys."""

from __future__ import annotations

from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.record import Record
from scaleplan.records import as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.hardware.budget import Budget
    from scaleplan.notices import Notice
    from scaleplan.planning.binding import Binding
    from scaleplan.planning.blueprint import Blueprint
    from scaleplan.planning.uncertainty import Interval

__all__ = ["Converted", "NearOptimal", "Plan", "Plans", "Reference", "SizeErrors"]


class NearOptimal(Record):
    """The sizes that cost at most ``compute_overhead`` more compute than the optimum, for the same loss."""

    compute_overhead: float
    params: tuple[float, float]


class SizeErrors(Record):
    """The compute that a model of half and of twice the optimal size wastes, as a fraction of what is needed."""

    half: float | None
    double: float | None


class Reference(Record):
    """The optimum that a plan away from it is measured against, at the same compute."""

    params: float
    tokens: float
    loss: float | None


class Converted(Record):
    """The size by another convention than the law's; None where that is not known, and ``method`` says why."""

    convention: str
    params: float | None
    method: str


class Plan(Record):
    """A model size and a number of training tokens for a budget, and what to expect of them.

    Units: ``params`` and ``tokens`` are counts, ``flops`` is total training compute in FLOP, losses are in
    ``loss_unit``; ``compute_overhead`` is the compute used over the least that reaches the same loss, minus 1.
    None means: not available, or not asked. ``constraints`` holds the keys that constraints add, which are keys of
    the JSON form and attributes like the others.
    """

    schema: ClassVar[str] = "scaleplan/plan/1"

    preset: str
    form: str
    flops: float
    params: float
    tokens: float
    loss: float | None
    tokens_per_param: float | None
    params_convention: str
    flops_convention: str
    loss_unit: str
    converted: Converted | None
    interval: Interval[float] | None
    near_optimal: NearOptimal | None
    size_errors: SizeErrors | None
    optimum: Reference | None
    excess_loss: float | None
    compute_overhead: float | None
    budget: Budget
    binding: tuple[Binding, ...] = ()
    constraints: Mapping[str, object] = field(default_factory=dict)
    blueprint: Blueprint | None = None
    warnings: tuple[Notice, ...] = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  which keys there are is not known here
        """Return the key of a constraint, such as ``epochs``; None where that constraint was not asked for."""
        if not name.startswith("_") and name != "constraints" and name in _constraint_keys():
            return self.constraints.get(name)
        msg = f"a plan has no attribute '{name}'"
        raise AttributeError(msg, name=name, obj=self)

    def to_dict(self) -> dict[str, object]:
        """Return the plan as the flat mapping that ``--json`` prints, the keys of constraints among the others."""
        values: dict[str, object] = {"schema": self.schema}
        for item in fields(self):
            if item.name == "constraints":
                values |= {name: as_mapping(self.constraints.get(name)) for name in _constraint_keys()}
            else:
                values[item.name] = as_mapping(getattr(self, item.name))
        return values


def _constraint_keys() -> tuple[str, ...]:
    from scaleplan.planning.constraints import keys

    return tuple(key.name for key in keys())


class Plans(Record):
    """Several plans, in the order they were asked for."""

    schema: ClassVar[str] = "scaleplan/plans/1"

    plans: tuple[Plan, ...]
    warnings: tuple[Notice, ...] = ()

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.plans)

    def __len__(self) -> int:
        return len(self.plans)

    def to_dict(self) -> dict[str, object]:
        """Return ``{"schema": …, "plans": [...], "warnings": [...]}``."""
        return {
            "schema": self.schema,
            "plans": [plan.to_dict() for plan in self.plans],
            "warnings": as_mapping(self.warnings),
        }
