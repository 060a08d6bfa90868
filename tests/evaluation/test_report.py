import base64
import io
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from discern.evaluation.report import Record, report_page

HOSTILE = "<script>alert(1)</script>\"'&"
UNICODE = "größe 細胞 ⁺"
SCORES = {
    "mmd": {"reconstructed": 0.1, "zeros drawn": 0.5, "as measured": 0.3, "ComBat": 0.2, "half": 0.0},
    "fold_change_correlation": {"reconstructed": 0.6, "as measured": 0.7, "ComBat": 0.8},
    "ari_latent": {"reconstructed": 0.5},
}
STEPS = [
    {
        "step": "train",
        "outcome": "finished",
        "started": "2026-01-02T03:04:05.000001+00:00",
        "wall_s": 12.345,
        "command": f"discern train {HOSTILE}",
        "parameters": {"name": HOSTILE},
        "versions": {"discern": "1.0", "scipy": None},
        "device": {"processor": "A <fast> one", "cpus": 2, "gpus": []},
        "inputs": [{"path": f"/data/{UNICODE}.h5ad", "bytes": 1234567, "sha256": "ab" * 32}],
    }
]
HISTORY = pd.DataFrame({"epoch": [1.0, 2.0], "loss": [4.0, 2.0], "val_loss": [5.0, 3.0], "mmdpp_loss": [0.2, 0.1]})


class Page(HTMLParser):
    """What a report holds: headings, images, text, tags."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.text, self.ids, self.links, self.handlers = [], [], "", set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in values if name.startswith("on")]
        self.ids.add(values.get("id"))
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.links.append(values["href"])

    def handle_data(self, data):
        if self.tags and self.tags[-1] != "style":
            self.text += data


def test_all_sections_are_there_and_every_figure_tells_what_it_shows(evaluation_of, shown_of):
    text = report_page(evaluation_of(SCORES, notes=["scib is absent"]), shown_of(), Record(STEPS, HISTORY))
    found = Page(text)
    assert found.links == ["#summary", "#measures", "#cells", "#zeros", "#markers", "#losses", "#run"]
    assert {link[1:] for link in found.links} <= found.ids
    assert len(found.images) == 6 + 4 + 3 + 2
    for image in found.images:
        assert len(image["alt"]) > 40
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
        assert 200 < int(image["width"]) < 800
    assert "scib is absent" in found.text
    assert "run, decoded into good" in found.text
    assert "Lowest".lower() in found.images[-2]["alt"]


def test_measures_have_marks_and_a_sentence_each(evaluation_of, shown_of):
    found = Page(report_page(evaluation_of(SCORES), None, Record()))
    assert "Measures of the reconstruction, 2 in all: ✓ pass 1 ! warn 0 ✗ fail 1" in found.text
    assert "✓ pass Reconstructed 0.100: as good as the best baseline or better (ComBat: 0.200)." in found.text
    assert "✗ fail Reconstructed 0.600: worse than the cells as measured (0.700); best is ComBat (0.800)." in found.text
    assert "Nothing to compare with." in found.text
    assert found.links == ["#summary", "#measures", "#run"]
    assert found.images == []


@pytest.mark.parametrize("name", [HOSTILE, UNICODE, "_under", "$x^2$", "a" * 200, "\x1b[31mred"])
def test_names_stay_text(evaluation_of, shown_of, name):
    genes = [f"{name}{number}" for number in range(20)]
    shown = shown_of((name, "poor"), (name, "T"), genes)
    facts = {"experiment": name, "target": name, "labels": name, "types": [name]}
    text = report_page(evaluation_of(SCORES, facts, [name]), shown, Record(STEPS, HISTORY))
    found = Page(text)
    assert "script" not in found.tags
    assert found.handlers == []
    assert len(found.images) == 15
    visible = name.replace("\x1b", "")
    assert f"{visible}, decoded into {visible}" in found.text
    assert f"Note: {visible}" in found.text
    assert f"{visible}19" in found.text or f"{visible}1" in found.text
    assert any(f"coloured by batch: {visible} 60, poor 60" in image["alt"] for image in found.images)
    text.encode("utf-8")


def test_what_was_run_is_told(evaluation_of):
    found = Page(report_page(evaluation_of(SCORES), None, Record(STEPS, None)))
    for expected in (
        f"discern train {HOSTILE}",
        f"/data/{UNICODE}.h5ad",
        "1,234,567",
        "abababababababab",
        "A <fast> one",
    ):
        assert expected in found.text
    assert "2026-01-02 03:04:05" in found.text
    assert "12.3" in found.text
    assert "discern 1.0. Processor" in found.text


def test_records_that_others_wrote_do_not_stop_the_report(evaluation_of):
    strange = [
        {},
        {"step": 3, "inputs": ["x", {}], "wall_s": "long", "versions": [], "device": None, "parameters": None},
    ]
    found = Page(report_page(evaluation_of(SCORES), None, Record(strange, None)))
    assert "#run" in found.links


@pytest.mark.parametrize("n_cells", [12, 120])
def test_sections_that_data_are_missing_for_say_so(evaluation_of, shown_of, n_cells):
    shown = shown_of(types=None, with_zeros=False, n_cells=n_cells)
    found = Page(report_page(evaluation_of({}), shown, Record()))
    assert "estimates no probabilities of zeros" in found.text
    assert "No marker genes" in found.text
    assert len(found.images) == 3 + 2


def test_pictures_show_the_cells(evaluation_of, shown_of):
    found = Page(report_page(evaluation_of({}), shown_of(), Record()))
    pixels = [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(one["src"].split(",")[1])), format="png")[..., :3]
        for one in found.images
    ]
    for picture in pixels:
        assert (np.abs(picture - 1) > 0.2).any(axis=2).mean() > 0.004
    colour = np.array([0x00, 0x72, 0xB2]) / 255  # the first batch
    assert (np.abs(pixels[0] - colour).max(axis=2) < 0.02).sum() > 100
