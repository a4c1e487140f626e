"""Which rows are dropped or flagged, with which reason: every rule alone, on tables made here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError, UsageError
from scaleplan.fitting.cleaning import beaten_by_smaller, best_of_cells, cells_of, far_above_cell
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.runs import REASONS


def read(tmp_path, header, *rows, **options):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_runs(path, **options)


def found(findings):
    return [(finding.row, finding.reason, finding.detail) for finding in findings]


def test_rows_that_are_no_runs_are_headings(tmp_path):
    """Section rows and a repeated header are told apart from runs that lack a value."""
    runs = read(
        tmp_path,
        "params,tokens,loss,lr",
        "12M,,,",
        "12M,2e9,3.5,1e-3",
        "params,tokens,loss,lr",
        "17M,2e9,,1e-3",
        "17M,,3.2,1e-3",
        "17M,2e9,3.4,1e-3",
    )
    assert runs.rows.tolist() == [3, 7]
    assert found(runs.dropped) == [
        (2, "heading", "neither a loss nor the size: tokens, flops not given"),
        (4, "heading", "the column names again"),
        (5, "missing_loss", "the loss is empty or NaN"),
        (6, "missing_size", "tokens, flops not given"),
    ]


def test_values_that_cannot_be_measured_are_dropped(tmp_path):
    """Zero and infinite losses, and sizes or weights that are not positive, have their own reasons."""
    runs = read(
        tmp_path,
        "params,tokens,loss,weight",
        "1e8,2e9,0.0,1",
        "1e8,2e9,inf,1",
        "0,2e9,3.5,1",
        "1e8,-2e9,3.5,1",
        "1e8,2e9,3.5,0",
        "1e8,2e9,3.5,",
        "1e8,2e9,3.5,2",
    )
    assert [(f.row, f.reason) for f in runs.dropped] == [
        (2, "zero_loss"),
        (3, "diverged"),
        (4, "bad_value"),
        (5, "bad_value"),
        (6, "bad_value"),
        (7, "missing_value"),
    ]
    assert runs.weight.tolist() == [2.0]


def test_unfinished_runs_are_dropped_when_others_finished(tmp_path):
    """A crashed run's last loss is no final loss; the state is quoted, and it can be kept on request."""
    rows = ["1e8,2e9,3.5,finished", "2e8,4e9,5.0,crashed", "4e8,8e9,4.9,Running"]
    runs = read(tmp_path, "N,D,loss,State", *rows)
    assert found(runs.dropped) == [(3, "crashed", "state 'crashed'"), (4, "crashed", "state 'running'")]
    kept = read(tmp_path, "N,D,loss,State", *rows, keep=["crashed"])
    assert len(kept) == 3
    assert [f.row for f in kept.flagged if f.reason == "crashed"] == [3, 4]


def test_a_state_that_all_runs_share_says_nothing(tmp_path):
    """Trackers call a run failed when its job dies after the end: if none finished, all are kept and flagged."""
    runs = read(tmp_path, "N,D,loss,State", "1e8,2e9,3.5,failed", "2e8,4e9,3.2,failed")
    assert len(runs) == 2
    assert [f.reason for f in runs.flagged] == ["crashed", "crashed"]
    assert "no run is marked finished: 2 runs with another state are kept" in runs.notes


def test_the_same_row_again_is_dropped_however_it_is_written(tmp_path):
    """A named run exported twice, once with rounded sizes, is one run; another setting or seed is another run."""
    runs = read(
        tmp_path,
        "name,lr,N,D,loss",
        "a,3e-3,153677376,1536773760,3.8958494",
        "a,0.003,154M,1.54B,3.8958494",
        "a,1e-3,154M,1.54B,3.8958494",
        "b,3e-3,154M,1.54B,3.8958494",
    )
    assert found(runs.dropped) == [(3, "duplicate", "the same as row 2")]


def test_without_names_only_equal_numbers_are_the_same_row(tmp_path):
    """Digitised points may share a loss at sizes that round alike, and are two measurements."""
    runs = read(tmp_path, "N,D,loss", "1.000e8,2e9,3.5", "1.004e8,2e9,3.5", "1e8,2000000000,3.50")
    assert found(runs.dropped) == [(4, "duplicate", "the same as row 2")]
    kept = read(tmp_path, "N,D,loss", "1e8,2e9,3.5", "1e8,2e9,3.5", keep=["duplicate"])
    assert len(kept) == 2
    assert [f.reason for f in kept.flagged] == ["duplicate", "same_point"]


def test_the_same_point_under_another_setting_is_flagged(tmp_path):
    """Equal sizes and loss at another learning rate are suspicious, and stay."""
    runs = read(tmp_path, "N,D,lr,loss", "1e8,2e9,1e-3,3.5", "1e8,2e9,3e-3,3.5")
    assert found(runs.flagged) == [(3, "same_point", "sizes and loss of row 2")]


