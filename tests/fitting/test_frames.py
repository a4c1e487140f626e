"""Tables in memory: whatever a data frame is made of, its fit is that of its CSV file."""

from __future__ import annotations

import json
from collections import namedtuple
from decimal import Decimal

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import FileError, UsageError
from scaleplan.tables.frames import text_table

from .synthetic import LAWS, grid

POINTS = grid(LAWS["even"], noise=0.003, sizes=(5e7, 1e9, 5), tokens=(1e9, 3e10, 6))
COLUMNS = {
    "name": [f"run-{i}" for i in range(len(POINTS.params))],
    "params": [round(value) for value in POINTS.params.tolist()],
    "tokens": POINTS.tokens.tolist(),
    "loss": POINTS.loss.tolist(),
    "lr": [1e-3 if i % 2 else None for i in range(len(POINTS.params))],
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write the runs as pandas does."""
    found = tmp_path_factory.mktemp("frames") / "data frame.csv"
    rows = ["" if value is None else str(value) for values in zip(*COLUMNS.values(), strict=True) for value in values]
    lines = [",".join(rows[i : i + len(COLUMNS)]) for i in range(0, len(rows), len(COLUMNS))]
    found.write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    return found


@pytest.fixture(scope="module")
def of_file(path):
    """Return what the fit of the file says."""
    return said(sp.fit(path))


def said(result):
    """Return a result without the name of its table."""
    return {key: value for key, value in result.to_dict().items() if key != "file"}


def records():
    return [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


def of(library, make):
    return lambda: make(pytest.importorskip(library, reason=f"{library} is not installed"))


FORMS = {
    "pandas": of("pandas", lambda pd: pd.DataFrame(COLUMNS)),
    "an index of names": of("pandas", lambda pd: pd.DataFrame(COLUMNS).set_index("name", drop=False)),
    "categories": of("pandas", lambda pd: pd.DataFrame(COLUMNS).astype({"name": "category", "params": "Int64"})),
    "polars": of("polars", lambda pl: pl.DataFrame(COLUMNS)),
    "a lazy frame": of("polars", lambda pl: pl.DataFrame(COLUMNS).lazy()),
    "pyarrow": of("pyarrow", lambda pa: pa.table(COLUMNS)),
    "columns": lambda: COLUMNS,
    "arrays": lambda: COLUMNS | {"tokens": POINTS.tokens, "params": np.array(COLUMNS["params"])},
    "records": records,
    "named tuples": lambda: [namedtuple("Run", COLUMNS)(**each) for each in records()],  # noqa: PYI024
}


@pytest.mark.parametrize("form", FORMS)
def test_a_frame_is_fitted_as_its_file(form, of_file):
    """To the last digit, the hash of the data included."""
    assert said(sp.fit(FORMS[form]())) == of_file


def test_what_takes_runs_takes_frames(path):
    """A backtest, a design, a choice from a pool, smaller runs, a picture."""
    assert said(sp.backtest(COLUMNS)) == said(sp.backtest(path))
    assert sp.choose_runs(COLUMNS, flops="30%").runs == sp.choose_runs(path, flops="30%").runs
    assert sp.design(COLUMNS, target="1e22", flops="1e20").runs == sp.design(path, target="1e22", flops="1e20").runs
    assert sp.plot("residuals", runs=COLUMNS).series == sp.plot("residuals", runs=str(path)).series


def test_a_frame_of_steps_is_a_log(tmp_path):
    """The same run as from a file, tracked alike."""
    steps = {"step": list(range(100, 10_001, 100)), "loss": [2 + 5 / i**0.5 for i in range(1, 101)]}
    file = tmp_path / "run.csv"
    file.write_text("step,loss\n" + "".join(f"{a},{b!r}\n" for a, b in zip(*steps.values(), strict=True)))
    (here,), (there,) = sp.runs(steps).runs, sp.runs(file).runs
    assert (here.loss, here.steps, here.run) == (there.loss, there.steps, "data frame")
    assert sp.track(steps, steps=20_000).loss == sp.track(file, steps=20_000).loss
    plan = sp.loss(params="1B", tokens="20B")
    saved = tmp_path / "plan.json"
    saved.write_text(json.dumps(plan.to_dict()))
    answers = [sp.track(steps, steps=20_000, params="1B", plan=each) for each in (plan, saved)]
    assert answers[0].plan_loss == answers[1].plan_loss == plan.loss


def test_the_table_of_runs_is_fitted_as_it_is(tmp_path):
    """What ``runs`` gave, without a file in between."""
    for i, (n, d, loss) in enumerate(zip(*(COLUMNS[name] for name in ("params", "tokens", "loss")), strict=True)):
        last = "".join(f"{step},{loss + 1 / step},{d / 1000 * step}\n" for step in range(100, 1001, 100))
        (tmp_path / f"run{i}-{n}.csv").write_text("step,loss,tokens\n" + last)
    table = sp.runs(tmp_path, params={f"run{i}-{n}": n for i, n in enumerate(COLUMNS["params"])})
    assert len(sp.fit(table).runs) == len(COLUMNS["params"])


def test_every_kind_of_cell_is_the_text_of_a_csv_file():
    """Missing values of all kinds are empty, single precision has its own digits, nested keys are joined by dots."""
    cells = [None, float("nan"), np.float32(3.1), Decimal("1.10"), True, 7, 1e21, "a,b", [1, 2]]
    assert [row[0] for row in text_table({"x": cells}).rows] == [
        "", "", "3.1", "1.10", "True", "7", "1e+21", "a,b", "[1, 2]",
    ]  # fmt: skip
    assert text_table([{"config": {"n": 1}}, {"loss": 2.5}]).names == ("config.n", "loss")
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None], dtype="Int64"),
            "b": pd.to_datetime(["2024-01-01", None]),
            "c": np.float32([3.1, 2]),
        }
    )
    assert text_table(frame).rows == [["1", "2024-01-01 00:00:00", "3.1"], ["", "", "2.0"]]


def test_a_nan_is_no_value_only_where_there_is_no_null():
    """Elsewhere it was computed, by a run that diverged, as the text nan of a CSV file says."""
    values = [2.5, None, float("nan")]
    written, gap = [["2.5"], [""], ["nan"]], [["2.5"], [""], [""]]
    assert text_table({"loss": values}).rows == text_table([{"loss": value} for value in values]).rows == written
    assert text_table({"loss": np.array(values, dtype=float)}).rows == gap
    assert text_table(np.array([(x or float("nan"),) for x in values], dtype=[("loss", float)])).rows == gap
    assert text_table({"loss": ["2.5", None, float("nan")]}).rows == gap
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for dtype in ("float64", "float32", "Float64", "object"):
        assert text_table(pd.DataFrame({"loss": pd.Series(values, dtype=dtype)})).rows == gap
    assert text_table({"loss": pd.Series(values)}).rows == gap
    for dtype in (pl.Float64, pl.Float32):
        assert text_table(pl.DataFrame({"loss": pl.Series(values, dtype=dtype)})).rows == written


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (5, "runs are no int"),
        (None, "runs are no NoneType"),
        (np.zeros((2, 2)), "runs are no ndarray"),
        ([3.0], "item 1 of the runs is no record"),
        ({}, "has no rows"),
        ([], "has no rows"),
        ({"params": [], "loss": []}, "has no rows"),
        ({"params": [None], "loss": np.array([float("nan")])}, "has no values"),
        ({"params": [1, 2], "loss": [3.0]}, "differ in length: 'params' has 2 values, 'loss' has 1"),
        ({"loss": 3.0}, "column 'loss' is no list"),
        ({0: [1e9], 1: [2.5]}, "have numbers, not names"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(table, message):
    """With the value, and what to give."""
    with pytest.raises((UsageError, FileError), match=message):
        sp.fit(table)


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_columns_of_one_name_are_refused(library):
    """Which of them is the loss cannot be known."""
    made = pytest.importorskip(library, reason=f"{library} is not installed")
    rows = [[1e9, 2e10], [2.5, 2.6], [2.7, 2.8]]
    names = ["params", "loss", "loss"]
    frame = made.DataFrame(dict(enumerate(rows))) if library == "pandas" else made.table(rows, names=names)
    if library == "pandas":
        frame.columns = names
    with pytest.raises(FileError, match="two columns of the data frame are called 'loss'"):
        sp.fit(frame)
