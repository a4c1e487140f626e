"""The commands about training runs, from a file of runs to a plan, as a person and as a script meet them."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.laws.additive import Additive, ThreeExponent

DATA = Path(__file__).parents[2].parent / "shared" / "data"
EPOCH = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024

BUSBRIDGE = ThreeExponent(E=1.220, A=3355.0, alpha=0.408, B=18186.0, beta=0.431, gamma=0.452)  # arXiv:2502.08606

shared = pytest.mark.skipif(not DATA.is_dir(), reason="the folder with other people's runs is not here")


def grid(low=5e7, high=3e9, first=1e9, last=6e10):
    return (axis.ravel() for axis in np.meshgrid(np.geomspace(low, high, 8), np.geomspace(first, last, 8)))


def write(path, params, tokens, loss):
    rows = zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True)
    path.write_text("\n".join(["params,tokens,loss", *(",".join(map(repr, row)) for row in rows)]) + "\n")
    return path


@pytest.fixture
def runs(tmp_path):
    """Return a file of 64 runs of a known law with 0.5 % noise."""
    params, tokens = grid()
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(64))
    return write(tmp_path / "runs.csv", params, tokens, EPOCH.loss(params, tokens) * noise)


def test_from_runs_to_a_plan(cli, runs, tmp_path):
    """``fit -o`` writes a preset that ``optimal``, ``loss``, ``target``, ``sweep`` and ``presets`` accept."""
    law = tmp_path / "my-law.toml"
    fitted = cli("fit", runs, "-o", law, "--samples", "200")
    assert fitted.status == 0
    assert fitted.err.startswith(f"wrote {law} (")
    assert "64 runs, identified" in fitted.out
    assert f"--preset {law}" in " ".join(fitted.out.split())
    plan = cli("optimal", "--preset", law, "--flops", "1e23", "--json", "--quiet").json
    truth = EPOCH.best_split(1e23 / 6)[0]
    assert plan["interval"]["params"][0] < truth < plan["interval"]["params"][1]
    assert plan["params"] == pytest.approx(truth, rel=0.4)  # 100 times beyond the runs; se of ln N* about 0.15
    for arguments in (
        ["loss", "--params", "7B", "--tokens", "1T"],
        ["target", "--loss", "2.1"],
        ["sweep", "--from", "1e20", "--to", "1e22", "--points", "3"],
    ):
        answer = cli(*arguments, "--preset", law, "--quiet")
        assert (answer.status, answer.err) == (0, "")
    assert cli("presets", "validate", law).status == 0


def test_json_holds_everything_with_every_digit(cli, runs):
    """The object has the schema, the coefficients, the diagnosis, and no number that is not JSON."""
    answer = cli("fit", runs, "--samples", "200", "--json", "--report", "--residuals").json
    assert answer["schema"] == "scaleplan/fit/1"
    assert answer["identified"] is True
    assert answer["rows_used"] == 64
    low, high = answer["interval"]["alpha"]
    assert low < answer["coefficients"]["alpha"] < high
    assert answer["range"]["sizes"] == 8
    assert answer["backtest"]["by_factor"]
    assert answer["target"]["schema"] == "scaleplan/plan/1"
    assert len(answer["residuals"]["by_row"]) == 64
    assert len(answer["checklist"]) == 14
    assert [item["name"] for item in answer["variations"]][:2] == ["as fitted", "alpha = beta"]
    assert len(answer["influence"]["beta"]) == 5


def test_one_value_goes_to_a_script(cli, runs):
    """``--get`` prints a bare number."""
    answer = cli("fit", runs, "--samples", "0", "--get", "coefficients.alpha")
    assert float(answer.out) == sp.fit(runs, samples=0).law.alpha


def test_text_rounds_to_the_error_and_tells_the_parts(cli, runs):
    """Coefficients with errors, the plan at the target, ranges, backtest, single runs, simpler forms."""
    out = cli("fit", runs, "--samples", "200", "--report", "--residuals", "--method", "all").out
    for part in (
        "E ",
        " ± ",
        "a = β/(α + β)",
        "at 1.08e22 FLOP, 10x the largest run",
        "the runs cover",
        "8 sizes, 8 token counts",
        "forecasts from the smaller runs",
        "below 70 % of the range of log compute: ",
        "changes most without: row",
        "AICc excess",
        "N* at target",
        "to repeat this fit",
        "without the largest budget",
        "residuals (fitted - observed, log loss) by compute",
    ):
        assert part in out
    assert max(map(len, out.splitlines())) <= 100


@shared
def test_the_outliers_of_the_chinchilla_runs_are_named(cli, tmp_path):
    """All 245 runs: rows 2 to 6 stand apart; without them beta goes from 0.453 to the published 0.367."""
    answer = cli("fit", DATA / "chinchilla_epoch.csv", "--samples", "0", "--json")
    assert answer.json["outliers"]["rows"] == [2, 3, 4, 5, 6]
    assert answer.json["coefficients"]["beta"] == pytest.approx(0.4530, abs=5e-4)
    without = answer.json["outliers"]["without"]
    # the optimum of the objective on the 240 points, to the six digits it is known to
    assert without["alpha"] == pytest.approx(0.347310, abs=2e-5)
    assert without["beta"] == pytest.approx(0.367172, abs=2e-5)
    assert "rows 2-6 stand far from the fit of the others" in answer.err
    left = cli("fit", DATA / "chinchilla_epoch.csv", "--where", "excluded_by_epoch = 0", "--samples", "0", "--json")
    # fitted to losses rounded to 8 digits, so 1e-6 and not the 1e-9 of the unrounded points
    assert left.json["objective"]["score"] == pytest.approx(1.018274018e-3, rel=1e-6)
    assert left.json["outliers"]["rows"] == []


def test_one_ratio_is_said_and_refused(cli, tmp_path):
    """At 20 tokens per parameter alone the split is not identified: said, refused, and predicted along the ray."""
    params = np.geomspace(5e7, 5e9, 24)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(24))
    runs = write(tmp_path / "ray.csv", params, 20 * params, EPOCH.loss(params, 20 * params) * noise)
    law = tmp_path / "ray.toml"
    fitted = cli("fit", runs, "-o", law, "--samples", "200")
    assert "not identified" in fitted.out.splitlines()[0]
    assert "on the line of the runs" in fitted.out
    assert "the line of 20.0 tokens per parameter" in fitted.err
    refused = cli("optimal", "--preset", law, "--flops", "1e22")
    assert refused.status == 2
    assert "must not choose a model size" in refused.err
    plan = cli("loss", "--preset", law, "--params", "20B", "--tokens", "400B", "--json", "--quiet").json
    truth = EPOCH.loss(2e10, 4e11)
    assert plan["interval"]["loss"][0] < truth < plan["interval"]["loss"][1]


def test_a_law_far_from_the_published_one_is_recovered(cli, tmp_path):
    """A noise-free law with N* = 17.4B at 1e21 FLOP comes back to 1e-6; the plan has its vertex, 3 % lower."""
    alpha, beta, product = 0.21, 0.55, 1e21 / 6
    # choose A so that alpha*A/N^alpha = beta*B/D^beta at N = 17.4e9, D = product/N
    data = 9e4
    size = beta * data * (product / 17.4e9) ** -beta / alpha * 17.4e9**alpha
    truth = Additive(E=1.2, A=size, B=data, alpha=alpha, beta=beta)
    params, tokens = grid()
    runs = write(tmp_path / "far.csv", params, tokens, truth.loss(params, tokens))
    answer = cli("fit", runs, "--samples", "50", "--target", "1e21", "--json").json
    found = Additive(**{name: answer["coefficients"][name] for name in ("E", "A", "B", "alpha", "beta")})
    assert found.best_split(product)[0] == pytest.approx(17.4e9, rel=1e-6)
    assert answer["target"]["params"] == pytest.approx(16.9e9, rel=0.01)  # (alpha - beta)/6 of 0.7^2 off the least
    assert answer["coefficients"]["E"] == pytest.approx(1.2, rel=1e-6)


def test_a_floor_that_runs_to_zero_is_said(cli, tmp_path):
    """Losses that do not level off: a warning, and no interval of E, which is zero in every resample."""
    params, tokens = grid()
    loss = Additive(E=0.0, A=20.0, B=300.0, alpha=0.1, beta=0.3).loss(params, tokens) - 0.5
    noise = np.exp(0.002 * np.random.default_rng(0).standard_normal(64))
    answer = cli("fit", write(tmp_path / "zero.csv", params, tokens, loss * noise), "--samples", "200", "--json")
    assert answer.json["coefficients"]["E"] == 0
    assert answer.json["interval"]["E"] is None
    assert "the floor E ran to zero" in answer.err


def test_whole_numbers_that_overflow_64_bits_are_multiplied_as_floats(cli, tmp_path):
    """Sizes of 300B on 10T tokens: 6ND is 1.8e25, beyond 2^63, and the compute is right."""
    params, tokens = (np.round(axis).astype(np.int64) for axis in grid(3e9, 3e11, 1e11, 1e13))
    truth = EPOCH.loss(params.astype(float), tokens.astype(float))
    answer = cli("fit", write(tmp_path / "int.csv", params, tokens, truth), "--samples", "0", "--json").json
    assert answer["range"]["flops"][1] == pytest.approx(1.8e25, rel=1e-9)
    assert answer["coefficients"]["alpha"] == pytest.approx(EPOCH.alpha, rel=1e-6)


def test_the_same_command_writes_the_same_bytes(cli, runs, tmp_path):
    """Presets of two runs of the command are equal byte for byte."""
    places = [tmp_path / name for name in ("a.toml", "b.toml")]
    for place in places:
        assert cli("fit", runs, "-o", place, "--samples", "100", "--seed", "5").status == 0
    assert places[0].read_bytes() == places[1].read_bytes()


def test_each_group_is_written_to_its_own_file(cli, runs, tmp_path):
    """``law-{group}.toml`` makes a file a group, with one pair of exponents."""
    lines = runs.read_text().splitlines()
    rows = (f"{line},{'web' if i % 2 else 'code'}" for i, line in enumerate(lines[1:]))
    runs.write_text("\n".join([f"{lines[0]},data", *rows]))
    answer = cli("fit", runs, "--group", "data", "-o", tmp_path / "law-{group}.toml")
    assert answer.status == 0
    written = [tomllib.loads((tmp_path / f"law-{name}.toml").read_text()) for name in ("code", "web")]
    assert written[0]["coefficients"]["alpha"] == written[1]["coefficients"]["alpha"]
    assert written[0]["coefficients"]["B"] != written[1]["coefficients"]["B"]


@pytest.mark.parametrize("form", ["kaplan", "allocation", "power", "M2", "M3", "M4", "bnsl", "multiplicative"])
def test_every_form_makes_a_valid_preset(cli, runs, tmp_path, form):
    """Each form is fitted from the command line and its file is accepted."""
    law = tmp_path / "law.toml"
    answer = cli("fit", runs, "--form", form, "-o", law, "--samples", "4")
    assert (answer.status, cli("presets", "validate", law).status) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nofile.csv"], "does not exist"),
        (["{runs}", "-o", "nodir/law.toml"], "there is no folder 'nodir'"),
        (["{runs}", "-o", "law.json"], "does not end in .toml"),
        (["{runs}", "-o", "law-{group}.toml"], "does not say one file for each law"),
        (["{runs}", "--form", "aditive"], "unknown form 'aditive'"),
        (["{runs}", "--form", "kaplan", "--tied"], "--tied is for additive and three_exponent"),
        (["{runs}", "--x", "params"], "--x is for curves"),
        (["{runs}", "--form", "power", "--x", "params", "--target", "1e22"], "target is a budget in FLOP"),
        (["{runs}", "--form", "power", "--x", "width"], "unknown column 'width'"),
        (["{runs}", "--form", "data_constrained"], "a law for fresh data is needed"),
        (["{runs}", "--form", "data_constrained", "--base", "chinchilla", "-o", "x.toml"], "distinct tokens"),
        (["{runs}", "--method", "isoflops"], "unknown method 'isoflops'"),
        (["{runs}", "--method", "isoflop", "--where", "tokens < 2e9"], "not an IsoFLOP sweep"),
        (["{runs}", "--samples", "1"], "1 resamples"),
        (["{runs}", "--map", "loss"], "mapping 'loss'"),
        (["{runs}", "--map", "loss=val"], "unknown column 'val'"),
        (["{runs}", "--floor", "-1"], "not a loss of at least 0"),
        (["{runs}", "--floor", "9"], "not between 0 and the smallest loss"),
        (["{runs}", "--robust", "hubert"], "unknown robust function"),
        (["{runs}", "--where", "params < 5.1e7", "--min-flops", "5e18"], "3 rows are too few for 5 coefficients"),
        (["{runs}", "--cluster"], "no column of names"),
        (["{runs}", "--id", "a/b"], "id 'a/b'"),
        (["{runs}", "--params-convention", "all"], "unknown convention of parameters"),
    ],
)
def test_a_wrong_request_is_one_error(cli, runs, arguments, message):
    """What is wrong is said in one message with exit status 2, and nothing goes to standard output."""
    answer = cli("fit", *(argument.replace("{runs}", str(runs)) for argument in arguments))
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert message in answer.err


def test_a_backtest_tells_bias_rms_and_coverage(cli, runs):
    """A headline, a line for each factor of extrapolation, and the cuts, of which the law stands apart."""
    out = cli("backtest", runs).out
    answer = cli("backtest", runs, "--json").json
    overall = answer["overall"]
    inside = round(overall["coverage"] * overall["runs"])
    assert f"of {overall['runs']} predictions {inside} ({100 * overall['coverage']:.2g} %) inside the 90 %" in out
    assert "fewer than chance" not in out
    for part in ("by factor of extrapolation", "by cut, the largest gap first", "the plain law at the same cuts"):
        assert part in out
    assert answer["schema"] == "scaleplan/backtest/1"
    assert [cut["flops"] for cut in answer["cuts"]] == sorted(cut["flops"] for cut in answer["cuts"])
    for cut in answer["cuts"]:
        errors = np.array(cut["errors"])
        assert cut["bias"] == pytest.approx(errors.mean())
        assert cut["rms"] == pytest.approx(np.sqrt((errors**2).mean()))
        assert cut["runs"] + cut["predicted"] == 64
    assert overall["coverage"] >= 0.8
    resampled = cli("backtest", runs, "--samples", "30").out
    assert "inside: the interval of resampling alone" in resampled
    assert "resampling" not in out
    assert max(map(len, (out + resampled).splitlines())) <= 100


def test_a_backtest_whose_intervals_do_not_hold_says_so(cli, tmp_path):
    """Two kinds of run, of which the smaller say nothing of the larger: so do the check of a fit and the backtest."""
    flops, sizes = np.repeat(np.geomspace(1e18, 1e21, 7), 6), np.tile(np.geomspace(0.3, 3, 6), 7)
    params = sizes * np.sqrt(flops / 120)
    tokens = flops / 6 / params
    knee = np.where(flops > 5e19, 0.85, 1.0)
    runs = write(tmp_path / "runs.csv", params, tokens, EPOCH.loss(params, tokens) * knee)
    assert "fewer than chance would leave" in cli("backtest", runs).out
    assert "fewer than chance would leave" in " ".join(cli("fit", runs).out.split())


def test_too_few_runs_for_a_backtest_are_an_error(cli, runs):
    """Nothing can be held out of eight runs."""
    answer = cli("backtest", runs, "--where", "params < 6e7")
    assert answer.status == 2
    assert "none of these 8 runs can be held out" in answer.err


def test_many_runs_of_one_budget_are_not_called_few(cli, tmp_path):
    params = np.geomspace(1e7, 3e8, 30)
    tokens = 1e18 * (1 + 1e-4 * np.arange(30) / 30) / 6 / params
    answer = cli("backtest", write(tmp_path / "runs.csv", params, tokens, EPOCH.loss(params, tokens)))
    assert answer.status == 2
    assert "none of these 30 runs can be held out" in answer.err
    assert "larger ones above" in answer.err


def test_scipy_is_not_imported_to_fit(runs):
    """The fit path needs NumPy alone."""
    code = (
        "import sys; from scaleplan.__main__ import run; "
        f"run(['fit', {str(runs)!r}, '--samples', '50', '--json', '--report']); "
        "sys.exit('scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, json.loads(done.stdout)["rows_used"]) == (0, 64)


def test_points_of_one_run_are_resampled_together(cli, runs):
    """Points that share names are remarked on; ``--cluster`` draws them together, and says so in the file."""
    lines = runs.read_text().splitlines()
    named = [f"{line},run-{i % 8}-{i // 32}" for i, line in enumerate(lines[1:])]  # each of one size
    runs.write_text("\n".join([f"{lines[0]},name", *named]))
    apart = cli("fit", runs, "--samples", "50")
    assert "64 points have 16 names: --last keeps the final row of each, --cluster resamples" in apart.out
    together = cli("fit", runs, "--samples", "50", "--cluster", "--json")
    assert together.json["resampling"]["unit"] == "cluster"
    assert not any("--cluster" in remark for remark in together.json["remarks"])
    few = [f"{line},run-{i % 4}" for i, line in enumerate(lines[1:]) if i % 8 < 4]
    runs.write_text("\n".join([f"{lines[0]},name", *few]))
    found = cli("fit", runs, "--samples", "50").out
    assert "32 points have 4 names: --cluster resamples" in found  # the last rows of four runs make no fit
    grouped = [f"{line},sweep" for line in lines[1:]]
    runs.write_text("\n".join([f"{lines[0]},name", *grouped]))
    assert "--cluster" not in cli("fit", runs, "--samples", "50").out  # of many sizes: no run has this name


def test_fit_and_backtest_agree(cli, tmp_path):
    """Where the check of a fit cuts the runs as the backtest does, its numbers are those of the backtest."""
    budgets, sizes = np.repeat(np.geomspace(1e18, 1e20, 5), 12), np.tile(np.geomspace(0.3, 3, 6), 10)
    params = sizes * np.sqrt(budgets / 120)
    tokens = budgets / 6 / params
    noise = np.exp(0.005 * np.random.default_rng(1).standard_normal(60))
    runs = write(tmp_path / "runs.csv", params, tokens, EPOCH.loss(params, tokens) * noise)
    fitted, tested = cli("fit", runs, "--json").json["backtest"], cli("backtest", runs, "--json").json
    cuts = {cut["flops"]: cut for cut in tested["cuts"]}
    assert [cut["share"] for cut in fitted["cuts"]] == [0.7]  # the budgets below 50 % are the same
    for cut in fitted["cuts"]:
        assert {**cut, "share": None} == cuts[cut["flops"]]
    assert fitted["rms_inside"] == tested["rms_inside"]


def test_a_fit_replaces_only_what_a_fit_wrote(cli, runs):
    """A law of its own, with a warning; any other file stays, and so does the file that it reads."""
    fit = ("fit", runs, "--samples", "0", "-o")
    assert "replaced" not in cli(*fit, "law.toml").err
    assert "warning: replaced 'law.toml'\n" in cli(*fit, "law.toml").err
    for name, text in (("project.toml", "[project]\nname = 'x'\n"), ("broken.toml", "[")):
        Path(name).write_text(text)
        found = cli(*fit, name)
        assert (found.status, found.out) == (2, "")
        assert "was not written by fit" in found.err
        assert Path(name).read_text() == text
    Path("runs.toml").write_bytes(runs.read_bytes())
    assert "reads this file" in cli("fit", "runs.toml", "-o", "./runs.toml").err
    Path("empty.toml").touch()
    assert cli(*fit, "empty.toml").status == 0


def test_two_groups_never_share_a_file(cli, runs):
    """Names that differ in what no file's name can hold would overwrite each other: nothing is written."""
    head, *rows = runs.read_text().splitlines()
    lines = [f"{head},corpus", *(f"{row},{name}" for name in ("a/b", "A-b") for row in rows)]
    Path("two.csv").write_text("\n".join(lines))
    found = cli("fit", "two.csv", "--group", "corpus", "--samples", "0", "-o", "law-{group}.toml")
    assert (found.status, found.out) == (2, "")
    assert "'a/b' and 'A-b'" in found.err
    assert not [*Path().glob("law-*")]


