"""A table of many runs is read alike whatever it is written as, and whichever way is the fast one."""

from __future__ import annotations

import csv
import json
import math
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from scaleplan.errors import FileError
from scaleplan.logs import collect, csv_rows, json_lines, metric_rows
from scaleplan.logs.csv_logs import CurveTable
from scaleplan.logs.csv_rows import csv_blocks
from scaleplan.logs.log_file import LogFile
from scaleplan.logs.metric_rows import MetricRows
from scaleplan.logs.recorder import Recorder
from scaleplan.tables import arrow_cells
from scaleplan.tables.frames import text_table

if TYPE_CHECKING:
    from pathlib import Path


def _columns(*, with_metric: bool, seed: int) -> dict[str, list[Any]]:
    """Return the rows of three runs between each other: with gaps, a restart of one, and texts that are none."""
    draw = random.Random(seed)
    rows: list[tuple[Any, ...]] = []
    for step in [*range(10, 400, 10), *range(200, 600, 10)]:
        for run, size in (("first, 1", 1_000_000), (" second", 2_000_000), ("third", 3_000_000)):
            if run != "third" and step < 300 and len(rows) > 117:  # the third alone goes back
                continue
            loss = 2 + 10 / step**0.5 + draw.random() / 9
            gaps = (None if draw.random() < 0.2 else 1e-3 / step, None if draw.random() < 0.1 else step * 512)
            rows.append((run, step, size, loss if draw.random() > 0.05 else math.nan, *gaps, step % 3 == 0))
    names = ["run", "step", "params", "loss", "lr", "tokens", "saved"]
    if with_metric:
        rows = [
            (*row[:2], metric, value)
            for row in rows
            for metric, value in (("train/loss", row[3]), ("val/loss", row[3] + 0.1 if row[1] % 50 == 0 else None))
        ]
        names = ["run", "step", "metric", "value"]
    return {name: list(cells) for name, cells in zip(names, zip(*rows, strict=True), strict=True)}


def _read(path: Path) -> list[object]:
    found: list[object] = []
    for recorder in CurveTable.read(LogFile(path)):
        run = recorder.run()
        curves = {name: (curve.steps.tolist(), curve.values.tolist()) for name, curve in run.curves.items()}
        found.append((run.name, run.line, run.label, curves, run.stated, run.not_finite, run.warnings))
    return found


def _write(path: Path, columns: dict[str, list[Any]], *, quoting: Any = csv.QUOTE_MINIMAL) -> Path:
    texts = [["" if cell is None else cell for cell in cells] for cells in columns.values()]
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle, lineterminator="\n", quoting=quoting).writerows([[*columns], *zip(*texts, strict=True)])
    return path


@pytest.mark.parametrize("with_metric", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_table_is_read_alike_from_every_format(tmp_path: Path, *, with_metric: bool, seed: int) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet, feather = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow.feather")
    columns = _columns(with_metric=with_metric, seed=seed)
    table = pa.table(columns)
    parquet.write_table(table, tmp_path / "table.parquet")
    feather.write_feather(table, str(tmp_path / "table.arrow"))
    expected = _read(_write(tmp_path / "table.csv", columns))
    assert len(expected) == 3
    assert any("restarted" in str(run) for run in expected)
    assert _read(tmp_path / "table.parquet") == expected
    assert _read(tmp_path / "table.arrow") == expected


def test_quotes_around_texts_change_nothing(tmp_path: Path) -> None:
    columns = _columns(with_metric=False, seed=3)
    columns["run"] = [run.replace(",", "").strip() for run in columns["run"]]
    plain = _write(tmp_path / "table.csv", columns)
    texts, all_of_them = tmp_path / "texts.csv", tmp_path / "all.csv"
    assert _read(_write(texts, columns, quoting=csv.QUOTE_NONNUMERIC)) == _read(plain)
    assert _read(_write(all_of_them, columns, quoting=csv.QUOTE_ALL)) == _read(plain)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (['"a",1,2', '"b",3,4'], [["a", "b"], ["1", "3"], ["2", "4"]]),
        (['"a",1,""', 'b,"3",4'], [["a", "b"], ["1", "3"], ["", "4"]]),
        (['"a, b",1', '"c",3,4'], [["a, b", "c"], ["1", "3"], ["", "4"]]),
        (['"a ""x""",1,2', '"b",3,4'], [['a "x"', "b"], ["1", "3"], ["2", "4"]]),
        (['"a", 1,2', '"b",3,4'], [["a", "b"], ["1", "3"], ["2", "4"]]),
        (['"a", 1,2', '"b",3, "4"'], [["a", "b"], ["1", "3"], ["2", "4"]]),
        (['"a",1,2', '"",,""', '"b",3,4'], [["a", "b"], ["1", "3"], ["2", "4"]]),
        (['"a",1,2', '"# no row",3,4'], [["a"], ["1"], ["2"]]),
        (['5" a,1,2', '6" b,3,4'], [['5" a', '6" b'], ["1", "3"], ["2", "4"]]),
        (['"a,1,2', 'b",3,4'], [["a,1,2\nb"], ["3"], ["4"]]),
        (['"a",1,2', "step,x,y", '"run",loss,lr', '"b",3,4'], [["a", "step", "b"], ["1", "x", "3"], ["2", "y", "4"]]),
    ],
)
def test_quoted_cells_are_those_of_a_reader_of_csv(
    tmp_path: Path, rows: list[str], expected: list[list[str]]
) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["run,loss,lr", *rows, ""]), encoding="utf-8")
    (block,) = csv_blocks(LogFile(path))
    assert list(block.columns.values()) == expected


