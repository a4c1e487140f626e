"""Whatever is typed and whatever stands in a preset file: an answer or one clear error, never a traceback.

The same cases in every run; ``SCALEPLAN_FUZZ=long`` tries fifty times as many, other ones each time.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scaleplan.__main__ import run
from scaleplan.cli.app import build
from scaleplan.files import data_folder

TIMES = settings.default.max_examples // 100  # 50 with SCALEPLAN_FUZZ=long
FUZZ = settings(phases=[Phase.explicit, Phase.generate, Phase.shrink], suppress_health_check=[*HealthCheck])

LAWS = data_folder() / "laws"
PRESETS = sorted(path.stem for path in LAWS.glob("*.toml"))
HOSTILE = [
    "", " ", "-", "--", "nan", "inf", "-inf", "-1", "0", "-0.0", "1e999", "1e-999", "1" + "0" * 400, "1e400", "1e30",
    "1e-30", "1e308", "5e-324", "1e21 FLOPS", "1E", "1e21e", "1,000", "1_0", "0x10", "１２", "٣", "½", "1e21\n",
    "\x1b[31mred\x1b[0m", "[bold]x[/bold]", "[/]", "{x}", "%s%n", "\x00", "\ud800", "\u202e7B", "🚀", "'", '"',
    "$(id)", "../../etc/passwd", "/dev/null", "/", ".", "x" * 5000, "1e21 " * 50, "true", "None", "null", "7B <= 8B",
    "<=", "params", "params <=", "loss@90% <= 2",
]  # fmt: skip
AMOUNTS = ["1e21", "2.5 ZFLOP", "500 PF-days", "7B", "1.4T tokens", "10k", "2k H100-hours", "30d", "0.4", "40%"]
KNOWN = {
    "flops": ["1e21", "1e18", "500 PF-days", "1e2", "1e40", "-"],
    "gpu_hours": ["10k", "2k H100-hours", "1", "1e12", "-"],
    "gpus": ["64", "1", "1000000", "1.5"],
    "gpu": ["h100-sxm", "a100", "h100", "mi300x", "nosuch"],
    "time": ["30d", "2 weeks", "36h", "1s", "-"],
    "cost": ["250k USD", "1M", "1", "-"],
    "mfu": ["0.4", "40%", "1", "1.5"],
    "goodput": ["0.9", "2"],
    "precision": ["bf16", "fp16", "fp8", "fp4", "int3"],
    "profile": ["typical", "benchmark", "end-to-end", "best"],
    "price": ["2", "spot", "2.5 USD/h", "free"],
    "preset": [*PRESETS, "chinchilla", "kaplan", "epoch", "chinchila", "./no.toml", "."],
    "laws": [*PRESETS, "chinchilla", "chinchila"],
    "level": ["0.9", "95%", "0.5", "1", "99.9999%"],
    "overhead": ["0.05", "10", "1e-9", "11"],
    "params": ["7B", "1e9", "1", "1e20"],
    "tokens": ["1T", "1e9", "1", "1e20"],
    "limit": [
        "params <= 70B", "params >= 1B", "tokens <= 1T", "tokens >= 1e30", "tokens_per_param >= 20", "tokens = 1T",
        "tokens_per_param <= 1e-9", "1B <= params <= 7B", "params <= 1", "params <= 7B ; tokens <= 1T", "days <= 30",
        "cost <= 1k USD", "gpu_hours <= 1k",
    ],
    "format": ["text", "json", "jsonl", "csv", "tsv", "markdown", "xml", "jsn"],
    "get": ["params", "interval", "interval.loss.low", "warnings", "budget.gpu", "nope", "loss"],
    "color": ["auto", "always", "never", "maybe"],
    "loss": ["2.1", "1e-9", "100", "1.8172", "1.82"],
    "start": ["1e18", "1e21", "1", "7B"],
    "stop": ["1e24", "1e21", "100k"],
    "points": ["2", "13", "1", "0", "3.5", "1e9"],
    "by": ["flops", "gpu_hours", "time", "cost", "loss"],
    "count": ["total", "non_embedding", "active", "all"],
    "to": ["gpu_hours", "days", "cost", "nothing"],
    "grid": ["USA", "France", "nowhere"],
    "energy": ["450 MWh", "1"],
    "carbon": ["173 t", "5"],
    "pf_days": ["11.6", "500"],
    "batch_regime": ["small", "critical", "large"],
    "form": ["additive", "nosuch"],
    "vendor": ["nvidia", "amd", "acme"],
    "source": ["-", "1e21"],
    "name": [*PRESETS, "chinchilla", "h100", "nosuch"],
    "files": [str(LAWS / "kaplan-2020.toml"), "no.toml", "."],
}  # fmt: skip
BOUNDED = {"points"}  # a hostile value could only make these slow
COMMANDS = (
    "optimal", "loss", "target", "sweep", "compare", "convert", "hyperparameters",
    "presets list", "presets show", "presets validate", "presets path", "gpus list", "gpus show",
)  # fmt: skip
SKIPPED = {"help", "debug"}  # help has tests of its own; debug asks for the traceback
TYPED = [
    "1e21\n",
    "1e21\n\n2.5 ZFLOP\n",
    "nan\n",
    "",
    "\n\n",
    "7B\n",
    "1e21",
    "\x00\n",
    "1e18\r\n1e19\r\n",
    "30d\n10k\n",
]


def options_of(words):
    command = build(words.split()[0])
    for word in words.split()[1:]:
        command = command.commands[word]
    return [parameter for parameter in command.params if parameter.name not in SKIPPED]


def values_of(name):
    likely = st.sampled_from(KNOWN.get(name, AMOUNTS))
    if name in BOUNDED:
        return likely
    hostile = st.sampled_from(HOSTILE) | st.text(max_size=12) | st.text("0123456789.eE+-kMBT %<=", max_size=12)
    return st.integers(0, 5).flatmap(lambda throw: likely if throw else hostile)


@st.composite
def words_of(draw, option):
    is_flag = getattr(option, "is_flag", False)
    value = None if is_flag else draw(values_of(option.name))
    if option.param_type_name == "argument":
        return [value]
    flag = draw(st.sampled_from(option.opts))
    if is_flag:
        return [flag]
    return [f"{flag}={value}"] if flag.startswith("--") and draw(st.booleans()) else [flag, value]


@st.composite
def command_lines(draw, command, options):
    usual = [option for option in options if option.required]
    if not usual:
        usual = [option for option in options if option.name in ("loss" if command == "target" else "flops")]
    chosen = (usual if draw(st.integers(0, 3)) else []) + draw(st.lists(st.sampled_from(options), max_size=5))
    words = [word for option in chosen for word in draw(words_of(option))]
    if not draw(st.integers(0, 15)):
        words.insert(draw(st.integers(0, len(words))), draw(st.sampled_from(HOSTILE) | st.text(max_size=8)))
    if draw(st.booleans()):
        words.append("--json")
    return [*command.split(), *words]


def judged(arguments, *, typed=""):
    """Run a command line and hold it to what every command line is held to."""
    out, err = io.StringIO(), io.StringIO()
    read, write = os.pipe()
    os.write(write, typed.encode())
    os.close(write)
    before, sys.stdin = sys.stdin, os.fdopen(read)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = run(arguments)
    finally:
        sys.stdin.close()
        sys.stdin = before
    said = err.getvalue()
    assert status in (0, 1, 2), said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert "\x1b" not in said
    assert len(said) < 20_000
    if status and "validate" not in arguments:
        assert said.startswith(("error: ", "Usage: ", "{", "warning: ", "setting: "))
    if not status and "--json" in arguments and not any(word.startswith("--get") for word in arguments):
        for text in [out.getvalue()] if out.getvalue().startswith("{\n") else out.getvalue().splitlines():
            json.loads(text, parse_constant=pytest.fail)
    return status


@pytest.mark.parametrize("command", COMMANDS)
def test_any_command_line_is_answered_or_refused(command):
    """Real options with plausible and hostile values: status 0, 1 or 2, no traceback, JSON where asked for."""

    @settings(FUZZ, max_examples=TIMES * (60 if " " in command else 160))
    @given(arguments=command_lines(command, options_of(command)), typed=st.sampled_from(TYPED))
    def check(arguments, typed):
        judged(arguments, typed=typed)

    check()


@settings(FUZZ, max_examples=150 * TIMES)
@given(
    words=st.lists(
        st.sampled_from([*HOSTILE, "optimal", "presets", "--help", "-h", "--version"]) | st.text(), max_size=4
    )
)
def test_words_that_are_no_command_are_refused(words):
    """Anything at all in place of a command."""
    judged([word for word in words if "completion" not in word and word != "--debug"])


VALUES = [
    "nan", "inf", "-1", "0", "1e400", "1e308", "1e-320", "true", '"text"', "[]", "{}", "1979-05-27", "[1, 2]",
    "9" * 5000, "[[1.0]]", "1e-5", "1e5", '"\\u001b[31m"', '"[bold]x[/]"', '"6ND"', '"x" # "', "0.5", "2",
    "[2.0, 1.0]", "1e30", "1e-30",
]  # fmt: skip
WAYS = ["value", "value", "value", "key", "drop", "twice", "swap", "insert", "cut"]


@st.composite
def damaged(draw, text):
    """Return a preset file broken in the ways files get broken."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        place, way = draw(st.integers(0, len(lines) - 1)), draw(st.sampled_from(WAYS))
        line = lines[place]
        if way == "value":
            place = draw(st.sampled_from([i for i, line in enumerate(lines) if "=" in line] or [0]))
            lines[place] = f"{lines[place].split('=')[0]}= {draw(st.sampled_from(VALUES))}"
        elif way == "key":
            lines[place] = draw(st.text(max_size=5)) + line
        elif way == "drop" and len(lines) > 1:
            del lines[place]
        elif way == "twice":
            lines.insert(place, line)
        elif way == "swap":
            lines[place], lines[0] = lines[0], line
        elif way == "insert":
            lines.insert(place, draw(st.text(max_size=20)))
        elif way == "cut":
            lines[place] = line[: draw(st.integers(0, max(len(line), 1)))]
    return "\n".join(lines)