def test_files_of_groups_are_written_together(cli, runs, monkeypatch):
    """A disk that is full at the second file has none of them."""
    head, *rows = runs.read_text().splitlines()
    lines = [f"{head},corpus", *(f"{row},{name}" for name in ("web", "books") for row in rows)]
    Path("two.csv").write_text("\n".join(lines))
    real, renamed = Path.replace, []

    def failing(self, target):
        if renamed:
            raise OSError(28, "No space left on device")
        renamed.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    found = cli("fit", "two.csv", "--group", "corpus", "--samples", "0", "-o", "law-{group}.toml")
    assert found.status == 2
    assert "no space left" in found.err
    assert len(renamed) == 1
    assert not [*Path().glob("law-*")]


@pytest.mark.parametrize(
    ("law", "verdict"),
    [(BUSBRIDGE, "no simpler form explains the runs as well"), (EPOCH, "explains the runs as well, ")],
    ids=["with gamma", "without"],
)
def test_aicc_alone_advises_no_simpler_form(cli, tmp_path, law, verdict):
    """Where it finds one as good, the sentence goes on with how it predicts the largest runs from the rest."""
    params, tokens = grid()
    noise = np.exp(0.003 * np.random.default_rng(1).standard_normal(64))
    path = write(tmp_path / "runs.csv", params, tokens, law.loss(params, tokens) * noise)
    found = cli("fit", path, "--form", "three_exponent", "--samples", "0", "--json")
    (tmp_path / "fit.json").write_text(found.out)
    text = " ".join(cli("show", tmp_path / "fit.json").out.split())
    assert found.json["formula"] == "L = E + (A/N^alpha + B/D^beta)^gamma"
    assert verdict in text
    assert ("held out" in text) == ("predicts the largest from the rest" in text) == (law is EPOCH)