def _typed() -> dict[str, Any]:
    """Return tables whose columns have types that CSV has not, by what is special in them."""
    np, pa = pytest.importorskip("numpy"), pytest.importorskip("pyarrow")
    run, step = np.repeat([1, 2, 3], 100), np.tile(np.arange(1, 101), 3)
    loss = 2 + 5 / (step + 7.0 * run)
    plain = {"run": pa.array([f"r{each}" for each in run]), "step": pa.array(step), "loss": pa.array(loss)}
    rates = pa.array(np.where(step % 9, 1e-3 / 3, np.nan), from_pandas=True)
    dates = pa.array(1_700_000_000 + step).cast(pa.timestamp("s"))
    return {
        "single": {**plain, "loss": pa.array(loss.astype(np.float32)), "lr": rates.cast(pa.float32())},
        "coded": {**plain, "run": plain["run"].dictionary_encode(), "saved": pa.array(step % 2 == 0)},
        "settings": {"params": pa.array(run * 1_000_000), "seed": pa.array(run), **plain, "run": pa.nulls(300)},
        "gaps": {**plain, "run": pa.array([None if s == 5 else f" r{r}" for r, s in zip(run, step, strict=True)])},
        "dates": {**plain, "time": dates, "lr": rates},
        "texts": {**plain, "loss": pa.array([f"{each:.4f}".replace(".", ",") for each in loss])},
        "splits": {**plain, "run": pa.array(np.where(step % 10, "train", "val"))},
        "large": {**plain, "step": pa.array(step.astype(np.uint64)), "tokens": pa.array(step * 10**14)},
        "decimal": {**plain, "loss": pa.array(loss).cast(pa.decimal128(12, 6), safe=False)},
    }


@pytest.mark.parametrize(
    "kind", ["single", "coded", "settings", "gaps", "dates", "texts", "splits", "large", "decimal"]
)
def test_a_column_of_any_type_is_read_as_its_text(tmp_path: Path, kind: str) -> None:
    columns = _typed()[kind]
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table(columns)
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=70)
    with pa.ipc.new_stream(tmp_path / "table.arrows", table.schema) as stream:
        stream.write_table(table, max_chunksize=30)
    (tmp_path / "table.csv").write_bytes(text_table(table).csv())
    expected = _read(tmp_path / "table.csv")
    assert expected
    assert _read(tmp_path / "table.parquet") == expected
    assert _read(tmp_path / "table.arrows") == expected


