"""Files that are no table of runs, and spellings of tables: logs, charts, scalars, comments, commas, nested cells."""

import io
import json
import math

import numpy as np
import pytest

from scaleplan.errors import FileError
from scaleplan.fitting.columns import recognise
from scaleplan.fitting.exports import NotRunsError, step_column
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.table import read_table


def written(tmp_path, text, name="runs.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "number of parameters: 29.94M\nstep 0: train loss 10.9, val loss 10.9\niter 90: loss 9.9, time 900.1ms\n",
        "s:0 tel:3.3452\ns:0 trl:3.3243 lr:0.000050 norm:0.41\ns:1 trl:3.3387 lr:0.000100 norm:0.37\n",
        "0 val 4.2307\n0 hella 0.2500\n0 train 4.284790\n1 train 4.272533\n",
        "[metric][batch=5]: loss/train/total: 4.0346 \n[metric][batch=10]: loss/train/total: 3.9\n",
        " iteration  10/ 1000 | lm loss: 3.473559E+00 |\n iteration  20/ 1000 | lm loss: 3.2E+00 |\n",
    ],
)
@pytest.mark.parametrize("name", ["run.log", "log.txt", "log.csv"])
def test_a_log_is_read_as_its_run(tmp_path, text, name):
    """Trainers print a step and a loss on a line; what its size is they do not tell, and an option does."""
    path = written(tmp_path, text, name)
    with pytest.raises(FileError, match=r"no log tells the (parameters|tokens) of its run") as caught:
        read_runs(path)
    assert "'scaleplan runs PATH --" in caught.value.hint
    runs = read_runs(path, mapping={"params": "30M", "tokens": "steps*1000"})
    assert (len(runs), runs.params[0]) == (1, 30e6)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mstep:  1  \x1b[32mloss:  4.03881  \x1b[33mnorm: 0.3\nstep: 10  loss:  4.04249  norm: 0.2\n",
        "starting\n>> step 10 of 90, loss = 4.01\n>> step 20 of 90, loss = 3.9\n>> step 30 of 90, loss = 3.8\n",
    ],
)
@pytest.mark.parametrize("name", ["run.log", "log.txt", "log.csv"])
def test_a_log_of_no_format_that_is_known_is_called_a_log(tmp_path, text, name):
    """No comma in it is to blame."""
    with pytest.raises(FileError, match="this is the log of a training run, not a table of runs") as caught:
        read_runs(written(tmp_path, text, name))
    assert "one row a run" in caught.value.hint


def test_a_table_of_runs_in_a_text_file_is_no_log(tmp_path):
    """Names of runs may speak of steps and losses."""
    text = "name,params,tokens,loss\nstep-100-a,1e8,2e9,3.5\nstep-200-loss,2e8,4e9,3.2\n"
    assert len(read_runs(written(tmp_path, text, "runs.txt"))) == 2


@pytest.mark.parametrize(
    ("names", "row", "what"),
    [
        (
            ("Step", "a - loss", "a - loss__MIN", "a - loss__MAX", "b - loss"),
            "1,2,3,4,5",
            "chart, one metric of 2 runs",
        ),
        (("Step", "a - eval/loss", "b - eval/loss", "c - eval/loss"), "1,2,3,4", "chart, one metric of 3 runs"),
        (("Wall time", "Step", "Value"), "1700000000.0,10,3.7", "scalar export of TensorBoard"),
    ],
)
def test_the_export_of_a_chart_is_recognised_by_its_shape(tmp_path, names, row, what):
    """It has the curves of runs and no size."""
    text = ",".join(f'"{name}"' for name in names) + f"\n{row}\n{row}\n"
    path = written(tmp_path, text)
    with pytest.raises(FileError, match="no log tells the parameters of its run") as caught:
        read_runs(path)
    assert "--map params=125M" in caught.value.hint
    with pytest.raises(NotRunsError, match=what):
        recognise(read_table(path), mapping={}, log10=(), loss_unit="nats", needed=("params", "loss"))


def test_a_curve_of_a_chart_can_still_be_read(tmp_path):
    """With its column named, a chart is a table like any other."""
    text = "Step,a - loss,b - loss\n1000,4.5,4.0\n2000,4.2,3.7\n3000,4.1,3.6\n"
    runs = read_runs(written(tmp_path, text), needed=(), extra=["Step", "a - loss"])
    assert runs.extra["a - loss"].tolist() == [4.5, 4.2, 4.1]


