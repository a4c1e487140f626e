"""Which runs to buy: the predicted errors are those of the forecast, and what a list of runs keeps to."""

import math
from itertools import pairwise

import numpy as np
import pytest
from tests.benchmarks import pilot_designs

import scaleplan as sp
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.fitting.discrepancy import NO_COMMON, Member, Prior, Whitened, log_law
from scaleplan.fitting.exchange import Candidates, Merit, Schedule, best_list, greedy_list
from scaleplan.fitting.expected_error import Aim, Belief
from scaleplan.fitting.forecaster import KERNELS, prior_spread
from scaleplan.fitting.pilot import AIMS
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.laws.forecast import HALF

EPOCH = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024
CURVED = ThreeExponent(E=1.7, A=4000.0, B=40000.0, alpha=0.45, beta=0.44, gamma=0.75)
TARGET = 5.76e23
AIM = Aim.of(EPOCH, TARGET, 6.0)


def isoflop(width):
    """Return six budgets from 6e18 to 1e21 FLOP with seven sizes each within a factor of the optimum."""
    params, tokens = [], []
    for flops in np.geomspace(6e18, 1e21, 6):
        sizes = EPOCH.best_split(flops / 6)[0] * np.geomspace(1 / width, width, 7)
        params.append(sizes)
        tokens.append(flops / 6 / sizes)
    return np.concatenate(params), np.concatenate(tokens)


def belief(params, tokens, aim=AIM, law=EPOCH, **words):
    """Return what is believed of runs and of an aim before any run."""
    sizes, data = np.concatenate([params, aim.params]), np.concatenate([tokens, aim.tokens])
    return Belief.prior(law, sizes, data, noise=0.005, **words)


def predicted(params, tokens):
    return AIM.errors(belief(params, tokens).given(np.arange(len(params))).variances(AIM.rows))


@pytest.mark.parametrize("law", [EPOCH, CURVED])
def test_what_runs_leave_is_the_posterior_of_a_forecast(law):
    """The covariance at the target after runs is that of a member of a forecast, law and discrepancy, to rounding."""
    params, tokens = isoflop(4)
    aim, misfit, noise = Aim.of(law, TARGET, 6.0), 0.008, 0.005
    middle = float(np.mean(np.log(params))), float(np.mean(np.log(tokens)))
    sizes, data = np.concatenate([params, aim.params]), np.concatenate([tokens, aim.tokens])
    found = Belief.prior(law, sizes, data, noise=noise, misfit=misfit, centre=middle).given(np.arange(len(params)))
    gamma = getattr(law, "gamma", 1.0)
    outer = gamma * law.alpha, gamma * law.beta
    levels = [gamma * math.log(A) - power * at for A, power, at in zip((law.A, law.B), outer, middle, strict=True)]
    theta = np.array([*levels, math.log(law.E), *np.log([*outer, gamma])])
    x, y = np.log(params) - middle[0], np.log(tokens) - middle[1]
    value, slopes = log_law(theta, x, y)
    np.testing.assert_allclose(value, np.log(law.loss(params, tokens)), rtol=1e-12)
    prior = Prior(centre=theta, spread=prior_spread())
    for covariance, kernel in zip(found.covariance, KERNELS, strict=False):
        whitened = Whitened.of(kernel.between((x, y), (x, y)), np.ones(len(x)), np.ones(len(x)), NO_COMMON)
        turned = whitened.rows @ slopes
        precision = whitened.precision(noise**2, misfit)
        member = Member(
            kernel=kernel, prior=prior, at=(x, y), linearised=theta, step=np.zeros(6), noise=noise**2, misfit=misfit,
            evidence=0.0, whitened=whitened, residuals=np.zeros(len(x)), slopes=turned,
            covariance=np.linalg.inv(turned.T @ (precision[:, None] * turned) + prior.precision),
        )  # fmt: skip
        posterior = member.posterior(np.log(aim.params) - middle[0], np.log(aim.tokens) - middle[1])
        np.testing.assert_allclose(covariance[-5:, -5:], posterior.law + posterior.discrepancy, rtol=1e-5, atol=1e-9)


