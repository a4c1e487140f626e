"""A real Slurm of one node for tests: its daemons in a folder of their own, on free ports, ended with the tests."""

from __future__ import annotations

import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "squeue", "scancel")

_GPUS, _CPUS = 8, 8

_LIMIT = 240  # seconds, of a machine that is busy with other things, for what takes a few

_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED"}

# Tasks start within a second of their turn. GPUs have a type, which files need not name. Without cgroups, no process
# of a run gets a signal but the shell, which must hand it on.
_CONF = """\
ClusterName=pilots
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
KillWait=60
MinJobAge=600
GresTypes=gpu
NodeName=localhost CPUs={cpus} Gres=gpu:h100:{gpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Slurm:
    """A running cluster: ``folder`` has its logs, ``run`` a program of its clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))},
            "SLURM_CONF": str(folder / "slurm.conf"),
        }

    def run(self, *words, cwd=None, check=True):
        """Run a client of Slurm, and return what it printed."""
        done = subprocess.run(
            words,
            cwd=cwd,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            stdin=subprocess.DEVNULL,
        )
        if check:
            assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}\n{self.logs()}"
        return done.stdout

    def submit(self, file, *, cwd, options=()):
        """Submit a batch script from a folder, and return its job."""
        return self.run("sbatch", "--parsable", *options, "--", str(file), cwd=cwd).strip()

    def wait(self, job):
        """Wait until every task of a job, or of several with commas between them, has ended."""
        words = ("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%T")
        self.until(lambda: set() < {*self.run(*words).split()} <= _ENDED)

    def until(self, ready, *, seconds=_LIMIT):
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise AssertionError(self.run("squeue", "--array", "--states=all", check=False) + self.logs())
            time.sleep(0.05)

    def states(self, job):
        """Return the state in which each task of an array ended, as ``COMPLETED`` or ``FAILED``."""
        shown = self.run("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%K %T")
        return {int(task): state for task, state in map(str.split, shown.splitlines())}

    def logs(self):
        """Return the ends of the daemons' logs."""
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log")))


def missing():
    """Return why no cluster can be started here; None where one can."""
    lacking = [name for name in PROGRAMS if _found(name) is None]
    return f"no {', '.join(lacking)}: apt-get install slurm-wlm munge" if lacking else None


def _found(program):
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def started(folder: Path):
    """Start a cluster in a folder, and end it."""
    cluster = Slurm(folder)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    controller, node = _ports(2)
    conf = _CONF.format(
        folder=folder, controller=controller, node=node, cpus=_CPUS, gpus=_GPUS, user=getpass.getuser()
    )
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text(f"Name=gpu Type=h100 File={folder}/gpu[0-{_GPUS - 1}]\n")
    for number in range(_GPUS):
        (folder / f"gpu{number}").symlink_to("/dev/null")
    munge = [f"--{name}={folder}/munge.{end}" for name, end in _MUNGE]
    daemons = []
    try:
        for words in (
            ("munged", "--foreground", "--force", f"--key-file={key}", *munge),
            ("slurmctld", "-D", "-c", "-f", f"{folder}/slurm.conf"),
            ("slurmd", "-D", "-N", "localhost", "-f", f"{folder}/slurm.conf"),
        ):
            with (folder / f"{words[0]}.out.log").open("wb") as out:
                daemons.append(
                    subprocess.Popen(
                        (*_END_WITH_PARENT, _found(words[0]), *words[1:]),
                        env=cluster.env,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
            if words[0] == "munged":
                cluster.until((folder / "munge.socket").exists)
        cluster.until(lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%T", check=False))
        yield cluster
    finally:
        with suppress(Exception):  # what a failed test has left running
            cluster.run("scancel", f"--user={getpass.getuser()}")
            words = ("squeue", "--noheader", "--states=R,CG", "--format=%i")
            cluster.until(lambda: not cluster.run(*words).strip(), seconds=10)
        for daemon in reversed(daemons):
            _end(daemon)


_MUNGE = (("socket", "socket"), ("pid-file", "pid"), ("log-file", "munged.log"), ("seed-file", "seed"))


# Linux ends a daemon with the tests, however they end. Nothing runs in a fork of them: they may have threads.
_END_WITH_PARENT = ("setpriv", "--pdeathsig=TERM", "--") if shutil.which("setpriv") else ()


def _end(daemon):
    """End a daemon and what it has started in its session."""
    daemon.terminate()
    with suppress(subprocess.TimeoutExpired):
        daemon.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()


def _ports(number):
    """Return free ports, none of those that the system gives to whatever connects while the daemons start."""
    found = []
    with ExitStack() as held:
        while len(found) < number:
            port = random.SystemRandom().randrange(10_000, 32_000)  # Linux gives 32768 and above
            free = held.enter_context(socket.socket())
            with suppress(OSError):
                free.bind(("localhost", port))
                found.append(port)
    return found


@pytest.fixture(scope="session")
def slurm():
    """Start a cluster for the tests of a session; they are skipped where none can be started."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    # the path of a socket has at most 107 characters
    with TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder, started(Path(folder)) as cluster:
        yield cluster
