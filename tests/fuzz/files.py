"""Files of every kind that the program reads, each valid and much like people's own, and how files break."""

from __future__ import annotations

import atexit
import csv
import io
import json
import math
import shutil
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import ipc, parquet
from tests.fuzz import values
from tests.laws import forecasts
from tests.trainers.kinds import KINDS

import scaleplan as sp
from scaleplan.files import DATA_FILES, data_folder
from scaleplan.ladder.engines import ENGINES
from scaleplan.ladder.ladder import Ladder, LadderRun
from scaleplan.logs.ladder_run import run_file
from scaleplan.models.styles import STYLES
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import option_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "SAVED",
    "amounts",
    "config",
    "data_file",
    "description",
    "fitted",
    "forecast",
    "ladder",
    "log",
    "mutated",
    "preset",
    "project",
    "runs",
    "saved",
    "settings",
    "started_ladder",
    "training",
    "written",
]


# Runs


def runs(rng: Random) -> tuple[str, bytes]:
    """Return a table of training runs, as (extension, content): a known law with noise, under usual headings."""
    noise = rng.choice([0.0, 1e-3, 1e-2])
    rows = ladder(
        rng, rng.choice([1, 3, 5, 6, 8, 12, 12, 16, 16, 20, 24]), sizes=rng.choice([1, 2, 4, 6, 6]), noise=noise
    )
    way = rng.random()
    if way < 0.05:
        rows = [dict(rng.choice(rows[:2])) for _ in rows]  # the same runs again and again
    elif way < 0.1:
        rows = [
            row | {"loss": rng.choice([2.5, 1e-200, 1e200, 2.5 + 1e-9 * number])} for number, row in enumerate(rows)
        ]
    elif way < 0.15:
        rows = [row | {"note": values.nonsense(rng)} for row in rows]
    elif way < 0.165:
        rows = _many(rng, rows)
    for row in rows[:100]:
        if rng.random() < 0.03:
            row[rng.choice([*row])] = rng.choice(_CELLS)
    style = rng.choice(_HEADINGS)
    table = [{style.get(key, key): value for key, value in row.items()} for row in rows]
    if rng.random() < 0.3:
        dropped = rng.choice([*table[0]])
        table = [{key: value for key, value in row.items() if key != dropped} for row in table]
    extension = rng.choice(["csv", "csv", "csv", "csv", "tsv", "jsonl", "json", "parquet", "arrow", "arrows"])
    return extension, written(extension, table)


