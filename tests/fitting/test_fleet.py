"""A law for every group and metric of a table: each is what a fit to it alone gives, by any number of processes."""

import csv
import json
import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, UsageError
from scaleplan.fitting import histories, table_source
from scaleplan.fitting import reading as reading_module
from scaleplan.fitting.fleet import _others, plan_fleet
from scaleplan.fitting.law_files import files_of_laws, value_part
from scaleplan.fitting.runs import span_text
from scaleplan.laws.additive import Additive
from scaleplan.output.text import render_text
from scaleplan.output.views.fleet import fleet_report
from scaleplan.presets.library import read_preset

LAW = Additive(E=1.7, A=460.0, B=1500.0, alpha=0.34, beta=0.35)


def rows_of(corpora, *, seed=0, per=20, metrics=("eval/c4", "eval/pile"), noise=0.003):
    """Return rows of runs of some corpora, one law each, and losses on some texts."""
    generator = np.random.default_rng(seed)
    found = []
    for number, corpus in enumerate(corpora):
        for i in range(per):
            params = round(float(np.exp(generator.uniform(np.log(2e7), np.log(2e9)))))
            tokens = round(params * float(np.exp(generator.uniform(np.log(4), np.log(90)))))
            loss = {
                name: float(LAW.loss(params, tokens)) * math.exp(noise * generator.normal()) + 0.05 * (m + number)
                for m, name in enumerate(metrics)
            }
            found.append({"name": f"run {i}", "corpus": corpus, "params": params, "tokens": tokens, **loss})
    return found


def write(path, rows):
    """Write rows as a CSV file; what a row lacks is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Return a file of three corpora with two metrics, whose rows are mixed."""
    rows = rows_of(["c4", "pile", "code"])
    order = np.random.default_rng(3).permutation(len(rows))
    return write(tmp_path_factory.mktemp("each") / "runs.csv", [rows[i] for i in order])


@pytest.fixture(scope="module")
def fleet(table):
    return sp.fit_each(table, each=["corpus", "loss=eval/*"])


def corpora(table):
    """Return the corpora of a file in the order of their first rows."""
    with table.open(newline="", encoding="utf-8") as stream:
        return list(dict.fromkeys(row["corpus"] for row in csv.DictReader(stream)))


def alone(table, corpus, metric, **options):
    """Return the fit to one group and metric by itself, under the names that the fleet gives it."""
    return sp.fit(
        table,
        where=[*options.pop("where", ()), f"corpus = {corpus}"],
        map=[*options.pop("map", ()), f"loss={metric}"],
        id=f"runs-{corpus}-{metric.replace('/', '-')}",
        title=f"Fit to runs.csv, corpus {corpus}, loss {metric}",
        **options,
    )


def test_each_preset_is_what_the_fit_to_its_runs_alone_writes(table, fleet, tmp_path):
    """To the byte, with the selection that reads the same runs again."""
    assert [(law.group, law.metric) for law in fleet.laws] == [
        ({"corpus": corpus}, metric) for corpus in corpora(table) for metric in ("eval/c4", "eval/pile")
    ]
    files = fleet.write(str(tmp_path / "law-{corpus}-{loss}.toml"))
    assert len(files) == 6
    for law, file in list(zip(fleet.laws, files, strict=True))[::2]:
        single = alone(table, law.group["corpus"], law.metric)
        assert file.read_text(encoding="utf-8") == single.to_toml()
        assert law.coefficients == single.coefficients
        plan = single.plan()
        assert (law.params, law.tokens, law.loss) == (plan.params, plan.tokens, plan.loss)
        assert law.interval == plan.interval
        assert law.status == single.status
        assert law.known_within == (None if math.isinf(single.known_within) else single.known_within)
        stated = tomllib.loads(file.read_text(encoding="utf-8"))["fit"]["reading"]
        assert stated == {"map": [f"loss={law.metric}"], "where": [f"corpus = {law.group['corpus']}"]}
        again = sp.fit(table, **stated)
        assert again.coefficients == single.coefficients


