"""What tests of logs share."""

from __future__ import annotations

import pytest

from scaleplan.logs.log_reading import read_logs


@pytest.fixture
def read(tmp_path):
    """Return how to read text or bytes, under a name, as runs."""

    def read_text(content, name="log.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_logs([path]))

    return read_text
