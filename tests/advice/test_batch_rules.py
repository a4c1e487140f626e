"""Batch and learning rate of a plan by several rules at once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scaleplan import api
from scaleplan.advice.batch import advise_batch, whole_batch
from scaleplan.cli.app import execute
from scaleplan.output.views.advice import hyperparameters_report
from scaleplan.presets.conventions import Embedding


def answer(advice, rule):
    return next(item for item in advice.rules if item.rule == rule)


@pytest.fixture(scope="module")
def plan():
    return api.loss(params="7B", tokens="1.4T")


@pytest.fixture(scope="module")
def advice(plan):
    return advise_batch(plan)


def test_the_rules_disagree_on_7b_and_1400b_tokens(advice):
    """The reference's span of batches by compute and size is 5M-8.2M, Step Law lowest, DeepSeek highest."""
    step, porian, deepseek = (
        answer(advice, name).batch_tokens for name in ("step-law-2025", "porian-2024", "deepseek-llm-2024")
    )
    assert step == pytest.approx(5.0e6, rel=0.01)
    assert deepseek == pytest.approx(8.2e6, rel=0.01)
    assert step < porian < deepseek
    assert any(notice.code == "rules_disagree" for notice in advice.warnings)


def test_sizes_are_converted_to_what_each_rule_counts(advice):
    """Step Law leaves out the vocabulary: 7e9 total is 6.91e9 by the mapping of Pearce and Song."""
    non_embedding = Embedding().non_embedding(7e9)
    assert answer(advice, "step-law-2025").asked_with == {"params": pytest.approx(non_embedding), "tokens": 1.4e12}
    assert answer(advice, "porian-2024").asked_with == {"params": 7e9}


def test_the_spread_is_that_of_the_answers(advice):
    """The least and greatest rate, and batches of the optimal kind alone."""
    rates = [item.learning_rate for item in advice.rules if item.learning_rate is not None]
    assert advice.learning_rate.low == min(rates)
    assert advice.learning_rate.factor == pytest.approx(max(rates) / min(rates))
    assert {item.rule for item in advice.critical} == {"kaplan-2020", "zhang-2024-cbs"}
    assert advice.batch_tokens.high == answer(advice, "moonlight-2025").batch_tokens


def test_each_answer_says_how_far_it_leaves_its_range(advice):
    """DeepSeek's rule was fitted up to 2e19 FLOP; 6*7e9*1.4e12 is 2940 times that."""
    (outside,) = answer(advice, "deepseek-llm-2024").outside
    assert (outside.quantity, outside.side) == ("flops", "above")
    assert outside.factor == pytest.approx(2940)


def test_inside_the_range_nothing_is_said():
    """5e8 parameters on 2e10 tokens are among Step Law's runs."""
    assert answer(advise_batch(api.loss(params=5e8, tokens=2e10)), "step-law-2025").outside == ()


def test_kaplans_rate_stops_where_it_turns_negative():
    """Above 1.2e10 parameters there is no rate, but still a critical batch."""
    found = answer(advise_batch(api.loss(params="70B", tokens="1.4T")), "kaplan-2020")
    assert found.learning_rate is None
    assert "negative" in found.reason
    assert found.batch_tokens > 0


def test_a_law_without_loss_leaves_out_the_rules_of_the_loss():
    """Llama 3's law splits a budget and has no loss."""
    advice = advise_batch(api.optimal(flops=1e21, preset="llama3-2024"))
    assert answer(advice, "minicpm-2024").batch_tokens is None
    assert "needs a loss" in answer(advice, "minicpm-2024").reason
    assert answer(advice, "step-law-2025").batch_tokens > 0


def test_flop_per_token_answers_rules_of_compute_only():
    """DeepSeek's own law counts FLOP per token, which no rule of the size can take."""
    advice = advise_batch(api.optimal(flops=1e20, preset="deepseek-llm-2024"))
    found = answer(advice, "deepseek-llm-2024")
    assert found.learning_rate == pytest.approx(0.000985998174, rel=1e-8)  # the expected value at 1e20
    assert answer(advice, "step-law-2025").learning_rate is None
    assert "FLOP per token" in answer(advice, "step-law-2025").reason


def test_rules_for_mixtures_speak_of_mixtures_only(plan, advice):
    """They join when the experts are known."""
    assert "ling-2025" not in {item.rule for item in advice.rules}
    assert answer(advise_batch(replace(plan, constraints={"experts": 8.0})), "ling-2025").batch_tokens > 0