def test_a_scalar_in_json_and_a_history_are_recognised(tmp_path):
    """TensorBoard downloads lists of three; a trainer's state lists the steps of one run."""
    scalar = written(tmp_path, json.dumps([[1.7e9, 10, 3.7], [1.7e9, 20, 3.5]]), "loss.json")
    with pytest.raises(FileError, match="no log tells the parameters of its run"):
        read_runs(scalar)
    with pytest.raises(NotRunsError, match="scalar export"):
        read_table(scalar)
    state = {"log_history": [{"step": s, "loss": 4 / s**0.1, "epoch": s / 9} for s in range(1, 9)], "epoch": 1}
    with pytest.raises(FileError, match="no log tells the parameters of its run") as caught:
        read_runs(written(tmp_path, json.dumps(state), "trainer_state.json"))
    assert "--form offset_power --x 'step'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("# exported\n# twice\nparams,tokens,loss\n1e8,2e9,3.5\n# old\n2e8,4e9,3.2\n", [4, 6]),
        ("#params,tokens,loss\n1e8,2e9,3.5\n2e8,4e9,3.2\n", [2, 3]),
        ("# by savetxt\n# params tokens loss\n1e8 2e9  3.5\n2e8 4e9  3.2\n", [3, 4]),
        ("params   tokens  loss\n1e8      2e9     3.5\n2e8      4e9     3.2\n", [2, 3]),
        ("| params | tokens | loss |\n| ---: | ---: | ---: |\n| 1e8 | 2e9 | 3.5 |\n| 2e8 | 4e9 | 3.2 |\n", [3, 4]),
    ],
)
def test_comments_blanks_and_markdown(tmp_path, text, rows):
    """Lines that begin with # are comments, unless one is the only row of names; rows keep their numbers."""
    runs = read_runs(written(tmp_path, text))
    assert (runs.params.tolist(), runs.loss.tolist(), runs.rows.tolist()) == ([1e8, 2e8], [3.5, 3.2], rows)


@pytest.mark.parametrize(
    "text",
    [
        "params;tokens;loss\n20000000;500000000;4,4675\n40000000;500000000;4,2\n",
        "params;tokens;loss\n20.000.000;500.000.000;4,467\n40.000.000;500.000.000;4,200\n",
        "params\ttokens\tloss\n20.000.000\t5,0e8\t4,467\n40.000.000\t5,0e8\t4,2\n",
        'params,tokens,loss\n20000000,500000000,"4,4675"\n40000000,500000000,"4,2"\n',
        "params;tokens;loss\n0,02B;0,5B;4,4675\n0,04B;0,5B;4,2\n",
    ],
)
def test_decimal_commas_are_read_where_they_are_proven(tmp_path, text):
    """Groups of thousands have three digits; between semicolons a comma is decimal."""
    runs = read_runs(written(tmp_path, text))
    assert (runs.params.tolist(), runs.tokens.tolist()) == ([2e7, 4e7], [5e8, 5e8])
    assert runs.loss == pytest.approx([4.4675, 4.2], abs=0.001)


def test_thousands_stay_thousands(tmp_path):
    """1,439,795,200 proves the other kind, in its column and for those that prove nothing."""
    text = 'params,tokens,loss\n"20,000","1,439,795,200",4.4675\n"40,000","2,000,000,000",4.2\n'
    runs = read_runs(written(tmp_path, text))
    assert (runs.params.tolist(), runs.tokens.tolist()) == ([2e4, 4e4], [1439795200, 2e9])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("params,tokens,loss\n1e8,2e9,3,5\n2e8,4e9,3,2\n", "decimal commas, as in '3,5'"),
        ("params\ttokens\tloss\n20000000\t500000000\t4,467\n", "'4,467' in column 'loss' may be 4.467 or 4467"),
        ('params,tokens,loss\n20000000,500000000,"4,467"\n', "'4,467' in column 'loss' may be 4.467 or 4467"),
    ],
)
def test_a_comma_that_could_be_either_is_named_as_the_cause(tmp_path, text, problem):
    """The message has the cell; nothing is guessed."""
    with pytest.raises(FileError, match=problem):
        read_runs(written(tmp_path, text))


def test_cells_that_hold_objects_are_nested_columns(tmp_path):
    """Trackers dump a dictionary in a cell: JSON or a Python literal, with NaN, arrays' scalars, and settings."""
    lines = ["config,summary,name"]
    cells = [
        (
            "{'n_params': 20000000, 'lr': 0.001}",
            "{'val/loss': 4.4581, 'tokens': 524288000, '_wandb': {'runtime': 1}}",
        ),
        ("{'n_params': 40000000, 'lr': 1e-3}", "{'val/loss': np.float64(4.1613), 'tokens': 524288000, 'x': nan}"),
        ('{"n_params": 80000000, "lr": null}', '{"val/loss": 3.9349, "tokens": 524288000, "done": true}'),
        ("{'n_params': 80000000}", "{'val/loss': nan, 'tokens': 524288000}"),
    ]
    lines += ['"{}","{}",run'.format(*(cell.replace('"', '""') for cell in pair)) for pair in cells]
    runs = read_runs(written(tmp_path, "\n".join(lines)))
    assert runs.columns["params"] == "config.n_params"
    assert runs.params.tolist() == [2e7, 4e7, 8e7]
    assert runs.loss.tolist() == [4.4581, 4.1613, 3.9349]
    assert runs.dropped_by_reason() == {"missing_loss": 1}


