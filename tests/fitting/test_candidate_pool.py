"""The choice from a pool of candidates: what it keeps to, what it reads, and what it refuses."""

import csv
import math
import tempfile
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import FileError, UnknownNameError, UnreachableError, UsageError
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.pool_choice import PoolInputs, PoolModel, cheapest, choose, dearest, random_runs, spread
from scaleplan.fitting.runs import Points
from scaleplan.output.views.pool import pool_report

SIZES = [2e7 * 2**i for i in range(7)]
RATIOS = [5, 10, 20, 40, 80]
POOLS = Path(__file__).parents[2].parent / "shared" / "data" / "pools"


def write(path, rows):
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def candidates(**more):
    return [{"name": f"r{n:g}x{r}", "params": n, "tokens": n * r, **more} for n, r in product(SIZES, RATIOS)]


@pytest.fixture
def pool(tmp_path):
    return write(tmp_path / "pool.csv", candidates())


def rows_of(design):
    return [run.row for run in design.runs]


def test_the_list_keeps_to_its_budget_and_has_the_cells_of_the_file(pool):
    """5 % of 6ND of all rows; a row has its number as an editor shows it, and its cells are texts as they stand."""
    design = sp.choose_runs(pool, flops="5%")
    rows = candidates()
    cost = [6 * row["params"] * row["tokens"] for row in rows]
    assert design.pool_cost == pytest.approx(sum(cost))
    assert design.budget == pytest.approx(0.05 * sum(cost))
    assert design.spent == pytest.approx(sum(cost[row - 2] for row in rows_of(design)))
    assert design.spent <= design.budget * (1 + 1e-9)
    for run in design.runs:
        assert run.cells == {key: str(value) for key, value in rows[run.row - 2].items()}
    assert design.inputs == ("params", "tokens")
    assert len(set(rows_of(design))) == len(design.runs)


def test_an_amount_is_the_budget_in_flop(pool):
    assert sp.choose_runs(pool, flops=3e20).spent <= 3e20
    assert sp.choose_runs(pool, flops="3e20").budget == 3e20


def test_losses_are_not_looked_at(tmp_path, pool):
    """Any losses, or none, give the same list; that they were not used is said."""
    rng = np.random.default_rng(0)
    rows = [{**row, "val_loss": rng.uniform(2, 9), "acc": rng.uniform()} for row in candidates()]
    with_losses = sp.choose_runs(write(tmp_path / "losses.csv", rows), flops="5%")
    assert rows_of(with_losses) == rows_of(sp.choose_runs(pool, flops="5%"))
    assert with_losses.ignored == ("name", "val_loss", "acc")
    assert [notice.code for notice in with_losses.warnings] == ["pool_losses"]


def test_no_rival_within_the_bounds_is_expected_to_be_better(pool):
    for share in ("2%", "5%", "20%", "60%"):
        design = sp.choose_runs(pool, flops=share, most_runs=12)
        assert len(design.runs) <= 12
        assert not [rival for rival in design.better_rivals() if rival.bounded and "random" not in rival.name]
        assert all(rival.cost <= design.budget * (1 + 1e-9) for rival in design.rivals)


def test_a_rival_of_more_runs_than_a_list_may_have_is_named(tmp_path):
    """Where only the number of runs differs, the cheapest without a bound tell more, and the report says why."""
    rows = [{"lr": 1e-3 * 1.01**i, "params": 1e8} for i in range(200)]
    path = write(tmp_path / "pool.csv", rows)
    design = sp.choose_runs(path, flops="50%", most_runs=3, noise="30%")
    (better,) = (rival for rival in design.better_rivals() if not rival.bounded)
    assert (better.name, better.runs) == ("the cheapest", 100)
    remarks = pool_report(design).sections[0].remarks
    assert (
        "the cheapest: a smaller expected error by 100 runs, where a list has at most 3: --most-runs 100" in remarks
    )


def test_runs_that_are_there_cost_nothing_and_change_the_list(tmp_path, pool):
    there = write(tmp_path / "there.csv", [row for row in candidates() if row["params"] <= SIZES[2]])
    design = sp.choose_runs(pool, flops="5%", runs=there)
    alone = sp.choose_runs(pool, flops="5%")
    assert design.before is not None
    assert design.before > design.error
    assert alone.before is None
    assert design.error < alone.error
    assert min(float(run.cells["params"]) for run in design.runs) >= min(
        float(run.cells["params"]) for run in alone.runs
    )


