"""A table of many runs is read alike whatever it is written as, and whichever way is the fast one."""

from __future__ import annotations

import csv
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from scaleplan.logs.csv_logs import CurveTable
from scaleplan.logs.csv_rows import csv_blocks
from scaleplan.logs.log_file import LogFile

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
