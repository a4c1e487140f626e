"""The report in a real browser, without a screen."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def browse(tmp_path_factory, text):
    """Return how to open the page: (standard output, log)."""
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")

    def opened(*options):
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--virtual-time-budget=2000", "--enable-logging=stderr", "--v=0", f"--user-data-dir={folder / 'profile'}",
            *options, path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    return opened


@pytest.fixture(scope="module")
def opened(browse, tmp_path_factory):
    """Return what the browser made of the page, its log, and the log of its network."""
    network = tmp_path_factory.mktemp("network") / "log.json"
    dom, log = browse("--dump-dom", f"--log-net-log={network}")
    return dom, log, network.read_text(encoding="utf-8")


def test_the_browser_has_nothing_to_complain_about(opened):
    """No message on the console: no error, and nothing that the policy had to refuse."""
    _, log, _ = opened
    assert [line for line in log.splitlines() if "CONSOLE" in line] == []


def test_the_page_asks_for_nothing_else(opened):
    """The file itself is all that is loaded for it."""
    _, _, network = opened
    asked = re.findall(r'"url":"([^"]+)"', network)
    assert [url for url in asked if url.startswith("file:") and not url.endswith("/report.html")] == []
    initiated = re.findall(r'"initiator":"(?:file:[^"]*|null)"[^{}]*"url":"(https?:[^"]+)"', network)
    assert initiated == []


def test_values_read_back_from_the_page_equal_the_json(opened, parse, page):
    """What the browser shows is what the plan says, every key."""
    dom = parse(opened[0].replace("</path>", ""))
    assert dom.data("plan") == page.data("plan")
    shown = {a["data-key"]: a["value"] for a, _ in dom.all("data") if a.get("data-key")}
    plan = page.data("plan")
    for key in ("params", "tokens", "loss", "flops", "tokens_per_param"):
        assert float(shown[key]) == plan[key]
    assert float(shown["interval.loss.low"]) == plan["interval"]["loss"][0]


@pytest.mark.parametrize("width", [360, 768, 1920])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_drawn_at_every_width_in_light_and_dark(browse, tmp_path, width, dark):
    """The picture has the width asked for, and its paper is light or dark."""
    image = pytest.importorskip("matplotlib.image")
    shot = tmp_path / "shot.png"
    browse(
        f"--screenshot={shot}",
        f"--window-size={width},2400",
        f"--blink-settings=preferredColorScheme={int(not dark)}",
    )
    assert struct.unpack(">II", shot.read_bytes()[16:24]) == (width, 2400)
    paper = image.imread(shot)[2, 2, :3].mean()
    assert paper < 0.2 if dark else paper > 0.9


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_runs_over_the_right_edge(browse, tmp_path, width):
    """The last columns of pixels are paper from top to bottom: what is too wide scrolls inside its own box."""
    image = pytest.importorskip("matplotlib.image")
    shot = tmp_path / "shot.png"
    browse(f"--screenshot={shot}", f"--window-size={width},9000", "--blink-settings=preferredColorScheme=1")
    assert (image.imread(shot)[:, -8:, :3] == image.imread(shot)[2, 2, :3]).all()
