"""The runs of a ladder as an indexed Job of Kubernetes."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.ladder.engines import REMOTE_FOLDER, label_of, remote_folder
from scaleplan.ladder.schedule import time_of_all
from scaleplan.ladder.shell import SECONDS_TO_SAVE, run_functions
from scaleplan.ladder.spending import at_most, predicted
from scaleplan.ladder.yaml_file import image_of, yaml_file
from scaleplan.units.format import counted, format_bytes, format_hours, money_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import Ladder, LadderRun

__all__ = ["kubernetes_job"]

_RESOURCES: Mapping[str, str] = {"NVIDIA": "nvidia.com/gpu", "AMD": "amd.com/gpu"}
"""The resource by which each vendor's device plugin offers whole GPUs (Kubernetes documentation, "Schedule GPUs").

Others need more than a number: TPUs a topology and node labels, Neuron devices and Gaudis programs of their own.
"""

_LABELS: Mapping[str, str] = {"app.kubernetes.io/managed-by": "scaleplan"}

_START_SECONDS = 600
"""Time of each pod for its node to pull the image and start a container, which the deadline of the Job counts: 20 GB
at 40 MB/s take 500 seconds."""

_SECONDS_TO_END = 30
"""Seconds that the shell has to write the exit status after it has ended a run: what Kubernetes grants by default."""

_LONGEST_ARGUMENT = 2**17 - 1
"""Bytes of one argument of a program that Linux takes (MAX_ARG_STRLEN, with the zero at its end)."""

_CLAIM = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""A DNS subdomain, which names of PersistentVolumeClaims are."""

_LONGEST_CLAIM = 253


def kubernetes_job(ladder: Ladder, runs: Sequence[LadderRun], again: Mapping[str, str] | None = None) -> str:
    """Return a Job that starts each run in a pod of its own; raises UsageError for what Kubernetes cannot have.

    A failed run fails its index alone, and a pod that is moved from its node is started again.
    """
    image, claim, resource = image_of(ladder), _claim(ladder), _resource(ladder)
    if image is None:
        raise UsageError("a pod needs a container image", hint="give one with --image NAME")
    if not runs or any(run.limit_hours is None for run in runs):
        raise UsageError(
            "no time of the runs is known, and a Job without a deadline has no spending limit",
            hint="name the GPUs with --gpu NAME",
        )
    script = f'{run_functions(runs, again)}run_pilot "$JOB_COMPLETION_INDEX"\n'
    if len(script.encode()) > _LONGEST_ARGUMENT:
        raise UsageError(
            f"{counted(len(runs), 'run')} take {format_bytes(len(script.encode()))} of shell, and a container is "
            f"started with at most {format_bytes(_LONGEST_ARGUMENT)}",
            hint="design fewer runs, or shorten --command",
        )
    spec = {
        "completionMode": "Indexed",
        "completions": len(runs),
        "parallelism": min(ladder.at_once, len(runs)),
        "backoffLimitPerIndex": 0,
        "activeDeadlineSeconds": _deadline(ladder, runs),
        "podFailurePolicy": {
            "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
        },
        "template": {
            "metadata": {"labels": dict(_LABELS)},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": SECONDS_TO_SAVE + _SECONDS_TO_END,
                "containers": [
                    {
                        "name": "pilot",
                        "image": image,
                        "command": ["/bin/sh", "-c"],
                        "args": [_unexpanded(script)],
                        "resources": {"limits": {resource: ladder.gpus}},
                        "volumeMounts": [
                            {"name": "ladder", "mountPath": REMOTE_FOLDER},
                            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108  what it is called
                        ],
                    }
                ],
                "volumes": [
                    {"name": "ladder", "persistentVolumeClaim": {"claimName": claim}},
                    {"name": "shm", "emptyDir": {"medium": "Memory"}},
                ],
            },
        },
    }
    # a Job cannot be changed: one of other runs needs another name
    name = f"{label_of(ladder.folder)}-{hashlib.sha256(json.dumps(spec).encode()).hexdigest()[:8]}"
    about = {"name": name, "labels": dict(_LABELS), "annotations": _annotations(ladder, runs)}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": about, "spec": spec}
    return yaml_file(
        ladder,
        runs,
        "Pilot runs of a ladder as an indexed Job of Kubernetes 1.29 or later (backoffLimitPerIndex).",
        {
            "watch": f"kubectl get pods -l job-name={name}",
            "stop": f"kubectl delete job {name}",
            "again": "the same file, after the Job has been deleted: runs that have finished are skipped.",
            "results": f"a folder for each run in the claim {claim}. From a pod that mounts it at {REMOTE_FOLDER}, "
            f"'kubectl cp POD:{remote_folder(ladder.folder)} {shlex.quote(ladder.folder)}' fetches them for "
            "'scaleplan ladder status' and 'scaleplan fit'.",
            "needs": "an image with sh, timeout and the program, in whose working directory commands start; a claim "
            "that is ReadWriteMany where pods are on several nodes.",
            "add": "what the cluster wants of a pod: requests of cpu and memory, without which it may share a core "
            f"and is evicted first; a nodeSelector, where there are other GPUs than {ladder.gpu}; tolerations, where "
            "nodes with GPUs are tainted; imagePullSecrets; a namespace.",
            "limits": "each run has its own. activeDeadlineSeconds is what they come to, with ten minutes to start "
            "each pod; it counts waiting for GPUs, too, so raise it in a busy cluster. A run that fails stops no "
            "other. A pod that is preempted or drained starts its run again.",
            "script": "$$( stands for $(, which Kubernetes would replace.",
        },
        job,
    )


