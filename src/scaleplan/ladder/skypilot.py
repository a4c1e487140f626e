"""The runs of a ladder as a task of SkyPilot, which machines share and which goes on where one is taken away."""

from __future__ import annotations

import math
import re
import shlex
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.ladder.engines import REMOTE_FOLDER, label_of
from scaleplan.ladder.schedule import turns
from scaleplan.ladder.shell import run_functions
from scaleplan.ladder.yaml_file import image_of, yaml_file
from scaleplan.units.format import counted, format_usd_per_hour
from scaleplan.units.parse import USD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["SKYPILOT_NAMES", "skypilot_task"]

SKYPILOT_NAMES: Mapping[str, str] = {
    # sky/catalog/data_fetchers/fetch_fluidstack.py: GPU_MAP; V100-32GB in sky/utils/gpu_names.py
    "a10": "A10",
    "a100-pcie-40": "A100",
    "a100-sxm-40": "A100",
    "rtx-3080-10": "RTX3080",
    "t4": "T4",
    "v100-pcie-16": "V100",
    "v100-sxm2-16": "V100",
    "v100-pcie-32": "V100-32GB",
    "v100-sxm2-32": "V100-32GB",
    # sky/provision/kubernetes/utils.py, GFDLabelFormatter: A100-80GB is A100-SXM-80GB or A100-PCIE-80GB, as H100
    "a100-pcie-80": "A100-80GB",
    "a100-sxm-80": "A100-80GB",
    "h100-pcie": "H100",
    "h100-sxm": "H100",
    # sky/provision/runpod/utils.py: GPU_NAME_MAP
    "a30": "A30",
    "a40": "A40",
    "b200": "B200",
    "h100-nvl": "H100-NVL",
    "l4": "L4",
    "l40": "L40",
    "l40s": "L40S",
    "mi300x": "MI300X",
    "rtx-3070": "RTX3070",
    "rtx-3090": "RTX3090",
    "rtx-4080": "RTX4080",
    "rtx-4090": "RTX4090",
    "rtx-5080": "RTX5080",
    "rtx-5090": "RTX5090",
    "rtx-4000-ada": "RTX4000-Ada",
    "rtx-5000-ada": "RTX5000-Ada",
    "rtx-6000-ada": "RTX6000-Ada",
    "rtx-a4000": "RTXA4000",
    "rtx-a5000": "RTXA5000",
    "rtx-a6000": "RTXA6000",
    # sky/utils/gpu_names.py: CANONICAL_GPU_NAMES
    "a10g": "A10G",
    "b300": "B300",
    "gb200": "GB200",
    "gb300": "GB300",
    "gh200-96": "GH200",
    "h200-sxm": "H200",
    "p100-pcie-16": "P100",
    "p100-sxm2-16": "P100",
}
"""What SkyPilot 0.14 calls our GPUs, by its own code. One of its names may stand for several of ours."""

_BUCKET = re.compile(
    r"(?:s3|gs|r2|nebius|cw)://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]/?"
    r"|https://[a-z0-9]{3,24}\.blob\.core\.windows\.net/[a-z0-9][a-z0-9-]{1,61}[a-z0-9]/?"
)
"""The buckets that SkyPilot 0.14 mounts with a cache (data/storage.py: mount_cached_command), without a path within:
what it mounts is whole."""

_VOLUME = re.compile(r"[a-zA-Z0-9]+(?:[._-]{1,2}[a-zA-Z0-9]+)*")
"""A name that SkyPilot gives (task.py: _VALID_NAME_REGEX)."""


_STEPS, _ROUNDING = 10_000, 1e-6
"""Parts of a dollar to which prices are rounded up, as those of catalogs, and what floats may add to a whole part."""


def skypilot_task(ladder: Ladder, runs: Sequence[LadderRun], again: Mapping[str, str] | None = None) -> str:
    """Return a task of which as many managed jobs are submitted as there are places, each with its share of the runs.

    Raises UsageError for what SkyPilot cannot have.
    """
    name, price = _gpu(ladder), _price(ladder)
    if not runs or any(run.limit_hours is None for run in runs):
        raise UsageError("no time of the runs is known, so nothing limits what they spend", hint="--gpu NAME")
    image, label, shares = image_of(ladder), label_of(ladder.folder), _shares(ladder, runs)
    task = {
        "name": label,
        "workdir": ".",
        "resources": {
            "accelerators": {name: ladder.gpus},
            "use_spot": True,
            "max_hourly_cost": price,
            "job_recovery": {"max_restarts_on_errors": 0},
            **({} if image is None else {"image_id": f"docker:{image}"}),
        },
        **_storage(ladder),
        "run": _script(runs, shares, again),
    }
    others = sorted(ours for ours, theirs in SKYPILOT_NAMES.items() if theirs == name and ours != ladder.gpu)
    return yaml_file(
        ladder,
        runs,
        "Pilot runs of a ladder as a task of SkyPilot, 0.14 or later.",
        {
            "places": f"{counted(len(shares), 'managed job')} share the runs, each on a spot machine of its own that "
            "goes when its share has ended. Without --num-jobs one machine takes all runs, one after another.",
            "watch": "sky jobs queue",
            "stop": "sky jobs cancel ID...",
            "again": "the same file: runs that have finished are skipped.",
            "results": f"a folder for each run in the folder {label} of {ladder.storage}. Copied into "
            f"{shlex.quote(ladder.folder)}, they are there for 'scaleplan ladder status' and 'scaleplan fit'.",
            "needs": "what commands need, in the folder from which this is submitted and of which each machine has a "
            f"copy, in {'the' if image else 'an'} image{'' if image else ' (--image NAME)'}, or installed by a "
            "section 'setup: |' that you add, such as 'pip install -r requirements.txt'.",
            "limits": "each run has its own. max_hourly_cost is for one machine with all its GPUs: SkyPilot takes it "
            f"only where its catalog has a spot price of at most {format_usd_per_hour(price)}. A machine that is "
            "taken away is replaced: the next one skips runs that have finished and starts its others anew, "
            "which the costs above leave out, as they do SkyPilot's own machine that looks after the jobs. A run "
            "that fails stops no other.",
            **({"gpus": f"{name} may be {' or '.join(others)}, too: --infra chooses the cloud."} if others else {}),
        },
        task,
    )


