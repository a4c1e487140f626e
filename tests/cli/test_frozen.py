"""What people see, word for word: every command and every format once, against files in the folder beside this one.

``UPDATE_GOLDEN=1 pytest tests/cli/test_frozen.py`` writes the files anew; read the difference before believing it.
The last digits belong to the processor: fractions are written with nine digits at most and may differ in the last or,
of a fit, from the sixth on, where a solver stops. Of a page the words and the order of its parts are kept, without
pictures, styles and tables.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import shlex
from pathlib import Path

import pytest
from tests.ladder.records import ladder_of, ladder_run

import scaleplan
from scaleplan.cli.app import COMMANDS

FROZEN = Path(__file__).parent / "frozen"
FITTED = ("fit", "fit-each", "fit-json", "backtest", "design", "design-ladder", "design-pool", "track")
NUMBER = re.compile(r"(?<![\w.])(\d+\.\d+(?:e[+-]\d+)?)(?![\w.])")
CLUSTER = "--gpus 64 --gpu h100-sxm --time 30d"
PILOTS = (
    "--flops 1e18 --target 1e21 --most-runs 4 --limit 'params >= 1M' --gpu h100 "
    "--command 'python train.py --layers {layers} --lr {lr} --out {out}'"
)

# Llama 3 8B: 8,030,261,248 parameters
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
# Mixtral 8x7B: 46,702,792,704 parameters, of which a token uses 12,879,925,248
MIXTRAL = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": False,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
PROJECT = """\
[defaults]
gpu = "h100-sxm"

[[run]]
name = "base"
from = "train.yaml"
model = "llama.json"
tokens = { batch = "data.batch", sequence = 8192, steps = "steps" }
gpus = { key = ["cluster.nodes", "cluster.devices"] }
region = "USA"

[[run]]
name = "by-cost"
cost = "100k USD"
limit = ["params <= 7B"]
unique_tokens = "200B"
policy.warn = [{ limit = "epochs <= 1", message = "new data is cheaper" }]

[[run]]
name = "unreadable"
params = { key = "model.size", from = "missing.toml" }
tokens = "1T"

[policy]
error = ["cost <= 250k USD", "loss@90% <= 2.1"]
warn = ["tokens_per_param >= 20"]
"""
TRAIN = """\
data: {batch: 512}
steps: 250_000
cluster:
  nodes: 16
  devices: 8
"""
BEFORE = '[defaults]\ngpu = "h100-sxm"\n[[run]]\nname = "a"\nparams = "7B"\ntokens = "1T"\ngpus = 64\n'
AFTER = BEFORE.replace('"1T"', '"1.5T"') + '[[run]]\nname = "b"\nparams = "1B"\ntokens = "20B"\n'
LAW = """\
schema = 1
id = "own"
title = "A law for tests"
form = "additive"
source = "rounded from arXiv:2404.10102"
status = "refit"
[coefficients]
E = 1.8
A = 480
B = 2100
alpha = 0.35
beta = 0.37
[conventions]
params = "total"
flops = "6ND"
loss = "nats/token"
"""


def runs():
    """Return a table of runs of the law of Besiroglu et al. 2024, with errors of up to half a percent."""
    rows = []
    for i, params in enumerate((1e8, 2.5e8, 6e8, 1.5e9, 4e9)):
        for j, tokens in enumerate((2e9, 5e9, 1.2e10, 3e10, 8e10)):
            loss = 1.8172 + 482.01 / params**0.3478 + 2085.43 / tokens**0.3658
            rows.append(f"{params:g},{tokens:g},{loss * (1 + 0.005 * math.sin(7 * i + 11 * j)):.5f}")
    return "\n".join(["params,tokens,loss", *rows]) + "\n"


def corpora():
    """Return the runs of :func:`runs` on two corpora with losses on two texts, and three runs on a third corpus."""
    rows = ["corpus,params,tokens,eval/c4,eval/code"]
    for shift, corpus in enumerate(("web", "books", "code")):
        own = [row.split(",") for row in runs().splitlines()[1:]]
        for params, tokens, loss in own[: 3 if corpus == "code" else None]:
            code = "" if corpus == "books" else f"{float(loss) / 2:.5f}"
            rows.append(f"{corpus},{params},{tokens},{float(loss) + 0.1 * shift:.5f},{code}")
    return "\n".join(rows) + "\n"


OWN_GPUS = """\
schema = 1