@pytest.mark.parametrize(
    "options",
    [
        {"form": "offset_power", "samples": 20},
        {"form": "kaplan"},
        {"tied": True, "target": "1e22", "level": 0.5},
        {"where": ["params > 3e7", "tokens < 1e11"], "min_flops": "1e16"},
        {"form": "multiplicative", "x": "params,tokens", "samples": 20},
    ],
    ids=str,
)
def test_the_options_of_a_fit_keep_their_meaning(table, options):
    """Whatever the form: each preset is that of the fit alone."""
    found = sp.fit_each(table, each=["corpus", "loss=eval/c4"], **options)
    for law, preset in zip(found.laws, found.presets, strict=True):
        single = alone(table, law.group["corpus"], "eval/c4", **options)
        assert preset == single.to_toml()
        assert law.rows_used == len(single.runs)
        assert law.rows_used + law.rows_dropped == 20


def test_a_form_that_these_runs_do_not_support_has_the_error_of_the_fit(table):
    with pytest.raises(ScaleplanError) as several:
        sp.fit_each(table, each=["corpus", "loss=eval/c4"], method="isoflop", samples=0)
    with pytest.raises(ScaleplanError) as one:
        alone(table, "c4", "eval/c4", method="isoflop", samples=0)
    assert one.value.message in several.value.message


def test_allocations_have_a_split_and_no_loss(table):
    found = sp.fit_each(table, each="corpus", form="allocation", samples=0)
    single = sp.fit(table, where=["corpus = pile"], form="allocation", samples=0)
    (law,) = [law for law in found.laws if law.group == {"corpus": "pile"}]
    assert (law.metric, law.loss, law.status) == (None, None, "fitted")
    assert law.params == single.plan().params


def test_a_curve_of_scores(tmp_path):
    """Columns of y are fitted in turn, and what each gives at the target is its value."""
    rows = rows_of(["c4"], metrics=("acc/a", "acc/b"))
    for row in rows:
        flops = 6 * row["params"] * row["tokens"]
        for i, name in enumerate(("acc/a", "acc/b")):
            row[name] = 0.2 + 0.7 / (1 + (flops / 10 ** (18 + i)) ** -0.4)
    file = write(tmp_path / "runs.csv", rows)
    found = sp.fit_each(file, each="y=acc/*", form="sigmoid", x="flops", samples=20)
    assert [(law.metric, law.status) for law in found.laws] == [("acc/a", "fitted"), ("acc/b", "fitted")]
    single = sp.fit(file, form="sigmoid", x="flops", y="acc/b", samples=20)
    (predicted,) = [value for value in single.values if value.name.startswith("at ")]
    assert (found.laws[1].value, found.laws[1].value_interval) == (predicted.value, predicted.interval)
    assert found.laws[1].loss is None


def test_a_long_table_has_its_metrics_in_rows(tmp_path):
    """A column of names and one of values are ``each`` of the one and ``map`` of the other."""
    wide = rows_of(["c4"])
    long = [
        {"name": row["name"], "params": row["params"], "tokens": row["tokens"], "metric": name, "value": row[name]}
        for row in wide
        for name in ("eval/c4", "eval/pile")
    ]
    of_long = sp.fit_each(write(tmp_path / "long.csv", long), each="metric", map={"loss": "value"})
    of_wide = sp.fit_each(write(tmp_path / "wide.csv", wide), each="loss=eval/*")
    assert [law.group for law in of_long.laws] == [{"metric": "eval/c4"}, {"metric": "eval/pile"}]
    assert [law.coefficients for law in of_long.laws] == [law.coefficients for law in of_wide.laws]


