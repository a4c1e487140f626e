"""Histories of any length, reduced in batches to the final rows of their runs: the same as reading them whole."""

import contextlib
import csv
import gzip
import io
import json
import shlex
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, UsageError
from scaleplan.fitting import batch_columns, csv_batches, histories
from scaleplan.fitting import table as tables
from scaleplan.fitting.histories import final_rows
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.table import read_table
from scaleplan.logs import collect
from scaleplan.tables import arrow_files
from scaleplan.tables.frames import TooLargeError

NAMES = ["run", "corpus", "step", "params", "tokens", "loss", "val_loss", "state", "note"]


@contextlib.contextmanager
def small_batches(rows=3):
    """Read a few rows at once, so that small tables have many batches."""
    with (
        mock.patch.object(arrow_files, "_ROWS", rows),
        mock.patch.object(csv_batches, "_HEAD_BYTES", 120),
        mock.patch.object(csv_batches, "_PIECE", 40 * rows),
        mock.patch.object(histories, "_PROBE", 2),
    ):
        yield


def text_of(names, rows):
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([names, *rows])
    return out.getvalue()


def answer(read):
    """Return what a history amounts to: the runs and what is told of them, or the error."""
    try:
        runs = read()
    except ScaleplanError as error:
        return type(error).__name__, error.message.partition(": row")[0]
    sizes = [getattr(runs, name) for name in ("params", "tokens", "flops", "loss")]
    dropped = [each for each in runs.dropped if each.reason not in ("not_last", "heading")]
    return {
        "rows": runs.rows.tolist(),
        "values": [np.nan_to_num(values, nan=-1).tolist() for values in sizes],
        "texts": (runs.labels, runs.group, runs.columns),
        "found": [(each.row, each.reason, each.detail) for each in (*dropped, *runs.flagged)],
        "notes": [note for note in runs.notes if "of steps hold" not in note],
        "warnings": [each.message for each in runs.warnings],
    }


def both(path, **options):
    """Return what a file amounts to when it is read whole, and in batches."""
    reading = {name: options[name] for name in ("mapping", "loss_unit", "log10") if name in options}
    if "group" in options:
        reading["mapping"] = {**reading.get("mapping", {}), "group": options["group"]}
    whole = answer(lambda: read_runs(path, last=True, **options))

    def reduced():
        with small_batches():
            table = final_rows(path, batched=True, **reading)
        return read_runs(table, last=True, **options)

    return whole, answer(reduced)


