"""What ``show`` and ``diff`` read back: everything that ``--json`` writes, of every schema."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path
from random import Random
from typing import is_typeddict

import pytest
from jsonschema import Draft202012Validator
from tests.ladder.folders import write_ladder_json, write_run
from tests.ladder.records import ladder_of, ladder_run

from scaleplan.cli.answers import ANSWERS
from scaleplan.cli.app import COMMANDS, build
from scaleplan.errors import FileError, is_visible
from scaleplan.output import JUDGING, REPORTS, Rendering
from scaleplan.output.declared import result_schema
from scaleplan.project.saved import RESULTS, read_saved
from scaleplan.record import Record

CONFIG = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "intermediate_size": 11008, "vocab_size": 32000,
}  # fmt: skip
PROJECT = """
[[run]]
name = "base"
params = "7B"
tokens = "2T"
[policy]
error = ["tokens_per_param >= 20", "params <= 70B"]
warn = ["tokens <= 1T"]
"""
QUESTIONS = """
optimal --flops 1e21
optimal --flops 1e21 --gpu h100-sxm --shape
optimal --gpus 8 --gpu rtx-4090 --time 30d --shape --region France
optimal --cost 250k --gpu h100-sxm --limit 'params <= 1B'
optimal --flops 1e22 --inference-tokens 1T --train-bits 8 --fp-format E4M3 --ptq-bits 4
optimal --flops 1e22 --preset joint-moe-2025 --experts auto
optimal --flops 1e21 --preset kaplan-2020
optimal --flops 1e21 --preset llama3-2024
loss --params 7B --tokens 2T --unique-tokens 1T
loss --model config.json --tokens 2T --gpu h100-sxm --gpus 64
target --loss 2.1
target --tokens 1T --gpu h100-sxm --gpus 512
sweep --from 1e18 --to 1e20 --points 3
sweep --from 1e18 --to 1e20 --points 2 --params 1B
sweep --from 1e18 --to 1e20 --points 3 --inference-tokens 1T
sweep --from 10k --to 1M --by cost --gpu h100-sxm --points 3
compare --flops 1e22
compare --flops 1e22 --preset kaplan
break-even --params 7B --points 3
break-even --loss 2.1 --from 1 --to 100 --points 2
break-even --params 7B --points 3 --gpu h100-sxm
marginal --flops 1e21
marginal --cost 250k --gpu h100-sxm
convert --flops 1e24 --gpu h100-sxm --gpus 512
convert --gpu-hours '30.8M H100-hours' --region USA
memory 7B --gpus 8
memory 7B --gpus 8 --serve
memory gpt2 --gpu rtx-4090 --ways
design --flops 1e20 --target 1e22
design runs.csv --flops 1e20 --target 1e22 --schedule wsd
design --pool runs.csv --flops 30%
design --flops 1e18 --target 1e21 --gpu h100 -f csv -o pilots --command 'train {out}' --limit 'params >= 1M'
ladder status started
register --flops 1e21 -o forecasts/new.json --force
register --params 1B --tokens 20B --name big -o forecasts/new.json --force
resolve forecasts/big.json --loss 2.3 --dry-run
forecasts forecasts
track part.log --steps 400
track part.log --steps 400 --plan forecasts/big.json --gpu h100-sxm --gpus 8 --mfu 40% --params 1B
hyperparameters --flops 1e21
precisions --cost 250k --gpu b200
vocab --params 7B
plot isoflop --flops 1e21
plot residuals runs.csv
report --flops 1e21
check
diff scaleplan.toml scaleplan.toml --fail-on 'cost increase > 10%'
schema
presets show chinchilla
presets list
presets path
presets path kaplan
presets validate scaleplan.toml
gpus show h100
gpus list
gpus show m4
gpus compare h100-sxm a40 rtx-4090 --params 70B --tokens 1T --gpus 8 --time 90d --region France
gpus compare h100-sxm a100-sxm-80 --cost 50k
gpus validate scaleplan.toml mine.toml
gpus path
loss --params 7B --tokens 2T --gpu h100-sxm --time 30d --cost 300k
models show gpt2
models list
families list
families show zamba
families show llama --config config.json
families validate mine.toml
evaluate besiroglu-2024 params=7B tokens=2T
model config.json
model levanter.yaml
model levanter.yaml --vocab 1000
shape 47B --style mixtral --experts 8
init new.toml --force
fit runs.csv --samples 40
fit runs.csv --samples 0 --report --residuals
fit runs.csv --samples 40 --tied -o law.toml
fit runs.csv --samples 0 --method all
fit runs.csv --samples 0 --method envelope
fit runs.csv --samples 0 --group corpus -o 'law-{group}.toml'
fit runs.csv --samples 0 --each corpus -o 'each-{corpus}.toml'
fit runs.csv --samples 40 --form power
fit runs.csv --samples 0 --form kaplan
fit runs.csv --samples 0 --form allocation
fit runs.csv --samples 0 --form multiplicative --x params,tokens
backtest runs.csv --samples 0
runs main.log --params 124M --tokens-per-step 1k
""".strip().splitlines()

IN_EVERY_FORMAT = [  # one of each schema
    "optimal --flops 1e21", "sweep --from 1e18 --to 1e20 --points 3", "break-even --params 7B --points 3",
    "marginal --flops 1e21", "convert --flops 1e24", "memory 7B --gpus 8", "memory gpt2 --gpu rtx-4090 --ways",
    "design --flops 1e20 --target 1e22", "design --pool runs.csv --flops 30%",
    "design --flops 1e18 --target 1e21 --gpu h100 -f csv -o pilots --command 'train {out}' --limit 'params >= 1M'",
    "register --flops 1e21 -o forecasts/new.json --force",
    "ladder status started", "register --flops 1e21 -o forecasts/new.json --force",
    "resolve forecasts/big.json --loss 2.3 --dry-run", "forecasts forecasts", "track part.log --steps 400",
    "hyperparameters --flops 1e21", "precisions --cost 250k --gpu b200", "vocab --params 7B",
    "plot isoflop --flops 1e21", "check", "diff scaleplan.toml scaleplan.toml", "presets show chinchilla",
    "presets list", "schema", "gpus show h100", "gpus list", "gpus validate scaleplan.toml",
    "gpus compare h100-sxm rtx-4090 --params 7B --tokens 1T --time 90d", "models show gpt2", "models list",
    "families list",
    "families show llama --config config.json", "families validate mine.toml", "presets path kaplan",
    "presets validate scaleplan.toml",
    "evaluate besiroglu-2024 params=7B tokens=2T", "model config.json", "model levanter.yaml", "shape 7B",
    "init new.toml --force", "fit runs.csv --samples 40", "fit runs.csv --each corpus --form kaplan",
    "backtest runs.csv --samples 0",
    "runs main.log --steps 40",
]  # fmt: skip


@pytest.fixture(scope="module")
def kept():
    """Return where a registered forecast and its outcome are kept by name, so that they are made once."""
    return {}


@pytest.fixture
def folder(apart, cli, monkeypatch, kept):
    """Fill the working folder with what the questions read."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")
    Path("forecasts").mkdir()
    if not kept:
        cli("register", "--flops", "1e21", "-o", "forecasts/big.json")
        cli("resolve", "forecasts/big.json", "--loss", "2.31")
        kept.update((path.name, path.read_text()) for path in Path("forecasts").iterdir())
    for name, text in kept.items():
        Path("forecasts", name).write_text(text)
    lines, ripple = [], Random(2)
    for step in range(300):
        loss, rate = 1.8 + 4 / (step + 10) ** 0.4 + ripple.gauss(0, 0.01), 3e-4 * (1 - step / 400)
        lines.append(f"s:{step} trl:{loss:.4f} lr:{rate:.6f} norm:0.4\n")
    Path("part.log").write_text("".join(lines))
    Path("scaleplan.toml").write_text(PROJECT)
    Path("main.log").write_text("".join(f"s:{step} trl:{4 / step**0.1:.4f} lr:0.000300\n" for step in range(1, 41)))
    noise = Random(1)
    rows = ["name,params,tokens,loss,corpus,state", "lost,1e7,1e8,nan,a,finished", "late,1e7,5e7,9.9,b,crashed"]
    for i, (params, ratio) in enumerate((1e7 * 2**i, ratio) for i in range(6) for ratio in (5, 20, 80)):
        loss = (1.8 + 420 / params**0.34 + 1300 / (ratio * params) ** 0.345) * (1 + 0.002 * noise.gauss(0, 1))
        rows.append(f"r{i},{params:g},{ratio * params:g},{loss},{'ab'[i % 2]},finished")
    Path("runs.csv").write_text("\n".join([*rows, rows[-1]]))
    Path("config.json").write_text(json.dumps(CONFIG))
    ladder = ladder_of([ladder_run(name, steps=1000, tokens=65_536_000) for name in ("a", "b", "c")])
    write_ladder_json(ladder, "started")
    write_run("started", ladder.runs[0], exit_status=0, style="llm.c")
    write_run("started", ladder.runs[1], exit_status=1, style="llm.c", upto=500)
    Path("levanter.yaml").write_text(
        "model: {type: llama, hidden_dim: 64, intermediate_dim: 96, num_layers: 2, num_heads: 4, num_kv_heads: 4}\n"
        "trainer: {num_train_steps: 10, train_batch_size: 8}\n"
    )
    Path("mine.toml").write_text(
        'schema = 1\nname = "mine"\nlike = "llama"\n[let]\nd = 64\nn = 2\nvocab = 99\nh = 4\nf = 96\n'
    )


