"""Command lines from the program's own tables: its commands, the options of each, and what goes together.

A :class:`Case` is everything that one call depends on: the arguments, files, standard input, environment and
surroundings. It follows from (seed, index) alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fuzz import files, values

from scaleplan.cli.app import COMMANDS, build
from scaleplan.files import data_folder
from scaleplan.models.public_models import PublicModels
from scaleplan.models.tuning import LOSSES, PRECISIONS
from scaleplan.output import FORMATS, LAUNCHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Case", "Command", "Option", "case", "commands"]


class Option(NamedTuple):
    """One parameter of a command, as the parser knows it."""

    name: str
    flags: tuple[str, ...]
    is_argument: bool
    is_flag: bool
    several: bool
    required: bool
    metavar: str | None


class Command(NamedTuple):
    """One command, by its words, and its options by name."""

    words: tuple[str, ...]
    options: Mapping[str, Option]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call of the program and all that it depends on; ``given`` is standard input, None where it is closed.

    ``committed`` are the files of the revision ``HEAD`` of a git repository in the working folder, if any.
    """

    name: str
    arguments: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    given: bytes | None = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    surroundings: str = ""
    committed: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The first word, which names the command where it is one."""
        return self.arguments[0] if self.arguments else ""


@cache
def commands() -> Mapping[str, Command]:
    """Return every command of the program by its words."""
    found = {}

    def visit(words: tuple[str, ...], parser: Any) -> None:
        inner = getattr(parser, "commands", None)
        if inner:
            for name, each in inner.items():
                visit((*words, name), each)
            return
        options = {each.name: _option(each) for each in parser.params}
        found[" ".join(words)] = Command(words, options)

    for name in COMMANDS:
        visit((name,), build(name))
    return found


def _option(parameter: Any) -> Option:
    return Option(
        name=parameter.name,
        flags=(*parameter.opts, *parameter.secondary_opts),
        is_argument=parameter.param_type_name == "argument",
        is_flag=bool(getattr(parameter, "is_flag", False)),
        several=parameter.nargs == -1 or bool(getattr(parameter, "multiple", False)),
        required=bool(parameter.required),
        metavar=parameter.metavar,
    )


_WEIGHTS = {
    "optimal": 8, "loss": 6, "target": 6, "check": 8, "model": 6, "show": 6, "fit": 6, "plot": 3, "report": 2,
    "break-even": 2, "presets": 2, "gpus": 2, "families": 3, "models": 1, "init": 1, "vocab": 2,
}  # fmt: skip
_WEIGHT = 4
"""How often a command is tried: the more that stands behind it, and the less time that a call takes."""

_HOURS = (("gpu_hours", "gpu"), ("gpus", "time", "gpu"), ("cost", "gpu"))
_BUDGETS = (("flops",), ("flops",), ("flops", "gpu"), *_HOURS)
_GOALS = (("loss",), ("params",), ("tokens",))
_SIZES = (("params",), ("params",), ("model",))
_NEEDS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "target": _GOALS, "break-even": _GOALS[:2], "loss": _SIZES, "precisions": _HOURS, "evaluate": (("values",),),
    "check": (("paths",), ("paths",), ("paths", "limit")), "diff": (("files",), ("files", "fail_on"), ("base",)),
    "convert": (*_BUDGETS, ("pf_days",), ("energy", "gpu"), ("carbon", "region", "gpu")), "fit": (("samples",),),
    "backtest": (("samples",),), "plot": (*_BUDGETS, ("runs",), ("runs",)),
    "design": (
        ("target",), ("target", "runs"), ("pool", "flops"), ("pool", "flops", "target_runs"),
        ("target", "flops", "folder", "command", "gpu", "format"), ("target", "folder", "command", "gpu", "storage"),
    ),
    "track": (("steps",), ("steps", "plan"), ("steps", "pilots"), ("tokens",)), "resolve": (("loss",), ("log",)),
    "register": (*_BUDGETS, ("params", "tokens")),
    "gpus": (("names", "params", "tokens", "time"), ("names", "cost"), ("names", "loss"), ("names", "flops")),
}  # fmt: skip
"""What a command needs beside its required options, in one of several ways; of budgets where it has none here."""
_PARTNERS = {
    "mfu": ("gpu",), "goodput": ("gpu",), "precision": ("gpu",), "profile": ("gpu",), "price": ("gpu",),
    "owned": ("gpu", "power_price"), "power_price": ("gpu", "owned"), "interruptions": ("gpu",),
    "exchange_rate": ("gpu",),
    "gpus": ("gpu",), "region": ("shape",), "style": ("shape",), "context": ("shape",), "batch": ("shape",),
    "shape": ("gpu", "gpus"), "inference_mfu": ("inference_tokens", "gpu"), "inference_price": ("inference_tokens",),
    "tuned_batch": ("tuned_tokens",), "tuned_tokens": ("tuned_batch",), "max_memory": ("experts",),
    "kv_tokens": ("max_memory", "experts"), "quant_block": ("fp_format",), "tensor": ("gpu", "gpus"),
    "sequences": ("serve",), "weight_bits": ("serve",), "cache_bits": ("serve",), "y": ("x",),
    "experts_per_token": ("experts",), "tokens_per_byte": ("loss_unit",), "rank": ("tune",), "targets": ("tune",),
    "adapter_bits": ("tune",), "quantize": ("tune",), "galore_rank": ("optimizer",), "ways": ("gpu",),
    "folder": ("command", "gpu", "format"), "rule": ("folder", "command"), "at_once": ("folder", "command"),
    "image": ("folder", "command", "storage"), "storage": ("folder", "command"),
    "command": ("folder", "gpu", "format"),
    "inputs": ("pool", "flops"), "pool_cost": ("pool", "flops"),
    "data_tokens": ("ways", "gpu"), "epochs": ("ways", "gpu"), "hours": ("ways", "gpu"),
}  # fmt: skip
"""The options without which another has no effect or is refused."""

RARE = {"help", "debug", "verbose", "quiet", "color", "no_color", "get", "fields"}
"""The options of every command that say little about one: drawn in a twentieth of the cases."""


class Builder:
    """A case in the making: random choices, and the files that its options name."""

    def __init__(self, rng: Random, temper: str) -> None:
        self.rng = rng
        self.temper = temper
        self.files: dict[str, bytes] = {}
        self.given: bytes | None = None
        self.law = ""

    def chance(self, share: float) -> bool:
        """Return True for this share of the calls."""
        return self.rng.random() < share

    def damaged(self, content: bytes) -> bytes:
        """Return the content of a file, broken as often as the temper of the case has it."""
        return files.mutated(self.rng, content) if self.chance(_DAMAGE[self.temper]) else content

    def file(self, name: str, content: bytes, *, stream: bool = False) -> str:
        """Add a file, or standard input where that can be read, and return how the command line names it."""
        if stream and self.given is None and self.chance(0.2):
            self.given = self.damaged(content)
            return "-"
        self.files[name] = self.damaged(content)
        return name


_DAMAGE = {"calm": 0.0, "odd": 0.3, "wild": 0.6}
"""How often a file is broken, by the temper of a case."""

_ODD = {"calm": 0.0, "odd": 0.15, "wild": 0.4}
"""How often a value is an edge or nonsense."""


def case(seed: int, index: int, *, only: str | None = None) -> Case:
    """Return the case of a seed at an index; of one command where ``only`` names it."""
    rng = Random(f"{seed}:{index}")
    known = commands()
    if only is None:
        only = rng.choices([*known], [_WEIGHTS.get(words.split()[0], _WEIGHT) for words in known])[0]
    builder = Builder(rng, rng.choices(["calm", "odd", "wild"], [40, 42, 18])[0])
    arguments = _command_line(builder, known[only]) if not builder.chance(0.01) else _words(rng)
    committed = _commit(builder) if "diff" in arguments[:1] and "--base" in arguments else {}
    environment = _environment(builder)
    given = builder.given
    if given is None:
        given = b"" if builder.chance(0.7) else files.amounts(rng)
    closed = builder.chance(0.01)
    return Case(
        name=f"{seed}:{index}",
        arguments=tuple(arguments),
        files=builder.files,
        given=None if closed else given,
        environment=environment,
        surroundings=rng.choice(SURROUNDINGS) if builder.chance(0.03) else "",
        committed=committed,
    )


SURROUNDINGS = (
    "output full", "errors full", "reader gone", "folder gone", "folder deep", "folder odd", "settings unreadable",
    "home missing", "terminal", "streams in ASCII", "streams in Latin-1", "streams in code page 1252",
)  # fmt: skip
"""What may be odd or wrong around a call; the harness makes it so."""


def _words(rng: Random) -> list[str]:
    """Return words that are hardly a command line."""
    ways = [lambda: values.nonsense(rng), lambda: rng.choice([*COMMANDS, "--help", "-h", "--version", "-V", "help"])]
    return [rng.choice(ways)() for _ in range(rng.randrange(4))]


def _command_line(builder: Builder, command: Command) -> list[str]:
    rng = builder.rng
    chosen = _chosen(builder, command)
    words: list[str] = []
    for option in chosen:
        words += _written(builder, command, option)
    if builder.temper == "wild" and builder.chance(0.15):
        words.insert(rng.randrange(len(words) + 1), values.nonsense(rng))
    if builder.temper == "wild" and builder.chance(0.1) and words:
        words.pop(rng.randrange(len(words)))
    first = [*command.words]
    if builder.temper == "wild" and builder.chance(0.02):
        first = [*first[:-1], values.nonsense(rng)]
    return [*first, *words]


def _chosen(builder: Builder, command: Command) -> list[Option]:
    """Return the options of a command line: what the command needs, some more, and what these need."""
    rng, known = builder.rng, command.options
    chosen = [name for name, option in known.items() if option.required]
    if builder.temper != "wild" or builder.chance(0.7):
        chosen += rng.choice(_NEEDS.get(command.words[0], _BUDGETS if "time" in known else ((),)))
    others = [name for name in known if name not in chosen and name not in ENDLESS]
    for _ in range(rng.choice([0, 0, 1, 2] if "runs" in known else [0, 0, 1, 1, 2, 3, 4, 6])):
        if others:
            name = others.pop(rng.randrange(len(others)))
            if name in RARE and builder.chance(0.95):
                continue
            chosen.append(name)
            if builder.temper != "wild":
                chosen += _PARTNERS.get(name, ())
    if builder.chance(0.6):
        chosen.append(rng.choice(["format", "format", "json"]))
    found = [known[name] for name in dict.fromkeys(chosen) if name in known]
    repeated = [option for option in found if option.several and builder.chance(0.3)]
    rng.shuffle(found)
    # arguments keep their order: the parser gives them their places by it
    return sorted([*found, *repeated], key=lambda option: option.is_argument and [*known].index(option.name) + 1)


ENDLESS = {"watch", "every"}
"""Options that wait for what does not happen here."""

# an edge here would only make a call long
_BOUNDED = {"points", "samples", "jobs", "doublings", "seeds", "most_runs"}


def _written(builder: Builder, command: Command, option: Option) -> list[str]:
    rng = builder.rng
    if option.is_flag:
        return [rng.choice(option.flags)]
    repeats = rng.choice([1, 1, 1, 1, 2, 3]) if option.is_argument and option.several else 1
    texts = [_value(builder, command, option) for _ in range(repeats)]
    if command.words == ("evaluate",) and option.is_argument and builder.chance(0.85):
        return _evaluated(builder, option)
    if command.words == ("diff",) and option.name == "files" and builder.temper != "wild":
        texts = [_value(builder, command, option) for _ in range(2)]
    if option.is_argument:
        return texts
    flag = rng.choice(option.flags)
    (text,) = texts
    return (
        [f"{flag}={text}"]
        if flag.startswith("--") and (text.startswith("-") or builder.chance(0.2))
        else [flag, text]
    )


def _value(builder: Builder, command: Command, option: Option) -> str:
    rng = builder.rng
    file = _FILES.get((command.words[0], option.name)) or _FILES.get(("", option.name))
    # a name that is no file says less than what stands in a file
    if builder.chance(_ODD[builder.temper] / (1 if file is None else 3)):
        if option.name in _BOUNDED:
            return rng.choice(["0", "-1", "1", "1.5", "nan", "", "x", "1e9", "inf"])
        return values.edge(rng) if builder.chance(0.7) else values.nonsense(rng)
    if option.name == "format" and command.words[0] not in ("check", "diff", "show"):
        return rng.choice([*FORMATS, *(("csv", *LAUNCHING) if command.words[0] == "design" else ())])
    if file is not None:
        named = file(builder)
        if named is not None:
            return named
    return values.plausible(rng, option.name, option.metavar)


def _evaluated(builder: Builder, option: Option) -> list[str]:
    """Return a law, or inputs that it can be evaluated at, whichever argument this is."""
    if not builder.law:
        builder.law = values.amount(builder.rng, "preset")
    return [builder.law] if option.name == "preset" else [*builder.rng.choice(values.inputs(builder.law))]


def _law(builder: Builder) -> str | None:
    """Return a preset file of one's own for a share of the laws; the others are named."""
    return builder.file("law.toml", files.preset(builder.rng)) if builder.chance(0.2) else None


