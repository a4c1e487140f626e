"""``docs/explanation/forecasts.md`` states the model that the program fits, and the keys that it stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scaleplan.fitting.discrepancy import TEMPER
from scaleplan.fitting.fit_tables import DOWN_WEIGHTED
from scaleplan.fitting.forecaster import FLOORS, KERNELS, MOST_RUNS, fit_forecast
from scaleplan.fitting.runs import Points
from scaleplan.laws.forecast import HALF, REACH


@pytest.fixture(scope="module")
def page():
    """Return the page as one line, so that no break of a line parts a statement."""
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "forecasts.md").read_text(encoding="utf-8")
    return text, " ".join(text.split())


def test_the_page_states_the_model(page):
    """Kernels, floors and their weights, the runs that are used, where a run counts as an outlier."""
    _, line = page
    lengths = [f"ℓ = {kernel.length:g}" for kernel in KERNELS]
    for length in lengths:
        assert length in line
    first, second, third = (f"{ratio:g}" for ratio, _ in FLOORS)
    for statement in (
        f"centred at {first}, {second} and {third}",
        f"the {TEMPER:g}rd power of their evidence",
        f"Of more than {MOST_RUNS} runs",
        f"noise variance was raised by more than {DOWN_WEIGHTED:g}",
        f"ln N ± {HALF:g}",
        f"Beyond {REACH:g} times the compute of the largest run",
    ):
        assert statement in line


def test_the_page_names_every_key_of_a_stored_forecast(page):
    """In the block of the preset file, with the coefficients of the law inside."""
    generator = np.random.default_rng(3)
    params, tokens = np.exp(generator.uniform(18, 21, 12)), np.exp(generator.uniform(21, 24, 12))
    points = Points.of(params, tokens, 1.8 + 400 / params**0.35 + 2000 / tokens**0.37)
    table = fit_forecast(points).surface().to_table()
    block = page[0].partition("[forecast]\n")[2].partition("```")[0]
    law = block.partition("[forecast.law]")[2]
    for key in table.keys() - {"law"}:
        assert f"\n{key} " in f"\n{block}"
    for name in table["law"]:
        assert f"{name}," in law or f"{name}:" in law
