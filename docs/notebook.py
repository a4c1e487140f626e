"""Run the notebooks of the documentation and keep what their cells give: ``python docs/notebook.py``.

With ``--check`` nothing is written, and the exit status is 1 where a cell gives another text than it did. Pictures
and the tables of data frames are not compared: they look different by every version of their libraries.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_TIMEOUT = 120  # seconds a cell


def executed(path: Path) -> Any:  # noqa: ANN401  nbformat is not typed
    """Return a notebook after all of its cells have run in a fresh kernel, without what changes from run to run."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=_TIMEOUT, resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return notebook


def texts(notebook: Any) -> list[str]:  # noqa: ANN401  as above
    """Return what the cells gave as text: printed, and the last values, but for data frames."""
    found = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", ())
        found.append("".join(each.text for each in outputs if each.output_type == "stream"))  # in pieces, as it came
        shown = ((each.output_type, each.get("data", {})) for each in outputs if each.output_type != "stream")
        found += [
            data.get("text/plain", kind) for kind, data in shown if "dataframe" not in data.get("text/html", "")
        ]
    return [text for text in found if text]


def main(arguments: list[str]) -> int:
    """Write every notebook, or check it."""
    stale = []
    for path in sorted(FOLDER.rglob("*.ipynb")):
        before, after = texts(nbformat.read(path, as_version=4)), executed(path)
        if "--check" not in arguments:
            nbformat.write(after, path)
        elif (now := texts(after)) != before:
            stale.append(path)
            sys.stderr.write(f"{path.name}: the cells give\n{now}\nand not\n{before}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
