"""A fitted law becomes a preset file that says everything and that plans as the fit does."""

import tomllib

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import FileError, UsageError
from scaleplan.fitting.runs import Points, row_text
from scaleplan.laws.additive import Additive
from scaleplan.presets.library import read_preset


@pytest.fixture
def file(tmp_path, sweep):
    """Return a function that writes a sweep (or given columns) as a CSV file."""

    def write(name="runs.csv", *, points=None, header="params,tokens,loss", **made):
        points = points or sweep(**made)
        columns = zip(points.params.tolist(), points.tokens.tolist(), points.loss.tolist(), strict=True)
        path = tmp_path / name
        path.write_text("\n".join([header, *(",".join(map(repr, row)) for row in columns)]) + "\n")
        return path

    return write


def test_the_preset_reads_back_as_the_same_law(file, tmp_path):
    """Coefficients and covariance survive the file with every digit, and the planner gives the same plan."""
    fitted = sp.fit(file(noise=0.005), samples=200)
    path = fitted.write(tmp_path / "law.toml")
    preset = read_preset(path)
    assert preset.published == fitted.law
    assert preset.law == preset.forecast == fitted.forecast
    assert preset.uncertainty == fitted.preset.uncertainty
    plan = sp.optimal(preset=str(path), flops="1e23")
    assert plan.to_dict() == sp.optimal(preset=fitted.preset, flops="1e23").to_dict()


def test_equal_runs_and_settings_give_equal_bytes(file):
    """Two fits give the same text; another seed another covariance and the same coefficients."""
    path = file(noise=0.005)
    first, again, other = (sp.fit(path, samples=100, seed=seed).to_toml() for seed in (3, 3, 4))
    assert first == again
    assert first != other
    assert tomllib.loads(first)["coefficients"] == tomllib.loads(other)["coefficients"]


def test_the_covariance_is_that_of_the_five_coordinates(file):
    """Logs of the scales and the floor, and both exponents, from the resamples."""
    fitted = sp.fit(file(noise=0.005), samples=300)
    known = fitted.uncertainty
    assert known.parameters == ("ln A", "ln B", "ln E", "alpha", "beta")
    draws = fitted.diagnosis.resamples.coordinates()
    np.testing.assert_allclose(known.covariance, np.cov(draws, rowvar=False), rtol=1e-12)
    assert known.samples == 300
    assert known.backtest is None  # a forecast knows what the law misses already


def test_resamples_of_the_coefficients_change_no_plan(file):
    """They are those of the law that people cite; the forecast needs none."""
    path = file(noise=0.02)
    without, resampled = sp.fit(path), sp.fit(path, samples=200)
    assert (without.uncertainty, resampled.uncertainty is None) == (None, False)
    assert without.plan().to_dict() == resampled.plan().to_dict()


def test_a_forecast_says_what_the_law_misses_and_where(file, sweep):
    """Of losses that wave about a law by 3 %, slowly along the tokens per parameter: its size and place, in JSON."""
    points = sweep(noise=0.001)
    wave = 0.03 * np.cos(1.5 * np.log(points.tokens / points.params / 20))
    path = file(points=Points.of(points.params, points.tokens, points.loss * np.exp(wave), flops=points.flops))
    found, plain = (sp.fit(each).to_dict()["forecast"] for each in (path, file("plain.csv", points=points)))
    assert found["misfit"] > 0.005 > 5 * plain["misfit"]
    place = found["largest_misfit"]
    at = np.flatnonzero(np.isclose(points.flops, place["flops"], rtol=1e-6))
    assert np.min(np.abs(points.tokens[at] / points.params[at] / place["tokens_per_param"] - 1)) < 1e-6
    assert sum(found["shares"].values()) == pytest.approx(1.0)
    assert sum(member["weight"] for member in found["members"]) == pytest.approx(1.0)
    assert found["known_within"] > 1.0


def test_the_file_says_where_the_law_comes_from(file):
    """File, hash, columns, rows used and dropped with reasons, settings, seed and scores stand in [fit]."""
    path = file(noise=0.005)
    path.write_text(path.read_text() + "1e9,1e10,nan\n1e9,1e10,0\n")
    fitted = sp.fit(path, samples=50, seed=7, where=["params >= 6e7"], corpus="mine", id="my-law")
    told = tomllib.loads(fitted.to_toml())
    assert (told["id"], told["status"], told["form"]) == ("my-law", "refit", "additive")
    assert told["conventions"]["corpus"] == "mine"
    fit = told["fit"]
    assert fit["file"] == "runs.csv"
    assert len(fit["sha256"]) == 64
    assert fit["columns"] == {"params": "params", "tokens": "tokens", "loss": "loss"}
    assert fit["reading"] == {"where": ["params >= 6e7"]}
    assert (fit["rows_used"], fit["samples"], fit["seed"]) == (56, 50, 7)
    dropped = {item["reason"]: (item["count"], item["rows"]) for item in fit["dropped"]}
    assert dropped["missing_loss"] == (1, "66")
    assert dropped["zero_loss"] == (1, "67")
    assert dropped["filtered"][0] == 8  # one size of eight
    assert fit["scores"]["objective"] == fitted.score
    assert told["range"]["params"] == [fitted.runs.params.min(), fitted.runs.params.max()]