def test_the_text_tells_what_to_cite_what_to_plan_with_and_what_comes_next(cli, runs, tmp_path):
    """Six digits without errors, plans by the forecast, its check before the ranges, and a plan of the target."""
    law = tmp_path / "law.toml"
    found = cli("fit", runs, "-o", law)
    text = " ".join(found.out.split())
    misfit = re.search(r"law off by ([\d.]+) % of the loss \(rms\)", text)
    assert (
        f"the coefficients are for citing; plans are made by a forecast, which corrects the law by {misfit[1]} %"
        in text
    )
    size = sp.fit(runs).law.A
    assert f"{size:.6g}\n" in found.out
    assert f"{size:.7g}" not in found.out
    order = [found.out.index(title) for title in ("forecast at 1.08e22 FLOP", "check: forecasts", "the runs cover")]
    assert order == sorted(order)
    shares = [int(share) for share in re.findall(r"(\d+) % (?:what|the coeff|how|the noise)", text)]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(100, abs=2)
    assert shares == sorted(shares, reverse=True)
    assert f"plan with it: scaleplan optimal --flops 1.08e22 --preset {law}" in text
    shown = cli("presets", "show", law)
    assert "by a forecast: a law with a correction" in " ".join(shown.out.split())


def test_a_target_beyond_what_the_runs_vouch_for_is_a_point_and_says_so(cli, runs):
    """In the headline and beside the point, which has no interval of its size; nearer it has one, with a caution."""
    text = " ".join(cli("fit", runs, "--target", "1e28").out.split())
    assert "not identified (N* at 1e28 FLOP not known)" in text
    assert "beyond what the runs of the law can vouch for" in text
    text = " ".join(cli("fit", runs, "--target", "1e25").out.split())
    assert "identified (N* at 1e25 FLOP within a factor of" in text
    assert "more than 100x the largest run: its interval is that of the model" in text


