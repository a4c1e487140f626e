"""Shapes of files: delimiters, encodings, headers, JSON of every kind, and input that is no table."""

import gzip
import io
import json
import sys
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError, UsageError
from scaleplan.fitting import table as tables
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.table import read_table

RUNS = [
    {"params": 1e8, "tokens": 2e9, "loss": 3.5},
    {"params": 2e8, "tokens": 4e9, "loss": 3.2},
    {"params": 4e8, "tokens": 8e9, "loss": 2.9},
]


def write(tmp_path, content, name="runs.csv"):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8", newline="")
    return path


def csv_text(delimiter=","):
    rows = [["params", "tokens", "loss"], *[[str(value) for value in run.values()] for run in RUNS]]
    return "\n".join(delimiter.join(row) for row in rows) + "\n"


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_the_one_that_splits_the_header(tmp_path, delimiter):
    """Comma, tab, semicolon and bar are told apart without an option, whatever the file is called."""
    runs = read_runs(write(tmp_path, csv_text(delimiter), "runs.txt"))
    assert runs.params.tolist() == [1e8, 2e8, 4e8]
    assert runs.rows.tolist() == [2, 3, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_of_spreadsheets_are_read(tmp_path, encoding, newline):
    """A byte-order mark, UTF-16 and any line end leave the first column name and the row numbers intact."""
    runs = read_runs(write(tmp_path, csv_text().replace("\n", newline).encode(encoding)))
    assert runs.loss.tolist() == [3.5, 3.2, 2.9]
    assert runs.columns["params"] == "params"
    assert runs.rows.tolist() == [2, 3, 4]


def test_a_quoted_newline_is_inside_a_cell(tmp_path):
    """A line break in a quoted note does not start a row, and rows keep the number a spreadsheet shows."""
    text = 'params,tokens,note,loss\n1e8,2e9,"two\nlines",3.5\n2e8,4e9,,3.2\n'
    runs = read_runs(write(tmp_path, text))
    assert runs.rows.tolist() == [2, 3]


def test_blank_lines_count_as_rows_and_hold_none(tmp_path):
    """Row numbers still match the editor after a blank line."""
    assert read_runs(write(tmp_path, "params,tokens,loss\n\n1e8,2e9,3.5\n,,\n2e8,4e9,3.2\n")).rows.tolist() == [3, 5]


def test_two_header_rows_are_joined(tmp_path):
    """A second header row under spans names each column of the span; a span without one keeps the upper name."""
    text = "params,tokens,wikitext,,piqa,\n,,ppl,bpb,acc,acc_norm\n1e8,2e9,20,0.9,60,61\n2e8,4e9,18,0.8,62,63\n"
    grid = read_table(write(tmp_path, text))
    assert grid.names == ("params", "tokens", "wikitext/ppl", "wikitext/bpb", "piqa/acc", "piqa/acc_norm")
    assert grid.rows == (3, 4)
    path = write(tmp_path, "config,config,metrics\nparams,tokens,val_loss\n1e8,2e9,3.5\n2e8,4e9,3.2\n")
    assert read_table(path).names == ("config/params", "config/tokens", "metrics/val_loss")


def test_repeated_and_empty_column_names_can_be_told_apart(tmp_path):
    """Columns of one name are numbered, a column without a name gets its position, and both can be mapped."""
    path = write(tmp_path, ",params,tokens,loss,loss\n0,1e8,2e9,3.5,4.5\n1,2e8,4e9,3.2,4.2\n")
    assert read_table(path).names == ("column 1", "params", "tokens", "loss#1", "loss#2")
    assert read_runs(path, mapping={"loss": "loss#2"}).loss.tolist() == [4.5, 4.2]
    with pytest.raises(UsageError, match="2 columns called 'loss'") as caught:
        read_runs(path, mapping={"loss": "loss"})
    assert caught.value.hint == "name one of 'loss#1', 'loss#2'"


def test_cells_cut_off_at_the_end_are_empty_and_extra_cells_are_an_error(tmp_path):
    """Exports drop trailing empty cells; a comma inside a number shifts columns, which must not pass."""
    runs = read_runs(write(tmp_path, "params,tokens,loss,note\n1e8,2e9,3.5\n2e8,4e9,3.2,x\n"))
    assert len(runs) == 2
    with pytest.raises(FileError, match=r"runs\.csv: row 3: 4 cells, but 3 column names"):
        read_runs(write(tmp_path, "params,tokens,loss\n1e8,2e9,3.5\n100,000,2e9,3.2\n"))


@pytest.mark.parametrize(
    "document",
    [
        RUNS,
        {key: [run[key] for run in RUNS] for key in RUNS[0]},
        {"experiment": "sweep", "runs": RUNS},
        {f"run {i}": run for i, run in enumerate(RUNS)},
        {key: {str(i): run[key] for i, run in enumerate(RUNS)} for key in RUNS[0]},
    ],
    ids=["objects", "columns", "one-list", "by-name", "pandas"],
)
def test_every_usual_shape_of_json_is_the_same_table(tmp_path, document):
    """A list of objects, columns, an object with one list, runs by name and pandas' to_json give the same runs."""
    runs = read_runs(write(tmp_path, json.dumps(document, indent=1), "runs.json"))
    assert runs.params.tolist() == [1e8, 2e8, 4e8]
    assert runs.loss.tolist() == [3.5, 3.2, 2.9]
    assert runs.rows.tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.log"])
def test_json_lines_have_nested_keys_and_their_line_as_row(tmp_path, name):
    """One object a line is recognised by suffix or content; nested keys are dotted paths; blank lines are skipped."""
    lines = [{"config": {"n_params": run["params"], "data": {"train_tokens": run["tokens"]}}} for run in RUNS]
    text = "\n\n".join(json.dumps({**line, "val/loss": run["loss"]}) for line, run in zip(lines, RUNS, strict=True))
    runs = read_runs(write(tmp_path, text, name))
    assert runs.columns["tokens"] == "config.data.train_tokens"
    assert runs.rows.tolist() == [1, 3, 5]


def test_standard_input_is_read_like_a_file(tmp_path, monkeypatch):
    """A hyphen reads the same runs and the same hash from standard input."""
    content = csv_text().encode()

    class Pipe(io.BytesIO):
        buffer = property(lambda self: self)

        def isatty(self):
            return False

    monkeypatch.setattr(sys, "stdin", Pipe(content))
    piped = read_runs("-")
    assert piped.name == "standard input"
    assert piped.sha256 == read_runs(write(tmp_path, content)).sha256


def test_a_terminal_as_standard_input_is_refused(monkeypatch):
    """Waiting for a person to type a table would look like a hang."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="no runs on standard input"):
        read_runs("-")


@pytest.mark.parametrize(
    "content, name, message",
    [
        (b"", "a.csv", "is empty"),
        (b" \n\n", "a.csv", "is empty"),
        (b"params,tokens,loss\n", "a.csv", "no rows below the column names"),
        (b"1e8,2e9,3.5\n2e8,4e9,3.2\n", "a.csv", "the first row holds numbers"),
        (b"params,tokens,loss\n1e8,\xff,3\n", "a.csv", "row 2: not UTF-8 text"),
        (b"params,tokens,loss\n1e8,2\x009,3\n", "a.csv", "row 2: this is a binary file"),
        (gzip.compress(b"params,tokens,loss\n" * 99, mtime=0)[:-9], "a.csv.gz", "compressed file is damaged"),
        (b"params,tokens,loss\n" + b"9" * 200_000 + b",1,2\n", "a.csv", "row 2: field larger than field limit"),
        (b"{", "a.json", "not valid JSON"),
        (b'{"params": 1}\n[1]\n', "a.jsonl", "row 2: expected an object, found a list"),
        (b'{"params": 1}\n{"params": \n', "a.jsonl", "row 2: not valid JSON"),
        (b"[1, 2, 3]", "a.json", "row 1: expected an object, found a number"),
        (b"3", "a.json", "this JSON document is a number"),
        (b"{}", "a.json", "not a table of runs"),
        (b'{"a": [1, 2], "b": [1]}', "a.json", "'a' has 2 values, 'b' has 1"),
        (b"[" * 10_000 + b"]" * 10_000, "a.json", "nested too deeply"),
        (b'[{"a": ' * 30 + b"1" + b"}]" * 30, "a.json", "no column"),
        (b'[{"a":' + b'{"a":' * 30 + b"1" + b"}" * 31 + b"]", "a.json", "row 1: nested more than 20 levels"),
        (b'[{"params": ' + b"9" * 5000 + b"}]", "a.json", "too many digits"),
        (b'[{"a.b": 1, "a": {"b": 2}}]', "a.json", "row 1: two keys are called 'a.b'"),
    ],
)
def test_input_that_is_no_table_is_one_clear_error(tmp_path, content, name, message):
    """Binary, truncated, hostile and empty input is refused with the row to blame and no traceback."""
    with pytest.raises(FileError, match=message):
        read_runs(write(tmp_path, content, name))


def test_a_huge_integer_is_a_bad_value_of_its_row(tmp_path):
    """An integer beyond the range of a double costs its row and nothing else."""
    document = [*RUNS, {"params": 10**400, "tokens": 2e9, "loss": 3.0}]
    runs = read_runs(write(tmp_path, json.dumps(document), "runs.json"))
    assert len(runs) == 3
    assert [(finding.row, finding.reason) for finding in runs.dropped] == [(4, "bad_value")]


def test_absent_files_huge_files_and_folders_without_logs_are_refused(tmp_path, monkeypatch):
    """What cannot be read says why; the size limit is checked before the content is parsed."""
    with pytest.raises(FileError, match=tmp_path.name):
        read_runs(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        read_runs(tmp_path / "absent.csv")
    monkeypatch.setattr(tables, "MAX_BYTES", 1_000_000)
    with pytest.raises(FileError, match=r"larger than 1 MB") as caught:
        read_runs(write(tmp_path, b"x" * 1_000_001))
    assert "--last" in caught.value.hint


@pytest.mark.parametrize(
    "content, name",
    [
        (b"," * 5000 + b"loss\n" + b"1\n" * 2001, "a.csv"),
        (b"".join(b'{"%d": 1}\n' % i for i in range(3300)), "a.jsonl"),
    ],
)
def test_a_small_file_cannot_claim_a_huge_table(tmp_path, content, name):
    """Thousands of columns times thousands of short rows are refused before they fill the memory."""
    with pytest.raises(FileError, match="more than 10,000,000 cells"):
        read_runs(write(tmp_path, content, name))


cells = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["1B", "NaN", "x", "", "-1", "1e400"])
)
rows = st.fixed_dictionaries(
    {"N": cells, "D": cells, "loss": cells},
    optional={
        "C": cells,
        "State": cells,
        "weight": cells,
        "unique_tokens": cells,
        "name": cells,
        "config": st.just({}),
    },
)
trees = st.recursive(
    cells, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner), max_leaves=20
)


@given(document=trees | st.lists(rows, max_size=8), best=st.booleans())
def test_any_json_gives_positive_runs_or_one_printable_error(tmp_path_factory, document, best):
    """Whatever a document holds, what is read can be fitted, and what is refused is said in printable text."""
    path = tmp_path_factory.mktemp("any") / "runs.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    said = "printable"
    with suppress(ScaleplanError):
        try:
            runs = read_runs(path, best=best)
        except ScaleplanError as error:
            said = f"{error.message} {error.hint}"
            raise
        for values in (runs.params, runs.tokens, runs.flops, runs.loss):
            assert (values > 0).all()
    assert said.isprintable()
