"""The additive fit reaches the optimum, on published runs and on laws that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UsageError
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Coordinates, Surface, basins, fit_additive, fit_surface, refit_surface
from scaleplan.laws.additive import Additive


def test_the_huber_optimum_of_the_chinchilla_points(chinchilla_240):
    """The objective is that of the reference optimum to 9 digits, and so are the coefficients as printed."""
    fit = fit_additive(chinchilla_240)
    assert len(chinchilla_240) == 240
    assert fit.score == pytest.approx(1.018274018e-3, rel=1e-9)
    law = fit.law
    assert (
        pytest.approx(1.81722, abs=5e-6),
        pytest.approx(477.83, abs=0.01),
        pytest.approx(2143.4, abs=0.05),
    ) == (law.E, law.A, law.B)
    assert (law.alpha, law.beta) == (pytest.approx(0.347310, abs=1e-6), pytest.approx(0.367172, abs=1e-6))
    assert fit.converged
    assert fit.bounds == ()
    assert fit.objective.share_inside(fit.residuals) == pytest.approx(0.16, abs=0.01)


def test_the_optimum_gives_the_reference_allocations(chinchilla_240):
    """N*, D/N and L of the Huber optimum at three budgets, to the digits of the reference."""
    law = fit_additive(chinchilla_240).law
    for flops, params, ratio, loss in (
        (1e21, 2.792e9, 21.4, 2.3045),
        (5.76e23, 7.32e10, 17.9, 1.9739),
        (1e26, 1.04e12, 15.5, 1.8796),
    ):
        best, tokens = law.best_split(flops / 6)
        assert best == pytest.approx(params, rel=5e-3)
        assert tokens / best == pytest.approx(ratio, rel=5e-3)
        assert law.loss(best, tokens) == pytest.approx(loss, abs=5e-5)


def test_the_absolute_deviation_optimum_of_the_chinchilla_points(chinchilla_240):
    """The published coefficients are those of the L1 fit, which passes through five points.

    The reference sum 1.1294935 is that of Huber's function at delta 1e-8, 240*delta/2 = 1.2e-6 below the sum of |r|.
    """
    fit = fit_additive(chinchilla_240, objective=Objective(robust="l1"))
    assert fit.score == pytest.approx(1.1294935 + 1.2e-6, abs=1e-7)
    assert fit.score <= 1.129495
    law = fit.law
    assert pytest.approx(1.81686, abs=5e-6) == law.E
    assert pytest.approx(482.005, rel=1e-5) == law.A
    assert pytest.approx(2085.43, rel=1e-5) == law.B
    assert law.alpha == pytest.approx(0.347813, abs=1e-6)
    assert law.beta == pytest.approx(0.365854, abs=1e-6)
    assert np.count_nonzero(np.abs(fit.residuals) < 1e-12) == 5


@pytest.mark.parametrize(
    ("residual", "expected", "score"),
    [
        ("linear", (1.9051, 4.0005, 1.0509, 0.3511, 0.4587), 0.0624143),
        ("log", (1.8926, 4.0146, 1.0571, 0.3522, 0.4430), None),
    ],
)
def test_least_squares_below_1e21_flop(chinchilla_240, residual, expected, score):
    """Raw-loss and log-loss least squares on 217 points, N in 1e6 and D in 1e9 (arXiv:2603.22339)."""
    points = chinchilla_240.select(chinchilla_240.flops < 1e21)
    scaled = Points.of(points.params / 1e6, points.tokens / 1e9, points.loss)
    fit = fit_additive(scaled, objective=Objective(residual=residual, robust="none"))
    assert len(scaled) == 217
    law = fit.law
    assert (law.E, law.A, law.B, law.alpha, law.beta) == pytest.approx(expected, abs=6e-5)
    if score is not None:
        assert fit.score == pytest.approx(score, abs=5e-8)


PUBLISHED = [
    # file, filter, E, A, alpha, B, beta: an independent refit, printed to 4 digits
    ("chinchilla_isoflop.csv", {}, (1.872, 819.0, 0.3777, 3614.0, 0.3928)),
    ("gadre.csv", {"dataset": "c4_original"}, (1.62, 122.6, 0.2526, 242.6, 0.2622)),
    ("gadre.csv", {"dataset": "rpj"}, (1.72, 106.1, 0.2431, 298.0, 0.2730)),
    ("gadre.csv", {"dataset": "rw_original"}, (1.701, 76.77, 0.2226, 384.2, 0.2898)),
    ("datablations.csv", {"epochs": "1"}, (1.911, 452.9, 0.3390, 5405.0, 0.3873)),
    ("misfitting_curves.csv", {}, (2.427, 1528.0, 0.4164, 3.34e5, 0.6236)),
    ("llama3_isoflop.csv", {}, (0.5942, 38.33, 0.2835, 160.2, 0.3157)),
    # the authors' stored parameters: all 261 final rows, losses on log loss with Huber 1e-3
    ("misfitting_final.csv", {}, (1.808, 51.4, 0.2002, 4.7e5, 0.6357)),
]


def test_public_sets_give_the_refit_coefficients(public):
    """Coefficients agree with independent refits to the digits these print (3 or 4)."""
    for name, where, expected in PUBLISHED:
        law = fit_additive(public(name, where=where)).law
        assert (law.E, law.A, law.alpha, law.B, law.beta) == pytest.approx(expected, rel=6e-3), (name, where)


def test_the_five_outliers_decide_the_fit_to_all_245_points(chinchilla):
    """With all rows beta jumps to 0.453 and B six-fold (an independent refit: 0.4530 and 12,850)."""
    law = fit_additive(chinchilla).law
    assert law.beta == pytest.approx(0.4530, abs=1e-3)
    assert pytest.approx(12850, rel=5e-3) == law.B


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("params_non_embedding", (0.0, 7.434, 0.0502, 6.862e5, 0.6570)),
        ("params", (1.398, 21.68, 0.1382, 8.812e5, 0.6699)),
    ],
)
def test_counting_embeddings_decides_whether_there_is_a_floor(columns, size, expected):
    """Best of each learning-rate sweep, 81 cells: without embeddings E runs to 0, with them it does not."""
    table = columns("misfitting_final.csv")
    params, tokens, loss = (table[key].astype(float) for key in (size, "tokens", "loss"))
    best = {}
    for k in np.argsort(loss):
        best.setdefault((table["params"][k], table["tokens"][k]), k)
    rows = list(best.values())
    fit = fit_additive(Points.of(params[rows], tokens[rows], loss[rows]))
    law = fit.law
    assert len(rows) == 81
    assert (law.E, law.A, law.alpha, law.B, law.beta) == pytest.approx(expected, rel=6e-3, abs=1e-6)
    assert ("E" in fit.bounds) == (expected[0] == 0)


GADRE = [
    ("rpj", (166.210983656, 287.168077678, 1.8366483787, 0.272850702476), {(1439795200, 640): 0.7103}),
    ("c4_original", (113.69260425, 152.512257697, 1.50826055046, 0.242472239849), {(6889410560, 20): 4.3}),
    ("rw_original", (125.095693514, 196.029305628, 1.73446207897, 0.254394843487), {(6889410560, 20): 1.6}),
]


def test_the_tied_five_point_fits_of_gadre(columns, public):
    """Least squares on five small runs predicts the large ones as published (arXiv:2403.08540)."""
    table, points = columns("gadre.csv"), public("gadre.csv")
    ratio = table["token_multiplier"].astype(float)
    objective = Objective(residual="linear", robust="none")
    for dataset, expected, targets in GADRE:
        mine = table["dataset"] == dataset
        small = mine & (((ratio == 20) & (points.params < 5e8)) | ((ratio == 320) & (points.params < 2e7)))
        law = fit_surface(points.select(small), Coordinates(tied=True), objective=objective).law
        assert (law.A, law.B, law.E, law.alpha) == pytest.approx(expected, rel=1e-4), dataset
        for (params, multiple), percent in targets.items():
            at = np.flatnonzero(mine & (points.params == params) & (ratio == multiple))[0]
            error = abs(law.loss(points.params[at], points.tokens[at]) / points.loss[at] - 1)
            assert 100 * error == pytest.approx(percent, abs=0.05), dataset


def test_a_law_far_from_chinchilla_is_recovered_without_noise(sweep):
    """N* = 17.4B at 1e21 FLOP, recovered to 1e-6 (and in fact to rounding)."""
    scale = (17.4e9 / (1e21 / 6) ** 0.6) ** (0.2 + 0.3)  # G^(alpha + beta) for a = 0.6
    law = Additive(E=0.9, A=30.0 * scale * 0.3 / 0.2, B=30.0, alpha=0.2, beta=0.3)
    assert law.best_split(1e21 / 6)[0] == pytest.approx(17.4e9, rel=1e-12)
    found = fit_additive(sweep(law, sizes=(1e8, 1e11, 7), tokens=(1e8, 1e11, 7))).law
    assert found.best_split(1e21 / 6)[0] == pytest.approx(17.4e9, rel=1e-6)


@settings(max_examples=40)
@given(
    terms=st.tuples(st.floats(0.3, 3.0), st.floats(0.1, 1.5), st.floats(0.1, 1.5)),
    exponents=st.tuples(st.floats(0.12, 0.9), st.floats(0.12, 0.9)),
    robust=st.sampled_from(["huber", "l1", "none"]),
    residual=st.sampled_from(["log", "linear"]),
)
def test_any_noise_free_law_is_recovered(terms, exponents, robust, residual):
    """Every objective has its zero at the truth; terms are given at N = 1e9, D = 2e10."""
    (floor, size, data), (alpha, beta) = terms, exponents
    law = Additive(E=floor, A=size * 1e9**alpha, B=data * 2e10**beta, alpha=alpha, beta=beta)
    params, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(3e7, 3e9, 6), np.geomspace(1e9, 1e11, 6)))
    points = Points.of(params, tokens, law.loss(params, tokens))
    found = fit_additive(points, objective=Objective(robust=robust, residual=residual)).law
    # rounding of the losses, 1e-16, times the condition of the law, up to 1e5 here
    assert (found.E, found.alpha, found.beta) == pytest.approx((law.E, law.alpha, law.beta), rel=1e-7)


def test_the_score_is_never_above_the_start(sweep):
    """The refinement only ever descends."""
    for seed in range(5):
        points = sweep(noise=0.01, seed=seed)
        surface = Surface.of(points, Objective(), Coordinates())
        rss, nodes = surface.profile(28)
        start = basins(rss[0], nodes[0], count=28, tied=False, most=3)
        assert fit_additive(points).score <= surface.score(start).min()


@pytest.mark.parametrize("seed", range(4))
def test_no_start_of_another_optimiser_does_better(sweep, seed):
    """Twenty BFGS runs from scattered starts and the truth end no lower than 1e-6 below."""
    from scipy.optimize import minimize

    points = sweep(noise=0.008, seed=seed, sizes=(5e7, 2e9, 5), tokens=(1e9, 4e10, 5))
    fit = fit_additive(points)
    (x, y), delta = points.logs, 1e-3

    def objective(theta):
        with np.errstate(all="ignore"):
            size, data = np.exp(theta[0] - theta[1] * x), np.exp(theta[2] - theta[3] * y)
            law = size + data + np.exp(theta[4])
            residual = np.log(law) - np.log(points.loss)
        if not np.all(np.isfinite(residual)):
            return 1e9, np.zeros(5)
        psi = np.clip(residual, -delta, delta)
        pull = psi / law
        slope = [pull @ size, -(pull * size) @ x, pull @ data, -(pull * data) @ y, pull.sum() * np.exp(theta[4])]
        return (psi @ (residual - psi / 2)) / fit.score, np.array(slope) / fit.score

    generator = np.random.default_rng(seed)
    starts = [[0.0, 0.35, 0.0, 0.37, 0.6], *generator.uniform([-2, 0.05, -2, 0.05, -1], [1, 0.9, 1, 0.9, 1], (20, 5))]
    best = min(minimize(objective, start, jac=True, method="BFGS", options={"gtol": 1e-9}).fun for start in starts)
    assert best >= 1 - 1e-6


def test_tied_exponents_are_equal_and_a_floor_is_kept(sweep):
    """The reduced forms have the coefficients they promise and never a lower objective."""
    points = sweep(noise=0.005)
    full = fit_additive(points)
    tied = fit_surface(points, Coordinates(tied=True))
    zero = fit_surface(points, Coordinates(floor=0.0))
    assert tied.law.alpha == tied.law.beta
    assert zero.law.E == 0.0
    assert zero.law.alpha < 0.2 or zero.law.beta < 0.2  # E absorbs curvature: without it exponents collapse
    assert min(tied.score, zero.score) >= full.score * (1 - 1e-9)


def test_a_law_without_floor_is_found_on_the_bound(sweep):
    """E = 0 is a point of the box and not a limit at minus infinity, and it is named."""
    law = Additive(E=0.0, A=400.0, B=400.0, alpha=0.3, beta=0.3)
    fit = fit_additive(sweep(law))
    assert pytest.approx(0.0, abs=1e-9) == fit.law.E
    assert fit.bounds == ("E",)


def test_scaling_the_runs_scales_the_coefficients(sweep):
    """N in millions and L in bits change A, B and E by the factors the formula says, not the exponents."""
    points = sweep(noise=0.005)
    law = fit_additive(points).law
    other = fit_additive(Points.of(points.params / 1e6, points.tokens, points.loss / np.log(2))).law
    assert (other.alpha, other.beta) == pytest.approx((law.alpha, law.beta), rel=1e-6)
    assert pytest.approx(law.A * 1e-6**law.alpha / np.log(2), rel=1e-5) == other.A
    assert pytest.approx(law.E / np.log(2), rel=1e-6) == other.E


def test_a_weight_of_two_is_the_run_twice(sweep):
    """Weights count runs, in the single fit and in refits."""
    points = sweep(noise=0.005)
    weight = np.where(np.arange(len(points)) % 3 == 0, 2.0, 1.0)
    twice = np.repeat(np.arange(len(points)), weight.astype(int))
    expanded = fit_additive(points.select(twice))
    weighted = fit_additive(Points.of(points.params, points.tokens, points.loss, weight=weight))
    assert weighted.score == pytest.approx(expanded.score, rel=1e-7)
    refit = refit_surface(points, weight[None], base=fit_additive(points))
    assert refit.score[0] == pytest.approx(expanded.score, rel=1e-6)


def test_refits_of_equal_weights_return_the_fit(chinchilla_240):
    """A resample in which every run counts once is the fit itself."""
    base = fit_additive(chinchilla_240)
    refits = refit_surface(chinchilla_240, np.ones((3, 240)), base=base)
    assert refits.score == pytest.approx([base.score] * 3, rel=1e-9)
    assert refits.converged.all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1e8, 2e8], [1e9, 2e9], [3.0, -1.0]), "loss -1 in run 2 is not a positive number"),
        (([1e8, float("nan")], [1e9, 2e9], [3.0, 2.0]), "params nan in run 2 is not a positive number"),
        (([1e8, 2e8], [1e9], [3.0, 2.0]), "columns of different length: params 2, tokens 1, loss 2"),
        (([[1e8]], [1e9], [3.0]), "params is not a column of numbers"),
    ],
)
def test_columns_that_are_no_runs_are_refused(columns, message):
    """The message names the column and the run."""
    with pytest.raises(UsageError, match=message):
        Points.of(*columns)


def test_too_few_runs_and_impossible_floors_are_refused(sweep):
    """Five coefficients need five runs, and a floor lies below every loss."""
    points = sweep()
    with pytest.raises(UsageError, match="4 runs cannot determine 5 coefficients"):
        fit_additive(points.select(np.arange(4)))
    with pytest.raises(UsageError, match="a floor of 99 is not between 0 and the smallest loss"):
        fit_surface(points, Coordinates(floor=99.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"residual": "raw"}, "unknown residual 'raw'"),
        ({"robust": "tukey"}, "unknown robust function 'tukey'"),
        ({"delta": 0.0}, "delta '0.0' is not a positive number"),
    ],
)
def test_objectives_that_do_not_exist_are_refused(options, message):
    """An unknown choice is an error and never a default."""
    with pytest.raises(UsageError, match=message):
        Objective(**options)
