from html.parser import HTMLParser

import pytest

from discern.evaluation.comparison_report import comparison_page

HOSTILE = "<script>alert(1)</script>"
FIRST = {"mmd": {"reconstructed": 0.1, "as measured": 0.3}, "ari_latent": {"reconstructed": 0.5}}
SECOND = {"mmd": {"reconstructed": 0.2, "as measured": 0.15}, "ari_latent": {"reconstructed": 0.6}}


class Rows(HTMLParser):
    """Rows of all tables as texts of their cells, and which texts are bold."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.bold, self.text, self.tags, self._is_bold, self._in_cell = [], [], "", [], False, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"th", "td"}:
            self.rows[-1].append("")
            self._in_cell = True
        self._is_bold = dict(attrs).get("class") == "best"

    def handle_endtag(self, tag):
        if tag in {"th", "td"}:
            self._in_cell = False
        if tag == "span":
            self._is_bold = False

    def handle_data(self, data):
        self.text += data
        if self._in_cell:
            self.rows[-1][-1] += data
        if self._is_bold:
            self.bold.append(data.strip())


def row_of(page, start):
    return next(row for row in page.rows if row and row[0].startswith(start))


def test_values_stand_side_by_side_with_marks_and_the_best_in_bold(evaluation_of):
    page = Rows(comparison_page({"A": evaluation_of(FIRST), "B": evaluation_of(SECOND)}))
    assert row_of(page, "mmd (lower is better)")[1:] == ["0.100 ✓ passmeasured 0.300", "0.200 ✗ failmeasured 0.150"]
    assert row_of(page, "ari latent (higher is better)")[1:] == ["0.500 ", "0.600 "]
    assert page.bold == ["0.100", "0.600"]
    assert [row for row in page.rows if row[0] in {"A", "B"}] == [["A", "1", "0", "0"], ["B", "0", "0", "1"]]
    assert "differ in" not in page.text


def test_what_an_experiment_lacks_is_a_dash_and_one_value_is_not_best(evaluation_of):
    page = Rows(
        comparison_page({"A": evaluation_of(FIRST), "B": evaluation_of({"squared_error": {"reconstructed": 1.0}})})
    )
    assert row_of(page, "mmd")[2] == "–"
    assert row_of(page, "squared error")[1:] == ["–", "1.000 "]
    assert page.bold == []


@pytest.mark.parametrize(("key", "value", "title"), [("target", "poor", "Target batch"), ("seed", 3, "Seed")])
def test_evaluations_of_other_cells_are_told_apart(evaluation_of, key, value, title):
    page = Rows(comparison_page({"A": evaluation_of(FIRST), "B": evaluation_of(SECOND, {key: value})}))
    assert f"they differ in: {title}. Compare their values with care." in page.text
    assert row_of(page, title)[2] == str(value)


def test_names_stay_text_and_notes_name_their_experiment(evaluation_of):
    one = evaluation_of(FIRST, {"target": HOSTILE}, [HOSTILE])
    page = Rows(comparison_page({HOSTILE: one}))
    assert "script" not in page.tags
    assert f"{HOSTILE}: {HOSTILE}" in page.text
    assert "1 experiment" in page.text
    assert row_of(page, "mmd")[1].startswith("0.100")
