"""Read the model of a run from its config."""

from __future__ import annotations

from scaleplan.errors import FileError
from scaleplan.project.document import DataDocument
from scaleplan.project.key_path import Document


def model_fields(document: Document) -> dict[str, object]:
    if isinstance(document, DataDocument) and isinstance(document.data, dict):
        return document.data
    raise FileError("x")