def test_settings_with_a_value_of_their_own_are_found(tmp_path):
    """The W&B interface writes {"n_params": {"desc": null, "value": 2e7}}, as a text in JSON."""
    config = {"n_params": {"desc": None, "value": 20_000_000}, "tokens": {"value": 500_000_000}}
    rows = [{"config": json.dumps(config), "summaryMetrics": json.dumps({"val_loss": 4.4})}]
    runs = read_runs(written(tmp_path, json.dumps(rows), "runs.json"))
    assert (runs.params[0], runs.tokens[0], runs.loss[0]) == (2e7, 5e8, 4.4)


@pytest.mark.parametrize("cell", ["{'a': " * 500 + "1" + "}" * 500, "{broken", "{1: 2, 'loss': 1or 2}", "{}"])
def test_a_cell_that_only_looks_like_an_object_is_text(tmp_path, cell, recwarn):
    """It is no number, and no warning of the compiler."""
    text = f'notes,params,tokens,loss\n"{cell}",1e8,2e9,3.5\n'
    assert len(read_runs(written(tmp_path, text))) == 1
    assert not recwarn.list


@pytest.mark.parametrize("loss", ["1e-155", "1e155", "5e-324", "1.7e308"])
def test_a_loss_that_no_run_has_is_left_out_with_its_reason(tmp_path, loss):
    """Its square would be no number."""
    runs = read_runs(written(tmp_path, f"params,tokens,loss\n1e8,2e9,{loss}\n2e8,4e9,3.2\n"))
    assert (runs.dropped_by_reason(), len(runs)) == ({"bad_value": 1}, 1)
    assert math.isclose(float(loss), float(runs.dropped[0].detail.rpartition(" ")[2]), rel_tol=1e-5)


def test_fifty_thousand_rows_take_seconds(tmp_path, cpu_seconds):
    """Every step is linear: the time of four times the rows is about four times as long."""

    def seconds(count):
        rng = np.random.default_rng(0)
        sizes, data = 10 ** rng.uniform(7, 10, count), 10 ** rng.uniform(9, 12, count)
        rows = zip(sizes, data, 1.8 + 420 / sizes**0.34 + 1300 / data**0.345, strict=True)
        body = "\n".join(f"run-{i // 8},{n:.6g},{d:.6g},{i % 2},{loss:.5f}" for i, (n, d, loss) in enumerate(rows))
        path = written(tmp_path, f"name,Params (B),tokens,lr,loss\n{body}\n".replace("Params (B)", "params"))
        return cpu_seconds(lambda: read_runs(path, last=True))

    seconds(100)
    assert min(seconds(20_000) for _ in range(2)) < 10 * max(seconds(5_000), 0.02)


@pytest.mark.parametrize("text", ["#params;tokens", "# a\n# b\n", "sep=;\n", "sep=;\nparams;tokens;loss\n"])
def test_comments_alone_are_no_table(tmp_path, text):
    """Nor is a row of names alone."""
    with pytest.raises(FileError):
        read_runs(written(tmp_path, text))


def test_the_global_batch_gives_the_tokens_and_the_trainer_counts_the_steps(tmp_path):
    """The batch of one device, and the calls of a logger, are the wrong ones of two."""
    rows = (
        "params,max_steps,batch_size,global_batch_size,seq_len,loss\n1e8,1000,8,512,2048,3.2\n2e8,2000,8,512,2048,3\n"
    )
    with pytest.raises(FileError) as caught:
        read_runs(written(tmp_path, rows))
    assert "max_steps*global_batch_size*seq_len" in caught.value.hint
    assert step_column(["_step", "train/loss", "trainer/global_step"]) == "trainer/global_step"
    assert step_column(["loss", "epoch"]) == "epoch"
    assert step_column(["loss", "lr"]) is None


def test_a_log_on_standard_input_is_sent_to_the_command_that_reads_it(monkeypatch):
    """It is read once, as a table."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"s:0 trl:3.32 lr:1e-5\ns:1 trl:3.31 lr:2e-5\n")))
    with pytest.raises(NotRunsError) as caught:
        read_runs("-")
    assert "scaleplan runs - -o runs.csv" in caught.value.hint
