import anndata
import h5py
import numpy as np
import pytest

from discern.errors import DataError, ExperimentError, NoCountPriorError
from discern.io.sealed_hdf5 import sealed_hdf5
from discern.projection.content import ProjectedContent
from discern.projection.targets import Target
from discern.workflows.count_prior import count_prior_of
from discern.workflows.process import process
from discern.workflows.project import project, trained_family


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


@pytest.mark.parametrize("content", [None, ProjectedContent(latent_only=True)])
def test_cells_of_a_file_are_not_written_over_others(published, others, content, caplog):
    folder = published.folder.projected
    (alone,) = project(published, filename=others, content=content)
    assert alone.parent == folder  # where nothing is in the way it has the published name
    (own,) = project(published, content=content)
    assert own == alone and anndata.read_h5ad(own).n_obs == 90
    before = own.read_bytes()
    for _ in range(2):
        (path,) = project(published, filename=others, content=content)
        assert path == folder / "others" / own.name
        assert anndata.read_h5ad(path).n_obs == 30
        assert own.read_bytes() == before
    assert f"{own} holds other cells and stays as it is; those of {others} are written into" in caplog.text
    namesake = others.parent / "elsewhere" / others.name
    namesake.parent.mkdir()
    anndata.read_h5ad(others)[:20].copy().write_h5ad(namesake)
    for _ in range(2):
        (third,) = project(published, filename=namesake, content=content)
        assert third == folder / "others-2" / own.name
        assert [anndata.read_h5ad(one).n_obs for one in (own, path, third)] == [90, 30, 20]
    caplog.clear()
    assert project(published, filename=published.folder.processed_file, content=content) == [own]  # the same cells
    assert "holds other cells" not in caplog.text


@pytest.fixture
def turned(published, here):
    """The experiment's own cells with their genes the other way round."""
    data = anndata.read_h5ad(published.folder.processed_file)
    data[:, ::-1].copy().write_h5ad(here / "turned.h5ad")
    return here / "turned.h5ad"


def test_no_matrix_is_read_whole(published, turned, monkeypatch):
    """Reading the file as an AnnData, as it once was, fails here."""
    target, own = Target("batch", "b"), published.folder.processed_file
    with monkeypatch.context() as patch:
        patch.setattr(anndata, "read_h5ad", None)
        (path,) = project(published, [target])
        first = path.read_bytes()
        project(published, [target], filename=turned)
    found = anndata.read_h5ad(path)
    path.write_bytes(first)
    expected = anndata.read_h5ad(path)
    assert list(found.var_names) == list(expected.var_names)
    for name in expected.layers:
        np.testing.assert_array_equal(found.layers[name], expected.layers[name])
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    np.testing.assert_array_equal(found.raw.X.toarray(), anndata.read_h5ad(own).X.toarray())


def test_latent_codes_have_no_target(published):
    content = ProjectedContent(latent_only=True)
    with pytest.raises(DataError, match="leave out --metadata and --all-batches"):
        project(published, [Target("batch", "b")], content=content)
    with pytest.raises(DataError, match="leave out --metadata and --all-batches"):
        project(published, all_batches=True, content=content)
    (path,) = project(published, content=content)
    assert path.name == "latent.h5ad"
    assert anndata.read_h5ad(path).obsm["X_DISCERN"].shape[0] == 90


class TestPosteriorCounts:
    """The layer that needs a prior fitted to the experiment's validation cells."""

    CONTENT = ProjectedContent(layers=("estimated_counts", "posterior_counts"))

    def test_the_prior_is_fitted_once_for_a_model_and_kept(self, published, monkeypatch):
        (path,) = project(published, content=self.CONTENT)
        first = anndata.read_h5ad(path).layers["posterior_counts"]
        assert published.folder.count_prior.is_file()
        monkeypatch.setattr("discern.workflows.count_prior.fit_count_prior", lambda *_: pytest.fail("fitted again"))
        (path,) = project(published, content=self.CONTENT)
        np.testing.assert_array_equal(anndata.read_h5ad(path).layers["posterior_counts"], first)

    @pytest.mark.parametrize("damage", ["model", "cells", "a flipped bit"])
    def test_a_prior_of_another_model_or_other_cells_or_damaged_is_fitted_anew(self, published, damage):
        project(published, content=self.CONTENT)
        prior = published.folder.count_prior
        whole = prior.read_bytes()
        if damage != "a flipped bit":
            with h5py.File(prior, "r") as file:
                content = dict(file.attrs), {name: file[name][()] for name in file}
            with sealed_hdf5(prior) as file:
                file.attrs.update(content[0] | {f"{damage}_sha256": "0"})
                for name, values in content[1].items():
                    file[name] = values
        else:
            prior.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        project(published, content=self.CONTENT)
        with h5py.File(prior, "r") as file:
            assert file["size"].shape == (200,)
            assert file["ratio"].shape == (3, 200)
            assert "0" not in (file.attrs["model_sha256"], file.attrs["cells_sha256"])

    def test_other_cells_use_the_prior_of_the_model(self, published, others):
        (path,) = project(published, filename=others, content=self.CONTENT)
        assert "posterior_counts" in anndata.read_h5ad(path).layers
        assert published.folder.count_prior.is_file()

    @pytest.mark.parametrize(
        "content", [ProjectedContent(layers=("estimated_counts",)), ProjectedContent(latent_only=True)]
    )
    def test_without_the_layer_nothing_is_fitted(self, published, content):
        project(published, content=content)
        assert not published.folder.count_prior.exists()

    def test_they_are_written_unless_others_are_asked_for(self, published):
        (path,) = project(published)
        found = anndata.read_h5ad(path)
        assert set(found.layers) == {"estimated_counts", "estimated_dropouts", "posterior_counts"}
        (path,) = project(published, content=self.CONTENT)
        named = anndata.read_h5ad(path)
        for layer in self.CONTENT.layers:
            np.testing.assert_array_equal(named.layers[layer], found.layers[layer])

    def test_where_there_is_nothing_to_fit_them_to_they_are_left_out_with_a_warning(self, published, caplog):
        data = anndata.read_h5ad(published.folder.processed_file)
        data.obs["split"] = "train"
        data.write_h5ad(published.folder.processed_file)
        (path,) = project(published)
        assert set(anndata.read_h5ad(path).layers) == {"estimated_counts", "estimated_dropouts"}
        warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        told = "The layer posterior_counts is left out: Posterior counts are fitted to validation cells, and there are none."
        assert [one.startswith(told) for one in warnings].count(True) == 1
        with pytest.raises(NoCountPriorError, match="there are none"):
            project(published, content=self.CONTENT)

    def test_the_processed_data_of_the_model_are_missing(self, published):
        family = trained_family(published)
        published.folder.processed_file.unlink()
        with pytest.raises(NoCountPriorError, match=r"concatenated_data\.h5ad does not exist\. Put the processed data"):
            count_prior_of(published, family)
