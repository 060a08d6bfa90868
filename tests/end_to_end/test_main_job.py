"""Process, train and project on 300 real cells; the batch column holds whole numbers."""

import csv
import json
import shutil

import anndata
import numpy as np
import pytest
from scipy import sparse

from discern.training.checkpoints import load_family

NOISE = ("port.cc", "cuda", "onednn", "absl", "cpu_feature", "tensorrt", "warning", "retracing")


def projection(folder, name="unprojected"):
    return anndata.read_h5ad(folder / "projected" / f"{name}.h5ad")


def estimates(adata):
    """Estimated counts by cell and gene name."""
    return adata.to_df("estimated_counts").sort_index().sort_index(axis=1)


def test_every_command_succeeds(job):
    for finished in (job.process, job.train, job.project):
        assert (finished.exit_code, finished.stdout) == (0, ""), finished.stderr
    assert not list(job.folder.rglob("*tmp*"))


def test_the_terminal_shows_progress_and_no_noise_of_libraries(job):
    assert "After principal components: 300 cells" in job.process.stderr
    assert "Training, epoch 2/2, at most about 0 s left: loss " in job.train.stderr
    assert "unprojected.h5ad written" in job.project.stderr
    for finished in (job.process, job.train, job.project):
        assert [word for word in NOISE if word in finished.stderr.lower()] == [], finished.stderr


def test_the_log_has_it_all(job):
    log = (job.folder / "exps" / "discern.log").read_text()
    for text in (
        "discern.preprocessing.recipe: After merging: 300 cells",
        "Training, epoch 1/2",
        "unprojected.h5ad written",
    ):
        assert text in log


def test_the_folder_has_the_published_layout(job):
    found = {path.relative_to(job.experiment).as_posix() for path in job.experiment.rglob("*") if path.is_file()}
    assert {
        "parameters.json",
        "provenance.json",
        "processed_data/concatenated_data.h5ad",
        "TF_records/schema.json",
        "TF_records/training-00000.tfrecords",
        "TF_records/validate-00000.tfrecords",
        "job/best_model.hdf5",
        "job/last_state.hdf5",
        "job/last_state.previous.hdf5",
        "job/history.csv",
        "job/count_prior.hdf5",
        "projected/unprojected.h5ad",
    } == found


def test_the_processed_data(job, cells):
    data = anndata.read_h5ad(job.experiment / "processed_data" / "concatenated_data.h5ad")
    assert list(data.obs["batch"].cat.categories) == ["101", "1015"]
    assert (data.obs["batch"].astype(int) == data.obs["donor"]).all()
    assert isinstance(data.X, sparse.csr_matrix)
    np.testing.assert_array_equal(data.layers["counts"].toarray(), cells[data.obs_names, data.var_names].X.toarray())
    counts = data.layers["counts"].toarray().astype(np.float64)
    expected = np.log1p(counts * 20000 / counts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(data.X.toarray(), expected, rtol=2e-6)
    assert (data.obs["split"] == "valid").groupby(data.obs["batch"], observed=True).sum().tolist() == [15, 15]
    assert data.uns["fixed_scaling"] == {"mean": "genes", "var": "genes"}


def test_the_history_holds_every_term(job):
    with (job.experiment / "job" / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    names = {"decoder_counts_loss", "decoder_dropouts_loss", "mmdpp_loss", "sigma_regularization_loss", "loss"}
    assert names | {f"val_{name}" for name in names} <= set(rows[0])
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])


def test_the_output_has_the_published_layout(job):
    found = projection(job.experiment)
    data = anndata.read_h5ad(job.experiment / "processed_data" / "concatenated_data.h5ad")
    assert isinstance(found.X, sparse.csr_matrix)
    assert set(found.layers) == {"estimated_counts", "estimated_dropouts", "posterior_counts"}
    assert {name: codes.shape for name, codes in found.obsm.items()} == {"X_DISCERN": (300, 4)}
    assert list(found.obs_names) == list(data.obs_names)
    assert list(found.var_names) == list(data.var_names)
    assert set(data.obs) <= set(found.obs)
    assert (found.raw.X != data.X).nnz == 0
    assert list(found.raw.var_names) == list(data.var_names)
    assert (found.uns["discern"]["target_column"], found.uns["discern"]["seed"]) == ("", 0)


def test_zeros_are_drawn_from_the_estimates(job):
    found = projection(job.experiment)
    drawn, estimated, probability = (
        found.X.toarray(),
        found.layers["estimated_counts"],
        found.layers["estimated_dropouts"],
    )
    assert np.isfinite(estimated).all()
    assert estimated.min() >= 0
    assert 0 <= probability.min() < probability.max() <= 1
    kept = drawn > 0
    np.testing.assert_array_equal(drawn[kept], estimated[kept])
    positive = estimated > 0
    assert abs(kept[positive].mean() - probability[positive].mean()) < 0.005