def vertex(law, product):
    """Return ln N where twice the size and half of it do equally well."""
    low, high = 0.0, math.log(product)
    for _ in range(80):
        x = 0.5 * (low + high)
        up, down = (law.loss(math.exp(x + s), math.exp(math.log(product) - x - s)) for s in (HALF, -HALF))
        low, high = (x, high) if up < down else (low, x)
    return x


def test_sums_of_losses_are_the_quantities_of_the_aim():
    """Where a law moves a little, its losses at the points move the sums as it moves ln L, N* and the exponent."""
    product = TARGET / 6

    def quantities(law):
        size, smaller = vertex(law, product), vertex(law, product / 100)
        best = AIM.params[0]
        return [math.log(law.loss(best, product / best)), size, (size - smaller) / math.log(100)]

    for name, step in {"A": 0.03, "B": -0.05, "alpha": 1e-5, "E": 1e-4}.items():
        moved = Additive(**{**EPOCH.coefficients(), name: getattr(EPOCH, name) + step})
        losses = np.log(moved.loss(AIM.params, AIM.tokens) / EPOCH.loss(AIM.params, AIM.tokens))
        change = np.subtract(quantities(moved), quantities(EPOCH))
        np.testing.assert_allclose(AIM.rows @ losses, change, rtol=5e-3, atol=1e-7)


def test_waste_is_what_a_wrong_size_costs():
    """A size off by a standard error loses the predicted share of the loss, which less compute would have reached."""
    errors = predicted(*isoflop(16))
    product, size = TARGET / 6, vertex(EPOCH, TARGET / 6)
    least = EPOCH.loss(math.exp(size), product / math.exp(size))
    off = errors.log_params
    lost = [EPOCH.loss(math.exp(size + s), product / math.exp(size + s)) / least - 1 for s in (-off, off)]
    assert errors.waste == pytest.approx(np.mean(lost), rel=0.1)
    with_less = EPOCH.best_split((TARGET - errors.wasted_flops) / 6)
    assert EPOCH.loss(*with_less) / least - 1 == pytest.approx(errors.waste, rel=0.1)


def test_wider_sweeps_tell_more_and_one_ray_no_size():
    """By the law alone as in an independent study; what the law misses no sweep can tell at this distance."""
    narrow, *_, wide = found = [predicted(*isoflop(width)) for width in (2, 4, 8, 16)]
    assert all(one.log_params_by_law > other.log_params_by_law for one, other in pairwise(found))
    assert narrow.log_params_by_law == pytest.approx(0.25, rel=0.1)
    assert wide.log_params_by_law == pytest.approx(0.068, rel=0.1)
    assert wide.log_params > 3 * wide.log_params_by_law
    sizes = np.repeat(np.geomspace(5e7, 2.9e9, 14), 3)
    ray = predicted(sizes, 20 * sizes)
    assert ray.log_params > 3
    assert ray.log_loss < 0.04


def test_a_run_added_and_left_out_again_changes_nothing():
    """And what one would tell, with or without another, is what the variances differ by."""
    params, tokens = isoflop(4)
    known = belief(params, tokens).given(np.arange(0, 42, 3))
    before = known.variances(AIM.rows)
    gains = known.gains(AIM.rows)
    after = known.after(7)
    np.testing.assert_allclose(before - after.variances(AIM.rows), gains[..., 7], rtol=1e-6)
    np.testing.assert_allclose(after.without(7).variances(AIM.rows), before, rtol=1e-6)
    exchanged = after.without(3).after(20)
    left = after.variances(AIM.rows) - after.gains(AIM.rows, without=3)[..., 20]
    np.testing.assert_allclose(exchanged.variances(AIM.rows), left, rtol=1e-6)


