"""Measure how long logs of trackers take to be read, and in how much memory.

``python tests/benchmarks/measure_structured_logs.py [ROWS] [GIGABYTE]`` writes a log of each format into a temporary
folder and reads it in a process of its own; with ``GIGABYTE`` also a file of 1 GB of those that may be so long.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "logs"))
from event_writer import event_records

from scaleplan.logs.log_reading import read_logs


def rows(count):
    """Yield step, tokens, learning rate and loss."""
    for step in range(1, count + 1):
        yield step, step * 524288, 3e-4 * (1 - step / count), 2.0 + 8.0 / step**0.3


def json_lines(count, folder):
    """Write an object a line."""
    path = folder / "metrics.jsonl"
    with path.open("w") as file:
        for step, tokens, rate, loss in rows(count):
            file.write(json.dumps({"step": step, "tokens": tokens, "lr": rate, "loss": loss}) + "\n")
    return path


def nested_lines(count, folder):
    """Write an object a line, of objects."""
    path = folder / "nested.jsonl"
    with path.open("w") as file:
        for step, tokens, rate, loss in rows(count):
            file.write(json.dumps({"step": step, "train": {"tokens": tokens, "lr": rate, "loss": loss}}) + "\n")
    return path


def lightning(count, folder):
    """Write a metrics.csv with the rate in rows of its own."""
    path = folder / "metrics.csv"
    with path.open("w") as file:
        file.write("epoch,lr-AdamW,step,train_loss_step,val_loss\n")
        for step, _, rate, loss in rows(count // 2):
            file.write(f"0,{rate!r},{step - 1},,\n0,,{step - 1},{loss!r},\n")
    return path


def history(count, folder):
    """Write a history of W&B."""
    path = folder / "history.csv"
    with path.open("w") as file:
        file.write(",_step,trainer/global_step,_runtime,_timestamp,train/tokens,train/lr,train/loss,eval/loss\n")
        for step, tokens, rate, loss in rows(count):
            file.write(f"{step},{step},{step * 10},{step * 1.7},{1.7e9 + step},{tokens},{rate!r},{loss!r},\n")
    return path


def scalars(count, folder):
    """Write a scalar as TensorBoard exports it."""
    path = folder / "run_train_loss.csv"
    with path.open("w") as file:
        file.write("Wall time,Step,Value\n")
        for step, _, _, loss in rows(count):
            file.write(f"{1.7e9 + step},{step},{loss!r}\n")
    return path


def metric(count, folder):
    """Write a metric of MLflow."""
    path = folder / "mlruns" / "0" / "abc" / "metrics" / "train_loss"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for step, _, _, loss in rows(count):
            file.write(f"{1700000000000 + step} {loss!r} {step}\n")
    return path


def state(count, folder):
    """Write the state of a Trainer."""
    path = folder / "trainer_state.json"
    entries = [
        {"epoch": step / count, "grad_norm": 0.3, "learning_rate": rate, "loss": round(loss, 4), "step": step}
        for step, _, rate, loss in rows(count)
    ]
    document = {"global_step": count, "is_world_process_zero": True, "log_history": entries, "max_steps": count}
    path.write_text(json.dumps(document, indent=2))
    return path


def events(count, folder):
    """Write an event file of loss and rate in turns."""
    path = folder / "events.out.tfevents.1700000000.host"
    with path.open("wb") as file:
        for step, _, rate, loss in rows(count // 2):
            file.write(
                event_records([(1.7e9 + step, step, {"train/loss": loss}), (1.7e9 + step, step, {"lr": rate})])
            )
    return path


FORMATS = (json_lines, nested_lines, lightning, history, scalars, metric, state, events)
STREAMED = (json_lines, history, events)
GIGABYTE = 10**9


def read(path):
    """Read one log, and print the seconds of the processor, the megabytes and the points."""
    begin = time.process_time()
    run = next(iter(read_logs([path])))
    seconds = time.process_time() - begin
    status = Path("/proc/self/status").read_text()  # unlike ru_maxrss it begins anew with the process
    memory = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(f"{seconds:.3f} s, {memory:.0f} MB, {len(run.curves['loss'])} points to step {run.last_step:.0f}")


def main(count, gigabyte):
    """Measure every format."""
    with tempfile.TemporaryDirectory() as name:
        for write in FORMATS:
            path = write(count, Path(name))
            found = subprocess.run(
                [sys.executable, __file__, "read", path], capture_output=True, text=True, check=True
            )
            print(f"{write.__name__:14} {path.stat().st_size / 1e6:8.1f} MB  {found.stdout.strip()}")
            if gigabyte and write in STREAMED:
                long = write(int(count * GIGABYTE / path.stat().st_size), Path(name))
                size = long.stat().st_size
                found = subprocess.run(
                    [sys.executable, __file__, "read", long], capture_output=True, text=True, check=True
                )
                print(f"{write.__name__:14} {size / 1e6:8.1f} MB  {found.stdout.strip()}")
            path.unlink()


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        read(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, len(sys.argv) > 2)