def test_a_design_takes_its_runs_either_way_and_its_target_by_two_names(cli, runs):
    """``--runs`` is the argument as an option, ``--main`` is ``--target``; without --flops as much as is worth it."""
    one = cli("design", runs, "--target", "1e22", "--json").json
    other = cli("design", "--runs", runs, "--main", "1e22", "--json").json
    assert one == other
    assert one["flops"] == one["worth"]["stop_flops"] > 0
    refused = cli("design", runs, "--runs", runs, "--main", "1e22")
    assert refused.status == 2
    assert "both name runs" in refused.err
    text = cli("design", "--runs", runs, "--flops", "1e19", "--main", "1e22").out
    first = text.splitlines()[1]
    assert first.startswith("worth it up to ")
    assert first.endswith("less than they cost")
    free = cli("design", "--runs", runs, "--main", "1e22").out.splitlines()[1]
    assert free.startswith("worth it: up to ")
    for said in ("bounds: ", "each run costs 1e16 FLOP", "what further pilots save", "fit them for the target"):
        assert said in text
    tables = [line for line in text.splitlines() if line.startswith("  ") and line.endswith(("%", "FLOP", "–"))]
    assert max(map(len, tables)) <= 80


def test_a_design_saved_by_an_older_version_is_shown(cli, tmp_path):
    """It has neither bounds, aim nor worth, and errors without a misfit alone."""
    saved = cli("design", "--flops", "1e20", "--target", "1e22", "--json").json
    for key in ("aim", "run_cost", "misfit", "bounds", "worth"):
        del saved[key]
    for errors in (saved["after"], *(rival["precision"] for rival in saved["rivals"])):
        for key in ("log_params_by_law", "log_loss_by_law", "waste", "wasted_flops"):
            del errors[key]
    file = tmp_path / "design.json"
    file.write_text(json.dumps(saved))
    shown = cli("show", file)
    assert shown.status == 0
    assert "by local linearisation of besiroglu-2024" in " ".join(shown.out.split())
    assert "bounds: " not in shown.out