def test_what_a_search_believes_is_what_its_list_leaves():
    """From a start with more repeats than there may be, after exchanges and runs left out."""
    params, tokens = isoflop(4)
    pool = Candidates(
        params=params, tokens=tokens, size=np.arange(42), per_product=6.0, each=1e18, schedule=Schedule(), seeds=2,
        most=12, flops=3e20,
    )  # fmt: skip
    known = belief(params, tokens)
    merit = Merit(rows=AIM.rows, weights=np.array([[0.3, 0.2, 0.0]] * 2), limits=np.full((2, 3), np.inf))
    start = np.where(np.arange(42) % 5 == 0, 4, 0)
    kept = np.where(np.arange(42) == 8, 2, 0)
    counts, after = best_list(pool, known, merit, kept=kept, starts=[start])
    there = np.flatnonzero(counts)
    again = known.given(there, seeds=counts[there]).variances(AIM.rows)
    np.testing.assert_allclose(after.variances(AIM.rows), again, rtol=1e-4)
    assert counts[8] == counts.max() == 2
    assert counts.sum() <= 12
    assert pool.cost(counts) <= 3e20
    greedy, _ = greedy_list(pool, known, merit)
    greedy_left = known.given(np.flatnonzero(greedy), seeds=greedy[greedy > 0]).variances(AIM.rows)
    assert merit(again) <= merit(greedy_left) + 0.2  # which keeps no run


@pytest.fixture(scope="module")
def designed():
    """Return the design of 1e21 FLOP for a target of 1e24."""
    return sp.design(flops="1e21", target="1e24")


def test_a_list_is_one_that_people_run(designed):
    """A few dozen runs of two digits, with central ones and repeats, within the bounds and the budget."""
    assert sum(run.seeds for run in designed.runs) <= 48
    for run in designed.runs:
        assert all(count == float(f"{count:.1e}") for count in (run.params, run.tokens))
        assert 1 <= run.seeds <= 3
        held = designed.bounds
        assert held.params[0] <= run.params <= held.params[1]
        assert held.tokens_per_param[0] <= run.tokens / run.params <= held.tokens_per_param[1]
        assert held.flops[0] <= run.flops <= held.flops[1] == designed.flops / 8
    assert max(run.seeds for run in designed.runs) == 3
    near = [run for run in designed.runs if 10 <= run.tokens / run.params <= 40]
    assert len({run.params for run in near}) >= 3
    count = sum(run.seeds for run in designed.runs)
    cost = sum(run.flops * run.seeds for run in designed.runs) + count * designed.run_cost
    assert designed.spent == pytest.approx(cost, rel=1e-12)
    assert 0.9e21 < designed.spent <= 1e21
    assert designed.run_cost == 1e18


@pytest.mark.parametrize(
    "words",
    [
        {"flops": 1e21, "target": 1e24},
        {"flops": 1e19, "target": 1e22, "aim": "loss"},
        {"flops": 3e19, "target": 1e22, "aim": "waste", "noise": 0.002},
        {"flops": 1e18, "target": 1e20, "limit": ["tokens_per_param <= 60", "params >= 20M"]},
        {"flops": 1e22, "target": 1e25, "schedule": "wsd", "run_cost": 1e20},
    ],
)
def test_no_rival_is_better_by_any_measure(words):
    """Within the same bounds and at the same cost, for each aim: N* and loss, with a misfit and by the law alone."""
    found = sp.design(**words)
    assert len(found.rivals) >= 4
    assert found.better_rivals() == []
    for rival in found.rivals:
        assert rival.flops <= found.flops * (1 + 1e-9)
        assert found.after.log_params <= 1.01 * rival.precision.log_params
        assert found.after.log_loss_by_law <= 1.01 * rival.precision.log_loss_by_law


def test_next_to_no_noise_is_the_rounding_of_a_loss():
    """A run that is repeated contradicts nothing, whatever is given."""
    few = ["params >= 20M", "tokens_per_param <= 60"]
    assert sp.design(flops=1e18, target=1e20, noise=1.41e-12, most_runs=5, limit=few).noise == 1e-4


