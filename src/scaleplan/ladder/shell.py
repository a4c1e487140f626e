"""The shell functions that start a run of a ladder on any engine, with every text of the user's quoted."""

from __future__ import annotations

import json
import math
import shlex
from typing import TYPE_CHECKING

from scaleplan.logs.ladder_run import ALIVE, EXIT, LOG, PAST_LIMIT, RUN_FILE, STARTED, STOPPED, run_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.ladder.ladder import LadderRun

__all__ = ["SECONDS_TO_SAVE", "run_functions"]

SECONDS_TO_SAVE = 60
"""Seconds from the signal that stops a run to the one that kills it: pilots are small; Kubernetes and Slurm grant 30
by default, spot machines two minutes."""

_SECONDS_FOR_ANOTHER = SECONDS_TO_SAVE + 30
"""Seconds for which a start waits for another start of the same run, which may be about to be killed."""

_SECONDS_ALIVE = 60
"""Seconds between two signs of life of a run: little to write, and much less than people wait before they look."""

_BUSY = 75
"""Exit status of a start that found the same run running (EX_TEMPFAIL of sysexits.h)."""


def run_functions(runs: Sequence[LadderRun], again: Mapping[str, str] | None = None) -> str:
    """Return POSIX shell that defines ``run_pilot N``, which starts the run at position N (from 0) of ``runs``.

    A run whose exit status is 0 is not started again, so that an engine may start the whole file anew, and a run that
    is running is not started twice. ``again`` has the names of runs that ended too early with this status, and when
    they were started, as their folders say it: that start does not count, and any later one does. The run's folder
    gets the log of what the command prints, what the run is, when it started, a sign of life each minute, and its
    exit status: that of the command, or one of ``PAST_LIMIT`` and ``STOPPED``. A signal to end is passed on to the
    command, and the shell ends with the command.
    """
    cases = "".join(_case(position, run, (again or {}).get(run.name)) for position, run in enumerate(runs))
    return _FUNCTIONS.format(
        cases=cases,
        log=LOG,
        alive=ALIVE,
        beat=_SECONDS_ALIVE,
        started=STARTED,
        exit=EXIT,
        run_file=RUN_FILE,
        save=SECONDS_TO_SAVE,
        another=_SECONDS_FOR_ANOTHER,
        busy=_BUSY,
        past_limit=PAST_LIMIT,
        stopped=STOPPED,
    )


def _case(position: int, run: LadderRun, again: str | None) -> str:
    seconds = "0" if run.limit_hours is None else str(math.ceil(run.limit_hours * 3600))
    content = json.dumps(run_file(run.of_file()), ensure_ascii=True)
    return (
        f"    {position}) pilot_out={shlex.quote(run.out)} pilot_limit={seconds}\n"
        + ("" if again is None else f"      pilot_again={shlex.quote(again)}\n")
        + f"      pilot_json={shlex.quote(content)}\n"
        f"      set -- {shlex.join(run.words)} ;;\n"
    )


