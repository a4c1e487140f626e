"""Completion of what is typed in a shell: commands, options and their values, by the mechanism of typer.

The values of an option are found by its name in :data:`VALUES`; files are left to the shell. Only a process that a
shell runs to complete something imports this module.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer  # noqa: TC002  read at run time

from scaleplan.cli.answers import ANSWERS
from scaleplan.files import read_text
from scaleplan.output import FORMATS, JUDGING, LAUNCHING, REPORTS
from scaleplan.planning.constraints import constraint_keys
from scaleplan.planning.context import Context
from scaleplan.planning.request import SWEPT
from scaleplan.project.saved import RESULTS, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scaleplan.cli.options import OptionPlace

__all__ = [
    "VALUES",
    "Completion",
    "candidates",
    "complete",
    "complete_commands",
    "complete_options",
    "complete_values",
    "values_of",
]


class Completion(NamedTuple):
    """What a word can become, and what that is; ``type`` is for shells that treat files otherwise."""

    value: str
    help: str = ""
    type: str = "plain"


def complete(root: Any) -> int:  # noqa: ANN401  the class belongs to typer
    """Answer the shell, and return the exit status; whatever goes wrong, a prompt shows no error."""
    _join_values()
    before = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]  # typer would render each help by it, which takes too long
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
            root.main(args=[], prog_name="scaleplan", standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except Exception:  # noqa: BLE001  such as an unreadable file of prices: there is nothing to propose
        return 1
    finally:
        sys.modules.pop("rich") if before is None else sys.modules.update(rich=before)
    return 0


def _join_values() -> None:
    """Make ``--option value`` of the three words that bash parts ``--option=value`` into."""
    words, place = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    at = int(place) if place.isdigit() else 0
    if 1 < at < len(words) and words[at - 1] == "=" and words[at - 2].startswith("--"):
        del words[at - 1]
        os.environ |= {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(at - 1)}


def complete_commands(rows: Iterable[tuple[str, str]], incomplete: str) -> list[Completion]:
    """Return the commands that begin as typed."""
    return [Completion(name, text.partition("\n")[0]) for name, text in rows if name.startswith(incomplete)]


def complete_options(parameters: Sequence[Any], found: Iterable[Any]) -> list[Completion]:
    """Return the options that typer found, with the first words of their help."""
    known = {name: parameter.help or "" for parameter in parameters for name in parameter.opts}
    return [Completion(each.value, _short(known.get(each.value, each.help or ""))) for each in found]


def complete_values(layout: Mapping[str, OptionPlace]) -> None:
    """Give the options of a command the completion of their values."""
    for name, place in layout.items():
        if getattr(place.option, "autocompletion", None) is None:
            place.option.autocompletion = _completer(name)


def _completer(name: str) -> Callable[..., list[tuple[str, str]]]:
    def completed(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        words = ctx.command_path.split()[1:]
        source = values_of(name, " ".join(words))
        found = () if source is None else candidates(source, ctx, incomplete)
        return [(each.value, _UNSAFE.sub(" ", each.help)) for each in found if _WORD.fullmatch(each.value)]

    return completed


_WORD = re.compile(r"[\w@%+=:,./-]+", re.ASCII)
"""A value that stays one word, and nothing to expand or to run, where a shell writes it into the line unquoted."""

_UNSAFE = re.compile(r"[\\\x00-\x1f\x7f]+")
"""What ends a line, or in zsh, which evaluates each help, undoes the marks that keep it from being run."""


def values_of(name: str, command: str) -> Source | None:
    """Return where the values of an option come from; None where they are numbers, files or free text."""
    return VALUES.get(f"{command} {name}", VALUES.get(name))


def candidates(source: Source, ctx: Any, incomplete: str = "") -> Iterator[Completion]:  # noqa: ANN401  of typer
    """Yield the candidates of a source; of a list with commas those of its last word."""
    if isinstance(source, Listed):
        before, comma, _ = incomplete.rpartition(",")
        for each in candidates(source.of, ctx, ""):
            if each.value not in before.split(","):
                yield each._replace(value=before + comma + each.value)
    elif isinstance(source, str):
        table = _load(source)
        yield from (Completion(word, _description(table, word)) for word in table)
    elif isinstance(source, tuple):
        yield from map(Completion, source)
    else:
        yield from source(ctx, incomplete)


def _load(place: str) -> Any:  # noqa: ANN401  whatever is there
    """Import something of this package by ``"module:name"``."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"scaleplan.{module}"), name)


