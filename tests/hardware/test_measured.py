"""A measurement of one's own: read in any usual spelling, checked against the peak, better than every default."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import QuantityError, ScaleplanError, UsageError
from scaleplan.hardware.measured import parse_measurement

H100 = 989.4e12
RUN = {"params": "7B", "tokens": "2T", "gpu": "h100-sxm", "gpus": 64}


@pytest.mark.parametrize(
    "text, kind, value, per_device, batch, params",
    [
        ("410k tokens/s", "tokens", 410e3, False, None, None),
        ("410,000 tok/sec", "tokens", 410e3, False, None, None),
        ("1.2M tokens per second", "tokens", 1.2e6, False, None, None),
        ("410k tps", "tokens", 410e3, False, None, None),
        ("5100 tokens/s/gpu", "tokens", 5100, True, None, None),
        ("5.1k tok/s/GPU", "tokens", 5100, True, None, None),
        ("5100 tokens/gpu/s", "tokens", 5100, True, None, None),
        ("5100 tokens per second per device", "tokens", 5100, True, None, None),
        ("5100 tokens/sec/chip at 7B", "tokens", 5100, True, None, 7e9),
        ("1.9 s/step", "step", 1.9, False, None, None),
        ("1900 ms/it", "step", 1.9, False, None, None),
        ("1.9 seconds per iteration", "step", 1.9, False, None, None),
        ("1.9 s/step of 4M tokens", "step", 1.9, False, 4e6, None),
        ("1.9 s/step of 4M tokens at 7B", "step", 1.9, False, 4e6, 7e9),
        ("1.9 s/step of 1024 x 4096 at 7B", "step", 1.9, False, 1024 * 4096, 7e9),
        ("0.5 steps/s", "step", 2.0, False, None, None),
        ("420 TFLOP/s", "flops", 420e12, True, None, None),
        ("420 TFLOPS", "flops", 420e12, True, None, None),
        ("420 tflops/s/gpu", "flops", 420e12, True, None, None),
        ("0.42 PFLOP/s", "flops", 420e12, True, None, None),
        ("4.2e14 FLOP/s", "flops", 420e12, True, None, None),
    ],
)
def test_usual_spellings_are_read(*, text, kind, value, per_device, batch, params):
    """Rates of tokens, times of steps, FLOP/s of a device, with batch and size where they stand there."""
    found = parse_measurement(text)
    assert (found.kind, found.per_device, found.batch, found.params) == (kind, per_device, batch, params)
    assert found.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "410k",
            "410k tokens",
            "tokens/s",
            "-3 tokens/s",
            "0 tokens/s",
            "420 TFLOP",
            "40%",
            "",
            "fast",
            "nan tokens/s",
        ),
        *(
            "1.9 s",
            "1.9 h/step",
            "410k tokens/s of 4M tokens",
            "1.9 s/step of 0 x 4096",
            "420 TFLOP/s at 7B",
            "410k tokens/min",
            "1e400 tokens/s",
            "5e2k tokens/s at 3B",
            "1.9 s/step of 4e3k tokens at 3B",
        ),
    ],
)
def test_what_is_no_speed_is_refused(text):
    """An amount without its time, another unit, and nothing at all: one error with the forms that there are."""
    with pytest.raises((UsageError, QuantityError)) as caught:
        sp.loss(**RUN, measured=text)
    assert caught.value.hint


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    """No text breaks the reader."""
    try:
        found = parse_measurement(text)
    except ScaleplanError:
        return
    assert found.value > 0


def test_the_days_are_tokens_over_tokens_a_second():
    """2T tokens at 410,000 tokens/s are 56.5 days, whatever the device; no band, and the source says so."""
    budget = sp.loss(**RUN, measured="410k tokens/s").budget
    assert budget.days == pytest.approx(2e12 / 410e3 / 86_400)
    assert budget.mfu == pytest.approx(6 * 7e9 * 410e3 / 64 / H100)
    assert (budget.goodput, budget.band, budget.days_interval, budget.profile) == (1.0, None, None, None)
    assert budget.utilisation_source == "measured: 410k tokens/s"


@pytest.mark.parametrize(
    "measured, options",
    [
        ("6406.25 tokens/s/gpu", {}),
        ("9.756097560975610 s/step of 4M tokens", {}),
        ("9.756097560975610 s/step", {"batch": "4M"}),
        ("269.0625 TFLOP/s", {}),
    ],
)
def test_every_form_of_one_speed_is_one_answer(measured, options):
    """410,000 tokens/s on 64 devices, as the rate of one, the time of a step, and FLOP/s."""
    budget = sp.loss(**RUN, measured=measured, **options).budget
    assert budget.days == pytest.approx(2e12 / 410e3 / 86_400, rel=1e-9)


def test_lost_time_comes_on_top():
    """--goodput is the share of the paid time that trains at the measured speed."""
    budget = sp.loss(**RUN, measured="410k tokens/s", goodput=0.8).budget
    assert budget.days == pytest.approx(2e12 / 410e3 / 86_400 / 0.8)


def test_a_budget_buys_what_was_measured():
    """64 devices for 30 days at 420 TFLOP/s each; at tokens/s of a size that the text names."""
    cluster = {"gpus": 64, "gpu": "h100-sxm", "time": "30d"}
    assert sp.optimal(**cluster, measured="420 TFLOP/s").flops == pytest.approx(64 * 30 * 86_400 * 420e12)
    named = sp.optimal(**cluster, measured="410k tokens/s at 7B")
    assert named.flops == pytest.approx(30 * 86_400 * 410e3 * 6 * 7e9)
    fixed = sp.optimal(**cluster, measured="410k tokens/s", params="7B")
    assert fixed.tokens == pytest.approx(30 * 86_400 * 410e3)


def test_a_law_with_its_own_count_of_compute_keeps_the_days():
    """Hunyuan-Large counts 9.59 N + 2.3e8 FLOP a token: the days are still tokens over tokens a second."""
    words = {"preset": "hunyuan-large-2024", "gpu": "h100-sxm", "gpus": 64, "measured": "410k tokens/s"}
    plan = sp.target(params="7B", **words)
    assert plan.budget.days == pytest.approx(plan.tokens / 410e3 / 86_400, rel=1e-6)
    assert plan.flops != pytest.approx(6 * plan.params * plan.tokens, rel=0.1)


@pytest.mark.parametrize(
    "options, missing",
    [
        ({"measured": "410k tokens/s", "flops": "1e22", "gpus": 64}, "no size is given"),
        ({"measured": "1.9 s/step", "flops": "1e22", "gpus": 64, "params": "7B"}, "needs the tokens of a step"),
        ({"measured": "410k tokens/s at 7B", "flops": "1e22"}, "their number is not given"),
        ({"measured": "1.9 s/step at 7B", "flops": "1e22", "gpus": 64}, "needs the tokens of a step"),
    ],
)
def test_what_is_missing_is_named(options, missing):
    """Size, batch or number of devices, each with the way to give it."""
    with pytest.raises(UsageError, match=missing) as caught:
        sp.optimal(gpu="h100-sxm", **options)
    assert caught.value.hint


@pytest.mark.parametrize("other", [{"mfu": 0.4}, {"profile": "project"}])
def test_two_speeds_are_one_error(other):
    """A measurement and a default or another utilisation exclude each other."""
    with pytest.raises(UsageError, match=f"--measured and --{min(other)} both"):
        sp.loss(**RUN, measured="410k tokens/s", **other)


@pytest.mark.parametrize(
    "device, measured", [("h20", "420 TFLOP/s"), ("h100-sxm", "990 TFLOP/s"), ("h100-sxm", "4.1M tokens/s")]
)
def test_no_device_beats_its_peak(device, measured):
    """More than the dense peak of the precision is a wrong unit, count or size, and is refused."""
    with pytest.raises(UsageError, match="above its bf16 peak"):
        sp.loss(params="7B", tokens="2T", gpu=device, gpus=64, measured=measured)


def test_next_to_nothing_is_warned_of():
    """410 tokens/s on 64 devices is a forgotten k."""
    assert "measured_slow" in [notice.code for notice in sp.loss(**RUN, measured="410 tokens/s").warnings]


def test_target_sweep_convert_and_marginal_take_it():
    """Each command with hardware: the size is that of the goal, the text, or the model."""
    words = {"gpu": "h100-sxm", "gpus": 64}
    assert sp.target(params="7B", **words, measured="410k tokens/s").budget.utilisation_source.startswith("measured")
    with pytest.raises(UsageError, match="no size is given"):
        sp.target(loss=2.1, **words, measured="410k tokens/s")
    table = sp.sweep(start="1e21", stop="1e22", points=2, **words, measured="410k tokens/s at 7B")
    assert len({plan.budget.mfu for plan in table}) == 1
    found = sp.convert(flops="8.4e22", params="7B", **words, measured="410k tokens/s")
    assert found.days == pytest.approx(2e12 / 410e3 / 86_400)
    assert found.interval_level is None
