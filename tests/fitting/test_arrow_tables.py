"""Parquet and Arrow files as tables of runs: the cells of the CSV file that they would be, or one clear error."""

import datetime as dt
import decimal
import io
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import feather, ipc, parquet

import scaleplan as sp
from scaleplan.errors import FileError, UsageError
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.table import frame_table, read_table
from scaleplan.tables import arrow_files

RUNS = [
    (n, n * r, round(1.8 + 420 / n**0.34 + 1300 / (n * r) ** 0.345, 4))
    for n in (1e8, 2e8, 4e8, 8e8)
    for r in (5, 20, 80)
]
TABLE = pa.table(
    {
        name: pa.array(column)
        for name, column in zip(("params", "tokens", "loss"), zip(*RUNS, strict=True), strict=True)
    }
)
STRANGE = pa.table(
    {
        "run": pa.array(["a", None, "c, d"]).dictionary_encode(),
        "params": pa.array([10**17 + 1, None, 3], pa.int64()),
        "loss": pa.array([0.1, float("nan"), None], pa.float32()),
        "half": pa.array(np.array([0.5, 1, 2], dtype=np.float16)),
        "big": pa.array([1e22, 5e-324, float("inf")]),
        "done": pa.array([True, None, False]),
        "day": pa.array([dt.date(2024, 2, 29), None, None]),
        "at": pa.array([dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC), None, None], pa.timestamp("us", "UTC")),
        "cost": pa.array([decimal.Decimal("1.20"), None, decimal.Decimal("3.00")]),
        "list": pa.array([[1, 2], None, []]),
        "view": pa.array(["x", None, "long text that is not inline"], pa.string_view()),
        "nothing": pa.nulls(3),
    }
)  # fmt: skip


def written(path, table):
    """Write a table in the format that the ending of a path names."""
    if path.suffix == ".parquet":
        parquet.write_table(table.drop_columns(["view"]) if "view" in table.column_names else table, path)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    elif path.suffix == ".ipc":
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    else:
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather", "t.ipc"])
def test_the_cells_are_those_of_the_data_frame(tmp_path, name):
    """One path for all: numbers in their own digits, dates, booleans, decimals, codes, lists, gaps."""
    known = frame_table(STRANGE.drop_columns(["view"]) if name == "t.parquet" else STRANGE)
    found = read_table(written(tmp_path / name, STRANGE))
    assert (found.names, found.records, found.rows) == (known.names, known.records, known.rows)
    assert found.source == name
    assert found.records[0][:4] == ["a", "100000000000000001", "0.1", "0.5"]
    assert found.records[1][:3] == ["", "", "nan"]  # a null is no value, and a NaN was computed
    assert found.records[2][2] == ""


def test_a_struct_is_a_column_for_each_field(tmp_path):
    """Joined by dots, as nested keys of JSON are; a struct inside another, too."""
    rows = [{"config": {"data": {"tokens": 2e9}, "params": 1e8}, "loss": 3.0}, {"config": None, "loss": 2.9}]
    table = read_table(written(tmp_path / "t.parquet", pa.Table.from_pylist(rows)))
    assert table.names == ("config.data.tokens", "config.params", "loss")
    assert table.records == [["2000000000.0", "100000000.0", "3.0"], ["", "", "2.9"]]


def test_texts_that_are_written_as_bytes_are_texts(tmp_path):
    """As Spark and Impala write them for readers that know no texts."""
    table = pa.table(
        {"name": pa.array([b"a", "日本".encode(), b"\xff", None], pa.binary()), "loss": [3.0, 2.9, 2.8, 2.7]}
    )
    found = read_table(written(tmp_path / "t.parquet", table))
    assert found.column("name") == ["a", "日本", r"\xff", ""]


def test_a_folder_whose_files_have_the_columns_of_their_folders_is_read(tmp_path):
    """Polars writes them so."""
    frame = pl.DataFrame({"corpus": ["a", "b"], "params": [1e8, 2e8], "tokens": [1e9, 2e9], "loss": [3.0, 2.9]})
    frame.write_parquet(tmp_path / "runs", partition_by="corpus")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    found = read_table(tmp_path / "runs")
    assert (found.names, found.column("corpus")) == (tuple(frame.columns), ["a", "b"])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("content", [b"", None])
def test_a_damaged_file_in_a_folder_is_named(tmp_path, content, last):
    """A folder of tables holds no logs, whatever is wrong with one of them."""
    written(tmp_path / "0.parquet", TABLE)
    if content is None:
        (tmp_path / "1.parquet").symlink_to(tmp_path / "nothing")
    else:
        (tmp_path / "1.parquet").write_bytes(content)
    with pytest.raises(FileError, match=r"1\.parquet"):
        sp.fit(tmp_path, last=last)


def test_what_other_libraries_write_is_read(tmp_path):
    """Polars writes texts of a type of its own; pandas its index, which is a column there."""
    frame = pl.DataFrame({"name": ["a", "b"], "params": [1e8, 2e8], "tokens": [1e9, 2e9], "loss": [3.0, 2.9]})
    frame.write_ipc(tmp_path / "p.arrow", compression="zstd")
    frame.write_parquet(tmp_path / "p.parquet")
    pd.DataFrame(frame.to_dict(as_series=False)).to_parquet(tmp_path / "d.parquet")
    found = [read_table(tmp_path / name).records for name in ("p.arrow", "p.parquet", "d.parquet")]
    assert found == [frame_table(frame).records] * 3


