"""The shell functions that start a run of a ladder on any engine, with every text of the user's quoted."""

from __future__ import annotations

import json
import math
import shlex
from typing import TYPE_CHECKING

from scaleplan.ladder.ladder import EXIT, LOG, STARTED
from scaleplan.logs.ladder_run import RUN_FILE, run_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.ladder.ladder import LadderRun

__all__ = ["run_functions"]


def run_functions(runs: Sequence[LadderRun]) -> str:
    """Return POSIX shell that defines ``run_pilot N``, which starts the run at position N (from 0) of ``runs``.

    A run that has ended well is not started again, so that an engine may start the whole file anew. What the command
    prints goes to a log in the run's folder, beside what the run is, when it started and its exit status.
    """
    cases = "".join(_case(position, run) for position, run in enumerate(runs))
    return _FUNCTIONS.format(cases=cases, log=LOG, started=STARTED, exit=EXIT, about=RUN_FILE)


def _case(position: int, run: LadderRun) -> str:
    seconds = "0" if run.limit_hours is None else str(math.ceil(run.limit_hours * 3600))
    about = json.dumps(run_file(run), ensure_ascii=True)
    return (
        f"    {position}) out={shlex.quote(run.out)}; limit={seconds}; about={shlex.quote(about)}\n"
        f"      set -- {shlex.join(run.words)} ;;\n"
    )


_FUNCTIONS = """\
run_pilot() {{
  case "$1" in
{cases}    *) echo "there is no run $1" >&2; return 2 ;;
  esac
  mkdir -p -- "$out" || return 1
  if [ "$(cat -- "$out/{exit}" 2>/dev/null)" = 0 ]; then
    echo "finished before: $out"
    return 0
  fi
  rm -f -- "$out/{exit}"
  printf '%s\\n' "$about" > "$out/{about}"
  date +%s > "$out/{started}"
  status=0
  timeout -k 60 "$limit" "$@" >> "$out/{log}" 2>&1 || status=$?
  echo "$status" > "$out/{exit}"
  return "$status"
}}
"""
