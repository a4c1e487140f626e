"""Default utilisation: the rule, its factors, the profiles, and how well it predicts what was not used to set it."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hardware.published import MODELS, REASON, SHARED, held_out, published_runs

from scaleplan.errors import FileError, UsageError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.utilisation import UtilisationTable

THROUGHPUT = SHARED / "reference" / "throughput.csv"
LADDER = SHARED / "data" / "bytes_ladder.csv"

ACCELERATORS, TABLE = Accelerators([data_folder()]), UtilisationTable([data_folder()])
PROJECT = 0.61 * 0.90
ROUNDED = 5e-4  # a default has four digits


@pytest.fixture(scope="module")
def accelerators():
    return ACCELERATORS


@pytest.fixture(scope="module")
def table():
    return TABLE


def by_hand(level, params, gpus=1):
    """Return level / (1 + sqrt(20M max(1, devices / 128) / N)) at its profile's share."""
    return level / (1 + math.sqrt(20e6 * max(1, gpus / 128) / params))


@pytest.mark.parametrize(
    "gpu, precision, params, gpus, level",
    [
        ("a100", "bf16", 0.1e9, 8, 0.60),
        ("a800", "fp16", 7e9, 128, 0.60),
        ("h100", "bf16", 7e9, 8, 0.44),
        ("h200", "bf16", 1e9, 512, 0.44),
        ("gb300", "bf16", 70e9, 1024, 0.41),
        ("v100", "fp16", 70e9, 8, 0.35),
        ("rtx-4090", "bf16", 1e9, 1, 0.50),
        ("rtx-4090", "bf16", 1e9, 8, 0.35),
        ("rtx-4090", "bf16", 70e9, 1, 0.35),  # a model of this size is spread over several cards
        ("mi300x", "bf16", 7e9, 8, 0.35),
        ("tpu-v5p", "bf16", 7e9, 6144, 0.60),
        ("tpu-v6e", "bf16", 7e9, 8, 0.45),
        ("gaudi3", "bf16", 7e9, 8, 0.40),
        ("m2-max", "fp16", 0.1e9, 1, 0.29),
    ],
)
def test_the_default_is_the_rule(*, table, accelerators, gpu, precision, params, gpus, level):
    """Level, size and scale, times the profile: that of whole projects unless another is named."""
    words = {"precision": precision, "params": params, "gpus": gpus}
    tuned = table.default(accelerators.get(gpu), profile="tuned-benchmark", **words)
    assert tuned.value == pytest.approx(by_hand(level, params, gpus), rel=ROUNDED)
    found = table.default(accelerators.get(gpu), **words)
    assert found.value == pytest.approx(PROJECT * tuned.value, rel=ROUNDED)
    assert (found.profile, found.goodput, found.band) == ("project", 0.90, 1.6)
    assert f"{level:g}" in found.source


@pytest.mark.parametrize(
    "alias, name",
    [("typical", "project"), ("End-to-End", "project"), ("benchmark", "tuned-benchmark"), (None, "project")],
)
def test_older_names_of_profiles_stay(table, alias, name):
    """A name that scripts use is that of the profile it now is."""
    assert table.profile(alias).name == name


def test_low_precision_is_faster_and_further_from_its_peak(table, accelerators):
    """fp8 runs 1.3 times as fast as bf16 in the same code, of a peak that is twice as high."""
    for gpu in ("h100", "b200", "rtx-pro-6000", "mi355x"):
        device = accelerators.get(gpu)
        bf16, fp8 = (table.default(device, precision=name, params=7e9) for name in ("bf16", "fp8"))
        assert fp8.value * device.peak("fp8") == pytest.approx(1.3 * bf16.value * device.peak("bf16"), rel=ROUNDED)


def test_a_mixture_reaches_less(table, accelerators):
    """Four fifths of a dense model with the active parameters."""
    dense, mixture = (table.default(accelerators.get("h100"), params=7e9, moe=moe).value for moe in (False, True))
    assert mixture == pytest.approx(0.8 * dense, rel=ROUNDED)


@given(
    gpu=st.sampled_from([device.id for device in ACCELERATORS.all()]),
    params=st.floats(1e3, 1e13),
    gpus=st.integers(1, 10**6),
)
def test_the_rule_is_a_fraction_that_rises_with_size_and_falls_with_scale(gpu, params, gpus):
    """For any device: between 0 and 1; a larger model reaches no less, more devices no more."""
    device = ACCELERATORS.get(gpu)
    try:
        value = TABLE.default(device, params=params, gpus=gpus).value
    except UsageError:
        return
    assert 0 < value < 1
    assert TABLE.default(device, params=2 * params, gpus=max(gpus, 2)).value >= value or gpus == 1
    assert TABLE.default(device, params=params, gpus=2 * gpus).value <= value