def test_a_law_in_place_of_runs_is_named_as_such(cli, runs, tmp_path):
    """Every command that reads runs says that the file is none, and which option takes it."""
    law = tmp_path / "law.toml"
    assert cli("fit", runs, "-o", law).status == 0
    for words in (
        ("fit", law),
        ("backtest", law),
        ("design", law, "--flops", "1e20", "--target", "1e23"),
        ("plot", "forecast", law),
    ):
        found = cli(*words)
        assert (found.status, found.out) == (2, "")
        assert "law.toml: this is a TOML file" in found.err
        assert "--preset" in found.err


def test_doubts_of_one_headline_share_their_way_out(cli, tmp_path):
    """Two signs of a ladder that forecasts have missed on say so once; two options stand side by side."""
    params, tokens = grid(low=1e5, high=4e6, first=1e7, last=1e9)
    path = write(tmp_path / "ladder.csv", params, tokens, EPOCH.loss(params, tokens))
    layers = np.searchsorted(np.unique(params), params) + 2
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},layers", *(f"{row},{deep}" for row, deep in zip(rows, layers, strict=True))]))
    title = " ".join(cli("fit", path).out.split("\n\n")[0].split())
    assert "of very small models and of shapes that change (" in title
    assert title.count("forecasts of such ladders have missed larger runs") == 1