def test_a_group_that_cannot_be_fitted_is_a_row_with_its_reason(tmp_path):
    """Too few runs, a loss that rises, no loss at all: the others are fitted all the same."""
    rows = rows_of(["c4", "few", "rising", "none"], metrics=("loss",))
    rows = [row for row in rows if row["corpus"] != "few" or row["name"] in ("run 0", "run 1", "run 2")]
    for row in rows:
        if row["corpus"] == "rising":
            row["loss"] = 1 + 0.1 * math.log10(row["params"] * row["tokens"])
        if row["corpus"] == "none":
            row["loss"] = ""
    file = write(tmp_path / "runs.csv", rows)
    found = sp.fit_each(file, each="corpus")
    laws = {law.group["corpus"]: law for law in found.laws}
    assert (found.fleet.fitted, found.fleet.not_fitted) == (1, 3)
    assert laws["none"].reason == "runs.csv: none of 20 rows is a usable run: 20 missing_loss (no loss)"
    for name in ("few", "rising"):
        own = write(tmp_path / f"{name}.csv", [row for row in rows if row["corpus"] == name])
        with pytest.raises(ScaleplanError) as error:
            sp.fit(own)
        assert laws[name].status == "not fitted"
        assert laws[name].reason == error.value.message.replace(f"{name}.csv", "runs.csv")
        assert laws[name].coefficients == {}
    assert any(notice.code == "not_fitted" and "3 of 4 laws" in notice.message for notice in found.warnings)


def test_no_law_at_all_is_an_error_with_the_reason(tmp_path):
    rows = [row for row in rows_of(["a", "b"]) if row["name"] in ("run 0", "run 1")]
    with pytest.raises(UsageError, match="none of 4 laws could be fitted"):
        sp.fit_each(write(tmp_path / "runs.csv", rows), each=["corpus", "loss=eval/*"])
    with pytest.raises(ScaleplanError) as one:
        sp.fit(tmp_path / "runs.csv", where=["corpus = a"], map=["loss=eval/c4"])
    with pytest.raises(ScaleplanError) as several:
        sp.fit_each(tmp_path / "runs.csv", each=["corpus", "loss=eval/c4"], where=["corpus = a"])
    assert several.value.message == one.value.message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"each": "batch"}, "no row has a value in 'batch'"),
        ({"each": "corpus", "where": ["params > 1e30"]}, "none of 16 rows is a usable run: 16 filtered"),
        ({"each": "corpus", "where": ["corpus != c4"]}, "no row that is left has a value in 'corpus'"),
    ],
)
def test_no_group_at_all_is_an_error_with_the_reason(tmp_path, options, says):
    rows = [{**row, "batch": ""} for row in rows_of(["c4"], per=14, metrics=("loss",))]
    rows += [{**row, "corpus": ""} for row in rows[:2]]
    with pytest.raises(ScaleplanError, match=says):
        sp.fit_each(write(tmp_path / "runs.csv", rows), **options)


def test_values_that_equal_as_a_condition_does_are_one_group(tmp_path):
    """1 and 1.0 are one number; what is missing is in no group, and said; "none" is a value."""
    rows = rows_of(["x"] * 4, metrics=("loss",))
    for i, row in enumerate(rows):
        row["corpus"] = (
            ("1", "1.0", "1e0")[i % 3] if i < 40 else ("none", "2")[i % 2] if i < 76 else ("", "NaN")[i % 2]
        )
    file = write(tmp_path / "runs.csv", rows)
    found = sp.fit_each(file, each="corpus")
    assert [law.group["corpus"] for law in found.laws] == ["1", "none", "2"]
    assert [law.rows_used for law in found.laws] == [40, 18, 18]
    assert found.fleet.rows_without_group == 4
    assert [notice.code for notice in found.warnings if notice.code == "no_group"] == ["no_group"]
    assert len(sp.fit(file, where=["corpus = 1"]).runs) == 40


def test_true_and_one_are_two_groups(tmp_path):
    """True is no number 1, as no condition says that it is."""
    rows = rows_of(["x", "y"], metrics=("loss",))
    for i, row in enumerate(rows):
        row["corpus"] = True if i < 20 else 1
    file = tmp_path / "runs.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    found = sp.fit_each(file, each="corpus")
    assert [law.group["corpus"] for law in found.laws] == ["true", "1"]


HOSTILE = ["../../etc/passwd", "a b", "語", "Ünï", "{corpus}", "-rf", "k=b", "x\ty", "'quoted'", "*", "日本", "c,d"]


