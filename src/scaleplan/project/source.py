"""Sources of files: the work tree, or a revision of the git repository it belongs to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Protocol

from scaleplan.errors import FileError, UsageError, escape_control, quote
from scaleplan.files import MAX_TEXT_BYTES, is_absent, read_text

__all__ = ["Revision", "Tree", "WorkTree", "display_name", "inside"]

_SECONDS = 60


def inside(path: Path, *, folder: Path, what: str) -> Path:
    """Return a path that a project's file in ``folder`` names, if it stays in the repository around that folder.

    Where there is none, it is to stay in the folder. Raises FileError for a path that leaves, by itself or through a
    link, and for git's own files, which hold credentials: whoever proposes a change could read what they may not.
    """
    try:
        top = _root(os.path.realpath(folder))
        real = os.path.realpath(path)
        if os.path.commonpath((top, real)) == top and ".git" not in Path(os.path.relpath(real, top)).parts:
            return path
    except (OSError, ValueError):
        raise FileError(f"{what} {quote(path)} is not a usable path") from None
    raise FileError(
        f"{what} {quote(os.path.relpath(path, folder))} is outside the project",
        hint="the files of a run stay in the folder of its project file, or in the git repository around it",
    )


def _root(folder: str) -> str:
    """Return the top of the git repository that a folder is in, or the folder itself."""
    place = Path(folder)
    return next((str(each) for each in (place, *place.parents) if (each / ".git").exists()), folder)


class Tree(Protocol):
    """Files by path."""

    def text(self, path: Path, *, what: str) -> str:
        """Return the text of a file; raises FileError when it cannot be read."""

    def has(self, path: Path) -> bool:
        """Return whether there is a file, or may be one that cannot be looked at."""


class WorkTree:
    """The files as they are now."""

    def has(self, path: Path) -> bool:
        """Return whether there is a file, or may be one that cannot be looked at."""
        return not is_absent(path)

    def text(self, path: Path, *, what: str) -> str:
        """Return the text of a file; raises FileError when it cannot be read."""
        inside = _from_here(path)
        return read_text(path if inside is None else Path(inside), what=what)  # errors name the short path


class Revision:
    """The files as a commit of their git repository, which holds ``folder``, has them.

    Raises UsageError for a name that git could take for an option, or does not know; FileError when there is no git,
    or no repository.
    """

    def __init__(self, name: str, *, folder: Path) -> None:
        if not name or name.startswith("-") or not name.isprintable() or ":" in name:
            raise UsageError(f"{quote(name)} is not a git revision", hint="give a branch, a tag or a commit")
        self.name = name
        self._folder = folder
        top = _git(folder, "rev-parse", "--show-toplevel")
        if top is None:
            raise FileError(f"{quote(folder)} is not in a git repository", hint="compare two files instead")
        self._root = os.fsdecode(top).rstrip("\n")
        commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if commit is None:
            raise UsageError(
                f"git knows no revision {quote(name)}",
                hint="in a shallow clone fetch it first: git fetch --depth 1 origin NAME:NAME",
            )
        self.commit = commit.decode().strip()
        self.lacking: list[str] = []
        """The files that this revision has and git cannot give: of a partial clone, or in a submodule."""

    def text(self, path: Path, *, what: str) -> str:
        """Return the text of a file at this revision; raises FileError when it has none."""
        place = self._place(path)
        if place is None:
            raise FileError(f"{what} {quote(path)} is outside the repository, and has no revision {quote(self.name)}")
        self.lacking.append(display_name(path))  # stays there if git does not answer
        data = self._blob(place)
        if data is not None or not self._lacks(place):
            self.lacking.pop()
        if data is None:
            raise FileError(f"{what} {quote(display_name(path))} does not exist at {quote(self.name)}")
        if len(data) > MAX_TEXT_BYTES:
            raise FileError(f"{what} {quote(display_name(path))} is larger than {MAX_TEXT_BYTES:,} bytes")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileError(f"{what} {quote(display_name(path))} is not UTF-8 text (byte {error.start})") from None

    def has(self, path: Path) -> bool:
        """Return whether this revision has a file at a path, or may have one in a folder that git lacks."""
        place = self._place(path)
        if place is None:
            return False
        return self._blob(place) is not None or self._object(place) is not None or self._lacks(place)

    def _object(self, place: str) -> str | None:
        """Return the id of what stands at a path, whether git has its content or not; None where nothing does."""
        found = _git(self._folder, "rev-parse", "--verify", "--quiet", f"{self.commit}:{place}")
        return None if found is None else found.decode().strip()

    def _lacks(self, place: str) -> bool:
        """Return whether git lacks the content of a file, or of a folder on the way to it."""
        while place:
            found = self._object(place)
            if found is not None:
                return _git(self._folder, "cat-file", "-e", found) is None
            place = place.rpartition("/")[0]
        return False

    def _blob(self, place: str) -> bytes | None:
        """Return the content of a file of this revision, through links as it has them; None without one."""
        name = f"{self.commit}:{place}"
        if "\n" in place:  # no name of the protocol below
            return _git(self._folder, "cat-file", "blob", name)
        found = _git(self._folder, "cat-file", "--batch", "--follow-symlinks", stdin=os.fsencode(f"{name}\n"))
        head, _, rest = (found or b"").partition(b"\n")
        words = head.split()
        if len(words) != 3 or words[1] != b"blob":  # no such file, a folder, or a link that leads nowhere
            return None
        return rest[: int(words[2])]

    def _place(self, path: Path) -> str | None:
        """Return the path of a file in the repository, with the links in it; None outside the repository."""
        absolute, top = Path(os.path.abspath(path)), os.path.realpath(self._root)  # noqa: PTH100  links are kept
        for folder in absolute.parents:
            if os.path.realpath(folder) == top:
                return absolute.relative_to(folder).as_posix()
        inside = os.path.relpath(os.path.realpath(path), top)  # a link from outside
        return None if inside.startswith("..") else inside.replace(os.sep, "/")


def display_name(path: Path) -> str:
    """Return a path as it is shown: relative to the working folder where it lies inside."""
    here = _from_here(path)
    return escape_control(str(path) if here is None else here.replace(os.sep, "/"))


def _from_here(path: Path) -> str | None:
    """Return a path relative to the working folder; None where it does not lie inside."""
    try:
        here = os.path.relpath(path)
    except (OSError, ValueError):  # the working folder was removed, or is on another drive
        return None
    return None if here.startswith("..") else here


def _git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes | None:
    """Run one reading git command on an input; None when it fails. Nothing is fetched, prompted for or paged."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603  a fixed program, and arguments that cannot be options
            ["git", "-C", str(folder), *arguments],  # noqa: S607  git is where the user's PATH has it
            capture_output=True,
            check=False,
            env=environment,
            input=stdin,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise FileError("git is not installed", hint="compare two files instead of a revision") from None
    except (subprocess.TimeoutExpired, OSError, ValueError):
        raise FileError(f"git did not answer about {quote(folder)}") from None
    return done.stdout if done.returncode == 0 else None
