"""Write the project file to start from, with a run for each training config that lies around it."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.documents.document import ENDINGS, parse_document
from scaleplan.errors import FileError, escape_control
from scaleplan.files import read_text
from scaleplan.models import trained
from scaleplan.models.model import VocabularyError, model_of_config
from scaleplan.trainers.registry import read_training_config
from scaleplan.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.trainers.settings import Open
    from scaleplan.trainers.training_config import TrainingConfig

__all__ = ["FoundConfig", "find_configs", "starter"]

_DEEPEST = 5  # folders below the one that is looked through
_MOST_ENTRIES = 20_000  # that are looked at: a repository of code has thousands
_MOST_FILES = 2_000  # that are read
_MOST_RUNS = 20  # that one file is written with
_LARGEST = 200_000  # bytes of a config; the readers take no more
_PASSED = frozenset(
    {"node_modules", "site-packages", "venv", "env", "build", "dist", "__pycache__", "wandb", "outputs"}
)

_NO_RUN = frozenset({"DeepSpeed", "params.json"})
"""The kinds that belong to another config, or have no run."""


class FoundConfig(NamedTuple):
    """A training config below a folder: its path from there, what it says, and its parameters if they are known."""

    path: str
    config: TrainingConfig
    params: int | None


def find_configs(folder: Path) -> list[FoundConfig]:
    """Return the training configs of trainers that are known in a folder and below it, by path.

    What cannot be read is passed over, and so are hidden folders, environments, and links to folders.
    """
    found: list[FoundConfig] = []
    for position, path in enumerate(_files(folder)):
        if position >= _MOST_FILES or len(found) >= _MOST_RUNS:
            break
        name = path.relative_to(folder).as_posix()
        try:
            document = parse_document(read_text(path, what="config", limit=_LARGEST), name=name)
            config = read_training_config(document, beside=partial(trained.beside, path))
        except FileError:
            continue
        if config is not None and config.trainer not in _NO_RUN:
            found.append(FoundConfig(name, config, _params(config, path)))
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files with the ending of a config, those of each folder by name before those below it."""
    entries = 0
    for here, folders, names in os.walk(folder):
        depth = len(Path(here).relative_to(folder).parts)
        kept = sorted(each for each in folders if not each.startswith(".") and each not in _PASSED)
        folders[:] = kept if depth < _DEEPEST else []
        entries += len(folders) + len(names)
        if entries > _MOST_ENTRIES:
            return
        for name in sorted(names):
            path = Path(here) / name
            if path.suffix.casefold() in ENDINGS and name not in ("scaleplan.toml", "pyproject.toml"):
                yield path


def _params(config: TrainingConfig, path: Path) -> int | None:
    try:
        return model_of_config(config, trained.TrainedFile(path, config).fields()).params
    except (FileError, VocabularyError):
        return None


def starter(found: list[FoundConfig] | None = None) -> str:
    """Return the commented project file that ``init`` writes; it keeps its own policy."""
    template = read_text(Path(__file__).parent / "starter.toml", what="template")
    if not found:
        return template
    before, _, rest = template.partition("# A training run: a size, tokens, and hardware.\n")
    example, blank, after = rest.partition("\n\n")
    names: set[str] = set()
    runs = "\n".join(_run(each, names) for each in found)
    after = _judgeable(after, found)
    shown = "\n".join(line if line.startswith("#") else f"# {line}" for line in example.split("\n"))
    return (
        f"{before}# The runs of the training configs that were found; what a run says wins over its config.\n"
        f"{runs}\n# A run may also say all of it here: a size, tokens, and hardware.\n#\n{shown}{blank}{after}"
    )


def _judgeable(policy: str, found: list[FoundConfig]) -> str:
    """Return the policy with those limits as comments that these runs do not determine, or that are no usual goal."""
    devices = all("gpus" in each.config.values for each in found)
    unset = {"loss@90%": "the loss that is good enough depends on the model"}
    if not devices:
        unset["days"] = "needs gpus in every run"
    lines = policy.split("\n")
    for position, line in enumerate(lines):
        name = line.strip().strip('"').partition(" ")[0]
        if line.startswith('  "') and name in unset:
            lines[position] = f"  # {line.strip()}  # {unset[name]}"
    return "\n".join(lines)


def _run(found: FoundConfig, names: set[str]) -> str:
    """Return the table of one run, with what its config leaves open as keys to fill in."""
    config = found.config
    lines = [f"# {config.trainer}{_summary(found)}", "[[run]]", f'name = "{_name(found.path, names)}"']
    lines.append(f"config = {_quoted(found.path)}")
    lines += [f"# {key} = …  # {_reason(each)}" for key, each in _needed(found)]
    return "\n".join((*lines, ""))


def _summary(found: FoundConfig) -> str:
    tokens, gpus = (found.config.values.get(name) for name in ("tokens", "gpus"))
    parts = [
        f"{format_count(found.params)} parameters" if found.params is not None else "",
        f"{format_count(tokens.value)} tokens" if tokens is not None else "",
        f"{gpus.value:,} GPUs" if gpus is not None else "",
    ]
    return "".join(f", {part}" for part in parts if part)


def _needed(found: FoundConfig) -> Iterator[tuple[str, Open | None]]:
    """Yield the keys that a run needs beside its config, each with the reason."""
    config = found.config
    if config.fields is None and found.params is None:
        yield "model", None
    if "vocab" in config.open and config.fields is not None and "vocab_size" not in config.fields:
        yield "vocab", config.open["vocab"]
    if "gpus" in config.open:
        yield "gpus", config.open["gpus"]
    if "sequence" in config.open:
        yield "context", config.open["sequence"]
    if "tokens" not in config.values:
        cause = config.open.get("tokens")
        if cause is None or not {"gpus", "sequence", "vocab"} & _causes(config, cause):
            yield "tokens", cause


def _causes(config: TrainingConfig, cause: Open) -> set[str]:
    """Return the values that are open for the same reason."""
    return {name for name, each in config.open.items() if each.reason == cause.reason and each.place == cause.place}


def _reason(cause: Open | None) -> str:
    if cause is None:
        return "not in the file: a config.json, or the name of a public model"
    at = f", line {cause.place.line}" if cause.place is not None and cause.place.line is not None else ""
    return f"not in the file{at}: {cause.reason}"


def _name(path: str, names: set[str]) -> str:
    """Return a name for a run that no other has: that of its file, with its folders where that is needed."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-") or "run" for part in path.split("/")]
    parts[-1] = parts[-1].rpartition(".")[0] or parts[-1]
    name = next((shown for n in range(1, len(parts) + 1) if (shown := "-".join(parts[-n:])) not in names), "")
    if not name:
        name = next(shown for n in range(2, _MOST_RUNS + 3) if (shown := f"{'-'.join(parts)}-{n}") not in names)
    names.add(name)
    return name


def _quoted(text: str) -> str:
    escaped = escape_control(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