@pytest.mark.parametrize(
    "case",
    [
        ("a100", 7e9, 8, False),
        ("h100", 7e9, 8, False),
        ("mi300x", 7e9, 8, True),
        ("gaudi2", 7e9, 8, True),
        ("trn1", 7e9, 8, True),
        ("b200", 7e9, 8, True),
        ("b200", 70e9, 8, False),
        ("rtx-4090", 1e9, 1, True),
        ("rtx-4090", 1e9, 4, True),
        ("h20", 7e9, 8, True),  # takes the level of its larger siblings
        ("m2-max", 70e9, 1, True),
    ],
)
def test_thin_evidence_is_said(table, accelerators, case):
    """AMD, Gaudi, Trainium, Blackwell below 8B and consumer cards rest on little evidence."""
    gpu, params, gpus, thin = case
    notices = table.default(accelerators.get(gpu), params=params, gpus=gpus).notices
    assert [notice.code for notice in notices] == (["utilisation_thin_evidence"] if thin else [])


def test_an_unknown_size_is_assumed_aloud(table, accelerators):
    """Without a size the value is that of a 7B model, and a notice says so."""
    found = table.default(accelerators.get("h100"))
    assert found.value == pytest.approx(PROJECT * by_hand(0.44, 7e9), rel=ROUNDED)
    assert [notice.code for notice in found.notices] == ["utilisation_size_assumed"]


@pytest.mark.parametrize("gpu, gpus, said", [("rtx-4090", None, True), ("rtx-4090", 1, False), ("h100", None, False)])
def test_one_card_is_assumed_aloud(table, accelerators, gpu, gpus, said):
    """Where several cards reach less than one, an unknown number counts as one and a notice says so."""
    notices = table.default(accelerators.get(gpu), params=1e9, gpus=gpus).notices
    assert ("utilisation_gpus_assumed" in [notice.code for notice in notices]) == said


@pytest.mark.parametrize("gpu, precision", [("gaudi3", "fp8"), ("h100", "tf32"), ("b200", "fp4")])
def test_no_evidence_is_no_guess(table, accelerators, gpu, precision):
    """Where nothing is published the user must give the utilisation."""
    with pytest.raises(UsageError, match=f"no default utilisation for .* in {precision}") as caught:
        table.default(accelerators.get(gpu), precision=precision)
    assert "--mfu 30%" in caught.value.hint
    assert "--measured" not in caught.value.hint  # not every command that needs a utilisation has it


def test_an_unknown_profile_gets_a_suggestion(table, accelerators):
    """Profiles are few, and a typing mistake is met with the closest."""
    with pytest.raises(UsageError, match="unknown profile 'typcal'") as caught:
        table.default(accelerators.get("h100"), profile="typcal")
    assert caught.value.hint == "did you mean 'typical'?"


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("band = 1.6", "band = 0.5", "band: expected a finite number of at least 1"),
        ("level = 0.60", "level = 60", "level: expected a finite number above 0 of at most 1"),
        ('precisions = ["bf16", "fp16", "fp8"]', 'precisions = ["bf16", "fp6"]', "'fp6' has no speed"),
        ('id = "hopper"', 'id = "a100"', "expected a class that is not in the table yet"),
        ('aliases = ["benchmark"]', 'aliases = ["project"]', "'project' already names a profile"),
        ('default_profile = "project"', 'default_profile = "x"', "expected one of project, "),
        ("[moe]", "[moe]\nfactr = 1", "unknown key"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, old, new, error):
    """The user's own table is checked like every file."""
    text = (data_folder() / "utilisation.toml").read_text()
    assert old in text
    (tmp_path / "utilisation.toml").write_text(text.replace(old, new))
    with pytest.raises(FileError, match=error):
        UtilisationTable([tmp_path])


def test_no_table_at_all_is_an_error(tmp_path):
    """An installation without its data says so."""
    with pytest.raises(FileError, match=r"no utilisation\.toml"):
        UtilisationTable([tmp_path])


def rule(run, profile=None):
    """Return the default utilisation of a published run in FLOP/s of its device."""
    device = ACCELERATORS.get(run.gpu)
    found = TABLE.default(
        device, precision=run.precision, params=run.params, gpus=run.gpus, profile=profile, moe=run.moe
    )
    return device.peak(run.precision) * found.value


def promised_over_needed(run):
    """Return the hours that the default promises over those that the run took."""
    return run.flops / rule(run) / 3600 / run.hours


def within(ratios, factor):
    """Return the share of ratios within a factor either way."""
    return sum(1 / factor <= ratio <= factor for ratio in ratios) / len(ratios)


@pytest.mark.skipif(not MODELS.exists(), reason=REASON)
def test_the_default_holds_on_organisations_that_did_not_set_it():
    """README's figures: 20 runs of seven organisations, median 1.03, 14 within 1.5, 17 within the band of 1.6."""
    ratios = [promised_over_needed(run) for run in held_out(published_runs())]
    assert len(ratios) == 20
    assert statistics.median(ratios) == pytest.approx(1.03, abs=0.01)
    assert [round(within(ratios, factor) * 20) for factor in (1.5, 1.6, 2)] == [14, 17, 19]


