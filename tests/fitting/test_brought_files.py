"""Small files of the kinds that people bring, with known truth: each reads right, or says what is wrong and the way.

Most runs come from L = 1.8 + 420/N^0.34 + 1300/D^0.345 with 0.1 to 0.3 % noise.
"""

from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import FileError, ScaleplanError, UnreachableError, UsageError
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive

SHARED = Path(__file__).parents[2].parent / "shared"
CASES, DATA = SHARED / "cases", SHARED / "data"

needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the folder with small inputs is not here")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder with other people's runs is not here")


@needs_cases
def test_compute_that_is_not_6nd_of_the_columns_is_planned_in():
    """At 1e18 of its own FLOP the best of six sizes is 286M; by 6ND the plan would be 1.5 times larger."""
    fitted = sp.fit(CASES / "k03-compute-not-6nd.csv", loss_unit="bpb", samples=0)
    assert fitted.warnings[0].code == "own_compute"
    assert fitted.preset.range.flops == (1e18, 1e19)
    plan = sp.optimal(preset=fitted.preset, flops="1e18")
    assert plan.params == pytest.approx(2.5e8, rel=0.2)
    assert plan.loss_unit == "bits/byte"
    line = sp.fit(CASES / "k03-compute-not-6nd.csv", loss_unit="bpb", method="isoflop", samples=0)
    target = line.plan()
    assert target.tokens == pytest.approx(line.law.tokens_by_law(target.flops), rel=0.06)


@needs_cases
@pytest.mark.parametrize(
    ("unit", "kept"), [("word_ppl", "nats/word"), ("byte_ppl", "nats/byte"), ("bpb", "bits/byte")]
)
def test_each_unit_of_a_harness_is_its_own(unit, kept):
    """Word and byte perplexity and bits per byte of one text, side by side."""
    path = CASES / "k04-word-and-byte-perplexity.csv"
    assert sp.fit(path, loss_unit=unit, samples=0).runs.loss_unit == kept
    with pytest.raises(FileError, match="bits_per_byte,none' is in bits/byte"):
        sp.fit(path, loss_unit="ppl", samples=0)


@needs_cases
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("k05-unit-headings.csv", {}),
        ("k06-steps-batch-length.csv", {"map": ["tokens=max_steps*batch_size*seq_len"]}),
        ("k10-decimal-comma.csv", {}),
        ("k11-cells-with-dicts.csv", {}),
        ("k08-three-learning-rates.csv", {"best": True}),
    ],
)
def test_the_truth_is_recovered_from_each_spelling(name, options):
    """The law at the largest run, to the noise."""
    fitted = sp.fit(CASES / name, samples=0, **options)
    truth = Additive(E=1.8, A=420.0, B=1300.0, alpha=0.34, beta=0.345)
    largest = int(np.argmax(fitted.runs.flops))
    n, d = fitted.runs.params[largest], fitted.runs.tokens[largest]
    # the learning rates of k08 were not tuned to the best, and its noise is 0.3 %
    assert fitted.law.loss(n, d) == pytest.approx(truth.loss(n, d), rel=0.01)
    assert all(warning.code not in {"sweep", "groups"} for warning in fitted.warnings)


@needs_cases
def test_a_curve_is_fitted_below_unit_headings():
    """Only compute and accuracy are needed; FLOPs (1E21) are read in FLOP."""
    runs = sp.fit(CASES / "k05-curve-with-unit-heading.csv", form="power", x="flops", y="Accuracy", samples=0).runs
    assert runs.flops.min() == pytest.approx(0.288e21)


@needs_cases
@pytest.mark.parametrize(
    ("name", "problem", "way"),
    [
        ("k06-steps-batch-length.csv", "no column for the training tokens", "'tokens=max_steps*batch_size*seq_len'"),
        ("k09-chart-export.csv", "no log tells the parameters", "--map params=125M"),
        ("k10-training-log.log", "no log tells the tokens", "--map 'tokens=steps*"),
        *(
            (f"logs/{name}", "no log tells the parameters", f"--form offset_power --x '{step}'")
            for name, step in (
                ("jsonl/metrics.jsonl", "step"),
                ("hf_trainer_state/trainer_state.json", "step"),
                ("lightning_metrics_csv/metrics.csv", "step"),
                ("wandb_history_csv/history.csv", "trainer/global_step"),
            )
        ),
        *(
            (f"logs/{name}", "no log tells the parameters", "'scaleplan runs PATH --params")
            for name in (
                "build_nanogpt_log/log.txt",
                "composer_file_log/composer.log",
                "llmc_main_log/main.log",
                "megatron_log/megatron.log",
                "modded_nanogpt_log/modded.txt",
                "nanotron_log/nanotron.log",
                "olmo_core_console/olmo.log",
                "tensorboard_csv/run_train_loss.csv",
                "tensorboard_event/events.out.tfevents.1700000000.own",
                "torchtitan_log/torchtitan.log",
            )
        ),
    ],
)
def test_what_is_no_table_of_runs_says_what_it_is_and_the_way(name, problem, way):
    """One line each, with a way that works."""
    with pytest.raises(FileError, match=problem) as caught:
        sp.fit(CASES / name)
    assert way in caught.value.hint


@needs_cases
def test_three_learning_rates_are_a_sweep():
    """All 36 runs give a floor of 1.91, the best of each size 1.77; the truth is 1.80."""
    fitted = sp.fit(CASES / "k08-three-learning-rates.csv", samples=0)
    (warning,) = [notice for notice in fitted.warnings if notice.code == "sweep"]
    assert "differ in 'lr'" in warning.message
    assert "--best" in warning.message
    assert pytest.approx(1.8, abs=0.06) == sp.fit(CASES / "k08-three-learning-rates.csv", samples=0, best=True).law.E


