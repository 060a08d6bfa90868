from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError, DiscernError
from discern.io.cell_sources import MemorySource, RecordSource
from discern.io.minibatches import minibatches
from discern.io.record_schema import TRAINING
from discern.io.tfrecord_writer import write_records
from discern.models.contract import DataDescription
from discern.projection.batch_labels import BatchLabels, own_labels
from discern.projection.decoding import decoded_slices, encoded_slices, slices_of_codes


def test_labels_are_matched_by_name(data, family):
    labels = own_labels(data, family.data.batches)[:]
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, np.eye(3)[np.where(data.obs["batch"] == "low", 2, 0)])


def test_batches_the_model_does_not_know_are_refused(data):
    with pytest.raises(DataError, match="8 cells belong to batches the model does not know: high/2. Known: low, other"):
        own_labels(data, ["low", "other"])


def test_unknown_batches_that_are_not_named_are_counted(data):
    data.obs["batch"] = pd.Categorical([*"abcdef", *["low"] * 17])
    with pytest.raises(DataError, match="6 cells belong to .*: a, b, c, d, e and 1 more. Known: low"):
        own_labels(data, ["low"])
    data.obs["batch"] = pd.Categorical(["a", *["low"] * 22])
    with pytest.raises(DataError, match="1 cell belongs to batches the model does not know: a. Known: low"):
        own_labels(data, ["low"])


def test_every_cell_is_encoded_once_as_training_reads_it(data, family):
    own = own_labels(data, family.data.batches)
    slices = list(encoded_slices(family, data, own))
    assert [piece.cells for piece in slices] == [slice(0, 8), slice(8, 16), slice(16, 23)]
    assert family.sizes == [8, 8, 8]
    counts = data.layers["counts"].toarray().astype(np.float64)
    logged = np.log1p(counts * 100 / data.obs["n_counts"].to_numpy()[:, None])
    scaled = (logged - data.var["mean_scaling"].to_numpy()) / data.var["var_scaling"].to_numpy()
    mean = np.concatenate([piece.latent.mean for piece in slices])
    np.testing.assert_allclose(mean, scaled[:, :3] + own[:].argmax(axis=1)[:, None], rtol=1e-5, atol=1e-5)
    log_std = np.concatenate([piece.latent.log_std for piece in slices])
    np.testing.assert_allclose(log_std, scaled[:, 3:6], rtol=1e-5, atol=1e-5)


