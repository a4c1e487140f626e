"""Folders of ladders for tests: runs as an engine leaves them, with logs of known losses."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.logs.writers import Point, written

from scaleplan.logs.ladder_run import run_file

NOW = 1_800_000_000.0
"""The clock of tests, in seconds since 1970."""

STEPS = 1000


def loss_at(step, floor=2.0):
    """Return the loss of a run after some steps."""
    return floor + 6 * (step + 10) ** -0.4


def points(upto, *, every=10, steps=STEPS, val=100):
    """Return what a run of ``steps`` has logged before a step."""
    at = range(0, upto, every)
    return [Point(step, loss_at(step), val=loss_at(step) + 0.1 if step % val == 0 else None) for step in at]


def write_ladder_json(ladder, folder):
    """Write what ``design`` keeps of a ladder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, "ladder.json").write_text(json.dumps(ladder.to_dict()))


def write_run(
    folder,
    run,
    *,
    upto=STEPS,
    exit_status=None,
    style="torchtitan",
    began=2.0,
    silent=0.0,
    after="",
    now=NOW,
    log=True,
    started=True,
):
    """Write the folder of a run that began some hours ago and has written nothing for others; return it."""
    place = Path(folder, run.name)
    place.mkdir(parents=True, exist_ok=True)
    (place / "run.json").write_text(json.dumps(run_file(run)))
    if log:
        (place / "output.log").write_bytes(written(style, points(upto, steps=run.steps), run.steps) + after.encode())
    if exit_status is not None:
        (place / "exit").write_text(f"{exit_status}\n")
    for file in place.iterdir():
        os.utime(file, (now - 3600 * silent,) * 2)
    if started:
        (place / "started").write_text(f"{now - 3600 * began:.0f}\n")
        os.utime(place / "started", (now - 3600 * began,) * 2)
    return place