@pytest.fixture(scope="module")
def saved():
    """Return where the JSON of each question is kept, so that it is asked once."""
    return {}


def direct(cli, saved, question):
    """Return the JSON of a question; twice for one that writes a file, which then is there."""
    if question not in saved:
        words = shlex.split(question)
        for _ in range(1 + ("-o" in words)):
            shutil.rmtree(_LADDER, ignore_errors=True)
            saved[question] = cli(*words, "--json").out
    return saved[question]


_LADDER = "pilots"
"""The folder of a ladder, which is new whenever one is designed."""


def asked(cli, question, form):
    """Return what a question prints in a format; that of a ladder is the format of its files, and it prints text."""
    words = shlex.split(question)
    if _LADDER not in words:
        return cli(*words, "--format", form).out
    shutil.rmtree(_LADDER, ignore_errors=True)
    if form == "text":
        return cli(*words).out
    return Rendering(read_saved(cli(*words, "--json").out, name="it")).write(form)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_saved_result_is_shown_as_it_was(cli, folder, saved, question):
    """Byte for byte, as JSON, as text and as a table; the page of a report is the only text that a plan lacks."""
    text = direct(cli, saved, question)
    assert json.loads(text)["schema"] in RESULTS
    Path("saved.json").write_text(text)
    assert cli("show", "saved.json", "--json").out == text
    for form in ("csv",) if question.startswith("report") else ("text", "csv"):
        shown = cli("show", "saved.json", "--format", form)
        assert shown.out == asked(cli, question, form), form
        assert shown.err == ""


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_result_is_of_its_schema(cli, folder, saved, question):
    """With no key that its JSON Schema lacks; and it is one of those that the command is known to give."""
    data = json.loads(direct(cli, saved, question))
    validator = Draft202012Validator(result_schema(data["schema"], closed=True))
    assert [error.message for error in validator.iter_errors(data)] == []
    words = question.split()
    command = " ".join(words[: 1 + hasattr(build(words[0]), "commands")])
    assert data["schema"].split("/")[1] in ANSWERS[command]


