"""From a start near the optimum to the optimum of the robust objective of an additive law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.newton import minimise
from scaleplan.fitting.vertex import refine

if TYPE_CHECKING:
    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.surface import Surface

    Array = NDArray[float64]

__all__ = ["neighbours", "pass_through", "polish"]


def polish(surface: Surface, start: Array, *, stages: int | None = None) -> tuple[Array, NDArray[bool_]]:
    """Descend from each start, through all stages of delta or the last few."""
    spread = 2.0 * float(np.median(np.abs(surface.residuals(start[:1]))))
    lower, upper = surface.coordinates.bounds(surface.loss)
    deltas = surface.objective.continuation(spread)
    minimum = minimise(
        surface,
        surface.coordinates.free(start),
        lower=lower,
        upper=upper,
        deltas=deltas if stages is None else deltas[-stages:],
        zero=len(surface.loss) * 1e-31,
    )
    return surface.coordinates.full(minimum.theta), minimum.converged


def neighbours(surface: Surface, theta: Array) -> Array:
    """Return starts one and two standard errors away along the two least determined directions.

    A sum of nearly absolute deviations has many shallow minima along a flat valley of few runs.
    """
    coordinates = surface.coordinates
    jacobian = surface.jacobian(theta[None])[0].T @ coordinates.matrix()
    scale = np.maximum(np.sqrt(np.sum(jacobian * jacobian, axis=0)), 1e-300)
    information = (jacobian / scale).T @ (jacobian / scale)
    strength, axes = np.linalg.eigh(information)
    error = 1.5 * float(np.median(np.abs(surface.residuals(theta[None]))))
    steps = [
        sign * size * error * axes[:, k] / np.sqrt(max(strength[k], 1e-12)) / scale
        for k in (0, 1)
        for size in (1.0, 2.0)
        for sign in (-1.0, 1.0)
    ]
    starts = np.clip(coordinates.free(theta) + np.array(steps), *coordinates.bounds(surface.loss))
    return coordinates.full(starts)


def pass_through(surface: Surface, theta: Array, lower: Array, upper: Array) -> Array:
    """Finish least absolute deviations exactly, in the coordinates that are not on a bound."""
    coordinates = surface.coordinates
    start = coordinates.free(theta)
    loose = (start > lower) & (start < upper)

    def place(part: Array) -> Array:
        free = start.copy()
        free[loose] = np.clip(part, lower[loose], upper[loose])
        return coordinates.full(free[None])

    part = refine(
        start[loose],
        residuals=lambda part: surface.residuals(place(part))[0],
        jacobian=lambda part: (coordinates.matrix().T @ surface.jacobian(place(part))[0])[loose],
        weight=np.ones(len(surface.loss)) if surface.weight is None else surface.weight[0],
    )
    return place(part)[0]
