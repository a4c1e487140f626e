"""Files are written whole or not at all, and refused before the work that would fill them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

import scaleplan
from scaleplan.errors import FileError
from scaleplan.files import require_writable, write_atomic


@pytest.mark.parametrize(("content", "bytes_"), [("a\nµ\n", "a\nµ\n".encode()), (b"\x89PNG\r\n", b"\x89PNG\r\n")])
def test_text_and_bytes_arrive_as_they_are(tmp_path, content, bytes_):
    """UTF-8, line ends untouched, and no temporary file left."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    write_atomic(path, content)
    assert path.read_bytes() == bytes_
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["", "nowhere/file", "file\0"])
def test_an_impossible_path_is_refused_before_and_after(tmp_path, name):
    """A directory, a folder that does not exist, a name that cannot be one."""
    path = tmp_path / name
    with pytest.raises(FileError, match="cannot write"):
        require_writable(path)
    with pytest.raises(FileError, match="cannot write"):
        write_atomic(path, "text")


def test_asking_leaves_nothing_behind(tmp_path):
    """A path that can be written is not touched; a device is judged by itself and not by its folder."""
    require_writable(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    require_writable(Path(os.devnull))


# ---- what an existing file is, it stays ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o755])
def test_the_mode_of_an_existing_file_is_kept(tmp_path, mode):
    """A private file stays private; a new one gets what the umask leaves."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(mode)
    write_atomic(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "fresh", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path, there):
    """What it leads to is written, in its own folder; the links stay links."""
    inside = tmp_path / "inside"
    inside.mkdir()
    if there:
        (inside / "file").write_text("old")
    (inside / "link").symlink_to("file")
    (tmp_path / "link").symlink_to("inside/link")
    require_writable(tmp_path / "link")
    write_atomic(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (inside / "link").is_symlink()
    assert (inside / "file").read_text() == "new"
    assert sorted(item.name for item in inside.iterdir()) == ["file", "link"]


def test_links_that_lead_nowhere_are_refused(tmp_path):
    """In a circle, into a folder that is not there, to a folder."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("none/file")
    (tmp_path / "d").symlink_to(".")
    for name in "abcd":
        with pytest.raises(FileError, match="cannot write"):
            require_writable(tmp_path / name)
        with pytest.raises(FileError, match="cannot write"):
            write_atomic(tmp_path / name, "text")


def test_a_read_only_file_is_not_replaced(tmp_path):
    """Although the folder would allow it, and for whoever runs this."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o444)
    for attempt in (require_writable, lambda path: write_atomic(path, "new")):
        with pytest.raises(FileError, match="read-only") as refused:
            attempt(path)
        assert refused.value.hint
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("old", 0o444)


def test_a_file_of_another_user_is_not_replaced(tmp_path, monkeypatch):
    """Although its mode would allow it."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(FileError, match="belongs to another user"):
        require_writable(path)
    with pytest.raises(FileError, match="belongs to another user"):
        write_atomic(path, "new")
    assert path.read_text() == "old"


@pytest.mark.parametrize("length", [245, 255])
def test_the_longest_names_can_be_written(tmp_path, length):
    """The name of the temporary file does not depend on the other."""
    path = tmp_path / ("x" * length)
    write_atomic(path, "text")
    write_atomic(path, "again")
    assert path.read_text() == "again"


def test_pipes_and_open_files_are_written_to(tmp_path):
    """A pipe is no file to replace; of an open file the place is kept, so that ``>>`` does not lose the rest."""
    os.mkfifo(tmp_path / "pipe")
    found = []
    reader = Thread(target=lambda: found.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_atomic(tmp_path / "pipe", "text")
    reader.join()
    assert found == ["text"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with (tmp_path / "log").open("w+") as log:
        log.write("before ")
        log.flush()
        for path in (Path(f"/dev/fd/{log.fileno()}"), Path(f"/proc/self/fd/{log.fileno()}")):
            require_writable(path)
            write_atomic(path, "here ")
    assert (tmp_path / "log").read_text() == "before here here "


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_another(tmp_path, monkeypatch):
    """Its content is synchronised, then it is renamed, then the folder is."""
    done = []
    monkeypatch.setattr(os, "fsync", lambda _, real=os.fsync: (done.append("sync"), real(_)))
    monkeypatch.setattr(Path, "replace", lambda *_, real=Path.replace: (done.append("rename"), real(*_)))
    write_atomic(tmp_path / "file", "text")
    assert done == ["sync", "rename", "sync"]


def test_nothing_is_left_when_the_rename_fails(tmp_path, monkeypatch):
    """The old content stays, and no temporary file."""
    path = tmp_path / "file"
    path.write_text("old")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(FileError, match="no space left"):
        write_atomic(path, "new")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_nothing_is_left_by_a_signal_during_the_rename(tmp_path, ending, threads):
    """The signal ends the process after the temporary file is gone, even if other threads could take it."""
    program = (
        "import os, signal, sys; from pathlib import Path; from scaleplan import files; sync = os.fsync\n"
        "from threading import Event, Thread\n"
        f"for _ in range({threads}): Thread(target=Event().wait, daemon=True).start()\n"
        f"os.fsync = lambda number: (os.kill(os.getpid(), signal.{ending}), sync(number))\n"
        "files.write_atomic(Path(sys.argv[1]), 'new'); print('not reached')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(scaleplan.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "file"], env=environment, capture_output=True, check=False
    )
    assert done.returncode == -getattr(signal, ending)
    assert done.stdout == b""
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_file_that_is_read_is_not_replaced(tmp_path):
    """By any of its names."""
    (tmp_path / "runs.csv").write_text("params")
    (tmp_path / "link").symlink_to("runs.csv")
    for inputs in ([str(tmp_path / "runs.csv")], [None, "-", "no-file", str(tmp_path / "link")]):
        with pytest.raises(FileError, match="reads this file"):
            require_writable(tmp_path / "runs.csv", inputs=inputs)
    require_writable(tmp_path / "other", inputs=[str(tmp_path / "runs.csv")])