runs = st.sampled_from(["a", "b", " c", "", "long name, with a comma"])
steps = st.one_of(st.integers(0, 5).map(lambda n: str(100 * n)), st.sampled_from(["", "", "inf", "x"]))
losses = st.one_of(st.floats(2.0, 4.0).map(lambda x: f"{x:.3f}"), st.sampled_from(["", "NaN", "nan", "inf", "3,.1x"]))
rows = st.tuples(
    runs,
    st.sampled_from(["c4", "code", ""]),
    steps,
    st.sampled_from(["1e8", "200M", "3.1e8", ""]),
    st.sampled_from(["1e9", "2e9", "2.02e9", ""]),
    losses,
    st.one_of(st.just(""), losses),
    st.sampled_from(["finished", "crashed", "running", ""]),
    st.sampled_from(["", "x", '"quoted"', "two\nlines", "#"]),
)
choices = st.fixed_dictionaries(
    {},
    optional={
        "group": st.just("corpus"),
        "where": st.lists(
            st.sampled_from(["step <= 300", "loss < 3.5", "corpus = c4", "state != crashed", "tokens > 1e9"]),
            max_size=2,
        ),
        "mapping": st.sampled_from(
            [
                {"loss": "val_loss"},
                {"name": "run~(.)"},
                {"tokens": "step*4096000"},
                {"name": "note"},
                {"params": "1e8"},
            ]
        ),
        "best": st.booleans(),
        "drop_rows": st.just("3-5"),
        "min_flops": st.just(1e18),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(rows, min_size=1, max_size=24), options=choices, shuffled=st.booleans())
def test_a_history_in_batches_is_the_history_read_whole(tmp_path, table, options, shuffled):
    """Ties and gaps of steps, restarts, NaN and missing losses, names, groups, states, conditions, rows by number."""
    if not shuffled:
        table = sorted(table, key=lambda row: row[0])
    path = tmp_path / "history.csv"
    path.write_text(text_of(NAMES, table), encoding="utf-8")
    whole, reduced = both(path, **options)
    assert reduced == whole


def test_sizes_are_those_of_the_last_row_before_the_final_one(tmp_path):
    """Of a run whose loss is in a row without its tokens, with rows after it that have tokens and no loss."""
    steps = ["100,1e8,1e9,4.0", "200,1e8,2e9,3.8", "300,,3e9,", "400,,,3.5", "500,,5e9,", "600,,6e9,"]
    path = tmp_path / "history.csv"
    path.write_text("\n".join(["run,step,params,tokens,loss", *(f"{run},{row}" for row in steps for run in "abc")]))
    whole, reduced = both(path)
    assert whole["values"][1] == [3e9] * 3
    assert reduced == whole


frames = st.lists(
    st.fixed_dictionaries(
        {
            "run": st.sampled_from(["a", "b", None]),
            "step": st.one_of(st.none(), st.integers(0, 5)),
            "params": st.sampled_from([10**8, 2 * 10**8, None]),
            "tokens": st.sampled_from([1e9, 2e9, None, float("nan")]),
            "loss": st.sampled_from([2.5, 3.1, 0.1, None, float("nan"), float("inf")]),
            "seed": st.sampled_from([0, 1]),
        }
    ).filter(lambda row: row["run"] is not None or row["step"] is not None),  # or it is no row of a history
    min_size=1,
    max_size=24,
)
SCHEMA = pa.schema(
    {
        "run": pa.string(),
        "step": pa.int32(),
        "params": pa.int64(),
        "tokens": pa.float64(),
        "loss": pa.float32(),
        "seed": pa.uint8(),
    }
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=frames, kind=st.sampled_from(["parquet", "arrow", "frame", "coded"]), options=choices)
def test_a_history_in_arrow_is_its_csv_file(tmp_path, records, kind, options):
    """Whole or in batches, from a file or from memory; single precision in its own digits."""
    options = {name: value for name, value in options.items() if name in ("best", "min_flops", "drop_rows")}
    table = pa.Table.from_pylist(records, schema=SCHEMA)
    if kind == "coded":
        table = table.set_column(0, "run", table["run"].dictionary_encode())
    lines = [["" if cell is None else str(cell) for cell in map(record.get, SCHEMA.names)] for record in records]
    path = tmp_path / "history.csv"
    path.write_text(text_of(list(SCHEMA.names), lines), encoding="utf-8")
    expected = answer(lambda: read_runs(path, last=True, **options))
    if kind == "frame":
        source = table
    else:
        source = tmp_path / "history.parquet"
        parquet.write_table(table, source, row_group_size=5)
        if kind == "arrow":
            source = tmp_path / "history.feather"
            feather.write_feather(table, source, chunksize=4)
    named = [expected]
    if isinstance(expected, tuple):
        names = ("the data frame", "data frame", "history.parquet", "history.feather")
        named = [(expected[0], expected[1].replace("history.csv", name)) for name in names]
    assert answer(lambda: read_runs(source, last=True, **options)) in named
    assert both_in_batches(source, **options) in named


def both_in_batches(source, **options):
    with small_batches():
        return answer(lambda: read_runs(final_rows(source, batched=True), last=True, **options))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(rows.filter(lambda row: row[0] in ("a", "b")), min_size=1, max_size=24))
def test_final_rows_of_metrics_and_keys_in_batches_are_those_of_the_whole(tmp_path, table):
    """For each run, value of the key, and column of losses."""
    path = tmp_path / "history.csv"
    path.write_text(text_of(NAMES, [[*row[:3], "1e8", "1e9", *row[5:]] for row in table]), encoding="utf-8")
    choice = {"keys": ["corpus", "state"], "losses": ["loss", "val_loss"]}
    with small_batches():
        reduced = final_rows(path, batched=True, **choice)
    whole = final_rows(path, batched=False, **choice)
    assert reduced.history == whole.history
    records = dict(zip(whole.rows, whole.records, strict=True))
    assert reduced.records == [records[row] for row in reduced.rows]
    assert set().union(*reduced.history.finals.values()) <= set(reduced.rows)


WIDE = [
    "run,corpus,step,params,tokens,c4_loss,code_loss",
    *("a,x,100,1e8,1e9,4.0,2.0", "a,x,200,1e8,2e9,3.6,", "a,x,300,1e8,3e9,,1.7", "a,x,400,1e8,4e9,,"),
    *("a,y,100,1e8,1e9,4.4,2.4", "b,x,100,2e8,1e9,3.9,1.9", "b,x,200,2e8,2e9,3.5,1.6"),
]


