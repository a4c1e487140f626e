"""Small writers of the logs that trainers print, for tests and measurements."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["WRITERS", "Point", "written"]


class Point(NamedTuple):
    """What a trainer logs of a step; ``val`` is None where it does not validate."""

    step: int
    loss: float
    lr: float = 3e-4
    val: float | None = None


def clock(seconds: int) -> str:
    """Write a time of day."""
    return f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def llm_c(points: Sequence[Point], total: int) -> list[str]:
    """``main.log``: validation of a step comes before its training."""
    del total
    lines = []
    for p in points:
        if p.val is not None:
            lines += [f"s:{p.step} tel:{p.val:.4f}", f"s:{p.step} eval:0.2500"]
        lines.append(f"s:{p.step} trl:{p.loss:.4f} lr:{p.lr:.6f} norm:0.41")
    return lines


def build_nanogpt(points: Sequence[Point], total: int) -> list[str]:
    """``log.txt``."""
    del total
    lines = []
    for p in points:
        if p.val is not None:
            lines += [f"{p.step} val {p.val:.4f}", f"{p.step} hella 0.2500"]
        lines.append(f"{p.step} train {p.loss:.6f}")
    return lines


def nanogpt(points: Sequence[Point], total: int) -> list[str]:
    """What nanoGPT prints."""
    lines = [f"max_iters = {total}", "tokens per iteration will be: 491,520", "number of parameters: 123.59M"]
    for p in points:
        if p.val is not None:
            lines.append(f"step {p.step}: train loss {p.loss:.4f}, val loss {p.val:.4f}")
        mfu = 29.5 if p.step else -100.0
        lines.append(f"iter {p.step}: loss {p.loss:.4f}, time 250.50ms, mfu {mfu:.2f}%")
    return lines


def modded_nanogpt(points: Sequence[Point], total: int) -> list[str]:
    """The log after the source code: a training line counts its own update."""
    lines = ["import os", "print0(f'step:{step}/{steps} val_loss:{val_loss:.4f}')", "=" * 100]
    for p in points:
        time = 143 * (p.step + 1)
        average = "nan" if p.step < 10 else "143.00"
        if p.val is not None:
            lines.append(f"step:{p.step}/{total} val_loss:{p.val:.4f} train_time:{time}ms step_avg:{average}ms")
        lines.append(f"step:{p.step + 1}/{total} train_loss:{p.loss:.4f} train_time:{time}ms step_avg:{average}ms")
    return lines


def nanochat(points: Sequence[Point], total: int) -> list[str]:
    """``base_train``: the rate is a multiplier."""
    lines = ["Total batch size 524,288 => gradient accumulation steps: 1"]
    for p in points:
        if p.val is not None:
            lines.append(f"Step {p.step:05d} | Validation loss: {p.val:.4f}")
        lines.append(
            f"step {p.step:05d}/{total:05d} ({100 * p.step / total:.2f}%) | loss: {p.loss:.6f} | lrm: "
            f"{p.lr / 3e-4:.2f} | "
            f"dt: 372.01ms | tok/sec: {1409338:,} | bf16_mfu: 47.21 | epoch: 1 | total time: {p.step * 0.0062:.2f}m"
        )
    return lines


def megatron(points: Sequence[Point], total: int) -> list[str]:
    """Megatron-LM with a date."""
    lines = ["  seq_length ...................................... 2048", "training ..."]
    for p in points:
        lines.append(
            f" [2026-03-01 10:10:07] iteration {p.step:8d}/{total:8d} | consumed samples: {512 * p.step:12d} | "
            f"elapsed time per iteration (ms): 8738.1 | learning rate: {p.lr:.6E} | global batch size: {512:5d} | "
            f"lm loss: {p.loss:.6E} | loss scale: 1.0 | grad norm: 0.403 | number of skipped iterations: {0:3d} | "
            f"number of nan iterations: {0:3d} |"
        )
        if p.val is not None:
            lines += [
                "-" * 96,
                f" validation loss at iteration {p.step} on valid set | lm loss value: {p.val:.6E} | PPL: 1.0 | ",
                "-" * 96,
            ]
    return lines


def torchtitan(points: Sequence[Point], total: int) -> list[str]:
    """Without colours, of one rank."""
    start = "[rank0]:[titan] 2026-03-01 10:00:00,123 - root - INFO - "
    lines = [
        start
        + "Trainer is initialized with local batch size 8, global batch size 64, gradient accumulation steps 1, "
        f"sequence length 8192, total steps {total} (warmup 2)"
    ]
    for p in points:
        lines.append(
            f"[rank0]:[titan] 2026-03-01 {clock(p.step)},123 - root - "
            f"INFO - step: {p.step:2d}  loss: {p.loss:8.5f}  grad_norm: {0.3564:7.4f}  memory: 41.22GiB(51.54%) "
            f" tps: 2,046  "
            f"tflops: 311.22  mfu: 31.47%"
        )
        if p.val is not None:
            lines.append(
                f"{start}validate step: {p.step:2d}  loss: {p.val:7.4f}  memory: 41.22GiB(51.54%)  tps: 2,046"
            )
    return lines


def nanotron(points: Sequence[Point], total: int) -> list[str]:
    """Three digits of everything."""
    return [
        f"03/01/2026 10:10:11 [INFO|DP=0|PP=1|TP=0|ip-26-0-1]: iteration: {p.step} / {total} | consumed_tokens: "
        f"{human(p.step * 262144)} | time_per_iteration_ms: 1.13K | tokens_per_sec: 231K | "
        f"tokens_per_sec_per_gpu: 28.9K | "
        f"global_batch_size: 262K | lm_loss: {human(p.loss)} | lr: {human(p.lr)} | model_tflops_per_gpu: 182 | "
        f"grad_norm: 0.25"
        for p in points
    ]


def human(value: float) -> str:
    """Write a number with three digits and a unit."""
    unit = 0
    while abs(value) >= 1000 and unit < 4:
        value, unit = value / 1000, unit + 1
    text = f"{value:.3g}"
    return text + ("", "K", "M", "B", "T")[unit]


def composer_file(points: Sequence[Point], total: int) -> list[str]:
    """The file of Composer."""
    del total
    lines = []
    for p in points:
        values = {
            "time/batch": f"{p.step}",
            "time/token": f"{p.step * 1048576}",
            "lr-DecoupledAdamW/group0": f"{p.lr:.4f}",
            "loss/train/total": f"{p.loss + 0.01:.4f}",
            "metrics/train/LanguageCrossEntropy": f"{p.loss:.4f}",
        }
        if p.val is not None:
            values["metrics/eval/LanguageCrossEntropy"] = f"{p.val:.4f}"
        lines += [f"[metric][batch={p.step}]: {name}: {value} " for name, value in values.items()]
    return lines


def composer_console(points: Sequence[Point], total: int) -> list[str]:
    """The console of Composer, which counts tokens before the batch."""
    lines = []
    for p in points:
        lines += [
            f"[batch={p.step}/{total}]:",
            f"\t Train time/batch: {p.step - 1}",
            f"\t Train time/token: {(p.step - 1) * 1048576}",
            f"\t Train loss/train/total: {p.loss + 0.01:.4f}",
            f"\t Train metrics/train/LanguageCrossEntropy: {p.loss:.4f}",
            f"\t Train lr-DecoupledAdamW/group0: {p.lr:.4f}",
        ]
        if p.val is not None:
            lines += [
                "[Eval batch=3/3] Eval on eval data:",
                f"\t Eval metrics/eval/LanguageCrossEntropy: {p.val:.4f}",
            ]
    return lines


def olmo_core(points: Sequence[Point], total: int) -> list[str]:
    """The console of OLMo-core."""
    lines = []
    for p in points:
        at = f"2026-03-01 {clock(p.step)}.123"
        lines += [
            f"{at}\tnode-0:0\tolmo_core.train.callbacks.console_logger:68\tINFO\t[step={p.step}/{total},epoch=1,eta=1:02:10]",
            f"    optim/LR (group 0)={p.lr:.4f}",
            f"    throughput/total tokens={p.step * 1048576:,}",
            "    throughput/device/TPS=20,250",
            f"    train/CE loss={p.loss:.4f}",
        ]
        if p.val is not None:
            lines.append(f"    eval/lm/c4_en-validation/CE loss={p.val:.4f}")
    return lines


def mlperf(points: Sequence[Point], total: int) -> list[str]:
    """Lines of a benchmark of language models, with a training loss."""

    def line(key: str, value: str, metadata: str) -> str:
        return (
            f':::MLLOG {{"namespace": "", "time_ms": 1725490438668, "event_type": "POINT_IN_TIME", "key": "{key}", '
            f'"value": {value}, "metadata": {{"file": "train.py", "lineno": 66, {metadata}}}}}'
        )

    given = {"submission_benchmark": '"llama31_8b"', "global_batch_size": "32", "max_sequence_length": "8192"}
    lines = [line(key, value, '"samples_count": 0') for key, value in {**given, "max_steps": str(total)}.items()]
    for p in points:
        lines.append(
            line("train_loss", json.dumps(round(p.loss, 6)), f'"samples_count": {p.step * 32}, "lr": {p.lr}')
        )
        if p.val is not None:
            lines.append(line("eval_accuracy", f"{p.val:.6f}", f'"samples_count": {p.step * 32}'))
    return lines


def nemo(points: Sequence[Point], total: int) -> list[str]:
    """The progress printer of NeMo 2."""
    lines, validated = [], ""
    for p in points:
        if p.val is not None:
            validated = f" | val_loss: {p.val:.4f}"
        lines.append(
            f"Training epoch 0, iteration {p.step}/{total - 1} | lr: {p.lr:.4g} | consumed_samples: "
            f"{32 * (p.step + 1)} | global_batch_size: 32 | global_step: {p.step} | reduced_train_loss: "
            f"{p.loss:.4f} | train_step_timing in s: 0.189{validated}"
        )
    return lines


def trainer_console(points: Sequence[Point], total: int) -> list[str]:
    """What a Trainer prints, its bars among it."""
    lines = [f"  Total optimization steps = {total:,}", f"  0%|          | 0/{total} [00:00<?, ?it/s]"]
    for p in points:
        bar = f" {100 * p.step // total}%|█▏        | {p.step}/{total} [00:10<01:30,  1.04s/it]"
        epoch = f"{p.step / total:.2f}"
        entry = f"{{'loss': {p.loss:.4f}, 'grad_norm': 0.25, 'learning_rate': {p.lr!r}, 'epoch': {epoch}}}"
        lines += [bar, entry, bar]  # which is drawn anew
        if p.val is not None:
            lines += [
                " 50%|█████     | 5/10 [00:01<00:01,  5.0it/s]",
                f"{{'eval_loss': {p.val:.4f}, 'eval_runtime': 9.35, 'epoch': {epoch}}}",
                bar,
            ]
    return lines[:-1]


WRITERS: dict[str, tuple[Callable[[Sequence[Point], int], list[str]], str, int]] = {
    "llm.c": (llm_c, "llm.c", 4),
    "build-nanogpt": (build_nanogpt, "build-nanogpt", 4),
    "nanogpt": (nanogpt, "nanogpt", 4),
    "modded-nanogpt": (modded_nanogpt, "modded-nanogpt", 4),
    "nanochat": (nanochat, "nanochat", 4),
    "megatron": (megatron, "megatron", 4),
    "torchtitan": (torchtitan, "torchtitan", 4),
    "nanotron": (nanotron, "nanotron", 2),
    "composer file": (composer_file, "composer", 4),
    "composer console": (composer_console, "composer", 4),
    "olmo-core": (olmo_core, "olmo-core", 4),
    "mlperf": (mlperf, "mlperf", 4),
    "nemo": (nemo, "nemo", 4),
    "trainer console": (trainer_console, "huggingface-console", 4),
}
"""Writer, name of the format, and decimals that it keeps of a loss."""


def written(name: str, points: Sequence[Point], total: int) -> bytes:
    """Return a log of points."""
    return ("\n".join(WRITERS[name][0](points, total)) + "\n").encode()