# A shell acts on signals at once only while it waits for a command in the background. The timeout of GNU coreutils
# ends without its command where a signal comes before it has noted whom it started, so that none is passed on in the
# first second. The descriptor 9 holds the lock for as long as any process of the run lives, but for the one that
# shows signs of life: it ends with the command, whatever becomes of the shell (in a container without an init a
# command that has ended may stay a zombie), and takes its last sign back where it cannot show more. A store that
# cannot rename gets its files directly. There is no $$, which Kubernetes would read.
_FUNCTIONS = """\
run_pilot() {{
  pilot_again=none
  case "${{1-}}" in
{cases}    *) printf 'there is no run %s in this file\\n' "${{1-}}" >&2; return 2 ;;
  esac
  if command -v timeout > /dev/null 2>&1; then
    set -- timeout -k {save} "$pilot_limit" "$@"
  elif command -v gtimeout > /dev/null 2>&1; then
    set -- gtimeout -k {save} "$pilot_limit" "$@"
  elif [ "$pilot_limit" != 0 ]; then
    printf '%s: there is no program timeout to stop it at its limit; install GNU coreutils\\n' "$pilot_out" >&2
    return 127
  fi
  if ! mkdir -p -- "$pilot_out" || ! {{ true 9>> "$pilot_out/lock"; }} 2> /dev/null; then
    printf '%s: this folder cannot be made or written to; the run is not started\\n' "$pilot_out" >&2
    return 1
  fi
  pilot_start "$@" 9>> "$pilot_out/lock"
}}

pilot_start() {{
  pilot_status=0
  if command -v flock > /dev/null 2>&1; then
    flock -w {another} -E {busy} 9 2> /dev/null || pilot_status=$?
    if [ "$pilot_status" = {busy} ]; then
      printf '%s: this run is running already\\n' "$pilot_out" >&2
      return {busy}
    fi
  fi
  if [ -f "$pilot_out/{run_file}" ] && [ "$(cat -- "$pilot_out/{run_file}")" != "$pilot_json" ]; then
    printf '%s: holds another run, by its {run_file}; this one is not started\\n' "$pilot_out" >&2
    return 1
  fi
  if [ "$(cat -- "$pilot_out/{exit}" 2> /dev/null)" = 0 ] &&
    [ "$(cat -- "$pilot_out/{started}" 2> /dev/null)" != "$pilot_again" ]; then
    printf '%s: has finished already\\n' "$pilot_out"
    return 0
  fi
  pilot_began=$(date +%s)
  if ! rm -f -- "$pilot_out/{exit}" "$pilot_out/{alive}" || ! true >> "$pilot_out/{log}" ||
    ! pilot_put "$pilot_json" "$pilot_out/{run_file}" || ! pilot_put "$pilot_began" "$pilot_out/{started}"; then
    printf '%s: cannot be written to; the run is not started\\n' "$pilot_out" >&2
    return 1
  fi

  pilot_child='' pilot_signals='' pilot_told=''
  trap 'pilot_signals="$pilot_signals."; [ -z "$pilot_child" ] || pilot_tell' TERM INT HUP
  "$@" < /dev/null >> "$pilot_out/{log}" 2>&1 &
  pilot_child=$!
  [ -z "$pilot_signals" ] || [ -n "$pilot_told" ] || pilot_tell
  pilot_live "$pilot_child" &
  pilot_signs=$!
  while true; do
    pilot_before=$pilot_signals pilot_status=0
    wait "$pilot_child" || pilot_status=$?
    [ "$pilot_signals" != "$pilot_before" ] || break
  done
  pilot_child=''

  kill -s TERM "$pilot_signs" 2> /dev/null || true
  wait "$pilot_signs" 2> /dev/null || true
  rm -f -- "$pilot_out/{alive}" || true
  pilot_took=$(($(date +%s) - pilot_began)) pilot_why="exit status $pilot_status"
  if [ -n "$pilot_before" ]; then
    pilot_status={stopped} pilot_why='stopped by a signal before its end'
  elif [ "$pilot_limit" != 0 ] && {{ [ "$pilot_took" -gt "$pilot_limit" ] ||
    {{ [ "$pilot_status" != 0 ] && [ "$pilot_took" -ge "$pilot_limit" ]; }}; }}; then
    pilot_status={past_limit} pilot_why="stopped at its limit of $pilot_limit s"
  fi
  printf '%s: %s\\n' "$pilot_out" "$pilot_why"
  if [ "$pilot_status" != 0 ]; then
    printf 'this run: %s\\n' "$pilot_why" >> "$pilot_out/{log}" || true
  fi
  if ! pilot_put "$pilot_status" "$pilot_out/{exit}"; then
    printf '%s: its exit status, %s, could not be written\\n' "$pilot_out" "$pilot_status" >&2
    [ "$pilot_status" != 0 ] || pilot_status=1
  fi
  trap - TERM INT HUP
  [ -z "$pilot_signals" ] || exit {stopped}
  return "$pilot_status"
}}

pilot_tell() {{
  pilot_told=yes
  [ "$(date +%s)" -gt "$((pilot_began + 1))" ] || sleep 1 || true
  kill -s TERM "$pilot_child" 2> /dev/null || true
}}

pilot_live() {{
  exec < /dev/null > /dev/null 2>&1 9>&-
  pilot_sleep=''
  trap '[ -z "$pilot_sleep" ] || kill -s TERM "$pilot_sleep" || true; exit 0' TERM
  while kill -s 0 "$1"; do
    case "$(cat -- "/proc/$1/stat")" in *') Z '*) return 0 ;; esac
    date +%s > "$pilot_out/{alive}" || true
    sleep {beat} &
    pilot_sleep=$!
    if ! wait "$pilot_sleep"; then
      rm -f -- "$pilot_out/{alive}"
      return 0
    fi
  done
}}

pilot_put() {{
  {{ printf '%s\\n' "$1" > "$2.new" && mv -f -- "$2.new" "$2"; }} 2> /dev/null || printf '%s\\n' "$1" > "$2"
}}
"""
