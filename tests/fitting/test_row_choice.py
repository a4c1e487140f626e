"""Rows that the user leaves out: by number, by a flag; and the final row of each run of a history."""

import pytest

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.fitting.reading import read_runs


def read(tmp_path, *lines, **options):
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_runs(path, **options)


RUNS = [
    f"{n:g},{n * r:g},{1.8 + 420 / n**0.34 + 1300 / (n * r) ** 0.345:.4f}" for n in (1e8, 2e8, 4e8) for r in (5, 20)
]


@pytest.mark.parametrize(
    ("texts", "rows"),
    [(["3"], [3]), (["2-4"], [2, 3, 4]), (["2-3, 6", "7"], [2, 3, 6, 7]), ("5,6", [5, 6]), (["6-99"], [6, 7])],
)
def test_rows_are_left_out_by_number(tmp_path, texts, rows):
    """As a spreadsheet counts them: the header is row 1."""
    runs = read(tmp_path, "params,tokens,loss", *RUNS, drop_rows=texts)
    assert [(finding.row, finding.reason) for finding in runs.dropped] == [(row, "left_out") for row in rows]


@pytest.mark.parametrize("text", ["1", "99", "x", "4-2", "", "-3"])
def test_a_row_that_is_not_there_is_an_error(tmp_path, text):
    """A misspelt number would leave the bad run in."""
    with pytest.raises(UsageError):
        read(tmp_path, "params,tokens,loss", *RUNS, drop_rows=[text])


def test_flagged_rows_are_left_out_by_their_flag(tmp_path):
    """A run that three smaller ones beat by a factor of 1.5 is flagged and used; ``diverged`` leaves it out."""
    lines = ["params,tokens,loss", *RUNS, "8e8,4e10,9.5"]
    lines[1:1] = [f"{n:g},{n * 10:g},3.{i}" for i, n in enumerate((1e7, 2e7, 3e7, 5e7, 6e7, 7e7, 8e7))]
    used = read(tmp_path, *lines)
    assert [finding.reason for finding in used.flagged] == ["worse_than_smaller"]
    for name in ("diverged", "worse_than_smaller"):
        runs = read(tmp_path, *lines, drop=[name])
        assert runs.dropped_by_reason() == {"worse_than_smaller": 1}
        assert len(runs) == len(used) - 1


@pytest.mark.parametrize(
    ("column", "cell"), [("diverged", "True"), ("is_nan", "1"), ("Exclude", "x"), ("bad run", "yes")]
)
def test_a_column_of_flags_marks_rows(tmp_path, column, cell):
    """The file says which runs failed: they are flagged where the name is a usual one, and left out on request."""
    lines = [f"params,tokens,loss,{column}", *(f"{run},{cell if i == 2 else ''}" for i, run in enumerate(RUNS))]
    used = read(tmp_path, *lines)
    assert len(used) == len(RUNS)
    assert [finding.row for finding in used.flagged] == ([] if column == "bad run" else [4])
    runs = read(tmp_path, *lines, drop=[column])
    assert [(finding.row, finding.reason) for finding in runs.dropped] == [(4, "marked")]


def test_a_flag_that_is_none_is_an_error(tmp_path):
    """Known ones are listed."""
    with pytest.raises(UnknownNameError, match="unknown flag 'divergd'"):
        read(tmp_path, "params,tokens,loss", *RUNS, drop=["divergd"])


HISTORY = [
    "run,step,params,tokens,train_loss,val_loss",
    "a,100,1e8,1e9,4.0,",
    "a,200,1e8,2e9,3.6,",
    "a,200,,,,3.7",  # the evaluation is a row of its own
    "b,100,2e8,1e9,3.9,",
    "b,100,,,,4.1",
    "b,300,2e8,3e9,3.1,",
    "b,300,,,,3.3",
    "b,200,2e8,2e9,3.4,",
    "b,200,,,,3.6",
]


def test_the_final_row_of_each_run_is_kept(tmp_path):
    """By step, not by place; sizes of an earlier row go with a loss that is written alone."""
    runs = read(tmp_path, *HISTORY, last=True, mapping={"loss": "val_loss"})
    assert (runs.rows.tolist(), runs.loss.tolist()) == ([4, 8], [3.7, 3.3])
    assert (runs.params.tolist(), runs.tokens.tolist()) == ([1e8, 2e8], [2e9, 3e9])
    assert set(runs.dropped_by_reason()) == {"not_last"}


def test_a_run_that_ends_in_nan_is_not_taken_at_its_last_number(tmp_path):
    """It diverged: the last finite loss is no result of it."""
    lines = ["name,step,params,tokens,loss"]
    lines += [f"{name},{s},1e8,{s}e7,{4 - s / 1000}" for name in "ab" for s in (100, 200, 300)]
    runs = read(tmp_path, *lines, "a,400,1e8,4e9,NaN", last=True)
    assert (runs.rows.tolist(), runs.dropped_by_reason()["missing_loss"]) == ([7], 1)


def test_the_final_row_needs_names(tmp_path):
    """Nothing else tells one run from another."""
    with pytest.raises(UsageError, match="needs a column with the names of runs"):
        read(tmp_path, "params,tokens,loss", *RUNS, last=True)
    assert (
        len(read(tmp_path, "x,params,tokens,loss", *(f"a,{run}" for run in RUNS), last=True, mapping={"name": "x"}))
        == 1
    )
