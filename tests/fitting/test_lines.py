"""Runs on one line of (params, tokens): every answer keeps to it, and the form that they do determine is named."""

import math
from pathlib import Path

import numpy as np
import pytest
from tests.fitting.synthetic import LAWS
from tests.fitting.test_fitted_presets import answered

import scaleplan as sp
from scaleplan.errors import ScaleplanError
from scaleplan.fitting.diagnosed_fit import fit_points
from scaleplan.fitting.diagnosis import find_line
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Coordinates
from scaleplan.laws.base import Cost
from scaleplan.presets.library import read_preset
from scaleplan.presets.preset import Line

SIZES = np.geomspace(2e7, 8e9, 10)
LINES = {
    "one token count": (SIZES, np.full(10, 3e11), "params"),
    "two token counts that differ by rounding": (SIZES, np.tile([3e11, 2.995e11], 5), "params"),
    "one size": (np.full(10, 1e9), np.geomspace(2e9, 9e11, 10), "tokens"),
    "one ratio": (SIZES, 20 * SIZES, "flops"),
    "one ratio, rounded": (SIZES, 20 * SIZES * np.exp(0.03 * np.cos(np.arange(10))), "flops"),
    "a power": (SIZES, 3e9 * (SIZES / 2e7) ** 1.3, "flops"),
    "a curve": (SIZES, 1e9 * np.exp(0.7 * np.log(SIZES / 2e7) + 0.08 * np.log(SIZES / 2e7) ** 2), "flops"),
    "one budget": (SIZES / 20, 3e18 / SIZES, None),
}
"""Sizes, token counts, and the input of the curve that such runs determine."""


def written(path, params, tokens, *, noise=0.002, law=LAWS["even"]):
    """Write runs of a law with an error that alternates, and return the path."""
    loss = law.loss(params, tokens) * np.exp(noise * np.cos(2.3 * np.arange(len(params))))
    rows = [f"{n:.8g},{d:.8g},{value:.6g}" for n, d, value in zip(params, tokens, loss, strict=True)]
    path.write_text("\n".join(["params,tokens,loss", *rows]) + "\n")
    return path


@pytest.fixture(scope="module", params=LINES)
def fitted(request, tmp_path_factory):
    """Return the runs of one line, their fit, and the preset file."""
    params, tokens, x = LINES[request.param]
    folder = tmp_path_factory.mktemp("line")
    path = written(folder / "runs.csv", params, tokens)
    found = sp.fit(path, samples=40)
    return params, tokens, x, found, str(found.write(folder / "law.toml"))


def test_no_answer_leaves_the_line(fitted):
    """On the line there is a loss; beside it, and wherever a law would choose, there is none."""
    params, tokens, _, _, preset = fitted
    plan = sp.loss(preset=preset, params=params[4], tokens=tokens[4])
    truth = LAWS["even"].loss(params[4], tokens[4])
    assert plan.loss == pytest.approx(truth, rel=0.01)
    assert 0 < plan.interval.loss[0] < plan.interval.loss[1] < math.inf
    asked = [
        lambda: sp.loss(preset=preset, params=params[4], tokens=tokens[4] / 10),
        lambda: sp.loss(preset=preset, params=params[4] * 10, tokens=tokens[4] * 1.3),
        lambda: sp.evaluate(preset, params=params[4], tokens=tokens[4] / 10),
        lambda: sp.optimal(preset=preset, flops="1e21"),
        lambda: sp.optimal(preset=preset, flops=np.array([1e20, 1e21])),
        lambda: sp.target(preset=preset, loss=2.3),
        lambda: sp.sweep(preset=preset, start="1e20", stop="1e21"),
    ]
    if tokens[4] == tokens[5]:
        asked.pop(1)
        asked.append(lambda: sp.loss(preset=preset, params=params[4] * 10, tokens=tokens[4] * 2))
    if params[4] == params[5]:
        asked[0] = asked[2] = lambda: sp.loss(preset=preset, params=params[4] * 3, tokens=tokens[4])
    for question in asked:
        with pytest.raises(ScaleplanError):
            question()


def test_the_fit_names_the_line_and_what_the_runs_determine(fitted):
    """The headline form of such runs is a curve, named as a command; its own plan stays on the line."""
    params, tokens, x, found, preset = fitted
    assert not found.identified
    assert found.line is not None
    assert all(found.line.holds(n, d) for n, d in zip(params.tolist(), tokens.tolist(), strict=True))
    assert read_preset(Path(preset)).line == found.line
    assert found.to_dict(report=True)["variations"] == []
    told = " ".join(found.remarks)
    if x is None:
        assert "a second budget" in told
        assert found.plan() is None
        return
    assert f"--form offset_power --x {x}" in told
    plan = found.plan()
    assert plan is None or found.line.holds(plan.params, plan.tokens)
    curve = sp.fit(Path(preset).parent / "runs.csv", form="offset_power", x=x, samples=20)
    assert curve.coefficients["c"] > 0


