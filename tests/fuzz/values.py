"""Values for options: plausible ones by kind of amount or from the program's tables of names, edges, and nonsense."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING

from scaleplan.charts.plots import PICTURES
from scaleplan.errors import ScaleplanError
from scaleplan.files import data_folder
from scaleplan.fitting.columns import LOSS_UNITS
from scaleplan.fitting.fit_request import METHODS
from scaleplan.fitting.pilot import AIMS
from scaleplan.fitting.runs import REASONS
from scaleplan.hardware.convert import QUANTITIES as CONVERTED
from scaleplan.laws import LAWS
from scaleplan.laws.curves import ALIASES, FITTED
from scaleplan.laws.kaplan import Kaplan
from scaleplan.models.families.finding import families
from scaleplan.models.memory import RECOMPUTE, STATES
from scaleplan.models.styles import STYLES
from scaleplan.models.tuning import (
    ALSO,
    ATTENTION,
    FROZEN,
    HABITS,
    KERNELS,
    OFFLOADED,
    OPTIMIZERS,
    PRECISIONS,
    QUANTIZED,
    STORED,
    TARGETS,
    TUNED,
)
from scaleplan.output import FORMATS, JUDGING
from scaleplan.planning.constraints import constraint_keys, constraint_options
from scaleplan.planning.evaluation import evaluate
from scaleplan.planning.plan import Plan
from scaleplan.planning.problem import RULES
from scaleplan.planning.request import SWEPT, Request
from scaleplan.presets.preset import PARAMS_CONVENTIONS
from scaleplan.units.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random
    from typing import Any

__all__ = [
    "CONDITIONS", "EDGES", "NONSENSE", "QUANTITIES", "SCHEDULES", "amount", "edge", "inputs", "names", "nonsense",
    "number", "plausible",
]  # fmt: skip

EDGES = (
    "0", "-0", "-0.0", "-1", "1", "0.5", "2", "1e-9", "5e-324", "2.2e-308", "1e-155", "1e155", "1e16", "1e17",
    "1e30", "1e60", "1e200", "1e308", "1.7976931348623157e308", "1e309", "-1e308", "nan", "inf", "-inf", "1e999",
    "1e-999", "1" + "0" * 400, "0." + "0" * 400 + "1", "1e4000000000", "9" * 5000, "100%", "101%", "1e-17%",
    "0.9999999999999999",
)  # fmt: skip
"""Numbers at and beyond the ends of what a double, a count or a share can be; 10^400 and longer among them."""

NONSENSE = (
    "", " ", "-", "--", "---", "=", "==", "<=", "params <=", "7B <= 8B", "loss@90% <= 2", "1,000", "1_0", "0x10",
    "1E", "1e", "1e21 FLOPS", "1e21e", "5e12T", "7e9B", "1e21\n", "1e21 " * 50, "true", "None", "null", "auto", "[]",
    "{}", "１２", "٣", "½", "²", "∞", "−5", "7B", "7b", "10^21", "1.000,5", "\x00", "\x1b[31mred\x1b[0m", "\x85",
    "\u2028", "\u202e7B", "\u2066x", "\ufeff1e21", "\u200b7B", "\ud800", "🚀", "é" * 100, "[bold]x[/bold]", "[/]",
    "{x}", "{}{0}", "%s%n", "'", '"', "`", "$(id)", "::error::x", "##[error]x", "=1+1", "@team", "<b>x</b>", "|",
    "\\", "\t", "\r",
    "../../etc/passwd", "/dev/null", "/dev/full", "/", ".", "..", "~", "nosuch", "nosuch.toml", "x" * 5000, "x" * 245,
    "-h", "--help", "--json", "--version", "-1e21", "1979-05-27", "1:30", "07:00:00",
)  # fmt: skip
"""Texts that are no amount and no name: invisible, foreign, steering, quoted, very long, or of another grammar."""

_ALPHABET = "0123456789.eE+-kKMGBTPEZY %<>=@:,;_*/()[]{}'\"#\\abcdxyzé\u202e\u0000\n\t"


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind, from the program's own tables and data files."""
    return tuple(dict.fromkeys(_NAMES[kind]()))


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((data_folder() / f"{name}.toml").read_text(encoding="utf-8"))


def _accelerators() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _table("accelerators")["accelerator"]
    return rows


def _laws() -> list[str]:
    laws = [
        tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((data_folder() / "laws").glob("*.toml"))
    ]
    return [name for law in laws for name in (law["id"], *law.get("aliases", ()))]