SWEEP = ["1e8,2e9,3.50", "1e8,2e9,3.52", "100M,2.01B,3.55", "1e8,2e9,3.51", "1e8,2e9,4.2", "1e8,2e9,5.6"]


def test_a_diverged_run_stands_far_above_its_sweep(tmp_path):
    """At 1.6 times the median of six runs it goes; at 1.2 times it is an outlier and stays."""
    runs = read(tmp_path, "N,D,loss", *SWEEP)
    assert found(runs.dropped) == [
        (7, "diverged", "loss 5.600 is 1.58x the median of the 6 runs of that size"),
    ]
    assert [(f.row, f.reason) for f in runs.flagged] == [(6, "outlier")]
    assert len(read(tmp_path, "N,D,loss", *SWEEP, keep=["diverged"])) == 6


def test_three_runs_are_too_few_to_call_one_diverged(tmp_path):
    """A median of three says little; nothing is dropped."""
    assert len(read(tmp_path, "N,D,loss", *SWEEP[-3:])) == 3


def test_the_best_of_each_sweep_is_kept_on_request(tmp_path):
    """One run a cell and group remains, the others name it; the diverged run is not called 'not best'."""
    runs = read(tmp_path, "N,D,loss", *SWEEP, "2e8,2e9,3.3", best=True)
    assert runs.rows.tolist() == [2, 8]
    assert runs.dropped_by_reason() == {"not_best": 4, "diverged": 1}
    assert runs.dropped[0].detail == "row 2 has 3.500"


def test_groups_have_cells_of_their_own(tmp_path):
    """The best of each group is kept when runs are grouped."""
    rows = ["1e8,2e9,3.5,rw", "1e8,2e9,3.4,rw", "1e8,2e9,3.9,c4"]
    runs = read(tmp_path, "N,D,loss,corpus", *rows, best=True, group="corpus")
    assert runs.rows.tolist() == [3, 4]
    assert runs.group == ("rw", "c4")


def test_repeated_data_is_another_cell(tmp_path):
    """Four epochs on a quarter of the data are not a failed run of one epoch."""
    rows = [*(f"1e8,2e9,2e9,3.5{i}" for i in range(5)), "1e8,2e9,1e7,9.0"]
    assert len(read(tmp_path, "N,D,unique_tokens,loss", *rows)) == 6


def test_a_large_run_that_smaller_ones_beat_is_flagged(tmp_path):
    """More parameters and more tokens at twice the loss is a failed run, though it has no cell; it stays."""
    rows = [f"{n}e8,{d}e9,{3.6 - 0.02 * n - 0.01 * d:.3f}" for n in range(1, 6) for d in range(2, 8)]
    runs = read(tmp_path, "N,D,loss", *rows, "7e9,1.4e11,6.9")
    assert found(runs.flagged) == [
        (32, "worse_than_smaller", "30 runs no larger have a loss at least 1.5 times lower")
    ]


def test_small_budgets_are_left_out_on_request(tmp_path):
    """The least compute is an amount like any other, and each row says what it had."""
    runs = read(tmp_path, "N,D,loss", "1e8,2e9,3.5", "1e9,2e10,2.8", min_flops="100 EFLOP")
    assert runs.rows.tolist() == [3]
    assert found(runs.dropped) == [(2, "small", "1.2e18 FLOP, below 1e20 FLOP")]


def test_no_usable_row_is_an_error_with_counts(tmp_path):
    """The reasons are counted, and the first row says its particulars."""
    with pytest.raises(FileError, match="none of 2 rows is a usable run: 2 zero_loss") as caught:
        read(tmp_path, "N,D,loss", "1e8,2e9,0", "2e8,4e9,0")
    assert caught.value.hint == "row 2, the first of them: loss 0"


def test_only_judgements_can_be_overruled(tmp_path):
    """A row without a loss cannot be kept."""
    with pytest.raises(UsageError, match="unknown reason to keep 'missing_loss'"):
        read(tmp_path, "N,D,loss", "1e8,2e9,3.5", keep=["missing_loss"])


def test_every_row_is_accounted_for(tmp_path):
    """Rows that are read plus rows that are dropped are the rows of the file, each once, with a known reason."""
    rows = ["12M,,", "1e8,2e9,", "1e8,2e9,0", "x,2e9,3", *SWEEP, *SWEEP]
    runs = read(tmp_path, "N,D,loss", *rows)
    assert sorted([*runs.rows.tolist(), *(f.row for f in runs.dropped)]) == list(range(2, len(rows) + 2))
    assert {f.reason for f in (*runs.dropped, *runs.flagged)} <= set(REASONS)


sizes = st.sampled_from([1.0, 1.003, 2.0, 4.0, 4.01, 8.0])
points = st.lists(st.tuples(sizes, sizes, st.floats(1.0, 9.0)), min_size=1, max_size=60)


