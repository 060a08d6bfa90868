"""Cells on disk are projected a minibatch at a time, to the same bits as cells in memory."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError
from discern.io.matrix_rows import StoredRows
from discern.io.processed_cells import open_cells
from discern.io.writing import write_h5ad
from discern.projection.content import ProjectedContent
from discern.projection.project import project_cells
from discern.projection.reconstruct import reconstruct_cells
from discern.projection.targets import Target

TARGETS = [Target(), Target("batch", "high/2"), Target("celltype")]


@pytest.fixture
def with_proteins(data):
    data.obsm["protein_expression"] = pd.DataFrame(
        {"CD3": np.linspace(0, 1, 23), "CD8": [np.nan, *range(22)]}, index=data.obs_names
    )
    return data


@pytest.fixture
def file(with_proteins, tmp_path):
    write_h5ad(with_proteins, tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def same(found, expected):
    """Compare to the last bit."""
    for name in (None, *expected.layers):
        one, other = (sparse.csr_matrix(adata.X if name is None else adata.layers[name]) for adata in (found, expected))
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.toarray(), other.toarray())
    assert set(found.layers) == set(expected.layers)
    assert set(found.obsm) == set(expected.obsm)
    for name in ("X_DISCERN", "X_DISCERN_sigma"):
        np.testing.assert_array_equal(found.obsm[name], expected.obsm[name])
    pd.testing.assert_frame_equal(found.obsm["protein_expression"], expected.obsm["protein_expression"])
    np.testing.assert_array_equal(found.raw.X.toarray(), expected.raw.X.toarray())
    assert list(found.raw.var_names) == list(expected.raw.var_names)
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    pd.testing.assert_frame_equal(found.var, expected.var)


@pytest.mark.parametrize("batch_size", [1, 8, 23, 100])
def test_files_hold_what_cells_in_memory_become(file, with_proteins, family, tmp_path, batch_size):
    with_proteins.batch_size = batch_size
    with open_cells(file, batch_size) as cells:
        paths = project_cells(family, cells, TARGETS, tmp_path / "out", seed=4, store_sigmas=True)
        again = reconstruct_cells(family, cells, TARGETS[2], seed=4, store_sigmas=True)
    for target, path in zip(TARGETS, paths, strict=True):
        memory = reconstruct_cells(family, with_proteins, target, seed=4, store_sigmas=True)
        same(anndata.read_h5ad(path), memory)
    same(again, reconstruct_cells(family, with_proteins, TARGETS[2], seed=4, store_sigmas=True))


def test_genes_that_were_not_measured_are_told(with_proteins, family, tmp_path):
    with_proteins.obs["dataset"] = pd.Categorical(np.where(np.arange(with_proteins.n_obs) % 2, "all", "few"))
    measured = np.arange(with_proteins.n_vars) != 3
    table = pd.DataFrame({"few": measured}, index=with_proteins.var_names)
    with_proteins.varm["measured"] = table
    write_h5ad(with_proteins, tmp_path / "data.h5ad")
    names = list(with_proteins.var_names)
    wanted = {"all": None, "some": (names[5], names[3]), "none": (names[5], names[0])}
    with open_cells(tmp_path / "data.h5ad", 8) as cells:
        made = {
            kind: project_cells(family, cells, [Target()], tmp_path / kind, content=ProjectedContent(genes=genes))[0]
            for kind, genes in wanted.items()
        }
        made["latent"] = project_cells(family, cells, [], tmp_path, content=ProjectedContent(latent_only=True))[0]
    files = {kind: anndata.read_h5ad(path) for kind, path in made.items()}
    for found in (files["all"], files["latent"], reconstruct_cells(family, with_proteins, Target())):
        pd.testing.assert_frame_equal(found.varm["measured"], table)
        assert list(found.obs["dataset"]) == list(with_proteins.obs["dataset"])
    pd.testing.assert_frame_equal(files["some"].varm["measured"], table.iloc[[5, 3]])
    assert "measured" not in files["none"].varm
    del with_proteins.varm["measured"]
    assert not reconstruct_cells(family, with_proteins, Target()).varm


def test_genes_in_another_order(with_proteins, family, tmp_path):
    turned = with_proteins[:, ::-1].copy()
    write_h5ad(turned, tmp_path / "turned.h5ad")
    with open_cells(tmp_path / "turned.h5ad", 8) as cells:
        ordered = cells.with_genes(list(with_proteins.var_names))
        paths = project_cells(family, ordered, TARGETS, tmp_path / "out", seed=4, store_sigmas=True)
    for target, path in zip(TARGETS, paths, strict=True):
        same(anndata.read_h5ad(path), reconstruct_cells(family, with_proteins, target, seed=4, store_sigmas=True))


def test_no_more_than_a_minibatch_is_read_at_once_and_only_once(file, family, tmp_path, monkeypatch):
    taken = {"/layers/counts": [], "/X": []}
    read = StoredRows.__getitem__
    monkeypatch.setattr(
        StoredRows, "__getitem__", lambda rows, cells: (taken[rows._name].append(cells), read(rows, cells))[1]
    )
    with open_cells(file, 8) as cells:
        project_cells(family, cells, TARGETS, tmp_path / "out")
    expected = [slice(0, 8), slice(8, 16), slice(16, 23)]
    assert taken == {"/layers/counts": expected, "/X": expected}
    assert family.sizes == [8, 8, 8]


def content_of(family, cells, folder, **content):
    (path,) = project_cells(
        family, cells, [Target("batch", "high/2")], folder, store_sigmas=True, content=ProjectedContent(**content)
    )
    return anndata.read_h5ad(path)


def test_chosen_genes_have_the_same_zeros(with_proteins, family, tmp_path):
    every = content_of(family, with_proteins, tmp_path / "every")
    genes = ("gene7", "gene0", "gene4")
    some = content_of(family, with_proteins, tmp_path / "some", genes=genes)
    assert list(some.var_names) == list(genes)
    assert list(some.raw.var_names) == list(with_proteins.var_names)
    expected = every[:, list(genes)].copy()
    expected.raw = every
    np.testing.assert_array_equal(some.X.toarray(), expected.X.toarray())
    assert (some.X.toarray() == 0).any()
    for name in ("estimated_counts", "estimated_dropouts"):
        np.testing.assert_array_equal(some.layers[name], expected.layers[name])
    pd.testing.assert_frame_equal(some.var, expected.var)


def test_unknown_genes_write_nothing(with_proteins, family, tmp_path):
    with pytest.raises(DataError, match="1 of the 2 genes asked for are not among the 9 of the data: gene77"):
        content_of(family, with_proteins, tmp_path / "out", genes=("gene1", "gene77"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layers", [(), ("estimated_counts",), ("estimated_dropouts",)])
def test_chosen_layers(with_proteins, family, tmp_path, layers):
    every = content_of(family, with_proteins, tmp_path / "every")
    some = content_of(family, with_proteins, tmp_path / "some", layers=layers)
    assert set(some.layers) == set(layers)
    np.testing.assert_array_equal(some.X.toarray(), every.X.toarray())


def test_half_precision_is_for_layers_alone(with_proteins, family, tmp_path):
    every = content_of(family, with_proteins, tmp_path / "every")
    half = content_of(family, with_proteins, tmp_path / "half", dtype="float16")
    for name in every.layers:
        assert half.layers[name].dtype == np.float16
        np.testing.assert_array_equal(half.layers[name], every.layers[name].astype(np.float16))
    assert half.X.dtype == half.obsm["X_DISCERN"].dtype == np.float32
    np.testing.assert_array_equal(half.X.toarray(), every.X.toarray())


def test_without_raw(with_proteins, family, tmp_path):
    with_proteins.X = None
    assert content_of(family, with_proteins, tmp_path / "out", raw=False).raw is None
    with pytest.raises(DataError, match="--no-raw"):
        content_of(family, with_proteins, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_latent_codes_alone(file, with_proteins, family, tmp_path, monkeypatch):
    expected = content_of(family, with_proteins, tmp_path / "every")
    monkeypatch.delattr(type(family), "decode")
    monkeypatch.setattr(family, "decode", None, raising=False)  # calling it would fail
    with open_cells(file, 8) as cells:
        (path,) = project_cells(
            family, cells, TARGETS, tmp_path / "out", store_sigmas=True, content=ProjectedContent(latent_only=True)
        )
    assert [one.name for one in (tmp_path / "out").iterdir()] == [path.name] == ["latent.h5ad"]
    found = anndata.read_h5ad(path)
    assert (found.X, found.raw, dict(found.layers)) == (None, None, {})
    assert found.shape == (23, 9)
    pd.testing.assert_frame_equal(found.obs, with_proteins.obs)
    for name in ("X_DISCERN", "X_DISCERN_sigma"):
        np.testing.assert_array_equal(found.obsm[name], expected.obsm[name])
    pd.testing.assert_frame_equal(found.obsm["protein_expression"], expected.obsm["protein_expression"])


def test_text_without_value_in_obs_can_be_written(with_proteins, family, tmp_path):
    with_proteins.obs["tissue"] = ["lung", None] * 11 + ["liver"]
    found = content_of(family, with_proteins, tmp_path / "out")
    assert found.obs["tissue"].isna().sum() == 11
    assert with_proteins.obs["tissue"].dtype == object


def test_raw_in_memory_is_another_matrix(with_proteins, family):
    made = reconstruct_cells(family, with_proteins, Target())
    made.raw.X.data[:] = -1
    made.obsm["protein_expression"].iloc[:] = -1
    assert (with_proteins.X.data >= 0).all()
    assert (with_proteins.obsm["protein_expression"]["CD3"] >= 0).all()