def test_a_plan_with_one_side_fixed_on_the_line_is_answered(tmp_path):
    """At 300B tokens each budget has its size; nothing is said of what other token counts would gain."""
    path = written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11))
    preset = str(sp.fit(path, samples=50).write(tmp_path / "law.toml"))
    plan = sp.optimal(preset=preset, flops="1e22", tokens="300B")
    assert plan.params == pytest.approx(1e22 / 6 / 3e11)
    assert (plan.near_optimal, plan.optimum, plan.binding) == (None, None, ())
    with pytest.raises(ScaleplanError, match="the line of 300B tokens"):
        sp.optimal(preset=preset, flops="1e22", tokens="100B")
    with pytest.raises(ScaleplanError, match="the line of 300B tokens"):
        sp.optimal(preset=preset, flops=np.array([1e21, 1e22]), tokens="100B")
    assert len(sp.optimal(preset=preset, flops=np.array([1e21, 1e22]), tokens="300B").params) == 2


@pytest.mark.parametrize("form", ["kaplan", "additive"])
def test_every_surface_keeps_to_the_line(tmp_path, form):
    """Also a form without a diagnosis, and each group of a grouped fit."""
    path = written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11))
    preset = str(sp.fit(path, form=form, samples=20).write(tmp_path / "law.toml"))
    with pytest.raises(ScaleplanError, match="the line of 300B tokens"):
        sp.loss(preset=preset, params="1B", tokens="30B")


def test_no_method_finds_a_split_on_a_line(tmp_path):
    """The envelope refuses, and methods are not set side by side."""
    path = written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11))
    with pytest.raises(ScaleplanError, match="the line of 300B tokens"):
        sp.fit(path, method="envelope")
    assert sp.fit(path, method="all", samples=0).approaches == ()


def test_inputs_that_change_together_have_no_exponents_of_their_own(tmp_path):
    """A product of powers of a constant, or of two columns in step, is refused with the way out."""
    path = written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11))
    with pytest.raises(ScaleplanError, match="tokens has one value"):
        sp.fit(path, form="multiplicative", x="params,tokens")
    path = written(tmp_path / "runs.csv", SIZES, 20 * SIZES)
    with pytest.raises(ScaleplanError, match="params and tokens change together"):
        sp.fit(path, form="multiplicative", x="params,tokens")


def test_designs_that_fill_the_plane_are_no_line():
    """Two ratios, two budgets, an L of one size and one token count, a grid."""
    ell = (np.append(SIZES, np.full(6, 1e9)), np.append(np.full(10, 3e11), np.geomspace(1e9, 1e11, 6)))
    designs = [
        (np.tile(SIZES, 2), np.append(5 * SIZES, 40 * SIZES)),
        (np.tile(SIZES, 2), np.append(1e19 / SIZES, 5e19 / SIZES)),
        ell,
        tuple(axis.ravel() for axis in np.meshgrid(SIZES[::3], SIZES[::3] * 20)),
    ]
    for params, tokens in designs:
        assert find_line(Points.of(params, tokens, np.ones(len(params)))) is None


def test_two_levels_of_tokens_do_not_tell_the_floor():
    """E, B and beta are three unknowns of two token counts, so no split is advised; one given floor would do."""
    params, tokens = np.tile(SIZES, 2), np.append(np.full(10, 3e11), np.full(10, 1e11))
    points = Points.of(params, tokens, LAWS["even"].loss(params, tokens))
    assert "few_levels" in {flag.code for flag in fit_points(points, samples=0).flags}
    held = fit_points(points, samples=0, coordinates=Coordinates(floor=LAWS["even"].E))
    assert "few_levels" not in {flag.code for flag in held.flags}


def test_a_line_is_measured_in_the_logarithms():
    """Straight lines go on, curves end; the factor beside is 1 on them."""
    ray = Line(params=(1e8, 1e10), tokens=(2e9, 2e11), within=1.1)
    assert ray.factor(1e12, 2e13) == pytest.approx(1.0)
    assert ray.factor(1e9, 4e10) == pytest.approx(math.exp(math.log(2) / math.sqrt(2)))
    assert ray.nearest(1e9, 1e9) == pytest.approx((1e9, 2e10))
    assert ray.at(6 * 1e9 * 2e10, Cost()) == pytest.approx((1e9, 2e10))
    bent = Line(params=(1e8, 1e9, 1e10), tokens=(1e9, 1e10, 1e12), within=1.1)
    assert not bent.holds(1e11, 1e14)
    assert bent.at(1e30, Cost()) is None