def _many(rng: Random, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a long table of such runs, one of many groups, a wide one, or one with a cell of great length."""
    way = rng.randrange(4)
    if way == 0:
        return [
            row | {"loss": row["loss"] * math.exp(rng.gauss(0, 1e-3)), "lr": n % 9}
            for n in range(250)
            for row in rows
        ]
    if way == 1:
        return [row | {"name": f"group {n}"} for n in range(60) for row in rows[:2]]
    if way == 2:
        return [{f"eval/task {n}": 0.5 for n in range(1500)} | row for row in rows]
    return [row | {"note": "x" * 100_000} for row in rows]


def ladder(rng: Random, count: int, *, sizes: int, noise: float) -> list[dict[str, Any]]:
    """Return runs of a known law with relative noise: so many, of so many sizes, some with further columns."""
    known = [10 ** rng.uniform(6.5, 9.5) for _ in range(sizes)]
    rows = []
    for number in range(count):
        params = rng.choice(known)
        tokens = params * rng.choice([1, 5, 20, 20, 80, 200]) if rng.random() < 0.8 else 10 ** rng.uniform(8, 11)
        loss = (1.8 + 420 / params**0.34 + 1300 / tokens**0.345) * math.exp(rng.gauss(0, noise))
        row = {"params": round(params), "tokens": round(tokens), "flops": 6 * params * tokens, "loss": loss}
        extra = rng.random()
        if extra < 0.3:
            row |= {"name": f"run-{number % 7}", "state": rng.choice(["finished", "finished", "crashed"])}
        elif extra < 0.5:
            row |= {"lr": rng.choice([1e-4, 3e-4, 1e-3]), "seed": number % 3}
        elif extra < 0.6:
            row |= {"unique_tokens": round(tokens / rng.choice([1, 4])), "accuracy": 1 - loss / 10}
        rows.append(row)
    return rows


_CELLS = ("", "nan", "inf", "NaN", None, "1e400", "diverged", -1, 0, True, "1e-200", 1e300, "{'a': 1}", "1,5")


_HEADINGS: Sequence[Mapping[str, str]] = (
    {},
    {"params": "N", "tokens": "D", "flops": "C", "loss": "L"},
    {"params": "n_params", "tokens": "train_tokens", "loss": "eval/loss", "state": "State", "name": "Name"},
    {"params": "Model Size (B)", "tokens": "dataset_tokens", "flops": "FLOPs (1E21)", "loss": "final loss"},
    {"loss": "perplexity"},
    {"loss": "bits per byte"},
)


def _delimited(delimiter: str) -> Callable[[list[dict[str, Any]]], bytes]:
    def write(rows: list[dict[str, Any]]) -> bytes:
        columns = list(dict.fromkeys(key for row in rows for key in row))
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue().encode("utf-8", "surrogatepass")

    return write


def _in_columns(kind: str) -> Callable[[list[dict[str, Any]]], bytes]:
    def write(rows: list[dict[str, Any]]) -> bytes:
        columns = {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
        arrays = []
        for cells in columns.values():
            try:
                arrays.append(pa.array(cells))
            except (pa.ArrowException, TypeError, ValueError, OverflowError):  # of several types
                arrays.append(
                    pa.array([None if cell is None else _encodable(str(cell)) for cell in cells], pa.string())
                )
        table = pa.Table.from_arrays(arrays, names=[_encodable(name) for name in columns])
        out = io.BytesIO()
        if kind == "parquet":
            parquet.write_table(table, out, row_group_size=7)
        else:
            with (ipc.new_file if kind == "arrow" else ipc.new_stream)(out, table.schema) as writer:
                writer.write_table(table, max_chunksize=5)
        return out.getvalue()

    return write


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


_WRITERS: Mapping[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "csv": _delimited(","),
    "tsv": _delimited("\t"),
    "jsonl": lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode(),
    "json": lambda rows: json.dumps(rows).encode(),
    "parquet": _in_columns("parquet"),
    "arrow": _in_columns("arrow"),
    "arrows": _in_columns("stream"),
}


def written(extension: str, rows: list[dict[str, Any]]) -> bytes:
    """Return a table in one of the formats that people keep their runs in."""
    return _WRITERS[extension](rows)


# Training logs


def log(rng: Random) -> tuple[str, bytes]:
    """Return the log of a run, as (name of the file, content), in one of the formats of trainers and trackers."""
    every, total = rng.choice([1, 1, 10, 100]), rng.choice([1, 3, 20, 120, 120, 600])
    peak, floor = 10 ** rng.uniform(-4.5, -2), rng.uniform(1.5, 2.5)
    points = []
    for number in range(1, max(1, int(total * rng.choice([0.3, 1, 1]))) + 1):
        loss = (floor + 6 / (number * every) ** 0.4) * math.exp(rng.gauss(0, 0.01))
        if rng.random() < 0.004:
            loss = rng.choice([math.nan, math.inf, 1e30, 0.0])
        rate = peak * 0.5 * (1 + math.cos(math.pi * number / total)) if total > 20 else peak
        points.append((number * every, loss, rate))
    if rng.random() < 0.1:  # resumed
        points += points[len(points) // 2 :]
    name, line = rng.choice(_LOGS)
    head, tail = ("", "") if name != "trainer_state.json" else ('{"log_history": [', "]}")
    lines = [line(*point, every * total) for point in points]
    text = head + ("," if head else "").join(lines) + tail if head else "".join(f"{line}\n" for line in lines)
    if name == "metrics.csv":
        text = f"step,train_loss,lr-AdamW\n{text}"
    if name == "history.csv":
        text = f"_step,_timestamp,train/loss,train/lr,eval/loss\n{text}"
    if name == "wandb_export.csv":
        text = f'"Step","a - train/loss","b - train/loss"\n{text}'
    if name == "curve.csv":
        text = f"run,params,tokens,loss\n{text}"
    if name == "scalars.csv":
        text = f"Wall time,Step,Value\n{text}"
    if rng.random() < 0.1:
        text = text.replace("\n", rng.choice(["\r\n", "\n\x1b[31m", "\r", "\n\0"]))
    return name, text.encode()


_LOGS: Sequence[tuple[str, Callable[[int, float, float, int], str]]] = (
    ("main.log", lambda step, loss, rate, _: f"s:{step} trl:{loss:.4f} lr:{rate:.6f} norm:0.4"),
    ("log.txt", lambda step, loss, *_: f"{step} train {loss:.6f}"),
    (
        "125m.jsonl",
        lambda step, loss, rate, _: json.dumps({"step": step, "loss": loss, "lr": rate, "tokens": 1024 * step}),
    ),
    ("metrics.csv", lambda step, loss, rate, _: f"{step - 1},{loss!r},{rate!r}"),
    (
        "trainer_state.json",
        lambda step, loss, rate, _: json.dumps({"step": step, "loss": loss, "learning_rate": rate, "epoch": 0.1}),
    ),
    (
        "megatron.log",
        lambda step, loss, rate, total: (
            f" iteration {step:8d}/{total:8d} | consumed samples: {8 * step:12d} | elapsed time per iteration (ms): "
            f"120.5 | learning rate: {rate:.6E} | global batch size: 8 | lm loss: {loss:.6E} | loss scale: 1.0 | "
        ),
    ),
    (
        "nemo.log",
        lambda step, loss, rate, total: (
            f"Training epoch 0, iteration {step}/{total} | lr: {rate:.4g} | global_batch_size: 8 | "
            f"global_step: {step} | reduced_train_loss: {loss:.4g} | train_step_timing in s: 0.43 | "
            f"val_loss: {loss:.3g}"
        ),
    ),
    (
        "trainer.log",
        lambda step, loss, rate, total: (
            f"  1%|#  | {step}/{total} [00:10<01:30]\r{{'loss': {loss!r}, 'learning_rate': {rate!r}, 'epoch': 0.1}}"
        ),
    ),
    (
        "titan.log",
        lambda step, loss, *_: (
            f"[rank0]:[titan] 2026-03-01 10:00:00,1 - root - INFO - step: {step:2d}  loss: {loss:8.5f}  "
            "memory: 41.22GiB(51.54%)  tps: 2,046  tflops: 311.22  mfu: 31.47%"
        ),
    ),
    (
        "composer.log",
        lambda step, loss, rate, _: (
            f"[metric][batch={step}]: loss/train/total: {loss:.4f} \n"
            f"[metric][batch={step}]: lr-DecoupledAdamW/group0: {rate:.4f} "
        ),
    ),
    (
        "olmo.log",
        lambda step, loss, rate, total: (
            f"2026-03-01 10:00:00.123\tnode-0:0\tolmo_core.train.callbacks.console_logger:68\tINFO\t"
            f"[step={step}/{total},epoch=1,eta=1:02:10]\n    optim/LR (group 0)={rate:.4f}\n"
            f"    train/CE loss={loss:.4f}"
        ),
    ),
    (
        "nanotron.log",
        lambda step, loss, rate, total: (
            f"[INFO|DP=0|PP=1|TP=0|ip-26-0-1]: iteration: {step} / {total} | consumed_tokens: {step * 262.0:.3g}K | "
            f"global_batch_size: 262K | lm_loss: {loss:.3g} | lr: {rate:.3g} | grad_norm: 0.259"
        ),
    ),
    (
        "mlperf.txt",
        lambda step, loss, *_: (
            ":::MLLOG "
            + json.dumps(
                {
                    "namespace": "",
                    "time_ms": step,
                    "event_type": "POINT_IN_TIME",
                    "key": "eval_accuracy",
                    "value": loss,
                    "metadata": {"epoch_num": 1024 * step},
                }
            )
        ),
    ),
    (
        "nanochat.log",
        lambda step, loss, rate, total: (
            f"step {step:05d}/{total:05d} (1.00%) | loss: {loss:.6f} | lrm: {rate:.2f} | dt: 521.31ms | "
            "tok/sec: 1,005,713"
        ),
    ),
    ("nanogpt.log", lambda step, loss, *_: f"step {step}: train loss {loss:.4f}, val loss {loss:.4f}"),
    (
        "console.log",
        lambda step, loss, rate, total: (
            f"val loss {loss:.4f}\nstep {step}/{total} | loss {loss:.4f} | lr {rate:.2e} |"
        ),
    ),
    (
        "history.csv",
        lambda step, loss, rate, _: f"{step},{1.7e9 + step},{loss!r},{rate!r},{loss if step % 5 == 0 else ''}",
    ),
    ("wandb_export.csv", lambda step, loss, *_: f'"{step}","{loss}","{loss + 1}"'),
    ("curve.csv", lambda step, loss, *_: f"r{step % 3},1e8,{step * 1000},{loss!r}"),
    ("scalars.csv", lambda step, loss, *_: f"{1.7e9 + step},{step},{loss!r}"),
    ("train_loss", lambda step, loss, *_: f"{1700000000000 + step} {loss!r} {step}"),
    (
        "modded.txt",
        lambda step, loss, rate, total: f"step:{step}/{total} train_loss:{loss:.4f} train_time:{step * 9}ms",
    ),
)


# Laws and data files


@cache
def _laws() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted((data_folder() / "laws").glob("*.toml")))


@cache
def _forecasts() -> tuple[bytes, ...]:
    fitted = [forecasts.stored(name) for name in forecasts.RUNS]
    rough = [forecasts.made(seed, size=size) for seed, size in ((1, 0.01), (2, 0.03), (3, 0.2))]
    return tuple(
        forecasts.preset_text(each).encode() for each in (*fitted, *rough, forecasts.with_two_optima(-0.004))
    )


def forecast(rng: Random) -> bytes:
    """Return a law file with a forecast: of a fit, at random, or with two optima; few of them rough beyond sense."""
    return rng.choice(_forecasts())


@cache
def fitted() -> tuple[str, ...]:
    """Return the names of preset files with the forecasts of fits, where they stay to the end of the process."""
    folder = Path(tempfile.mkdtemp(prefix="scaleplan-fits-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    names = []
    for name in forecasts.RUNS:
        path = folder / f"{name}.toml"
        path.write_text(forecasts.preset_text(forecasts.stored(name)), encoding="utf-8")
        names.append(str(path))
    return tuple(names)


def preset(rng: Random) -> bytes:
    """Return a law file: a bundled one, with an id of its own, and in some cases a title that no one expects.

    One in four has a forecast.
    """
    own = forecast(rng) if rng.random() < 0.25 else rng.choice(_laws())
    law = own.replace(b'\nid = "', b'\nid = "my-', 1)
    if rng.random() < 0.1:
        title = json.dumps(values.nonsense(rng)).encode()
        law = b"\n".join(b"title = " + title if line.startswith(b"title") else line for line in law.split(b"\n"))
    return law


def description(rng: Random) -> bytes:
    """Return the description of an architecture: that of a bundled family, or one that is like it; often broken."""
    names = sorted(path.stem for path in (data_folder() / "families").glob("*.toml"))
    name = rng.choice(names)
    if rng.random() < 0.3:
        tied = rng.choice(["true", '"h"', "-1"])
        return f'schema = 1\nname = "mine"\nlike = "{name}"\n[model]\ntied = {tied}\n'.encode()
    content = (data_folder() / "families" / f"{name}.toml").read_bytes()
    return mutated(rng, content) if rng.random() < 0.7 else content


def data_file(rng: Random) -> tuple[str, bytes]:
    """Return a file of one's own preset folder, as (name, content): a part of a bundled data file, often broken."""
    name = rng.choice([*sorted(DATA_FILES), "law.toml"])
    if name == "law.toml":
        return name, preset(rng)
    head, *tables = (data_folder() / name).read_text(encoding="utf-8").split("\n[[")
    kept = rng.sample(tables, min(len(tables), rng.randrange(1, 4)))
    content = "\n[[".join([head, *kept]).encode()
    return name, mutated(rng, content) if rng.random() < 0.5 else content


def settings(rng: Random, *, tool: bool = False) -> bytes:
    """Return a settings file with a few defaults."""
    prefix = "tool.scaleplan." if tool else ""
    lines = [f"[{prefix}defaults]"]
    for name in rng.sample(["gpu", "preset", "mfu", "level", "format", "color", "price", "goodput", "profile"], 2):
        text = values.plausible(rng, name) if rng.random() < 0.7 else values.nonsense(rng)
        ways = [json.dumps(text, ensure_ascii=False), "5", "true", "nan", "1979-05-27", '["a"]']
        lines.append(f"{name} = {ways[0] if rng.random() < 0.8 else rng.choice(ways)}")
    return "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")