def _profiles() -> list[str]:
    tables = ((key, table) for key, table in _table("utilisation").items() if key.startswith("profile"))
    return [name for _, table in tables if isinstance(table, dict) for name in table]


def _plan_keys() -> list[str]:
    keys = [item.name for item in fields(Plan)] + [key.name for key in constraint_keys()]
    return [*keys, *(f"interval.{name}.low" for name in ("params", "tokens", "loss")), "budget.gpu", "budget.cost"]


_NAMES: dict[str, Callable[[], Sequence[str]]] = {
    "preset": _laws,
    "gpu": lambda: [name for row in _accelerators() for name in (row["id"], *row.get("aliases", ()))],
    "vendor": lambda: [row["vendor"] for row in _accelerators()],
    "precision": lambda: [name for row in _accelerators() for name in row.get("tflops", ())] + [*PRECISIONS],
    "profile": _profiles,
    "batch_regime": lambda: Kaplan.regimes,
    "price": lambda: [row["commitment"] for row in _table("prices")["price"]],
    "region": lambda: [name for row in _table("grid_carbon")["grid"] for name in (row["code"], row["name"])],
    "format": lambda: [*FORMATS, *JUDGING],
    "get": _plan_keys,
    "fields": lambda: ["params", "gpu_hours", "level", "params,loss", "flops,interval.loss", "id,name", "low", "x,"],
    "color": lambda: ["auto", "always", "never"],
    "by": lambda: [*SWEPT],
    "count": lambda: ["total", "non_embedding", "active"],
    "to": lambda: CONVERTED,
    "form": lambda: [*LAWS, *FITTED, *ALIASES, "multiplicative", "data_constrained"],
    "method": lambda: METHODS,
    "keep": lambda: [*REASONS],
    "loss_unit": lambda: [*LOSS_UNITS],
    "residual": lambda: ["log", "linear"],
    "robust": lambda: ["huber", "l1", "none"],
    "schedule": lambda: ["cosine", "wsd"],
    "aim": lambda: [*AIMS],
    "states": lambda: [*STATES],
    "recompute": lambda: RECOMPUTE,
    "trainer": lambda: [*HABITS],
    "tune": lambda: [*TUNED, *QUANTIZED],
    "targets": lambda: [*TARGETS, "q,v", "all"],
    "quantize": lambda: [*STORED],
    "freeze": lambda: FROZEN,
    "optimizer": lambda: [*OPTIMIZERS],
    "attention": lambda: ATTENTION,
    "kernels": lambda: KERNELS,
    "offload": lambda: OFFLOADED,
    "also": lambda: [*ALSO, "no-dropout"],
    "style": lambda: [*STYLES],
    "arch": lambda: families().model_types(),
    "kind": lambda: [*PICTURES],
    "quantity": lambda: [*QUANTITIES, "batch_tokens", "accuracy", "error"],
    "params_convention": lambda: [*PARAMS_CONVENTIONS],
    "flops_convention": lambda: ["6ND", "MD", "6ND + attention", "9.59ND + 2.3e8D", "8.3ND"],
    "fp_format": lambda: ["E4M3", "E5M2", "E2M1", "E3M2"],
    "option": lambda: [item.name for item in fields(Request)] + [item.name for item in constraint_options()],
    "limited": lambda: [*RULES],
    "judged": lambda: [*QUANTITIES],
    "column": lambda: ["params", "tokens", "flops", "loss", "N", "D", "C", "name", "state", "lr", "eval/loss"],
}  # fmt: skip


def number(rng: Random, low: float, high: float, suffixes: str = "") -> str:
    """Write a number, evenly spread in the logarithm, in one of the ways in which people write amounts."""
    value = low * (high / low) ** rng.random()
    ways = [f"{value:.3g}", f"{value:.4e}", repr(value)]
    if value >= 1:
        ways += [str(round(value)), f"{round(value):,}", f"{round(value):_}"]
    for suffix in suffixes:
        scale = _SCALES[suffix]
        if scale <= value < 1000 * scale:
            ways += [
                f"{value / scale:.3g}{suffix}",
                f"{value / scale:.3g} {suffix}",
                f"{round(value / scale)}{suffix}",
            ]
    return rng.choice(ways)


_SCALES = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def _flops(rng: Random) -> str:
    exponent = rng.uniform(16, 27)
    return rng.choice(
        [
            f"1e{exponent:.0f}",
            f"{10 ** (exponent % 1):.3g}e{exponent // 1:.0f}",
            repr(10**exponent),
            f"{10 ** (exponent - 21):.4g} ZFLOP",
            f"{max(10 ** (exponent - 19.94), 1e-4):.4g} PF-days",
        ]
    )


