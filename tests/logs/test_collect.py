"""The table of runs: sizes from the user, the log and the files beside it, and what could not be told."""

import json
import weakref

import numpy as np
import pytest

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.logs.collect import collected
from scaleplan.logs.recorder import Recorder
from scaleplan.logs.sizes_given import GivenSizes

GPT2 = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024}
GPT2_PARAMS = 124_439_808


def log(name="small", *, source="none/small.log", steps=100, every=10, tokens=None, rate=None, val=None, **stated):
    recorder = Recorder(name, str(source), line=1, format_name="hand-made", in_order=True)
    recorder.state(**stated)
    for step in range(every, steps + 1, every):
        values = {"loss": 2 + 3 / step**0.3}
        values |= {} if tokens is None else {"tokens": tokens * step}
        values |= {} if rate is None else {"lr": rate(step)}
        recorder.add(step, values)
    for step, loss in val or ():
        recorder.add(step, {"val_loss": loss})
    return recorder.run()


def table(*logs, **given):
    more = {name: given.pop(name) for name in ("vocab", "params_from_name", "now") if name in given}
    return collected(iter(logs), GivenSizes.read(given), **more)


def row(*logs, **given):
    (found,) = table(*logs, **given).runs
    return found


def codes(found):
    return [notice.code for notice in found.warnings]


def test_tokens_are_counted_or_steps_times_those_of_a_step():
    """In this order: the count of the log, what is given, what the log states, what a config states."""
    assert row(log(tokens=4096)).tokens == 409_600
    assert row(log(tokens=4096)).tokens_from == "counted in the log"
    assert row(log(tokens_per_step=2048)).tokens == 204_800
    assert row(log(tokens_per_step=2048), tokens_per_step="4096").tokens == 409_600
    assert row(log(batch=8, sequence=1024)).tokens == 819_200
    assert row(log(batch=8), context="1024").tokens == 819_200
    assert row(log(batch=8, sequence=1024), batch=16).tokens == 1_638_400
    found = row(log(sequence=1024), tokens_per_step="8192")
    assert (found.tokens, found.batch, found.sequence) == (819_200, 8, 1024)
    assert row(log()).tokens is None


def test_tokens_that_contradict_the_count_of_the_log_are_told():
    """The count stands: it has a growing batch in it."""
    found = table(log(tokens=4096), tokens_per_step="8192")
    assert found.runs[0].tokens == 409_600
    assert codes(found)[0] == "tokens_differ"
    assert "small (410k, not 819k)" in found.warnings[0].message
    assert codes(table(log(tokens=4096), tokens_per_step="4100", params="1M", steps=100)) == []


def test_tokens_of_a_step_that_contradict_the_log_are_told():
    """A pattern for every run reaches those that state their own: the option counts, and a warning names them."""
    found = table(log(tokens_per_step=2048), log(name="other"), tokens_per_step="4096")
    assert [run.tokens for run in found.runs] == [409_600, 409_600]
    assert codes(found)[0] == "tokens_per_step_differ"
    assert "small (4.10k, not 2.05k)" in found.warnings[0].message
    assert "tokens_per_step_differ" in codes(table(log(batch=8, sequence=1024), batch=16))
    assert "tokens_per_step_differ" not in codes(table(log(batch=8, sequence=1024), tokens_per_step="8.2k"))


def test_tokens_reach_to_the_last_step():
    """Where the last entry of all has no count."""
    assert row(log(tokens=4096, val=[(120, 2.5)])).tokens == 120 * 4096


@pytest.mark.parametrize("place", ["run/config.json", "config.json", "run/checkpoint-100/config.json"])
def test_parameters_are_counted_by_a_config_beside_the_log(tmp_path, place):
    """In its folder, the one above, or a checkpoint of it."""
    (tmp_path / "run").mkdir()
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(GPT2))
    found = row(log(source=tmp_path / "run" / "main.log", tokens=1024))
    assert found.params == GPT2_PARAMS
    assert found.params_from == str(path)
    assert found.flops == pytest.approx(6 * GPT2_PARAMS * 102_400)


