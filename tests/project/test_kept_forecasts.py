"""Forecasts that are written before a run, and what came out: as files, on the command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.errors import FileError, UsageError


@pytest.fixture
def law(tmp_path):
    """Return a law fitted to the runs of a known law, as a preset file."""
    rows = ["params,tokens,loss"]
    for i in range(5):
        for ratio in (5, 20, 80):
            params = 2e7 * 2**i
            loss = 1.8 + 420 / params**0.34 + 1300 / (ratio * params) ** 0.35
            rows.append(f"{params:g},{ratio * params:g},{loss * (1 + 0.002 * (-1) ** (i + ratio))}")
    (tmp_path / "runs.csv").write_text("\n".join(rows))
    sp.fit(str(tmp_path / "runs.csv"), samples=0).write(tmp_path / "law.toml")
    return tmp_path / "law.toml"


def written(path, record):
    """Write a record as JSON and return the path."""
    path.write_text(json.dumps(record.to_dict()))
    return path


def test_a_forecast_of_ones_own_law_names_its_files_by_hash(law, tmp_path):
    """The law's file, its runs; intervals that grow with the level, around the loss that ``loss`` gives."""
    import hashlib

    made = sp.register(preset=str(law), params="1B", tokens="20B", name="big")
    assert made.preset_sha256 == hashlib.sha256(law.read_bytes()).hexdigest()
    assert made.runs_sha256 == hashlib.sha256((tmp_path / "runs.csv").read_bytes()).hexdigest()
    assert made.loss == sp.loss(preset=str(law), params="1B", tokens="20B").loss
    assert [each.level for each in made.intervals] == [0.5, 0.8, 0.9, 0.95]
    assert made.at(0.9) == tuple(sp.loss(preset=str(law), params="1B", tokens="20B").interval.loss)
    widths = [each.loss[1] - each.loss[0] for each in made.intervals]
    assert widths == sorted(widths)
    assert made.question["tokens"] == "20B"
    assert not [each for each in made.warnings if each.code == "published_law"]


def test_a_budget_registers_its_optimum_and_a_published_law_warns():
    """The optimum's sizes; a published law's loss is of another text."""
    made, plan = sp.register(flops="1e21", level="0.7"), sp.optimal(flops="1e21")
    assert (made.params, made.tokens, made.loss) == (plan.params, plan.tokens, plan.loss)
    assert 0.7 in [each.level for each in made.intervals]
    assert [each for each in made.warnings if each.code == "published_law"]


def test_a_law_without_a_loss_or_intervals_is_refused():
    """There is nothing to be held to."""
    with pytest.raises(UsageError, match="no loss"):
        sp.register(flops="1e21", preset="llama3-2024")
    with pytest.raises(UsageError, match="no interval"):
        sp.register(flops="1e21", preset="kaplan-2020")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data | {"loss": data["loss"] + 1e-9},
        lambda data: data | {"extra": 1},
        lambda data: data | {"intervals": [data["intervals"][0] | {"loss": [0.0, 9.0]}, *data["intervals"][1:]]},
        lambda data: data | {"question": {}},
        lambda data: {key: value for key, value in data.items() if key != "note"},
        lambda data: data | {"sha256": "0" * 64},
    ],
    ids=["loss", "new key", "interval", "question", "key gone", "hash"],
)
def test_a_changed_forecast_is_refused(tmp_path, change):
    """Whatever was changed, and however it is written."""
    data = sp.register(flops="1e21").to_dict()
    path = tmp_path / "f.json"
    path.write_text(json.dumps(change(json.loads(json.dumps(data)))))
    with pytest.raises(FileError, match="changed after it was registered"):
        sp.resolve(path, loss=2.3)
    path.write_text(json.dumps(data, indent=7, sort_keys=True))
    assert sp.resolve(path, loss=2.3).loss == 2.3


def test_resolve_needs_one_outcome_and_warns_of_another_unit(tmp_path):
    """A perplexity of 10 is no loss of 2.3."""
    path = written(tmp_path / "f.json", sp.register(flops="1e21"))
    with pytest.raises(UsageError, match="one outcome"):
        sp.resolve(path)
    assert [each.code for each in sp.resolve(path, loss=10.0).warnings] == ["other_unit"]
    assert sp.resolve(path, loss="2.31").warnings == ()
    with pytest.raises(FileError, match="no registered forecast"):
        sp.resolve(written(tmp_path / "plan.json", sp.optimal(flops="1e21")), loss=2.3)


def test_a_folder_is_the_record(tmp_path):
    """Forecasts and outcomes find each other by hash, in folders below too; other JSON is passed over."""
    for name, flops in (("a", "1e21"), ("b", "1e22"), ("c", "1e23")):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "f.json", sp.register(flops=flops, name=name))
    written(tmp_path / "a-out.json", sp.resolve(tmp_path / "a" / "f.json", loss=2.306))
    written(tmp_path / "b" / "o.json", sp.resolve(tmp_path / "b" / "f.json", loss=2.5))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / ".hidden").mkdir()
    written(tmp_path / ".hidden" / "f.json", sp.register(flops="1e20"))
    found = sp.forecasts(tmp_path)
    assert [(each.name, each.status) for each in found.forecasts] == [
        ("a", "resolved"),
        ("b", "resolved"),
        ("c", "open"),
    ]
    assert [(each.level, each.inside) for each in found.coverage][-1] == (0.95, 1)
    assert found.warnings == ()


