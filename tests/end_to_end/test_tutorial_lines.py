"""The lines of the published two-batch tutorial, as they stand there, on a part of real data."""

import json
import textwrap

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

TUTORIAL = textwrap.dedent(
    """
    from discern import DISCERN, WAERecipe
    recipe = WAERecipe(params=default_parameter, inputs={"citeseq": citeseq, "pbmc8k": pbmc8k})
    data = recipe().sc_raw
    model = DISCERN.from_json(default_parameter)
    model.build_model(n_genes=data.var_names.size, n_labels=data.obs.batch.nunique(), scale=data.config["total_train_count"])
    data.batch_size = 192
    losses = model.training(inputdata=data, max_steps=20)        # losses.history["loss"], losses.epoch
    reconstructed = model.reconstruct(input_data=data, column="batch", column_value="pbmc8k")
    sc.pp.pca(data); sc.pp.pca(reconstructed); sc.pp.neighbors(reconstructed); sc.tl.umap(reconstructed)
    """
)
N_CELLS, N_GENES = 300, 1500


@pytest.fixture(scope="module")
def two_batches(data_dir):
    """300 cells of each batch, the 1,500 genes with most counts."""
    adata = anndata.read_h5ad(data_dir / "pbmc_citeseq_10k5k.h5ad")
    genes = np.sort(np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel())[:N_GENES])
    rng = np.random.default_rng(0)
    found = {}
    for batch in ("pbmc10k_v3", "pbmc5k_v3"):
        cells = np.sort(rng.choice(np.flatnonzero(adata.obs["batch"] == batch), N_CELLS, replace=False))
        part = adata[cells, genes]
        found[batch] = anndata.AnnData(
            sparse.csr_matrix(part.X), part.obs[["marker_group"]].copy(), part.var[[]].copy()
        )
    return found


@pytest.fixture(scope="module")
def default_parameter(golden_dir):
    """The published experiment, with small layers and every cell kept."""
    content = json.loads((golden_dir / "published_parameters.json").read_text())
    parameters = content["experiments"]["default_experiment"]
    parameters["input_ds"]["filtering"]["min_genes"] = 50
    parameters["model"]["encoder"]["layers"] = [128, 64, 32]
    parameters["model"]["decoder"]["layers"] = [32, 64, 128]
    return parameters


@pytest.fixture(scope="module")
def tutorial(two_batches, default_parameter):
    """The names the tutorial leaves behind."""
    citeseq, pbmc8k = two_batches["pbmc10k_v3"], two_batches["pbmc5k_v3"]
    names = {"sc": sc, "citeseq": citeseq, "pbmc8k": pbmc8k, "default_parameter": default_parameter}
    given = json.dumps(default_parameter), citeseq.copy(), pbmc8k.copy()
    exec(compile(TUTORIAL, "tutorial", "exec"), names)  # noqa: S102 - the published lines, unchanged
    assert given[0] == json.dumps(default_parameter)
    for before, after in zip(given[1:], (citeseq, pbmc8k), strict=True):
        assert (before.X != after.X).nnz == 0
        assert list(before.obs) == list(after.obs)
    return names


def test_training_is_recorded_per_epoch(tutorial):
    losses = tutorial["losses"]
    assert losses.epoch == list(range(20))
    assert len(losses.history["loss"]) == len(losses.history["val_loss"]) == 20
    assert np.isfinite(losses.history["loss"]).all()
    assert losses.history["loss"][-1] < losses.history["loss"][0]
    assert tutorial["model"].start_step == 20


def test_cells_and_genes_keep_their_names(tutorial):
    data, reconstructed = tutorial["data"], tutorial["reconstructed"]
    assert data.n_obs <= 2 * N_CELLS
    assert set(data.obs["batch"].cat.categories) == {"citeseq", "pbmc8k"}
    assert list(reconstructed.obs_names) == list(data.obs_names)
    assert list(reconstructed.var_names) == list(data.var_names)


def test_the_reconstruction_is_normalised_log_expression(tutorial):
    reconstructed = tutorial["reconstructed"]
    values = reconstructed.X.data if sparse.issparse(reconstructed.X) else reconstructed.X
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert reconstructed.obsm["X_DISCERN"].shape == (reconstructed.n_obs, 48)
    assert set(reconstructed.layers) == {"estimated_counts", "estimated_dropouts"}
    assert reconstructed.obsm["X_umap"].shape == (reconstructed.n_obs, 2)
    assert tutorial["data"].obsm["X_pca"].shape[0] == reconstructed.n_obs


def test_dropout_probabilities_are_learnt(tutorial):
    """Not P(count > 0) near 1, as when the value of a zero count is unknown."""
    data, reconstructed = tutorial["data"], tutorial["reconstructed"]
    of_target = (data.obs["batch"] == "pbmc8k").to_numpy()
    counts = data.layers["counts"][of_target]
    seen = counts.nnz / np.prod(counts.shape)
    smoothed = seen + 0.1 * (1 - seen)  # lower_label_smoothing of the parameters
    assert abs(reconstructed.layers["estimated_dropouts"][of_target].mean() - smoothed) < 0.1
