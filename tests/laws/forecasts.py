"""Forecasts to test with: fitted ones, ones at random, one of two optima, and the preset files that hold them."""

from __future__ import annotations

import importlib.util
import math
from functools import cache
from pathlib import Path
from random import Random

import pytest
from tests.fitting import synthetic

from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.laws.additive import ThreeExponent
from scaleplan.laws.forecast import Forecast
from scaleplan.toml_table import toml_text

RUNS = {
    "isoflop": lambda: synthetic.isoflop(synthetic.LAWS["even"], noise=0.004, seed=1),
    "cloud": lambda: synthetic.cloud(synthetic.LAWS["low-floor"], noise=0.006, seed=1),
    "grid": lambda: synthetic.grid(synthetic.LAWS["floor-heavy"], noise=0.002, seed=1),
}
BASE = ThreeExponent(E=1.7, A=460.0, B=1500.0, alpha=0.34, beta=0.35, gamma=0.9)
SPAN = (40.0, 52.0, -3.0, 9.0)
TERMS = tuple((i, j) for i in range(9) for j in range(8) if i / 8 + j / 7 <= 1.3)


def reference_implementation():
    """Return the reference implementation of forecasts as a module, skipping where its folder is absent."""
    file = Path(__file__).parents[2].parent / "shared" / "tools" / "forecast_reference.py"
    if not file.is_file():
        pytest.skip("the folder with the reference implementation is not here")
    spec = importlib.util.spec_from_file_location("forecast_reference", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def fitted(name):
    """Return the forecast of a ladder of runs, with the mixture that it keeps."""
    return fit_forecast(RUNS[name]())


@cache
def stored(name):
    """Return the surface of a ladder of runs as a preset keeps it."""
    return fitted(name).surface()


def made(seed, *, size=0.03, terms=TERMS):
    """Return a forecast at random: the rougher a term, the less of it, as in what a fit leaves."""
    rng = Random(seed)
    fall = [math.exp(-0.8 * (i + j)) for i, j in terms]
    root = [[0.3 * size * each * rng.gauss(0, 1) / (1 + i - j) for j in range(i + 1)] for i, each in enumerate(fall)]
    return Forecast(
        base=ThreeExponent(
            E=rng.uniform(0.3, 2.0),
            A=rng.uniform(50, 800),
            B=rng.uniform(200, 3000),
            alpha=rng.uniform(0.25, 0.6),
            beta=rng.uniform(0.25, 0.6),
            gamma=rng.uniform(0.4, 1.0),
        ),
        span=SPAN,
        terms=terms,
        weights=tuple(size * each * rng.gauss(0, 1) for each in fall),
        root=tuple(map(tuple, root)),
        noise=rng.uniform(1e-3, 1e-2),
    )


def with_two_optima(lean=0.0):
    """Return a forecast whose correction, of fourth degree in ln D/N, has a hump between two hollows.

    ``lean`` tilts it: the hollow of more tokens per parameter is the lower one where it is below 0.
    """
    return Forecast(
        base=ThreeExponent(E=1.7, A=460.0, B=460.0, alpha=0.34, beta=0.34, gamma=1.0),
        span=(40.0, 52.0, -6.0, 6.0),
        terms=((0, 1), (0, 2), (0, 4)),
        weights=(lean, -0.02, 0.05),
        root=((1e-3,), (1e-4, 1e-3), (0.0, 1e-4, 1e-3)),
        noise=2e-3,
    )


def preset_text(forecast, **changed):
    """Return a preset file of a forecast; ``changed`` replaces keys of its table, and leaves out those of None."""
    table = {key: value for key, value in (forecast.to_table() | changed).items() if value is not None}
    low, high, narrow, wide = forecast.span
    base = forecast.base
    largest = high - math.log(forecast.reach)
    return toml_text(
        {
            "schema": 2,
            "id": "mine",
            "title": "Runs of ours",
            "form": "additive",
            "source": "our runs",
            "status": "refit",
            "coefficients": {"E": base.E, "A": base.A, "B": base.B, "alpha": base.alpha, "beta": base.beta},
            "conventions": {"params": "total", "flops": "6ND", "loss": "nats/token"},
            "range": {
                "params": [math.exp(0.5 * (low - wide)), math.exp(0.5 * (largest - narrow))],
                "tokens": [math.exp(0.5 * (low + narrow)), math.exp(0.5 * (largest + wide))],
                "flops": [6 * math.exp(low), 6 * math.exp(largest)],
                "tokens_per_param": [math.exp(narrow + 2), math.exp(wide - 2)],
            },
            "forecast": table,
            "fit": {"program": "scaleplan", "status": "identified"},
        }
    )
