"""Work that processes share: the same results in the same order, whatever becomes of the processes."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import pytest
from tests.fitting import parallel_tasks as tasks

from scaleplan import errors
from scaleplan.errors import ScaleplanError, UnknownNameError, UsageError
from scaleplan.fitting import blas, dask_cluster, parallel, processes, worker
from scaleplan.fitting.parallel import ALONE, Jobs, release, spread

TWO = Jobs(processes=2)


@pytest.fixture(scope="module", autouse=True)
def _ended():
    yield
    release()


@pytest.fixture
def _patient(monkeypatch):
    """Wait for a cluster as long as a busy machine may keep it from answering: both are in this process."""
    for name in ("_CONNECT", "_WORKERS", "_ANSWER"):
        monkeypatch.setattr(dask_cluster, name, 120.0)


@pytest.fixture
def dask(cluster, _patient):
    """Return who shares the work by Dask."""
    return Jobs.parse(f"dask:{cluster.scheduler_address}")


@pytest.fixture(params=["processes", "dask"])
def jobs(request):
    """Return each way to share work."""
    return TWO if request.param == "processes" else request.getfixturevalue("dask")


@pytest.mark.parametrize(
    "value, meant",
    [
        ("1", ALONE),
        (1, ALONE),
        (" 2 ", TWO),
        (2.0, TWO),
        ("dask:tcp://10.0.0.1:8786", Jobs(processes=0, cluster="tcp://10.0.0.1:8786")),
        ("Dask: tls://head.example.org:9000", Jobs(processes=0, cluster="tls://head.example.org:9000")),
        ("dask:node-3", Jobs(processes=0, cluster="tcp://node-3:8786")),
        ("dask:[::1]:8786", Jobs(processes=0, cluster="tcp://[::1]:8786")),
    ],
)
def test_jobs_are_read(value, meant):
    assert Jobs.parse(value) == meant


def test_a_scheduler_file_is_read_where_it_is(tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text("{}")
    assert Jobs.parse(f"dask:{path}").cluster == str(path)
    with pytest.raises(UsageError, match="no scheduler file"):
        Jobs.parse(f"dask:{tmp_path}/other.json")


def test_auto_takes_the_cores_of_this_process():
    assert 1 <= Jobs.parse("auto").processes <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    "value, message",
    [
        ("0", "0 jobs"),
        (0, "0 jobs"),
        ("257", "257 jobs"),
        ("-1", "no number of processes"),
        ("two", "no number of processes"),
        ("", "no number of processes"),
        ("1.5", "no number of processes"),
        ("dask", "no number of processes"),
        ("ray:10.0.0.1", "no kind of workers"),
        (":8786", "no kind of workers"),
        ("tcp://10.0.0.1:8786", "no kind of workers"),
        ("dask:", "lacks the address"),
        ("dask: ", "lacks the address"),
        ("dask:ftp://10.0.0.1:8786", "no address of a Dask scheduler"),
        ("dask:http://10.0.0.1:8787", "no address of a Dask scheduler"),
        ("dask:tcp://10.0.0.1:0", "no address of a Dask scheduler"),
        ("dask:tcp://10.0.0.1:70000", "no address of a Dask scheduler"),
        ("dask:tcp://", "no address of a Dask scheduler"),
        ("dask:a b", "no address of a Dask scheduler"),
        ("dask:a\x1b[31m", "no address of a Dask scheduler"),
    ],
)
def test_other_jobs_are_refused(value, message):
    with pytest.raises(UsageError, match=message) as refused:
        Jobs.parse(value)
    assert refused.value.message.isprintable()
    assert refused.value.hint


@pytest.mark.parametrize(
    "value, library", [("2", "joblib"), ("auto", "joblib"), ("dask:a", "joblib"), ("dask:a", "distributed")]
)
def test_a_missing_library_is_named(monkeypatch, value, library):
    """But one process needs none."""
    monkeypatch.setattr(parallel, "find_spec", lambda name: None if name == library else "there")
    with pytest.raises(UsageError, match=f"^{library}, which") as refused:
        Jobs.parse(value)
    extra = "dask" if value.startswith("dask") else "parallel"
    assert refused.value.hint == f"pip install 'scaleplan[{extra}]', or --jobs 1"
    assert list(spread(tasks.square, [1, 2], jobs=Jobs.parse("1"))) == [1, 4]


def test_results_come_in_order(jobs):
    """Also where there are fewer parts than workers, or none, and where the first part takes longest."""
    for number in (0, 1, 3, 300):
        assert list(spread(tasks.square, range(number), jobs=jobs)) == [k * k for k in range(number)]
    assert list(spread(tasks.later_square, range(6), jobs=jobs)) == [0, 1, 4, 9, 16, 25]


def test_parts_are_taken_as_workers_need_them():
    """Of parts without an end some are taken; results that nobody takes keep no more than a bounded number ahead."""
    taken = count()
    results = spread(tasks.square, (next(taken) for _ in iter(int, 1)), jobs=TWO)
    assert list(islice(results, 5)) == [0, 1, 4, 9, 16]
    time.sleep(0.5)
    ahead = next(taken) - 5
    assert ahead <= 2 * parallel._AHEAD
    assert list(islice(results, 300)) == [k * k for k in range(5, 306) if k != 5 + ahead]
    results.close()


@pytest.mark.parametrize("way", ["alone", "processes", "dask"])
def test_the_first_error_in_order_is_the_error(way, request):
    """With all that it carries, after the results before it."""
    jobs = {"alone": ALONE, "processes": TWO}.get(way) or request.getfixturevalue("dask")
    results, found = spread(tasks.refuse_odd, [0, 2, 3, 4, 5, 7], jobs=jobs), []
    with pytest.raises(UnknownNameError) as refused:
        found.extend(results)
    assert not found or found == [0, 2]
    assert (refused.value.message, refused.value.hint) == ("unknown number '3'", "'scaleplan numbers' lists them")


def test_a_bug_arrives_as_itself(jobs):
    """With the place in the worker where it was; and the workers go on."""
    with pytest.raises(ZeroDivisionError) as bug:
        list(spread(tasks.break_at_three, range(8), jobs=jobs))
    lines = str(bug.value.__cause__) + "".join(str(each.path) for each in bug.traceback)
    assert "parallel_tasks.py" in lines
    assert list(spread(tasks.square, range(8), jobs=jobs)) == [k * k for k in range(8)]


def test_parts_that_cannot_be_read_are_an_error(jobs):
    def parts():
        yield from range(20)
        raise UsageError("no more rows")

    with pytest.raises(UsageError, match="no more rows"):
        list(spread(tasks.square, parts(), jobs=jobs))


def test_large_arrays_are_copies(jobs):
    """A task may write into them, and no file is left of them."""
    parts = [np.full(400_000, float(k)) for k in range(3)]
    found = list(spread(tasks.write_into, parts, jobs=jobs))
    assert [total for total, _ in found] == [400_000.0 * (k + 1) for k in range(3)]
    assert all(array.flags.writeable for _, array in found)
    folders = [place.glob(f"joblib_memmapping_folder_{os.getpid()}_*") for place in map(Path, ("/tmp", "/dev/shm"))]
    assert not any(any(folder.iterdir()) for folder in chain(*folders))
    assert parts[1][0] == 1.0


@pytest.mark.parametrize("way", ["alone", "processes", "dask"])
def test_each_part_has_one_thread_of_blas(way, request):
    """Whatever the threads of this process are, and they are afterwards what they were."""
    jobs = {"alone": ALONE, "processes": TWO}.get(way) or request.getfixturevalue("dask")
    libraries = blas._libraries(with_scipy="scipy.linalg" in sys.modules)
    with libraries.limit(limits=2, user_api="blas"):
        assert list(spread(tasks.threads_of_blas, range(3), jobs=jobs)) == [{1}] * 3
        assert 2 in {each["num_threads"] for each in libraries.info()} | {os.cpu_count() == 1 and 2}


@pytest.fixture
def _no_loop_left():
    """Check that no loop of Dask is left running: garbage that closes it in another thread can wait forever."""
    before = loops()
    yield
    for each in loops() - before:
        each.join(60)
    assert loops() <= before


def loops():
    return {each for each in threading.enumerate() if "loop" in each.name}


@pytest.mark.usefixtures("_no_loop_left")
@pytest.mark.parametrize("answer", [None, b"\xff" * 64, b"HTTP/1.0 400 Bad request\r\n\r\n"])
def test_another_program_at_the_address_of_a_scheduler_is_an_error(answer, monkeypatch):
    """One that takes connections and says nothing, and those that say what no scheduler says."""
    monkeypatch.setattr(dask_cluster, "_CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected = []

        def serve():
            with suppress(OSError):
                while True:
                    connected.append(server.accept()[0])
                    if answer is not None:
                        connected[-1].sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(UsageError, match="does not answer"):
            list(spread(tasks.square, range(3), jobs=Jobs.parse(f"dask:127.0.0.1:{server.getsockname()[1]}")))
        for each in connected:
            each.close()


@pytest.mark.usefixtures("_no_loop_left")
@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", ""])
def test_a_scheduler_file_that_is_none_is_an_error(text, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="does not answer"):
        list(spread(tasks.square, range(3), jobs=Jobs.parse(f"dask:{path}")))


@pytest.mark.parametrize("before", [None, "False"])
def test_the_environment_stays_as_it_was(before):
    """Of a process that has not limited BLAS before: the library that does sets a variable as it is imported."""
    code = "import os; from scaleplan.fitting import blas; blas.one_thread(); print(os.environ.get(%r))"
    name = "KMP_DUPLICATE_LIB_OK"
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {} if before is None else {name: before}
    words = [sys.executable, "-c", code % name]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{before}\n"


@pytest.mark.parametrize("before", [None, "0"])
def test_threads_that_share_work_at_once_leave_everything_as_it_was(monkeypatch, before):
    """Whichever of them ends first."""
    monkeypatch.setenv("PYTHONSAFEPATH", before or "")
    if before is None:
        monkeypatch.delenv("PYTHONSAFEPATH")
    logger = logging.getLogger("distributed.client")
    level, filters = logger.level, [*logger.filters]

    def shown():
        return os.environ.get("PYTHONSAFEPATH"), bool(logger.filter(logging.makeLogRecord({})))

    contexts = [context() for _ in range(2) for context in (processes._apart_from_folder, dask_cluster._quiet)]
    for context in contexts:
        context.__enter__()
        assert shown()[0] == "1"
    for context in contexts:
        assert shown() == ("1", False)
        context.__exit__(None, None, None)
        if context is contexts[2]:
            assert shown() == (before, False)
            break
    contexts[3].__exit__(None, None, None)
    assert shown() == (before, True)
    assert (logger.level, logger.filters) == (level, filters)


def test_results_that_nobody_takes_end_the_work(jobs, tmp_path):
    """No part is waited for, and of those that wait for a worker none is begun."""
    results = spread(partial(tasks.held_square, tmp_path), range(1000), jobs=jobs)
    assert next(results) == 0
    results.close()
    (tmp_path / "open").touch()  # which has let none of them end before
    assert list(spread(tasks.square, range(3), jobs=jobs)) == [0, 1, 4]
    assert len(list(tmp_path.iterdir())) < 10


def test_a_part_that_waits_as_processes_are_ended_is_no_traceback(monkeypatch, capfd):
    """The manager of the processes looks for it among those that it has just forgotten."""
    from joblib.externals.loky.process_executor import _ExecutorManagerThread as Manager

    end, before = Manager.flag_executor_shutting_down, threading.excepthook

    def end_with_a_part(manager):
        end(manager)
        manager.work_ids_queue.put(-1)

    monkeypatch.setattr(Manager, "flag_executor_shutting_down", end_with_a_part)
    results = spread(tasks.slow_square, range(1000), jobs=TWO)
    assert next(results) == 0
    results.close()
    monkeypatch.undo()
    assert list(spread(tasks.square, range(3), jobs=TWO)) == [0, 1, 4]
    assert threading.excepthook is before
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGSEGV], ids=lambda each: each.name)
def test_a_process_that_ends_early_is_one_error(ending, capfd):
    """And later work has new ones."""
    with pytest.raises(UsageError, match="2 processes could not share the work: one of them ended early"):
        list(spread(partial(tasks.end_at_three, ending=ending), range(20), jobs=TWO))
    assert list(spread(tasks.square, range(3), jobs=TWO)) == [0, 1, 4]
    assert capfd.readouterr() == ("", "")


def test_processes_are_used_again_and_released(tmp_path):
    first = set(spread(partial(tasks.identity, tmp_path), range(8), jobs=TWO))
    for each in tmp_path.iterdir():
        each.unlink()
    second = set(spread(partial(tasks.identity, tmp_path), range(8), jobs=TWO))
    assert first == second
    assert len(first) == 2
    release()
    assert not any(Path(f"/proc/{process}").exists() for process in first | second)


def test_a_worker_of_dask_that_dies_is_replaced(dask, tmp_path):
    """Its parts are done by others: the results are the same."""
    found = list(spread(partial(tasks.end_once, str(tmp_path / "ended")), range(30), jobs=dask))
    assert found == [k * k for k in range(30)]
    assert (tmp_path / "ended").exists()


def test_a_part_that_ends_every_worker_is_an_error(cluster, dask, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(UsageError, match="ended every worker"):
        list(spread(tasks.end_at_three, range(6), jobs=dask))


def test_workers_that_are_all_gone_are_an_error(cluster, dask, monkeypatch):
    """In the middle of the work, and before it."""
    results = spread(tasks.slow_square, range(100_000), jobs=dask)
    assert next(results) == 0
    monkeypatch.setattr(dask_cluster, "_WORKERS", 0.5)
    monkeypatch.setattr(dask_cluster, "_LOOK", 0.1)
    cluster.scale(0)
    with pytest.raises(UsageError, match=r"all workers of the Dask scheduler at 'tcp://127.0.0.1:[0-9]+' have gone"):
        list(results)
    with pytest.raises(UsageError, match="has no workers") as refused:
        list(spread(tasks.square, range(3), jobs=dask))
    assert refused.value.hint.startswith("'dask worker tcp://127.0.0.1:")


@pytest.mark.usefixtures("_patient")
def test_a_scheduler_that_goes_is_an_error(local_cluster, monkeypatch):
    with local_cluster(1) as started:
        jobs = Jobs.parse(f"dask:{started.scheduler_address}")
        results = spread(tasks.slow_square, range(100_000), jobs=jobs)
        assert next(results) == 0
    with pytest.raises(UsageError, match="has gone, and the work with it"):
        list(results)
    monkeypatch.setattr(dask_cluster, "_CONNECT", 0.5)
    with pytest.raises(UsageError, match="does not answer"):
        list(spread(tasks.square, range(3), jobs=jobs))


@pytest.mark.parametrize(
    "name, message",
    [
        ("Python", "has Python .* \\(here other\\)"),
        ("scaleplan", "has scaleplan .* \\(here other\\)"),
        ("numpy", "has numpy .* \\(here other\\)"),
        ("scipy", "has scipy .* \\(here other\\)"),
        ("sources", "has scaleplan .* with other sources"),
        ("arithmetic", "computes other last digits"),
    ],
)
def test_a_worker_that_would_compute_something_else_is_refused(dask, monkeypatch, name, message):
    """By its address, with what differs; one that joins later by the part that it gets."""
    here = {**worker.facts(), name: "other"}
    monkeypatch.setattr(worker, "facts", lambda: here)
    with pytest.raises(UsageError, match=f"^worker tcp://127.0.0.1:[0-9]+ {message}") as refused:
        list(spread(tasks.square, range(3), jobs=dask))
    assert "the same" in refused.value.hint or "alike" in refused.value.hint
    monkeypatch.setattr(dask_cluster, "_check", lambda *_: None)
    with pytest.raises(UsageError, match=f"^worker tcp://127.0.0.1:[0-9]+ {message}"):
        list(spread(tasks.square, range(3), jobs=dask))


def test_a_worker_without_scaleplan_is_named(dask, monkeypatch, tmp_path):
    (tmp_path / "only_here.py").write_text("def introduce(): return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    monkeypatch.setattr(worker, "introduce", only_here.introduce)
    with pytest.raises(UsageError, match=r"^worker tcp://.* cannot import only_here"):
        list(spread(tasks.square, range(3), jobs=dask))


def test_a_worker_that_hangs_is_no_wait_without_end(dask, monkeypatch, tmp_path):
    monkeypatch.setattr(dask_cluster, "_ANSWER", 0.3)
    monkeypatch.setattr(worker, "introduce", partial(tasks.wait_for, tmp_path / "open"))
    with pytest.raises(UsageError, match=r"did not answer within 0\.3 seconds"):
        list(spread(tasks.square, range(3), jobs=dask))
    (tmp_path / "open").touch()


def test_no_thread_is_left(dask):
    before = {each.name for each in threading.enumerate()}
    list(spread(tasks.square, range(3), jobs=dask))
    left = {each.name for each in threading.enumerate()} - before
    assert not any("hand_over" in name for name in left)


def classes(base):
    yield base
    for each in base.__subclasses__():
        yield from classes(each)


def test_every_error_comes_through_to_another_process():
    """With all that it carries, whatever its constructor takes."""
    examples = [
        UnknownNameError("GPU", "h1000", ["h100"], listing="scaleplan gpus"),
        errors.QuantityError("wrong", text="1x", span=(1, 2), hint="1"),
        errors.FileError("broken", hint="mend it", file="a.csv", line=3),
    ]
    examples += [each("wrong", hint="mend it") for each in (ScaleplanError, UsageError, errors.UnreachableError)]
    for error in examples:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args, vars(again)) == (type(error), error.args, vars(error))
    for each in set(classes(ScaleplanError)):  # those that are not made here have no state of their own in __new__
        assert each.__reduce__ is ScaleplanError.__reduce__
