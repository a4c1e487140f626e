"""Which runs to buy: the predicted errors of known designs, and what the greedy choice keeps to."""

import math

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.pilot import PilotInformation, Schedule, Target, jacobian
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.laws.additive import Additive

EPOCH = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
TARGET = Target.of(EPOCH, 5.76e23 / 6)


def predicted(params, tokens, noise=0.005):
    return PilotInformation.prior(EPOCH, noise).with_runs(jacobian(EPOCH, params, tokens)).precision(TARGET)


def isoflop(width):
    """Return six budgets from 6e18 to 1e21 FLOP with seven sizes each within a factor of the optimum."""
    params, tokens = [], []
    for flops in np.geomspace(6e18, 1e21, 6):
        sizes = EPOCH.best_split(flops / 6)[0] * np.geomspace(1 / width, width, 7)
        params.append(sizes)
        tokens.append(flops / 6 / sizes)
    return np.concatenate(params), np.concatenate(tokens)


# Errors of ln N*, ln L and a at 5.76e23 FLOP with 0.5 % noise, from a study by an independent program.
@pytest.mark.parametrize(
    ("width", "size", "loss", "exponent"),
    [(2, 0.25, 0.011, 0.025), (4, 0.13, 0.0083, 0.013), (8, 0.089, 0.0062, 0.008), (16, 0.068, 0.0056, 0.006)],
)
def test_isoflop_sweeps_have_the_errors_of_an_independent_study(width, size, loss, exponent):
    """The wider the sizes of each budget, the better a surface is known: figures of two digits are met."""
    found = predicted(*isoflop(width))
    assert found.log_params == pytest.approx(size, rel=0.02)
    assert found.log_loss == pytest.approx(loss, rel=0.02)
    assert found.exponent == pytest.approx(exponent, rel=0.07)  # printed with one digit


def test_one_ray_tells_the_loss_and_not_the_size():
    """14 sizes at D = 20N, three seeds: ln N* unknown by more than 10, the loss to 1.2 % as in the same study."""
    sizes = np.repeat(np.geomspace(5e7, 2.9e9, 14), 3)
    found = predicted(sizes, 20 * sizes)
    assert found.log_params > 10
    assert found.log_loss == pytest.approx(0.012, rel=0.1)  # the study's sizes are not known exactly


def test_the_predicted_error_is_the_scatter_of_fits():
    """200 least-squares fits to noisy copies of a design scatter as predicted, to the error of a scatter."""
    params, tokens = isoflop(8)
    truth = EPOCH.loss(params, tokens)
    rng = np.random.default_rng(0)
    plain = Objective(robust="none")
    fits = [
        fit_additive(Points.of(params, tokens, truth * np.exp(0.005 * rng.standard_normal(42))), objective=plain).law
        for _ in range(200)
    ]
    sizes = [math.log(law.best_split(5.76e23 / 6)[0]) for law in fits]
    # the standard deviation of 200 values has an error of 5 %; three of them
    assert np.std(sizes) == pytest.approx(predicted(params, tokens).log_params, rel=0.15)


def test_gradients_are_those_of_the_optimum():
    """Central differences of ln N*, ln L and a at the optimum of the target agree to 1e-5."""

    def quantities(theta):
        log_a, log_b, floor, alpha, beta = theta
        law = Additive(E=floor, A=math.exp(log_a), B=math.exp(log_b), alpha=alpha, beta=beta)
        params, tokens = law.best_split(5.76e23 / 6)
        return np.array([math.log(params), math.log(law.loss(params, tokens)), law.params_exponent])

    centre = np.array([math.log(EPOCH.A), math.log(EPOCH.B), EPOCH.E, EPOCH.alpha, EPOCH.beta])
    for k, step in enumerate(1e-6 * np.eye(5)):
        slope = (quantities(centre + step) - quantities(centre - step)) / 2e-6
        expected = [TARGET.log_params[k], TARGET.log_loss[k], TARGET.exponent[k]]
        np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-8)


def test_a_greedy_design_beats_a_usual_sweep_of_the_same_cost():
    """At 2e20 FLOP the errors are below half those of a ±2x sweep, and near the study's 0.13 and 0.95 %."""
    found = sp.design(flops="2e20", target="5.76e23")
    usual = next(rival for rival in found.rivals if "±2x" in rival.name)
    assert usual.flops == pytest.approx(2e20)
    assert found.after.log_params < 0.5 * usual.precision.log_params
    assert found.after.log_loss < 0.5 * usual.precision.log_loss
    assert found.after.log_params == pytest.approx(0.13, rel=0.3)  # another pool than the study's
    assert found.after.log_loss == pytest.approx(0.0095, rel=0.3)