# Models


@cache
def _configs() -> tuple[dict[str, Any], ...]:
    """Return the configs of small and large models of every style."""
    made = []
    for style in STYLES:
        for size in ("150M", "8B"):
            try:
                made.append(dict(sp.shape(size, style=style).config))
            except sp.ScaleplanError:
                continue
    return tuple(made)


_ODD_FIELDS: Mapping[str, Sequence[Any]] = {
    "num_local_experts": (8, 0, 1, -1, "8", 1e9),
    "num_experts_per_tok": (2, 9, 0),
    "num_key_value_heads": (1, 3, 0, None, 10**9),
    "num_hidden_layers": (1, 0, -3, 2.5, 10**6, 10**20, True),
    "hidden_size": (4096, 1, 0, 10**12, "4096", [4096], float("nan"), float("inf")),
    "vocab_size": (32000, 0, 256, 10**15),
    "tie_word_embeddings": (True, False, None, "yes", 1),
    "quantization_config": ({"bits": 4, "quant_method": "gptq"}, {}, [], "int4"),
    "layer_types": (["full_attention"] * 4, ["x"], [], {}),
    "model_type": ("llama", "mixtral", "gpt2", "nosuch", 5, None, "qwen3_next", "mamba", "roberta"),
    "max_position_embeddings": (2048, 0, 10**9, None),
    "kv_lora_rank": (512, 0, -1),
    "sliding_window": (4096, None, 0),
    "head_dim": (128, 0, 3, 10**6),
}