def test_an_aim_is_followed():
    """A list for the loss tells the loss better, one for the size tells N* better; that of the waste is the same."""
    for_loss, for_size = (sp.design(flops=1e21, target=1e24, aim=aim) for aim in ("loss", "waste"))
    assert for_loss.after.log_loss_by_law < for_size.after.log_loss_by_law
    assert for_size.after.log_params_by_law < for_loss.after.log_params_by_law
    assert AIMS["params"] == AIMS["waste"]


def test_bounds_scale_with_the_budget():
    """A hundredfold budget has tenfold sizes, about; an eighth of any is the largest run."""
    small, large = (sp.design(flops=flops, target=1e25).bounds for flops in (1e20, 1e22))
    assert large.params[0] / small.params[0] == pytest.approx(10, rel=0.2)
    assert large.params[1] / small.params[1] == pytest.approx(10, rel=0.2)
    assert large.flops[1] / small.flops[1] == pytest.approx(100)
    few, many = small.tokens_per_param
    assert many / few == pytest.approx(36**2)


def test_a_fixed_cost_of_a_run_makes_fewer_runs(designed):
    """Where each run costs a twentieth of the budget beside its compute there are at most twenty."""
    dear = sp.design(flops="1e21", target="1e24", run_cost="5%")
    assert dear.run_cost == 5e19
    assert sum(run.seeds for run in dear.runs) <= 20
    assert sum(run.seeds for run in sp.design(flops="1e21", target="1e24", run_cost=0, most_runs=12).runs) == 12


def test_a_design_keeps_its_limits_and_its_seeds():
    """The runs are inside the limits, which replace the bounds that scale with the budget."""
    limits = ["params <= 1B", "tokens_per_param >= 5", "tokens <= 50B"]
    found = sp.design(flops="1e21", target="1e24", limit=limits, seeds=2)
    assert 0.5e21 < found.spent <= 1e21
    assert all(run.params <= 1e9 and run.tokens <= 5e10 and run.seeds <= 2 for run in found.runs)
    assert all(run.tokens / run.params >= 4.999 for run in found.runs)
    assert all(run.flops == pytest.approx(6 * run.params * run.tokens) for run in found.runs)
    assert all(isinstance(count, int) for run in found.runs for count in (run.params, run.tokens))
    assert found.bounds.params[1] == 1e9
    wide = sp.design(flops="1e21", target="1e24", limit=["params >= 1M", "tokens_per_param <= 2000"])
    assert wide.bounds.params[0] == 1e6
    assert wide.bounds.tokens_per_param[1] == 2000


def test_further_pilots_save_less_and_less(designed):
    """Every stage has its saving and its cost, and pilots stop where the next would save less than it costs."""
    stages = designed.worth.stages
    assert [stage.flops for stage in stages] == sorted(stage.flops for stage in stages)
    assert stages[0].saved_flops is None
    for last, stage in pairwise(stages):
        assert stage.wasted_flops < last.wasted_flops
        assert stage.saved_flops == pytest.approx(last.wasted_flops - stage.wasted_flops)
        assert stage.flops == pytest.approx(last.flops + stage.added_flops)
    stop = [stage.flops for stage in stages].index(designed.worth.stop_flops)
    assert all(stage.saved_flops >= stage.added_flops for stage in stages[1 : stop + 1])
    assert stages[stop + 1].saved_flops < stages[stop + 1].added_flops
    found = sp.design(target="1e24")
    assert found.flops == designed.worth.stop_flops


MONTE_CARLO = 10


def test_a_plan_after_the_listed_pilots_is_right(designed):
    """Runs of another law (gamma 0.8) with 0.5 % noise tell N* and the loss of a thousandfold target."""
    runs = [run for run in designed.runs for _ in range(run.seeds)]
    params, tokens = np.array([[run.params, run.tokens] for run in runs], dtype=float).T
    truth = pilot_designs.LAWS["gamma 0.8"]
    table = [pilot_designs.repetition(params, tokens, truth, seed) for seed in range(MONTE_CARLO)]
    size, loss, size_held, loss_held = np.array(table, dtype=float).T
    assert math.sqrt(np.mean(size**2)) < 0.08
    assert abs(np.mean(size)) < 0.05
    assert math.sqrt(np.mean(loss**2)) < 0.009  # 0.6 % in hundreds; ten have an error of a quarter of it
    assert abs(np.mean(loss)) < 0.005
    assert size_held.mean() >= 0.9
    assert loss_held.mean() >= 0.9


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
    assert trunk.after.log_loss_by_law < scratch.after.log_loss_by_law