@pytest.mark.parametrize("question", IN_EVERY_FORMAT)
def test_every_kind_of_result_is_shown_in_every_format(cli, folder, saved, question):
    """Lines, tabs, Markdown; for what judges also what CI services read."""
    Path("saved.json").write_text(direct(cli, saved, question))
    judges = question.split()[0] in ("check", "diff")
    for form in ("tsv", "jsonl", "markdown", *(JUDGING if judges else ())):
        assert cli("show", "saved.json", "--format", form).out == asked(cli, question, form), form


def test_every_command_and_every_schema_is_asked_about(cli, folder, saved):
    """A new command, or a new kind of result, without a question above is found here."""
    leaves = set()
    for name in COMMANDS:
        leaves |= {f"{name} {inner}" for inner in getattr(build(name), "commands", {})} or {name}
    known = {leaf for leaf in leaves if any(each.startswith(f"{leaf} ") or each == leaf for each in QUESTIONS)}
    assert leaves - known - {"show"} == set()
    schemas = {json.loads(direct(cli, saved, question))["schema"] for question in IN_EVERY_FORMAT}
    assert set(RESULTS) == schemas


DAMAGE = ["gone", None, "x", True, [], {}, 0, -1, 0.5, 1e308, -9e299, 5e-324, 10**400, float("nan"), [1], {"a": 1}]


