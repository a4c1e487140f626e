"""The best size of the vocabulary by Tao et al. 2024 (arXiv:2407.13623)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.advice.vocabulary import advise_vocabulary, best_by_loss, default_width, optimal_flops
from scaleplan.cli.app import execute
from scaleplan.errors import UsageError

# evaluations of the authors' code: size, width, approaches 1, 2 and 3
POINTS = [
    (3e9, 3200, 39367.882, None, 36648.056),
    (7e9, 4096, 62280.971, 67450.246, None),
    (7e10, 8192, 211860.46, 230861.2, None),
]
# the paper's predictions in thousands, for its own widths
PREDICTED = [
    (3e9, 39, 43, 37),
    (7e9, 62, 67, 60),
    (1.3e10, 83, 91, 81),
    (3e10, 142, 154, 142),
    (7e10, 212, 231, 218),
    (3e11, 356, 389, 384),
]


@pytest.mark.parametrize("params, width, isoflop, derivative, parametric", POINTS)
def test_the_approaches_give_the_authors_values(params, width, isoflop, derivative, parametric):
    """To the digits of the evaluated code."""
    found = advise_vocabulary(params, width=width)
    for answer, expected in zip(
        (found.isoflop, found.derivative, found.parametric), (isoflop, derivative, parametric), strict=True
    ):
        assert expected is None or answer == pytest.approx(expected, abs=0.5)


@pytest.mark.parametrize("params, isoflop, derivative, parametric", PREDICTED)
def test_the_published_predictions_come_back(params, isoflop, derivative, parametric):
    """Rounded to thousands as the paper's table, with the widths it assumes."""
    found = advise_vocabulary(params)
    assert [round(value / 1e3) for value in (found.isoflop, found.derivative, found.parametric)] == pytest.approx(
        [isoflop, derivative, parametric],
        abs=1,
    )
    assert found.vocabulary == sorted((found.isoflop, found.derivative, found.parametric))[1]
    assert found.vocabulary_params == found.vocabulary * found.width


@given(power=st.floats(7, 12), factor=st.floats(1.01, 100))
def test_more_compute_asks_for_a_larger_vocabulary(power, factor):
    """At a fixed size and width, by approach 3; so does a larger model at its own optimal compute."""
    params = 10**power
    flops = optimal_flops(params)
    assert best_by_loss(params, flops=flops * factor, width=4096) > best_by_loss(params, flops=flops, width=4096)
    assert (
        advise_vocabulary(params * factor, width=4096).derivative > advise_vocabulary(params, width=4096).derivative
    )


def test_a_small_model_needs_its_width():
    """The paper names widths from 2e9 parameters on."""
    assert default_width(2e9) == 3200
    with pytest.raises(UsageError, match="no width is known"):
        default_width(1e9)
    with pytest.raises(UsageError, match=r"a width of 0\.5"):
        advise_vocabulary(1e9, width=0.5)


def test_sizes_and_vocabularies_beyond_the_experiments_are_said():
    """33M to 3B parameters, 4k to 96k entries."""
    assert advise_vocabulary(1e9, width=2048).warnings == ()
    assert {notice.code for notice in advise_vocabulary(7e10).warnings} == {
        "extrapolated_params",
        "extrapolated_vocabulary",
    }


def test_the_command_answers(capsys):
    """Text for people, JSON for scripts, one value for the shell."""
    assert execute(["vocab", "--params", "7B"]) == 0
    assert "by IsoFLOP" in capsys.readouterr().out
    assert execute(["vocab", "--params", "3B", "--flops", "1e23", "--width", "3072", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["flops"], found["width"]) == (1e23, 3072)
    assert execute(["vocab", "--params", "7B", "--get", "vocabulary", "-q"]) == 0
    assert float(capsys.readouterr().out) == 62281