def test_a_design_keeps_its_budget_its_bounds_and_its_seeds():
    """The runs cost what is said, at most the budget, inside the limits, at most so many seeds each."""
    limits = ["params <= 1B", "tokens_per_param >= 5", "tokens <= 50B"]
    found = sp.design(flops="1e21", target="1e24", limit=limits, seeds=2)
    assert sum(run.flops * run.seeds for run in found.runs) == pytest.approx(found.spent, rel=1e-12)
    assert 0.5e21 < found.spent <= 1e21
    assert all(run.params <= 1e9 and run.tokens <= 5e10 and run.seeds <= 2 for run in found.runs)
    assert all(4.999 <= run.tokens / run.params <= 500 for run in found.runs)
    assert all(run.flops == pytest.approx(6 * run.params * run.tokens) for run in found.runs)
    assert all(isinstance(count, int) for run in found.runs for count in (run.params, run.tokens))


def test_branches_of_one_trunk_cost_less():
    """Tokens of a size are (1 - c)*D_max + c*sum(D), and so more runs fit into the same budget."""
    schedule = Schedule(cooldown=0.2)
    longest, branches, cost = np.zeros(1), np.zeros(1), 0.0
    for tokens in (4e9, 1e9, 8e9):
        cost += float(schedule.added_tokens(np.array([tokens]), longest, branches)[0])
        longest, branches = np.maximum(longest, tokens), branches + 1
    assert cost == pytest.approx(0.8 * 8e9 + 0.2 * (4e9 + 1e9 + 8e9))
    scratch, trunk = (sp.design(flops="1e21", target="5.76e23", schedule=name) for name in ("cosine", "wsd"))
    assert trunk.spent <= 1e21 < sum(run.flops * run.seeds for run in trunk.runs)
    assert trunk.after.log_params < scratch.after.log_params


def test_runs_that_are_there_count(tmp_path, sweep):
    """With a file the law and the noise are those of the runs, and the errors before and after are told."""
    points = sweep(noise=0.004)
    rows = zip(points.params.tolist(), points.tokens.tolist(), points.loss.tolist(), strict=True)
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    found = sp.design(path, flops="1e21", target="1e24")
    assert found.law == "runs.csv"
    assert found.noise == pytest.approx(0.004, rel=0.3)  # the median deviation of 64 runs has an error of 15 %
    assert found.after.log_params < found.before.log_params


def test_a_ladder_of_small_models_goes_on_with_them(tmp_path, sweep):
    """The pool begins at the smallest run where that is below 20M, and the design beats the usual one there too."""
    points = sweep(noise=0.004)
    path = tmp_path / "runs.csv"
    rows = zip((points.params / 400).tolist(), (points.tokens / 400).tolist(), points.loss.tolist(), strict=True)
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    found = sp.design(path, flops="2e16", target="1e18")
    assert points.params.min() / 400 * 0.999 <= min(run.params for run in found.runs) < 2e7
    usual = next(rival for rival in found.rivals if "±4x" in rival.name)
    assert found.after.log_params < usual.precision.log_params
    assert max(run.params for run in sp.design(path, flops="2e16", target="1e18", limit=["params <= 2M"]).runs) <= 2e6


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"preset": "kaplan-2020"}, UsageError, "a design needs an additive or three-exponent law"),
        ({"schedule": "linear"}, UsageError, "unknown schedule 'linear'"),
        ({"seeds": 100}, UsageError, "100 seeds"),
        ({"limit": ["params <= 1M"]}, UsageError, "leave no params"),
        ({"limit": ["loss <= 2"]}, UsageError, "loss"),
        ({"limit": ["params >= 100B"]}, UnreachableError, "no run is inside the limits"),
        ({"where": ["lr < 1"]}, UsageError, "--where needs a file of runs"),
        ({"runs": "runs.csv", "preset": "chinchilla"}, UsageError, "give one|both say"),
    ],
)
def test_a_wrong_request_is_said(words, error, message):
    """What is wrong with a request for a design is one error."""
    with pytest.raises(error, match=message):
        sp.design(flops="1e21", target="1e24", **words)