def _integer(rng: Random) -> str:
    return rng.choice([str(2 ** rng.randrange(14)), str(rng.randrange(1, 100)), str(rng.randrange(1, 20000)), "1k"])


_KINDS: dict[str, Callable[[Random], str]] = {
    "flops": _flops,
    "hours": lambda rng: number(rng, 1, 3e7, "kM") + rng.choice(["", "", " H100-hours", " hours"]),
    "seconds": lambda rng: f"{number(rng, 1, 300)}{rng.choice(['d', 'h', ' days', ' weeks', ' months'])}",
    "usd": lambda rng: number(rng, 100, 1e9, "kM") + rng.choice(["", "", "", " USD", " EUR"]),
    "usd_per_kwh": lambda rng: number(rng, 0.01, 1) + rng.choice(["", " USD/kWh", " EUR/kWh"]),
    "usd_per_hour": lambda rng: rng.choice([number(rng, 0.1, 20), f"{number(rng, 0.1, 20)} USD/h", *names("price")]),
    "params": lambda rng: number(rng, 1e6, 2e12, "MBT"),
    "tokens": lambda rng: number(rng, 1e8, 3e13, "MBT"),
    "count": lambda rng: number(rng, 1e3, 1e7, "kM"),
    "fraction": lambda rng: rng.choice([f"{rng.uniform(0.01, 1):.2g}", f"{rng.randrange(1, 100)}%"]),
    "level": lambda rng: rng.choice(["0.9", "0.5", "95%", "0.99", "68%"]),
    "ratio": lambda rng: rng.choice([number(rng, 1e-3, 2), f"{rng.randrange(1, 100)}%"]),
    "integer": _integer,
    "small": lambda rng: str(rng.choice([0, 1, 1, 2, 2, 3, 4, 8, 16])),
    "number": lambda rng: number(rng, 0.1, 100),
    "bits": lambda rng: rng.choice(["4", "8", "16", "3", "5.5", "12"]),
    "gigabytes": lambda rng: f"{number(rng, 1, 2000)}GB",
    "kwh": lambda rng: number(rng, 1, 1e6) + rng.choice(["", " MWh", " kWh"]),
    "kilograms": lambda rng: number(rng, 1, 1e6) + rng.choice(["", " t", " kg"]),
    "days": lambda rng: number(rng, 0.5, 300),
    "points": lambda rng: str(rng.choice([2, 2, 3, 4, 5, 7, 13, 20])),
    "samples": lambda rng: str(rng.choice([0, 0, 2, 5, 10, 20])),
    "text": lambda rng: rng.choice(["my-law", "mine", "Our runs, 2026", "GPT-2 BPE", "C4", "a b", "é"]),
    "flag": lambda _: "",
}
"""Plausible amounts by kind; the kinds of a request are those that its options declare."""


_MONEY = (" USD", " USD", " EUR", "", " GBP")


def _loss(rng: Random) -> str:
    return number(rng, 0.5, 20) + rng.choice(["", "", "", " ppl", " perplexity", " bits/byte", " bpb", " nats/token"])


def _owned(rng: Random) -> str:
    price = f"price={number(rng, 1e3, 1e5, 'k')}{rng.choice(_MONEY)}"
    parts = [price, f"years={rng.uniform(0.5, 60):.2g}", f"use={rng.randrange(1, 110)}%", "overhead=20%"]
    return rng.choice(["sunk", ", ".join(parts), ", ".join(parts[:3]), ", ".join(rng.sample(parts, 2))])


def _interruptions(rng: Random) -> str:
    time = _KINDS["seconds"]
    every = f"every={rng.choice([time(rng), number(rng, 100, 1e6, 'k') + ' GPU-hours'])}"
    saves = [f"save={rng.randrange(1, 900)}s", f"restart={rng.choice(['0', f'{rng.randrange(1, 60)}min'])}"]
    return ", ".join([every, *saves, *rng.choice([[], [], [f"interval={rng.randrange(1, 600)}min"]])])


def amount(rng: Random, kind: str) -> str:
    """Return a plausible amount of a kind, or a name of one."""
    return _KINDS[kind](rng) if kind in _KINDS else rng.choice(names(kind))


