"""The documentation builds without a warning, every page can be reached, and every link within it leads somewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from headless_chromium import CHROMIUM, PHONE, headless_chromium, requested_urls

pytest.importorskip("sphinx", reason="Sphinx is not installed: pip install --group docs")
pytest.importorskip("myst_nb", reason="MyST-NB is not installed: pip install --group docs")
pytest.importorskip("furo", reason="the theme Furo is not installed: pip install --group docs")
pytest.importorskip("sphinx-mathjax-offline", reason="MathJax is not installed: pip install --group docs")

DOCS = Path(__file__).resolve().parents[2] / "docs"
ATTRIBUTES = {"a": "href", "link": "href", "img": "src", "script": "src"}


class Page(HTMLParser):
    """What one page links to, and where links to it can lead."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.text = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if given.get(ATTRIBUTES.get(tag, "")):
            self.links.append(given[ATTRIBUTES[tag]])
        if tag == "img":
            assert "alt" in given, given

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The built pages, from the folder of pages as it is."""
    folder = tmp_path_factory.mktemp("documentation")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-E",
        "-d",
        folder / "trees",
        DOCS,
        folder / "html",
    ]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    built = subprocess.run(command, capture_output=True, text=True, timeout=500, env=environment, check=False)
    assert built.returncode == 0, built.stderr
    assert ": WARNING: " not in built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(html):
    return {path.relative_to(html).as_posix(): Page(path) for path in html.glob("*.html")}


def sources():
    """Names of all pages that are written or brought here."""
    return {path.stem for path in DOCS.glob("*.md")} | {"tutorial"}


def test_every_page_is_built_and_listed_on_the_first(pages):
    listed = {urlsplit(link).path.removesuffix(".html") for link in pages["index.html"].links}
    assert {f"{name}.html" for name in sources()} <= set(pages)
    assert sources() - {"index"} <= listed


def test_links_within_the_documentation_lead_somewhere(html, pages):
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = unquote(parts.path) or name
            anchors = pages[target].anchors if target in pages else None
            if not (html / target).exists() or (
                parts.fragment and anchors is not None and parts.fragment not in anchors
            ):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_was_left_to_fill_in(pages):
    for name, page in pages.items():
        assert "generated:" not in "".join(page.text), name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("commands", "--min-gene-overlap"),
        ("parameters", "weighting_decoder_dropout"),
        ("hyperparameter_search", "reduction_factor"),
        ("python", "project_to_metadata"),
        ("published_names", "mmdpp_penalty"),
        ("model_families", "output_space"),
        ("reference_batch", "zero_fraction_error"),
        ("troubleshooting", "DivergenceError"),
        ("science", r"\lVert"),
    ],
)
def test_pages_show_what_the_program_says(pages, name, shown):
    assert shown in "".join(pages[f"{name}.html"].text)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_equations_are_set_without_a_network(html, pages, tmp_path):
    """Also on a phone: what is too wide scrolls sideways, and nothing scrolls up and down within the page."""
    with_equations = [
        name for name, page in pages.items() if "\\(" in "".join(page.text) or "\\[" in "".join(page.text)
    ]
    assert "science.html" in with_equations
    with headless_chromium(tmp_path / "profile") as browser:
        for name in with_equations:
            events = browser.open(html / name, PHONE)
            browser.wait_for("window.MathJax && MathJax.startup.promise")
            assert [
                url for url in requested_urls(events + browser.events) if not url.startswith(("file:", "data:"))
            ] == []
            n_written = browser.value("document.querySelectorAll('.math').length")
            assert n_written > 0
            assert browser.value("document.querySelectorAll('.math mjx-container').length") >= n_written, name
            assert browser.value("[...document.querySelectorAll('mjx-merror')].map(e => e.textContent)") == [], name
            boxes = "[...document.querySelectorAll('div.math')].filter(e => getComputedStyle(e).overflowY !== 'hidden')"
            assert browser.value(f"{boxes}.length") == 0, name
