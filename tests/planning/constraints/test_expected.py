"""Repeated data and inference demand against the table of expected values and the papers' examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.laws.additive import worth
from scaleplan.planning.constraints.repetition import R_TOKENS

FILE = Path(__file__).parents[3].parent / "shared" / "reference" / "laws_expected.json"


def data_constrained_optimum(inputs, law, expected):
    plan = sp.optimal(flops=inputs["C"], unique_tokens=inputs["unique_tokens"], preset=law)
    return {
        "N": plan.params,
        "D": plan.tokens,
        "epochs": plan.epochs,
        "L": plan.loss,
        "effective_tokens": plan.effective_tokens,
        "unconstrained_D": plan.optimum.tokens,
    }


def data_constrained_loss(inputs, law, expected):
    plan = sp.loss(params=inputs["N"], tokens=inputs["D"], unique_tokens=inputs["unique_tokens"], preset=law)
    return {"L": plan.loss, "epochs": plan.epochs}


def effective_tokens(inputs, law, expected):
    repetitions, step = float(inputs["epochs"] - 1), 1e-5
    slope = (worth(repetitions + step, R_TOKENS) - worth(repetitions - step, R_TOKENS)) / (2 * step)
    value = worth(repetitions, R_TOKENS)
    return {
        "effective_over_unique": value,
        "value_per_token_seen": value / inputs["epochs"],
        "marginal_value_last_epoch": slope,
    }


def inference_aware(inputs, law, expected):
    plan = sp.target(loss=expected["L"], inference_tokens=inputs["inference_tokens"], preset=law)
    only = plan.training_only
    return {
        "reference_D": only.tokens,
        "L": plan.loss,
        "N": plan.params,
        "D_train": plan.tokens,
        "N_ratio": only.params_ratio,
        "D_ratio": only.tokens_ratio,
        "total_flops": plan.total_flops,
        "reference_total_flops": only.total_flops,
        "saving": only.saving,
    }


ANSWERS = {
    answer.__name__: answer
    for answer in (data_constrained_optimum, data_constrained_loss, effective_tokens, inference_aware)
}


def checks():
    if not FILE.is_file():
        return [pytest.param(None, id="absent", marks=pytest.mark.skip(reason="no table of expected values"))]
    found = json.loads(FILE.read_text(encoding="utf-8"))["checks"]
    return [pytest.param(check, id=check["id"]) for check in found if check["kind"] in ANSWERS]


@pytest.mark.parametrize("check", checks())
def test_constraints_give_the_expected_values(check):
    """Each value is met to the tolerance stated beside it."""
    found = ANSWERS[check["kind"]](check["inputs"], check["law"], check["expected"])
    assert found == pytest.approx(check["expected"], rel=check["rtol"])


def test_the_authors_showcase_beats_the_chinchilla_split():
    """9.3e21 FLOP and 25B unique tokens: 6.34B on 242B tokens beats 8.67B on 178B (Muennighoff et al., section 6)."""
    better, worse = (
        sp.loss(params=size, tokens=tokens, unique_tokens="25B", preset="muennighoff")
        for size, tokens in (("6.34B", "242B"), ("8.67B", "178B"))
    )
    assert (round(better.loss, 4), round(worse.loss, 4)) == (2.2256, 2.2270)  # as their repository prints
    assert (round(better.epochs, 1), round(worse.epochs, 1)) == (9.7, 7.1)


def test_sardanas_example_of_a_30b_model_is_reproduced():
    """A 30B reference with 1e13 inference tokens: 13.6B, 2.84 times the tokens, 28 % saved (first version)."""
    law = "hoffmann-2022-a3-devries"
    loss = sp.target(params="30B", preset=law).loss
    only = (plan := sp.target(loss=loss, inference_tokens=1e13, preset=law)).training_only
    assert plan.params == pytest.approx(13.61e9, rel=1e-3)
    assert (only.tokens_ratio, only.saving) == pytest.approx((2.845, 0.280), rel=1e-3)