def test_what_does_not_agree_is_named(tmp_path):
    """A changed forecast, an outcome of none, two outcomes, a copy, a damaged file."""
    one = written(tmp_path / "one.json", sp.register(flops="1e21", name="one"))
    written(tmp_path / "one.outcome.json", sp.resolve(one, loss=2.3))
    written(tmp_path / "one.outcome2.json", sp.resolve(one, loss=2.4))
    (tmp_path / "copy.json").write_text(one.read_text())
    two = written(tmp_path / "two.json", sp.register(flops="1e22", name="two"))
    written(tmp_path / "lost.outcome.json", sp.resolve(two, loss=2.2))
    two.unlink()
    changed = sp.register(flops="1e23").to_dict() | {"loss": 1.0}
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    (tmp_path / "damaged.json").write_text('{"schema": "scaleplan/forecast/1", "name": ')
    found = sp.forecasts(tmp_path)
    assert {each.code for each in found.warnings} == {"changed", "no_forecast", "outcomes", "twice", "unreadable"}
    assert found.changed == 1
    assert found.coverage[0].resolved == 1


def test_the_commands_keep_files_and_replace_none(cli):
    """The outcome stands beside the forecast; --dry-run keeps nothing, --force replaces."""
    line = ("register", "--flops", "1e21", "-o", "big.json", "-q")
    assert cli(*line).status == 0
    again = cli(*line)
    assert (again.status, "--force" in again.err) == (2, True)
    assert cli("resolve", "big.json", "--loss", "2.3", "--dry-run").status == 0
    assert not Path("big.outcome.json").exists()
    assert cli("resolve", "big.json", "--loss", "2.3", "--get", "loss").out == "2.3\n"
    assert json.loads(Path("big.outcome.json").read_text())["loss"] == 2.3
    assert cli("resolve", "big.json", "--loss", "2.4").status == 2
    assert cli("resolve", "big.json", "--loss", "2.4", "--force").status == 0
    assert cli("register", "--flops", "1e21", "-o", "big.txt").status == 2
    assert json.loads(cli("forecasts", "--json").out)["coverage"]


def test_a_record_with_a_changed_forecast_ends_with_status_2(cli):
    """The record is shown all the same, and CI stops."""
    cli("register", "--flops", "1e21", "-o", "big.json", "-q")
    Path("big.json").write_text(Path("big.json").read_text().replace("2.30", "2.20"))
    found = cli("forecasts", "--json")
    assert found.status == 2
    assert json.loads(found.out)["forecasts"][0]["status"] == "changed"
    assert "changed after it was registered" in found.err


def test_the_picture_needs_a_resolved_forecast(cli):
    """Nothing to draw is one clear line."""
    cli("register", "--flops", "1e21", "-o", "big.json", "-q")
    assert "no forecast is resolved" in cli("forecasts", "-o", "c.svg").err
    cli("resolve", "big.json", "--loss", "2.3")
    found = cli("forecasts", "-o", "c.svg")
    assert found.status == 0 or "matplotlib" in found.err


def log(path, *, val=100, name="loss"):
    """Write the log of a run of 1e9 tokens whose loss falls to 2.5, validated at one step."""
    entries = [{"step": step, "tokens": step * 1e7, name: 2.5 + 1 / step} for step in range(1, 101)]
    if val:
        entries.insert(val, {"step": val, f"val_{name}": 2.55})
    path.write_text("\n".join(json.dumps(each) for each in entries))
    return path


def test_a_log_resolves_the_forecast_of_its_run(tmp_path):
    """By its validation loss at the end; without one by the training loss, with its smoothing named."""
    path = written(tmp_path / "f.json", sp.register(params="20M", tokens="1e9"))
    found = sp.resolve(path, log(tmp_path / "metrics.jsonl"))
    assert (found.loss, "validation loss at step 100" in found.source) == (2.55, True)
    found = sp.resolve(path, log(tmp_path / "metrics.jsonl", val=99))  # as good as at the end
    assert (found.loss, "validation loss at step 99" in found.source) == (2.55, True)
    found = sp.resolve(path, log(tmp_path / "metrics.jsonl", val=None))
    assert 2.5 < found.loss < 2.55
    assert "training loss, median" in found.source
    found = sp.resolve(path, log(tmp_path / "metrics.jsonl", val=80))
    assert 2.5 < found.loss < 2.55
    (warning,) = [each for each in found.warnings if each.code == "training_outcome"]
    assert "at step 80 of 100; --loss 2.55 scores that" in warning.message
    codes = {each.code for each in found.warnings}
    assert "params_unknown" not in codes  # the forecast has them, and resolve has no option for them
    assert "state_unknown" in codes


def test_the_log_of_another_run_resolves_nothing(tmp_path):
    """Half the tokens are another run."""
    path = written(tmp_path / "f.json", sp.register(params="20M", tokens="2e9"))
    with pytest.raises(UsageError, match=r"has 1.00B tokens, and the forecast is of 2.00B"):
        sp.resolve(path, log(tmp_path / "metrics.jsonl"))


def test_a_log_in_another_unit_resolves_nothing(tmp_path):
    """A loss per byte is no loss per token, however near the numbers are."""
    path = written(tmp_path / "f.json", sp.register(params="20M", tokens="1e9"))
    with pytest.raises(UsageError, match=r"is in bits/byte, and that of the forecast in nats/token"):
        sp.resolve(path, log(tmp_path / "metrics.jsonl", name="bpb"))