def test_numbers_of_a_parquet_file_are_never_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np, pa = pytest.importorskip("numpy"), pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    step = np.tile(np.arange(1, 2001), 60)
    names = pa.array([f"r{each}" for each in np.repeat(np.arange(60), 2000)])
    parquet.write_table(pa.table({"run": names, "step": step, "loss": 2 + 1 / step}), tmp_path / "table.parquet")
    made = []
    texts = arrow_cells._texts
    monkeypatch.setattr(arrow_cells, "_texts", lambda array: made.append(len(array)) or texts(array))
    file = LogFile(tmp_path / "table.parquet")
    assert CurveTable.recognise(file)
    of_head, whole = csv_rows._texts, []
    monkeypatch.setattr(csv_rows, "_texts", lambda given: whole.append(given) or of_head(given))
    assert len(list(CurveTable.read(file))) == 60
    assert not whole
    assert sum(made) <= 2 * 2 * 61  # the names of runs, once a block


def test_a_schedule_that_runs_share_is_recognised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{run},{step},3.5,{1e-3 - step * 1e-7:.4e}\n" for run in range(40) for step in range(100, 2000, 100)]
    lines += [f"last,{step},3.5,1e-3\n" for step in range(100, 2000, 100)]
    (tmp_path / "table.csv").write_text("run,step,loss,lr\n" + "".join(lines))
    made: list[int] = []
    recognised = collect.recognise_schedule
    monkeypatch.setattr(collect, "recognise_schedule", lambda *given: made.append(1) or recognised(*given))
    found = collect.runs(tmp_path / "table.csv", now=0.0).runs
    assert [run.schedule for run in found] == ["linear"] * 40 + ["constant"]
    assert len(made) == 2


def test_a_folder_of_parquet_files_with_the_names_of_runs_is_one_table(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = _of_many_runs(3, 20, by_run=False)
    table = pa.table({name: [None if cell == "" else cell for cell in cells] for name, cells in columns.items()})
    parquet.write_table(table, tmp_path / "all.parquet")
    parts, folders = tmp_path / "parts", tmp_path / "folders"
    for number in range(2):
        for place in (parts, folders / f"half={number}"):
            place.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table.slice(30 * number, 30), place / f"part-{number}.parquet")
    (parts / "_SUCCESS").touch()
    expected = collect.runs(tmp_path / "all.parquet", now=0.0).runs
    assert [run.run for run in expected] == ["run-0", "run-1", "run-2"]
    for folder in (parts, folders):
        found = collect.runs(folder, now=0.0).runs
        assert {run.source for run in found} == {str(folder)}
        assert tuple(replace(run, source=str(tmp_path / "all.parquet")) for run in found) == expected


def test_parquet_files_without_names_of_runs_are_a_run_each(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for name, first in (("small", 100), ("large", 10)):
        steps = list(range(first, 400, 10))
        table = pa.table({"step": steps, "loss": [3.0 - 0.001 * step for step in steps]})
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    assert [(run.run, run.steps) for run in collect.runs(tmp_path, now=0.0).runs] == [("large", 390), ("small", 390)]


def test_a_folder_of_parquet_files_of_final_results_is_no_log(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"run": ["a", "b"], "step": [9, 9], "loss": [3.0, 2.0]}), tmp_path / "a.parquet")
    with pytest.raises(FileError, match="no training log") as caught:
        collect.runs(tmp_path)
    assert "beside its loss" in (caught.value.hint or "")


def _of_many_runs(runs: int, rows: int, *, by_run: bool, sized: bool = True) -> dict[str, list[Any]]:
    """Return the rows of many runs, one run after the other, or all of them step by step."""
    order = [(run, row) for run in range(runs) for row in range(rows)]
    if not by_run:
        order.sort(key=lambda each: each[1])
    columns = {
        "run": [f"run-{run}" for run, _ in order],
        "step": [10 * (row + 1) for _, row in order],
        "params": [1_000_000 * (run + 1) for run, _ in order],
        "loss": [2 + 3 / (row + 1) + run / 977 for run, row in order],
        "val_loss": ["" if row % 4 else 2.5 + 3 / (row + 1) for _, row in order],
        "lr": [1e-3 for _ in order],
        "gpu": [("A100", "H100")[run % 2] for run, _ in order],
    }
    return columns if sized else {name: cells for name, cells in columns.items() if name != "params"}


def _without_lines(runs: list[Any]) -> list[object]:
    return [run[:1] + run[2:] for run in runs]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("runs", [90, 150, 450])