LITGPT = """
model_name: pythia-160m
train:
  global_batch_size: 32
  max_seq_length: 2048
  max_tokens: 65536000
"""


def test_a_training_config_tells_sizes_and_the_end(tmp_path):
    """Batch, sequence and steps beside the model."""
    (tmp_path / "train.yaml").write_text(LITGPT)
    found = row(log(source=tmp_path / "main.log"))
    assert (found.tokens_per_step, found.sequence, found.batch) == (65_536, 2048, 32)
    assert found.tokens == 100 * 65_536
    assert found.total_steps == 1000
    assert found.state == "stopped"
    assert found.params is not None or "config_unread" in codes(table(log(source=tmp_path / "main.log")))


def test_several_training_configs_are_no_guess(tmp_path):
    """That with the name of the run is its own."""
    (tmp_path / "a.yaml").write_text(LITGPT)
    (tmp_path / "b.yaml").write_text(LITGPT.replace("32", "64"))
    found = table(log("c", source=tmp_path / "c.log"))
    assert found.runs[0].tokens is None
    assert "2 training configs" in found.warnings[0].message
    assert row(log("b", source=tmp_path / "b.log")).batch == 64


def test_a_broken_config_is_told_once(tmp_path):
    """One line for all the runs beside it, and the way out."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_embd": 768}')
    logs = [log(name, source=tmp_path / f"{name}.log", tokens=1024) for name in "ab"]
    found = table(*logs, steps=100)
    assert codes(found) == ["config_unread", "params_unknown"]
    assert found.warnings[0].message.startswith("a, b: ")


def test_what_is_given_counts_and_a_contradiction_is_told(tmp_path):
    """A run by its name before a pattern before all."""
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    beside = log(source=tmp_path / "main.log", tokens=1024)
    found = table(beside, params="350M", steps="100")
    assert (found.runs[0].params, codes(found)) == (350e6, ["params_differ"])
    assert codes(table(beside, params="124M", steps="100")) == []
    logs = [log(name) for name in ("small", "wide-1", "wide-2")]
    sizes = [run.params for run in table(*logs, params=["1B", "wide-*=2B", "wide-2=3B"]).runs]
    assert sizes == [1e9, 2e9, 3e9]
    assert [run.params for run in table(*logs, params={"small": "125M", "*": 1e9}).runs] == [125e6, 1e9, 1e9]


def test_a_model_may_lie_elsewhere(tmp_path):
    """A config, or a published model, for every run or one."""
    (tmp_path / "gpt.json").write_text(json.dumps(GPT2))
    assert row(log(), model=str(tmp_path / "gpt.json")).params == GPT2_PARAMS
    assert row(log(), model="small=gpt2").params == GPT2_PARAMS
    with pytest.raises(FileError, match="gone"):
        row(log(), model=str(tmp_path / "gone.json"))


def test_a_name_tells_a_size_on_request_alone():
    """A guess is named."""
    unasked = table(log("pythia-1.4b", tokens=1024), steps=100)
    assert unasked.runs[0].params is None
    assert "--params-from-name takes 1.40B from 'pythia-1.4b'" in unasked.warnings[0].message
    asked = table(log("pythia-1.4b", tokens=1024), steps=100, params_from_name=True)
    assert (asked.runs[0].params, asked.runs[0].params_from) == (1.4e9, "name")
    assert codes(asked) == ["params_from_name"]
    for name in ("160m-2b", "run", "lr3e-4", "10kb", "v1.5"):
        assert row(log(name), params_from_name=True).params is None


def test_what_is_lacking_is_one_line_a_cause():
    """Not a line a run, and each with its option."""
    found = table(*(log(f"run{i}") for i in range(9)))
    assert codes(found) == ["params_unknown", "tokens_unknown", "state_unknown"]
    messages = [notice.message for notice in found.warnings]
    assert "run0, run1, run2, run3 and 5 more" in messages[0]
    assert ["--params" in messages[0], "--tokens-per-step" in messages[1], "--steps" in messages[2]] == [True] * 3
    assert "--context" in table(log(batch=8), params="1M", steps="100").warnings[0].message


def test_where_a_run_was_to_end_is_given_or_follows_from_its_tokens():
    """In steps."""
    assert row(log(), steps=100).state == "finished"
    assert row(log(), steps=200).state == "stopped"
    assert row(log(total_steps=200), steps=100).state == "finished"
    assert row(log(total_tokens=2_048_000, tokens_per_step=1024)).total_steps == 2000


def test_validation_and_rates():
    """The last one and the best one, each with its step; the peak of the rate, and its end where that is known."""
    cosine = lambda step: 1e-3 * 0.5 * (1 + np.cos(np.pi * step / 1000))  # noqa: E731
    found = row(log(steps=1000, rate=cosine, val=[(500, 2.4), (750, 2.3), (1000, 2.35)]), steps="1000")
    assert (found.val_loss, found.val_step, found.best_val_loss, found.best_val_step) == (2.35, 1000, 2.3, 750)
    assert (found.schedule, found.lr) == ("cosine", pytest.approx(1e-3))
    assert found.end_lr == pytest.approx(0, abs=1e-9)
    constant = row(log(rate=lambda _: 1e-3), steps="100")
    assert (constant.schedule, constant.lr, constant.end_lr) == ("constant", 1e-3, 1e-3)
    relative = row(log(rate=lambda _: 1.0, relative_rate=True), steps="100")
    assert (relative.lr, relative.schedule) == (None, "constant")
    assert row(log()).schedule == "unknown"


def test_a_run_that_diverged_has_no_final_loss():
    """Null, not the last number before it came apart; NaN is in no result."""
    recorder = Recorder("run", "none.log", line=1, format_name="hand-made")
    for step, loss in ((1, 4.0), (2, 3.0), (3, float("nan"))):
        recorder.add(step, {"loss": loss})
    found = table(recorder.run(), params="1M", tokens_per_step="1k")
    assert (found.runs[0].state, found.runs[0].loss, found.runs[0].steps) == ("diverged", None, 3)
    assert codes(found) == ["not_finite"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_nan_on_the_way_is_told():
    """The run goes on."""
    recorder = Recorder("run", "none.log", line=1, format_name="hand-made")
    for step in range(1, 60):
        recorder.add(step, {"loss": float("nan") if step in (20, 21) else 3.0})
    found = table(recorder.run(), params="1M", tokens_per_step="1k", steps="59")
    assert found.runs[0].state == "finished"
    assert "2 entries, steps 20 to 21, and a number again after it" in found.warnings[0].message


def test_a_rise_that_is_no_divergence_is_told():
    """A loss that ends a tenth above its lowest part."""
    recorder = Recorder("run", "none.log", line=1, format_name="hand-made")
    for step in range(1, 201):
        recorder.add(step, {"loss": 3.0 if step < 150 else 3.3})
    found = row(recorder.run(), params="1M")
    assert "10 % above its lowest" in found.warnings[0].message
    assert found.state is None


def test_an_empty_log_is_a_row_without_numbers():
    """And told."""
    empty = Recorder("run", "none.log", line=1, format_name="hand-made").run()
    found = table(empty, params="1M")
    assert (found.runs[0].loss, found.runs[0].steps, found.runs[0].tokens) == (None, None, None)
    assert "loss_unknown" in codes(found)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"params": "other=1B"}, UnknownNameError),
        ({"params": "lots"}, UsageError),
        ({"params": "=1B"}, UsageError),
        ({"batch": "1.5"}, UsageError),
        ({"batch": "0"}, UsageError),
        ({"context": "small="}, UsageError),
        ({"steps": "-5"}, UsageError),
        ({"tokens_per_step": "nan"}, UsageError),
        ({"model": ""}, UsageError),
    ],
)
def test_an_amount_or_a_name_that_is_wrong_is_refused(given, error):
    """With its text."""
    with pytest.raises(error):
        table(log(), **given)


def test_the_speed_is_that_of_all_devices():
    """As logged, by the devices, or by the clock."""
    recorder = Recorder("run", "none.log", line=1, format_name="hand-made")
    for step in range(1, 101):
        recorder.add(step, {"loss": 3.0, "seconds": 2.0 * step, "device_tokens_per_second": 1000.0})
    run = recorder.run()
    assert row(run, tokens_per_step="8k").tokens_per_second == pytest.approx(4000)
    recorder.state(devices=8)
    assert row(recorder.run(), tokens_per_step="8k").tokens_per_second == 8000
    assert row(run).days == pytest.approx(200 / 86400)


def test_a_config_that_the_log_contradicts_is_told(tmp_path):
    """Batch, steps, and a size that no way of counting explains: the log counts."""
    (tmp_path / "train.yaml").write_text(LITGPT)
    found = table(log(source=tmp_path / "main.log", batch=64, total_steps=100))
    (run,) = found.runs
    assert (run.batch, run.tokens, run.total_steps, run.state) == (64, 64 * 2048 * 100, 100, "finished")
    messages = [notice.message for notice in found.warnings if notice.code == "config_differs"]
    assert ["a batch of 32" in messages[0], "steps: 1,000" in messages[1]] == [True, True]
    beyond = table(log(source=tmp_path / "main.log", steps=2000))
    assert beyond.runs[0].total_steps is None
    assert "config_differs" in codes(beyond)


def test_a_size_that_the_log_prints(tmp_path):
    """A config counts exactly what some logs print without the embeddings; another model is another run's."""
    assert row(log(params=30e6)).params_from == "log"
    (tmp_path / "config.json").write_text(json.dumps(GPT2))
    beside = {"source": tmp_path / "main.log", "tokens": 1024}
    assert row(log(params=123.6e6, **beside)).params == GPT2_PARAMS
    other = table(log(params=1e9, **beside), steps=100)
    assert (other.runs[0].params, other.runs[0].params_from, codes(other)) == (1e9, "log", ["config_differs"])