def test_many_outliers_are_counted_and_named_by_the_option_alone(cli, runs):
    """Up to six are named twice; of one the sentence is in the singular."""
    lines = runs.read_text().splitlines()

    def warned(rows):
        changed = [
            line if i not in rows else ",".join([*line.split(",")[:2], str(2 * float(line.split(",")[2]))])
            for i, line in enumerate(lines, 1)
        ]
        runs.with_name("more.csv").write_text("\n".join(changed))
        return cli("fit", runs.with_name("more.csv"), "--keep", "diverged").err

    assert "row 30 stands far from the fit of the others and was used; --drop-rows 30 leaves it out" in warned({30})
    assert "rows 20, 30 stand far" in warned({20, 30})
    many = warned({7, 14, 21, 28, 35, 42, 49})
    assert "7 rows stand far from the fit of the others and were used; --drop-rows 7,14,21,28,35,42,49 leaves" in many


@shared
def test_a_fit_of_repeated_data_is_not_told_to_be_one(cli):
    """The form that counts repeats has no warning that it does not, and the additive one has."""
    words = ("fit", DATA / "datablations.csv", "--samples", "0", "--where", "in_published_fit = 1")
    repeated = cli(*words, "--form", "data_constrained", "--base", "besiroglu-2024")
    assert repeated.status == 0
    assert "repeat their data" not in repeated.err + repeated.out
    assert "repeat their data, up to 9,000 times" in cli(*words).err


