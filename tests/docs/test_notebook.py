"""The notebooks of the documentation run, and give what is written below their cells."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("nbclient", "ipykernel", "pandas")),
        reason="needs nbclient, ipykernel and pandas",
    ),
    pytest.mark.skipif(not (ROOT / "docs" / "notebook.py").is_file(), reason="the pages lie in the repository"),
]


def test_the_notebooks_give_what_they_show():
    """In a fresh kernel, from top to bottom; ``python docs/notebook.py`` writes them anew."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "notebook.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