@pytest.mark.parametrize("key", ["params = [1e9]", "params = [1e9, -1]", "within = 0.5", "other = 1"])
def test_a_damaged_line_is_refused(tmp_path, key):
    """The file and the key are named."""
    path = written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11))
    preset = str(sp.fit(path, samples=20).write(tmp_path / "law.toml"))
    name = key.partition(" ")[0]
    text = Path(preset).read_text()
    start = text.index("[line]")
    lines = text[start:].split("\n")
    lines = [lines[0], key, *(line for line in lines[1:] if not line.startswith(f"{name} ="))]
    Path(preset).write_text(text[:start] + "\n".join(lines))
    with pytest.raises(ScaleplanError, match="line"):
        sp.loss(preset=preset, params="1B", tokens="300B")


def test_pictures_designs_and_checks_keep_to_the_line(tmp_path, monkeypatch):
    """What needs more than the line is refused, and a check plans a run on it and none beside it."""
    monkeypatch.chdir(tmp_path)
    sp.fit(written(tmp_path / "runs.csv", SIZES, np.full(10, 3e11)), samples=20).write(tmp_path / "law.toml")
    with pytest.raises(ScaleplanError, match="this needs more"):
        sp.design(preset="law.toml", flops="1e20", target="1e22")
    policy = '\n[policy]\nerror = ["loss <= 9"]\n'
    for tokens, status in (("300B", 0), ("30B", 2)):
        text = f'[[run]]\nname = "a"\npreset = "law.toml"\nparams = "1B"\ntokens = "{tokens}"\n{policy}'
        (tmp_path / "scaleplan.toml").write_text(text)
        code, out, err = answered("check")
        assert code == status, (out, err)
        assert ("300B tokens" in " ".join((out + err).split())) is (status == 2), out


STRIPS = {
    "two token counts": (np.tile(SIZES, 2), np.repeat([3e11, 6e11], 10), (1e9, 4e11), (1e9, 6e10)),
    "two sizes": (np.repeat([1e8, 4e8], 8), np.tile(np.geomspace(1e9, 3e10, 8), 2), (2e8, 1e10), (1e9, 1e10)),
}
"""Sizes and token counts, a plan between the two levels, and one beyond them."""


@pytest.mark.parametrize("strip", STRIPS)
def test_a_law_of_two_levels_holds_between_them(tmp_path, strip):
    """Between two sizes, or token counts, the loss is that of the law; beyond them there is none."""
    params, tokens, inside, outside = STRIPS[strip]
    found = sp.fit(written(tmp_path / "runs.csv", params, tokens), samples=40)
    preset = str(found.write(tmp_path / "law.toml"))
    plan = sp.loss(preset=preset, params=inside[0], tokens=inside[1])
    assert plan.loss == pytest.approx(LAWS["even"].loss(*inside), rel=0.01)
    with pytest.raises(ScaleplanError, match=r"the strip of (300B to 600B tokens|100M to 400M parameters)"):
        sp.loss(preset=preset, params=outside[0], tokens=outside[1])
    assert found.plan().loss > 0
    held = sp.fit(written(tmp_path / "runs.csv", params, tokens), samples=0, tied=True)
    assert held.line is None


def test_a_form_that_ended_on_a_bound_chooses_no_split(tmp_path):
    """Six runs do not tell Kaplan's four coefficients: at ten times the largest a split of 0.14 was advised."""
    path = tmp_path / "runs.csv"
    path.write_text(
        "params,tokens,loss\n"
        "5.39e+07,2.22e+10,3.1291\n"
        "6.759e+08,1.578e+10,2.6106\n"
        "1.993e+08,3.154e+09,3.1175\n"
        "5.183e+07,7.493e+09,3.3000\n"
        "3.079e+08,7.542e+09,2.8518\n"
        "9.869e+08,1.357e+09,3.0784\n"
    )
    found = sp.fit(path, form="kaplan")
    assert found.bounds == ("alpha_D",)
    assert "ended on a bound" in found.refusal
    largest = np.argmax(found.runs.flops)
    ratio = found.runs.tokens[largest] / found.runs.params[largest]
    assert found.plan().tokens_per_param == pytest.approx(ratio)
    with pytest.raises(ScaleplanError, match="must not choose a model size"):
        sp.optimal(preset=str(found.write(tmp_path / "law.toml")), flops=1e21)