def test_runs_that_are_there_count(tmp_path, sweep):
    """With a file the law and the noise are those of the runs, and the errors before and after are told."""
    points = sweep(noise=0.004)
    rows = zip(points.params.tolist(), points.tokens.tolist(), points.loss.tolist(), strict=True)
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    found = sp.design(path, flops="1e21", target="1e24")
    assert found.law == "runs.csv"
    assert found.noise == pytest.approx(0.004, rel=0.3)  # of 64 runs it has an error of 10 %
    assert found.after.log_params < found.before.log_params


def test_a_ladder_of_small_models_goes_on_with_them(tmp_path, sweep):
    """The pool begins at the smallest run where that is below 20M, and the design beats the usual one there too."""
    points = sweep(noise=0.004)
    path = tmp_path / "runs.csv"
    rows = zip((points.params / 400).tolist(), (points.tokens / 400).tolist(), points.loss.tolist(), strict=True)
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]))
    found = sp.design(path, flops="2e16", target="1e18")
    assert found.bounds.params[0] <= points.params.min() / 400
    assert found.bounds.params[0] * 0.97 <= min(run.params for run in found.runs) < 2e7  # sizes have two digits
    usual = next(rival for rival in found.rivals if "±4x" in rival.name)
    assert found.after.log_params < usual.precision.log_params
    assert max(run.params for run in sp.design(path, flops="2e16", target="1e18", limit=["params <= 2M"]).runs) <= 2e6


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"preset": "kaplan-2020"}, UsageError, "a design needs an additive or three-exponent law"),
        ({"schedule": "linear"}, UsageError, "unknown schedule 'linear'"),
        ({"seeds": 100}, UsageError, "100 seeds"),
        ({"most_runs": 1000}, UsageError, "1000 runs"),
        ({"aim": "size"}, UsageError, "unknown aim 'size'"),
        ({"run_cost": "2e21"}, UnreachableError, "no run is inside the limits"),
        ({"limit": ["params <= 1M"]}, UsageError, "leave no params"),
        ({"limit": ["loss <= 2"]}, UsageError, "loss"),
        ({"limit": ["params >= 100B"]}, UnreachableError, "no run is inside the limits"),
        ({"flops": "1e9"}, UnreachableError, "no run is inside the limits"),
        ({"where": ["lr < 1"]}, UsageError, "--where needs a file of runs"),
        ({"runs": "runs.csv", "preset": "chinchilla"}, UsageError, "give one|both say"),
    ],
)
def test_a_wrong_request_is_said(words, error, message):
    """What is wrong with a request for a design is one error."""
    with pytest.raises(error, match=message):
        sp.design(**{"flops": "1e21", "target": "1e24"} | words)


def test_runs_of_one_size_design_no_model_without_parameters():
    """A law that is hardly determined may put the best size below one."""
    losses = {
        5629847: 10.02421130299119, 28149236: 7.426996938801878, 112596946: 6.097069441799024,
        450387783: 5.272708762601514, 631933831: 5.1244794775261955, 1125969457: 4.908399226522861,
        7142745753: 4.4465691684162065, 31164542847: 4.24015689949807,
    }  # fmt: skip
    order = [3, 0, 3, 1, 3, 2, 3, 2, 2, 3, 4, 2, 2, 0, 2, 3, 5, 6, 7, 1]
    tokens = [[*losses][place] for place in order]
    table = {"N": [5629847.0] * len(order), "D": tokens, "L": [losses[count] for count in tokens]}
    try:
        runs = sp.design(table, target=3.184289310513518e22).runs
    except UnreachableError:
        return
    assert all(run.params >= 1 and run.tokens >= 1 for run in runs)
