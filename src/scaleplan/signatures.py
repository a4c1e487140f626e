"""The functions of the package as Python shows them: with every keyword, its type, its default and a line about it.

A function takes the options of a request as ``**options: Unpack[Keywords]``, which type checkers and editors read.
Here they become parameters of its signature, with the help that :class:`scaleplan.planning.request.Request` declares,
and an unknown keyword is refused with the nearest known one.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from functools import wraps
from importlib import import_module
from textwrap import wrap
from typing import TYPE_CHECKING, Any, get_overloads

from scaleplan.errors import unexpected_keyword
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import Request, option_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["OLD_KEYWORDS", "public"]

OLD_KEYWORDS = frozenset({"start", "stop", "grid", "laws", "model_params"})
"""Earlier names of keywords: accepted beside the name of today, and shown nowhere."""

_PLANNING = "planning.request"

_HOMES = (_PLANNING, "fitting.fit_request", "models.shape")
"""The modules that declare the keywords of several functions."""

_PASSED_ON = {"ways": "models.memory_questions:memory"}
"""The functions whose further options are those of another."""

_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)

_UNPACKED = re.compile(r"Unpack\[(\w+)\]")

_WIDTH = 100


class _Type(str):
    """The text of an annotation, which ``help`` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def public(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a function of the package under its public name, with its real parameters."""
    own = inspect.signature(function)
    if name in _PASSED_ON:
        own = _with_those_of(own, _PASSED_ON[name])
    keywords = _unpacked(function, own)
    if keywords is None and any(each.kind is each.VAR_KEYWORD for each in own.parameters.values()):
        return function  # which takes whatever a law declares
    signature = _full(own, keywords or {})
    known = own.parameters.keys() | (keywords or {}).keys()
    shown = [each for each in (*own.parameters, *(keywords or {})) if each not in OLD_KEYWORDS]
    only_keywords = not any(each.kind in _POSITIONAL for each in own.parameters.values())

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:  # noqa: ANN401  whatever the function takes and gives
        if args and only_keywords:
            raise TypeError(f"{name}() takes keywords alone, such as {shown[0]}=…")
        for word in given:
            if word not in known:
                raise unexpected_keyword(word, shown, function=name)
        return function(*args, **given)

    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = _documented(function, signature)
    call.__module__, call.__qualname__ = "scaleplan", name  # where it is found again by pickle
    return call


def _with_those_of(own: inspect.Signature, place: str) -> inspect.Signature:
    """Return a signature with the keywords of another function in place of ``**options``."""
    module, _, name = place.partition(":")
    other = inspect.signature(getattr(import_module(f"scaleplan.{module}"), name)).parameters.values()
    kept = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    taken = {each.name for each in kept}
    added = [each for each in other if each.kind is each.KEYWORD_ONLY and each.name not in taken]
    return own.replace(parameters=[*kept, *added])


def _unpacked(function: Callable[..., Any], own: inspect.Signature) -> Mapping[str, str] | None:
    """Return the type of each keyword that a function takes in ``**options``; None where it takes none."""
    for each in (own, *map(inspect.signature, get_overloads(inspect.unwrap(function)))):
        for parameter in each.parameters.values():
            match = _UNPACKED.search(str(parameter.annotation)) if parameter.kind is parameter.VAR_KEYWORD else None
            if match is not None:
                return _keywords(match[1])
    return None


def _keywords(name: str) -> Mapping[str, str]:
    """Return the types of the keywords of a group, in the order in which a request declares its options."""
    for home in _HOMES:
        found = getattr(import_module(f"scaleplan.{home}"), name, None)
        if found is not None:
            types = {key: _text(kind) for key, kind in found.__annotations__.items()}
            order = (*_DECLARED, *types) if home == _PLANNING else types
            return {key: types[key] for key in dict.fromkeys(order) if key in types}
    raise LookupError(name)


def _text(annotation: Any) -> str:  # noqa: ANN401  a text, or a reference to one
    text = getattr(annotation, "__forward_arg__", annotation)
    return re.sub(r"\bAmount\b", "str | float", str(text))


_GROUPS = ("budget", "hardware", "sides", "limits", "law", "python", "run", "memory")
"""The options of a request by groups, in the order in which a question is put: the budget first."""

_DECLARED = {
    **{
        name: Request.__dataclass_fields__[name].metadata["help"] for group in _GROUPS for name in option_names(group)
    },
    **{option.name: option.help for option in constraint_options()},
}
"""The line about each option of a request, and of each that constraints declare."""


def _full(own: inspect.Signature, keywords: Mapping[str, str]) -> inspect.Signature:
    """Return the signature with the keywords in place of ``**options``, and without earlier names."""
    shown = [
        each.replace(annotation=_Type(_text(each.annotation)))
        for each in own.parameters.values()
        if each.kind is not each.VAR_KEYWORD and each.name not in OLD_KEYWORDS
    ]
    taken = {each.name for each in shown}
    files = [each for each in shown if each.name == "data"]  # of the program, which few ever give
    shown = [each for each in shown if each.name != "data"]
    shown += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=_default(name, kind), annotation=_Type(kind))
        for name, kind in keywords.items()
        if name not in taken
    ]
    return own.replace(parameters=[*shown, *files], return_annotation=_Type(_text(own.return_annotation)))


def _default(name: str, kind: str) -> object:
    """Return the default of a keyword: None where that is allowed, else where it is declared."""
    if kind.endswith("| None"):
        return None
    if name in Request.__dataclass_fields__:
        return Request.__dataclass_fields__[name].default
    request, reading = import_module("scaleplan.fitting.fit_request"), import_module("scaleplan.fitting.reading")
    declared = {item.name: item.default for item in (*fields(request.Objective), *fields(request.FitRequest))}
    declared |= {key: each.default for key, each in inspect.signature(reading.read_runs).parameters.items()}
    return declared.get(name)


def _documented(function: Callable[..., Any], signature: inspect.Signature) -> str:
    """Return the documentation of a function, with a line for each option of a request in place of those in prose."""
    text = inspect.getdoc(function) or ""
    described = {name for line in text.splitlines() if _NAMES.fullmatch(line) for name in line.split(", ")}
    plans = len(signature.parameters.keys() & _DECLARED.keys()) > _FEW
    lines = {name: _line(name) for name in signature.parameters if name not in described and _line(name)}
    if not plans or not lines:
        return text
    entries = "\n".join(line for name, about in lines.items() for line in _entry(name, signature, about))
    before, mark, rest = text.partition("\nParameters\n----------\n")
    if not mark:
        head, blank, following = text.partition("\n\n")
        end = f"{blank}{following}" if following else ""
        return f"{head}{end}\n\nParameters\n----------\n{entries}\n"
    sections = re.split(r"\n\n(?=[A-Z][a-z]+\n-{3,}\n)", rest, maxsplit=1)
    kept = re.sub(r"(?m)^options\n(?:    .*\n?|\n(?=    ))*", "", f"{sections[0]}\n").rstrip("\n")
    kept = _without_old(kept)
    written = "\n".join(part for part in (kept, entries) if part)
    return "\n\n".join([f"{before}{mark}{written}", *sections[1:]])


def _without_old(parameters: str) -> str:
    """Return the description of parameters without those of earlier names."""
    blocks = re.split(r"(?m)^(?=\S)", parameters)
    return "".join(
        block for block in blocks if not set(re.split(r",\s*", block.partition("\n")[0].strip())) <= OLD_KEYWORDS
    ).rstrip("\n")


_FEW = 12  # options of a request: a function with fewer describes them itself

_NAMES = re.compile(r"\w+(?:, \w+)*")


def _line(name: str) -> str:
    """Return the line about an option as Python spells others in it: ``gpu_hours`` for --gpu-hours."""
    return re.sub(r"--(\w[\w-]*)", lambda match: f"``{match[1].replace('-', '_')}``", _DECLARED.get(name, ""))


def _entry(name: str, signature: inspect.Signature, about: str) -> Iterator[str]:
    parameter = signature.parameters[name]
    default = "" if parameter.default in (None, ()) else f", default {parameter.default!r}"
    yield f"{name} : {parameter.annotation}{default}"
    yield from wrap(about, _WIDTH, initial_indent="    ", subsequent_indent="    ")
