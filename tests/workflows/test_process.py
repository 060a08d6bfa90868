import json

import anndata
import numpy as np
import pytest
from scipy.io import mmwrite

from discern.errors import DataError, ExperimentError, ParametersError, ShapeError
from discern.io.processed_annotation import read_annotation
from discern.io.record_schema import RecordSchema
from discern.workflows.process import ProcessResult, process
from discern.workflows.train import train


def test_the_folder_and_the_result(experiment, here):
    one = experiment()
    assert process(one) == ProcessResult(80, 60, {"good": 40, "poor": 40})
    written = json.loads((here / "exps" / "run" / "parameters.json").read_text())
    assert written == one.content
    assert (here / "exps" / "run" / "TF_records" / "schema.json").is_file()
    processed = anndata.read_h5ad(one.folder.processed_file)
    raw = anndata.read_h5ad(here / "cells.h5ad")
    assert (processed.layers["counts"] != raw.X).nnz == 0


def test_existing_data_need_force(experiment, files_unchanged):
    one = experiment()
    process(one, with_tfrecords=False)
    with files_unchanged(one.folder.path), pytest.raises(ExperimentError, match="--force"):
        process(one)
    assert process(one, force=True).n_cells == 80
    assert one.folder.tfrecords.exists()


def test_batches_that_are_dropped_are_named(experiment, here, caplog):
    """Those of online training are not in the parameters that it began with."""
    process(experiment())
    both = anndata.read_h5ad(here / "cells.h5ad")
    process(experiment(), force=True)
    assert "raw_input does not give" not in caplog.text
    assert "one batch" not in caplog.text
    fewer = both[both.obs["batch"] == "good"].copy()
    process(experiment(adata=fewer), force=True)
    assert "held 1 batch that input_ds.raw_input does not give: poor. They are dropped." in caplog.text
    assert "All cells are of one batch, 'good': there is no other to decode them into." in caplog.text
    caplog.clear()
    damaged = experiment().folder.processed_file
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert process(experiment(adata=fewer), force=True).batches == {"good": 40}
    assert "raw_input does not give" not in caplog.text


def test_records_of_replaced_data_do_not_stay(experiment):
    one = experiment()
    process(one)
    process(one, force=True, with_tfrecords=False)
    assert not one.folder.tfrecords.exists()


def test_records_that_cannot_be_written_change_nothing(experiment, files_unchanged, monkeypatch):
    one = experiment()
    process(one)
    monkeypatch.setattr(
        "discern.preprocessing.cells.write_stored_records", lambda *_: (_ for _ in ()).throw(OSError("full"))
    )
    with files_unchanged(one.folder.path), pytest.raises(OSError, match="full"):
        process(one, force=True)


def test_records_of_another_run_are_refused(experiment):
    one = experiment()
    process(one)
    annotation = read_annotation(one.folder.processed_file)
    schema = RecordSchema.read(one.folder.tfrecords)
    schema.check(annotation.genes, annotation.batches, annotation.cells_sha256)
    earlier = one.folder.processed_file.read_bytes()
    other = experiment(lambda content: content["input_ds"].update(split={"split_seed": 7}))
    process(other, force=True)
    one.folder.processed_file.write_bytes(earlier)  # as a run that was killed in between would leave it
    with pytest.raises(ShapeError, match="belong to different runs"):
        train(other)


@pytest.fixture
def files_unchanged():
    """A context in which the files of a folder must not change."""
    from contextlib import contextmanager

    def content(folder):
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    @contextmanager
    def unchanged(folder):
        before = content(folder)
        yield
        assert content(folder) == before

    return unchanged


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda content: content["input_ds"].update(raw_input=[]), ParametersError, "names no file"),
        (lambda content: content["input_ds"].update(raw_input=["x.h5ad"]), DataError, "x.h5ad does not exist"),
        (lambda content: content.update(hyperparameter_search="s.json"), ParametersError, "s.json does not exist"),
        (lambda content: content["input_ds"]["filtering"].update(min_genes=61), DataError, "No cell has 61 genes"),
    ],
)
def test_a_failure_writes_nothing(experiment, here, change, error, message):
    with pytest.raises(error, match=message):
        process(experiment(change), copy_original=True)
    assert not (here / "exps").exists()


def test_inputs_of_the_same_name_both_survive(experiments, here, counts):
    adata = counts()
    del adata.obs["batch"]
    for folder, cells in (("first", slice(0, 40)), ("second", slice(40, 80))):
        (here / folder).mkdir()
        adata[cells].copy().write_h5ad(here / folder / "x.h5ad")

    def both(content):
        content["input_ds"]["raw_input"] = ["first/x.h5ad", "second/x.h5ad"]

    (one,) = experiments(None, run=both)
    assert process(one, copy_original=True).batches == {"first_x": 40, "second_x": 40}
    processed = anndata.read_h5ad(one.folder.processed_file)
    np.testing.assert_array_equal(processed.layers["counts"].toarray(), adata.X.toarray())
    copies = {path.name: path.read_bytes() for path in one.folder.original_data.iterdir()}
    assert copies == {f"{name}_x.h5ad": (here / name / "x.h5ad").read_bytes() for name in ("first", "second")}


def test_folders_are_copied_too(experiments, here, counts):
    adata, source = counts(), here / "matrix"
    source.mkdir()
    mmwrite(source / "matrix.mtx", adata.X.T.astype(int))
    (source / "genes.tsv").write_text("".join(f"ENSG{name}\t{name}\n" for name in adata.var_names))
    (source / "barcodes.tsv").write_text("".join(f"{name}\n" for name in adata.obs_names))

    def folder(content):
        content["input_ds"]["raw_input"] = ["matrix"]

    (one,) = experiments(None, run=folder)
    process(one, copy_original=True, with_tfrecords=False)
    (copy,) = one.folder.original_data.iterdir()
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }


def test_a_copy_keeps_its_name(experiments, here, counts):
    counts().write_h5ad(here / "pbmc.v3.h5ad")
    (one,) = experiments(None, run=lambda content: content["input_ds"].update(raw_input=["pbmc.v3.h5ad"]))
    process(one, copy_original=True, with_tfrecords=False)
    assert [path.name for path in one.folder.original_data.iterdir()] == ["pbmc.v3.h5ad"]


def test_the_own_search_file_is_not_copied_onto_itself(experiment, here):
    one = experiment(lambda content: content.update(hyperparameter_search="exps/run/hyperparameter_search.json"))
    one.folder.path.mkdir(parents=True)
    one.folder.hyperparameter_file.write_text("{}")
    process(one, with_tfrecords=False)
    assert one.folder.hyperparameter_file.read_text() == "{}"
