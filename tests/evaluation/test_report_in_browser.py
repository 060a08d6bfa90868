"""The reports in headless Chromium, spoken to over its debugging pipe; skipped where there is no Chromium."""

import json
import os
import shutil
import subprocess

import pandas as pd
import pytest

from discern.evaluation.comparison_report import comparison_page
from discern.evaluation.report import Record, report_page

PHONE = (390, 844)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HISTORY = pd.DataFrame({"epoch": [1.0, 2.0], "loss": [4.0, 2.0], "val_loss": [5.0, 3.0]})
HOSTILE = '<script>document.title="broken"</script><img src=x onerror=alert(1)>'
LONG = "a_long_name_without_any_place_to_break_it_" * 3
SCORES = {"mmd": {"reconstructed": 0.1, "zeros drawn": 0.5, "as measured": 0.3, "ComBat": 0.2, "half": 0.0}}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


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

    def end(self):
        os.close(self._to)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._from)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.end()


@pytest.fixture
def pages(tmp_path, evaluation_of, shown_of):
    """A report and a comparison with names that do their worst."""
    facts = {"experiment": HOSTILE, "target": LONG, "types": [LONG, HOSTILE]}
    evaluation = evaluation_of(SCORES, facts, [LONG])
    steps = [
        {"step": "train", "command": f"discern train {LONG}", "inputs": [{"path": LONG}], "parameters": {"name": LONG}}
    ]
    texts = {
        "report": report_page(evaluation, shown_of((LONG, HOSTILE), (HOSTILE, LONG)), Record(steps, HISTORY)),
        "comparison": comparison_page({LONG: evaluation, HOSTILE: evaluation, "third": evaluation}),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.html" for name in texts}


@pytest.mark.parametrize(("name", "n_figures"), [("report", 14), ("comparison", 0)])
def test_pages_load_without_complaint_or_network(browser, pages, name, n_figures):
    events = browser.open(pages[name], (1280, 900))
    complaints = {
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    }
    assert [event for event in events if event["method"] in complaints] == []
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:"))] == []
    images = browser.value("[...document.images].map(i => [i.complete && i.naturalWidth > 200, i.alt.length > 40])")
    assert images == [[True, True]] * n_figures
    assert browser.value("document.scripts.length") == 0
    assert browser.value("document.title") != "broken"


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_pages_can_be_read_on_a_phone(browser, pages, name):
    browser.open(pages[name], PHONE)
    assert browser.value("document.documentElement.clientWidth") == PHONE[0]
    assert browser.value("document.documentElement.scrollWidth") <= PHONE[0]
    too_wide = browser.value(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll table') && "
        f"e.getBoundingClientRect().right > {PHONE[0]}).map(e => e.outerHTML.slice(0, 80))"
    )
    assert too_wide == []
    assert (
        browser.value(
            "Math.min(...[...document.querySelectorAll('p, td, th, small')].map(e => "
            "parseFloat(getComputedStyle(e).fontSize)))"
        )
        >= 12
    )
    boxes = browser.value(
        "[...document.querySelectorAll('.scroll')].map(e => [getComputedStyle(e).overflowX, !!e.ariaLabel])"
    )
    assert boxes
    assert all(box == ["auto", True] for box in boxes)
    assert browser.value("[...document.querySelectorAll('table')].every(t => t.closest('.scroll'))") is True


def test_text_is_dark_on_light_ground(browser, pages):
    """The contrast of every text with its ground is at least 4.5, as WCAG 2 asks for."""
    browser.open(pages["report"], PHONE)
    colours = browser.value(
        "[...document.querySelectorAll('p, td, th, small, a, span, li, h1, h2, figcaption, code')].map(e => {"
        "let b = e; while (b && getComputedStyle(b).backgroundColor === 'rgba(0, 0, 0, 0)') b = b.parentElement;"
        "return [getComputedStyle(e).color, b ? getComputedStyle(b).backgroundColor : 'rgb(255, 255, 255)'];})"
    )
    assert len(colours) > 50
    assert min(contrast(*pair) for pair in {tuple(pair) for pair in colours}) >= 4.5


def contrast(text, ground):
    """Return the contrast of two colours; formula of WCAG 2.2."""

    def luminance(colour):
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(text), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def test_a_bad_page_is_noticed(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<meta name="viewport" content="width=device-width, initial-scale=1"><div style="width:600px">x</div>'
        '<script>console.error("a"); throw new Error("b")</script><img src="http://127.0.0.1:9/absent.png">'
    )
    events = browser.open(path, PHONE)
    assert {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"} <= {event["method"] for event in events}
    assert any(
        event["params"]["request"]["url"].startswith("http:")
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    )
    assert browser.value("document.documentElement.scrollWidth") > PHONE[0]
    assert contrast("rgb(200, 200, 200)", "rgb(255, 255, 255)") < 2
