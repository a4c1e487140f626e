"""Runs that tests fit: other people's, where their folder is present, and synthetic ones."""

import csv
from pathlib import Path

import numpy as np
import pytest

from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive

DATA = Path(__file__).parents[2].parent / "shared" / "data"

EPOCH = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
"""Besiroglu et al. 2024, arXiv:2404.10102."""


@pytest.fixture(scope="session")
def columns():
    """Return a function that reads a file of public runs as columns of text."""
    if not DATA.is_dir():
        pytest.skip("the folder with other people's runs is not here")

    def read(name):
        with (DATA / name).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}

    return read


@pytest.fixture(scope="session")
def public(columns):
    """Return a function that reads public runs as points, optionally those where a column has a value."""

    def read(name, *, where=None, loss="loss", params="params"):
        table = columns(name)
        keep = np.ones(len(table["tokens"]), dtype=bool)
        for column, value in (where or {}).items():
            keep &= table[column] == value
        number = {key: table[key].astype(float) for key in (params, "tokens", "flops", loss)}
        rows = np.arange(2, 2 + len(keep))  # the header is row 1
        points = Points.of(number[params], number["tokens"], number[loss], flops=number["flops"], rows=rows)
        return points.select(keep)

    return read


@pytest.fixture(scope="session")
def chinchilla(columns):
    """Return the 245 points read off the Chinchilla figure, unrounded, with D = C/(6N)."""
    table = columns("raw/chinchilla_epoch_svg_extracted_data.csv")
    params, flops, loss = (table[key].astype(float) for key in ("Model Size", "Training FLOP", "loss"))
    return Points.of(params, flops / (6 * params), loss, flops=flops, rows=np.arange(2, 2 + len(loss)))


@pytest.fixture(scope="session")
def chinchilla_240(chinchilla):
    """Return the 240 points of the published fits: losses strictly below the fifth largest."""
    return chinchilla.select(chinchilla.loss < np.sort(chinchilla.loss)[-5])


@pytest.fixture
def sweep():
    """Return a function that makes runs of a law on a grid of sizes and tokens with log-normal noise."""

    def make(law=EPOCH, *, noise=0.0, seed=0, sizes=(5e7, 3e9, 8), tokens=(1e9, 6e10, 8)):
        grid = np.meshgrid(np.geomspace(*sizes), np.geomspace(*tokens))
        params, data = (axis.ravel() for axis in grid)
        error = np.random.default_rng(seed).normal(size=len(params)) * noise
        return Points.of(params, data, law.loss(params, data) * np.exp(error))

    return make


@pytest.fixture
def isoflop():
    """Return a function that makes an IsoFLOP sweep of a law: 7 sizes around the optimum of 6 budgets."""

    def make(law=EPOCH, *, noise=0.0, seed=0, factor=8.0, sizes=7, budgets=(6e18, 1e21, 6)):
        params, data = [], []
        for flops in np.geomspace(*budgets):
            best = law.best_split(flops / 6)[0]
            line = best * np.exp(np.linspace(-np.log(factor), np.log(factor), sizes))
            params.append(line)
            data.append(flops / 6 / line)
        params, data = np.concatenate(params), np.concatenate(data)
        error = np.random.default_rng(seed).normal(size=len(params)) * noise
        return Points.of(params, data, law.loss(params, data) * np.exp(error))

    return make