def test_hostile_names_are_inert(tmp_path):
    """No name leaves the folder, each has its own file, and each preset reads its runs again."""
    rows = rows_of(HOSTILE, per=14, metrics=("loss",))
    file = write(tmp_path / "runs.csv", rows)
    folder = tmp_path / "laws"
    folder.mkdir()
    found = sp.fit_each(file, each="corpus", samples=0)
    assert [law.group["corpus"] for law in found.laws] == HOSTILE
    files = found.write(str(folder / "law-{corpus}.toml"))
    assert sorted(folder.iterdir()) == sorted(files)
    assert len(set(files)) == len(HOSTILE)
    for law, path in zip(found.laws, files, strict=True):
        assert path.parent == folder
        stated = tomllib.loads(path.read_text(encoding="utf-8"))["fit"]["reading"]
        assert len(sp.fit(file, **stated).runs) == law.rows_used == 14
        assert read_preset(path).id.startswith("runs-")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("{a}.toml", ["con_.toml", "aux_.x.toml", "com¹_.toml", "conx.toml"]),
        ("{a}/law.toml", ["con_/law.toml", "aux_.x/law.toml", "com¹_/law.toml", "conx/law.toml"]),
        ("aux/law-{a}.toml", ["aux/law-con.toml", "aux/law-aux.x.toml", "aux/law-com¹.toml", "aux/law-conx.toml"]),
    ],
)
def test_no_value_is_a_device_of_windows(path, names):
    found = files_of_laws(path, [{"a": value} for value in ("CON", "aux.x", "COM¹", "conx")], ["a"])
    assert found == [Path(name) for name in names]


@given(st.text(min_size=1))
def test_any_value_makes_a_safe_part_of_a_name(text):
    """Neither a separator nor a dot in front, and an id holds ASCII alone."""
    for ascii_only in (False, True):
        part = value_part(text, ascii_only=ascii_only)
        assert part
        assert part[0] not in ".-_"
        assert not set(part) & set('/\\:*?"<>|\0 \n')
        assert part.isascii() or not ascii_only


def test_two_laws_that_would_share_a_file_are_refused_before_anything_is_written(tmp_path):
    rows = rows_of(["a b", "a-b"], metrics=("loss",))
    file = write(tmp_path / "runs.csv", rows)
    plan = plan_fleet(file, each="corpus")
    with pytest.raises(UsageError, match="'a b' and 'a-b' would be written to one file"):
        plan.files("law-{corpus}.toml")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("law.toml", "does not say one file for each law"),
        ("law-{corpus}.toml", "{loss}"),
        ("law-{corpus}-{loss}-{lr}.toml", "unknown placeholder"),
        ("law-{corpus}-{loss}.json", "does not end in .toml"),
    ],
)
def test_a_path_that_does_not_tell_the_laws_apart_is_refused(table, path, says):
    with pytest.raises(UsageError, match=says.replace("{", r"\{")):
        plan_fleet(table, each=["corpus", "loss=eval/*"]).files(path)


def test_what_does_not_vary_need_not_be_in_the_path(table):
    files = plan_fleet(table, each=["corpus", "loss=eval/c4"]).files("law-{corpus}.toml")
    assert [str(file) for file in files] == [f"law-{corpus}.toml" for corpus in corpora(table)]


def test_all_files_are_written_or_none(table, fleet, tmp_path, monkeypatch):
    """A file that no fit wrote is in the way, or the disk fails half-way: nothing is left."""
    own = tmp_path / "law-pile-eval-c4.toml"
    own.write_text("title = 'mine'\n")
    with pytest.raises(FileError, match="was not written by fit"):
        fleet.write(str(tmp_path / "law-{corpus}-{loss}.toml"))
    own.unlink()
    renamed = []
    real = Path.replace

    def failing(self, target):
        if len(renamed) == 3:
            raise OSError(28, "No space left on device")
        renamed.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(FileError, match="no space left"):
        fleet.write(str(tmp_path / "law-{corpus}-{loss}.toml"))
    assert renamed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("each", "options", "says"),
    [
        ([], {}, "no columns"),
        (["", " "], {}, "no columns"),
        ([","], {}, "names no column"),
        (["corpus", " , "], {}, "names no column"),
        (["=eval/*"], {}, "no role before '='"),
        (["corpse"], {}, "did you mean 'corpus'"),
        (["loss=eval/x*"], {}, "unknown column"),
        (["params=a,b"], {}, "no role 'params'"),
        (["y=eval/*"], {}, "is for curves"),
        (["loss=eval/*"], {"form": "allocation"}, "has no loss"),
        (["loss=eval/*"], {"map": {"loss": "eval/c4"}}, "given twice"),
        (["y=eval/*"], {"form": "sigmoid", "y": "eval/c4"}, "given twice"),
        (["loss="], {}, "without columns"),
        (["corpus"], {"group": "corpus"}, "shares exponents"),
        (["corpus"], {"method": "all"}, "side by side"),
        (["corpus"], {"form": "additiv"}, "unknown form"),
        (["corpus"], {"loss_unit": "nat"}, "unknown loss unit"),
        (["corpus", "loss=eval/*"], {"where": ["nothing = 1"]}, "unknown column"),
    ],
)
def test_what_makes_no_sense_is_refused(table, each, options, says):
    with pytest.raises(UsageError) as error:
        sp.fit_each(table, each=each, **options)
    assert says in f"{error.value.message} {error.value.hint}"


