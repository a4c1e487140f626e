"""Ladders that no law carries: very small models, and shapes that change along them."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp

SIZES = np.geomspace(1e8, 3.2e9, 6)


def notices(tmp_path, sizes, columns=(), rows=()):
    """Fit six sizes on two token counts each; return the warnings by code."""
    lines = [",".join(["params", "tokens", "loss", *columns])]
    for i, size in enumerate(sizes):
        for ratio in (10, 40):
            loss = 1.7 + 400 / size**0.34 + 410 / (size * ratio) ** 0.28
            lines.append(",".join(map(str, [repr(float(size)), repr(float(size * ratio)), loss, *rows[i : i + 1]])))
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return {notice.code: notice.message for notice in sp.fit(path).warnings}


def test_models_below_five_million_parameters_are_named(tmp_path):
    """From a quarter of the runs on; a single small one is no such ladder."""
    assert "12 of 12 runs have models below 5.00M" in notices(tmp_path, SIZES / 1000)["small_models"]
    assert "small_models" not in notices(tmp_path, SIZES)
    assert "small_models" not in notices(tmp_path, [1e6, *SIZES[1:]])


@pytest.mark.parametrize(
    ("columns", "rows", "part"),
    [
        (["n_layers"], ["2", "2", "3", "4", "6", "8"], "from 2 to 8 layers"),
        (["shape"], ["64x2", "96x2", "128x4", "256x4", "512x5", "512x7"], "from 2 to 7 layers"),
        (["n_layer,d_model"], ["8,256", "8,256", "8,512", "8,512", "8,1024", "8,2048"], "from 32.0 in the smallest"),
    ],
)
def test_a_shape_that_changes_along_the_ladder_is_named(tmp_path, columns, rows, part):
    """By columns of layers and width, or one of both."""
    assert part in notices(tmp_path, SIZES, columns, rows)["shape_changes"]


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (["n_layer,d_model"], ["8,512", "10,640", "12,768", "16,1024", "20,1280", "24,1536"]),
        (["n_layers"], ["12", "14", "18", "24", "32", "40"]),
        (["n_layers"], ["2", "2", "3", "", "6", "8"]),
        (["layer_norm"], ["0.5", "0.5", "0.5", "0.1", "0.5", "0.5"]),
    ],
)
def test_a_shape_that_grows_evenly_or_is_not_known_is_no_doubt(tmp_path, columns, rows):
    """More layers with more width are how every ladder grows."""
    assert "shape_changes" not in notices(tmp_path, SIZES, columns, rows)
