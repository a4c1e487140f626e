"""One style a number: whoever prints one takes a function of ``units.format``, whose docstring is the guide."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import scaleplan
from scaleplan.units import (
    bare_end,
    format_band,
    format_change,
    format_days,
    format_factor,
    format_fractions,
    format_measured,
    format_plain,
    format_power,
    format_range,
    format_seconds,
    format_signed,
    format_usd,
    format_usd_per_hour,
)

SOURCE = Path(scaleplan.__file__).parent
FROZEN = Path(__file__).parents[1] / "cli" / "frozen"

WHOLE = re.compile(r"[<>^]?(\d+|\{\})?(,d?|,\.0f|s)?|0\dx|\.\d{3}")  # aligned, a whole number, a code, a text cut

ALLOWED = {
    "arrays.py": "cannot import units, which stand above it; what it refuses is shown as it is",
    "toml_table.py": "likewise: the bounds of a key, as they are written in TOML",
    "markup.py": "coordinates of SVG",
    "charts/svg.py": "likewise",
    "charts/scene.py": "likewise",
    "fitting/candidate_pool.py": "a hint with an option as it is typed",
    "units/limits.py": "writes limits as they are typed",
    "units/numeral.py": "shows a number as it was typed",
    "units/parse.py": "likewise",
    "project/diff.py": "writes a threshold as it is typed",
    "logs/last_part.py": "a step in a cell of CSV, where a comma would be one more column",
    "ladder/slurm.py": "Slurm writes how many tasks may run at once after a %",
    "charts/chart.py": "ticks, which have the decimals of all",
}
"""The modules that write numbers themselves, and why."""


def formatted():
    """Yield module, line, format and following text of every value in an f-string outside ``units/format.py``."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name == "units/format.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        rounding = {  # float(f"{x:.12g}") is a number again
            id(part)
            for call in ast.walk(tree)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "float"
            for part in ast.walk(call)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.JoinedStr):
                continue
            for value, after in zip(node.values, [*node.values[1:], None], strict=True):
                if isinstance(value, ast.FormattedValue) and id(value) not in rounding:
                    spec = "" if value.format_spec is None else _text(value.format_spec)
                    yield name, value.lineno, spec, after.value if isinstance(after, ast.Constant) else ""


def _text(spec):
    return "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in spec.values)


def test_no_module_formats_numbers_itself():
    """Digits, percent and powers of ten are decided in one module; each that does otherwise has its reason."""
    own = {}
    for name, line, spec, after in formatted():
        if WHOLE.fullmatch(spec) is None or after.startswith(("%", " times the", "×")):
            own.setdefault(name, []).append((line, spec, after[:12]))
    assert {name: found for name, found in own.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(own), "an exception that is not needed any more"


BY_PARTS = {"output/text.py", "output/html/page.py", "output/notebook.py"}
"""The modules that place the two ends of an interval in cells of their own."""


def test_ranges_are_written_in_one_place():
    """By ``format_range``, which writes the unit once and a point as one number."""
    dashed = re.compile(r"\} – \{|' – '|\" – \"")
    found = {
        path.relative_to(SOURCE).as_posix(): match[0]
        for path in sorted(SOURCE.rglob("*.py"))
        if (match := dashed.search(path.read_text(encoding="utf-8"))) is not None
    }
    assert found.keys() == BY_PARTS


FAULTS = {
    r"(?<![\w@.<>=])(?<![<>=] )\d[\d.]*%": "percent without its space, where no limit is shown as it was typed",
    r"\de\+": "a power of ten with a plus",
    r"(?<![\d,.])1 (?:devices|GPUs|runs|plans|files|days)\b": "one thing in the plural",
    r"×\d|\b1/\d[\d.]*x\b": "a factor in another form",
    r"\$\d+\.\d(?!\d)": "dollars with one decimal",
    r"(?i)accelerator-hours|GPU time|\bdevices\b|x/÷": "an old word",
    r"(?<![\d.])0\.0\d+ days|(?<!\d)\d,\d{3} days": "days where another unit suits",
}
"""What no text for a reader has, and why."""


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*.txt")), ids=lambda path: path.stem)
def test_frozen_texts_have_no_number_in_another_style(path):
    """Of every command, as text or Markdown; what is typed, help and data for programs have other forms."""
    for answer in path.read_text(encoding="utf-8").split("$ scaleplan ")[1:]:
        command, _, text = answer.partition("\n")
        text = text.partition("\n--- file ")[0]
        other = r"--json|--get|--format (csv|tsv|jsonl?|junit|sarif|github)|--help| help |\s-o "
        if re.search(other, f" {command} "):
            continue
        for_programs = ("schema", "scaleplan/", "{", "::", "<")
        shown = "\n".join(line for line in text.splitlines() if not line.startswith(for_programs))
        found = {why: match[0] for fault, why in FAULTS.items() if (match := re.search(fault, shown))}
        assert found == {}, command


@pytest.mark.parametrize(
    "written, text",
    [
        (format_factor(3.16), "3.2x"),
        (format_factor(10.0), "10x"),
        (format_factor(1234), "1,200x"),
        (format_factor(0.9876, digits=3), "0.988x"),
        (format_band(1.6), "1.6x either way"),
        (format_change(0.00123), "+0.123 %"),
        (format_change(-0.001), "-0.1 %"),
        (format_fractions(0.18, 0.19), "18 – 19 %"),
        (format_signed(0.0123), "+0.0123"),
        (format_measured(93.2, 50), "90 ± 50"),
        (format_measured(0.347310, 0.0149), "0.347 ± 0.015"),
        (format_measured(2143.4, 880.2), "2,100 ± 900"),
        (format_measured(3.1e9, 2.2e8), "3.10e9 ± 2.2e8"),
        (format_usd(12.3), "$12.30"),
        (format_usd(99.999), "$100"),
        (format_usd(136), "$136"),
        (format_usd_per_hour(12.3), "$12.30/h"),
        (format_days(1100), "3.01 years"),
        (format_days(0.000195), "16.8 seconds"),
        (format_days(1.0, like=1100.0), "0.00274 years"),
        (format_seconds(119), "119 seconds"),
        (format_range(0.7, 1.6, format_days), "16.8 hours – 1.60 days"),
        (format_range(18.8, 48.0, format_days), "18.8 – 48.0 days"),
        (format_range(2.0, 2.0, format_days), "2.00 days"),
        (bare_end("$85,000", "$217,000"), "$85,000"),
        (format_plain(1e21), "1e21"),
        (format_plain(0.00001), "1e-5"),
        (format_plain(46100), "46,100"),
        (format_plain(12345.6789, digits=3), "12,300"),
        (format_plain(2.37e10, digits=2), "2.4e10"),
        (format_power(0.0003), "3.00e-4"),
    ],
)
def test_the_guide_by_examples(written, text):
    """As its rules say."""
    assert written == text