def _description(table: object, word: str) -> str:
    """Return the text that a table has for a name; empty for anything but a text."""
    text = table.get(word) if isinstance(table, dict) else ""
    return text if isinstance(text, str) and " " in text else ""


def _short(text: str) -> str:
    """Return the first words of a help, which a shell shows beside a candidate."""
    return re.split(r"[;:.](?=\s|$)", text, maxsplit=1)[0]


# --- sources ------------------------------------------------------------------------------------------------------


def _presets(_: object, incomplete: str) -> Iterator[Completion]:
    """Yield the ids of the laws, and aliases where no id begins as typed; found as text, since a law takes long."""
    ids, aliases = [], []
    for name, path in sorted(Context().library.files().items()):
        with suppress(Exception):  # a broken file is no reason to propose nothing
            text = read_text(path, what="preset")
            title = _line(r'title = "(.*)"', text)
            ids.append(Completion(name, title))
            aliases += [
                Completion(alias, title) for alias in re.findall(r'"(.*?)"', _line(r"aliases = \[(.*)\]", text))
            ]
    yield from ids
    if incomplete and not any(each.value.startswith(incomplete) for each in ids):
        yield from aliases


def _line(pattern: str, text: str) -> str:
    found = re.search(f"^{pattern}$", text, re.MULTILINE)
    return "" if found is None else found[1]


def _gpus(_: object, incomplete: str) -> Iterator[Completion]:
    known = Context().accelerators.all()
    yield from (Completion(gpu.id, gpu.name) for gpu in known)
    if incomplete and not any(gpu.id.startswith(incomplete) for gpu in known):
        yield from (Completion(alias, gpu.name) for gpu in known for alias in gpu.aliases if " " not in alias)


def _vendors(_: object, __: str) -> Iterator[Completion]:
    yield from map(Completion, sorted({gpu.vendor for gpu in Context().accelerators.all() if " " not in gpu.vendor}))


def _precisions(_: object, __: str) -> Iterator[Completion]:
    """Yield the precisions that some device computes in."""
    yield from map(Completion, sorted({name for gpu in Context().accelerators.all() for name in gpu.peaks}))


def _prices(_: object, __: str) -> Iterator[Completion]:
    """Yield the words that a price is named by."""
    listed = Context().prices.listed()
    yield Completion("default", "the price that is taken where none is given")
    yield from map(Completion, sorted({word for each in listed for word in (each.commitment, each.provider_class)}))


def _profiles(_: object, __: str) -> Iterator[Completion]:
    yield from (Completion(each.name, each.title) for each in Context().utilisations.profiles())


def _regions(_: object, __: str) -> Iterator[Completion]:
    """Yield countries and cloud regions, each by a name without a space or a colon, at which shells part words."""
    for grid in Context().grids.all():
        code = grid.code.rpartition(":")[2]
        yield (
            Completion(code, grid.name) if " " in grid.name or grid.kind != "country" else Completion(grid.name, code)
        )


def _models(_: object, __: str) -> Iterator[Completion]:
    yield from map(Completion, _load("models.public_models:PublicModels")().ids())


def _model_families(_: object, __: str) -> Iterator[Completion]:
    """Yield the families of published models."""
    models = _load("models.public_models:PublicModels")().all()
    yield from map(Completion, sorted({model.family for model in models}))


def _ways_to_tune(_: object, __: str) -> Iterator[Completion]:
    yield from map(Completion, (*_load("models.tuning:TUNED"), *_load("models.tuning:QUANTIZED")))


def _matrices(_: object, __: str) -> Iterator[Completion]:
    """Yield the matrices that adapters are put on, by their short names."""
    yield from (Completion(names[0], label) for label, names in _load("models.tuning:TARGETS").items())