def _limit(rng: Random) -> str:
    name = rng.choice([*names("limited"), "params", "tokens", "tokens_per_param"])
    kind = "usd" if name == "cost" else QUANTITIES.get(name, "number")
    bound = amount(rng, kind)
    return rng.choice(
        [
            f"{name} <= {bound}",
            f"{name} >= {bound}",
            f"{name} = {bound}",
            f"{name} < {bound}",
            f"{bound} <= {name} <= {amount(rng, kind)}",
            f"{name} <= {bound}; params >= {amount(rng, 'params')}",
        ]
    )


def _judged(rng: Random) -> str:
    name = rng.choice(names("judged"))
    level = rng.choice(["", "", "@90%", "@0.5"])
    return f"{name}{level} {rng.choice(['<=', '>=', '<', '='])} {amount(rng, QUANTITIES[name])}"


def _change(rng: Random) -> str:
    name = rng.choice(names("judged"))
    total = rng.choice(["", "total "])
    way = rng.choice(["increase", "decrease", "change"])
    bound = rng.choice([f"{rng.randrange(100)}%", amount(rng, QUANTITIES[name]), "0"])
    return f"{total}{name} {way} {rng.choice(['>', '>='])} {bound}"


def _mapping(rng: Random) -> str:
    role = rng.choice(["params", "tokens", "flops", "loss", "unique_tokens", "weight", "name", "state"])
    column = rng.choice(names("column"))
    ways = [
        column,
        f"log10({column})",
        f"{column}*1e9",
        f"{column}/1000",
        f"{column}~(\\d+)M",
        "7B",
        "steps*batch*seq",
    ]
    return f"{role}={rng.choice(ways)}"


def _condition(rng: Random) -> str:
    bound = rng.choice(["1e-3", "finished", "^run", "7B", "0.5", ".*(", "[", "(a+)+$"])
    return f"{rng.choice(names('column'))} {rng.choice(['<=', '>=', '=', '!=', '~', '<', '>'])} {bound}"


_INPUTS = (
    ("flops=1e21",), ("params=7B", "tokens=2T"), ("loss=2.9",), ("tokens=2T",), ("params=350M",), ("steps=1e4",),
    ("params=7B", "tokens=2T", "experts=8"), ("batch_tokens=4M", "steps=1e5", "params=7B"), ("accuracy=0.5",),
)  # fmt: skip


@cache
def inputs(preset: str) -> tuple[tuple[str, ...], ...]:
    """Return which inputs a law can be evaluated at."""
    known = []
    for words in _INPUTS:
        try:
            evaluate(preset, **dict(word.split("=") for word in words))
        except ScaleplanError:
            continue
        known.append(words)
    return tuple(known) or _INPUTS[:2]


def _evaluated(rng: Random) -> str:
    name = rng.choice(
        ["params", "tokens", "flops", "loss", "steps", "batch_tokens", "experts", "rates", "unique_tokens"]
    )
    kinds = {"params": "params", "tokens": "tokens", "flops": "flops", "unique_tokens": "tokens"}
    return f"{name}={amount(rng, kinds.get(name, 'number'))}"


_GRAMMARS: dict[str, Callable[[Random], str]] = {
    "limit": _limit,
    "fail_on": _change,
    "map": _mapping,
    "where": _condition,
    "values": _evaluated,
    "margins": lambda rng: f"states={rng.randrange(1, 120)}%, activations={rng.uniform(0.5, 3):.2f}, reserve=2GB",
    "moe_leverage": lambda rng: f"{number(rng, 0.005, 0.5)},{rng.choice([1, 4, 12, 16])}",
    "x": lambda rng: rng.choice([*names("column"), "params,tokens", "D", "flops"]),
    "each": lambda rng: rng.choice([*names("column"), "corpus", "name,state", "loss=eval/*", "loss=loss", "y=*"]),
    "experts": lambda rng: rng.choice(["auto", "8", "64", "1", "2.5", "128"]),
    "granularity": lambda rng: rng.choice(["auto", "1", "4", "16"]),
    "loss": _loss,
    "owned": _owned,
    "interruptions": _interruptions,
    "exchange_rate": lambda rng: rng.choice(
        ["1 EUR = 1.08 USD", "1 USD = 0.93 EUR", f"1 GBP = {number(rng, 0.5, 2)} USD", "1.08", "1 EUR = 0.86 GBP"]
    ),
    "measured": lambda rng: number(rng, 0.1, 1e6, "k") + rng.choice([" tokens/s", " s/step", " TFLOP/s", ""]),
    "drop": lambda rng: rng.choice(names("keep")),
    "drop_rows": lambda rng: rng.choice(["2", "3-5", "2,4", "5-3", "0", "1-99999999999"]),
    "zero": lambda rng: rng.choice("0123"),
    "jobs": lambda rng: rng.choice([*"11111111", "2", "auto"]),
}
"""Options whose text has a grammar of its own."""