@pytest.mark.slow
def test_a_second_run_from_nothing_gives_the_same_bytes(job, second_job):
    first, second = projection(job.experiment), projection(second_job.experiment)
    for part in ("data", "indices", "indptr"):
        assert getattr(first.X, part).tobytes() == getattr(second.X, part).tobytes()
    for layer in first.layers:
        assert first.layers[layer].tobytes() == second.layers[layer].tobytes()
    assert first.obsm["X_DISCERN"].tobytes() == second.obsm["X_DISCERN"].tobytes()
    for name in ("training-00000", "validate-00000"):
        one, other = (folder.experiment / "TF_records" / f"{name}.tfrecords" for folder in (job, second_job))
        assert one.read_bytes() == other.read_bytes()


def test_cells_decoded_into_their_own_batch_are_the_unprojected_ones(trained, discern):
    assert discern("project", "parameters.json").exit_code == 0
    finished = discern("project", "parameters.json", "--metadata", "batch:101", "--all_batches", "--store_sigmas")
    assert finished.exit_code == 0
    assert finished.stderr.count(" written") == 2  # batch 101 was named twice
    own = projection(trained)
    for batch in ("101", "1015"):
        of_batch = (own.obs["batch"] == batch).to_numpy()
        found = projection(trained, f"projected_to_average_batch_{batch}")
        ours, theirs = found.layers["estimated_counts"], own.layers["estimated_counts"]
        np.testing.assert_allclose(ours[of_batch], theirs[of_batch], rtol=1e-5, atol=1e-6)
        assert np.abs(ours[~of_batch] - theirs[~of_batch]).max() > 1e-3
        assert found.obsm["X_DISCERN_sigma"].shape == (300, 4)
        np.testing.assert_array_equal(found.obsm["X_DISCERN"], own.obsm["X_DISCERN"])


def test_targets_of_other_columns(trained, discern):
    targets = ["celltype:", "batch:", "site:a/b c", "site:x:y", "partial:B cells", "donor:1015"]
    arguments = [word for target in targets for word in ("--metadata", target)]
    assert discern("project", "parameters.json", *arguments).exit_code == 0
    files = {path.name for path in (trained / "projected").iterdir()}
    assert files == {
        "projected_to_average_celltype.h5ad",
        "projected_to_average_batch.h5ad",
        "projected_to_average_site_a%2Fb_c.h5ad",
        "projected_to_average_site_x%3Ay.h5ad",
        "projected_to_average_partial_B_cells.h5ad",
        "projected_to_average_donor_1015.h5ad",
    }
    own = projection(trained, "projected_to_average_donor_1015")
    assert (own.uns["discern"]["target_column"], own.uns["discern"]["target_value"]) == ("donor", "1015")
    slash = projection(trained, "projected_to_average_site_a%2Fb_c")
    assert slash.uns["discern"]["target_value"] == "a/b c"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("partial:", "43 of 300 cells have no value in obs['partial']"),
        ("tissue:", "Column 'tissue' is missing from obs. Found: celltype, donor"),
        ("batch:7", "'7' does not occur in obs['batch']. Found: 101, 1015"),
    ],
)
def test_impossible_targets_write_nothing(trained, discern, target, message):
    finished = discern("project", "parameters.json", "--metadata", "batch:101", "--metadata", target)
    assert finished.exit_code == 3
    assert message in finished.stderr
    assert not (trained / "projected").exists()


@pytest.fixture
def other_file(trained, here):
    """A function that writes the processed data, changed, as other.h5ad."""

    def write(change):
        data = anndata.read_h5ad(trained / "processed_data" / "concatenated_data.h5ad")
        change(data).write_h5ad(here / "other.h5ad")
        return "other.h5ad"

    return write


def backwards(data):
    """The same cells, genes and batches, all in the opposite order."""
    data = data[::-1, ::-1].copy()
    data.obs["batch"] = data.obs["batch"].cat.reorder_categories(["1015", "101"])
    return data


def test_another_file_is_matched_by_name(trained, discern, other_file):
    """Codes, positions of cells and positions of genes differ; names decide."""
    target = ("--metadata", "batch:1015")
    assert discern("project", "parameters.json", *target).exit_code == 0
    expected = projection(trained, "projected_to_average_batch_1015")
    assert discern("project", "parameters.json", *target, "--filename", other_file(backwards)).exit_code == 0
    found = projection(trained, "other/projected_to_average_batch_1015")  # those of its own cells stay
    assert list(found.obs_names) == list(expected.obs_names)[::-1]
    np.testing.assert_allclose(estimates(found), estimates(expected), rtol=1e-4, atol=1e-5)


