import pytest

from discern.errors import counted, names_in_short


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("epoch",), "0 epochs"),
        (1, ("epoch",), "1 epoch"),
        (2, ("epoch",), "2 epochs"),
        (1, ("batch", "batches"), "1 batch"),
        (12, ("batch", "batches"), "12 batches"),
        (1, ("cell has", "cells have"), "1 cell has"),
    ],
)
def test_numbers_are_told_with_what_they_count(number, words, text):
    assert counted(number, *words) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], ""), (list("abcde"), "a, b, c, d, e"), (list("abcdefg"), "a, b, c, d, e and 2 more")]
)
def test_many_names_are_cut_short_and_the_rest_is_counted(names, text):
    assert names_in_short(names) == text
