"""The shapes of published models, and which of them is nearest to a new one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.datafiles import read_data

if TYPE_CHECKING:
    from scaleplan.models.architecture import Architecture

__all__ = ["Published", "nearest", "published_shapes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The shape of a published model."""

    name: str
    params: float
    active_params: float
    layers: int
    width: int
    heads: int
    kv_heads: int
    ffn_width: int
    source: str


def published_shapes() -> list[Published]:
    """Return the shapes of the data file ``shapes.toml``, the bundled and the user's own.

    Raises
    ------
    FileError
        When a file is invalid.

    """
    shapes = []
    for table in read_data("shapes.toml"):
        for family in table.tables("families"):
            source = family.text("source")
            for row in family.tables("models"):
                heads, width = row.integer("heads", at_least=1), row.integer("width", at_least=1)
                params = row.number("params", above=0)
                shapes.append(
                    Published(
                        name=row.text("name"),
                        params=params,
                        active_params=row.number("active_params", params, above=0),
                        layers=row.integer("layers", at_least=1),
                        width=width,
                        heads=heads,
                        kv_heads=row.integer("kv_heads", heads, at_least=1),
                        ffn_width=row.integer("ffn_width", 4 * width, at_least=1),
                        source=source,
                    )
                )
                row.done()
            family.done()
        table.done()
    return shapes


def nearest(architecture: Architecture, *, params: float, active_params: float) -> Published | None:
    """Return the published shape nearest in the logarithms of sizes, width and depth; None without a data file."""

    def distance(shape: Published) -> float:
        return (
            math.log(shape.params / params) ** 2
            + math.log(shape.active_params / active_params) ** 2
            + math.log(shape.width / architecture.width) ** 2
            + math.log(shape.layers / architecture.layers) ** 2
        )

    return min(published_shapes(), key=distance, default=None)