@given(points)
def test_rules_agree_with_their_plain_definitions(runs):
    """Cells, best of cell and 'beaten by smaller' equal what a double loop over all pairs finds."""
    params, tokens, loss = (np.array(column) for column in zip(*runs, strict=True))
    codes = np.zeros(len(runs), dtype=np.int64)
    alive = np.ones(len(runs), dtype=bool)
    cells = cells_of(codes, params, tokens)
    near = [[abs(np.log(a / c)) < 0.01 and abs(np.log(b / d)) < 0.01 for c, d, _ in runs] for a, b, _ in runs]
    assert (cells[:, None] == cells[None, :]).tolist() == near
    best = best_of_cells(loss, cells, alive)
    assert all(loss[i] == loss[cells == cells[i]].min() for i in range(len(runs)) if i not in best)
    beaten = beaten_by_smaller(params, tokens, loss, codes, alive)
    witnesses = {
        i: sum(c <= a and d <= b and low * 1.5 < high for c, d, low in runs) for i, (a, b, high) in enumerate(runs)
    }
    if beaten is None:
        assert sum(count > 0 for count in witnesses.values()) > 0.1 * len(runs)
    else:
        assert beaten == {i: count for i, count in witnesses.items() if count >= 3}


def test_the_rule_for_divergence_is_the_documented_one():
    """Robust z with a deviation of at least 1 %: 8 deviations are 8 % above the median of a tight sweep."""
    loss = np.array([3.0, 3.0, 3.0, 3.0, 3.0 * np.exp(0.079), 3.0 * np.exp(0.081)])
    cells = np.zeros(6, dtype=np.int64)
    apart = far_above_cell(loss, cells, np.ones(6, dtype=bool))
    assert apart == {5: (pytest.approx(np.exp(0.081)), 6)}


def test_five_thousand_rows_take_a_fraction_of_a_second(tmp_path, cpu_seconds):
    """The bound is ten times what it takes, so that a busy machine does not fail it and a quadratic rule does."""
    generator = np.random.default_rng(0)
    rows = [
        f"run{i},{n:.0f},{n * 20 * x:.0f},{1.8 + 400 / n**0.34 + 1 / x:.5f},{i % 7}e-3"
        for i, (n, x) in enumerate(
            zip(10 ** generator.uniform(7, 10, 5000), generator.uniform(1, 9, 5000), strict=True)
        )
    ]
    assert cpu_seconds(lambda: read(tmp_path, "name,params,tokens,loss,lr", *rows)) < 1.0
    assert len(read(tmp_path, "name,params,tokens,loss,lr", *rows)) == 5000


def test_sizes_that_no_run_can_have_are_named_and_left_out(tmp_path):
    """They would overflow every power of the fit."""
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n1e300,1e9,3.0\n5e-324,2e9,3.1\n1e8,2e9,3.4\n2e8,4e9,3.2\n")
    runs = read_runs(path)
    assert [(found.row, found.reason) for found in runs.dropped] == [(2, "bad_value"), (3, "bad_value")]
    assert len(runs) == 2


CURVE = [f"{10 ** (14 + k / 2):.6g},{1.5 + 4000 / 10 ** (0.22 * (14 + k / 2)):.5f}" for k in range(16)]


def test_runs_of_a_curve_are_compared_by_what_it_is_over(tmp_path):
    """The small runs of a clean curve have a far higher loss than most, and have not diverged."""
    many = [f"1e22,{1.57 + 1e-4 * k:.4f}" for k in range(30)]  # the median of all rows is that of the largest
    runs = read(tmp_path, "flops,loss", *CURVE, *many, needed=("flops", "loss"))
    assert (runs.dropped, runs.flagged, runs.notes) == ((), (), ())
    assert len(runs) == len(CURVE) + len(many)
    best = read(tmp_path, "flops,loss", *CURVE, *many, needed=("flops", "loss"), best=True)
    assert len(best) == len(CURVE) + 1  # one of each budget
    worse = read(tmp_path, "flops,loss", *CURVE, *many, "1e22,4.0", needed=("flops", "loss"))
    assert [(f.row, f.reason) for f in worse.dropped] == [(48, "diverged")]


def test_rows_of_other_sizes_are_no_duplicates_of_a_curve(tmp_path):
    """Runs of one budget may end at one loss; a row that is written twice is a duplicate all the same."""
    rows = ["1e8,2e9,1.2e18,3.5", "2e8,1e9,1.2e18,3.5", "2e8,1e9,1.2e18,3.5", "3e8,2e9,3.6e18,3.1"]
    runs = read(tmp_path, "N,D,C,loss", *rows, needed=("flops", "loss"))
    assert found(runs.dropped) == [(4, "duplicate", "the same as row 3")]
