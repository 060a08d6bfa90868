import json
from dataclasses import asdict

import pandas as pd

from discern.online_learning.gene_report import DataSetGenes, GeneReport

REPORT = GeneReport(
    (
        DataSetGenes("one", 1200, 1200, "gene names", "gene names"),
        DataSetGenes(
            "two", 4, 6, "gene names", "var['symbol']", ("A", "B"), ("X",), ("C-1",), (("C", "ENSG00000000001"),)
        ),
    )
)


def test_the_table_has_a_row_for_every_gene_that_is_not_simply_there(tmp_path):
    REPORT.write_csv(tmp_path / "genes.csv")
    table = pd.read_csv(tmp_path / "genes.csv", keep_default_na=False)
    assert list(table.columns) == ["data_set", "reference_gene", "query_gene", "status"]
    assert table.to_numpy().tolist() == [
        ["two", "A", "", "missing"],
        ["two", "B", "", "missing"],
        ["two", "", "X", "extra"],
        ["two", "", "C-1", "duplicated"],
        ["two", "C", "ENSG00000000001", "renamed"],
    ]


def test_the_paragraph_names_what_differs_and_nothing_else():
    assert REPORT.summary() == (
        "one: 1,200 of 1,200 genes found. two: 2 of 4 genes found; 2 missing, which count as not measured (A, B); "
        "1 further genes left out (X); 1 repeated, of which the first counts (C-1); var['symbol'] matched to gene "
        "names of the reference; its genes are called by Ensembl ids, the reference's by symbols in upper case, as in human."
    )


def test_numbers_and_fields_are_plain():
    assert json.loads(json.dumps(asdict(REPORT)))["data_sets"][1]["renamed"] == [["C", "ENSG00000000001"]]
    assert REPORT.numbers()["two"] == {
        "matched": 2,
        "missing": 2,
        "extra": 1,
        "duplicated": 1,
        "renamed": 1,
        "reference_names": "gene names",
        "query_names": "var['symbol']",
    }