@needs_data
def test_an_export_of_several_corpora_and_rates_gives_no_plan():
    """Pooled, its runs do not tell an optimum at the compute that they have: the law must not choose a size."""
    fitted = sp.fit(DATA / "messy_wandb_export.csv", samples=0)
    notices = {notice.code: notice.message for notice in fitted.warnings}
    assert "--group 'Group'" in notices["groups"]
    assert "--best" in notices["sweep"]
    assert (fitted.status, "the optimal size is" in fitted.refusal) == ("not identified", True)
    with pytest.raises(UsageError, match="must not choose a model size"):
        sp.optimal(preset=fitted.preset, flops="1e22")


def fitted_law(tmp_path, law, ratios=(5, 20, 80)):
    rows = [(n, n * r) for n in (1e8, 2e8, 4e8, 8e8) for r in ratios]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *(f"{n},{d},{law.loss(n, d)!r}" for n, d in rows)]))
    return sp.fit(path, samples=0)


WIDE = np.geomspace(1e24, 1e26, 3)

ABSURD = Additive(E=1.4, A=20.0, B=6e5, alpha=0.1, beta=0.6)  # plausible at its runs, and nowhere far beyond


@pytest.mark.parametrize(
    "ask",
    [lambda preset: sp.optimal(preset=preset, flops="1e26"), lambda preset: sp.optimal(preset=preset, flops=WIDE)],
)
def test_a_fitted_law_plans_nothing_that_its_runs_do_not_know(tmp_path, ask):
    """Thirty times beyond the ratios of the runs, or outside 0.1 to 10,000: from every command, with a way out."""
    preset = fitted_law(tmp_path, ABSURD).preset
    with pytest.raises(UnreachableError, match="no plan") as caught:
        ask(preset)
    assert "--limit 'tokens_per_param >= 5'" in caught.value.hint
    assert sp.optimal(preset=preset, flops="1e26", limit=["tokens_per_param >= 5"]).tokens_per_param == pytest.approx(
        5
    )
    assert sp.optimal(preset=preset, flops="1e26", params="10T").params == 1e13
    assert sp.loss(preset=preset, params="10T", tokens="100B").loss > 1.4


def test_a_plausible_plan_of_a_fitted_law_is_made_at_any_budget(tmp_path):
    """A balanced law stays within the ratios of its runs however far it is carried."""
    law = Additive(E=1.8, A=420.0, B=1300.0, alpha=0.34, beta=0.345)
    preset = fitted_law(tmp_path, law).preset
    assert [sp.optimal(preset=preset, flops=flops).flops for flops in (1e18, 1e24, 1e28)] == [1e18, 1e24, 1e28]


def test_a_law_through_every_run_has_residuals_without_a_shape():
    """Of residuals that are all zero kurtosis and skewness are zero, not a division by zero."""
    n, d = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 4), np.geomspace(1e9, 1e11, 4)))
    law = Additive(E=1.8, A=420.0, B=1300.0, alpha=0.34, beta=0.345)
    found = fit_points(Points.of(n, d, law.loss(n, d)), samples=0)
    from dataclasses import replace

    exact = replace(found, solution=replace(found.solution, residuals=np.zeros(16)))
    assert (exact.residuals.kurtosis, exact.residuals.skewness) == (0.0, 0.0)
    tiny = replace(found, solution=replace(found.solution, residuals=np.linspace(-1, 1, 16) * 1e-170))
    assert np.isfinite(tiny.residuals.kurtosis)


@pytest.mark.parametrize(
    "rows",
    [
        # five runs and five coefficients: a law through every run
        ["1e8,2e9,3.1", "2e8,4e9,3.0", "4e8,4e9,2.9", "8e8,8e9,2.7", "8e8,1e10,2.65"],
        ["1e8,2e9,3.1", "2e8,4e9,3.1", "4e8,4e9,3.1", "8e8,8e9,3.1", "8e8,1e10,3.1"],
        # exponents run to their bounds, where the optimum of another choice of objective overflows
        *(
            [f"{n:g},{d:g},{8.5 - 0.3 * i + 3 * (i % 3)}" for i, (n, d) in enumerate([(n, 3e8) for n in sizes] * 2)]
            for sizes in ((2e6, 3e8, 5e10), (4e7, 5e7, 6e7, 9e10))
        ),
    ],
)
def test_a_report_of_few_or_wild_runs_is_made(tmp_path, rows):
    """A choice whose law has no optimum is left out of the table; nothing else is."""
    path = tmp_path / "five.csv"
    path.write_text("\n".join(["params,tokens,loss", *rows]), encoding="utf-8")
    try:
        fitted = sp.fit(path, samples=0)
    except ScaleplanError:  # too few for a fit
        return
    assert fitted.to_dict(report=True)["checklist"]


def test_an_optimum_that_no_run_is_near_is_not_known(tmp_path):
    """Far off the ratios of the runs the stored surface ends, and its slope with it: that is no certainty."""
    fitted = fitted_law(tmp_path, Additive(E=1.4, A=20.0, B=3e4, alpha=0.1, beta=0.6))
    assert fitted.status == "not identified"
    assert "the optimal size is not known" in fitted.refusal
    with pytest.raises(UsageError, match="must not choose a model size"):
        sp.optimal(preset=fitted.preset, flops="3e20")
