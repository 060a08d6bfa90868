"""The reports in headless Chromium; skipped where there is none."""

import pandas as pd
import pytest
from headless_chromium import CHROMIUM, PHONE, headless_chromium, requested_urls

from discern.evaluation.comparison_report import comparison_page
from discern.evaluation.report import Record, report_page

HISTORY = pd.DataFrame({"epoch": [1.0, 2.0], "loss": [4.0, 2.0], "val_loss": [5.0, 3.0]})
HOSTILE = '<script>document.title="broken"</script><img src=x onerror=alert(1)>'
LONG = "a_long_name_without_any_place_to_break_it_" * 3
SCORES = {"mmd": {"reconstructed": 0.1, "zeros drawn": 0.5, "as measured": 0.3, "ComBat": 0.2, "half": 0.0}}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless_chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


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
    assert [url for url in requested_urls(events) if not url.startswith(("file:", "data:"))] == []
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
    assert any(url.startswith("http:") for url in requested_urls(events))
    assert browser.value("document.documentElement.scrollWidth") > PHONE[0]
    assert contrast("rgb(200, 200, 200)", "rgb(255, 255, 255)") < 2