def config(rng: Random) -> bytes:
    """Return a config.json: of a style of the program, with fields changed, or nested as in a multimodal model."""
    data = dict(rng.choice(_configs()))
    for _ in range(rng.choice([0, 0, 1, 2, 4])):
        name = rng.choice([*_ODD_FIELDS])
        data[name] = rng.choice(_ODD_FIELDS[name])
    for _ in range(rng.choice([0, 0, 0, 1, 3])):
        data.pop(rng.choice([*data]), None)
    if rng.random() < 0.1:
        data = {"model_type": "nosuch", "text_config": data, "tie_word_embeddings": rng.choice([True, False])}
    if rng.random() < 0.01:
        data |= rng.choice([{f"x{n}": n for n in range(30_000)}, {"x": "y" * 10**6}, {"x": [0] * 10**5}])
    return json.dumps(data, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


# Projects


_KEYS = {
    "train.yaml": (
        "model:\n  params: {params}\n  config: config.json\ndata:\n  batch: {batch}\n  length: 2048\n"
        "trainer: &t\n  steps: {steps}\n  gpus: {gpus}\nmore:\n  <<: *t\n"
    ),
    "train.json": '{{"model": {{"params": "{params}"}}, "data": {{"batch": {batch}, "length": 2048}}, '
    '"trainer": {{"steps": {steps}, "gpus": {gpus}}}}}',
    "train.toml": '[model]\nparams = "{params}"\n[data]\nbatch = {batch}\nlength = 2048\n'
    "[trainer]\nsteps = {steps}\ngpus = {gpus}\n",
    "train.py": "params = {params!r}\nbatch, length = {batch}, 2048\nmax_iters = {steps} * 2\n"
    "model = dict(n_layer=12)\n",
    "train.sh": "#!/bin/sh\ntorchrun --nproc_per_node={gpus} train.py \\\n  --batch {batch} --train-iters {steps} "
    "--params {params}\n",
}
"""Training configs with the same values in each of the languages in which people write them."""


_BOMBS = (
    "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 25))
    + "<<: *a24\n",
    "b0: &b0 [x]\n" + "".join(f"b{i}: &b{i} [*b{i - 1}, *b{i - 1}, *b{i - 1}]\n" for i in range(1, 25)),
    "deep: " + "[" * 2000 + "]" * 2000 + "\n",
    "self: &s\n  inner: *s\n",
    "tag: !!python/object/apply:os.system [x]\nbinary: !!binary '%%'\ndate: 2026-99-99\nint: !!int x\n",
    "".join(f"k{i}: &k{i} {i}\n" for i in range(3000)),
)
"""Ends of a YAML file that grow without bound, lead into themselves, or make no sense."""


def project(rng: Random, *, odd: bool = True) -> dict[str, bytes]:
    """Return a project: its scaleplan.toml with a few runs and a policy, and the configs that these point into.

    Some values are edges and nonsense where it is ``odd``.
    """
    made: dict[str, bytes] = {}
    lines = []
    if rng.random() < 0.4:
        lines += ["[defaults]", f'gpu = "{values.amount(rng, "gpu")}"', ""]
    elif odd and rng.random() < 0.2:
        lines += [
            "[defaults]",
            rng.choice(["gpu = 5", "mfu = true", 'preset = ["x"]', "level = nan", "price = {}"]),
            "",
        ]
    for position in range(rng.choice([1, 1, 2, 3])):
        name = values.nonsense(rng) if odd and rng.random() < 0.1 else f"run {position}"
        lines += ["[[run]]", f"name = {json.dumps(name)}", *_run(rng, made, odd=odd), ""]
    if odd and rng.random() < 0.01:
        for position in range(150):
            lines += ["[[run]]", f'name = "one of many {position}"', *_run(rng, {}, odd=False), ""]
    lines += _policy(rng, odd=odd)
    made["scaleplan.toml"] = "\n".join([*lines, ""]).encode("utf-8", "surrogatepass")
    return made


def training(rng: Random) -> tuple[str, bytes]:
    """Return a training config of some trainer, as (name, content), some with a secret in them."""
    kind = rng.choice(KINDS)
    lines = kind.text.splitlines()
    if rng.random() < 0.2:
        name = rng.choice(["WANDB_API_KEY", "hf_token", "hub.token"])
        made = {"sh": f"export {name}={SECRET}", "py": f"{name.replace('.', '_')} = '{SECRET}'"}
        made |= {"yaml": f"{name}: {SECRET}", "toml": f'{name} = "{SECRET}"'}
        line = made.get(kind.file.rpartition(".")[2])
        if line is not None:
            lines.insert(rng.choice([0, len(lines)]), line)
    return kind.file, ("\n".join(lines) + "\n").encode()


SECRET = "sk-5f0e77c2d1"
"""A key that stands in some configs, and that no answer and no message may quote."""


def _run(rng: Random, made: dict[str, bytes], *, odd: bool) -> list[str]:
    kind = rng.random()
    if kind < 0.15:
        lines = _configured(rng, made, odd=odd)
    elif kind < 0.3:
        lines = [_entry(rng, "params", "params", odd=odd), _entry(rng, "tokens", "tokens", odd=odd)]
    elif kind < 0.45:
        lines = [_entry(rng, "flops", "flops", odd=odd)]
    elif kind < 0.6:
        lines = ['gpu = "h100-sxm"', _entry(rng, "cost", "usd", odd=odd), 'limit = ["params <= 70B"]']
    else:
        lines = _pointing(rng, made, odd=odd)
    known = [*option_names("hardware"), *(each.name for each in constraint_options()), "gpus", "preset", "region"]
    for _ in range(rng.choice([0, 0, 1, 2])):
        name = rng.choice(values.names("option") if odd and rng.random() < 0.2 else known)
        if not any(line.startswith(f"{name} ") for line in lines):
            lines.append(f"{name} = {json.dumps(values.plausible(rng, name), ensure_ascii=False)}")
    return lines


def _entry(rng: Random, name: str, kind: str, *, odd: bool) -> str:
    strange = odd and rng.random() < 0.2
    text = rng.choice([*values.EDGES, *values.NONSENSE]) if strange else values.amount(rng, kind)
    bare = rng.random() < 0.15 and text.replace(".", "").replace("e+", "").isdecimal()
    return f"{name} = {text if bare else json.dumps(text, ensure_ascii=False)}"


def _configured(rng: Random, made: dict[str, bytes], *, odd: bool) -> list[str]:
    """Return the lines of a run that takes what it does not give from the config of a trainer."""
    file, content = training(rng)
    made[file] = mutated(rng, content) if odd and rng.random() < 0.3 else content
    lines = [f'config = "{file}"', 'gpu = "h100-sxm"']
    given = {
        "vocab": ["32000", '"128k"', "0", "1e99"],
        "context": ["2048", '"8k"', "-1"],
        "gpus": ["8", "64", "7"],
        "tokens": ['"20B"'],
        "params": ['"1B"'],
        "model": ['"gpt2"', f'"{file}"', '"nosuch"'],
    }
    for name, texts in given.items():
        if rng.random() < 0.3 and not (name == "model" and any(line.startswith("params") for line in lines)):
            lines.append(f"{name} = {rng.choice(texts if odd else texts[:1])}")
    return lines


def _pointing(rng: Random, made: dict[str, bytes], *, odd: bool) -> list[str]:
    """Return the lines of a run whose values stand in a training config."""
    file = rng.choice([*_KEYS])
    steps = rng.choice(["1000", "250_000", "1e5"])
    if odd and rng.random() < 0.4:
        steps = rng.choice(["-1", "auto", "63900ba", "${variables.x}", "null", "2e12T", "!!binary x", ".inf", "~"])
    text = _KEYS[file].format(
        params=rng.choice(["7B", "1.3e9", "7e9B", "nan"] if odd else ["7B", "1.3e9", "350M"]),
        batch=rng.choice(["512", "[8, 64]", "4M", "0"] if odd else ["512", "1024"]),
        steps=steps if file.endswith(("yaml", "sh")) or steps.isdigit() else "1000",
        gpus=rng.choice(["8", "1.5", "-8"] if odd else ["8", "64"]),
    )
    if file == "train.yaml" and rng.random() < (0.3 if odd else 0.05):
        text += rng.choice(_BOMBS)
    made[file] = text.encode()
    named = rng.choice([file, file, file, "nosuch.yaml", "../secret.yaml", "/etc/hostname"]) if odd else file
    lines = [f'from = "{named}"']
    if rng.random() < 0.3:
        made["config.json"] = config(rng)
        lines.append('model = "config.json"')
    else:
        lines.append('params = { key = "model.params" }' if rng.random() < 0.7 else 'params = "1.3B"')
    ways = [
        'tokens = { batch = "data.batch", sequence = "data.length", steps = "trainer.steps" }',
        'tokens = { batch = "data.batch", sequence = 2048, steps = 1000 }',
        'tokens = { batch = "data.batch[0]", sequence = "data.length", steps = "more.steps" }',
        'tokens = { batch_tokens = "data.batch", steps = 250_000 }',
        'tokens = { key = "trainer.steps" }',
        'tokens = { key = "nosuch.key" }',
    ]
    lines.append(rng.choice(ways if odd else ways[:2]))
    if rng.random() < 0.5:
        lines += ['gpu = "h100-sxm"', 'gpus = { key = ["trainer.gpus", "trainer.gpus"] }']
    return lines


def _policy(rng: Random, *, odd: bool) -> list[str]:
    if rng.random() < 0.15:
        return []
    named = [rng.choice(values.names("judged")) for _ in range(rng.randrange(3))]
    amounts = [
        f"{name} {rng.choice(['<=', '>='])} {values.edge(rng) if odd and rng.random() < 0.1 else bound}"
        for name in named
        for bound in [values.amount(rng, values.QUANTITIES[name])]
    ]
    warn = rng.choice(['"tokens_per_param >= 20"', '{ limit = "params <= 7B", message = "too large" }', ""])
    return ["[policy]", f"error = {json.dumps(amounts, ensure_ascii=False)}", f"warn = [{warn}]"]


# Saved results and streams


SAVED = (
    ("optimal", "--flops", "1e21"),
    ("optimal", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d", "--shape"),
    ("optimal", "--flops", "1e22", "--unique-tokens", "20B", "--inference-tokens", "1T"),
    ("optimal", "--flops", "1e22", "--experts", "auto"),
    ("loss", "--params", "7B", "--tokens", "1T"),
    ("target", "--loss", "2.2", "--gpu", "h100-sxm"),
    ("sweep", "--from", "1e20", "--to", "1e22", "--points", "3"),
    ("compare", "--flops", "1e22"),
    ("break-even", "--params", "7B", "--points", "3"),
    ("hyperparameters", "--flops", "1e21"),
    ("precisions", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d"),
    ("vocab", "--params", "7B"),
    ("evaluate", "kaplan", "flops=1e21"),
    ("convert", "--flops", "1e24", "--gpu", "h100-sxm", "--gpus", "512"),
    ("shape", "7B"),
    ("memory", "7B", "--gpu", "h100-sxm"),
    ("marginal", "--cost", "250k", "--gpu", "h100-sxm"),
    ("plot", "isoflop", "--flops", "1e21"),
    ("presets", "list"),
    ("presets", "show", "kaplan"),
    ("presets", "path"),
    ("gpus", "list", "--vendor", "amd"),
    ("gpus", "show", "h100"),
    ("gpus", "compare", "h100-sxm", "a40", "--params", "7B", "--tokens", "1T", "--time", "30d"),
    ("families", "list"),
    ("families", "show", "mixtral"),
    ("models", "list", "--family", "qwen3"),
    ("models", "show", "gpt2"),
    ("design", "--flops", "1e21", "--target", "5.76e23"),
)


@cache
def _results() -> tuple[bytes, ...]:
    """Return what the program itself saves, of one command after another."""
    from tests.fuzz.harness import answer  # the harness runs the cases that this module fills

    with tempfile.TemporaryDirectory() as place:
        folder, rng = Path(place), Random(0)
        (folder / "runs.csv").write_bytes(written("csv", ladder(rng, 16, sizes=5, noise=1e-3)))
        name, text = log(rng)
        (folder / name).write_bytes(text)
        (folder / "scaleplan.toml").write_text(
            '[[run]]\nname = "base"\nparams = "7B"\ntokens = "1T"\ngpu = "h100-sxm"\n'
            '[policy]\nerror = ["cost <= 1 USD"]\n'
        )
        of_files = [
            ("check", f"{folder}/scaleplan.toml"),
            ("fit", f"{folder}/runs.csv", "--samples=5"),
            ("fit", f"{folder}/runs.csv", "--samples=0", "--form=offset_power", "--x=flops", "--report"),
            ("fit", f"{folder}/runs.csv", "--form=kaplan", "--each=loss=loss"),
            ("backtest", f"{folder}/runs.csv", "--samples=0"),
            ("runs", f"{folder}/{name}", "--params=125M", "--tokens-per-step=8k"),
            ("track", f"{folder}/{name}", "--steps=60k"),
            ("design", f"{folder}/runs.csv", "--flops=1e20", "--target=1e23"),
            ("diff", f"{folder}/scaleplan.toml", f"{folder}/scaleplan.toml"),
            ("register", "--flops=1e21", "-o", f"{folder}/forecast.json"),
            ("resolve", f"{folder}/forecast.json", "--loss=2.3"),
            ("forecasts", f"{folder}"),
            ("ladder", "status", f"{folder}/started"),
        ]
        for each, content in started_ladder(rng).items():
            (folder / "started" / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / "started" / each).write_bytes(content)
        return tuple(out.encode() for words in (*SAVED, *of_files) if (out := answer([*words, "--json"])))


def registered() -> bytes:
    """Return a registered forecast."""
    return next(each for each in _results() if b'"scaleplan/forecast/1"' in each)


def outcome() -> bytes:
    """Return the outcome of that forecast."""
    return next(each for each in _results() if b'"scaleplan/outcome/1"' in each)


def started_ladder(rng: Random) -> Mapping[str, bytes]:
    """Return the files in the folder of a ladder, by their paths in it: runs in any state."""
    gpu = rng.random() < 0.7
    pilots = []
    for number in range(rng.choice([1, 2, 5])):
        steps, name = rng.choice([1, 20, 120]), f"{number:02}-5M-s0"
        amounts = {"params": 5_000_000, "tokens": 65_536 * steps, "flops": 1e15 * steps, "layers": 6, "width": 256}
        amounts |= {"heads": 4, "kv_heads": 4, "head_width": 64, "ffn_width": 1024, "vocab": 50_257, "seed": 0}
        amounts |= {"context": 1024, "batch": 65_536, "batch_sequences": 64, "steps": steps}
        hours = 10 ** rng.uniform(-2, 2) if gpu else None
        limit = None if hours is None else 3 * hours
        out, words = f"started/{name}", ("train", "--out", f"started/{name}")
        pilots.append(LadderRun(name=name, out=out, words=words, lr=1e-3, hours=hours, limit_hours=limit, **amounts))
    engine = rng.choice(["slurm", "csv"])
    totals = dict.fromkeys(("gpu_hours", "days", "cost", "most_gpu_hours", "most_days", "most_cost"))
    made = Ladder(
        engine=engine, folder="started", file=ENGINES[engine].file, submit="", command="train --out {out}", law="x",
        target=1e22, rule="porian-2024", style="llama", gpu="h100-sxm" if gpu else None, gpus=1, at_once=2,
        runs=tuple(pilots), flops=1e17, price=2.0 if gpu else None, currency="USD", **totals,
    )  # fmt: skip
    found = {"ladder.json": json.dumps(made.to_dict()).encode()}
    for run in pilots:
        if rng.random() < 0.2:
            continue
        found[f"{run.name}/run.json"] = json.dumps(run_file(run)).encode()
        found[f"{run.name}/started"] = rng.choice([b"1700000000", b"1900000000", b"", b"x"])
        if rng.random() < 0.6:
            found[f"{run.name}/exit"] = rng.choice([b"0\n", b"0\n", b"1\n", b"124\n", b"143\n", b"999", b"", b"-1"])
        for _ in range(rng.choice([0, 1, 1, 2])):
            name, content = log(rng)
            found[f"{run.name}/{rng.choice(['output.log', name])}"] = content
    return found


def saved(rng: Random) -> bytes:
    """Return a saved result; sometimes several plans, one a line."""
    if rng.random() < 0.1:
        count = rng.choice([2, 2, 2, 2, 300])
        return b"".join(json.dumps(json.loads(rng.choice(_results()[:3]))).encode() + b"\n" for _ in range(count))
    return rng.choice(_results())


def amounts(rng: Random) -> bytes:
    """Return lines of amounts for standard input, rarely very many."""
    if rng.random() < 0.02:
        return b"".join(b"%de18\n" % (1 + n % 5000) for n in range(rng.choice([500, 20_000])))
    lines = [
        values.amount(rng, rng.choice(["flops", "flops", "flops", "hours", "seconds", "usd"]))
        if rng.random() < 0.9
        else rng.choice([values.edge, values.nonsense])(rng)
        for _ in range(rng.randrange(6))
    ]
    return rng.choice(["\n", "\n", "\r\n"]).join([*lines, ""]).encode("utf-8", "surrogatepass")


# Damage


def mutated(rng: Random, content: bytes) -> bytes:
    """Return a file broken in one to three of the ways in which files break."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = rng.choice(_DAMAGES)(rng, content)
    return content


def _somewhere(rng: Random, content: bytes) -> tuple[int, int]:
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + rng.choice([1, 1, 4, 30, 300]))


def _truncate(rng: Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _delete(rng: Random, content: bytes) -> bytes:
    start, stop = _somewhere(rng, content)
    return content[:start] + content[stop:]


def _duplicate(rng: Random, content: bytes) -> bytes:
    start, stop = _somewhere(rng, content)
    return content[:stop] + content[start:stop] * rng.choice([1, 2, 50]) + content[stop:]


_BYTES = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1b[31m", b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xae", b"'",
    b"\r", b"\n", b"\t", b",", b";", b"{", b"[" * 200, b"{" * 5000, b'"', b"#", b": ", b"!!python/object:x ", b"&a ",
    b"*a", b"<<: ", b"%", b"@", b"\\", b"\\u0000", b"\\ud800", b"---\n", b"...", b"= ",
)  # fmt: skip


def _insert(rng: Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(_BYTES) + content[place:]


def _lines(rng: Random, content: bytes) -> bytes:
    """Drop, repeat or swap a line."""
    lines = content.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    way = rng.random()
    if way < 0.4:
        del lines[first]
    elif way < 0.7:
        lines.insert(second, lines[first])
    else:
        lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


_WORDS = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+-"

_LITERALS = (
    b"null", b"true", b"[]", b"{}", b'""', b'"text"', b"[1, 2]", b"nan", b"NaN", b"Infinity", b"-Infinity", b"inf",
    b"0x1F", b"1979-05-27", b"1e5", b"0.5", b"1_000", b"~", b".nan", b".inf", b"- x", b"yes", b"0o7", b"[[1.0]]",
)  # fmt: skip


def _word(rng: Random, content: bytes) -> bytes:
    """Replace a number or a word by an edge, a literal of another type, or nonsense."""
    places = [i for i in range(len(content)) if content[i] in _WORDS and (i == 0 or content[i - 1] not in _WORDS)]
    digits = [i for i in places if 48 <= content[i] <= 57]
    if not places:
        return content
    start = rng.choice(digits if digits and rng.random() < 0.7 else places)
    stop = start
    while stop < len(content) and content[stop] in _WORDS:
        stop += 1
    text = rng.choice(
        [rng.choice(values.EDGES).encode(), rng.choice(_LITERALS), values.nonsense(rng).encode("utf-8", "replace")]
    )
    return content[:start] + text + content[stop:]


def _encoding(rng: Random, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    return rng.choice(
        [
            text.encode("utf-16"),
            text.encode("latin-1", "replace"),
            b"\xef\xbb\xbf" + content,
            content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            b"",
            b"\n" * 3,
        ]
    )


def _json_field(rng: Random, content: bytes) -> bytes:
    """Drop, retype, nest or repeat a field of a JSON object; other files lose a line."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return _lines(rng, content)
    for _ in range(rng.choice([1, 1, 3])):
        owner, key = _field(rng, data)
        if owner is None:
            break
        way = rng.random()
        if way < 0.35:
            del owner[key]
        elif way < 0.9:
            owner[key] = rng.choice(
                [None, True, "text", "", -1, 0, 1e308, 1e-320, 10**400, [], {}, [1, 2], {"a": None}, [[]]]
            )
        else:
            owner[key] = [owner[key]]
    return json.dumps(data).encode()


def _field(rng: Random, data: Any) -> tuple[Any, Any]:
    """Return a container somewhere inside, and one of its keys; (None, None) where there is none."""
    owner, key, value = None, None, data
    while isinstance(value, dict | list) and value and (owner is None or rng.random() < 0.6):
        owner = value
        key = rng.choice([*owner]) if isinstance(owner, dict) else rng.randrange(len(owner))
        value = owner[key]
    return owner, key


def _noise(rng: Random, content: bytes) -> bytes:
    return rng.randbytes(rng.randrange(200))


_DAMAGES: Sequence[Callable[[Random, bytes], bytes]] = (
    _truncate, _delete, _duplicate, _insert, _insert, _lines, _lines, _word, _word, _word, _encoding, _json_field,
    _json_field, _noise,
)  # fmt: skip