def test_the_encoder_gets_the_mean_of_genes_that_were_not_measured(data, family, monkeypatch):
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes", "add_to_mean": -1.0}
    data.obs["dataset"] = pd.Categorical(["one", "two"] * 11 + ["one"])
    data.varm["measured"] = pd.DataFrame({"two": [True, False, True] * 3}, index=data.var_names)
    family.data = replace(family.data, transform=data.transform)
    read = []
    encode = family.encode
    monkeypatch.setattr(family, "encode", lambda cells, batch: (read.append(cells), encode(cells, batch))[1])
    list(encoded_slices(family, data, own_labels(data, family.data.batches)))
    logged = np.log1p(data.layers["counts"].toarray() * 100 / data.obs["n_counts"].to_numpy()[:, None])
    logged[1::2, 1::3] = data.var["mean_scaling"].to_numpy()[1::3]
    expected = (logged - data.var["mean_scaling"].to_numpy() + 1.0) / data.var["var_scaling"].to_numpy()
    np.testing.assert_allclose(np.concatenate(read)[:23], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("log", [True, False])
def test_the_encoder_reads_the_same_from_records_memory_and_processed_cells(data, family, monkeypatch, tmp_path, log):
    """To the bit, but for the logarithms of TensorFlow and NumPy, which differ in the last one."""
    data.obs["dataset"] = pd.Categorical(["one", "two", "three"] * 7 + ["one", "two"])
    lacking = {"two": [True, False, True] * 3, "three": [False, True, True] * 3}
    data.varm["measured"] = pd.DataFrame(lacking, index=data.var_names)
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes", "add_to_mean": -1.0}
    data.obs["split"], data.obs["n_counts"] = "train", np.arange(23.0) + 40
    transform = data.transform if log else replace(data.transform, log=False, library_size=None)
    family.data = replace(family.data, transform=transform)
    read = []
    encode = family.encode
    monkeypatch.setattr(family, "encode", lambda cells, batch: (read.append(cells), encode(cells, batch))[1])
    list(encoded_slices(family, data, own_labels(data, family.data.batches)))
    projected = np.concatenate(read)[:23]
    write_records(data, tmp_path)
    for source in (MemorySource(data, data.batches), RecordSource(tmp_path, TRAINING)):
        (cells,) = minibatches(source, transform, 23).as_numpy_iterator()
        found = cells["expression"][np.argsort(cells["library_size"])]
        if log:
            np.testing.assert_allclose(found, projected, rtol=2e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, projected)
        filled = np.broadcast_to(transform.fill, (23, 9))
        np.testing.assert_array_equal(found[1::3, 1::3], filled[1::3, 1::3])
        np.testing.assert_array_equal(found[2::3, ::3], filled[2::3, ::3])


def test_zeros_are_drawn_from_the_probabilities(data, family):
    own = own_labels(data, family.data.batches)
    slices = list(decoded_slices(family, encoded_slices(family, data, own), own, np.random.default_rng(3)))
    draws = np.random.default_rng(3).random(data.shape)
    estimate = np.concatenate([piece.decoded.expression for piece in slices])
    expression = np.concatenate([piece.expression.toarray() for piece in slices])
    np.testing.assert_array_equal(expression, np.where(draws > 0.5, 0, estimate).astype(np.float32))


def test_the_size_of_the_slices_does_not_matter(data, family):
    own = own_labels(data, family.data.batches)

    def expression(size):
        data.batch_size = size
        slices = decoded_slices(family, encoded_slices(family, data, own), own, np.random.default_rng(0))
        return np.concatenate([piece.expression.toarray() for piece in slices])

    np.testing.assert_array_equal(expression(5), expression(100))


def test_without_probabilities_nothing_is_drawn(data, certain_family):
    own = own_labels(data, certain_family.data.batches)
    for piece in decoded_slices(
        certain_family, encoded_slices(certain_family, data, own), own, np.random.default_rng(0)
    ):
        np.testing.assert_array_equal(piece.expression.toarray(), piece.decoded.expression)
        assert (piece.expression.toarray() > 0).all()


def test_data_without_counts_are_refused(data, family):
    del data.layers["counts"]
    with pytest.raises(DataError, match="holds no layer 'counts'"):
        next(encoded_slices(family, data, own_labels(data, family.data.batches)))


def test_a_family_that_cannot_encode_is_told(data):
    class Classifier:
        name = "classifier"

        def __init__(self):
            self.data = DataDescription(data.n_vars, ("low", "high/2"), 17, data.transform)

        def transform(self):
            return data.transform

    with pytest.raises(DiscernError, match="A model of family 'classifier' cannot encode cells"):
        next(encoded_slices(Classifier(), data, own_labels(data, ["low", "high/2"])))


def test_the_decoder_gets_labels_it_may_use_in_any_way(data, family, monkeypatch):
    own = own_labels(data, family.data.batches)
    given = []
    decode = family.decode
    monkeypatch.setattr(family, "decode", lambda mean, batch: (given.append(batch), decode(mean, batch))[1])
    one_for_all = BatchLabels.same_for_all(own.rows[1], len(own))
    list(decoded_slices(family, encoded_slices(family, data, own), one_for_all, np.random.default_rng(0)))
    assert all(labels.flags.c_contiguous for labels in given)
    np.testing.assert_array_equal(np.concatenate(given)[:23], np.tile([0.0, 1.0, 0.0], (23, 1)))


def test_data_without_library_sizes_are_refused(data, family):
    own = own_labels(data, family.data.batches)
    del data.obs["n_counts"]
    with pytest.raises(DataError, match="Column 'n_counts', .* Found: batch, celltype. Run `discern process`"):
        list(encoded_slices(family, data, own))


def test_chosen_genes_have_the_zeros_they_have_among_all(data, family):
    own = own_labels(data, family.data.batches)

    def pieces(genes):
        return list(decoded_slices(family, encoded_slices(family, data, own), own, np.random.default_rng(0), genes))

    genes = np.array([7, 0, 4])
    for every, chosen in zip(pieces(None), pieces(genes), strict=True):
        np.testing.assert_array_equal(chosen.expression.toarray(), every.expression.toarray()[:, genes])
        np.testing.assert_array_equal(chosen.decoded.expression, every.decoded.expression[:, genes])
        np.testing.assert_array_equal(chosen.decoded.probability, every.decoded.probability[:, genes])


def test_a_smaller_last_minibatch_is_filled_up_for_the_decoder(data, family, monkeypatch):
    own, sizes = own_labels(data, family.data.batches), []
    decode = family.decode
    monkeypatch.setattr(family, "decode", lambda latent, batch: (sizes.append(len(batch)), decode(latent, batch))[1])
    encoded = list(encoded_slices(family, data, own))
    assert [len(piece.latent.mean) for piece in encoded] == [8, 8, 7]
    decoded = list(decoded_slices(family, encoded, own, np.random.default_rng(0)))
    assert sizes == [8, 8, 8]
    assert [len(piece.decoded.probability) for piece in decoded] == [8, 8, 7]
    codes = np.concatenate([piece.latent.mean for piece in encoded])
    shift = np.where(data.obs["batch"] == "low", 3.0, 1.0)
    np.testing.assert_allclose(
        np.concatenate([piece.decoded.expression for piece in decoded]), np.tile(np.abs(codes), 3) + shift[:, None]
    )


def test_known_codes_are_decoded_as_those_of_cells(data, family, monkeypatch):
    own, sizes = own_labels(data, family.data.batches), []
    decode = family.decode
    monkeypatch.setattr(family, "decode", lambda latent, batch: (sizes.append(len(latent)), decode(latent, batch))[1])
    encoded = list(encoded_slices(family, data, own))
    codes = np.concatenate([piece.latent.mean for piece in encoded])
    known, of_cells = (
        list(decoded_slices(family, slices, own, np.random.default_rng(0)))
        for slices in (slices_of_codes(codes, data.batch_size), encoded)
    )
    assert sizes == [8] * 6
    for mine, other in zip(known, of_cells, strict=True):
        assert mine.cells == other.cells
        np.testing.assert_array_equal(mine.expression.toarray(), other.expression.toarray())