_BY_NAME = {
    "preset": "preset", "laws": "preset", "presets": "preset", "base": "preset", "gpu": "gpu", "vendor": "vendor",
    "region": "region", "level": "level", "points": "points", "samples": "samples", "doublings": "small",
    "seed": "integer", "seeds": "small",
    "most_runs": "small", "run_cost": "flops", "delta": "ratio", "floor": "number", "noise": "ratio",
    "min_flops": "flops",
    "target": "flops", "start": "flops", "stop": "flops", "batch": "count", "context": "count",
    "width": "integer", "vocab": "count", "energy": "kwh", "carbon": "kilograms",
    "pf_days": "number", "vocabulary": "count",
    "bytes_per_token": "number",
    "unique_tokens": "tokens", "inference_tokens": "tokens", "inference_mfu": "fraction",
    "inference_price": "usd_per_hour", "max_memory": "gigabytes", "kv_tokens": "count", "quant_block": "integer",
    "compute_multiplier": "number", "tokens_per_byte": "fraction", "cooldown": "fraction", "weight_bits": "bits",
    "cache_bits": "bits", "tuned_batch": "count", "tuned_tokens": "tokens", "group": "column", "y": "column",
    "log10": "column", "tensor": "small", "pipeline": "small", "expert": "small", "context_parallel": "small",
    "micro_batch": "small", "kv_heads": "small", "tensor_parallel": "small", "experts_per_token": "small",
    "sequences": "integer", "gpus_per_replica": "integer", "id": "text", "title": "text", "tokenizer": "text",
    "corpus": "text", "source": "text", "epochs": "number", "data_tokens": "tokens", "hours": "number",
}  # fmt: skip
"""What the option of a name takes, where neither its declaration nor a table of names says so."""

_BY_METAVAR = {
    "N": "integer", "D": "tokens", "F": "fraction", "AMOUNT": "flops", "TOKENS": "count", "T": "count", "P": "bits",
    "USD": "usd", "USD/H": "usd_per_hour", "GB": "gigabytes", "TIME": "seconds", "COLUMN": "column", "TEXT": "text",
}  # fmt: skip
"""The last resort, which an option that is new to this table falls back on."""


@cache
def _declared() -> dict[str, str]:
    return {item.name: item.metadata["kind"] for item in fields(Request) if item.metadata}


def kind_of(name: str, metavar: str | None) -> str:
    """Return the kind of an option: by its own grammar or name, by its declaration, or by what its help calls it."""
    if name in _GRAMMARS:
        return name
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name in _NAMES:
        return name
    declared = _declared().get(name)
    return declared if declared in _KINDS and declared != "text" else _BY_METAVAR.get(metavar or "", "text")


SCHEDULES = (
    "cosine", "constant", "linear:end=10%", "wsd:decay=20%,shape=1-sqrt", "wsd", "inverse_sqrt:warmup=100", "x",
    "steps:80%=31.6%", "exponential", "cosine:until=7", "table nosuch.csv",
)  # fmt: skip
"""Schedules of the learning rate, some of which are none."""

CONDITIONS = (
    "loss > 2.1", "loss > 2.1@90%", "loss@50% < 3", "verdict = worse", "verdict = too-early", "days_left > 3",
    "cost_left > 1k USD", "seen >= 50%", "mfu < 30%", "verdict > x", "1 <= loss <= 2",
)  # fmt: skip
"""Conditions at which a run stops, some of which are none."""


def plausible(rng: Random, name: str, metavar: str | None = None) -> str:
    """Return a value that the option of a name may well accept."""
    kind = kind_of(name, metavar)
    return _GRAMMARS[kind](rng) if kind in _GRAMMARS else amount(rng, kind)


def edge(rng: Random) -> str:
    """Return a number at the end of a range or far outside of it, perhaps with a suffix."""
    if rng.random() < 0.4:
        return f"{10 ** rng.uniform(-30, 30):.3g}"
    return rng.choice(EDGES) + (rng.choice(["", "B", "T", " FLOP", "d", "%", "GB"]) if rng.random() < 0.2 else "")


def nonsense(rng: Random) -> str:
    """Return a text that is nothing, or characters at random."""
    if rng.random() < 0.6:
        return rng.choice(NONSENSE)
    return "".join(rng.choice(_ALPHABET) for _ in range(rng.randrange(1, 16)))
