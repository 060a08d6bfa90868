from html.parser import HTMLParser

import pytest

from discern.evaluation.html_elements import Html, element, joined, page, table

HOSTILE = '<script>alert("1")</script> & \'"><img src=x onerror=alert(2)>'


class Outline(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", [HOSTILE, "T⁺ cells, größer ≥ 3 µm 細胞", "a < b", "&lt;b&gt;"])
def test_text_and_attributes_come_back_as_they_were(text):
    outline = Outline(element("p", text, title=text))
    assert outline.tags == [("p", {"title": text})]
    assert outline.text == text


def test_html_is_not_escaped_twice_and_none_is_left_out():
    inner = element("b", "a & b")
    assert element("p", inner, None, " c & d") == "<p><b>a &amp; b</b> c &amp; d</p>"
    assert joined("<", inner) == "&lt;<b>a &amp; b</b>"
    assert element("img", alt="", src=None, class_="x", aria_label="y") == '<img alt="" class="x" aria-label="y">'
    assert isinstance(inner, Html)


def test_what_no_file_can_hold_is_left_out():
    text = element("p", "a\x00b\x1b[31mc\udcffd\x85e\nf")
    assert text == "<p>ab[31mc?de\nf</p>"
    text.encode("utf-8")


def test_tables_scroll_in_a_box_of_their_own_and_tell_their_heads():
    outline = Outline(
        table("Numbers of <cells>", ["batch", HOSTILE], [[element("th", "good", scope="row"), 3], ["poor", HOSTILE]])
    )
    assert outline.tags[0] == (
        "div",
        {"class": "scroll", "role": "region", "aria-label": "Numbers of <cells>", "tabindex": "0"},
    )
    assert [tag for tag, _ in outline.tags if tag in {"th", "td"}] == ["th", "th", "th", "td", "td", "td"]
    assert [attrs.get("scope") for tag, attrs in outline.tags if tag == "th"] == ["col", "col", "row"]


def test_a_page_is_whole_and_allows_no_script_and_no_network():
    text = page(HOSTILE, element("p", "body"))
    outline = Outline(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    tags = [tag for tag, _ in outline.tags]
    assert tags == ["html", "head", "meta", "meta", "meta", "title", "style", "body", "main", "h1", "p"]
    policy = next(attrs["content"] for _, attrs in outline.tags if "http-equiv" in attrs)
    assert policy.split("; ") == ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    assert outline.text.count(HOSTILE) == 2  # as title and as heading
    assert "http" not in text.replace("http-equiv", "")