def test_a_candidate_that_is_trained_already_is_not_offered_again(tmp_path):
    """One for one: of two rows with the inputs of one run a second seed is left."""
    rows = candidates()
    path, there = write(tmp_path / "pool.csv", rows), write(tmp_path / "there.csv", rows[:30])
    assert set(rows_of(sp.choose_runs(path, flops="100%", runs=there))) == set(range(32, 37))
    with pytest.raises(UnreachableError, match=r"every candidate is already among the runs of there\.csv"):
        sp.choose_runs(there, flops="100%", runs=there)
    with pytest.raises(UnreachableError, match="the cheapest candidate that is left"):
        sp.choose_runs(path, flops="1%", runs=there)
    twice, one = write(tmp_path / "twice.csv", rows[:3] * 2), write(tmp_path / "one.csv", rows[:2])
    assert sorted(rows_of(sp.choose_runs(twice, flops="100%", runs=one))) == [4, 5, 6, 7]


def test_a_bound_that_binds_nothing_changes_nothing(pool):
    """What a run costs beside its compute is of a usual list, however long a list may be."""
    assert rows_of(sp.choose_runs(pool, flops="50%", most_runs=500)) == rows_of(sp.choose_runs(pool, flops="50%"))


def test_compute_that_a_row_lacks_or_denies(tmp_path):
    """A gap is counted from the sizes; a row that says 0 is left out, and the others keep their compute."""
    rows = [{**row, "flops": 6 * row["params"] * row["tokens"]} for row in candidates()]
    rows[3]["flops"], rows[4]["flops"] = "", 0
    design = sp.choose_runs(write(tmp_path / "pool.csv", rows), flops="5%")
    assert (design.candidates, design.in_flops) == (len(rows) - 1, True)
    (message,) = (notice.message for notice in design.warnings if notice.code == "pool_rows")
    assert "row 6: flops is 0" in message
    tiny = write(tmp_path / "tiny.csv", [{**row, "params": 1e-300} for row in candidates()])
    with pytest.raises(FileError, match="too few to be a count"):
        sp.choose_runs(tiny, flops="5%")


def test_a_run_to_predict_that_cannot_be_read_is_named(tmp_path, pool):
    aims = write(tmp_path / "aims.csv", [{"params": 4e10, "tokens": 8e11}, {"params": -7, "tokens": 8e11}])
    (notice,) = sp.choose_runs(pool, flops="5%", target_runs=aims).warnings
    assert notice.message == "1 row of aims.csv left out, the first row 3: params is -7"


def test_a_target_beyond_the_pool_is_known_less_well(pool, tmp_path):
    errors = [sp.choose_runs(pool, flops="5%", target=flops).error for flops in (1e21, 1e22, 1e24)]
    assert errors == sorted(errors)
    further = write(tmp_path / "aims.csv", [{"params": 4e10, "tokens": 8e11}])
    named = sp.choose_runs(pool, flops="5%", target_runs=further)
    assert named.targets == "1 run of aims.csv"
    assert named.error > errors[0]


def test_further_inputs_are_columns_of_numbers_and_of_few_words(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        {**row, "lr": 10 ** rng.uniform(-4, -2), "share": i % 3 / 2, "data": "ab"[i % 2], "seed": i, "gpus": 8}
        for i, row in enumerate(candidates())
    ]
    path = write(tmp_path / "pool.csv", rows)
    design = sp.choose_runs(path, flops="20%")
    assert design.inputs == ("params", "tokens", "lr", "share", "data")
    assert design.ignored == ("name", "seed", "gpus")
    assert design.model == "a smooth model without a law"
    assert len({run.cells["data"] for run in design.runs}) == 2
    assert sp.choose_runs(path, flops="20%", inputs="params,tokens").model == "besiroglu-2024"
    assert sp.choose_runs(path, flops="20%", inputs=["lr"]).inputs == ("lr",)


def test_a_column_in_another_unit_counts_once(tmp_path):
    rows = [{**row, "width": row["params"] / 64, "lr": 1e-3 * (1 + i % 4)} for i, row in enumerate(candidates())]
    assert sp.choose_runs(write(tmp_path / "pool.csv", rows), flops="5%").inputs == ("params", "tokens", "lr")