def test_samples_are_tokens_where_their_length_is_known():
    """Of a batch that grows, the count and not the last batch."""
    recorder = Recorder("run", "none.log", line=1, format_name="hand-made")
    for step in range(1, 11):
        recorder.add(step, {"loss": 3.0, "samples": 8 * min(step, 5) + 16 * max(step - 5, 0)})
    recorder.state(batch=16)
    found = table(recorder.run(), context="1k", steps="10", params="1M")
    assert found.runs[0].tokens == 120_000
    assert found.runs[0].tokens_from == "counted in the log"
    assert row(recorder.run()).tokens is None


def test_the_curves_of_one_run_at_a_time_are_kept():
    """A folder may hold more than the memory does."""
    alive = []

    def logs():
        for number in range(5):
            run = log(f"run{number}")
            alive.append(weakref.ref(run))
            yield run
            del run
            assert [reference() for reference in alive] == [None] * len(alive)

    assert len(collected(logs(), GivenSizes.read({})).runs) == 5


def test_warnings_that_many_runs_share_are_one_line():
    """With the first of them in full; each row keeps its own."""
    logs = []
    for number in range(9):
        recorder = Recorder(f"run{number}", "none.log", line=1, format_name="hand-made")
        for step in (1, 2, 3, 4):
            recorder.add(step, {"loss": float("nan") if step == 2 else 3.0})
        logs.append(recorder.run())
    found = table(*logs, params="1M", tokens_per_step="1k", steps="4")
    (notice,) = found.warnings
    assert notice.message.startswith("run0: the loss is NaN")
    assert notice.message.endswith("the like of run1, run2, run3, run4 and 4 more")
    assert all(len(row.warnings) == 1 for row in found.runs)
    assert len(table(*logs[:3], params="1M", tokens_per_step="1k", steps="4").warnings) == 3


def test_runs_of_one_name_are_told_apart():
    """By their files, so that a size can be given for one."""
    logs = [log("exp", source=f"none/{name}.log") for name in ("a", "b", "b")]
    found = table(*logs, params=["1B", "exp/b=2B"])
    assert [(run.run, run.params) for run in found.runs] == [("exp", 1e9), ("exp/b", 2e9), ("exp/b#2", 1e9)]