def _runs(builder: Builder) -> str:
    extension, content = files.runs(builder.rng)
    return builder.file(f"runs.{extension}", content, stream=True)


def _config(builder: Builder) -> str:
    if builder.chance(0.3):
        return builder.file(*files.training(builder.rng))
    return builder.file("config.json", files.config(builder.rng), stream=True)


def _model_or_size(builder: Builder) -> str:
    if builder.chance(0.3):
        return builder.rng.choice(_published())
    return values.amount(builder.rng, "params") if builder.chance(0.3) else _config(builder)


@cache
def _published() -> tuple[str, ...]:
    return PublicModels([data_folder()]).ids()  # a case may have a file of its own, and a broken one


def _architecture(builder: Builder) -> str:
    if builder.chance(0.3):
        return builder.file("mine.toml", files.description(builder.rng))
    return values.plausible(builder.rng, "arch")


def _saved(builder: Builder, name: str = "saved.json") -> str:
    return builder.file(name, files.saved(builder.rng), stream=name == "saved.json")


def _project(builder: Builder) -> str:
    if builder.chance(0.05):
        return builder.rng.choice(["nosuch", ".", "nosuch.toml"])
    if "scaleplan.toml" not in builder.files:
        for name, content in files.project(builder.rng, odd=builder.temper != "calm").items():
            builder.file(name, content)
    return builder.rng.choice(["scaleplan.toml", "scaleplan.toml", "."])