def test_a_name_with_signs_is_the_column_of_that_name(tmp_path):
    """The whole text wins over commas, a role and stars."""
    rows = [{**row, "a,b": "x", "loss=mine": "y", "eval/*": row["eval/c4"]} for row in rows_of(["c4"])]
    file = write(tmp_path / "runs.csv", rows)
    found = sp.fit_each(file, each=["a,b", "loss=mine", "loss=eval/*"])
    assert [(law.group, law.metric) for law in found.laws] == [({"a,b": "x", "loss=mine": "y"}, "eval/*")]


def test_metrics_of_other_units_are_rows_with_the_reason(tmp_path):
    """One ``loss_unit`` holds for all; a column in another by its name is not fitted, and the others are."""
    rows = [{**row, "eval/bpb": row["eval/c4"] / 4, "eval/text": "good"} for row in rows_of(["c4", "pile"])]
    found = sp.fit_each(write(tmp_path / "runs.csv", rows), each=["corpus", "loss=eval/*"])
    by_metric = {law.metric: law for law in found.laws}
    assert by_metric["eval/c4"].status != "not fitted"
    assert by_metric["eval/bpb"].hint == "--loss-unit bpb reads it"
    assert by_metric["eval/text"].status == "not fitted"
    assert len(found.laws) == 8
    assert found.fleet.fitted == 4


def test_a_metric_that_some_groups_lack(tmp_path):
    rows = rows_of(["c4", "pile"])
    for row in rows:
        if row["corpus"] == "pile":
            row["eval/pile"] = "NaN"
    found = sp.fit_each(write(tmp_path / "runs.csv", rows), each=["corpus", "loss=eval/*"])
    assert [law.status == "not fitted" for law in found.laws] == [False, False, False, True]
    assert "20 missing_loss" in found.laws[3].reason


@pytest.mark.parametrize("last", [False, True])
def test_a_column_that_is_a_loss_is_no_size(tmp_path, last):
    """However a size may be called: the losses on code in C, D and N."""
    metrics = ("eval/c", "eval/d", "eval/n")
    file = write(tmp_path / "runs.csv", [{**row, "step": 1} for row in rows_of(["c4"], metrics=metrics)])
    found = sp.fit_each(file, each="loss=eval/*", last=last)
    assert [(law.metric, law.rows_used) for law in found.laws] == [(name, 20) for name in metrics]
    alone = write(tmp_path / "alone.csv", rows_of(["c4"], metrics=("eval/c",)))
    assert len(sp.fit(alone, map={"loss": "eval/c"}).runs) == 20


def test_groups_that_the_user_leaves_out_are_no_rows(table):
    found = sp.fit_each(table, each=["corpus", "loss=eval/c4"], where=["corpus != code"])
    assert {law.group["corpus"] for law in found.laws} == {"c4", "pile"}
    with table.open(newline="", encoding="utf-8") as stream:
        code = [str(row) for row, run in enumerate(csv.DictReader(stream), 2) if run["corpus"] == "code"]
    pairs = plan_fleet(table, each=["corpus", "loss=eval/*"], drop_rows=[",".join(code)]).pairs
    assert [corpora(table)[group] for group, _ in pairs] == [
        name for name in corpora(table) if name != "code" for _ in "ab"
    ]