def _families(_: object, __: str) -> Iterator[Completion]:
    families = _load("models.families.listing:family_list")().families
    yield from (Completion(each.id, each.title) for each in families)


def _rules(_: object, __: str) -> Iterator[Completion]:
    """Yield the rules that give runs a batch and a learning rate."""
    yield from map(Completion, _load("ladder.plan_runs:rules_for_runs")(Context().rules))


def _schemas(_: object, __: str) -> Iterator[Completion]:
    """Yield what has a JSON Schema."""
    yield from (Completion(name, what) for name, (what, _) in _load("output.schemas:FILES").items())
    yield from (Completion(each.split("/")[1]) for each in RESULTS)


def _formats(ctx: Any, _: str) -> Iterator[Completion]:  # noqa: ANN401  of typer
    """Yield the formats, those of CI services for commands that judge alone, and engines for designs."""
    name = ctx.command_path.split()[1]
    further = JUDGING if name in {"check", "diff", "show"} else LAUNCHING if name == "design" else ()
    yield from map(Completion, (*FORMATS, *further))


def _everyday(ctx: Any, incomplete: str) -> Iterator[Completion]:  # noqa: ANN401
    """Yield everyday options where an argument is seldom given."""
    if not incomplete:
        yield from ctx.command.shell_complete(ctx, "")


def _fields(ctx: Any, _: str) -> Iterator[Completion]:  # noqa: ANN401
    """Yield the names of the fields of a command's answer, or of its rows."""
    found: dict[str, None] = {}
    for answer in ANSWERS.get(" ".join(ctx.command_path.split()[1:]), ()):
        record = record_of(RESULTS[f"scaleplan/{answer}/1"])
        view = REPORTS.get(record.__name__)
        rows = None if view is None else view.rows
        if rows is not None and is_dataclass(record):
            item = next((item for item in fields(record) if item.name == rows), None)
            inner: Any = None if item is None else _record_in(str(item.type), record)
            found |= dict.fromkeys([] if inner is None else _names(inner))
        found |= dict.fromkeys(name for name in _names(record) if name != rows)
    yield from map(Completion, found)


def _names(record: Any, path: str = "") -> list[str]:  # noqa: ANN401  a class
    """Return the dotted names of the fields of a record; of lists of records, which have no single value, their own.

    Annotations are read as text: to evaluate all of them would import most of the program.
    """
    found = []
    annotations = (
        {item.name: str(item.type) for item in fields(record)}
        if is_dataclass(record)
        else vars(record).get("__annotations__", {})
    )
    for name, annotation in annotations.items():
        inner: Any = (
            None
            if re.search(r"\b(tuple|list|dict|Sequence|Mapping)\[", str(annotation))
            else _record_in(str(annotation), record)
        )
        if name == "constraints":  # a plan writes these among its own keys
            found += [path + key.name for key in constraint_keys()]
        elif re.match(r"tuple\[(\w+), \1\]", str(annotation)):
            found += [f"{path}{name}.low", f"{path}{name}.high"]
        elif inner is None or path.count(".") > 1:
            found.append(path + name)
        else:
            found += _names(inner, f"{path}{name}.")
    return found


def _record_in(annotation: str, owner: Any) -> Any:  # noqa: ANN401  classes
    """Return the record that a field holds, by the imports of the module of its owner."""
    module = sys.modules[owner.__module__]
    for word in re.findall(r"[A-Z]\w+", annotation):
        found = getattr(module, word, None)
        if found is None:
            text = read_text(Path(str(module.__file__)), what="module")
            place = re.search(rf"^\s+from (scaleplan[\w.]*) import [^\n]*\b{word}\b", text, re.MULTILINE)
            found = None if place is None else getattr(import_module(place[1]), word)
        if isinstance(found, type) and is_dataclass(found) and found is not owner:
            return found
    return None


class Listed(NamedTuple):
    """A list with commas of values from a source."""

    of: Any


Source = str | tuple[str, ...] | Listed | Callable[[Any, str], Iterator[Completion]]
"""Where values come from: a table of names as ``module:NAME`` below this package, the names, or a function."""