def test_a_group_plans_by_the_forecast_of_its_runs(cli, runs, tmp_path):
    """The exponents are shared, and the plan is the one that the group's runs give by themselves, with intervals."""
    head, *rows = runs.read_text().splitlines()
    lines = [head + ",corpus"]
    for name, factor in (("web", 1.0), ("code", 0.6)):
        for row in rows:
            params, tokens, loss = row.split(",")
            lines.append(f"{params},{tokens},{factor * float(loss)!r},{name}")
    path = tmp_path / "two.csv"
    path.write_text("\n".join(lines))
    grouped = cli("fit", path, "--group", "corpus", "-o", tmp_path / "law-{group}.toml")
    text = " ".join(grouped.out.split())
    assert text.count("identified (N* at 1.08e22 FLOP within a factor of") == 2
    assert text.count("forecast at 1.08e22 FLOP: ") == 2
    assert cli("fit", path, "--where", "corpus = code", "-o", tmp_path / "code.toml").status == 0
    plans = [
        cli("optimal", "--flops", "1e22", "--preset", tmp_path / name, "--json", "-q").json
        for name in ("law-code.toml", "code.toml")
    ]
    for key in ("params", "loss", "interval"):
        assert plans[0][key] == plans[1][key]
    assert plans[0]["interval"]["params"] is not None