[[accelerator]]
id = "our-b200"
name = "B200 of our cluster"
vendor = "NVIDIA"
year = 2025
memory_gb = 192
bandwidth_gbs = 8000
tdp_w = 1000
class = "blackwell"
sources = ["our acceptance tests, 2026-10"]
tflops = { bf16 = 2250, fp8 = 4500 }
"""
OWN_PRICES = """\
schema = 1

[[default]]
accelerators = ["our-b200"]
usd_per_hour = 2.40
date = "2026-10"
source = "our contract"
"""


def training_log():
    """Return the log of the first three quarters of a run of 400 steps, with an even ripple for its noise."""
    lines = (
        f"s:{step} trl:{1.8 + 4 / (step + 10) ** 0.4 + 0.01 * math.sin(step * step):.4f} "
        f"lr:{3e-4 * (1 - step / 400):.6f} norm:0.4\n"
        for step in range(300)
    )
    return "".join(lines)


def logged():
    """Return what llm.c prints of a run, and the metrics of another as JSON lines."""
    printed, lines = [], []
    for step in range(10, 401, 10):
        rate = 6e-4 * min(1, step / 20) * (1 if step < 20 else 0.55 + 0.45 * math.cos(math.pi * (step - 20) / 380))
        loss = 1.9 + 7 / step**0.4 + 0.01 * math.sin(step)
        printed.append(f"s:{step} trl:{loss:.4f} lr:{rate:.6f} norm:0.41")
        lines.append(json.dumps({"step": step, "loss": loss - 0.2, "lr": rate, "tokens": 262144 * step}))
        if step % 100 == 0:
            printed.append(f"s:{step} tel:{loss + 0.02:.4f}")
            lines.append(json.dumps({"step": step, "val_loss": loss - 0.19}))
    return {"small.log": "\n".join(printed) + "\n", "large.jsonl": "\n".join(lines[:-20]) + "\n"}


def ladder():
    """Return what is in the folder of a ladder, and what its runs have written."""
    runs = [ladder_run(f"{number:02}-5M-s0", steps=100, tokens=6_553_600) for number in range(4)]
    made = ladder_of(runs, engine="csv", file="runs.csv", submit="", at_once=2)
    lines = [f"s:{step} trl:{1.9 + 7 / (step + 5) ** 0.4:.4f} lr:0.001000 norm:0.4" for step in range(100)]
    half = "\n".join([*lines[:50], "RuntimeError: CUDA out of memory"])
    made_files = {"ladder.json": json.dumps(made.to_dict()), "status-0": "0\n", "status-1": "1\n"}
    return made_files | {"whole.log": "\n".join(lines) + "\n", "half.log": half + "\n"}


FILES = {
    **logged(),
    **ladder(),
    "llama.json": json.dumps(LLAMA),
    "mixtral.json": json.dumps(MIXTRAL),
    "scaleplan.toml": PROJECT,
    "train.yaml": TRAIN,
    "before.toml": BEFORE,
    "after.toml": AFTER,
    "own.toml": LAW,
    "bad.toml": LAW.replace("alpha", "alfa"),
    "runs.csv": runs(),
    "corpora.csv": corpora(),
    "part.log": training_log(),
    "own-gpus.toml": OWN_GPUS,
    "own-prices.toml": OWN_PRICES,
    "settings.toml": '[defaults]\npreset = "kaplan-2020"\nlevel = 0.5\n',
    "budgets": "1e18\n500 PF-days\n\n1e22\nlots\n",
}

# name: (files, then command lines); "FILE:NAME" is a file under another name, "< FILE" at the end of a line its
# standard input, "> FILE" where its output goes. Not here, because both are known to be wrong: the compute of
# mixtures in check and diff, and a saved result of --shape in show and diff.
CASES = {
    "runs": (
        "small.log large.jsonl",
        "runs small.log --params 124M --tokens-per-step 524288 --steps 400",
        "runs small.log large.jsonl",
        "runs small.log large.jsonl --params small=124M --format csv",
        "runs large.jsonl --get val_loss",
        "fit large.jsonl",
    ),
    "ladder": (
        (
            "ladder.json:pilots/ladder.json whole.log:pilots/00-5M-s0/output.log status-0:pilots/00-5M-s0/exit "
            "half.log:pilots/01-5M-s0/output.log status-1:pilots/01-5M-s0/exit "
            "half.log:pilots/02-5M-s0/output.log status-0:pilots/02-5M-s0/exit"
        ),
        "ladder",
        "ladder status pilots",
        "ladder status pilots --fields run,state,share,loss,hours_left --format csv",
        "ladder status pilots --get gpu_hours_left",
        "ladder status pilots -o rest.csv",
        "ladder status pilots -o pilots/runs.csv",
        "ladder status nowhere",
    ),
    "help": (
        "",
        "--help",
        "gpus",
        "gpus list --help",
        "help",
        "help optimal",
        "help optimall",
        "optimal --help-all",
        "schema",
        "schema preset",
        "schema conversion",
        "schema nothing",
    ),
    "optimal": ("", "optimal --flops 1e21", f"optimal {CLUSTER}"),
    "optimal-json": ("", f"optimal {CLUSTER} --json --quiet"),
    "optimal-get": (
        "",
        "optimal --flops 1e21 --get interval.loss.low",
        "optimal --flops 1e21 --get interval.loss",
        "optimal --flops 1e21 --get budget.gpu",
        "optimal --flops 1e21 --get tokns",
    ),
    "optimal-stream": (
        "budgets",
        "optimal - < budgets",
        "optimal - --format jsonl --limit 'params <= 3B' < budgets",
        "optimal - --format markdown < budgets",
    ),
    "optimal-limits": (
        "",
        "optimal --flops 1e22 --limit 'params <= 7B' --limit 'tokens_per_param >= 20'",
        f"optimal {CLUSTER} --limit 'cost <= 100k USD' --get params",
        "optimal --flops 1e20 --limit 'params >= 7B' --limit 'tokens_per_param >= 20'",
    ),
    "optimal-data": ("", "optimal --flops 1e22 --unique-tokens 25B", "optimal --flops 1e22 --params 7B"),
    "optimal-inference": ("", "optimal --cost 1M --gpu h100-sxm --inference-tokens 2T --inference-mfu 5%"),
    "optimal-bits": ("", "optimal --flops 1e22 --train-bits 8 --ptq-bits 4", "optimal --flops 1e23 --fp-format E4M3"),
    "optimal-mixture": (
        "",
        "optimal --flops 1e21 --preset joint-moe-2025 --experts auto --max-memory 80GB --format csv",
        "optimal --flops 1e21 --granularity auto",
        "optimal --flops 1e21 --moe-leverage 0.031,12 --compute-multiplier 1.3",
    ),
    "optimal-laws": (
        "own.toml",
        *(f"optimal --flops 1e22 --preset {law}" for law in ("hoffmann-2022-a1", "kaplan", "deepseek-llm-2024")),
        "optimal --flops 1e22 --preset own.toml",
        "optimal --flops 1e22 --preset gadre-2024-c4",
    ),
    "costs": (
        "",
        "optimal --cost '250k EUR' --gpu h100-sxm --exchange-rate '1 EUR = 1.08 USD' --limit 'cost <= 200k USD'",
        f"optimal {CLUSTER} --owned 'price=30k, years=4, use=70%' --power-price '0.08 USD/kWh' --quiet",
        "convert --flops 1e24 --gpu h100-sxm --gpus 1024 --interruptions 'every=50k GPU-hours, save=2min'",
        "convert --cost 100k --gpu h100-sxm --power-price 0.08",
        "optimal --cost '250k EUR' --gpu h100-sxm",
    ),
    "loss-units": (
        "",
        "target --loss '0.78 bits/byte' --bytes-per-token 4.3 --quiet",
        "target --loss '10 perplexity' --get loss",
        "evaluate besiroglu-2024 params=7B tokens=2T --bytes-per-token 4.3 --quiet",
        "target --loss '0.78 bits/byte'",
    ),
    "optimal-shape": ("", "optimal --gpus 8 --gpu rtx-4090 --time 30d --shape --region France --quiet"),
    "loss": (
        "mixtral.json",
        "loss --params 7B --tokens 2T",
        "loss --params 7B --tokens 2T --unique-tokens 500B --gpus 256 --gpu h100-sxm --format markdown",
        "loss --model mixtral.json --tokens 2T --gpus 512 --gpu h100-sxm --quiet",
        "loss --params 7B",
    ),
    "evaluate": (
        "own.toml",
        "evaluate besiroglu-2024 params=7B tokens=2T",
        "evaluate kaplan-2020 flops=1e21 --json",
        "evaluate own.toml params=1B",
    ),
    "deadlines": (
        "",
        "target --loss 2.1 --gpu h100-sxm --time 30d --quiet",
        "loss --params 70B --tokens 1B --gpu h100-sxm --time 60d --cost 2k --quiet",
        "convert --flops 1e23 --params 7B --gpu h100-sxm --gpus 128 --time 30d",
        "optimal --cost 250k --gpu h100-sxm --time 30d --get budget.deadline.gpus --quiet",
    ),
    "gpus-compare": (
        "",
        "gpus compare --params 7B --tokens 2T --time 30d",
        "gpus compare h100-sxm rtx-4090 gb10 --params 70B --tokens 200B --gpus 8 --region France --quiet",
        "gpus compare h100-sxm a100-sxm-80 --cost 50k --format csv --quiet",
    ),
    "gpus-validate": (
        "own-gpus.toml own-prices.toml",
        "gpus validate own-gpus.toml own-prices.toml",
        "gpus validate own-prices.toml --json",
        "gpus show own-gpus.toml",
    ),
    "target": ("", "target --loss 2.1 --quiet", "target --loss 2.1 --format tsv --quiet", "target --loss 1.5"),
    "sweep": (
        "",
        "sweep --from 1e18 --to 1e24 --points 4",
        "sweep --from 10k --to 1M --by cost --gpu h100-sxm --points 3 --format csv",
    ),
    "compare": (
        "",
        "compare --flops 1e24",
        "compare --flops 1e22 -p chinchilla -p kaplan --format tsv -q",
    ),
    "break-even": ("", "break-even --params 7B", "break-even --loss 2.1 --points 3 --format csv"),
    "hyperparameters": (
        "",
        "hyperparameters --params 7B --tokens 1.4T --gpu h100-sxm --gpus 1024",
        "hyperparameters --flops 1e22 --tuned-batch 512k --tuned-tokens 10B --format markdown",
    ),
    "precisions": ("", f"precisions {CLUSTER}", "precisions --cost 250k --gpu b200 --mfu 0.35 --format jsonl"),
    "vocab": ("", "vocab --params 7B", "vocab --params 3B --flops 1e23 --width 3072 --json"),
    "convert": (
        "",
        "convert --flops 1e24 --gpu h100-sxm --gpus 512",
        "convert --gpu-hours '30.8M H100-hours' --region USA --format tsv",
        "convert --flops 1e24 --to days",
    ),
    "marginal": ("", "marginal --flops 1e21", "marginal --cost '250k USD' --gpu h100-sxm --format csv"),
    "model": ("llama.json mixtral.json", "model llama.json", "model mixtral.json --context 8192 --json"),
    "shape": ("", "shape 7B", "shape 47B --style mixtral --experts 8 -o config.json --quiet"),
    "memory": (
        "llama.json",
        "memory llama.json --gpu h100-sxm --gpus 64 --context 8192 --batch 4M",
        "memory 70B --gpu h100-sxm --gpus 2 --serve --sequences 16 --weight-bits 8 --format markdown",
        "memory 70B --gpu rtx-4090 --gpus 8",
    ),
    "plot": (
        "runs.csv",
        "plot isoflop --flops 1e21",
        "plot residuals runs.csv",
        "plot frontier --from 1e20 --to 1e21 --format csv",
    ),
    "report": ("", f"report {CLUSTER} --quiet", "report --flops 1e21 -o page.html --format csv > plan.csv"),
    "fit": (
        "runs.csv",
        "fit runs.csv --samples 100 -o my-law.toml",
        "optimal --preset my-law.toml --flops 1e22",
        "fit runs.csv --samples 50 --method all --report",
        "fit runs.csv --form power --samples 50",
        "fit runs.csv --map loss=los",
    ),
    "fit-json": ("runs.csv", "fit runs.csv --samples 0 --json"),
    "fit-each": (
        "corpora.csv",
        "fit corpora.csv --each corpus --each 'loss=eval/*' -o 'law-{corpus}-{loss}.toml'",
        "fit corpora.csv --each corpus --map loss=eval/c4 --format csv --quiet",
        "fit corpora.csv --each corpus --map loss=eval/c4 --get fitted",
        "fit corpora.csv --each corpus,lang --map loss=eval/c4",
        "fit corpora.csv --each corpus --each 'loss=eval/*' -o law.toml",
    ),
    "backtest": ("runs.csv", "backtest runs.csv --samples 0", "backtest runs.csv --samples 0 --tied --format csv"),
    "design-pool": (
        "runs.csv",
        "design --pool runs.csv --flops 20%",
        "design --pool runs.csv --flops 20% --format csv -q",
    ),
    "design-ladder": (
        "",
        f"design {PILOTS} -f slurm -o pilots",
        f"design {PILOTS} -f slurm -o pilots",
        "show pilots/ladder.json --format csv",
        f"design {PILOTS} -f csv -o list --json -q > ladder.json",
        f"design {PILOTS} -f slurm",
    ),
    "design": ("", "design --flops 1e21 --target 5.76e23", "design --flops 1e21 --target 5.76e23 --format csv"),
    "forecasts": (
        "own.toml",
        "register --preset own.toml --params 1B --tokens 20B --name pilot -o pilot.json",
        "register --flops 1e21 -o main.json --quiet --json",
        "register --flops 1e21 -o main.json",
        "resolve main.json --loss 2.301",
        "resolve main.json",
        "forecasts .",
        "forecasts . --format csv",
    ),
    "track": (
        "own.toml part.log",
        "track part.log",
        "track part.log --steps 400 --preset own.toml --params 1B --tokens 20B --gpu h100-sxm --gpus 8",
        "track part.log --steps 400 --fail-on 'loss > 2.1@90%' --json",
        "track part.log --steps 400 --tokens 20B --params 1B --preset besiroglu-2024 --format csv --quiet",
        "plot track part.log --steps 400",
    ),
    "check": (
        "scaleplan.toml train.yaml llama.json",
        *(f"check --quiet --format {name}" for name in ("text", "github", "junit", "sarif", "markdown", "csv")),
    ),
    "check-no": ("before.toml", "check before.toml --limit 'cost <= 1k USD' --limit 'days <= 90'"),
    "check-json": ("scaleplan.toml train.yaml llama.json", "check --json"),
    "diff": (
        "before.toml after.toml",
        "diff before.toml after.toml --fail-on 'total cost increase > 10%'",
        "diff before.toml after.toml --format github --fail-on 'cost increase > 10%'",
        "diff before.toml before.toml",
    ),
    "show": (
        "",
        "optimal --flops 1e21 --json > plan.json",
        "optimal --flops 2e21 --gpu h100-sxm --json > more.json",
        "show plan.json --format markdown",
        "show more.json",
        "diff plan.json more.json",
        "show missing.json",
    ),
    "init": ("", "init", "check --quiet", "init"),
    "presets": (
        "own.toml bad.toml",
        "presets list --form kaplan",
        "presets show kaplan",
        "presets validate own.toml bad.toml",
        "presets path kaplan",
        "presets show chinchila",
    ),
    "gpus": (
        "",
        "gpus list --vendor amd",
        "gpus show h100",
        "gpus show mi300x --format jsonl",
        "gpus show h10",
        "gpus show m4",
        "gpus show mi308x",
        "optimal --gpus 1 --gpu m4 --time 30d",
    ),
    "families": (
        "",
        "families show mixtral --format jsonl",
        "families show lama",
    ),
    "models": (
        "",
        "models list --family mixtral",
        "models show gpt2",
        "models show Mistralai/Mixtral-8x7B-Instruct-v0.1 --format jsonl",
        "models show lama-3.1-8b",
        "model qwen3-8b",
        "memory llama-3.2-1b --gpu rtx-4090 --serve",
        "memory lama-3.2-1b",
    ),
    "settings": (
        "settings.toml:scaleplan.toml",
        "optimal --flops 1e21 --get preset",
        "optimal --gpus 8 --time 1d --verbose --quiet",
        "optimal --flops 1e21 --color always",
    ),
    "errors": (
        "",
        "optimal",
        "optimal --flops 1e21 --gpu-hours 1k --gpu h100",
        "optimal --flops '1e21 FLOPS'",
        "optimal --flops 1e21 --preset chinchila",
        "optimal --flops 1e21 --format sarif",
        "optimal --flop 1e21",
        "nosuch --json",
        "loss --params 1e200 --tokens 1e200 --json",
        "check",
    ),
}


def settled(text):
    """Put names in place of what differs between machines, and round numbers that have more than nine digits."""
    text = re.sub(r"/[^\s\"]+(?=/((laws|families)/[\w-]+|accelerators|models)\.toml)", "DATA", text)
    if re.search(r"SHA-256|scaleplan/(forecast|outcome)s?/1", text):  # hashes of numbers to their last digit
        text = re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{16}(?=…)", "HASH", text)
    text = text.replace(f"scaleplan {scaleplan.__version__}", "scaleplan VERSION")
    text = text.replace(f'version = "{scaleplan.__version__}"', 'version = "VERSION"')
    text = text.replace(f'"version": "{scaleplan.__version__}"', '"version": "VERSION"')
    text = text.replace(f"Python {platform.python_version()}", "Python VERSION")
    if "<!DOCTYPE html>" in text:  # of a page the words and the order of its parts
        text = re.sub(r"(?s)<(svg|style|script|tbody)\b[^>]*>.*?</\1>", r"<\1>…</\1>", text).replace("><", ">\n<")
    return NUMBER.sub(lambda found: nine_digits(found[0]), text)


def nine_digits(number):
    digits = number.partition("e")[0].replace(".", "").strip("0")
    return number if len(digits) <= 9 else f"{float(number):.9g}"


def alike(found, golden, *, within):
    """Return a text with the numbers of another where they are the same but for the last digits."""
    mine, theirs = NUMBER.split(found), NUMBER.split(golden)
    for i in range(1, min(len(mine), len(theirs)), 2):
        digits = max(len(text.partition("e")[0]) for text in (mine[i], theirs[i]))
        if digits > 7 and math.isclose(float(mine[i]), float(theirs[i]), rel_tol=within):
            mine[i] = theirs[i]
    return "".join(mine)


def section(name, text):
    """Return a part of a golden file; nothing for an empty one."""
    end = "" if text.endswith("\n") else "\n[no end of line]\n"
    return f"--- {name}\n{settled(text)}{end}" if text else ""


@pytest.fixture
def terminal(monkeypatch):
    """Fix what the shape of the output depends on."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")


