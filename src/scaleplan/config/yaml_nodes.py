"""A YAML text as a document that is asked for single values; only what is asked for is ever constructed.

Anchors, aliases and merge keys are followed. Tags other than YAML's own are never acted on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.config.document import Found
from scaleplan.errors import FileError, inert

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.config.keypath import Key

__all__ = ["YamlDocument"]

_DEEPEST_MERGE = 20


class YamlDocument:
    """A parsed YAML text.

    Parameters
    ----------
    text
        The text of one document.
    name
        The file it came from, as shown to the user.

    Raises
    ------
    FileError
        When PyYAML is not installed, or the text is not YAML.

    """

    def __init__(self, text: str, *, name: str) -> None:
        try:
            import yaml
        except ImportError:
            raise FileError(
                f"{name}: reading YAML needs PyYAML, which is not installed",
                hint="install it with 'pip install pyyaml', or keep the values in TOML or JSON",
            ) from None
        self.name = name
        self._problem = yaml.YAMLError
        loader = yaml.SafeLoader(text)
        self._construct = yaml.SafeLoader("").construct_object
        try:
            self._root: Any = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
            raise FileError(f"{name}: not valid YAML{line}: {inert(str(error.problem))}") from None
        except (yaml.YAMLError, RecursionError, ValueError):
            raise FileError(f"{name}: not valid YAML: unreadable characters, or nested too deeply") from None
        finally:
            loader.dispose()

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        node, line = self._root, None
        for part in key:
            step = self._step(node, part)
            if step is None:
                return None
            node, line = step
        if node is None:
            return None
        if node.id != "scalar":
            return Found(value={} if node.id == "mapping" else [], line=line)
        try:
            return Found(value=self._construct(node), line=line)
        except (self._problem, ValueError) as error:
            raise FileError(f"{self.name}: line {line}: {inert(str(error).splitlines()[0])}") from None

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
        node = self._root
        for part in key:
            step = self._step(node, part)
            if step is None:
                return []
            node = step[0]
        if node is None or node.id != "mapping":
            return []
        return [str(name.value) for name, _ in _pairs(node)]

    @staticmethod
    def _step(node: Any, part: str | int) -> tuple[Any, int] | None:  # noqa: ANN401  a node of an optional library
        if node is None:
            return None
        if node.id == "sequence" and isinstance(part, int) and part < len(node.value):
            item = node.value[part]
            return item, item.start_mark.line + 1
        if node.id == "mapping":
            found = None
            for name, value in _pairs(node):
                if name.value == str(part):
                    found = value, name.start_mark.line + 1  # of a key given twice the last counts
            return found
        return None


def _pairs(node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
    """Yield the scalar keys of a mapping with their values: merged ones first, so that its own win."""
    own = []
    for name, value in node.value:
        if name.tag == "tag:yaml.org,2002:merge" and depth < _DEEPEST_MERGE:
            merged = reversed(value.value) if value.id == "sequence" else [value]
            for mapping in merged:
                if mapping.id == "mapping":
                    yield from _pairs(mapping, depth + 1)
        elif name.id == "scalar":
            own.append((name, value))
    yield from own
