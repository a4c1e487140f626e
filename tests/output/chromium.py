"""A headless Chromium, driven over a pipe by the DevTools protocol: one process for all tests of pages."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from dataclasses import dataclass, field
from itertools import count

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_LIMIT = 240  # seconds, of a machine that is busy with other things, for what takes a few
MISSING = "there is no Chromium on this machine"

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@dataclass
class Tab:
    """One page in the browser."""

    process: subprocess.Popen
    to: int
    back: int
    session: str | None = None
    left: bytes = b""
    events: list = field(default_factory=list)
    ids: count = field(default_factory=count)

    def ask(self, method, **params):
        """Send a command, and return its result; events on the way are kept."""
        ident = next(self.ids)
        session = {} if self.session is None else {"sessionId": self.session}
        os.write(self.to, json.dumps({"id": ident, "method": method, "params": params, **session}).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == ident:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, method):
        """Wait for an event that has not been waited for."""
        while True:
            for i, event in enumerate(self.events):
                if event.get("method") == method:
                    return self.events.pop(i)
            self.events.append(self._next())

    def open(self, address):
        """Go to a page, and wait until it is loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=address)
        self.wait("Page.loadEventFired")

    def run(self, script):
        """Return the value of an expression of JavaScript, which may be a promise."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key, code):
        """Press and let go a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def _next(self):
        while b"\0" not in self.left:
            assert select.select([self.back], [], [], _LIMIT)[0], "the browser does not answer"
            part = os.read(self.back, 1 << 20)
            assert part, "the browser has ended"
            self.left += part
        message, _, self.left = self.left.partition(b"\0")
        return json.loads(message)


def started(folder):
    """Start the browser with a new profile in a folder, and return its page."""
    their_in, to = os.pipe()
    back, their_out = os.pipe()
    # the protocol is on descriptors 3 and 4 of the browser
    script = f'exec 3<&{their_in} 4>&{their_out}; exec "$0" "$@"'
    command = ["bash", "-c", script, PROGRAM, *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
    process = subprocess.Popen(
        command, pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(their_in)
    os.close(their_out)
    tab = Tab(process, to, back)
    target = tab.ask("Target.createTarget", url="about:blank")["targetId"]
    tab.session = tab.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        tab.ask(f"{domain}.enable")
    return tab


def ended(tab):
    """Close the browser."""
    session, tab.session = tab.session, None
    assert session is not None
    tab.ask("Browser.close")
    tab.process.wait(timeout=_LIMIT)
    os.close(tab.to)
    os.close(tab.back)