def test_runs_that_take_turns_are_those_of_a_table_run_after_run(tmp_path: Path, runs: int, *, sized: bool) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    expected = _read(_write(tmp_path / "runs.csv", _of_many_runs(runs, 9, by_run=True, sized=sized)))
    columns = _of_many_runs(runs, 9, by_run=False, sized=sized)
    path = _write(tmp_path / "steps.csv", columns)
    parquet.write_table(
        pa.table({name: [None if cell == "" else cell for cell in cells] for name, cells in columns.items()}),
        tmp_path / "steps.parquet",
        row_group_size=500,
    )
    for each in (path, tmp_path / "steps.parquet"):
        assert CurveTable.recognise(LogFile(each))
        found = _read(each)
        assert _without_lines(found) == _without_lines(expected)
        assert [run[1] for run in found] == list(range(2, runs + 2))


def test_runs_that_take_turns_in_json_lines_are_read(tmp_path: Path) -> None:
    columns = _of_many_runs(450, 9, by_run=False)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    rows = [{name: cell for name, cell in row.items() if cell != ""} for row in rows]
    (tmp_path / "steps.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (tmp_path / "finals.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[-450:]), encoding="utf-8")
    _write(tmp_path / "steps.csv", columns)
    assert not json_lines.recognise(LogFile(tmp_path / "finals.jsonl"))
    found, expected = (collect.runs(tmp_path / f"steps.{kind}", now=0.0).runs for kind in ("jsonl", "csv"))
    assert [(run.run, run.loss, run.steps, run.params, run.gpu) for run in found] == [
        (run.run, run.loss, run.steps, run.params, run.gpu) for run in expected
    ]
    assert len(found) == 450


def test_runs_that_take_turns_cost_no_more_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _read(_write(tmp_path / "runs.csv", _of_many_runs(300, 40, by_run=True)))
    path = _write(tmp_path / "steps.csv", _of_many_runs(300, 40, by_run=False))
    monkeypatch.setattr(csv_rows, "_CHUNK", 1 << 15)
    monkeypatch.setattr(metric_rows, "_WAITING_ROWS", 5000)
    given: list[str] = []
    extend = MetricRows._extend
    monkeypatch.setattr(MetricRows, "_extend", lambda rows, key, *args: given.append(key) or extend(rows, key, *args))
    assert _without_lines(_read(path)) == _without_lines(expected)
    assert len(list(csv_blocks(LogFile(path)))) > 10
    assert len(given) <= 300 * 5  # the first block, and three times 5,000 rows at most


def test_final_results_of_many_runs_are_no_history(tmp_path: Path) -> None:
    columns = _of_many_runs(900, 1, by_run=False)
    assert not CurveTable.recognise(LogFile(_write(tmp_path / "finals.csv", columns)))
    columns["step"] = [1000 + row for row in range(900)]
    columns["run"][300:420] = columns["run"][:10] * 12  # a few names come again
    assert not CurveTable.recognise(LogFile(_write(tmp_path / "again.csv", columns)))


def test_curves_of_the_same_steps_keep_them_once_and_none_changes_another() -> None:
    def recorder(*, shared: bool) -> Recorder:
        found = Recorder("run", "source", line=1, format_name="curve-table")
        if not shared:
            found._share_steps = lambda: None  # type: ignore[method-assign]
        steps = [1.0, 2, 3, 4]
        found.extend(steps, {"loss": [4, 3, 2, 1], "lr": [1, 1, 1, 1], "tokens": [10, 20, 30, 40]})
        return found

    def buffers(found: Recorder) -> list[Any]:
        return [buffer for each in found._sequences.values() for buffer in each.buffers.values()]

    both = recorder(shared=True), recorder(shared=False)
    assert [len({id(buffer.steps) for buffer in buffers(each)}) for each in both] == [1, 3]
    for each in both:
        each.extend([5, 6], {"loss": [0.9, 0.8], "tokens": [50, 60]})
    assert len({id(buffer.steps) for buffer in buffers(both[0])}) == 2
    for each in both:
        each.extend([3, 4, 5], {"loss": [2.1, 1.1, 1], "lr": [2, 2, 2]})  # the loss goes back, and tokens do not
    curves = [{name: (c.steps.tolist(), c.values.tolist()) for name, c in each.run().curves.items()} for each in both]
    assert curves[0] == curves[1]
    assert curves[0]["tokens"][0] == [1, 2, 3, 4, 5, 6]