def history(rows):
    """Return three steps of each run; one metric was not evaluated at the last."""
    found = []
    for row in rows:
        for step in (1, 2, 3):
            one = {**row, "step": step, "eval/c4": row["eval/c4"] + 0.3 * (3 - step)}
            one["eval/pile"] = "" if step == 3 else row["eval/pile"] + 0.1 * (2 - step)
            found.append(one)
    return found


@pytest.mark.parametrize("large", [False, True], ids=["whole", "in batches"])
def test_the_final_row_of_each_run_by_group_and_metric(tmp_path, monkeypatch, large):
    """Runs of one name in two groups are two; of each the last row with a value of the metric is kept."""
    if large:
        monkeypatch.setattr(histories, "MAX_BYTES", 1000)
    file = write(tmp_path / "history.csv", history(rows_of(["c4", "pile"])))
    found = sp.fit_each(file, each=["corpus", "loss=eval/*"], last=True)
    final = sp.fit_each(rows_of(["c4", "pile"]), each=["corpus", "loss=eval/*"])
    assert [law.coefficients for law in found.laws] == [law.coefficients for law in final.laws]
    assert [law.rows_used for law in found.laws] == [20] * 4
    stated = tomllib.loads(found.presets[1])["fit"]
    assert stated["reading"] == {"last": True, "map": ["loss=eval/pile"], "where": ["corpus = c4"]}
    if not large:
        assert sum(each["count"] for each in stated["dropped"]) + stated["rows_used"] == 120


def test_the_best_of_a_sweep_is_that_of_its_group(tmp_path):
    rows = [
        {**row, "lr": lr, "eval/c4": row["eval/c4"] + (0.02 if lr > 0.001 else 0.0)}
        for row in rows_of(["c4", "pile"])
        for lr in (0.001, 0.002)
    ]
    found = sp.fit_each(write(tmp_path / "runs.csv", rows), each=["corpus"], map={"loss": "eval/c4"}, best=True)
    plain = sp.fit_each(rows_of(["c4", "pile"]), each=["corpus"], map={"loss": "eval/c4"})
    assert [law.rows_used for law in found.laws] == [20, 20]
    assert [law.coefficients for law in found.laws] == [law.coefficients for law in plain.laws]


def test_processes_share_the_laws_and_change_nothing(table, fleet):
    """The same rows and the same presets, to the byte, by two."""
    shared = sp.fit_each(table, each=["corpus", "loss=eval/*"], jobs=2)
    assert shared.presets == fleet.presets
    assert shared.to_dict() == fleet.to_dict()


def test_progress_counts_the_laws(table):
    seen = []
    sp.fit_each(table, each="corpus", form="kaplan", map={"loss": "eval/c4"}, progress=seen.append)
    assert seen == [1, 2, 3]


def test_a_table_is_read_and_recognised_once(tmp_path, monkeypatch):
    """Not once a group: neither the file nor its columns, and each row is taken by one group alone."""
    rows = rows_of([f"c{i}" for i in range(300)], per=3, metrics=("loss",)) + rows_of(["good"], metrics=("loss",))
    file = write(tmp_path / "runs.csv", rows)
    calls = []
    for module, name in ((table_source, "read_table"), (reading_module, "own_count")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *given, name=name, real=real, **more: calls.append(name) or real(*given, **more),
        )
    found = sp.fit_each(file, each="corpus")
    assert calls == ["read_table", "own_count"]
    assert (found.fleet.fitted, found.fleet.not_fitted) == (1, 300)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(2, 40), min_size=1), st.data())
def test_the_rows_elsewhere_are_those_of_no_group(numbers, data):
    """Their text is that of the numbers one by one."""
    rows = sorted(numbers)
    chosen = data.draw(st.sets(st.sampled_from(range(len(rows)))))
    breaks = [i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1]
    spans = _others(rows, breaks, sorted(chosen))
    rest = [row for i, row in enumerate(rows) if i not in chosen]
    assert [row for first, last in spans for row in range(first, last + 1)] == rest
    assert span_text(spans) == span_text((row, row) for row in rest)


