"""Standard errors and intervals of resamples, as NumPy and the laws of the resamples give them."""

from __future__ import annotations

import numpy as np

from scaleplan.fitting.objective import central_interval


def standard_errors(found):
    """Return the standard deviations over the resamples of each coefficient and of a = beta/(alpha + beta)."""
    log_size, log_data, floor, alpha, beta = found.draws.T
    columns = {"ln A": log_size, "ln B": log_data, "E": floor, "alpha": alpha, "beta": beta}
    columns["a"] = beta / (alpha + beta)
    return {name: np.std(column, ddof=1) for name, column in columns.items()}


def interval(found, quantity, *, level=0.9):
    """Return the interval of a quantity of a law, such as ln N* or ln L at a target, about the estimate.

    The quantity is computed from a law whose coefficients are floats (the estimate) or arrays (the resamples).
    """
    low, high = central_interval(np.asarray(quantity(found.laws())), level)
    centre, half = float(quantity(found.law)), 0.5 * found.stretch(level) * (high - low)
    return centre - half, centre + half


def log_params(found, flops, *, level=0.9):
    """Return the interval of ln N* at a budget of 6ND."""
    return interval(found, lambda law: np.log(law.best_split(flops / 6)[0]), level=level)


def log_loss(found, flops, *, level=0.9):
    """Return the interval of ln L at the optimum of a budget of 6ND."""
    return interval(found, lambda law: np.log(law.loss(*law.best_split(flops / 6))), level=level)