@pytest.fixture
def recorded(cli, monkeypatch):
    """Return how to run the command lines of a case: what they printed and wrote, as one text."""

    def record(names, *lines):
        for name, _, new in (item.partition(":") for item in names.split()):
            Path(new or name).parent.mkdir(parents=True, exist_ok=True)
            Path(new or name).write_text(FILES[name], encoding="utf-8")
        there = {path.name for path in Path().iterdir()}
        parts = []
        for line in lines:
            words, into = shlex.split(line), None
            if len(words) > 2 and words[-2] == ">":
                *words, _, into = words
            source = os.devnull
            if len(words) > 2 and words[-2] == "<":
                *words, _, source = words
            with monkeypatch.context() as patch, Path(source).open(encoding="utf-8") as stream:
                patch.setattr("sys.stdin", stream)
                found = cli(*words)
            if into is not None:
                Path(into).write_text(found.out, encoding="utf-8")
            parts.append(f"$ scaleplan {line}\n[status {found.status}]\n")
            parts.append(section("out", "" if into else found.out) + section("err", found.err))
        new = [path for path in Path().iterdir() if path.name not in there]
        written = sorted(path for place in new for path in (place, *place.rglob("*")) if path.is_file())
        parts += [section(f"file {path.as_posix()}", path.read_text(encoding="utf-8")) for path in written]
        return "".join(parts)

    return record


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("name", CASES)
def test_the_program_says_what_it_said(recorded, name):
    """Standard output, standard error, status and written files are those of the golden file."""
    found, path = recorded(*CASES[name]), FROZEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found, encoding="utf-8", newline="\n")
    golden = path.read_text(encoding="utf-8")
    assert alike(found, golden, within=1e-5 if name in FITTED else 2e-8) == golden


def test_every_golden_file_has_its_case():
    """A file that no case writes would be trusted without being read."""
    assert {path.stem for path in FROZEN.glob("*.txt")} == set(CASES)


def test_every_command_and_format_is_frozen(cli):
    """A new command or format needs a case."""
    lines = [line for _, *lines in CASES.values() for line in lines]
    assert set(COMMANDS) <= {line.split()[0] for line in lines}
    listed = re.search(r"--format NAME +([\w, \n]+)\.", cli("check", "--help").out)[1]
    names = set(re.findall(r"\w+", listed)) - {"or", "json"}  # which has an option of its own
    assert len(names) >= 8
    assert names <= set(re.findall(r"--format (\w+)", " ".join(lines)))