def test_a_part_of_the_batches_is_enough(trained, discern, other_file):
    def one_donor(data):
        data = data[data.obs["batch"] == "1015"].copy()
        data.obs["batch"] = data.obs["batch"].cat.remove_unused_categories()  # code 0 is now 1015
        return data

    assert discern("project", "parameters.json").exit_code == 0
    expected = estimates(projection(trained))
    assert discern("project", "parameters.json", "--filename", other_file(one_donor)).exit_code == 0
    found = estimates(projection(trained, "other/unprojected"))
    assert len(found) == 150
    np.testing.assert_allclose(found, expected.loc[found.index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda data: rename_batches(data, {"101": "new"}),
            "150 cells belong to batches the model does not know: new. Known: 101, 1015.",
        ),
        (lambda data: data[:, :100].copy(), "other.h5ad does not have the genes of the model"),
        (lambda data: rename_genes(data), "1 of 700 are missing and 1 are others"),
        (lambda data: anndata.AnnData(data.X, data.obs, data.var), "was not written by preprocessing"),
    ],
)
def test_another_file_that_does_not_fit_is_refused(trained, discern, other_file, change, message):
    finished = discern("project", "parameters.json", "--filename", other_file(change))
    assert finished.exit_code == 3
    assert message in finished.stderr
    assert not (trained / "projected").exists()


def rename_batches(data, names):
    data.obs["batch"] = data.obs["batch"].cat.rename_categories(names)
    return data


def rename_genes(data):
    data.var_names = ["unheard", *data.var_names[1:]]
    return data


def test_training_again_has_nothing_to_do(trained, discern):
    before = (trained / "job" / "last_state.hdf5").read_bytes()
    finished = discern("train", "parameters.json")
    assert finished.exit_code == 0
    assert "run is trained: 2 epochs. Nothing to do." in finished.stderr
    assert (trained / "job" / "last_state.hdf5").read_bytes() == before


def test_more_epochs_continue_the_training(trained, discern, parameters):
    before = (trained / "job" / "history.csv").read_text()
    finished = discern("train", parameters(run=lambda content: content["training"].update(max_steps=3)))
    assert finished.exit_code == 0
    assert "Going on after epoch 2" in finished.stderr
    after = (trained / "job" / "history.csv").read_text()
    assert after.startswith(before)
    assert len(after.splitlines()) == 4


def test_another_model_does_not_take_up_the_training(trained, discern, parameters):
    finished = discern("train", parameters(run=lambda content: content["model"].update(latent_dim=5)))
    assert finished.exit_code == 4
    assert "belongs to another model" in finished.stderr
    assert "--restart`, which keeps exps/run/job in exps/run/backup" in finished.stderr


def test_the_file_inside_the_folder_works_as_well(trained, discern, here):
    finished = discern("train", trained / "parameters.json")
    assert "Nothing to do" in finished.stderr
    assert discern("project", trained / "parameters.json", "--metadata", "batch:101", "-q").exit_code == 0
    assert (trained / "projected" / "projected_to_average_batch_101.h5ad").is_file()
    content = json.loads((here / "parameters.json").read_text())["experiments"]["run"]
    assert json.loads((trained / "parameters.json").read_text()) == content


@pytest.mark.slow
def test_without_records_training_reads_the_processed_data(trained, discern):
    assert discern("process", "parameters.json", "--force", "--without_tfrecords", "-q").exit_code == 0
    assert not (trained / "TF_records").exists()
    from_records = (trained / "job").rename(trained / "job_of_records")
    finished = discern("train", "parameters.json")
    assert finished.exit_code == 0
    assert "training from memory" in finished.stderr
    best = (from_records / "best_model.hdf5", trained / "job" / "best_model.hdf5")
    weights = [load_family(path)[0].model.get_weights() for path in best]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert discern("project", "parameters.json", "-q").exit_code == 0


def test_records_of_other_data_are_refused(trained, discern):
    """§9.2: the records must belong to the processed data they are trained with."""
    schema = json.loads((trained / "TF_records" / "schema.json").read_text())
    schema["batches"] = ["1015", "101"]
    del schema["crc32c"]  # of the content as it was
    (trained / "TF_records" / "schema.json").write_text(json.dumps(schema))
    shutil.rmtree(trained / "job")
    finished = discern("train", "parameters.json")
    assert finished.exit_code in {3, 4}
    assert "batches" in finished.stderr
    assert not (trained / "job").exists()