def _columns(_: object, __: str) -> Iterator[Completion]:
    """Yield the columns of the table that the line names, by its first line."""
    typed = f"{os.environ.get('COMP_WORDS', '')} {os.environ.get('_TYPER_COMPLETE_ARGS', '')}".split()
    file = next((word for word in typed if word.endswith((".csv", ".tsv"))), None)
    if file is not None:
        if not Path(file).is_file():  # a pipe would hold up the prompt
            return
        with Path(file).open(encoding="utf-8-sig", errors="replace") as stream:
            lines = [stream.readline(_LONGEST_HEADING)]
        row = next(csv.reader(lines, delimiter="\t" if file.endswith(".tsv") else ","), [])
        yield from (Completion(name) for name in row if name and " " not in name)


_LONGEST_HEADING = 100_000  # characters of a first line that are looked at before a prompt


VALUES: Mapping[str, Source] = {
    # the law and the hardware, which mean the same in every command
    "preset": _presets, "presets": _presets, "base": _presets, "laws": _presets,
    "gpu": _gpus, "precision": _precisions, "profile": _profiles, "price": _prices, "inference_price": _prices,
    "region": _regions, "batch_regime": ("critical", "small"), "fp_format": ("E4M3", "E5M2", "E2M1", "E3M2"),
    "experts": ("auto",), "granularity": ("auto",),
    "model": _models, "style": "models.styles:STYLES", "count": ("total", "non_embedding"),
    # the answer
    "format": _formats, "color": ("auto", "always", "never"), "get": _fields, "fields": Listed(_fields),
    # planning
    "optimal source": _everyday, "by": tuple(SWEPT), "to": "hardware.convert:QUANTITIES",
    "plot kind": "charts.plots:PICTURES", "theme": "charts.theme:THEMES",
    # models
    "model source": _models, "memory source": _models, "arch": _families, "shape experts": (), "runs model": _models,
    "tune": _ways_to_tune, "trainer": "models.tuning:HABITS", "targets": Listed(_matrices),
    "quantize": "models.tuning:STORED", "freeze": Listed("models.tuning:FROZEN"),
    "optimizer": "models.tuning:OPTIMIZERS", "memory precision": "models.tuning:PRECISIONS",
    "states": "models.memory:STATES", "recompute": "models.activations:RECOMPUTE",
    "memory loss": "models.tuning:LOSSES",
    "attention": "models.tuning:ATTENTION", "kernels": "models.tuning:KERNELS",
    "offload": Listed("models.tuning:OFFLOADED"), "also": Listed("models.tuning:ALSO"), "zero": ("0", "1", "2", "3"),
    # runs
    "form": ("additive", "three_exponent"), "fit form": "fitting.fit_request:FORMS",
    "presets list form": "laws:LAWS", "method": "fitting.fit_request:METHODS", "residual": ("log", "linear"),
    "robust": ("huber", "l1", "none"), "loss_unit": "tables.loss_units:LOSS_UNITS",
    "flops_convention": ("6ND", "MD"), "keep": ("crashed", "duplicate", "diverged"),
    "drop": ("diverged", "outlier", "compute_differs"), "params_convention": "presets.preset:PARAMS_CONVENTIONS",
    "rule": _rules,
    "aim": "fitting.pilot:AIMS", "design schedule": ("cosine", "wsd"), "schedule": "logs.learning_rate:SCHEDULES",
    "log10": _columns, "group": _columns, "x": Listed(_columns), "y": _columns, "inputs": Listed(_columns),
    "each": Listed(_columns), "pool_cost": _columns,
    "track loss": ("val", "train"), "plot loss": ("val", "train"), "track preset": (),
    # lists
    "evaluate preset": _presets, "presets show name": _presets, "presets path name": _presets,
    "gpus show name": _gpus, "gpus path name": _gpus, "gpus compare names": _gpus,
    "gpus compare sort": "advice.gpu_comparison:SORTS", "schema name": _schemas, "vendor": _vendors,
    "family": _model_families,
    "families show name": _families, "models show name": _models,
}  # fmt: skip
"""The values of options and arguments by their name, or by command and name where another command's are others."""
