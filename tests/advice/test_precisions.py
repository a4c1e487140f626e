"""fp8 or bf16 for a cluster: speed on one side, the worth of a parameter on the other."""

from __future__ import annotations

import json

import pytest

from scaleplan import api
from scaleplan.advice.precisions import compare_precisions
from scaleplan.cli.app import execute
from scaleplan.errors import UsageError
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.output.views.advice import precisions_report
from scaleplan.planning.constraints.precision import effective_fraction


@pytest.fixture(scope="module")
def b200():
    return compare_precisions(cost="250k", gpu="b200", mfu=0.35)


def row(choice, precision):
    return next(item for item in choice.rows if item.precision == precision)


def test_speed_is_peak_times_utilisation(b200):
    """At one utilisation the speeds are the ratios of the dense peaks, and so is the compute."""
    peaks = Accelerators().get("b200").peaks
    for item in b200.rows:
        assert item.speed == pytest.approx(peaks[item.precision] / peaks["bf16"])
        assert item.flops == pytest.approx(row(b200, "bf16").flops * item.speed)


def test_a_parameter_is_worth_less_at_fewer_bits(b200):
    """f(8)/f(16) and f(4)/f(16) by Kumar et al. 2024: 0.8331 and 0.1922."""
    for name, bits in (("bf16", 16.0), ("fp8", 8.0), ("fp4", 4.0)):
        worth = effective_fraction(weights=bits, activations=bits, kv=bits) / effective_fraction()
        assert row(b200, name).params_worth == pytest.approx(worth)


def test_eight_bits_pay_and_four_do_not(b200):
    """Twice the speed outweighs a sixth of the parameters; four times does not outweigh four fifths of them."""
    assert b200.best == "fp8"
    assert row(b200, "fp8").advantage > 0 > row(b200, "fp4").advantage
    assert row(b200, "bf16").advantage == 0


def test_the_advantage_is_reference_compute_for_the_same_loss(b200):
    """Training in bf16 with that much more compute reaches the loss of fp8."""
    fp8 = row(b200, "fp8")
    more = api.optimal(flops=row(b200, "bf16").flops * (1 + fp8.advantage))
    assert more.loss == pytest.approx(fp8.loss, rel=1e-9)


def test_an_accelerator_without_fewer_bits_has_one_answer():
    """The A100 has no fp8."""
    choice = compare_precisions(gpus=64, time="30d", gpu="a100-sxm-80")
    assert [item.precision for item in choice.rows] == ["bf16"]
    assert choice.best == "bf16"


def test_a_precision_without_a_default_utilisation_is_left_out():
    """The reason is a warning; a measured --mfu brings it back."""
    choice = compare_precisions(cost="250k", gpu="b200")
    shown = {item.precision for item in choice.rows}
    left_out = [notice.message for notice in choice.warnings if notice.code == "left_out"]
    assert shown | {message.split()[0] for message in left_out} == {"bf16", "fp8", "fp4"}


def test_formats_are_held_against_their_critical_tokens(b200):
    """By Sun et al. 2025, a warning where the plan's tokens are beyond them."""
    for item in b200.rows:
        warned = any(f"the plan in {item.precision} has more" in notice.message for notice in b200.warnings)
        assert warned == (item.fp_critical_tokens is not None and item.tokens > item.fp_critical_tokens)


def test_the_report_says_which(b200):
    """One row a precision, and a sentence."""
    report = precisions_report(b200)
    assert len(report.grid.rows) == len(b200.rows)
    assert report.remarks[0].startswith("fp8: its loss would take")


@pytest.mark.parametrize(
    "words, message",
    [
        ({"flops": 1e22}, "the same at every precision"),
        ({"gpus": 64, "time": "30d"}, "which GPU"),
        ({"gpus": 64, "time": "30d", "gpu": "h100-sxm", "preset": "llama3-2024"}, "has no loss"),
    ],
)
def test_what_cannot_be_compared_is_refused(words, message):
    """Budgets in FLOP, no accelerator, laws without a loss."""
    with pytest.raises(UsageError, match=message):
        compare_precisions(**words)


def test_the_command_answers(capsys):
    """JSON with the rows, one value for the shell, and an error for what it compares itself."""
    asked = ["precisions", "--gpus", "64", "--time", "30d", "--gpu", "h100-sxm"]
    assert execute([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "scaleplan/precisions/1"
    assert {item["precision"] for item in found["rows"]} == {"bf16", "fp8"}
    assert execute([*asked, "--train-bits", "8"]) == 2
    assert "what this command compares" in capsys.readouterr().err
