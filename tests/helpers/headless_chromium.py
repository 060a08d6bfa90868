"""A Chromium without window that tests speak to over its debugging pipe."""

import json
import os
import shutil
import subprocess
from contextlib import contextmanager

PHONE = (390, 844)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def headless_chromium(profile):
    """Give a browser that keeps its profile in this folder."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.end()


def requested_urls(events):
    """Return what a page loaded."""
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


class Browser:
    """One tab of a Chromium without window; messages are JSON ended by a zero byte."""

    def __init__(self, profile):
        commands, self._to = os.pipe()
        self._from, events = os.pipe()
        line = (
            f'exec "$0" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --remote-debugging-pipe '
            f'"--user-data-dir=$1" about:blank 3</dev/fd/{commands} 4>/dev/fd/{events}'
        )
        self.process = subprocess.Popen(
            ["sh", "-c", line, CHROMIUM, str(profile)],
            pass_fds=(commands, events),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(events)
        self._rest, self._number, self._session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            piece = os.read(self._from, 1 << 16)
            assert piece, "Chromium ended"
            self._rest += piece
        message, self._rest = self._rest.split(b"\0", 1)
        answer = json.loads(message)
        if "method" in answer:
            self.events.append(answer)
        return answer

    def open(self, path, size):
        """Load a page as wide as this, and return what it said."""
        self.events.clear()
        width, height = size
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()
        self.ask("Runtime.evaluate", expression="0")
        return list(self.events)

    def value(self, expression):
        found = self.ask("Runtime.evaluate", expression=f"JSON.stringify({expression})", returnByValue=True)
        return json.loads(found["result"]["value"])

    def wait_for(self, promise):
        """Return when a promise of the page is kept."""
        self.ask("Runtime.evaluate", expression=promise, awaitPromise=True)

    def end(self):
        os.close(self._to)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._from)