def test_a_tuned_batch_is_carried_by_the_exponent(plan):
    """D from 1.4e10 to 1.4e12 multiplies the batch by 100^0.383 (arXiv:2505.13738)."""
    tuned = advise_batch(plan, tuned=(2.0**19, 1.4e10)).tuned
    assert tuned.batch_tokens == pytest.approx(2**19 * 100**0.383)


def test_the_trades_spend_tokens_for_steps(plan):
    """Each critical batch has its trades, the asked batch among them, with twice the tokens at the critical one."""
    advice = advise_batch(plan, batch=4e6)
    for critical in advice.critical:
        at = {trade.batch_tokens: trade for trade in critical.trades}
        assert 4e6 in at
        assert at[critical.batch_tokens].tokens == pytest.approx(2 * plan.tokens)
        assert critical.best is None


def test_an_accelerator_turns_batches_into_days():
    """With 1,024 devices the best batch is 1,024 sequences, and its extra tokens take their time."""
    plan = api.loss(params="7B", tokens="1.4T", gpu="h100-sxm", gpus=1024)
    for critical in advise_batch(plan).critical:
        assert critical.best.batch_tokens == 1024 * 2048
        assert critical.best.days == pytest.approx(plan.budget.days * (1 + 1024 * 2048 / critical.batch_tokens))
        assert critical.floor_days < critical.best.days


def test_the_report_names_every_rule_that_answered(advice):
    """One row a rule, the single source marked, and a section for each critical batch."""
    report = hyperparameters_report(advice)
    names = [row[0] for row in report.grid.rows]
    assert "moonlight-2025*" in names
    assert "step-law-2025" in names
    assert len(report.sections) == 2


@pytest.mark.parametrize(
    "words, code",
    [
        (["--flops", "1e21"], 0),
        (["--params", "7B", "--tokens", "1.4T", "--gpu", "h100-sxm"], 0),
        (["--flops", "1e22", "--tuned-batch", "512k", "--tuned-tokens", "10B"], 0),
        (["--flops", "1e22", "--tuned-batch", "512k"], 2),
        (["--params", "7B", "--tokens", "1.4T", "--limit", "params <= 1B"], 2),
        (["--flops", "1e22", "--batch", "1e-300"], 2),
        (["--flops", "1e22", "--sequence", "1e-300"], 2),
        (["--flops", "1e22", "--tuned-batch", "512k", "--tuned-tokens", "1e-300"], 2),
        ([], 2),
    ],
)
def test_the_command_answers_or_says_what_is_wrong(capsys, words, code):
    """JSON has the schema and the rules; a wrong request is one error."""
    assert execute(["hyperparameters", "--json", *words]) == code
    out, err = capsys.readouterr()
    if code == 0:
        found = json.loads(out)
        assert found["schema"] == "scaleplan/hyperparameters/1"
        assert {"step-law-2025", "deepseek-llm-2024"} <= {item["rule"] for item in found["rules"]}
    else:
        assert json.loads(err)["code"] == "usage"


@pytest.mark.parametrize("sequences", [1, 53, 59, 421, 5000])
@pytest.mark.parametrize("replicas", [1, 7, 8, 100])
def test_a_batch_can_be_shared_evenly(sequences, replicas):
    """By the replicas that it feeds, each with a round number of sequences."""
    found = whole_batch(sequences, replicas)
    fed = replicas if sequences >= replicas else 1
    each, rest = divmod(found, fed)
    assert rest == 0
    assert each & (each - 1) == 0 or (each % 3 == 0 and (each // 3) & (each // 3 - 1) == 0)
    assert found == pytest.approx(sequences, rel=0.34)


def test_every_rule_says_its_batch_in_whole_sequences():
    """Of the length that is given, and for the devices of the plan."""
    found = advise_batch(api.optimal(gpus=96, time="30d", gpu="h100-sxm"), context=2048.0, gpus_per_replica=8.0)
    for each in found.rules:
        assert (each.batch_sequences is None) == (each.batch_tokens is None)
        if each.batch_sequences is not None:
            assert each.batch_sequences % 12 == 0
            assert each.batch_sequences * 2048 == pytest.approx(each.batch_tokens, rel=0.34)