QUESTIONS = [
    ["optimal", "--flops", "1e21"],
    ["optimal", "--flops", "1e24", "--params", "7B"],
    ["loss", "--params", "7B", "--tokens", "1T"],
    ["target", "--loss", "2.2"],
    ["target", "--params", "7B"],
]


@settings(FUZZ, max_examples=450 * TIMES)
@given(
    text=st.sampled_from(PRESETS).flatmap(lambda name: damaged((LAWS / f"{name}.toml").read_text(encoding="utf-8"))),
    question=st.sampled_from(QUESTIONS),
)
def test_any_preset_file_is_used_or_refused(text, question, tmp_path_factory):
    """A real preset, damaged: it plans, or one error says what is wrong with it."""
    file = tmp_path_factory.getbasetemp() / "damaged.toml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    judged([*question, "--preset", str(file), "--json"])
    judged(["presets", "validate", str(file), "--json"])


@settings(FUZZ, max_examples=150 * TIMES)
@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_in_place_of_a_preset_are_refused(content, tmp_path_factory):
    """What is not a preset at all is refused."""
    file = tmp_path_factory.getbasetemp() / "noise.toml"
    file.write_bytes(content)
    assert judged(["optimal", "--flops", "1e21", "--preset", str(file)]) == 2


def test_what_is_tried_is_quick():
    """No sweep among the cases is long: it has few points, or is refused for having too many."""
    assert all(float(points) <= 13 or float(points) > 1e7 for points in KNOWN["points"])
