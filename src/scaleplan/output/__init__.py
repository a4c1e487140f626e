"""Output formats: one result in, text out; a new format is one function and its line in :data:`FORMATS`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.output.ci import Judgement
    from scaleplan.output.report import Report

__all__ = ["FORMATS", "JUDGING", "Rendering", "render"]


class Rendering:
    """A result on its way to a format: the machine's view and the person's view of the same thing.

    Parameters
    ----------
    data
        The JSON object.
    records
        What a row, or a line of jsonl, is made of; the object itself by default.
    report
        Makes the view for people; called only by formats that need it.
    cases
        What was judged, for the formats of CI services; None where nothing is.

    """

    __slots__ = ("cases", "data", "records", "report")

    def __init__(
        self,
        data: dict[str, object],
        *,
        report: Callable[[], Report],
        records: Sequence[dict[str, object]] | None = None,
        cases: Sequence[Judgement] | None = None,
    ) -> None:
        self.data = data
        self.report = report
        self.records = [data] if records is None else records
        self.cases = cases


def _text(result: Rendering) -> str:
    from scaleplan.output.text import render_text

    return render_text(result.report())


def _markdown(result: Rendering) -> str:
    from scaleplan.output.markdown import render_markdown

    return render_markdown(result.report())


def _json(result: Rendering) -> str:
    from scaleplan.output.data import render_json

    return render_json(result.data)


def _jsonl(result: Rendering) -> str:
    from scaleplan.output.data import render_jsonl

    return render_jsonl(result.records)


def _csv(result: Rendering) -> str:
    from scaleplan.output.data import render_delimited

    return render_delimited(result.records, delimiter=",")


def _tsv(result: Rendering) -> str:
    from scaleplan.output.data import render_delimited

    return render_delimited(result.records, delimiter="\t")


def _github(result: Rendering) -> str:
    from scaleplan.output.ci import render_github

    return render_github(result.cases or ())


def _junit(result: Rendering) -> str:
    from scaleplan.output.ci import render_junit

    return render_junit(result.cases or ())


def _sarif(result: Rendering) -> str:
    from scaleplan.output.ci import render_sarif

    return render_sarif(result.cases or ())


FORMATS: Mapping[str, Callable[[Rendering], str]] = {
    "text": _text,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
    "tsv": _tsv,
    "markdown": _markdown,
}
"""Every format by the name that ``--format`` takes; each imports what it needs when it is used."""

JUDGING: Mapping[str, Callable[[Rendering], str]] = {"github": _github, "junit": _junit, "sarif": _sarif}
"""The further formats of a result that has been judged: annotations, tests, and code scanning."""


def render(result: Rendering, name: str) -> str:
    """Return the result in the named format."""
    return {**FORMATS, **JUDGING}[name](result)
