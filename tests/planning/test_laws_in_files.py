"""What a file of a law may hold beyond the published forms: a loss curve, repeated data, a held floor, logarithms."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.cli.app import execute
from scaleplan.errors import FileError, UnreachableError, UsageError
from scaleplan.laws.additive import Additive, worth
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.presets.library import Library, validate
from scaleplan.toml_table import Table

CASES = Path(__file__).parents[2].parent / "shared" / "cases"

HEAD = """schema = 1
id = "{id}"
title = "Own"
form = "{form}"
source = "own"
status = "single-source"
[coefficients]
"""

CONVENTIONS = '\n[conventions]\nparams = "total"\nflops = "6ND"\nloss = "nats/token"\n'

ISO = {
    "params_scale": 0.5,
    "params_exponent": 0.458,
    "tokens_scale": 1.9,
    "tokens_exponent": 0.542,
    "E": 1.6,
    "loss_scale": 72.6,
    "loss_exponent": 0.0897,
}


def law_file(folder, form, more="", **coefficients):
    """Write a preset file; return its path."""
    path = folder / "own.toml"
    lines = "\n".join(f"{name} = {value!r}" for name, value in coefficients.items())
    path.write_text(HEAD.format(id="own", form=form) + lines + more + CONVENTIONS, encoding="utf-8")
    return str(path)


def iso_loss(flops):
    """Return the loss curve of the file above."""
    return 1.6 + 72.6 * flops**-0.0897


def test_an_allocation_carries_its_loss_curve(tmp_path):
    """The plan, the target, a sweep, marginal gains and evaluate all know L = E + a*C^-b."""
    law = law_file(tmp_path, "power_allocation", **ISO)
    plan = sp.optimal(preset=law, flops=1e21)
    assert plan.loss == pytest.approx(iso_loss(1e21))
    assert plan.params == pytest.approx(0.5 * 1e21**0.458, abs=0.5)
    assert sp.target(preset=law, loss=plan.loss).flops == pytest.approx(1e21, rel=1e-9)
    swept = sp.sweep(preset=law, start=1e20, stop=1e22, points=3)
    assert [each.loss for each in swept] == pytest.approx([iso_loss(each.flops) for each in swept])
    assert sp.evaluate(law, quantity="loss", flops=1e21).value == pytest.approx(iso_loss(1e21))
    assert sp.optimal(preset=law, flops=[1e20, 1e21]).loss == pytest.approx([iso_loss(1e20), iso_loss(1e21)])
    with pytest.raises(UnreachableError, match=r"it stays above 1\.6 "):
        sp.target(preset=law, loss=1.5)
    with pytest.raises(UsageError, match="optimal sizes only"):
        sp.loss(preset=law, params="7B", tokens="1T")


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this checkout")
def test_the_shared_allocation_plans_with_its_loss(capsys):
    """From its file, on the command line."""
    assert (
        execute(["optimal", "--flops", "1e21", "--preset", str(CASES / "k16-allocation-with-loss.toml"), "-q"]) == 0
    )
    assert f"loss                 {iso_loss(1e21):.3f}  nats/token" in capsys.readouterr().out


@pytest.mark.parametrize(
    "data, key",
    [
        ({"E": 1.6}, "loss_scale"),
        ({"loss_scale": 72.6}, "loss_exponent"),
        ({"loss_exponent": 0.09}, "loss_scale"),
    ],
)
def test_half_a_loss_curve_is_refused(data, key):
    """With the key that is missing."""
    table = Table({"params_scale": 0.5, "params_exponent": 0.458, **data}, source="own.toml")
    with pytest.raises(FileError, match=f"{key}: this key is missing"):
        PowerAllocation.from_table(table)


def test_a_loss_curve_in_other_units_is_the_same_law(tmp_path):
    """The scale of C in EFLOP is a*(1e18)^-b of that in FLOP."""
    coefficients = ISO | {
        "params_scale": 0.5 * 1e18**0.458,
        "tokens_scale": 1.9 * 1e18**0.542,
        "loss_scale": 72.6 * 1e18**-0.0897,
    }
    law = law_file(tmp_path, "power_allocation", "\n[units]\nflops = 1e18\n", **coefficients)
    assert sp.optimal(preset=law, flops=1e21).loss == pytest.approx(iso_loss(1e21))


LOGARITHMS = {"E": 0.5267228, "A": 6.0073404, "B": 7.3049, "alpha": 0.33917, "beta": 0.2849}
"""hoffmann-2022-a3 as its source fits it: e, a = ln A and b = ln B."""


def test_constants_that_look_like_logarithms_are_questioned(tmp_path, capsys):
    """They validate, as they may be meant; the file and every plan ask, and the published laws are not asked."""
    law = law_file(tmp_path, "additive", **LOGARITHMS)
    (checked,) = validate([law]).files
    assert checked.valid
    assert "A and B look like logarithms" in checked.problem
    assert (
        "A and B look like logarithms"
        in [notice.message for notice in sp.optimal(preset=law, flops=1e21).warnings][-1]
    )
    assert execute(["evaluate", law, "params=7B", "tokens=1T"]) == 0
    assert "if the source states ln A, write A" in capsys.readouterr().err
    scales = {name: math.exp(LOGARITHMS[name]) for name in ("E", "A", "B")}
    right = law_file(tmp_path, "additive", **LOGARITHMS | scales)
    assert validate([right]).files[0].problem is None
    assert not any("logarithms" in caveat for preset in Library().all() for caveat in preset.caveats)


def test_a_loss_curve_in_logarithms_is_questioned(tmp_path):
    """Of an allocation too."""
    law = law_file(tmp_path, "power_allocation", **ISO | {"loss_scale": math.log(72.6)})
    assert "loss_scale look" in validate([law]).files[0].problem


def test_repetition_is_fitted_written_and_planned_with(tmp_path, capsys):
    """R_D and R_N over a base law come back from exact data, and every command takes the file."""
    base = Library().load("muennighoff-2023").law
    assert isinstance(base, Additive)
    rows = ["params,tokens,unique_tokens,loss"]
    scale, power = base.expansion_path()
    for params in (1e8, 4e8, 1.6e9, 6.4e9):
        for unique in (1e9, 4e9, 1.6e10):
            for epochs in (1, 3, 8, 20, 60):
                usable = min(params, scale * unique**power)
                size = usable * worth(params / usable - 1, 8.0)
                loss = base.loss(size, unique * worth(epochs - 1.0, 12.0))
                rows.append(f"{params!r},{unique * epochs!r},{unique!r},{loss!r}")
    runs, law = tmp_path / "runs.csv", tmp_path / "law.toml"
    runs.write_text("\n".join(rows) + "\n")
    words = ["--form", "data_constrained", "--base", "muennighoff-2023", "--samples", "0", "-o", str(law), "-q"]
    assert execute(["fit", str(runs), *words]) == 0
    capsys.readouterr()
    fitted = Library().load(str(law)).law
    assert pytest.approx((12, 8), rel=1e-3) == (fitted.R_D, fitted.R_N)
    assert fitted.loss(1e9, 2e10) == base.loss(1e9, 2e10)
    question = {"params": "1B", "tokens": "100B", "unique_tokens": "10B"}
    plan = sp.loss(preset=str(law), **question)
    assert plan.loss == pytest.approx(sp.evaluate(str(law), **question).value)
    usable = min(1e9, scale * 1e10**power)
    assert plan.effective_tokens == pytest.approx(1e10 * worth(9.0, fitted.R_D), rel=1e-6)
    assert plan.effective_params == pytest.approx(usable * worth(1e9 / usable - 1, fitted.R_N), rel=1e-6)
    assert "carried_over" not in {notice.code for notice in plan.warnings}
    assert sp.optimal(preset=str(law), flops=1e21).params == sp.optimal(preset="muennighoff-2023", flops=1e21).params


def curve_runs(folder, floor=1.6):
    """Write exact runs of L = floor + 72.6*C^-0.0897."""
    path = folder / "curve.csv"
    budgets = np.logspace(18, 20.5, 8)
    rows = [f"{flops:.8e},{floor + 72.6 * flops**-0.0897:.12f}" for flops in budgets]
    path.write_text("flops,loss\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("form", ["offset_power", "shifted_power", "chance_power", "bnsl"])
def test_a_floor_is_held_in_the_fit_of_a_curve(tmp_path, form):
    """The coefficient that y approaches is exactly the floor, in every resample; the rest is fitted."""
    found = sp.fit(curve_runs(tmp_path), form=form, x="flops", y="loss", floor=1.6, samples=20)
    name = "a" if form == "bnsl" else "e"
    assert found.coefficients[name] == 1.6
    assert name not in found.bounds
    assert sp.evaluate(found.preset, flops=1e22).value == pytest.approx(iso_loss(1e22), rel=2e-3)
    lower = sp.fit(curve_runs(tmp_path), form=form, x="flops", y="loss", floor=1.2, samples=0)
    assert lower.coefficients[name] == 1.2


def test_a_floor_that_no_curve_can_have_is_refused(tmp_path):
    """A form without one, and a floor that the runs go below."""
    runs = curve_runs(tmp_path)
    with pytest.raises(UsageError, match="has no floor to hold"):
        sp.fit(runs, form="power", x="flops", y="loss", floor=1.6)
    with pytest.raises(UsageError, match="a floor of 3 is not below the least loss"):
        sp.fit(runs, form="offset_power", x="flops", y="loss", floor=3)
    with pytest.raises(UsageError, match="--floor is for additive, three_exponent and curves"):
        sp.fit(runs, form="kaplan", floor=1.6)


def test_a_curve_is_evaluated_where_it_cannot_plan(tmp_path, capsys):
    """``evaluate`` gives its value, and a command that plans says so."""
    law = tmp_path / "curve.toml"
    words = ["--form", "offset_power", "--x", "flops", "--y", "loss", "--samples", "20", "-o", str(law), "-q"]
    assert execute(["fit", str(curve_runs(tmp_path)), *words]) == 0
    capsys.readouterr()
    assert execute(["evaluate", str(law), "flops=1e22", "--get", "value", "-q"]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(iso_loss(1e22), rel=1e-3)
    assert execute(["optimal", "--flops", "1e22", "--preset", str(law)]) == 2
    assert "'scaleplan evaluate' gives its value" in capsys.readouterr().err


def test_kaplans_loss_of_a_size_on_tokens_is_given():
    """L(N, D) of equation 1.5: 7e9 on 1e12 tokens, by the published constants of Table 2."""
    law = Library().load("kaplan-2020").law
    plan = sp.loss(preset="kaplan-2020", params="7B", tokens="1T")
    assert plan.loss == law.loss(7e9, 1e12) == pytest.approx(2.004, abs=5e-4)
    assert plan.optimum is None
    with pytest.raises(UsageError, match="gives no loss for a chosen size"):
        sp.loss(preset="llama3-2024", params="7B", tokens="1T")


def test_the_batch_regime_is_an_option(capsys):
    """Far below the critical batch a budget counts twice; another law has no regime."""
    words = ["optimal", "--flops", "1e21", "--preset", "kaplan-2020", "--get", "params", "-q"]
    sizes = []
    for regime in ("critical", "small"):
        assert execute([*words, "--batch-regime", regime]) == 0
        sizes.append(int(capsys.readouterr().out))
    assert sizes[1] / sizes[0] == pytest.approx(2**0.73, rel=1e-6)
    assert execute(["optimal", "--flops", "1e21", "--batch-regime", "small"]) == 2
    assert "--batch-regime is for kaplan-2020" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, line",
    [
        (
            ("optimal", "--flops", "1e21"),
            "loss and interval: of this law on MassiveText (SentencePiece, 32,000 entries)",
        ),
        (("loss", "--params", "124M", "--tokens", "10B"), "loss and interval: of this law on MassiveText"),
        (("target", "--loss", "2.5", "--preset", "muennighoff-2023"), "loss: of this law on C4"),
        (("sweep", "--from", "1e20", "--to", "1e21", "--points", "2"), "loss: of this law on MassiveText"),
        (("marginal", "--flops", "1e21"), "loss: of this law on MassiveText"),
        (("evaluate", "chinchilla", "params=1B", "tokens=20B"), "loss and interval: of this law on MassiveText"),
        (("optimal", "--flops", "1e21", "--preset", "gemstones-2025-hot"), "on a text that its source does not name"),
    ],
)
def test_a_published_loss_says_whose_text_it_is_of(words, line, capsys, monkeypatch):
    """One short line under every loss, and that it is not of the user's run."""
    monkeypatch.setenv("COLUMNS", "100")
    assert execute([*words, "-q"]) == 0
    (found,) = [each for each in capsys.readouterr().out.splitlines() if "loss" in each and "of this law on" in each]
    assert line in found
    assert len(found) < 99
    assert found.endswith("not of your run")


def test_the_text_of_a_loss_is_in_the_json_and_not_of_ones_own_runs(tmp_path):
    """Null for a law of one's own runs, and where there is no loss."""
    assert sp.optimal(flops=1e21).to_dict()["loss_text"] == {
        "corpus": "MassiveText",
        "tokenizer": "SentencePiece, 32,000 entries",
    }
    assert sp.optimal(flops=1e21, preset="llama3-2024").loss_text is None
    assert sp.optimal(flops=1e21, preset="gemstones-2025-hot").loss_text.corpus is None
    fitted = sp.fit(curve_runs(tmp_path), form="offset_power", x="flops", y="loss", samples=0).preset
    assert sp.evaluate(fitted, flops=1e22).loss_text is None