def test_one_ratio_is_refused_and_still_predicted_along(file, tmp_path):
    """All runs at 20 tokens per parameter: the file refuses to choose D/N, and gives the loss along the ray."""
    law = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
    params = np.geomspace(5e7, 5e9, 24)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(24))
    ray = Points.of(params, 20 * params, law.loss(params, 20 * params) * noise)
    path = sp.fit(file(points=ray), samples=200).write(tmp_path / "ray.toml")
    preset = read_preset(path)
    assert not preset.allocates
    assert "20.0 tokens per parameter" in preset.refusal
    assert preset.uncertainty.draws  # a covariance would not describe coefficients that run away
    with pytest.raises(UsageError, match="must not choose"):
        sp.optimal(preset=preset, flops="1e22")
    plan = sp.loss(preset=preset, params=2e10, tokens=4e11)
    truth = law.loss(2e10, 4e11)
    assert plan.loss == pytest.approx(truth, rel=0.01)  # three times its noise, at 16 times the largest run
    assert plan.interval.loss[0] < truth < plan.interval.loss[1]
    assert plan.interval.loss[1] - plan.interval.loss[0] < 0.2


def test_a_floor_near_zero_is_written_as_draws(file, sweep):
    """Where some resamples have E = 0 a logarithm does not exist and a covariance misleads: draws are written."""
    points = sweep(Additive(E=0.3, A=20.0, B=300.0, alpha=0.1, beta=0.3), noise=0.01)
    fitted = sp.fit(file(points=points), samples=200)
    assert fitted.uncertainty.parameters == ("ln A", "ln B", "E", "alpha", "beta")
    floors = [draw[2] for draw in fitted.uncertainty.draws]
    assert min(floors) == 0 < max(floors)
    plan = sp.loss(preset=fitted.preset, params="10B", tokens="160B")
    assert plan.interval.loss[0] < plan.loss < plan.interval.loss[1]


def test_a_floor_at_zero_is_said_in_every_plan(file, sweep):
    """E on its bound in every resample does not vary; the other four do, and each plan repeats the warning."""
    points = sweep(Additive(E=0.0, A=20.0, B=300.0, alpha=0.1, beta=0.3), noise=0.002)
    lower = Points.of(points.params, points.tokens, points.loss - 0.5)  # as if the floor were at -0.5
    fitted = sp.fit(file(points=lower), samples=100)
    assert fitted.law.E == 0
    assert fitted.uncertainty.parameters == ("ln A", "ln B", "alpha", "beta")
    plan = sp.loss(preset=fitted.preset, params="10B", tokens="160B")
    assert any("floor E ran to zero" in notice.message for notice in plan.warnings)
    assert plan.interval.loss[0] < plan.loss < plan.interval.loss[1]


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        ({"floor": 1.8}, ("ln A", "ln B", "alpha", "beta")),
        ({"tied": True}, ("ln A", "ln B", "ln E", "alpha", "beta")),
    ],
)
def test_reduced_fits_are_written_with_what_varies(file, words, parameters):
    """A fixed floor does not vary; tied exponents vary together; the planner takes both."""
    fitted = sp.fit(file(noise=0.005), samples=100, **words)
    assert fitted.uncertainty.parameters == parameters
    plan = sp.optimal(preset=fitted.preset, flops="1e23")
    assert plan.interval.params[0] < plan.params < plan.interval.params[1]


@pytest.mark.parametrize(
    ("column", "convention"),
    [("params", "total"), ("non_emb_params", "non_embedding"), ("active_params", "active")],
)
def test_the_name_of_the_column_says_how_parameters_are_counted(file, column, convention):
    """A column of non-embedding or active parameters makes a preset of that convention."""
    fitted = sp.fit(file(noise=0.005, header=f"{column},tokens,loss"), samples=0)
    assert fitted.preset.conventions.params == convention
    assert fitted.preset.uncertainty is None  # without resamples nothing is known of the errors


def test_groups_and_corrections_are_no_single_law(file, tmp_path):
    """A grouped fit is refused as one file, and each member is written by itself with its group in the id."""
    path = file(noise=0.005)
    lines = path.read_text().splitlines()
    grouped = [f"{lines[0]},data", *(f"{line},{'web' if i % 2 else 'code'}" for i, line in enumerate(lines[1:]))]
    path.write_text("\n".join(grouped))
    fitted = sp.fit(path, group="data")
    with pytest.raises(UsageError, match="one law a group"):
        fitted.to_toml()
    assert {member.preset.id for member in fitted.members} == {"runs-web", "runs-code"}
    alphas = {member.law.alpha for member in fitted.members}
    assert len(alphas) == 1


def test_a_place_that_cannot_be_written_is_an_error_and_leaves_nothing(file, tmp_path):
    """No file and no temporary neighbour is left behind."""
    fitted = sp.fit(file(noise=0.005), samples=0)
    with pytest.raises(FileError, match="cannot write"):
        fitted.write(tmp_path / "nowhere" / "law.toml")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["runs.csv"]


def test_rows_are_written_as_ranges():
    """Consecutive rows are joined."""
    assert row_text([2, 3, 4, 9, 12, 11]) == "2-4, 9, 11-12"
    assert row_text([]) == ""
