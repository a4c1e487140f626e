"""The report in a real browser, without a screen."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return how to run the browser on an address: (standard output, log)."""
    profile = tmp_path_factory.mktemp("profile")

    def started(address, *options):
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--disable-background-networking", "--virtual-time-budget=2000", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={profile}", *options, address,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    return started


@pytest.fixture(scope="module")
def browse(start, tmp_path_factory, text):
    """Return how to open the page as a file."""
    path = tmp_path_factory.mktemp("file") / "report.html"
    path.write_text(text, encoding="utf-8")
    return lambda *options: start(path.as_uri(), *options)


@pytest.fixture(scope="module")
def watch(start, tmp_path_factory):
    """Return how to open a page from a server, and see what it says and asks for: (DOM, console, addresses)."""

    def watched(text):
        folder = tmp_path_factory.mktemp("served")
        (folder / "report.html").write_text(text, encoding="utf-8")
        asked = []

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_):
                asked.append(self.path)

        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            site = f"http://127.0.0.1:{server.server_port}"
            dom, log = start(f"{site}/report.html", "--dump-dom", f"--log-net-log={folder / 'net.json'}")
            server.shutdown()
        network = (folder / "net.json").read_text(encoding="utf-8")
        # what a page asks for is logged with its own site; the browser's own errands are not
        tried = re.findall(r'site=http://127\.0\.0\.1;[^}]*\}","url":"([^"]+)"', network)
        said = [line for line in log.splitlines() if "CONSOLE" in line]
        return dom, said, {*tried, *(site + path for path in asked)} - {f"{site}/report.html"}

    return watched


@pytest.fixture(scope="module")
def opened(watch, text):
    """Return what the browser made of the page."""
    return watch(text)


def test_the_browser_has_nothing_to_complain_about(opened):
    """No message on the console: no error, and nothing that the policy had to refuse."""
    assert opened[1] == []


def test_the_page_asks_for_nothing_else(opened):
    """The page itself is all that is loaded for it, not even an icon."""
    assert opened[2] == set()


def test_a_page_that_breaks_the_rules_is_noticed(watch, text):
    """The two tests above can fail: a refused script is seen, and an image once the policy is gone."""
    spoiled = text.replace("<main>", '<main><img src="http://127.0.0.1:9/x.png"><script>1</script>')
    assert len(watch(spoiled)[1]) == 2
    lawless = re.sub(r"<meta http-equiv[^>]*>", "", spoiled)
    assert "http://127.0.0.1:9/x.png" in watch(lawless)[2]


def test_values_read_back_from_the_page_equal_the_json(opened, parse, page):
    """What the browser shows is what the plan says, every key."""
    dom = parse(opened[0])
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