@pytest.mark.parametrize("name", ["runs.parquet", "runs.arrow", "runs.ipc", "parts"])
def test_a_fit_is_that_of_the_csv_file(tmp_path, name):
    """A file, or the files of a folder whose names give a column."""
    if name == "parts":
        parts = TABLE.append_column("corpus", pa.array(["c4", "a b"] * 6))
        parquet.write_to_dataset(parts, tmp_path / name, partition_cols=["corpus"])
        (tmp_path / name / "_SUCCESS").touch()
        runs = read_runs(tmp_path / name, group="corpus")
        assert runs.group == ("a b",) * 6 + ("c4",) * 6
        assert sorted(runs.loss.tolist()) == sorted(TABLE["loss"].to_pylist())
        assert runs.rows.tolist() == list(range(2, 14))
        return
    path = tmp_path / "runs.csv"
    TABLE.to_pandas().to_csv(path, index=False)
    fitted = sp.fit(written(tmp_path / name, TABLE), samples=0)
    assert fitted.coefficients == sp.fit(path, samples=0).coefficients
    assert fitted.runs.name == name


def test_the_content_counts_and_not_the_ending(tmp_path, monkeypatch):
    """A Parquet file under another name, a CSV file under that of a Parquet file, and standard input."""
    data = written(tmp_path / "t.parquet", TABLE).read_bytes()
    (tmp_path / "t.csv").write_bytes(data)
    (tmp_path / "t").write_bytes(data)
    expected = read_table(tmp_path / "t.parquet").records
    assert read_table(tmp_path / "t.csv").records == read_table(tmp_path / "t").records == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_table("-").records == expected
    TABLE.to_pandas().to_csv(tmp_path / "c.parquet", index=False)
    assert len(read_runs(tmp_path / "c.parquet")) == len(RUNS)


def good(table=TABLE):
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def stream(table=TABLE):
    out = io.BytesIO()
    with ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (good()[:-20], "damaged, or not whole"),
        (good()[:40], "damaged, or not whole"),
        (b"PAR1" + bytes(40) + b"PAR1", "damaged, or not whole"),
        (stream()[: len(stream()) * 3 // 4], "damaged, or not whole"),
        (b"ARROW1\0\0garbage", "damaged, or not whole"),
        (stream().replace(b"params", b"p\xe1rams"), "damaged, or not whole"),
        (b"PARE" + bytes(40), "this Parquet file is encrypted"),
        (b"FEA1" + bytes(40), "Feather file of version 1"),
        (bytes(90), "no Parquet or Arrow file"),
        (b"\x80\x81" * 20, "no Parquet or Arrow file"),
        (b"", "is empty"),
        (good(TABLE.slice(0, 0)), "has no rows"),
        (good(pa.table({})), "no columns"),
        (good(pa.Table.from_arrays([pa.array([1.0]), pa.array([2.0])], names=["loss", "loss"])), "two columns"),
        (good(pa.table({"0": [1.0], "1": [2.0]})), "have numbers, not names"),
        (good(pa.table({"loss": pa.nulls(3)})), "has no values"),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path, content, message):
    """With the name of the file."""
    path = tmp_path / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(FileError, match=message) as caught:
        read_runs(path)
    assert "bad.parquet" in caught.value.message


def test_a_table_of_many_rows_in_few_bytes_is_not_read_whole(tmp_path):
    """The error names what reads it: a constant of 20 million rows takes a few kilobytes."""
    path = tmp_path / "many.parquet"
    with parquet.ParquetWriter(path, pa.schema({"run": pa.string(), "loss": pa.float64()})) as writer:
        names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, dtype=np.int32)), ["a"])
        part = pa.table({"run": names.cast(pa.string()), "loss": np.full(100_000, 2.5)})
        for _ in range(60):
            writer.write_table(part)
    with pytest.raises(FileError, match="more than 10,000,000 cells") as caught:
        read_runs(path)
    assert "--last" in caught.value.hint


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    """A wrong request with the way out, in the words of the other extras."""
    path = written(tmp_path / "t.parquet", TABLE)

    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(arrow_files, "import_module", missing)
    with pytest.raises(UsageError, match="PyArrow, which is not installed") as caught:
        read_runs(path)
    assert caught.value.hint == "pip install 'scaleplan[tables]'"


def test_a_library_that_does_not_work_here_is_not_called_missing(tmp_path, monkeypatch):
    """As a new PyArrow beside an old NumPy, which pip installs together."""
    path = written(tmp_path / "t.parquet", TABLE)

    def broken(_):
        raise ImportError("pyarrow requires NumPy 2.0 or newer,\nfound 1.26.0")

    monkeypatch.setattr(arrow_files, "import_module", broken)
    with pytest.raises(
        UsageError, match=r"cannot be loaded: pyarrow requires NumPy 2\.0 or newer, found 1"
    ) as caught:
        read_runs(path)
    assert caught.value.hint == "pip install --upgrade numpy pyarrow"


@pytest.mark.parametrize("name", ["log.parquet", "log.feather"])
def test_logs_are_read_as_the_csv_file(tmp_path, name):
    """``runs`` and ``track`` take the steps of a run in any of these formats."""
    step = np.arange(1, 400)
    table = pa.table({"step": step, "tokens": step * 1e6, "loss": 2 + 10 / step**0.5, "lr": np.full(399, 3e-4)})
    table.to_pandas().to_csv(tmp_path / "log.csv", index=False)
    known, found = sp.runs(tmp_path / "log.csv").runs[0], sp.runs(written(tmp_path / name, table)).runs[0]
    assert (found.loss, found.tokens, found.steps, found.format) == (
        known.loss,
        known.tokens,
        known.steps,
        known.format,
    )
    assert found.source == str(tmp_path / name)