def places(value, path=()):
    """Yield the way to every value, of lists to the first two."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 2)):
            yield from places(value[i], (*path, i))


def damaged(whole, path, value):
    """Return a copy of a result with one value replaced, or gone."""
    inner = found = json.loads(whole)
    for key in path[:-1]:
        inner = inner[key]
    if value == "gone":
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(found)


@pytest.mark.parametrize("question", IN_EVERY_FORMAT)
def test_a_damaged_result_is_refused_with_its_key_or_shown(cli, folder, saved, question):
    """Any value gone or replaced: an error that names the key, or a report; never a bug."""
    whole = direct(cli, saved, question)
    every = list(places(json.loads(whole)))
    step = max(1, len(every) * len(DAMAGE) // 100) | 1  # of a large result not all
    for path, value in [(path, value) for path in every for value in DAMAGE][::step]:
        error = None
        try:
            result = read_saved(damaged(whole, path, value), name="it")
        except FileError as refused:
            error = refused
        if error is None:
            for form in ("text", "csv"):
                Rendering(result).write(form)
            continue
        assert error.message.startswith("it: ")
        assert error.hint
        agrees = "agree" in error.message or "values that no result has" in error.message
        assert agrees or path == ("schema",) or any(str(key) in error.message for key in path), error.message


def computed_keys(record=Record):
    """Yield the keys of all records that follow from others, and are not read."""
    yield from getattr(record, "_computed", ())
    for inner in record.__subclasses__():
        yield from computed_keys(inner)


def without_required(node):
    """Return a schema in which every key may be absent: the reader has defaults for many."""
    if isinstance(node, dict):
        return {key: without_required(value) for key, value in node.items() if key != "required"}
    return [*map(without_required, node)] if isinstance(node, list) else node


@pytest.mark.parametrize("question", IN_EVERY_FORMAT)
def test_a_value_of_another_type_is_refused_by_schema_and_reader_alike(cli, folder, saved, question):
    """An object in place of any plain value, and a text, a flag or a list where the schema wants none."""
    whole = direct(cli, saved, question)
    validator = Draft202012Validator(without_required(result_schema(json.loads(whole)["schema"])))
    computed = set(computed_keys())
    every = [path for path in places(json.loads(whole)) if computed.isdisjoint(path)]
    step = max(1, len(every) // 6) | 1
    for path in every[::step]:
        inner = json.loads(whole)
        for key in path:
            inner = inner[key]
        for value in ({"a": 1}, "x", True, [1]):
            text = damaged(whole, path, value)
            by_schema = not validator.is_valid(json.loads(text))
            try:
                read_saved(text, name="it")
                by_reader = False
            except FileError:
                by_reader = True
            assert by_reader or not by_schema, (path, value)
            if isinstance(inner, float | int | str) and value == {"a": 1}:
                assert by_schema or not by_reader, path


@pytest.mark.parametrize(
    "question",
    ["optimal --flops 1e21", "sweep --from 1e18 --to 1e20 --points 3", "check", "fit runs.csv --samples 40"],
)
def test_a_damaged_file_is_one_error_of_show_and_diff(cli, folder, saved, question):
    """Cut off, emptied, no JSON, or with a value that no result has: exit status 2."""
    whole = direct(cli, saved, question)
    good = Path("good.json")
    good.write_text(direct(cli, saved, "optimal --flops 1e21"))
    every = list(places(json.loads(whole)))
    texts = [whole[: len(whole) * i // 7] for i in range(7)] + ["null", "[]", '"x"', "[" * 100_000, "\x00", "{}"]
    texts += [damaged(whole, every[i], value) for i in range(1, len(every), 29) for value in ("gone", [1], 1e308)]
    for text in texts:
        Path("bad.json").write_text(text)
        for words in (("show", "bad.json"), ("diff", "good.json", "bad.json"), ("diff", "bad.json", "good.json")):
            found = cli(*words)
            assert found.status in (0, 2), (found, text[:300])
            assert found.status == 0 or (found.out == "" and "\nhint: " in found.err), (found, text[:300])


@pytest.mark.parametrize("words", [("show", "bad.json"), ("diff", "bad.json", "bad.json")])
def test_a_number_that_no_result_has_is_refused_with_its_line(cli, folder, saved, words):
    """Python writes NaN and Infinity where other programs stop at them."""
    whole = direct(cli, saved, "optimal --flops 1e21")
    line = 1 + next(i for i, text in enumerate(whole.splitlines()) if '"tokens":' in text)
    Path("bad.json").write_text(re.sub(r'"tokens": [0-9.e+]+', '"tokens": NaN', whole, count=1))
    found = cli(*words)
    assert found.status == 2
    assert found.err.startswith(f"error: bad.json:{line}: tokens: ")


def test_what_the_reader_lets_through_and_no_report_can_show_is_no_bug_of_ours(cli, monkeypatch):
    """The last resort: a value that a report stumbles over is an error of the file, in every format."""

    def stumbles(*_):
        raise ZeroDivisionError

    Path("p.json").write_text(cli("optimal", "--flops", "1e21", "--json").out)
    monkeypatch.setattr("scaleplan.output.views.plan.plan_report", stumbles)
    for words in ((), ("--color", "always"), ("--format", "markdown")):
        found = cli("show", "p.json", *words)
        assert (found.status, found.out) == (2, "")
        assert "holds values that no result has" in found.err


def test_a_newer_version_may_write_more(cli):
    """Keys that are not known are left out; a schema of a newer number is refused with the reason."""
    plan = cli("optimal", "--flops", "1e21", "--json")
    Path("new.json").write_text(json.dumps(plan.json | {"new_key": {"a": [1, "x"]}}))
    assert cli("show", "new.json").out == cli("optimal", "--flops", "1e21").out
    assert cli("diff", "new.json", "new.json").status == 0
    Path("new.json").write_text(json.dumps(plan.json | {"schema": "scaleplan/plan/2"}))
    found = cli("show", "new.json")
    assert (found.status, found.out) == (2, "")
    assert "hint: a newer scaleplan wrote it" in found.err


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_saved_result_is_no_different_from_itself(cli, folder, saved, question):
    """``diff`` reads the same files as ``show``."""
    Path("s.json").write_text(direct(cli, saved, question))
    same = cli("diff", "s.json", "s.json")
    assert (same.status, same.out) == (0, "s.json → s.json: nothing changed\n")


OF_RUNS = ("optimal", "sweep", "break-even", "check")


def leaves(value):
    """Yield every value that holds no others, with the way to it."""
    for path in places(value):
        inner = value
        for part in path:
            inner = inner[part]
        if not isinstance(inner, dict | list) and path[-1] != "schema":
            yield path, inner


@pytest.mark.parametrize("question", [each for each in IN_EVERY_FORMAT if each.split()[0] not in OF_RUNS])
def test_a_value_that_changed_is_found_at_its_key(cli, folder, saved, question):
    """Of every result without runs: one value of it, and no other; null is a value that is not there."""
    whole = direct(cli, saved, question)
    Path("before.json").write_text(whole)
    every = list(leaves(json.loads(whole)))
    found = 0
    for path, old in every[:: max(1, len(every) // 12)]:
        new = not old if isinstance(old, bool) else f"{old}x" if isinstance(old, str) else 1.5 * (old or 2)
        Path("after.json").write_text(damaged(whole, path, new))
        compared = cli("diff", "before.json", "after.json", "--json")
        if compared.status == 2:  # no result has that value
            continue
        found += 1
        changes = compared.json["changes"]
        if isinstance(old, str):  # where it is the name of an item, that item went and another came
            assert new in [change["after"] for change in changes], path
            continue
        (change,) = changes
        assert (change["run"], change["before"], change["after"]) == (None, old, new), path
        assert str(path[-1]) in change["quantity"]
        assert change["change"] == (None if old is None or isinstance(old, bool) else new - old)
        assert change["status"] == ("added" if old is None else "changed")
    assert found


def test_results_of_two_kinds_are_refused(cli):
    """Both kinds are named, whichever is first; a threshold judges what a result has and no more."""
    Path("plan.json").write_text(cli("optimal", "--flops", "1e21", "--json").out)
    for name, flops in (("one.json", "1e24"), ("two.json", "2e24")):
        Path(name).write_text(cli("convert", "--flops", flops, "--gpu", "h100-sxm", "--json").out)
    Path("vocab.json").write_text(cli("vocab", "--params", "7B", "--json").out)
    for first, second in (("plan", "one"), ("one", "plan"), ("vocab", "one")):
        found = cli("diff", f"{first}.json", f"{second}.json")
        kinds = [{"one": "conversion", "vocab": "vocabulary"}.get(name, name) for name in (first, second)]
        assert (found.status, found.out) == (2, "")
        assert all(f"'{kind}'" in found.err for kind in kinds)
    judged = cli("diff", "one.json", "two.json", "--fail-on", "cost increase > 10%", "--format", "github")
    assert judged.status == 1
    assert judged.out.startswith("::error title=conversion%3A cost increase > 10%25::cost increase 100 %25 > 10%25")
    assert cli("diff", "one.json", "two.json", "--fail-on", "cost increase > 100%").status == 0
    unknown = cli("diff", "one.json", "two.json", "--fail-on", "loss increase > 0")
    assert unknown.status == 2
    assert "cannot be judged: loss is not known on both sides" in unknown.out


def test_a_comparison_of_values_shows_numbers_then_texts(cli):
    """As a table, with long texts from where they differ; losses of two laws are not subtracted."""
    for name, law, gpu in (("a.json", "besiroglu-2024", "h100-sxm"), ("b.json", "hoffmann-2022-a3", "h200-sxm")):
        words = ("marginal", "--flops", "1e21", "--gpu", gpu, "--preset", law)
        Path(name).write_text(cli(*words, "--json").out)
    found = cli("diff", "a.json", "b.json", "--format", "csv")
    rows = {line.split(",")[2]: line.split(",") for line in found.out.splitlines()[1:]}
    assert rows["preset"][3:] == ["besiroglu-2024", "hoffmann-2022-a3", "", ""]
    assert rows["loss"][5:] == ["", ""]
    assert float(rows["params"][5]) == float(rows["params"][4]) - float(rows["params"][3])
    assert "the law changed from besiroglu-2024 to hoffmann-2022-a3" in found.err
    text = cli("diff", "a.json", "b.json").out
    assert re.search(r"^  params +2.78B +2.22B +-562M +-20.2 %$", text, re.MULTILINE)
    assert "preset: 'besiroglu-2024' → 'hoffmann-2022-a3'" in text


def test_lines_of_plans_are_read_as_several_plans(cli):
    """What ``--format jsonl`` writes is shown as the sweep that it came from."""
    sweep = ("sweep", "--from", "1e18", "--to", "1e20", "--points", "3")
    Path("plans.jsonl").write_text(cli(*sweep, "--format", "jsonl").out)
    assert cli("show", "plans.jsonl").out == cli(*sweep).out


def test_every_result_that_is_read_has_a_view():
    """One schema, one class, one view: a forgotten entry is found here."""
    for schema, place in RESULTS.items():
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        assert is_typeddict(found) or (found.schema == schema and name in REPORTS)
    for view in REPORTS.values():
        for place in filter(None, (view.report, view.judgements)):
            module, _, name = place.partition(":")
            assert callable(getattr(import_module(f"scaleplan.output.{module}"), name))


@pytest.mark.parametrize("schema", RESULTS)
def test_a_result_without_its_keys_names_the_first_that_is_missing(schema):
    """The file, the key, and no traceback."""
    with pytest.raises(FileError, match=r"^it: \w+: this key is missing$"):
        read_saved(json.dumps({"schema": schema}), name="it")


@pytest.mark.parametrize(
    ("command", "change"),
    [
        (("optimal", "--flops", "1e21"), {"params_convention": "x"}),
        (("model", "config.json"), {"flops_per_token": 0}),
        (("precisions", "--gpus", "8", "--gpu", "h100-sxm", "--time", "10d"), {"best": "x"}),
        (("presets", "show", "besiroglu-2024"), {"coefficients": {"E": [1]}}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_values_that_no_result_has_are_refused(cli, tmp_path, command, change):
    """A saved file that somebody changed is the user's, not a bug."""
    sizes = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 100, "n_positions": 64}
    Path("config.json").write_text(json.dumps(sizes))
    saved = cli(*command, "--json", "--quiet").json | change
    (tmp_path / "s.json").write_text(json.dumps(saved))
    done = cli("show", tmp_path / "s.json")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") <= 2


def test_names_of_files_and_laws_are_spelt_out(cli):
    """Where they come from outside: the file of runs and its columns, a preset, an error as JSON."""
    name = "a\u202eb\x9b.csv"
    rows = [f"{n:g},{20 * n:g},{1.8 + 400 / n**0.34 + 1000 / (20 * n) ** 0.34}" for n in (1e7, 2e7, 4e7, 8e7, 2e8)]
    Path(name).write_text("\n".join(["params,tokens,loss", *rows]))
    for words in (
        ("fit", name, "--samples", "0", "--json"),
        ("fit", name, "--samples", "0"),
        ("show", name, "--json"),
    ):
        found = cli(*words)
        assert all(is_visible(line) for line in (found.out + found.err).split("\n"))
    assert json.loads(cli("show", f"{name}\u2066", "--json").err)["code"] == "file"