def test_frames_have_a_row_a_law(fleet):
    columns = fleet.to_columns()
    assert columns["group.corpus"] == [law.group["corpus"] for law in fleet.laws]
    assert columns["coefficients.alpha"] == [law.coefficients["alpha"] for law in fleet.laws]
    assert "6 laws" in str(fleet)
    with pytest.raises(UnknownNameError):
        fleet.write("law-{corpse}.toml")


def test_a_history_without_its_last_rows_is_warned_of(tmp_path):
    """Steps of one training are no runs: what a fit alone remarks, once for all laws."""
    runs = rows_of(["c4", "pile"], metrics=("loss",))
    steps = [
        {**run, "tokens": run["tokens"] * step // 4, "loss": run["loss"] + 0.1 * (4 - step)}
        for run in runs
        for step in range(1, 5)
    ]
    found = sp.fit_each(write(tmp_path / "history.csv", steps), each="corpus")
    (said,) = [notice.message for notice in found.warnings if notice.code == "shared_names"]
    assert said.startswith(
        "2 of 2 laws ('c4, loss', 'pile, loss'): 80 points have 20 names: --last keeps the final row"
    )
    last = sp.fit_each(write(tmp_path / "history.csv", steps), each="corpus", last=True)
    assert "shared_names" not in [notice.code for notice in last.warnings]


def test_metrics_in_rows_of_another_unit_are_warned_of(tmp_path):
    """By the names of the values, as columns of such a name are refused."""
    rows = [
        {**row, "task": task}
        for task in ("wiki_bpb", "pile_bpb", "c4_nll")
        for row in rows_of(["c4"], metrics=("value",))
    ]
    path = write(tmp_path / "long.csv", rows)
    found = sp.fit_each(path, each="task", map="loss=value")
    (said,) = [notice.message for notice in found.warnings if notice.code == "other_unit"]
    assert said.startswith(
        "'wiki_bpb', 'pile_bpb': in bits/byte by their name, and read as nats/token: --loss-unit bpb"
    )
    named = sp.fit_each(path, each="task", map="loss=value", loss_unit="bpb", where="task ~ bpb")
    assert "other_unit" not in [notice.code for notice in named.warnings]


def test_the_report_names_the_column_of_the_loss(table):
    """Which was chosen by its name among several."""
    chosen = fleet_report(sp.fit_each(table, each="corpus", map="loss=eval/pile").fleet)
    assert "the loss is column 'eval/pile'" in chosen.remarks


def test_the_report_says_of_which_laws_the_size_is_not_known_and_where_their_loss_is_then(fleet):
    """At the optimum where that lies beyond the runs, which is not where runs without a split are evaluated."""
    first, second, third, *others = fleet.fleet.laws
    unknown = {"status": "not identified", "known_within": None}
    laws = (
        replace(first, **unknown),
        replace(second, **unknown, reason="its runs all lie on a line"),
        third,
        *others,
    )
    remarks = fleet_report(replace(fleet.fleet, laws=laws)).remarks
    beyond = f"N* not known of '{first.name}': beyond what the runs can vouch for; the loss is that at the optimum"
    assert beyond in remarks
    assert any(
        remark.startswith(f"N* not known of '{second.name}': the runs do not determine it") for remark in remarks
    )
    assert not any("N* not known" in remark for remark in fleet_report(fleet.fleet).remarks)


def test_each_part_of_a_wide_table_has_the_values_of_the_groups(fleet):
    """Rows with the corpus alone would be alike."""
    lines = render_text(fleet_report(fleet.fleet), width=60).splitlines()
    heads = [line.split()[:3] for line in lines if line.startswith("  corpus")]
    assert len(heads) > 1
    assert all(head == ["corpus", "loss", "column"] for head in heads)


def test_columns_that_tell_each_row_from_the_others_are_refused():
    """Before a million fits that fail: the step of a history, say."""
    steps = [*range(1200)]
    table = {"params": [1e7] * 1200, "tokens": [1e6 * k for k in steps], "loss": [3.0] * 1200, "step": steps}
    with pytest.raises(UsageError, match=r"--each step makes 1,200 groups of 1,200 rows, too few each for a law"):
        sp.fit_each(table, each="step")
