"""A preset with a damaged coefficient ends in an answer or one error, whatever the command."""

from __future__ import annotations

import json
import tomllib

import pytest

from scaleplan.__main__ import run
from scaleplan.files import preset_folders

COMMANDS = (
    ("optimal", "--flops", "1e21"),
    ("loss", "--params", "1e9", "--tokens", "2e10"),
    ("target", "--loss", "2.5"),
    ("sweep", "--from", "1e20", "--to", "1e22"),
    ("marginal", "--flops", "1e21"),
)
HEAD = """schema = 1
id = "damaged"
title = "Damaged"
form = "additive"
source = "made up"
status = "refit"
[conventions]
params = "total"
[coefficients]
E = 1.8
A = 420.0
B = 1300.0
alpha = 0.34
beta = 0.345
"""
DAMAGES = ("0.0", "-1.5", "1e300", "nan", '"x"', None)


def first_of_each_form():
    """Return a bundled file for each form."""
    found = {}
    for path in sorted((preset_folders()[0] / "laws").glob("*.toml")):
        found.setdefault(tomllib.loads(path.read_text("utf-8"))["form"], path)
    return found


FORMS = first_of_each_form()


def refuse(name):
    """Refuse the constants that JSON does not have."""
    raise AssertionError(name)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_coefficient_is_no_bug(form, tmp_path, capsys):
    """Each coefficient is zero, negative, huge, no number, a text, or missing."""
    text = FORMS[form].read_text("utf-8")
    file = tmp_path / "damaged.toml"
    for name, value in tomllib.loads(text)["coefficients"].items():
        if not isinstance(value, int | float):
            continue
        for damage in DAMAGES:
            lines = text.splitlines()
            at = next(k for k, line in enumerate(lines) if line.split("=")[0].strip() == name)
            lines[at] = "" if damage is None else f"{name} = {damage}"
            file.write_text("\n".join(lines), "utf-8")
            for command in COMMANDS:
                status = run([*command, "--preset", str(file), "--json"])
                shown = capsys.readouterr()
                assert status in (0, 1, 2), (name, damage, command, shown.err)
                if status == 0:
                    json.loads(shown.out, parse_constant=refuse)


def test_a_matrix_that_is_no_covariance_is_refused_by_its_key(tmp_path, capsys):
    """Not positive semidefinite, not symmetric, not finite, of another size, or of unknown names."""
    for parameters, matrix, key in (
        ('["alpha", "beta"]', "[[1e-4, 2e-4], [2e-4, 1e-4]]", "covariance"),
        ('["alpha", "beta"]', "[[1e-4, 2e-5], [3e-5, 1e-4]]", "covariance"),
        ('["alpha", "beta"]', "[[1e-4, nan], [nan, 1e-4]]", "covariance"),
        ('["alpha", "beta"]', "[[1e-4]]", "covariance"),
        ('["alpha", "gamma"]', "[[1e-4, 0.0], [0.0, 1e-4]]", "parameters"),
    ):
        file = tmp_path / "damaged.toml"
        file.write_text(f"{HEAD}[uncertainty]\nparameters = {parameters}\ncovariance = {matrix}\n", "utf-8")
        assert run(["sweep", "--from", "1e20", "--to", "1e22", "--preset", str(file)]) == 2
        assert f"uncertainty.{key}" in capsys.readouterr().err
