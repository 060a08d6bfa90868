import pandas as pd
import pytest

from discern.io.gene_names import explain_no_common_genes, kind_of_names, looks_like_ensembl, spellings, without_version
from discern.io.reading import read_raw_input

HUMAN = ["CD3D", "MS4A1", "NKG7", "LYZ", "C1orf112", "HLA-DRA", "AL645608.8"]
MOUSE = ["Cd3d", "Ms4a1", "Nkg7", "Lyz2", "H2-K1", "Gad2", "1700001C02Rik"]
IDS = [f"ENSG{i:011d}" for i in range(9)]
VERSIONED = [f"ENSMUSG{i:011d}.{i}" for i in range(9)]


@pytest.mark.parametrize(
    ("names", "kind", "is_ensembl"),
    [
        (HUMAN, "symbols in upper case, as in human", False),
        (MOUSE, "capitalised symbols, as in mouse", False),
        (IDS, "Ensembl ids", True),
        (VERSIONED, "Ensembl ids with version suffix", True),
        (["1", "23", "945"], "numbers", False),
        (["gene1", "gene2"], "names", False),
        ([], "names", False),
    ],
)
def test_kinds(names, kind, is_ensembl):
    assert kind_of_names(names) == kind
    assert looks_like_ensembl(names) is is_ensembl


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kang_pbmc_ctrl_stim.h5ad", "symbols in upper case, as in human"),
        ("pbmc_citeseq_10k5k.h5ad", "symbols in upper case, as in human"),
        ("mouse_spleen_ln_d2.h5ad", "capitalised symbols, as in mouse"),
        ("paul15_mouse_hsc.h5ad", "capitalised symbols, as in mouse"),
    ],
)
def test_real_genes(data_dir, name, kind):
    assert kind_of_names(read_raw_input(data_dir / name).var_names) == kind


@pytest.mark.parametrize(
    ("first", "second", "hint"),
    [
        (HUMAN, IDS, "Ensembl ids meet symbols"),
        (HUMAN, MOUSE, "orthologues"),
        (IDS, [f"{name}.3" for name in IDS], "Cut the version suffix"),
        (IDS, VERSIONED, "differ in species"),
        (HUMAN, ["1", "2", "3"], "numbers for gene names"),
        (["gene1"], ["g1"], "the same kind of gene names"),
    ],
)
def test_hints(first, second, hint):
    message = explain_no_common_genes({"a": pd.DataFrame(index=first), "b": pd.DataFrame(index=second)})
    assert hint in message
    assert f"a ({len(first)} genes" in message
    assert f": {', '.join(second[:4])}" in message


def test_the_columns_that_may_hold_the_other_kind_are_named():
    symbols = pd.DataFrame({"gene_ids": IDS[:7], "length": range(7), "type": "x"}, index=HUMAN)
    message = explain_no_common_genes({"a": symbols, "b": pd.DataFrame(index=IDS)})
    assert "The other kind may be in var: gene_ids." in message


def test_only_ensembl_ids_lose_their_version():
    names = pd.Index(["ENSG00000141510.16", "ENSMUSG00000059552.13", "AC007325.4", "ENSG00000182378.15_PAR_Y", "CD3D"])
    assert without_version(names).tolist() == ["ENSG00000141510", "ENSMUSG00000059552", *names[2:]]


def test_spellings_are_the_names_and_columns_of_differing_texts():
    var = pd.DataFrame(
        {
            "symbol": pd.Categorical(["A", "B", None, "C"]),
            "genome": ["GRCh38"] * 4,
            "number": ["1", "2", "3", "4"],
            "mean": [0.1, 0.2, 0.3, 0.4],
            "used": [True, False, True, False],
            "id": [f"ENSG0000000000{i}.{i}" for i in range(4)],
        },
        index=list("wxyz"),
    )
    found = {kind: names.tolist() for kind, names in spellings(var).items()}
    assert found == {
        "gene names": list("wxyz"),
        "var['symbol']": ["A", "B", "", "C"],
        "var['id']": var["id"].tolist(),
        "var['id'] without version": [f"ENSG0000000000{i}" for i in range(4)],
    }