def test_cost_without_tokens(tmp_path):
    """By parameters, with characters by both, or as given; a share is then the only budget."""
    rows = [{"params": n, "experts": e} for n, e in product(SIZES, (1, 4, 16, 64))]
    path = write(tmp_path / "experts.csv", rows)
    design = sp.choose_runs(path, flops="10%")
    assert (design.cost_by, design.in_flops) == ("params", False)
    assert "pool_cost" in [notice.code for notice in design.warnings]
    assert design.pool_cost == pytest.approx(4 * sum(SIZES))
    both = sp.choose_runs(path, flops="10%", pool_cost="params*experts")
    assert both.pool_cost == pytest.approx(85 * sum(SIZES))
    assert both.inputs == ("params", "experts")
    assert sp.choose_runs(path, flops="10%", pool_cost="1").spent == 2
    with pytest.raises(UsageError, match="no compute in FLOP"):
        sp.choose_runs(path, flops=1e20)
    letters = [{**row, "num_characters": 1e9 * row["experts"]} for row in rows]
    design = sp.choose_runs(write(tmp_path / "characters.csv", letters), flops="10%")
    assert design.cost_by == "params*num_characters"


def test_compute_in_the_file_is_the_cost(tmp_path):
    rows = [{**row, "flops": 7 * row["params"] * row["tokens"]} for row in candidates()]
    design = sp.choose_runs(write(tmp_path / "pool.csv", rows), flops="5%")
    assert design.in_flops
    assert design.pool_cost == pytest.approx(sum(row["flops"] for row in rows))


def test_limits_and_conditions_leave_candidates_out(pool):
    within = sp.choose_runs(pool, flops="50%", limit=["params <= 200M", "tokens_per_param <= 40"])
    assert within.candidates == 4 * 4
    assert sp.choose_runs(pool, flops="50%", where=["params <= 2e8"]).candidates == 4 * 5


def test_next_to_no_noise_is_the_rounding_of_a_loss(tmp_path, pool):
    """Candidates that are there twice are proper with it."""
    twice = write(tmp_path / "twice.csv", candidates() * 2)
    assert sp.choose_runs(twice, flops="50%", runs=pool, noise=1e-12).noise == 1e-4


def test_a_row_without_a_size_is_left_out_and_a_column_with_a_gap_is_no_input(tmp_path):
    """Both with a warning that names the row."""
    rows = [{**row, "lr": 1e-3 * (1 + i % 3)} for i, row in enumerate(candidates())]
    rows[3]["tokens"], rows[5]["lr"] = "", ""
    design = sp.choose_runs(write(tmp_path / "pool.csv", rows), flops="50%")
    assert (design.candidates, design.inputs) == (len(rows) - 1, ("params", "tokens"))
    told = {notice.code: notice.message for notice in design.warnings}
    assert "row 5" in told["pool_rows"]
    assert "'lr' is no input of the choice: row 7" in told["pool_gap"]


def test_a_file_without_an_input_of_the_pool_is_refused(tmp_path):
    rows = [{**row, "lr": 1e-3 * (1 + i % 3)} for i, row in enumerate(candidates())]
    path, there = write(tmp_path / "pool.csv", rows), write(tmp_path / "there.csv", candidates())
    with pytest.raises(FileError, match="no column 'lr'"):
        sp.choose_runs(path, flops="50%", runs=there)


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"flops": 1}, UnreachableError, "the cheapest candidate costs"),
        ({"flops": "5%", "most_runs": 501}, UsageError, "501 runs"),
        ({"flops": "5%", "inputs": "width"}, UnknownNameError, "width"),
        ({"flops": "5%", "inputs": "name"}, UsageError, "cannot be an input"),
        ({"flops": "5%", "limit": ["params <= 1"]}, UnreachableError, "no candidate"),
        ({"flops": "5%", "best": True}, UsageError, "--best is about losses"),
        ({"flops": "5%", "loss_unit": "bpb"}, UsageError, "--loss-unit is about losses"),
        ({"flops": "5%", "target": 1e22, "target_runs": "x"}, UsageError, "both say what to predict"),
        ({"flops": "5%", "preset": "kaplan-2020"}, UsageError, "needs an additive or three-exponent law"),
        ({"flops": "5%", "pool_cost": "hours"}, UnknownNameError, "hours"),
    ],
)
def test_what_is_wrong_is_refused(pool, keywords, error, match):
    with pytest.raises(error, match=match):
        sp.choose_runs(pool, **keywords)


