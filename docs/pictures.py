"""Draw the pictures of the documentation, ``docs/images``; with ``--check`` exit with status 1 where one has changed.

The same command gives the same bytes, in an SVG without any library that draws.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

IMAGES = Path(__file__).parent / "images"

_ISOFLOP = [
    *("plot", "isoflop", "--preset", "besiroglu-2024", "--from", "1e19", "--to", "1e22", "--size", "8x4.8"),
    *("--title", "Chinchilla: the best model size for each compute budget"),
]

PICTURES = {
    "isoflop.svg": [*_ISOFLOP, "--theme", "light"],
    "isoflop-dark.svg": [*_ISOFLOP, "--theme", "dark"],
}
"""The command of each picture, by its file."""


def drawn(arguments: list[str]) -> bytes:
    """Return the picture that a command draws."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.svg"
        command = [sys.executable, "-m", "scaleplan", *arguments, "-o", str(path), "--quiet"]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  our own program
        return path.read_bytes()


def main(*, check: bool) -> int:
    """Draw or compare every picture, and return the exit status."""
    status = 0
    for name, arguments in PICTURES.items():
        path, data = IMAGES / name, drawn(arguments)
        if not check:
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            print(f"{path} is not what 'scaleplan {' '.join(arguments)}' draws: run docs/write", file=sys.stderr)  # noqa: T201
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
