"""What a file takes from other files: the config that a command names, and the list of a hydra config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.documents.key_path import Undetermined
from scaleplan.documents.shell_document import ShellDocument
from scaleplan.documents.yaml_document import YamlDocument
from scaleplan.errors import FileError, quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.documents.key_path import Document
    from scaleplan.documents.shell_document import Command

__all__ = ["composed", "elsewhere", "named_configs"]

_ENDINGS = (".yaml", ".yml", ".toml", ".json")

_PROGRAMS = (
    *("torchrun", "accelerate", "deepspeed", "axolotl", "litgpt", "composer", "srun", "mpirun", "tune", "trl"),
    *("python", "python3", "llamafactory-cli", "nemo"),
)
"""The programs that start a training, by the last part of their path."""

_OTHER = ("deepspeed", "deepspeed_config", "fsdp_config", "ds_config")
"""The flags whose file is no config of the run: that of DeepSpeed, of FSDP; accelerate's is its ``config_file``."""

_MOST = 20  # of the files that a hydra config is composed of


def named_configs(command: Command) -> list[str]:
    """Return the configs that a command names, but for those of what it starts with; scripts after the first, too."""
    programs = {str(word).rpartition("/")[2] for word in command.words} & set(_PROGRAMS)
    if not programs:
        return []
    flags = (*_OTHER, "config_file") if "accelerate" in programs else _OTHER
    found = (command.find((flag,)) for flag in flags)
    other = {str(each.value) for each in found if each is not None and not isinstance(each.value, Undetermined)}
    words = (word.rpartition("=")[2] for word in command.words)
    named = [word for word in dict.fromkeys(words) if word.casefold().endswith(_ENDINGS) and word not in other]
    return [*named, *_hydra(command), *[word for word in command.words if word.endswith(".py")][1:]]


def _hydra(command: Command) -> Iterator[str]:
    """Yield the config that a command names to hydra, by the folder and the name of it."""
    name, folder = (command.find((flag,)) for flag in ("config_name", "config_path"))
    if name is not None and isinstance(name.value, str):
        path = f"{folder.value}/" if folder is not None and isinstance(folder.value, str) else ""
        yield f"{path}{name.value}" if name.value.endswith(_ENDINGS) else f"{path}{name.value}.yaml"


def composed(document: Document) -> list[str]:
    """Return the files that the ``defaults`` of a hydra config name, as they stand there."""
    return [text for text, _ in _defaults(document)]


def _defaults(document: Document) -> Iterator[tuple[str, int | None]]:
    if not isinstance(document, YamlDocument):
        return
    for position in range(_MOST):
        key = ("defaults", position)
        found = document.find(key)
        if found is None:
            return
        for name in document.names(key):
            inner = document.find((*key, name))
            if inner is not None and isinstance(inner.value, str):
                yield f"{name}: {inner.value}", inner.line
        if isinstance(found.value, str) and found.value != "_self_":
            yield found.value, found.line


def elsewhere(document: Document) -> FileError | None:
    """Return the error that names the file in which the config of a run lies, where it is not in this one."""
    if isinstance(document, ShellDocument):
        for command in document.commands:
            for name in named_configs(command):
                return FileError(
                    f"{document.name}:{command.line}: the config of this command is another file: {quote(name)}",
                    hint=f"give that file, with what the command says otherwise as options: {name}",
                    file=document.name,
                    line=command.line,
                )
    names = list(_defaults(document))
    if not names:
        return None
    shown = ", ".join(quote(name) for name, _ in names)
    line = names[0][1]
    return FileError(
        f"{document.name}:{line}: defaults: the config is composed of other files, which are not read: {shown}",
        hint="give the composed config: the script of a hydra config prints it with --cfg job",
        file=document.name,
        line=line,
    )
