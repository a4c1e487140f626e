"""Any law at given values: every preset, hand-computed values of every form, intervals against sampling."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.cli.app import execute
from scaleplan.errors import FileError, QuantityError, UnknownNameError, UsageError
from scaleplan.laws import LAWS, law_class
from scaleplan.presets.library import Library

if TYPE_CHECKING:
    from pathlib import Path

TYPICAL = {"params": 1e9, "tokens": 2e10, "flops": 1e21, "loss": 2.9, "tokens_per_param": 20.0, "steps": 1e5}

HEAD = """schema = 1
id = "mine"
title = "Mine"
form = "{form}"
source = "made up"
status = "refit"
[conventions]
params = "total"
[coefficients]
"""

BY_HAND = {
    "abnar": (
        "a=8;alpha=0.5;b=9;beta=0.5;c=0.5;lam=1;d=2;delta=1;gamma=0.5;e=1",
        {"params": 4, "tokens": 9, "sparsity": 0.5},
        4 + 3 + 1 + 2 + 1,
    ),
    "additive": ("E=1;A=4;B=9;alpha=0.5;beta=0.5", {"params": 16, "tokens": 9}, 1 + 1 + 3),
    "bnsl": ('a=1;b=4;c0=0.5;x="flops";y="loss"', {"flops": 16}, 2),
    "chance_power": ('a=3;c=1;e=1;y0=5;k=1;x="tokens";y="loss"', {"tokens": 3}, 3),  # (y-1)/(5-y) = 1
    "clark": ("a=-0.5;b=0;c=0;d=1;E_start=1.5;E_max=300", {"params": 100, "experts": 8}, 1),
    "data_constrained": (
        "E=1;A=4;B=9;alpha=0.5;beta=0.5;R_D=15;R_N=5",
        {"params": 1, "tokens": 9, "unique_tokens": 9},
        1 + 4 + 3,
    ),
    "farseer": ("s=-1;q=0.5;S=1;B=1;b=-0.5;Q=-1;A=-1;a=0.5;E=1", {"params": 1, "tokens": 4}, 1.25),
    "filtered_pool": ("a=8;b=-1;d=0.5;tau=1", {"samples": 8, "pool": 4}, 8 / 4 * 2**-0.5 + 0.5),
    "fine_grained_moe": (
        "a=1;alpha=0.5;b=9;beta=0.5;g=3;gamma=1;c=1;experts=1;routing=0",
        {"params": 4, "tokens": 9, "granularity": 3},
        1 + (3 / 3 + 1) / 2 + 3,
    ),
    "joint_moe": (
        "a=4;alpha=-0.5;delta=0;gamma=0;b=9;beta=-0.5;omega=0;zeta=0;E_start=2;E_max=300;c=1",
        {"params": 16, "tokens": 9, "experts": 8},
        5,
    ),
    "kaplan_surface": ("N_c=16;D_c=9;alpha_N=0.5;alpha_D=0.5", {"params": 4, "tokens": 9}, math.sqrt(5)),
    "logarithmic": ('a=1;b=2;x="tokens";y="batch"', {"tokens": 100}, 1 + 2 * math.log(100)),
    "loss_to_loss": ("K=2;kappa=2;E_0=1;E_1=0.5", {"loss": 2.5}, 2 * 1.5**2 + 0.5),
    "mixture": ("c=1;k=2;weights={web=1,code=-1}", {"web": 0.75, "code": 0.25}, 1 + 2 * math.exp(0.5)),
    "modality": ("k0=10;p=0.5;L_C=1;C0=1e4;alpha_C=0.5;L_N=1;N0=1;alpha_N=1", {"flops": 1000}, 10),
    "multi_power": ("L0=1;A=2;alpha=1;B=1;C=1;beta=1;gamma=0", {"rates": "0.25*2"}, 1 + 2 / 0.5),
    "multiplicative_power": ('a=2;exponents={params=0.5,tokens=-1};y="lr"', {"params": 16, "tokens": 4}, 2),
    "offset_power": ('a=4;c=0.5;e=1;x="flops";y="loss"', {"flops": 16}, 2),
    "overtraining": ("E=1;a=2;b=2;eta=0.5", {"flops": 16, "tokens_per_param": 1}, 2),
    "power": ('a=4;n=-0.5;x="flops";y="loss"', {"flops": 16}, 1),
    "power_allocation": ("params_scale=2;params_exponent=0.5", {"flops": 16}, 8),
    "rl_sigmoid": ("A=1;B=1;C_mid=100;R_0=0", {"flops": 300}, 0.75),
    "saturating_multi_epoch": (
        "E=1;L0=3;a=1;alpha=0.5;b=1;beta=0.5;c=0;gamma=0;delta=0",
        {"params": 4, "tokens": 4, "unique_tokens": 4},
        2,
    ),
    "shape": (
        "E=1;A=4;B=9;alpha=0.5;beta=0.5;epsilon=0.1;gamma=1",
        {"params": 16, "tokens": 9, "aspect_ratio": 10},
        5 * 2,
    ),
    "sigmoid": ('e=0.2;u=0.8;m=100;k=1;x="flops";y="accuracy"', {"flops": 300}, 0.65),
    "shifted_power": ('a=4;g=0;c=0.5;e=1;x="flops";y="loss"', {"flops": 16}, 2),
    "task_error": ("epsilon=0.9;k=1;gamma=1", {"loss": 2}, 0.9 - math.exp(-2)),
    "task_sigmoid": ("a=-0.5;b=0.75;k=2;L0=1", {"loss": 1}, 0.5),
    "three_exponent": ("E=1;A=4;B=9;alpha=0.5;beta=0.5;gamma=0.5", {"params": 16, "tokens": 9}, 3),
}


def preset_of(tmp_path: Path, form: str, coefficients: str) -> str:
    """Return a preset file of a form."""
    path = tmp_path / "mine.toml"
    path.write_text(HEAD.format(form=form) + coefficients.replace(";", "\n") + "\n")
    return str(path)


@pytest.mark.parametrize("name", Library().ids())
def test_every_bundled_preset_gives_each_of_its_quantities(name: str) -> None:
    """A finite value above 0 for typical inputs, from every relation that the form declares."""
    preset = Library().load(name)
    for relation in preset.law.relations():
        inputs = {key: TYPICAL[key] for key in relation.inputs if key not in relation.defaults}
        found = sp.evaluate(preset, quantity=relation.quantity, **inputs)
        assert math.isfinite(found.value), relation
        assert found.interval is None or found.interval.value[0] < found.interval.value[1]
        assert (found.interval is None) == (preset.uncertainty is None)


def test_every_form_is_evaluated_by_a_bundled_preset_or_here() -> None:
    """No form is without a way to it; a relation needs no preset of its own."""
    assert set(LAWS) == set(BY_HAND) | {"kaplan"}
    assert all(law_class(form).relations is not None for form in LAWS)


@pytest.mark.parametrize("form", BY_HAND)
def test_a_preset_of_ones_own_gives_the_value_computed_by_hand(form: str, tmp_path: Path) -> None:
    """Coefficients whose value can be worked out in the head."""
    coefficients, inputs, expected = BY_HAND[form]
    found = sp.evaluate(preset_of(tmp_path, form, coefficients), **inputs)
    assert found.form == form
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_kaplan_gives_all_that_the_paper_prints() -> None:
    """Tables 5 and 6 of arXiv:2001.08361 at one PF-day of C_min, that is two of compute at the critical batch."""
    flops = 2 * 8.64e19
    printed = {"params": 1.3e9, "tokens_by_law": 2e10, "batch_tokens": 2e6, "steps": 5.4e3, "loss": 3.1e8**0.05}
    for quantity, value in printed.items():
        assert sp.evaluate("kaplan", quantity=quantity, flops=flops).value == pytest.approx(value, rel=1e-9)
    assert sp.evaluate("kaplan", params=1e9).value == pytest.approx((8.8e13 / 1e9) ** 0.076, rel=1e-9)


def test_the_loss_and_its_interval_are_those_of_the_planner() -> None:
    """The same law, method and warnings, to the last digit."""
    plan, found = sp.loss(params="7B", tokens="2T"), sp.evaluate("besiroglu-2024", params="7B", tokens="2T")
    assert (found.value, found.warnings) == (plan.loss, plan.warnings)
    assert plan.interval is not None
    assert found.interval is not None
    assert (found.interval.level, found.interval.value) == (plan.interval.level, plan.interval.loss)


def test_the_interval_is_that_of_samples_of_the_covariance() -> None:
    """50,000 draws of the coefficients; a tenth of the published errors, for which the law is linear."""
    published = Library().load("besiroglu-2024")
    assert published.uncertainty is not None
    small = tuple(tuple(value / 100 for value in row) for row in published.uncertainty.covariance)
    preset = replace(published, uncertainty=replace(published.uncertainty, covariance=small))
    draws = np.random.default_rng(7).multivariate_normal(preset.centre(), small, size=50_000)
    values = [preset.law_at(draw).loss(1e9, 2e10) for draw in draws]  # type: ignore[attr-defined]
    for level in (0.5, 0.9):
        low, high = np.quantile(values, [0.5 - level / 2, 0.5 + level / 2])
        found = sp.evaluate(preset, params=1e9, tokens=2e10, level=level).interval
        assert found is not None
        assert found.value == pytest.approx((low, high), abs=0.06 * (high - low))


def test_draws_of_a_curve_give_percentiles(tmp_path: Path) -> None:
    """Eleven draws of the scale of a power law from 1 to 2: the inner 80 % is 1.1 to 1.9."""
    path = preset_of(tmp_path, "power", 'a=1.5;n=-1;x="samples";y="error"')
    draws = [[1 + 0.1 * k] for k in range(11)]
    with open(path, "a") as stream:  # noqa: PTH123
        stream.write(f'[uncertainty]\nparameters = ["a"]\ndraws = {draws}\n')
    found = sp.evaluate(path, samples=10, level=0.8)
    assert (found.quantity, found.unit) == ("error", None)
    assert found.interval is not None
    assert found.interval.value == pytest.approx((0.11, 0.19))


def test_errors_say_what_is_missing_unknown_or_impossible(tmp_path: Path) -> None:
    """Each names the input, and what to do."""
    with pytest.raises(UsageError, match="also needs tokens"):
        sp.evaluate("chinchilla", params="7B")
    with pytest.raises(UnknownNameError, match="unknown input 'parms'") as unknown:
        sp.evaluate("chinchilla", parms="7B", tokens="1T")
    assert unknown.value.hint == "did you mean 'params'?"
    with pytest.raises(UnknownNameError, match="unknown quantity 'los'"):
        sp.evaluate("kaplan", quantity="los", flops=1e21)
    with pytest.raises(UsageError, match="nothing of flops and loss together"):
        sp.evaluate("kaplan", flops=1e21, loss=3)
    with pytest.raises(QuantityError, match="not a number of parameters"):
        sp.evaluate("chinchilla", params="7x", tokens="1T")
    with pytest.raises(UnknownNameError, match="unknown preset"):
        sp.evaluate("chinchila-1", loss=2)
    with pytest.raises(FileError, match="does not exist"):
        sp.evaluate(str(tmp_path / "none.toml"), loss=2)
    with pytest.raises(UsageError, match="confidence level"):
        sp.evaluate("chinchilla", params="7B", tokens="1T", level=1)
    below = preset_of(tmp_path, "loss_to_loss", "K=2;kappa=0.5;E_0=3;E_1=0.5")
    with pytest.raises(UsageError, match="has no loss at these values"):  # a root of what is below 0
        sp.evaluate(below, loss=2)


def test_the_command_speaks_the_common_formats(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON by schema, one bare value, a caret under a wrong amount, status 2 for a wrong request."""
    assert execute(["evaluate", "chinchilla", "params=1B", "tokens=20B", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "scaleplan/evaluation/1"
    assert {"preset", "form", "inputs", "quantity", "value", "unit", "interval", "warnings"} <= found.keys()
    assert found["inputs"] == {"params": 1e9, "tokens": 2e10}
    assert found["unit"] == "nats/token"
    assert execute(["evaluate", "chinchilla", "params=1B", "tokens=20B", "--get", "value"]) == 0
    assert float(capsys.readouterr().out) == found["value"]
    assert execute(["evaluate", "chinchilla", "params=1B", "tokens=20B"]) == 0
    assert capsys.readouterr().out.startswith("besiroglu-2024 at params 1.00B, tokens 20.0B\n\n  loss  ")
    for words in (["params"], ["params=1B", "params=2B"], ["level=0.5"], ["params=7x", "tokens=1T"], []):
        assert execute(["evaluate", "chinchilla", *words]) == 2
        assert "error: " in capsys.readouterr().err


def test_a_fitted_curve_is_evaluated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``fit --form power -o x.toml`` then ``evaluate x.toml flops=1e22``: exact data give the law back."""
    runs, law = tmp_path / "runs.csv", tmp_path / "x.toml"
    rows = [f"{flops:.6e},{20 * flops**-0.05:.12f}" for flops in np.logspace(18, 21, 12)]
    runs.write_text("flops,loss\n" + "\n".join(rows) + "\n")
    assert execute(["fit", str(runs), "--form", "power", "-o", str(law), "--quiet"]) == 0
    capsys.readouterr()
    assert execute(["evaluate", str(law), "flops=1e22", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["value"] == pytest.approx(20 * 1e22**-0.05, rel=1e-4)
    assert [item["code"] for item in found["warnings"]] == ["extrapolated_flops"]


def test_two_fits_of_one_law_are_not_compared() -> None:
    """L(N, D) at the size and tokens of Kaplan's optimum is not the loss along it, and the plan says so."""
    best = sp.optimal(flops=1.2e20, preset="kaplan-2020")
    plan = sp.loss(params=best.params, tokens=best.tokens, preset="kaplan-2020")
    assert best.loss is not None
    assert plan.loss is not None
    assert plan.loss < 0.9 * best.loss
    assert "separate_fits" in {notice.code for notice in plan.warnings}
    assert "separate_fits" not in {notice.code for notice in best.warnings}