@pytest.mark.parametrize("batched", [False, True])
def test_each_metric_of_a_wide_table_has_its_own_final_rows(tmp_path, batched):
    """The last row with a value of the metric: metrics are evaluated at steps of their own."""
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(WIDE), encoding="utf-8")
    with small_batches():
        table = final_rows(path, keys=["corpus"], losses=["c4_loss", "code_loss"], batched=batched)
    assert table.history.finals["c4_loss"] == {3, 6, 8}
    assert table.history.finals["code_loss"] == {4, 6, 8}
    assert (table.history.count, table.history.end) == (7, 8)
    x = table.take([i for i, corpus in enumerate(table.column("corpus")) if corpus == "x"])
    runs = read_runs(x, mapping={"loss": "code_loss"})
    assert (runs.rows.tolist(), runs.loss.tolist()) == ([4, 8], [1.7, 1.6])
    assert read_runs(x, mapping={"loss": "c4_loss"}, last=True).loss.tolist() == [3.6, 3.5]
    with pytest.raises(UsageError, match="reduced for the loss"):
        read_runs(x, mapping={"loss": "step"})
    with pytest.raises(UnknownNameError, match="corpsu"):
        final_rows(path, keys=["corpsu"], losses=["c4_loss"], batched=batched)


def long_history(count):
    """Return a history of a hundred runs, whose rows are in the order of their steps."""
    run, step = np.tile(np.arange(100), count // 100), np.repeat(np.arange(count // 100), 100)
    params = 1e7 * (1 + run)
    tokens = 1e9 + 1e6 * step
    loss = 1.7 + 400 / params**0.34 + 410 / tokens**0.28
    names = [f"run {i}" for i in run]
    columns = {"run": names, "step": step, "params": params, "tokens": tokens, "loss": loss, "lr": params / 1e12}
    return pa.table(columns)


def test_a_long_history_is_never_whole_in_memory(tmp_path, monkeypatch):
    """The cells that are text at any time are those of a few rows, and a batch has no more rows than it may."""
    table = long_history(200_000)
    parquet.write_table(table, tmp_path / "long.parquet")  # one group of rows
    held = []
    texts = batch_columns.text_rows
    for module in (batch_columns, histories):
        monkeypatch.setattr(module, "text_rows", lambda batch: held.append(batch.num_rows) or texts(batch))
    seen = []
    look = histories._Scan.see

    def see(self, rows, batch):
        seen.append(len(rows))
        look(self, rows, batch)

    monkeypatch.setattr(histories._Scan, "see", see)
    runs = read_runs(tmp_path / "long.parquet", last=True)
    assert (len(runs), len(runs.dropped)) == (100, 0)
    assert runs.rows.tolist() == list(range(199_902, 200_002))
    assert "200,000 rows of steps hold 100 runs, of which the final rows are read" in runs.notes
    assert (sum(seen), max(seen)) == (200_000, arrow_files._ROWS)
    assert max(held) <= 1_100
    again = read_runs(table, last=True)
    assert np.array_equal(again.loss, runs.loss)


@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_a_csv_file_beyond_the_limit_is_reduced(tmp_path, monkeypatch, ending):
    """Without --last the error names it; with it any length is read, compressed or not."""
    text = text_of(
        ["run", "step", "params", "tokens", "loss"],
        [[f"r{i % 7}", i, 1e8 * (1 + i % 7), 1e9 + i, 3.0] for i in range(900)],
    )
    path = tmp_path / f"long.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    for module in ("scaleplan.fitting.table", "scaleplan.fitting.histories"):
        monkeypatch.setattr(f"{module}.MAX_BYTES", 10_000)
    with pytest.raises(FileError, match="larger than") as caught:
        read_runs(path)
    assert "--last" in caught.value.hint
    runs = read_runs(path, last=True)
    assert runs.rows.tolist() == list(range(895, 902))


def test_a_long_history_from_a_pipe_is_refused(monkeypatch):
    """It is read twice; the error does not name --last again."""
    monkeypatch.setattr("scaleplan.fitting.table.MAX_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"run,step,params,tokens,loss\n" * 90)))
    with pytest.raises(FileError, match="larger than") as caught:
        read_runs("-", last=True)
    assert caught.value.hint == "name its file: more than this is read from no pipe"


@pytest.mark.parametrize("bad", ["a,300,1e8\n", "# a comment\n", "\n", "b,100,2e8,1e9,3.9,extra\n", 'a,1,1,1,"3\n'])
def test_a_piece_of_a_csv_file_that_is_irregular_is_read_as_in_a_small_file(tmp_path, bad):
    """Rows that are cut short or too long, comments, empty lines, a quote without its end."""
    lines = ["run,step,params,tokens,loss\n", *(f"a,{i},1e8,{i + 1}e8,3.{i}\n" for i in range(30)), bad]
    lines += [f"b,{i},2e8,{i + 1}e8,3.{i}\n" for i in range(30)]
    path = tmp_path / "history.csv"
    path.write_text("".join(lines), encoding="utf-8")
    whole, reduced = both(path)
    assert reduced == whole


def test_numbers_with_commas_in_a_long_history_are_refused(tmp_path):
    """What kind of comma it is shows in a whole column, which is not in memory."""
    path = tmp_path / "history.csv"
    path.write_text(
        "run;step;params;tokens;loss\n" + "".join(f"a;{i};1e8;1e9;3,{i}\n" for i in range(99)), encoding="utf-8"
    )
    with pytest.raises(FileError, match="in column 'loss'"):
        final_rows(path, batched=True)


@pytest.mark.parametrize("kind", ["csv", "parquet", "polars", "pandas"])
@pytest.mark.parametrize("batched", [False, True])
def test_a_run_that_ends_in_nan_has_no_final_loss(tmp_path, kind, batched):
    """In whatever holds the table; pandas knows no NaN beside no value, as it writes both as an empty cell."""
    pl, path = pytest.importorskip("polars"), tmp_path / f"history.{kind}"
    names = ("run", "step", "params", "tokens", "loss")
    rows = [(run, step, 1e8, 1e9, 3.0 - step / 10) for run in ("a", "b", "c") for step in range(5)]
    rows[4] = (*rows[4][:4], float("nan"))
    frame = pl.DataFrame(rows, schema=names, orient="row")
    write = {"csv": frame.write_csv, "parquet": frame.write_parquet}.get(kind)
    source = (frame.to_pandas() if kind == "pandas" else frame) if write is None else path
    if write is not None:
        write(path)
    found = read_runs(final_rows(source, batched=batched), last=True)
    assert found.points().loss.tolist() == ([2.7, 2.6, 2.6] if kind == "pandas" else [2.6, 2.6])


@pytest.mark.parametrize("step", ["inf", "1e400", "nan", "-5", "x", ""])
def test_a_row_whose_step_is_none_is_not_the_last(tmp_path, step):
    path = tmp_path / "history.csv"
    path.write_text(f"run,step,params,tokens,loss\na,100,1e8,1e9,4\na,{step},1e8,2e9,9\na,300,1e8,3e9,3\n")
    whole, reduced = both(path)
    assert whole["values"][3] == [3.0]
    assert reduced == whole


def test_names_are_needed(tmp_path):
    """As they are in a small table."""
    path = tmp_path / "history.parquet"
    parquet.write_table(
        pa.table({"step": [1, 2], "params": [1e8, 1e8], "tokens": [1e9, 2e9], "loss": [3.0, 2.9]}), path
    )
    with pytest.raises(UsageError, match="needs a column with the names of runs"):
        final_rows(path, batched=True)


def test_columns_are_told_apart_by_rows_far_into_the_table(tmp_path):
    """A column that has its first number late is a candidate of its role, as it is in a small table."""
    lines = ["run,step,params,tokens,val_loss,eval_loss", *(f"a,{i},1e8,{i + 1}e8,,3.{i}" for i in range(50))]
    path = tmp_path / "history.csv"
    path.write_text("\n".join([*lines, "a,60,1e8,9e9,2.5,"]), encoding="utf-8")
    whole, reduced = both(path)
    assert reduced == whole
    assert whole[0] == "FileError"  # two columns could be the loss
    assert read_table(path).rows[-1] == 52


@pytest.mark.parametrize("last", [True, False])
def test_json_lines_that_are_too_large_have_a_way_out_that_works(tmp_path, monkeypatch, last):
    path = tmp_path / "all runs.jsonl"
    rows = [{"run": f"r{run}", "step": step, "loss": 2 + 1 / step} for run in range(3) for step in range(1, 20)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for module in (histories, tables):
        monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(TooLargeError, match=r"all runs\.jsonl' is larger than") as caught:
        read_runs(path, last=last)
    hint = caught.value.hint or ""
    command = f"scaleplan runs {shlex.quote(str(path))} -o runs.csv"
    assert command in hint
    assert ("--last" in hint) is last
    assert len(collect.runs(shlex.split(command)[2]).runs) == 3
