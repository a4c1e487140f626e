"""Read a JSON document with the history of a run: a list of objects, an object of columns, or one of several runs.

So W&B's ``history`` and ``scan_history`` are dumped, a Trainer's ``log_history`` by itself, the scalars that
TensorBoard exports, and what people keep of their own training loops.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from scaleplan.logs.log_file import run_name
from scaleplan.logs.metric_rows import BLOCK_ROWS, MetricRows
from scaleplan.logs.metrics import EVALUATION, metric_names, role_of
from scaleplan.logs.row_objects import (
    add_objects,
    flattened,
    is_history,
    rows_as_columns,
    wandb_format,
    warn_of_sampling,
    whole_items,
)
from scaleplan.tables.cells import to_text
from scaleplan.tables.headings import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.logs.log_file import LogFile
    from scaleplan.logs.recorder import Recorder

__all__ = ["MAX_DOCUMENT", "read", "recognise"]

MAX_DOCUMENT = 100_000_000
"""Bytes of a document that is read as a whole; a longer history is written a line a row."""

_LEAST_POINTS = 2


def recognise(file: LogFile) -> bool:
    """Return whether a document holds a history, by what its beginning holds."""
    text = file.head_text.lstrip("\ufeff \n\t")
    if text.startswith("["):
        return is_history(_first_items(text))
    if not text.startswith("{") or '"nbformat"' in text[:2000]:
        return False
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _begins_like_columns(text)
    return isinstance(document, dict) and bool(_parts(document))


def read(file: LogFile) -> Iterator[Recorder]:
    """Yield the runs of a document."""
    data = bytearray()
    for chunk in file.chunks():
        data += chunk
        if len(data) > MAX_DOCUMENT:
            break
    text = data[:MAX_DOCUMENT].decode("utf-8-sig", errors="replace").replace("\x00", "")
    cut = len(data) > MAX_DOCUMENT
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        document, cut = _first_items(text.lstrip()), True
    name = run_name(file.path)
    if isinstance(document, list):
        histories: list[tuple[str, Sequence[Mapping[str, Any]], Mapping[str, Any]]] = [("", document, {})]
    else:
        histories = _parts(document) if isinstance(document, dict) else []
    for part, objects, settings in histories:
        items = [item for item in objects if isinstance(item, dict)]
        known = {key for item in items[:BLOCK_ROWS] for key in item}
        rows = MetricRows(part or name, file.source, wandb_format(known) or "json-history")
        if settings:
            rows.state(flattened(settings))
        for start in range(0, len(items), BLOCK_ROWS):
            block = items[start : start + BLOCK_ROWS]
            add_objects(rows, block, range(start + 1, start + 1 + len(block)))
        for run in rows.runs():
            if cut:
                run.recorder.warn("cut", "the document is cut off: what is whole of it was read")
            warn_of_sampling(run.recorder, rows)
            yield run.recorder


def _first_items(text: str) -> list[dict[str, Any]]:
    """Return the whole objects at the beginning of a list."""
    items, _, _ = whole_items(text[text.find("[") + 1 :])
    return list(takewhile(lambda item: isinstance(item, dict), items))


def _begins_like_columns(text: str) -> bool:
    """Whether a document too long for the head is a history: the first of its keys that holds a list tells."""
    decoder = json.JSONDecoder()
    position = 1
    found: dict[str, list[float]] = {}
    while True:
        start = text.find('"', position)
        if start < 0 or text[position:start].strip(" \t\r\n,"):
            break
        try:
            key, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            break
        colon = text.find(":", position)
        if colon < 0:
            break
        position = colon + 1
        while position < len(text) and text[position] in " \t\r\n":
            position += 1
        try:
            _, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            rest = text[position:]
            if rest.startswith("["):
                items = _first_items(rest)
                if items:
                    return is_history(items)
                found[str(key)] = []
            elif rest.startswith("{"):
                return _begins_like_columns(rest)
            break
    roles = {meaning.role for key in found if (meaning := role_of(_singular(key))) is not None}
    return bool(roles & {"step", "loss", "val_loss", "tokens"})


def _parts(document: Mapping[str, Any]) -> list[tuple[str, Sequence[Mapping[str, Any]], Mapping[str, Any]]]:
    """Return the histories in an object with the name of the run of each, where it has one, and settings."""
    settings = {key: value for key, value in document.items() if not isinstance(value, list)}
    columns = _columns(document)
    if columns:
        return [("", columns, settings)]
    lists = {
        key: [item for item in value if isinstance(item, dict)]
        for key, value in document.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    lists = {key: items for key, items in lists.items() if is_history(items)}
    if len(lists) > 1 and all(_is_part(key) for key in lists):
        merged = [
            {f"{key}/{name}": value for name, value in item.items() if not _counts(name)}
            | {name: value for name, value in item.items() if _counts(name)}
            if _is_evaluation(key)
            else item
            for key, items in lists.items()
            for item in items
        ]
        merged.sort(key=_order)
        return [("", merged, settings)]
    if lists:
        alone = len(lists) == 1
        return [("" if alone or _is_part(key) else key, items, settings) for key, items in lists.items()]
    inner = {key: value for key, value in document.items() if isinstance(value, dict)}
    for key, value in document.items():  # a list of runs, each with its name and its history
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            inner |= {_name_of(item) or f"{key} {number}": item for number, item in enumerate(value, 1)}
    found: list[tuple[str, Sequence[Mapping[str, Any]], Mapping[str, Any]]] = [
        (part or ("" if _is_part(key) else key), objects, {**document, **of_part})
        for key, value in inner.items()
        for part, objects, of_part in _parts(value)
    ]
    if len(found) == 1:
        found = [("", found[0][1], {**settings, **found[0][2]})]
    return found


def _name_of(item: Mapping[str, Any]) -> str | None:
    run = metric_names(item).run
    return None if run is None else to_text(item[run])


def _columns(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an object of columns as rows: lists of one length, or pandas' columns by index; none for others."""
    columns = {
        key: list(value.values()) if isinstance(value, dict) and all(map(str.isdigit, value)) else value
        for key, value in document.items()
        if (isinstance(value, list) or (isinstance(value, dict) and len(value) > 1 and all(map(str.isdigit, value))))
    }
    columns = {
        _singular(key): value
        for key, value in columns.items()
        if isinstance(value, list) and len(value) >= _LEAST_POINTS and not isinstance(value[0], dict | list)
    }
    roles = {key: meaning.role for key in columns if (meaning := role_of(key)) is not None}
    losses = [key for key, role in roles.items() if role in {"loss", "val_loss"}]
    if not losses:
        return []
    # columns of one length are rows; shorter ones (a validation now and then) have their own count of steps
    steps = [key for key, role in roles.items() if role in {"step", "tokens", "epoch"}]
    rows: list[dict[str, Any]] = []
    lengths = dict.fromkeys(len(columns[key]) for key in roles)
    for length in lengths:
        same = [key for key in roles if len(columns[key]) == length]
        if len(lengths) > 1 and steps and not set(same) & set(steps):
            continue  # values whose steps nothing tells
        rows += [dict(zip(same, values, strict=True)) for values in zip(*(columns[key] for key in same), strict=True)]
    return sorted(rows, key=_order) if len(lengths) > 1 else rows


def _singular(name: str) -> str:
    """Return the name of a metric of a list of its values: ``train_losses``."""
    for plural, single in (
        ("losses", "loss"),
        ("Losses", "Loss"),
        ("steps", "step"),
        ("lrs", "lr"),
        ("epochs", "epoch"),
    ):
        if name.endswith(plural):
            return name.removesuffix(plural) + single
    return name


def _counts(name: str) -> bool:
    meaning = role_of(name)
    return meaning is not None and meaning.role in {"step", "tokens", "epoch"}


def _order(item: Mapping[str, Any]) -> float:
    columns = rows_as_columns([item])
    for name, cells in columns.items():
        meaning = role_of(name)
        if meaning is not None and meaning.role == "step" and isinstance(cells[0], int | float):
            return float(cells[0])
    return float("inf")


def _is_evaluation(name: str) -> bool:
    return not EVALUATION.isdisjoint(normalised(name).split())


_RUNLESS = frozenset({"log history", "history", "logs", "metrics", "train", "training", "validation", "val", "eval"})
"""Keys of a document that name its part and no run."""


def _is_part(name: str) -> bool:
    """Return whether a key of a document is the name of a part of one run."""
    return normalised(name) in _RUNLESS