def _record(builder: Builder) -> str:
    """Return a folder with a forecast and its outcome, either of which may be broken."""
    if builder.chance(0.1):
        return builder.rng.choice(["nosuch", "forecast.json"])
    builder.file("forecast.json", files.registered())
    builder.file("forecast.outcome.json", files.outcome())
    return "."


def _ladder(builder: Builder) -> str:
    """Return the folder of a ladder, with or without runs in it, any file of which may be broken."""
    if builder.chance(0.1):
        return builder.rng.choice(["nosuch", ".", "started/ladder.json"])
    for name, content in files.started_ladder(builder.rng).items():
        builder.file(f"started/{name}", content)
    return "started"


def _compared(builder: Builder) -> str:
    if builder.chance(0.3):
        return _project(builder)
    return _saved(builder, builder.rng.choice(["before.json", "after.json"]))


def _logs(builder: Builder) -> str:
    """Return a log of a run, or a folder with a few."""
    name, content = files.log(builder.rng)
    if builder.chance(0.7):
        return builder.file(name, content, stream=True)
    for part in ("a", "b", "c")[: builder.rng.randrange(1, 4)]:
        name, content = files.log(builder.rng)
        builder.file(f"logs/{part}/{name}", content)
    return "logs"


def _plan(builder: Builder) -> str:
    """Return a saved plan, a registered forecast, or another result."""
    content = files.registered() if builder.chance(0.3) else files.saved(builder.rng)
    return builder.file("plan.json", content)


