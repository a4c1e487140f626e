"""Files are written whole or not at all, and refused before the work that would fill them."""

from __future__ import annotations

import os

import pytest

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
    require_writable(type(tmp_path)(os.devnull))