def _unexpanded(text: str) -> str:
    """Return a text that Kubernetes' expansion of ``$(NAME)`` and ``$$`` turns back into ``text``.

    It reads from the left and leaves one of two dollars; a dollar before a parenthesis may begin a name, and one
    before a byte beyond ASCII breaks the character, as third_party/forked/golang/expansion takes a byte for a
    character. Only such dollars are doubled, so that most of a script stays readable.
    """
    return re.sub(r"\${2,}|\$(?=\(|[^\x00-\x7f])", lambda dollars: dollars[0] * 2, text)


def _resource(ladder: Ladder) -> str:
    if ladder.gpu is None:
        raise UsageError("a pod asks for GPUs of a vendor, and no GPU is named", hint="name it with --gpu NAME")
    vendor = ladder.vendor or _vendor(ladder.gpu)
    if vendor.upper() not in _RESOURCES:
        raise UsageError(
            f"no Job is written for {ladder.gpu} of {vendor}: its pods need more than a number of devices",
            hint=f"GPUs of {' and '.join(_RESOURCES)} work; --format csv lists the runs and their commands",
        )
    return _RESOURCES[vendor.upper()]


def _vendor(gpu: str) -> str:
    """Return the vendor of a GPU whose ladder, of an earlier version, does not say it."""
    try:
        return Accelerators().get(gpu).vendor
    except UnknownNameError:
        raise UsageError(
            f"the vendor of {quote(gpu)} is not known, so neither is what a pod asks for",
            hint="put the file of the GPU into your preset folder: 'scaleplan presets path' names it",
        ) from None


def _claim(ladder: Ladder) -> str:
    claim = ladder.storage
    if claim is None:
        raise UsageError(
            "pods vanish with what runs write", hint="name a PersistentVolumeClaim that keeps it, with --storage NAME"
        )
    if not _CLAIM.fullmatch(claim) or len(claim) > _LONGEST_CLAIM:
        raise UsageError(
            f"no PersistentVolumeClaim has the name {quote(claim)}",
            hint="--storage names one, of lower-case letters, digits, hyphens and dots; 'kubectl get pvc' lists them",
        )
    return claim


def _deadline(ladder: Ladder, runs: Sequence[LadderRun]) -> int:
    """Return the seconds after which all is stopped: the most that the runs of any place can take by their limits.

    Pods start in the order of their index, each as soon as one ends, so that shorter runs end all no later.
    """
    seconds = [math.ceil((run.limit_hours or 0.0) * 3600) + _START_SECONDS for run in runs]
    return int(time_of_all(seconds, ladder.at_once))


def _annotations(ladder: Ladder, runs: Sequence[LadderRun]) -> dict[str, str]:
    """Return what the Job says of its spending to who finds it in the cluster."""
    values = {}
    for prefix, spending in (("", predicted(ladder, runs)), ("most-", at_most(ladder, runs))):
        if spending.gpu_hours is not None:
            values[f"scaleplan/{prefix}gpu-hours"] = format_hours(spending.gpu_hours)
        if spending.cost is not None:
            values[f"scaleplan/{prefix}cost"] = money_in(ladder.currency)(spending.cost)
    return values