def test_a_pool_without_a_cost_or_without_inputs_is_refused(tmp_path):
    with pytest.raises(FileError, match="no column for what a candidate costs"):
        sp.choose_runs(write(tmp_path / "lr.csv", [{"lr": 1e-3}, {"lr": 2e-3}]), flops="50%")
    same = [{"params": 1e8, "tokens": 2e9}] * 3
    with pytest.raises(FileError, match="no column tells its candidates apart"):
        sp.choose_runs(write(tmp_path / "same.csv", same), flops="50%")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 15), st.floats(0.05, 1.0))
def test_a_choice_of_any_pool_keeps_to_its_bounds(seed, inputs, most, share):
    """Within budget and number, no run twice, no worse than lists within the bounds; more runs leave less unknown."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(-1, 1, (20, inputs))
    cost = 10 ** rng.uniform(0, 3, 20)
    budget = max(share * float(np.sum(cost)), float(np.min(cost)))
    both = PoolInputs(np.concatenate([z, z]), np.zeros((40, 0), dtype=np.intp))
    model = PoolModel.of(both, np.ones(20), 0.01)
    rivals = [dearest(cost, budget, most), spread(z, cost, budget, most), random_runs(cost, budget, most, 0)]
    assert all(np.sum(cost[one]) <= budget * (1 + 1e-9) and len(one) <= most for one in rivals)
    found = choose(model, cost, budget, most=most, starts=rivals)
    assert 1 <= len(found) <= most
    assert len(set(found)) == len(found)
    assert np.sum(cost[found]) <= budget * (1 + 1e-9)
    errors = [model.error(found[:count]) for count in range(len(found) + 1)]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(errors))
    assert all(errors[-1] <= model.error(one) * (1 + 1e-9) for one in rivals)
    state = model.unknown
    for run in found:
        gain = state.gains()[run]
        after = state.with_run(run)
        assert gain == pytest.approx(state.variance - after.variance, rel=1e-6, abs=1e-12)
        state = after
    assert math.sqrt(max(state.variance, 0)) == pytest.approx(errors[-1], rel=1e-6)


def test_the_predicted_error_is_what_the_normal_model_leaves():
    """Two runs by hand: prior covariance K, runs R, targets t: K_tt - K_tR (K_RR + s^2)^-1 K_Rt, mean of kernels."""
    z = np.array([[-1.0], [0.0], [0.5], [1.0]])
    model = PoolModel.of(PoolInputs(z, np.zeros((4, 0), dtype=np.intp)), np.ones(1), 0.1)
    prior = model.prior(np.arange(4))
    left = [k[3, 3] - k[3, :2] @ np.linalg.solve(k[:2, :2] + 0.01 * np.eye(2), k[:2, 3]) for k in prior]
    assert model.error([0, 1]) == pytest.approx(math.sqrt(np.mean(left)), rel=1e-9)


@pytest.mark.skipif(not POOLS.is_dir(), reason="the public pools are not there")
def test_a_twentieth_of_a_public_pool_predicts_the_larger_rows():
    """Farseer's dearest fifth from 5 % of the rest: within 0.6 % by the forecast of a fit; the cheapest far off."""
    with (POOLS / "farseer_train.csv").open() as stream:
        rows = [{key: float(cell) for key, cell in row.items()} for row in csv.DictReader(stream)]
    size, data, loss = (np.array([row[name] for row in rows]) for name in ("N", "D", "loss"))
    cost = size * data
    kept = np.flatnonzero(cost < np.quantile(cost, 0.8))
    out = np.setdiff1d(np.arange(len(rows)), kept)

    def error(chosen):
        fitted = fit_forecast(Points.of(size[chosen], data[chosen], loss[chosen]))
        return np.mean(np.abs(np.exp(fitted.predict(size[out], data[out])[0]) / loss[out] - 1))

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "pool.csv", [rows[i] for i in kept])
        design = sp.choose_runs(path, flops="5%")
    found = error(kept[[run.row - 2 for run in design.runs]])
    assert found <= 0.006
    assert error(kept[cheapest(cost[kept], 0.05 * np.sum(cost[kept]))]) > 2 * found
