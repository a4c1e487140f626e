"""Printed logs: each trainer's lines and their traps, and what holds of all formats."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.logs.formats import FORMATS, format_of
from scaleplan.logs.log_file import LogFile

from .writers import WRITERS, Point, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.logs.run_log import RunLog

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
RATE_DECIMALS = {"llm.c": 6, "nanochat": 2, "composer": 4, "olmo-core": 4}
"""Decimals of the learning rate, where a trainer prints few."""

SAMPLES = {
    "llmc_main_log": "llm.c",
    "build_nanogpt_log": "build-nanogpt",
    "modded_nanogpt_log": "modded-nanogpt",
    "megatron_log": "megatron",
    "torchtitan_log": "torchtitan",
    "composer_file_log": "composer",
    "olmo_core_console": "olmo-core",
    "nanotron_log": "nanotron",
}
PRINTED = tuple(known for known in FORMATS if known.name in {name for _, name, _ in WRITERS.values()})


def read(path: Path) -> list[RunLog]:
    """Return the runs of a file, which exactly one format recognises."""
    file = LogFile(path)
    assert len([known.name for known in FORMATS if known.recognises(file)]) == 1
    known = format_of(file)
    assert known is not None
    return [recorder.run() for recorder in known.read(file)]


@pytest.fixture
def runs(tmp_path: Path):
    """Return a function that reads text as the runs of a log."""

    def of(text: str | bytes, name: str = "run.log") -> list[RunLog]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path)

    return of


def codes(run: RunLog) -> list[str]:
    return [notice.code for notice in run.warnings]


def at(run: RunLog, name: str, step: float) -> float:
    curve = run.curves[name]
    return float(curve.values[curve.steps == step][0])


def _rows() -> list[dict[str, str]]:
    path = CASES / "logs" / "key.csv"
    if not path.exists():
        return []
    with path.open() as handle:
        return [row for row in csv.DictReader(handle) if row["format"] in SAMPLES]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["format"])
def test_each_sample_reads_to_its_truth(row: dict[str, str]) -> None:
    path = CASES / row["file"]
    (run,) = read(path)
    assert run.format == SAMPLES[row["format"]]
    digits = 3 if run.stated.digits == 3 else 5
    assert at(run, "loss", float(row["probe_step"])) == pytest.approx(
        float(row["probe_loss"]), rel=10.0 ** (1 - digits)
    )
    assert run.last_step == float(row["last_step"])
    if "lr" in run.curves:
        decimals = RATE_DECIMALS.get(run.format, 9)
        assert at(run, "lr", float(row["probe_step"])) == pytest.approx(
            float(row["probe_lr"]), rel=0.005, abs=0.51 * 10.0**-decimals
        )
    if "val_loss" in run.curves:
        assert run.curves["val_loss"].values[-1] == pytest.approx(float(row["last_val_loss"]), abs=6e-5)
    if run.stated.tokens_per_step:
        assert run.stated.tokens_per_step == float(row["tokens_per_step"])
    if run.stated.total_steps:
        assert run.stated.total_steps == int(row["total_steps"])
    if row["nan_step"]:
        assert run.not_finite is not None
        assert run.not_finite.first == float(row["nan_step"])
        assert not run.lost
    assert ("restarted" in codes(run)) == (row["variant"] == "resume")


@pytest.mark.parametrize("name", WRITERS)
def test_a_written_log_is_recognised_by_its_own_format_alone(name: str, runs) -> None:
    (run,) = runs(written(name, [Point(step, 4.0, val=3.9) for step in range(10, 50, 10)], 100))
    assert run.format == WRITERS[name][1]


curves = st.lists(
    st.tuples(st.floats(0.5, 12.0), st.floats(1e-4, 1e-3), st.one_of(st.none(), st.floats(0.5, 12.0))),
    min_size=3,
    max_size=40,
)


def _points(values: Sequence[tuple[float, float, float | None]], every: int) -> list[Point]:
    return [Point((k + 1) * every, loss, lr, val) for k, (loss, lr, val) in enumerate(values)]


def _check(name: str, run: RunLog, points: Sequence[Point]) -> None:
    decimals = WRITERS[name][2]
    tolerance = {"rel": 0.006} if name == "nanotron" else {"abs": 0.6 * 10.0**-decimals}
    np.testing.assert_array_equal(run.curves["loss"].steps, [p.step for p in points])
    assert run.curves["loss"].values == pytest.approx([p.loss for p in points], **tolerance)
    validated = [p for p in points if p.val is not None]
    if validated and name not in ("nanotron", "nemo"):  # of NeMo a value that stays is no validation
        np.testing.assert_array_equal(run.curves["val_loss"].steps, [p.step for p in validated])
        assert run.curves["val_loss"].values == pytest.approx([p.val for p in validated], **tolerance)
    if "lr" in run.curves and not run.stated.relative_rate:
        resolution = 0.6 * 10.0 ** -RATE_DECIMALS.get(run.format, 5)
        assert run.curves["lr"].values == pytest.approx([p.lr for p in points], rel=0.006, abs=resolution)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=12, deadline=None)
@given(values=curves, every=st.sampled_from([1, 10, 25]))
def test_a_written_log_reads_back(name: str, values, every: int, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "back.log"
    points = _points(values, every)
    path.write_bytes(written(name, points, 5000))
    (run,) = read(path)
    _check(name, run, points)
    assert run.warnings == ()
    assert run.not_finite is None


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_cut_log_loses_the_cut_line_alone(name: str, data: st.DataObject, tmp_path_factory) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.log"
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4, 4.0 if k % 3 == 0 else None) for k in range(1, 30)]
    text = written(name, points, 5000)
    whole = len(written(name, points[:4], 5000))
    cut = data.draw(st.integers(whole, len(text)))
    path.write_bytes(text[:cut])
    (run,) = read(path)
    kept = run.curves["loss"]
    last_whole = text[:cut].rfind(b"\n") + 1
    path.write_bytes(text[:last_whole])
    (reference,) = read(path)
    of_whole = reference.curves["loss"]
    assert len(of_whole) <= len(kept) <= len(of_whole) + 1  # a line that lacks nothing but its end counts
    assert kept.values == pytest.approx([points[k].loss for k in range(len(kept))], rel=0.006)
    assert codes(run) in ([], ["cut"])


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=8, deadline=None)
@given(stop=st.integers(9, 25), resume=st.integers(3, 7), every=st.sampled_from([1, 10]))
def test_a_run_that_was_resumed_earlier_is_merged(
    name: str, stop: int, resume: int, every: int, tmp_path_factory
) -> None:
    path = tmp_path_factory.getbasetemp() / "resumed.log"
    first = [Point(every * k, 5.0 - 0.01 * k, 3e-4, 4.5 if k % 5 == 0 else None) for k in range(1, stop)]
    second = [Point(every * k, 4.8 - 0.01 * k, 2e-4, 4.2 if k % 5 == 0 else None) for k in range(resume, 40)]
    path.write_bytes(written(name, first, 5000) + b"loading checkpoint\n" + written(name, second, 5000))
    (run,) = read(path)
    _check(name, run, [*first[: resume - 1], *second])
    assert codes(run) == ["restarted"]


@pytest.mark.parametrize("name", WRITERS)
def test_the_encoding_and_the_ends_of_lines_do_not_matter(name: str, runs) -> None:
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4, 4.0) for k in range(1, 9)]
    plain = written(name, points, 100)
    text = plain.decode()
    for each in (
        text.replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + plain,
        text.encode("utf-16"),
        gzip.compress(plain),
        text.replace("\n", "\n\x1b[0m"),
        text.replace("\n", "\n 50%|#####     | 5/10 [00:01<00:01]\r") if name != "build-nanogpt" else text,
    ):
        (run,) = runs(each)
        _check(name, run, points)


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_bytes_cost_their_line_alone(name: str, runs) -> None:
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4) for k in range(1, 30)]
    lines = written(name, points, 1000).splitlines(keepends=True)
    middle = len(lines) // 2
    lines[middle] = b"\xff\xfe\x00\x01" + lines[middle][8:20] + b"\n"
    (run,) = runs(b"".join(lines))
    assert len(run.curves["loss"]) >= len(points) - 1
    assert [notice.message for notice in run.warnings] == [f"a damaged line is left out: line {middle + 1}"]


@pytest.mark.parametrize("name", WRITERS)
def test_a_loss_that_is_no_number_is_kept_out_and_told(name: str, runs) -> None:
    points = [Point(10 * k, float("nan") if k in (5, 6) else 5.0 - 0.01 * k, 3e-4) for k in range(1, 12)]
    (run,) = runs(written(name, points, 1000))
    assert run.not_finite is not None
    assert (run.not_finite.first, run.not_finite.last, run.not_finite.count) == (50.0, 60.0, 2)
    assert not run.lost
    assert np.isfinite(run.curves["loss"].values).all()
    (run,) = runs(written(name, points[:6], 1000))
    assert run.lost


@pytest.mark.parametrize("name", WRITERS)
def test_a_cut_last_line_is_told(name: str, runs) -> None:
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4) for k in range(1, 9)]
    text = written(name, points, 1000)
    for cut in (5, 1):  # in the last number, or no more than the end of the line
        (run,) = runs(text[:-cut])
        assert codes(run) == (["cut"] if cut == 5 else [])


def test_a_line_that_another_process_interrupts_is_told(runs) -> None:
    lines = written("megatron", [Point(10 * k, 5.0) for k in range(1, 9)], 100).decode().splitlines()
    lines[4] = lines[4][:90] + "[default3]:time (ms) | forward: 3"
    (run,) = runs("\n".join(lines) + "\n")
    assert len(run.curves["loss"]) == 7
    assert [notice.message for notice in run.warnings] == ["a damaged line is left out: line 5"]


@pytest.mark.parametrize("name", WRITERS)
def test_slurm_puts_numbers_before_lines(name: str, runs) -> None:
    if name in ("llm.c", "build-nanogpt"):
        pytest.skip("files of the trainer, not its output")
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4, 4.0) for k in range(1, 9)]
    text = written(name, points, 100).decode().splitlines()
    (run,) = runs("\n".join(f"0: {line}" for line in text) + "\n")
    _check(name, run, points)


@pytest.mark.parametrize(
    "text",
    [
        "# Training\n\nAt step 10 the loss is 3.2: see `iter 5: loss`.\n\n| step | loss |\n|---|---|\n| 10 | 3.2 |\n",
        "run,params,tokens,loss\na,1e8,2e9,3.2\nb,2e8,2e9,3.1\n",
        "step,loss\n10,3.2\n20,3.1\n",
        'print(f"iter {n}: loss {loss:.4f}, time {dt}ms")\nprint0(f"step:{step}/{steps} val_loss:{v}")\n',
        'name = "chinchilla"\nE = 1.69\nA = 406.4\n',
        "model:\n  n_layers: 12\nmax_duration: 1ep\nglobal_train_batch_size: 256\n",
        ":::MLLOG is the prefix of a result log\n",
        "[batch=3]: see the manual\n[step=3/4,epoch=1]\n",
        "",
        "\n\n\n",
        "iteration 5/10 of the review\n",
    ],
)
def test_a_text_that_is_no_log_is_not_recognised(text: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(text)
    assert [known.name for known in PRINTED if known.recognises(LogFile(path))] == []


def test_the_code_and_pages_of_this_project_are_no_logs() -> None:
    root = Path(__file__).parents[2]
    for path in [
        *root.glob("src/scaleplan/logs/*.py"),
        *root.glob("src/scaleplan/presets/data/*"),
        *root.glob("docs/*.md"),
    ]:
        if path.is_file():
            assert [known.name for known in PRINTED if known.recognises(LogFile(path))] == [], path


def test_several_runs_of_modded_nanogpt_after_their_source_code(runs) -> None:
    code = "# val_loss and train_loss of step\nprint0(f'step:{step}/{n} val_loss:{val_loss:.4f}')\n" * 3000
    text = code
    for final in (3.2, 3.3, 3.1):
        text += "step:0/30 val_loss:10.8 train_time:0ms step_avg:nanms\n"
        text += "".join(f"step:{k}/30 train_time:{10 * k}ms step_avg:10.00ms\n" for k in range(1, 31))
        text += (
            f"step:30/30 val_loss:{final:.4f} train_time:0.305s step_avg:10.17ms\npeak memory consumption: 31 MiB\n"
        )
    found = runs(text)
    assert [float(run.curves["val_loss"].values[-1]) for run in found] == [3.2, 3.3, 3.1]
    assert [run.ended for run in found] == ["finished"] * 3
    assert [run.line for run in found] == [6001, 6034, 6067]
    assert len({run.name for run in found}) == 3
    assert found[0].curves["seconds"].values[-1] == pytest.approx(0.305)
    assert found[0].stated.total_steps == 30


def test_megatron_of_older_versions_and_other_trees(runs) -> None:
    (run,) = runs(
        " iteration      100/  320000 | elapsed time per iteration (ms): 520.1 | learning rate: 1.400E-05 | "
        "lm loss: 9.512345E+00 | loss scale: 4096.0 |\n"
        " iteration      200/  320000 | elapsed time per iteration (ms): 520.1 | learning rate: 2.800E-05 | "
        "loss scale: 1.0 | "
        "number of skipped iterations: 100 | number of nan iterations:   0 |\n"
        " iteration      300/  320000 | elapsed time per iteration (ms): 520.1 | learning rate: 4.200E-05 | "
        "lm loss: 8.512345E+00 | loss scale: 4096.0 |\n"
    )
    assert run.curves["loss"].steps.tolist() == [100.0, 300.0]
    assert run.curves["lr"].values.tolist() == [1.4e-5, 2.8e-5, 4.2e-5]
    assert run.curves["seconds"].values[-1] == pytest.approx(0.5201 * 300)
    assert run.stated.smoothing == "mean of 100 steps"
    line = (
        "[default7]: iteration {n:8d}/infinity | consumed samples: {s:12d} | consumed tokens: {t:12d} | elapsed "
        "time per "
        "iteration (s): 14.28 | learning rate: 2.407E-04 | global batch size:   768 | lm loss: 5.905366E+00 | "
        "grad norm: "
        "0.114 | num zeros: 0.0 | number of skipped iterations:   0 | number of nan iterations:   0 | TFLOPs: "
        "69.85 |\n"
    )
    (run,) = runs(
        "".join(
            line.format(n=n, s=768 * n, t=768 * 4096 * n) + "[default0]:time (ms) | forward: 3\n" for n in range(5, 9)
        )
        + "[default7]: valid loss at iteration 8 | lm loss value: 5.8E+00 | lm loss PPL: 3.3E+02 |\n"
        + "[default7]: validation loss at iteration 8 on test set | lm loss value: 6.8E+00 | lm loss PPL: 3.3E+02 |\n"
    )
    assert run.stated.tokens_per_step == 768 * 4096
    assert run.stated.total_steps is None
    assert run.curves["tokens"].values[-1] == 768 * 4096 * 8
    assert run.curves["val_loss"].values.tolist() == [5.8]
    neox = (
        " samples/sec: 51.200 | iteration       {n}/     100 | elapsed time per iteration (ms): 5000.0 | "
        "learning rate: 1.234E-04 | approx flops per GPU: 123.4TFLOPS | lm_loss: 2.5E+00 | number of "
        "skipped iterations:   0 | number of nan iterations:   0 | tokens-per-second-per-gpu: 2114.61 |\n"
    )
    (run,) = runs(
        neox.format(n=10) + neox.format(n=20) + " validation results at iteration 20 | lm_loss value: 2.4E+00 | \n"
    )
    assert run.curves["loss"].values.tolist() == [2.5, 2.5]
    assert run.curves["val_loss"].values.tolist() == [2.4]
    assert run.curves["device_tokens_per_second"].values[-1] == 2114.61


@pytest.mark.parametrize(
    ("tail", "ended"),
    [
        ("[after training is done] datetime: 2026-03-01 10:00:00\n", "finished"),
        ("Traceback (most recent call last):\n  File x\ntorch.OutOfMemoryError: CUDA out of memory.\n", "crashed"),
        ("slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT 2026-03-01 DUE TO TIME LIMIT ***\n", "stopped"),
        ("exiting program at iteration 40\n", "stopped"),
        ("saving checkpoint\n", None),
    ],
)
def test_a_log_tells_how_it_ended(tail: str, ended: str | None, runs) -> None:
    text = written("megatron", [Point(10 * k, 4.0) for k in range(1, 5)], 40)
    (run,) = runs(text + tail.encode())
    assert run.ended == ended
    (run,) = runs(
        text + b"Traceback (most recent call last):\n" + written("megatron", [Point(50, 4.0), Point(60, 4.0)], 60)
    )
    assert run.ended is None


def test_ranks_that_print_the_same_are_one_run(runs) -> None:
    def line(rank: int, step: int, loss: float) -> str:
        return (
            f"[rank{rank}]:[titan] 2026-03-01 10:00:{step:02d},123 - root - INFO - \x1b[31mstep: {step:2d}  "
            f"\x1b[32mloss: "
            f"{loss:8.4f}  \x1b[33mmemory:  1.21GiB(0.86%)  tps: 5,756  tflops: 0.41  mfu: N/A\x1b[39m\n"
        )

    together = [line(rank, step, 9.0 - step) for step in range(1, 8) for rank in range(4)]
    late = [*together[:6], together[9], *together[6:9], *together[10:]]  # a rank that prints its line too late
    piped = [line(rank, step, 9.0 - step if rank else -1.0) for step in range(1, 8) for rank in range(2)]
    for lines in (together, late, piped):
        (run,) = runs("".join(lines))
        assert run.curves["loss"].values.tolist() == [9.0 - step for step in range(1, 8)]
        assert run.warnings == ()
        assert "mfu" not in run.curves
        assert run.curves["device_tokens_per_second"].values[-1] == 5756.0

    of_another = line(1, 7, 2.5).replace("step:", "validate step:")  # by the last stage of a pipeline
    (run,) = runs("".join(together) + of_another)
    assert run.curves["val_loss"].values.tolist() == [2.5]
    assert run.curves["loss"].values.tolist() == [9.0 - step for step in range(1, 8)]


def test_torchtitan_states_its_batch_and_devices(runs) -> None:
    (run,) = runs(
        b"[titan] 2026-03-01 10:00:00,000 - root - INFO - Building 1-D device mesh with ['dp_shard'], [8]\n"
        b"[titan] 2026-03-01 10:00:00,000 - root - INFO - CUDA capacity: NVIDIA H100 80GB HBM3 with 79.10GiB memory\n"
        b"[titan] 2026-03-01 10:00:00,000 - root - INFO - Model llama3 8B size: 8,030,261,248 total parameters\n"
        + written("torchtitan", [Point(k, 4.0) for k in range(1, 9)], 1000)
    )
    assert run.stated.devices == 8
    assert run.stated.params == 8030261248
    assert run.stated.gpu == "NVIDIA H100 80GB HBM3"
    assert run.stated.tokens_per_step == 64 * 8192
    assert run.stated.total_steps == 1000


def test_two_runs_in_one_log_are_told(runs) -> None:
    first, second = (
        written("llm.c", [Point(k, a - 0.01 * k) for k in range(60)], 60).splitlines() for a in (5.0, 6.0)
    )
    (run,) = runs(b"\n".join(line for pair in zip(first, second, strict=True) for line in pair) + b"\n")
    assert codes(run) == ["interleaved"]
    (run,) = runs(b"\n".join(line for pair in zip(first[30:], second, strict=False) for line in pair) + b"\n")
    assert "interleaved" in codes(run)
    assert run.curves["loss"].steps.tolist() == list(range(30, 60))


def test_nanochat_finds_the_batch_from_the_speed(runs) -> None:
    text = written("nanochat", [Point(k, 4.0) for k in range(1, 20)], 100).split(b"\n", 1)[1]
    (run,) = runs(text)
    assert run.stated.tokens_per_step == 524288
    assert run.stated.relative_rate
    assert run.stated.smoothing == "running mean"
    assert run.curves["tokens_per_second"].values[-1] == 1409338


def test_composer_counts_tokens_before_or_after_the_batch(runs) -> None:
    for name in ("composer file", "composer console"):
        (run,) = runs(written(name, [Point(k, 4.0) for k in range(2, 20)], 100))
        tokens = run.curves["tokens"]
        assert (tokens.values / tokens.steps).tolist() == pytest.approx([1048576] * len(tokens))
        assert run.stated.tokens_per_step == 1048576
        assert run.label == "metrics/train/LanguageCrossEntropy"


def test_olmo_core_writes_large_and_small_numbers_its_own_way(runs) -> None:
    head = "2026-03-01 10:0{n}:00.123\tn0:0\tconsole_logger:68\tINFO\t[step={s}/???,epoch=1,eta=1:02]\n"
    (run,) = runs(
        "".join(
            head.format(n=n, s=f"{n * 1000:,}")
            + f"    optim/LR (group 0)=1.0000E-05\n    optim/LR (group 1)=2.0000E-05\n    throughput/total "
            f"tokens={n * 4.194:.3f}B\n"
            f"    throughput/device/TPS=20,250\n    throughput/device/TPS (actual avg)=20,000\n    train/CE "
            f"loss=2.{n}000\n"
            for n in range(1, 6)
        )
    )
    assert run.curves["loss"].steps.tolist() == [1000.0, 2000.0, 3000.0, 4000.0, 5000.0]
    assert run.curves["lr"].values[0] == 1e-5
    assert run.curves["tokens"].values[-1] == pytest.approx(20.97e9)
    assert run.stated.total_steps is None
    assert run.curves["seconds"].values.tolist() == [0.0, 60.0, 120.0, 180.0, 240.0]


def test_nanotron_tells_its_digits_and_finds_the_batch(runs) -> None:
    (run,) = runs(written("nanotron", [Point(10 * k, 4.0 - 0.001 * k) for k in range(1, 90)], 1000))
    assert run.stated.digits == 3
    assert run.stated.tokens_per_step == 262144
    assert run.stated.devices == 8
    (run,) = runs(  # of a run that began with another batch
        "12/21 01:39:51 [INFO|DP=0|TP=0|n]: iteration: 211364 / 1500000 | consumed_tokens: 480B | "
        "time_per_iteration_ms: "
        "8.79K | tokens_per_sec: 182K | tokens_per_sec_per_gpu: 699 | global_batch_size: 1.6M | grad_norm: 4.14M | "
        "lm_loss: 2.04 | lr: 0.0001 | model_tflops_per_gpu: 15.4 | eta: 131 days, 1:45:39\n"
    )
    assert run.stated.tokens_per_step == pytest.approx(1.6e6, rel=0.005)
    assert run.curves["grad_norm"].values[0] == pytest.approx(4.14e6)


def test_the_console_of_llm_c_counts_updates(runs) -> None:
    """A validation loss stands behind the last update that it is of, and ``main.log`` has the same steps."""
    (run,) = runs(
        "| num_parameters        | 124475904                                          |\n"
        "batch_size B=64 * seq_len T=1024 * num_processes=8 and total_batch_size=524288\n"
        "val loss 11.033154\n"
        "step    1/3 | loss 11.032358 (+nanz)| norm 22.1414 (+nanz)| lr 8.57e-07 | 2500.46 ms | 40.2% bf16 MFU | "
        "209676 tok/s\n"
        "step    2/3 | loss 10.958507 (-1.21z)| norm 22.0968 (+0.02z)| lr 1.71e-06 | 2494.79 ms | -100.0% bf16 MFU | "
        "210153 tok/s\n"
        "val loss 10.5\n"
        "step    3/3 | train loss 10.811316 | norm 21.1251 | lr 2.57e-06 | 2499.50 ms | 40.2% bf16 MFU | "
        "209950 tok/s\nval loss 10.4\n"
    )
    assert (run.curves["loss"].steps.tolist(), run.curves["loss"].values[-1]) == ([0, 1, 2], 10.811316)
    assert run.curves["val_loss"].steps.tolist() == [0, 2, 3]
    assert run.curves["lr"].values.tolist() == [8.57e-7, 1.71e-6, 2.57e-6]
    assert (run.stated.total_steps, run.stated.params, run.stated.tokens_per_step) == (3, 124475904, 524288)


def test_the_console_of_build_nanogpt_validates_before_a_step(runs) -> None:
    (run,) = runs(
        "total desired batch size: 524288\nvalidation loss: 10.9511\nHellaSwag accuracy: 2463/10042=0.2453\n"
        "step     0 | loss: 10.955029 | lr 6.0000e-07 | norm: 15.3627 | dt: 2712.87ms | tok/sec: 193259.68\n"
        "step     1| loss: 9.5 | lr: 1.2000e-06 | norm: 4.3002  | dt: 2712.87ms | tok/sec: 193259.68\n"
        "validation loss: 9.3183\n"
        "step     2 | loss: 9.2 | lr 1.8000e-06 | norm: 4.3002 | dt: 2712.87ms | tok/sec: 193259.68\n"
        "validation loss: 9.1\n"
    )
    assert run.curves["loss"].values.tolist() == [10.955029, 9.5, 9.2]
    assert run.curves["lr"].values.tolist() == [6e-7, 1.2e-6, 1.8e-6]
    assert (run.curves["val_loss"].steps.tolist(), run.stated.tokens_per_step) == ([0, 2, 3], 524288)


def test_bits_per_byte_of_nanochat_are_no_loss_per_token(runs) -> None:
    text = written("nanochat", [Point(step, 4.0) for step in range(1, 5)], 100).decode()
    (run,) = runs("Step 00000 | Validation bpb: 3.1000\n" + text + "Step 00004 | Validation bpb: 0.8824\n")
    assert codes(run) == ["other_unit"]
    assert "val_loss" not in run.curves


def test_nemo_counts_steps_beyond_an_epoch(runs) -> None:
    def line(epoch: int, iteration: int, step: int, more: str = "") -> str:
        return (
            f"0: Training epoch {epoch}, iteration {iteration}/19 | lr: 2.999e-06 | global_batch_size: 512 | "
            f"global_step: {step} | reduced_train_loss: {11.0 - step} | train_step_timing in s: 46.86{more}\n"
        )

    text = line(0, 0, 0) + line(0, 1, 1, " | val_loss: 9.5") + line(1, 0, 2, " | val_loss: 9.5")
    (run,) = runs(text + line(1, 1, 3, " | val_loss: 8.5") + line(1, 2, 4, " | val_loss: 8.5"))
    assert run.curves["loss"].steps.tolist() == [0, 1, 2, 3, 4]
    assert (run.curves["val_loss"].steps.tolist(), run.curves["val_loss"].values.tolist()) == ([1, 3], [9.5, 8.5])
    assert (run.stated.batch, run.stated.total_steps) == (512, 20)


@pytest.mark.parametrize("quote", ["", "'"])
def test_a_trainer_without_bars_counts_its_entries(quote: str, runs) -> None:
    """So does one whose output comes late: its bars are those of other steps."""

    def entry(number: int) -> str:
        values = {"loss": 4.0 - number / 10, "grad_norm": 1.5, "learning_rate": 1e-5, "epoch": number / 100}
        return "{" + ", ".join(f"'{name}': {quote}{value}{quote}" for name, value in values.items()) + "}\n"

    evaluated = "{'eval_loss': 3.5, 'epoch': 0.05}\n"
    entries = "".join(map(entry, range(1, 6))) + evaluated
    done = "{'train_runtime': 11.0, 'train_loss': 3.7, 'epoch': 0.05}\n"
    bars = "".join(f" 1%|          | {step}/500 [00:01<01:00, 1.0it/s]\r" for step in range(1, 60))
    for text in (entries + done, bars + entries + done):
        (run,) = runs(text)
        assert run.curves["loss"].steps.tolist() == [1, 2, 3, 4, 5]
        assert run.curves["val_loss"].steps.tolist() == [5]
        assert (run.ended, codes(run)) == ("finished", ["rows_for_steps"])


def test_the_bar_behind_an_entry_has_its_step(runs) -> None:
    """The one before it may be older, and those of an evaluation have another total."""
    text = "".join(
        f"  1%|▏         | {step - 3}/500 [00:01<01:00, 1.0it/s]\r                 \r{{'loss': {4 - step / 100}, "
        f"'learning_rate': 1e-5, 'epoch': 0.1}}\n\r  1%|▏         | {step}/500 [00:01<01:00, 1.0it/s]\r"
        "  0%|          | 0/7 [00:00<?, ?it/s]\r100%|██████████| 7/7 [00:01<00:00, 7.0it/s]\n"
        f"{{'eval_loss': 3.5, 'eval_runtime': 1.1, 'epoch': 0.1}}\n"
        for step in range(10, 60, 10)
    )
    (run,) = runs(text)
    for name in ("loss", "val_loss"):
        assert run.curves[name].steps.tolist() == [10, 20, 30, 40, 50]
    assert (run.stated.total_steps, run.stated.smoothing) == (500, "mean of 10 steps")
    text = "".join(
        f" 80%|████████  | {step}/250 [06:51<00:48,  1.04it/s]{{'loss': {4 - step / 100}, 'epoch': 0.02}}\n"
        for step in range(190, 230, 10)
    )
    (run,) = runs(text)
    assert run.curves["loss"].steps.tolist() == [190, 200, 210, 220]


def test_mlperf_counts_samples_or_tokens(runs) -> None:
    def line(key: str, value: str, metadata: str = '"lineno": 1') -> str:
        return (
            f'0: :::MLLOG {{"namespace": "", "time_ms": 1725490438668, "event_type": "POINT_IN_TIME", '
            f'"key": "{key}", "value": {value}, "metadata": {{"file": "a", {metadata}}}}}\n'
        )

    start = line("global_batch_size", "32") + line("max_sequence_length", "8192") + line("seed", "1234")
    language = line("submission_benchmark", '"llama31_8b"')
    by_samples = line("eval_accuracy", "3.5", '"samples_count": 12288') + line(
        "eval_accuracy", "3.3", '"samples_count": 24576'
    )
    (run,) = runs(start + language + by_samples + line("run_stop", "null", '"status": "success"'))
    assert run.curves["val_loss"].steps.tolist() == [384.0, 768.0]
    assert run.curves["tokens"].values[-1] == 24576 * 8192
    assert (run.ended, run.stated.seed, run.stated.batch, run.stated.sequence) == ("finished", 1234, 32, 8192)
    by_tokens = by_samples.replace('"samples_count": 12288', f'"epoch_num": {12288 * 8192}').replace(
        '"samples_count": 24576', f'"epoch_num": {24576 * 8192}'
    )
    (run,) = runs(start + language + by_tokens + line("run_stop", "null", '"status": "aborted"'))
    assert run.curves["val_loss"].steps.tolist() == [384.0, 768.0]
    assert run.ended == "stopped"
    other = start + line("submission_benchmark", '"bert"') + line("eval_accuracy", "0.71", '"epoch_num": 2030855')
    assert runs(other) == []


def test_an_epoch_of_mlperf_counts_samples_or_tokens_throughout(runs) -> None:
    """Samples are whole batches of tokens, too, after as many steps as a sequence has tokens."""

    def line(key: str, value: object, **metadata: int) -> str:
        return f":::MLLOG {json.dumps({'key': key, 'value': value, 'time_ms': 1, 'metadata': metadata})}\n"

    head = line("global_batch_size", 16) + line("max_sequence_length", 64) + line("submission_benchmark", "gpt3")
    for scale in (16, 16 * 64):
        text = "".join(line("eval_accuracy", 4 - step / 1000, epoch_num=step * scale) for step in (10, 50, 64, 100))
        (run,) = runs(head + text)
        assert run.curves["val_loss"].steps.tolist() == [10, 50, 64, 100]


def test_nanogpt_and_litgpt_as_printed(runs) -> None:
    (run,) = runs(written("nanogpt", [Point(k, 4.0 - k, val=3.0) for k in range(3)], 600000))
    assert run.stated.params == 123.59e6
    assert run.stated.tokens_per_step == 491520
    assert run.stated.total_steps == 600000
    assert run.curves["mfu"].steps.tolist() == [1.0, 2.0]
    (run,) = runs(
        "Epoch 1 | iter 1 step 0 | loss train: 11.000, val: n/a | iter time: 500.00 ms remaining time: 1:00\n"
        "Epoch 1 | iter 2 step 0 | loss train: 10.900, val: n/a | iter time: 500.00 ms remaining time: 1:00\n"
        "Epoch 1 | iter 4 step 1 | loss train: 10.800, val: 10.7 | iter time: 500.00 ms (step) remaining time: 1:00\n"
    )
    assert run.curves["loss"].values.tolist() == [10.9, 10.8]
    assert run.curves["val_loss"].values.tolist() == [10.7]
    assert run.warnings == ()


def test_a_run_from_the_start_is_another_run(runs) -> None:
    for name in ("llm.c", "megatron", "nanochat", "composer file"):
        text = written(name, [Point(k, 4.0 - 0.01 * k) for k in range(1, 9)], 100)
        found = runs(text + b"\n" + text)
        assert [len(run.curves["loss"]) for run in found] == [8, 8]
        assert [codes(run) for run in found] == [[], []]
        assert found[0].line < found[1].line


def test_a_log_that_begins_late_and_goes_back_to_its_beginning_is_one_run(runs) -> None:
    points = [Point(step, 4.0 - 1e-4 * step) for step in range(5010, 5100, 10)]
    (run,) = runs(written("megatron", points[:5], 9000) + written("megatron", points, 9000))
    assert run.curves["loss"].steps.tolist() == [float(p.step) for p in points]
    assert codes(run) == ["restarted"]


def test_lines_with_fewer_values_do_not_hide_those_of_others(runs) -> None:
    line = "step {n:05d}/00100 (1.00%) | loss: 4.{n:06d} | lrm: 1.00 | dt: {dt}ms | tok/sec: 1,000 | epoch: 1\n"
    (run,) = runs("".join(line.format(n=n, dt="-" if n < 60 else "10.00") for n in range(1, 100)))
    assert len(run.curves["loss"]) == 99
    assert len(run.curves["seconds"]) == 40


@pytest.mark.filterwarnings("error")
@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(sorted(WRITERS)), other=st.sampled_from(sorted(WRITERS)), data=st.data())
def test_no_damage_breaks_the_reading(name: str, other: str, data: st.DataObject, tmp_path_factory) -> None:
    points = [Point(10 * k, 5.0 - 0.01 * k, 3e-4, 4.0 if k % 3 == 0 else None) for k in range(1, 12)]
    text = bytearray(written(name, points, 500))
    foreign = written(other, points, 500)
    junk = st.sampled_from(
        [b"nan", b"inf", b"1e999", b"-", b".", b",", b"\n", b"\r", b"\0", b"\xff", b"9" * 30, foreign[:300]]
    )
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(text)))
        gone = data.draw(st.sampled_from([0, 1, 3, 100]))
        text[place : place + gone] = data.draw(junk)
    path = tmp_path_factory.getbasetemp() / "damaged.log"
    path.write_bytes(bytes(text))
    for known in PRINTED:
        if known.recognises(LogFile(path)):
            for found in known.read(LogFile(path)):
                for curve in found.run().curves.values():
                    assert (np.diff(curve.steps) > 0).all()
                    assert np.isfinite(curve.values).all()