def _shares(ladder: Ladder, runs: Sequence[LadderRun]) -> tuple[tuple[int, ...], ...]:
    """Return the runs of each machine, in turn."""
    return turns([run.hours or 0.0 for run in runs], ladder.at_once)


def _script(runs: Sequence[LadderRun], shares: Sequence[Sequence[int]], again: Mapping[str, str] | None) -> str:
    """Return the shell of every machine: it takes the runs of its rank, one after another, whatever becomes of them.

    It does not call exit: SkyPilot appends what waits until the files are in the bucket.
    """
    cases = "".join(f"  {len(shares)}:{rank}) share='{_spaced(share)}' ;;\n" for rank, share in enumerate(shares))
    return (
        run_functions(runs, again)
        + f"""\
jobs=${{SKYPILOT_NUM_JOBS:-1}} rank=${{SKYPILOT_JOB_RANK:-0}}
case "$jobs:$rank" in
{cases}  *) share='' run=$rank
    while [ "$run" -lt {len(runs)} ]; do share="$share $run"; run=$((run + jobs)); done ;;
esac
failed=0
for run in $share; do
  run_pilot "$run" || failed=1
done
[ "$failed" = 0 ]
"""
    )


def _spaced(share: Sequence[int]) -> str:
    return " ".join(map(str, share))


def _gpu(ladder: Ladder) -> str:
    if ladder.gpu is None:
        raise UsageError("SkyPilot finds machines by their GPUs, and no GPU is named", hint="name it with --gpu NAME")
    if ladder.gpu not in SKYPILOT_NAMES:
        raise UsageError(
            f"no task of SkyPilot's is written for {quote(ladder.gpu)}: what SkyPilot calls it is not known",
            hint=f"it is of {', '.join(SKYPILOT_NAMES)}, whose ids a file of your own may have; "
            "--format csv lists the runs and their commands",
        )
    return SKYPILOT_NAMES[ladder.gpu]


def _price(ladder: Ladder) -> float:
    """Return the most dollars that a machine may cost for an hour: the price of its GPUs."""
    if ladder.price is None or ladder.price <= 0:
        raise UsageError(
            "SkyPilot takes machines up to a price, and no price of a GPU-hour is known",
            hint="give the most that you would pay with --price, for example --price 2.50",
        )
    if ladder.currency not in (None, USD):
        raise UsageError(
            f"SkyPilot takes machines up to a price in US dollars, and the price is in {ladder.currency}",
            hint="give the price in dollars, for example --price 2.50",
        )
    return math.ceil(ladder.price * ladder.gpus * _STEPS - _ROUNDING) / _STEPS


def _storage(ladder: Ladder) -> dict[str, object]:
    """Return the part of the task that mounts what keeps the folders of runs.

    A bucket is mounted with a cache (MOUNT_CACHED, rclone): the plain mount of S3 (goofys) writes files only from
    their start, and a second attempt appends to the log of the first.
    """
    storage = ladder.storage
    if storage is None:
        raise UsageError(
            "machines vanish with what runs write",
            hint="name a bucket that keeps it, with --storage s3://NAME, or a volume of SkyPilot's",
        )
    if _BUCKET.fullmatch(storage):
        return {"file_mounts": {REMOTE_FOLDER: {"source": storage, "mode": "MOUNT_CACHED"}}}
    if _VOLUME.fullmatch(storage):
        return {"volumes": {REMOTE_FOLDER: storage}}
    raise UsageError(
        f"{quote(storage)} is no bucket that SkyPilot mounts for writing, and no volume",
        hint="--storage s3://NAME is a whole bucket (so are gs, r2, nebius and cw, and "
        "https://ACCOUNT.blob.core.windows.net/NAME), and --storage NAME a volume",
    )
