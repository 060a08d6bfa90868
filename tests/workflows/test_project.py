import anndata
import numpy as np
import pytest

from discern.errors import ExperimentError
from discern.workflows.process import process
from discern.workflows.project import project


@pytest.fixture
def published(experiment, golden_dir, counts):
    """A processed experiment with a model that another program saved: 200 genes, three batches."""
    adata = counts(n_cells=90, n_genes=200)
    adata.obs["batch"] = np.array(["a", "b", "c"])[np.arange(90) % 3]
    one = experiment(adata=adata)
    process(one, with_tfrecords=False)
    one.folder.job.mkdir()
    one.folder.best_model.write_bytes((golden_dir / "model_forward_best_model.hdf5").read_bytes())
    return one


@pytest.fixture
def others(published, here):
    """Preprocessed cells of one batch only, with a scaling of their own."""
    data = anndata.read_h5ad(published.folder.processed_file)
    data = data[data.obs["batch"] == "b"].copy()
    data.obs["batch"] = data.obs["batch"].cat.remove_unused_categories()
    data.var["mean_scaling"] += 1.0
    data.write_h5ad(here / "others.h5ad")
    return here / "others.h5ad"


def test_a_published_model_takes_batches_and_scaling_from_its_own_data(published, others, monkeypatch):
    seen = []
    monkeypatch.setattr("discern.workflows.project.project_cells", lambda family, *_, **__: seen.append(family) or [])
    project(published, filename=others)
    var = anndata.read_h5ad(published.folder.processed_file).var
    assert seen[0].data.batches == ("a", "b", "c")
    np.testing.assert_allclose(seen[0].data.transform.scaling.mean, var["mean_scaling"], rtol=1e-6)


def test_a_published_model_without_its_data_is_refused(published, others):
    published.folder.processed_file.unlink()
    with pytest.raises(ExperimentError, match="saved by another program and does not tell its batches"):
        project(published, filename=others)
