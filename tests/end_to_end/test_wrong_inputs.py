"""What people give by mistake, and what they are told."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse


def with_values(change):
    def changed(adata):
        adata.X.data = change(adata.X.data.copy()).astype(np.float32)
        return adata

    return changed


def log_normalised(adata):
    sums = np.asarray(adata.X.sum(axis=1))
    adata.X = sparse.csr_matrix(adata.X.multiply(10_000 / sums)).log1p().astype(np.float32)
    return adata


def a_tiny_batch(adata):
    adata.obs["donor"] = np.where(np.arange(adata.n_obs) < 7, "tiny", "large")
    return adata


def donor_missing(adata):
    adata.obs["donor"] = pd.Series(np.where(np.arange(adata.n_obs) < 5, None, "one"), adata.obs_names, dtype=object)
    return adata


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (log_normalised, "They look log-transformed of counts normalised to 10,000 per cell"),
        (with_values(np.log1p), "They look log-transformed"),
        (with_values(lambda values: values / 2), "are not whole numbers"),
        (with_values(np.negative), "values are negative; the first is -8"),
        (with_values(lambda values: np.where(np.arange(len(values)) == 9, np.nan, values)), "1 values are not finite"),
        (a_tiny_batch, "gives no validation cell in batch 'tiny' (7 cells)"),
        (donor_missing, "Column 'donor' of cells has no value for 5 of 300 cells"),
        (lambda adata: adata[:, :31].copy(), "too few genes (31) for 32 principal components"),
        (lambda adata: adata[np.r_[:10, 290:300]].copy(), "too few cells (20) for 32 principal components"),
        (lambda adata: adata[:0].copy(), "cells.h5ad is empty: 0 cells x 700 genes"),
    ],
)
def test_data_that_cannot_be_used(here, discern, parameters, cells, change, message):
    change(cells.copy()).write_h5ad(here / "cells.h5ad")
    name = parameters()
    process, validate = discern("process", name), discern("validate", name)
    assert (process.exit_code, validate.exit_code) == (3, 3)
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert message in validate.stdout
    assert not (here / "exps" / "run").exists()


def inputs(files):
    return lambda content: content["input_ds"].update(raw_input=files)


def test_a_missing_batch_column_is_told_with_those_there_are(here, discern, parameters, cells):
    cells.write_h5ad(here / "cells.h5ad")
    finished = discern("process", parameters(run=inputs({"cells.h5ad": "sample_id"})))
    assert finished.exit_code == 3
    assert "Column 'sample_id', named in raw_input, is missing from obs of cells" in finished.stderr
    assert "Found: celltype, donor, site, partial" in finished.stderr


def test_symbols_do_not_meet_ensembl_ids(here, discern, parameters, cells):
    cells.write_h5ad(here / "cells.h5ad")
    other = cells.copy()
    other.var_names = [f"ENSG{number:011d}" for number in range(other.n_vars)]
    other.write_h5ad(here / "other.h5ad")
    finished = discern("process", parameters(run=inputs(["cells.h5ad", "other.h5ad"])))
    assert finished.exit_code == 3
    assert "The inputs have no gene in common." in finished.stderr
    assert "Ensembl ids): ENSG00000000000" in finished.stderr
    assert "symbols in upper case, as in human): " in finished.stderr


def test_two_inputs_of_the_same_name_both_survive(here, discern, parameters, cells):
    """§9.6: the published program kept the last."""
    plain = anndata.AnnData(cells.X, obs=cells.obs[["celltype"]].copy(), var=cells.var.copy())
    for folder, part in (("lane1", slice(0, 100)), ("lane2", slice(100, 300))):
        (here / folder).mkdir()
        plain[part].copy().write_h5ad(here / folder / "matrix.h5ad")
    name = parameters(run=inputs(["lane1/matrix.h5ad", "lane2/matrix.h5ad"]))
    assert discern("process", name, "-q").exit_code == 0
    data = anndata.read_h5ad(here / "exps" / "run" / "processed_data" / "concatenated_data.h5ad")
    assert data.obs["batch"].value_counts().to_dict() == {"lane1_matrix": 100, "lane2_matrix": 200}


def test_one_batch_goes_through_the_whole_job(here, discern, parameters, cells):
    alone = cells.copy()
    alone.obs["donor"] = "only"
    alone.write_h5ad(here / "cells.h5ad")
    name = parameters()
    for arguments in (("process", name), ("train", name), ("project", name, "--metadata", "batch:only")):
        finished = discern(*arguments, "-q")
        assert finished.exit_code == 0, finished.stderr
    found = anndata.read_h5ad(here / "exps" / "run" / "projected" / "projected_to_average_batch_only.h5ad")
    assert found.n_obs == 300


def test_counts_without_scaling_or_library_size_go_through_the_whole_job(here, discern, parameters, cells):
    cells[:, :500].copy().write_h5ad(here / "cells.h5ad")  # fewer than the 1,000 genes of the published PCA
    name = parameters(run=lambda content: content["input_ds"].update(scale={}))
    for verb in ("process", "train", "project"):
        finished = discern(verb, name, "-q")
        assert finished.exit_code == 0, finished.stderr
    found = anndata.read_h5ad(here / "exps" / "run" / "projected" / "unprojected.h5ad")
    assert np.isfinite(found.layers["estimated_counts"]).all()