@pytest.mark.skipif(not MODELS.exists(), reason=REASON)
def test_the_share_of_projects_is_what_the_other_organisations_say():
    """The share of a tuned level that projects reach, from the runs that were kept to set it, and its band."""
    runs = published_runs()
    kept = [run for run in runs if run not in held_out(runs)]
    logs = [math.log(run.flops / rule(run, "tuned-benchmark") / 3600 / run.hours) for run in kept]
    share = math.exp(statistics.mean(logs))
    assert len(kept) == 23
    assert round(share * 20) / 20 == pytest.approx(PROJECT, abs=0.002)


@pytest.mark.skipif(not MODELS.exists(), reason=REASON)
def test_each_organisation_is_predicted_from_the_others():
    """43 runs, each with the share that the runs of other organisations give: median, factor and band."""
    runs = published_runs()
    shares = defaultdict(list)
    for run in runs:
        shares[run.organisation].append(math.log(run.flops / rule(run, "tuned-benchmark") / 3600 / run.hours))
    ratios = []
    for name, own in shares.items():
        share = statistics.median([log for other, logs in shares.items() if other != name for log in logs])
        ratios += [math.exp(log - share) for log in own]
    assert len(ratios) == 43
    assert 0.9 <= statistics.median(ratios) <= 1.1
    assert within(ratios, 1.5) >= 0.75
    assert 0.75 <= within(ratios, TABLE.profile().band) <= 0.92


@pytest.mark.skipif(not MODELS.exists(), reason=REASON)
@pytest.mark.parametrize("kind", ["a100", "hopper", "tpu-v4", "v100", "mixture", "small", "large"])
def test_no_kind_of_run_is_off_as_a_whole(kind):
    """By generation, for mixtures and by size the median is right to 15 %: no systematic promise of too few hours."""

    def belongs(run):
        known = {"mixture": run.moe, "small": run.params < 1.05e9, "large": run.params > 30e9}
        return known.get(kind, ACCELERATORS.get(run.gpu).utilisation_class == kind)

    ratios = [promised_over_needed(run) for run in published_runs() if belongs(run)]
    assert 0.85 <= statistics.median(ratios) <= 1.15


@pytest.mark.skipif(not THROUGHPUT.exists(), reason=REASON)
def test_the_tuned_profile_is_the_published_throughput_tables():
    """Size and scale describe the tables of tuned code: MPT from 125M to 70B on 8 to 512 devices, within 15 %."""
    errors = []
    with THROUGHPUT.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["source"].startswith("MosaicML") and row["precision"] == "bf16" and row["seq_len"] == "2048":
                device = ACCELERATORS.get(row["accelerator"])
                words = {"params": float(row["params"]), "gpus": float(row["num_accelerators"])}
                found = TABLE.default(device, profile="tuned-benchmark", **words).value
                errors.append(abs(math.log(found / float(row["mfu_vs_precision_peak"]))))
    errors.sort()
    assert len(errors) > 70
    assert errors[int(0.8 * len(errors))] < math.log(1.15)


@pytest.mark.skipif(not LADDER.exists(), reason=REASON)
def test_the_smallest_models_reach_what_was_measured():
    """Byte-level models on one H200: the default is within a factor of two of the best clean step of each size.

    Above 2M parameters every step of the set shared its device with other work.
    """
    best = defaultdict(float)
    with LADDER.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            size = float(row["params_total"])
            if 1e5 < size < 2e6 and row["step_ms_best"]:
                seconds = float(row["steps"]) * float(row["step_ms_best"]) / 1e3
                best[size] = max(best[size], float(row["flops_exact"]) / seconds / ACCELERATORS.get("h200").peak())
    assert len(best) >= 5
    for size, measured in best.items():
        found = TABLE.default(ACCELERATORS.get("h200"), params=size, gpus=1).value
        assert measured / 2 <= found <= measured * 2, (size, measured, found)


@pytest.mark.parametrize("params, low, high", [(0.12e6, 0.01, 0.04), (28e6, 0.12, 0.27)])
def test_a_small_model_is_not_promised_the_speed_of_a_large_one(params, low, high):
    """From 0.1M to 28M parameters 2 to 24 % were measured on one H200: flat 30 % promised a tenth of the hours."""
    both = [
        TABLE.default(ACCELERATORS.get("h200"), params=params, gpus=1, profile=name).value
        for name in ("project", "tuned-benchmark")
    ]
    assert all(low <= value <= high for value in both)


def test_a_level_needs_the_peak_that_it_is_a_share_of(tmp_path):
    """A device of one's own with a class and an 8-bit peak alone gets the question, not a crash."""
    own = (
        'schema = 1\n[[accelerator]]\nid = "mine"\nname = "Mine"\nvendor = "me"\nyear = 2026\nclass = "hopper"\n'
        'memory_gb = 80\nbandwidth_gbs = 100\ntflops = { fp8 = 100 }\nsources = ["measured"]\n'
    )
    (tmp_path / "accelerators.toml").write_text(own)
    device = Accelerators([tmp_path]).get("mine")
    with pytest.raises(UsageError, match="no default utilisation for mine in fp8"):
        UtilisationTable([data_folder()]).default(device, precision="fp8")