def _of_runs(builder: Builder, kind: str) -> str:
    """Return an amount for every run, or for one by its name."""
    name = builder.rng.choice(["", "", "", "", "main=", "*=", "m*=", "125m=", "x="])
    return f"{name}{values.amount(builder.rng, kind)}"


def _output(*names: str) -> Callable[[Builder], str]:
    return lambda builder: builder.rng.choice([*names, *names, "nosuch/out.x", ".", "/dev/null", "/dev/full", "-"])


_COMMANDS = (
    "train {out}", "python train.py --layers {layers} --lr {lr} --seed {seed} --out {out}", "train", "a {out} {x}",
    "sh -c 'x=$1; train \"$x\"' sh {out}", "train {out} > log; rm -rf {out}", "'=x' {out} {{}} {gpus}", "{out}",
    "a '{out}", "a {out:>9} {lr!r}", "a --x=${{X}} {out}\n", "env X=1 a {out} {name} {flops}",
)  # fmt: skip
"""Commands of a ladder's runs, some of which are none."""

_FILES: Mapping[tuple[str, str], Callable[[Builder], str | None]] = {
    ("", "preset"): _law,
    ("", "laws"): _law,
    ("", "runs"): lambda builder: _logs(builder) if builder.chance(0.1) else _runs(builder),
    ("runs", "paths"): _logs,
    ("ladder", "folder"): _ladder,
    ("ladder", "output_file"): _output("rest.sh", "rest.csv", "started/slurm.sh", "started/rest.sh"),
    ("design", "folder"): _output("pilots", "a b", "pilots/", "law.toml"),
    ("design", "command"): lambda builder: builder.rng.choice(_COMMANDS),
    ("design", "rule"): lambda builder: builder.rng.choice(["porian-2024", "step-law-2025", "kaplan-2020", "x"]),
    ("design", "storage"): lambda builder: builder.rng.choice(["s3://bucket", "claim", "gs://b/c", "a;b", "/x"]),
    ("design", "image"): lambda builder: builder.rng.choice(["python:3.13", "a b", "$(x)"]),
    ("design", "at_once"): lambda builder: builder.rng.choice(["1", "3", "8", "1k", "0"]),
    ("design", "vocab"): lambda builder: builder.rng.choice(["1", "32k", "50257", "1e9", "0"]),
    ("fit", "jobs"): lambda builder: builder.rng.choice(
        ["1", "1", "1", "0", "1.5", "dask:", "dask:nonsense:x", "dask:http://h:1", "dask:nosuch.json", "slurm:8"]
    ),
    ("", "log"): _logs,
    ("", "plan"): _plan,
    ("", "pilots"): lambda builder: _logs(builder) if builder.chance(0.6) else _runs(builder),
    ("track", "loss"): lambda builder: builder.rng.choice(["val", "train", "test"]),
    ("track", "schedule"): lambda builder: builder.rng.choice(values.SCHEDULES),
    ("track", "steps"): lambda builder: builder.rng.choice(["20", "600", "6k", "60000", "1"]),
    ("track", "fail_on"): lambda builder: builder.rng.choice(values.CONDITIONS),
    ("track", "run"): lambda builder: builder.rng.choice(["main", "log", "metrics", "x"]),
    ("track", "file"): _output("picture.svg", "picture"),
    ("runs", "params"): lambda builder: _of_runs(builder, "params"),
    ("runs", "tokens_per_step"): lambda builder: _of_runs(builder, "tokens"),
    ("runs", "batch"): lambda builder: _of_runs(builder, "integer"),
    ("runs", "context"): lambda builder: _of_runs(builder, "count"),
    ("runs", "steps"): lambda builder: _of_runs(builder, "integer"),
    ("runs", "output_file"): _output("table.csv", "table.json", "table.jsonl", "table.tsv", "table.toml"),
    ("", "model"): _config,
    ("model", "source"): _config,
    ("memory", "source"): _model_or_size,
    ("memory", "loss"): lambda builder: builder.rng.choice(LOSSES),
    ("memory", "precision"): lambda builder: builder.rng.choice([*PRECISIONS]),
    ("", "arch"): _architecture,
    ("optimal", "source"): lambda _: "-",
    ("show", "file"): _saved,
    ("check", "paths"): _project,
    ("diff", "files"): _compared,
    ("diff", "base"): lambda builder: builder.rng.choice(["HEAD", "HEAD", "main", "nosuch", "-h"]),
    ("presets", "files"): lambda builder: builder.file("law.toml", files.preset(builder.rng)),
    ("presets", "name"): lambda builder: _law(builder) or values.amount(builder.rng, "preset"),
    ("families", "files"): lambda builder: builder.file("mine.toml", files.description(builder.rng)),
    ("families", "name"): lambda builder: (
        builder.file("mine.toml", files.description(builder.rng))
        if builder.rng.random() < 0.4
        else builder.rng.choice(["llama", "gemma3_text", "zamba", "nosuch", "../llama"])
    ),
    ("families", "config"): _config,
    ("schema", "name"): lambda builder: builder.rng.choice(["plan", "preset", "preset/1", "project", "fit", "x"]),
    ("gpus", "name"): lambda builder: values.amount(builder.rng, "gpu"),
    ("gpus", "names"): lambda builder: values.amount(builder.rng, "gpu"),
    ("gpus", "sort"): lambda builder: builder.rng.choice(["cost", "days", "energy_kwh", "carbon_kg", "x"]),
    ("gpus", "files"): lambda builder: builder.file(*files.data_file(builder.rng)),
    ("models", "name"): lambda builder: builder.rng.choice(
        ["llama-3.1-8b", "Qwen/Qwen3-8B", "gpt2", "opt-1_3b", "x"]
    ),
    ("init", "path"): _output("scaleplan.toml", "new.toml"),
    ("register", "file"): _output("forecast.json"),
    ("resolve", "forecast"): lambda builder: builder.file("forecast.json", files.registered()),
    ("resolve", "file"): _output("outcome.json"),
    ("forecasts", "folder"): _record,
    ("forecasts", "file"): _output("picture.svg", "picture"),
    ("plot", "file"): _output("picture.svg", "picture.png", "picture.pdf", "picture"),
    ("plot", "size"): lambda builder: builder.rng.choice(
        ["8x5", "16x10cm", "1200x800px", "3x3", "1e9x2", "8", "0x5"]
    ),
    ("plot", "dpi"): lambda builder: builder.rng.choice(["96", "300", "1e9", "-1", "x"]),
    ("plot", "theme"): lambda builder: builder.rng.choice(["light", "dark", "print", "x"]),
    ("report", "file"): _output("page.html"),
    ("fit", "output_file"): _output("fitted.toml", "fitted-{group}.toml", "fitted-{corpus}-{loss}.toml"),
    ("shape", "out"): _output("config.json"),
    ("break-even", "start"): lambda builder: values.number(builder.rng, 1e9, 1e11, "BT"),
    ("break-even", "stop"): lambda builder: values.number(builder.rng, 1e12, 1e15, "BT"),
    ("", "start"): lambda builder: values.number(builder.rng, 1e16, 1e19),
    ("", "stop"): lambda builder: values.number(builder.rng, 1e20, 1e26),
    ("fit", "source"): lambda builder: values.amount(builder.rng, "text"),
}
"""The options that name a file, or mean another thing, by command (every command where it is empty) and name."""


