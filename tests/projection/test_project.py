from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from discern.errors import DataError, ShapeError
from discern.io.record_schema import genes_digest
from discern.projection.project import check_genes, project_cells
from discern.projection.reconstruct import reconstruct_cells
from discern.projection.targets import Target

TARGETS = [Target(), Target("batch", "high/2"), Target("batch"), Target("celltype"), Target("celltype", "T")]
FILES = [
    "unprojected.h5ad",
    "projected_to_average_batch_high%2F2.h5ad",
    "projected_to_average_batch.h5ad",
    "projected_to_average_celltype.h5ad",
    "projected_to_average_celltype_T.h5ad",
]


def _dense(matrix):
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def test_files_are_named_as_published(data, family, tmp_path):
    paths = project_cells(family, data, TARGETS, tmp_path / "projected")
    assert [path.name for path in paths] == FILES
    assert sorted(path.name for path in (tmp_path / "projected").iterdir()) == sorted(FILES)


def test_cells_are_encoded_once_for_all_targets(data, family, tmp_path):
    project_cells(family, data, TARGETS, tmp_path)
    assert family.sizes == [8, 8, 8]


@pytest.mark.parametrize("store_sigmas", [False, True])
def test_files_hold_what_reconstruct_returns(data, family, tmp_path, store_sigmas):
    paths = project_cells(family, data, TARGETS, tmp_path, seed=4, store_sigmas=store_sigmas)
    for target, path in zip(TARGETS, paths, strict=True):
        file = anndata.read_h5ad(path)
        memory = reconstruct_cells(family, data, target, seed=4, store_sigmas=store_sigmas)
        np.testing.assert_array_equal(_dense(file.X), _dense(memory.X))
        assert set(file.layers) == set(memory.layers) == {"estimated_counts", "estimated_dropouts"}
        assert set(file.obsm) == set(memory.obsm) == {"X_DISCERN", *(["X_DISCERN_sigma"] if store_sigmas else [])}
        for name in (*file.layers, *file.obsm):
            group = "layers" if name in file.layers else "obsm"
            np.testing.assert_array_equal(getattr(file, group)[name], getattr(memory, group)[name])
        np.testing.assert_array_equal(_dense(file.raw.X), _dense(data.X))
        np.testing.assert_array_equal(_dense(memory.raw.X), _dense(data.X))
        pd.testing.assert_frame_equal(file.obs, data.obs)
        pd.testing.assert_frame_equal(file.var, data.var)
        assert dict(file.uns["discern"]) == dict(memory.uns["discern"])


def test_the_target_decides_the_shift(data, family):
    """The family adds 1 for high/2, 2 for the third batch and 3 for low."""
    own, high, average = (reconstruct_cells(family, data, target).layers["estimated_counts"] for target in TARGETS[:3])
    is_low = (data.obs["batch"] == "low").to_numpy()
    np.testing.assert_allclose(own - high, np.where(is_low, 2, 0)[:, None] * np.ones((1, 9)), atol=1e-4)
    share = is_low.mean()
    np.testing.assert_allclose(average - high, np.full((23, 9), 2 * share), atol=1e-4)


def test_the_summary_tells_how_the_file_was_made(data, family):
    summary = reconstruct_cells(family, data, Target("celltype", "T"), seed=9).uns["discern"]
    assert (summary["family"], summary["target_column"], summary["target_value"]) == ("shift", "celltype", "T")
    assert (summary["seed"], summary["output_space"]) == (9, family.output_space)


def test_the_seed_decides_the_zeros(data, family):
    first, again, other = (_dense(reconstruct_cells(family, data, Target(), seed=s).X) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_every_target_has_the_same_draws(data, family):
    zero = [_dense(reconstruct_cells(family, data, target).X) == 0 for target in TARGETS[:3]]
    np.testing.assert_array_equal(zero[0], zero[1])
    np.testing.assert_array_equal(zero[0], zero[2])


def test_a_family_without_probabilities(data, certain_family, tmp_path):
    (path,) = project_cells(certain_family, data, [Target()], tmp_path, store_sigmas=True)
    adata = anndata.read_h5ad(path)
    assert set(adata.layers) == {"estimated_counts"}
    assert set(adata.obsm) == {"X_DISCERN"}
    np.testing.assert_array_equal(_dense(adata.X), adata.layers["estimated_counts"])


def test_the_data_stay_as_they_are(data, family, tmp_path):
    before = data.copy()
    reconstruct_cells(family, data, Target("batch"))
    project_cells(family, data, [Target("batch")], tmp_path)
    pd.testing.assert_frame_equal(data.obs, before.obs)
    np.testing.assert_array_equal(_dense(data.X), _dense(before.X))
    assert set(data.layers) == {"counts"}
    assert not data.obsm


@pytest.mark.parametrize("wrong", [Target("batch", "other"), Target("organ"), Target("celltype", "NK")])
def test_one_impossible_target_writes_nothing(data, family, tmp_path, wrong):
    with pytest.raises(DataError):
        project_cells(family, data, [Target(), wrong], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_same_target_twice_is_refused(data, family, tmp_path):
    with pytest.raises(DataError, match="written to the same file: .*projected_to_average_batch.h5ad. Name it once"):
        project_cells(family, data, [Target("batch"), Target("batch")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_batches_that_share_a_name_once_spaces_are_replaced_do_not_replace_each_other(data, family, tmp_path):
    data.obs["batch"] = data.obs["batch"].cat.rename_categories({"low": "a b", "high/2": "a_b"})
    renamed = type(family)(data, ("a_b", "a b"))
    targets = [Target("batch", "a b"), Target("batch", "a_b")]
    together = project_cells(renamed, data, targets, tmp_path / "together")
    alone = [path for target in targets for path in project_cells(renamed, data, [target], tmp_path / "alone")]
    assert [path.name for path in together] == [path.name for path in alone]
    assert [anndata.read_h5ad(path).uns["discern"]["target_value"] for path in alone] == ["a b", "a_b"]


def test_an_interruption_leaves_no_file(data, family, tmp_path, monkeypatch):
    decode = family.decode

    def failing(latent_mean, target_batch):
        if family.sizes == [8, 8]:
            raise MemoryError
        return decode(latent_mean, target_batch)

    monkeypatch.setattr(family, "decode", failing)
    with pytest.raises(MemoryError):
        project_cells(family, data, TARGETS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_genes_are_refused(data, family):
    check_genes(family, data)
    with pytest.raises(ShapeError, match="The cells have 4 genes, the model was trained on 9"):
        check_genes(family, data[:, :4])


def test_the_same_number_of_other_genes_is_refused_where_the_model_knows_them(data, family, tmp_path):
    family.data = replace(family.data, genes_sha256=genes_digest(data.var_names))
    check_genes(family, data)
    turned = data[:, ::-1].copy()
    with pytest.raises(ShapeError, match="have 9 genes and the model was trained on 9, .* in another order"):
        check_genes(family, turned)
    with pytest.raises(ShapeError, match="in another order"):
        project_cells(family, turned, TARGETS, tmp_path)
    assert list(tmp_path.iterdir()) == []
