import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.projection.content import ProjectedContent, gene_positions, parse_layers, read_gene_list

GENES = pd.Index(["CD3E", "CD4", "GAPDH", "MS4A1", "Gapdhs"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", ()),
        ("estimated_counts", ("estimated_counts",)),
        ("estimated_dropouts, estimated_counts", ("estimated_counts", "estimated_dropouts")),
        ("posterior_counts", ("posterior_counts",)),
    ],
)
def test_layers(text, expected):
    assert parse_layers(text) == expected


@pytest.mark.parametrize("text", ["counts", "", "none,estimated_counts", "estimated_counts,"])
def test_other_layers_are_refused(text):
    with pytest.raises(DataError, match=f"Give one or more of estimated_counts, .* or none; received '{text}'"):
        parse_layers(text)


def test_gene_lists(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_bytes("\ufeffCD4\r\n\r\n GAPDH \nCD4\n".encode())
    assert read_gene_list(path) == ("CD4", "GAPDH")


@pytest.mark.parametrize(
    ("content", "message"), [(b" \n", "names no gene"), (b"\xff\xfe\x00", "cannot be read as a list")]
)
def test_files_that_are_no_gene_lists(tmp_path, content, message):
    path = tmp_path / "genes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_gene_list(path)
    with pytest.raises(DataError, match="absent.txt cannot be read as a list of genes"):
        read_gene_list(tmp_path / "absent.txt")


def test_positions_follow_the_list():
    np.testing.assert_array_equal(gene_positions(GENES, ["MS4A1", "CD3E"]), [3, 0])


def test_unknown_genes_are_named_with_near_ones():
    with pytest.raises(DataError) as caught:
        gene_positions(GENES, ["gapdh", "CD4", "XYZ9"])
    assert str(caught.value) == (
        "2 of the 3 genes asked for are not among the 5 of the data: gapdh (did you mean GAPDH or Gapdhs?); XYZ9. "
        "Correct the names, or leave these genes out."
    )


def test_only_some_unknown_genes_are_named():
    with pytest.raises(DataError, match=r"7 of the 7 genes .*: x0; x1; x2; x3; x4; and 2 more\."):
        gene_positions(GENES, [f"x{number}" for number in range(7)])


def test_values_that_do_not_fit_the_type_are_refused():
    content = ProjectedContent(dtype="float16")
    np.testing.assert_array_equal(
        content.as_layer(np.array([1.0, 65504.0], np.float32)), np.array([1, 65504], np.float16)
    )
    with pytest.raises(DataError, match="An estimate of 7e\\+04 does not fit into float16. Write float32 instead"):
        content.as_layer(np.array([70000.0], np.float32))
    kept = np.ones(3, np.float32)
    assert ProjectedContent().as_layer(kept) is kept


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_estimates_that_are_not_finite_are_refused(value, dtype):
    with pytest.raises(DataError, match=f"The model gives estimates of {value}. Train it anew"):
        ProjectedContent(dtype=dtype).as_layer(np.array([[1.0, value]], np.float32))
