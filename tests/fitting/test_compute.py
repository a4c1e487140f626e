"""The file's own count of compute: recognised as a function of the sizes, kept, planned in, or warned of."""

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.fitting.compute import own_count
from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Cost

LAW = Additive(E=1.8, A=420.0, B=1300.0, alpha=0.34, beta=0.345)
SIZES, RATIOS = np.geomspace(3e7, 3e9, 6), np.geomspace(2, 200, 5)
N = np.repeat(SIZES, 5)
D = N * np.tile(RATIOS, 6)
ROWS = np.arange(2, 32)


def found(flops, *, stated=None):
    return own_count(N, D, np.asarray(flops), stated=stated, rows=ROWS)


def noise(scale, seed=0):
    return np.exp(np.random.default_rng(seed).uniform(-scale, scale, len(N)))


@pytest.mark.parametrize(
    ("flops", "convention", "error"),
    [
        (6 * N * D, "6ND", 0.0),
        (6 * N * D * noise(0.02), "6ND", 0.02),  # sizes written with two digits
        (6 * N * D * noise(0.1), "6ND", 0.11),  # budgets that runs were rounded to
        (8 * N * D, "8ND", 1e-3),  # recomputation
        (3 * N * D * noise(0.01), "3ND", 0.02),
        (2.5 * N * D, "2.5ND", 1e-3),
        ((6 * N + 3e8) * D, "6ND + 3e+08D", 1e-3),  # attention, or an embedding that N leaves out
        (0.05 * N**1.2 * D, "0.05N^1.2D", 1e-3),
        (6 * (N - 1.2e4 * N**0.4) * D, None, 0.12),  # embeddings that N counts
    ],
)
def test_compute_that_follows_from_the_sizes_is_a_convention(flops, convention, error):
    """It is written, read back, and gives the file's own compute."""
    own = found(flops)
    if convention is not None:
        assert own.convention.split("N")[0] == pytest.approx(convention.split("N")[0], abs=0) or (
            float(own.convention.split("N")[0]) == pytest.approx(float(convention.split("N")[0]), rel=0.02)
        )
    assert Cost.from_convention(own.convention) == own.cost
    assert own.cost.flops(N, D) == pytest.approx(flops, rel=error + 2e-3)
    assert [warning.code for warning in own.warnings] == ([] if own.convention == "6ND" else ["own_compute"])
    assert not own.jumps.any()


@pytest.mark.parametrize("base", [6 * N * D, 8 * N * D, 0.05 * N**1.2 * D])
def test_rows_that_jump_are_named(base):
    """One of N, D and C of such a row is wrong; the others still tell the count."""
    flops = base.copy()
    flops[[3, 17]] *= (10, 0.4)
    own = found(flops)
    assert np.flatnonzero(own.jumps).tolist() == [3, 17]
    message = next(warning.message for warning in own.warnings if warning.code == "compute_differs")
    assert "disagree in row 5, 19" in message
    assert own.cost.flops(N, D) == pytest.approx(base, rel=2e-3)


def test_compute_without_a_pattern_is_counted_from_the_sizes():
    """Then all compute is in one unit, and the warning gives the range."""
    own = found(6 * N * D * noise(1.5))
    assert (own.convention, own.counted.all(), own.jumps.any()) == ("6ND", True, False)
    assert own.warnings[0].code == "compute_differs"


def test_a_stated_convention_is_never_replaced():
    """What differs from it is counted by it, with a warning."""
    own = found(8 * N * D, stated="6ND")
    assert (own.convention, own.counted.all(), own.warnings[0].code) == ("6ND", True, "own_compute")
    assert found(8 * N * D, stated="8ND").warnings == ()


@pytest.fixture
def file(tmp_path):
    """Return a function that writes runs of the law with their compute."""

    def write(flops):
        loss = LAW.loss(N, D)
        path = tmp_path / "runs.csv"
        rows = zip(N.tolist(), D.tolist(), np.broadcast_to(flops, N.shape).tolist(), loss.tolist(), strict=True)
        path.write_text("\n".join(["N,D,C,loss", *(",".join(map(repr, row)) for row in rows)]), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "counted", [lambda n: 8 * n, lambda n: 2 * n, lambda n: 6 * n + 3e8, lambda n: 0.05 * n**1.2]
)
def test_plans_are_made_in_the_files_own_count(file, counted):
    """The optimum of the true law under the file's compute, found on a fine grid, and a range in the same unit."""
    fitted = sp.fit(file(counted(N) * D), samples=0)
    budget = 1e21
    plan = sp.optimal(preset=fitted.preset, flops=budget)
    sizes = np.geomspace(1e8, 1e11, 20001)
    best = sizes[np.argmin(LAW.loss(sizes, budget / counted(sizes)))]
    assert plan.params == pytest.approx(best, rel=0.02)
    assert counted(plan.params) * plan.tokens == pytest.approx(budget, rel=0.01)
    assert fitted.preset.range.flops == pytest.approx((counted(N) * D)[[0, -1]], rel=1e-6)
    assert fitted.plan().flops == pytest.approx(10 * fitted.preset.range.flops[1], rel=1e-6)
    by_six = sp.fit(file(counted(N) * D), samples=0, flops_convention="6ND").preset
    assert by_six.range.flops == pytest.approx((6 * N * D)[[0, -1]], rel=1e-6)


def test_parabolas_agree_with_their_plan(tmp_path):
    """Size and tokens of a budget in the file's own count, by the exponents and by the plan."""
    n, d, budgets = [], [], np.repeat([1e19, 1e20, 1e21, 1e22], 9)
    for flops in budgets[::9]:
        sizes = np.geomspace(1e8, 1e10, 2001)
        best = sizes[np.argmin(LAW.loss(sizes, flops / (0.05 * sizes**1.2)))]
        n += (best * np.geomspace(0.3, 3, 9)).tolist()
        d += (flops / (0.05 * np.array(n[-9:]) ** 1.2)).tolist()
    path = tmp_path / "runs.csv"
    rows = zip(budgets.tolist(), n, d, LAW.loss(np.array(n), np.array(d)).tolist(), strict=True)
    path.write_text("\n".join(["C,N,D,loss", *(",".join(map(repr, row)) for row in rows)]), encoding="utf-8")
    fitted = sp.fit(path, method="isoflop", samples=0)
    plan = sp.optimal(preset=fitted.preset, flops=1e22)
    assert plan.tokens == pytest.approx(fitted.law.tokens_by_law(1e22), rel=0.02)
    assert 0.05 * plan.params**1.2 * plan.tokens == pytest.approx(1e22, rel=1e-3)


@pytest.mark.parametrize("cost", [Cost(per_param_token=0.05, exponent=1.2), Cost(per_param_token=3, exponent=0.9)])
@pytest.mark.parametrize("more", [{}, {"per_token": 1e8}, {"per_param": 2e12}, {"routing": 5.0}])
def test_a_power_of_the_size_is_inverted_exactly(cost, more):
    """The size on a number of tokens, or at a ratio, spends the budget."""
    from dataclasses import replace

    full = replace(cost, **more)
    size = full.params(2e10, 1e21)
    assert full.flops(size, 2e10) == pytest.approx(1e21, rel=1e-9)
    size = full.params_at_ratio(20.0, 1e21)
    assert full.flops(size, 20 * size) == pytest.approx(1e21, rel=1e-9)
    assert not full.is_product