def _commit(builder: Builder) -> dict[str, bytes]:
    """Return a revision to compare with: the project as it was, sometimes a broken or an empty one."""
    _project(builder)
    if builder.chance(0.1):
        return {"README": b"nothing yet\n"}
    return {name: builder.damaged(content) for name, content in builder.files.items()}


_VARIABLES = {
    "COLUMNS": ("0", "1", "7", "40", "-3", "x", "", "100000", "9" * 30),
    "LINES": ("0", "1", "x"),
    "TERM": ("dumb", "", "xterm-256color", "nosuch"),
    "LC_ALL": ("C", "POSIX", "de_DE.UTF-8", "tr_TR", "nosuch"),
    "TZ": ("", "nosuch", "Asia/Kathmandu"),
    "TMPDIR": ("/nosuch", "/dev/null"),
    "SOURCE_DATE_EPOCH": ("0", "-1", "x", "", "1e300", "9" * 30),
    "MPLBACKEND": ("nosuch", "TkAgg", ""),
    "OMP_NUM_THREADS": ("x", "0"),
    "GIT_DIR": ("/nosuch", ""),
    "PATH": ("", "/nosuch"),
    "XDG_CONFIG_HOME": ("", "relative", "/dev/null", "~"),
    "HOME": ("", "/dev/null", "relative"),
    "EDITOR": ("nosuch",),
    "PYTHONIOENCODING": ("ascii", "latin-1", "utf-16", "ascii:strict"),
    "PYTHONWARNINGS": ("always", "default"),
}
"""Variables that a system or another program has set, and odd texts in them; some matter to a process alone."""


def _environment(builder: Builder) -> dict[str, str]:
    """Return settings of the environment and of files, in a small share of the cases."""
    found: dict[str, str] = {}
    rng = builder.rng
    if builder.chance(0.04):
        name = rng.choice(["gpu", "preset", "mfu", "level", "format", "color", "price", "precision", "overhead"])
        found[f"SCALEPLAN_{name.upper()}"] = (
            values.nonsense(rng) if builder.chance(0.3) else values.plausible(rng, name)
        )
    if builder.chance(0.03):
        found[rng.choice(["NO_COLOR", "FORCE_COLOR"])] = "1"
    if builder.chance(0.04):
        name = rng.choice([*_VARIABLES])
        found[name] = rng.choice(_VARIABLES[name])
    if builder.chance(0.04):
        place = rng.choice(["../home/config/scaleplan/config.toml", "scaleplan.toml", "pyproject.toml"])
        if place not in builder.files:
            builder.file(place, files.settings(rng, tool=place == "pyproject.toml"))
    if builder.chance(0.05):
        name, content = files.data_file(rng)
        builder.file(f"../home/config/scaleplan/presets/{name}", content)
    # no process has these in its environment
    return {name: value.encode(errors="ignore").decode().replace("\0", "") for name, value in found.items()}
