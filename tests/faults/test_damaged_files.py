"""Bits that flip and files that end early: told in an error that names the file, or without any effect.

Every test damages copies of small files at many random places and reads them as ``train`` and ``project`` do. A result
is one of: detected (a known error that names the file), harmless (what is read is equal), harmful (silently other).
"""

import gzip
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import anndata
import google_crc32c
import h5py
import numpy as np
import pytest
import tensorflow as tf
from scipy import sparse

from discern.config.loading import load_experiments
from discern.errors import DiscernError, ExperimentError
from discern.io.cell_sources import RecordSource, reading
from discern.io.checksums import damage_of_sealed, file_checksum, seal
from discern.io.data import DISCERNData
from discern.io.processed_annotation import read_annotation
from discern.io.processed_cells import open_cells
from discern.io.record_damage import damage_of_shard
from discern.io.record_schema import RecordSchema
from discern.io.tfrecord_writer import write_records
from discern.io.writing import write_h5ad

FLIPS = [200, pytest.param(2000, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def processed():
    """Processed cells, small."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.7, (40, 25)).astype(np.float32)
    counts[:, 0] = 1
    adata = anndata.AnnData(counts.copy())
    adata.obs_names = [f"cell{number}" for number in range(40)]
    adata.var_names = [f"gene{number}" for number in range(25)]
    adata.X = sparse.csr_matrix(np.log1p(counts))
    adata.layers["counts"] = sparse.csr_matrix(counts)
    adata.obs["batch"] = np.where(np.arange(40) % 2, "old", "new")
    adata.obs["batch"] = adata.obs["batch"].astype("category")
    adata.obs["split"] = np.where(np.arange(40) % 4 == 3, "valid", "train")
    adata.obs["split"] = adata.obs["split"].astype("category")
    adata.obs["n_counts"] = counts.sum(axis=1)
    adata.var["mean_scaling"], adata.var["var_scaling"] = rng.random(25), 0.5 + rng.random(25)
    data = DISCERNData(adata, batch_size=8)
    data.config = {"scale": {"LSN": 1000}, "recipe": "wae"}
    data.uns["fixed_scaling"] = {"mean": "genes", "var": "genes"}
    return data


@pytest.fixture
def records(processed, tmp_path):
    folder = tmp_path / "TF_records"
    write_records(processed, folder)
    return folder


@pytest.fixture
def h5ad(processed, tmp_path):
    path = tmp_path / "concatenated_data.h5ad"
    write_h5ad(processed, path)
    return path


def flipped(content, rng):
    damaged = bytearray(content)
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def outcomes(path, read, n_flips, seed):
    """Flip one bit at a time and count what comes of it; restores the file."""
    whole, expected = path.read_bytes(), read()
    rng, found = np.random.default_rng(seed), Counter()
    for _ in range(n_flips):
        path.write_bytes(flipped(whole, rng))
        try:
            result = read()
        except DiscernError as error:
            assert path.name in str(error), error
            found["detected"] += 1
        else:
            found["harmless" if same(result, expected) else "harmful"] += 1
    path.write_bytes(whole)
    return found


def same(one, other):
    return all(np.array_equal(mine, its) for mine, its in zip(one, other, strict=True))


def cells_of(folder):
    """Everything that training reads of records, as arrays."""
    found = []
    for split in ("training", "validate"):
        source = RecordSource(folder, split)
        with reading(source):
            found += [value for cells in source.in_order(8).as_numpy_iterator() for value in cells.values()]
    return found


@pytest.mark.parametrize("n_flips", FLIPS)
def test_every_flipped_bit_of_a_record_file_is_detected(records, n_flips):
    found = outcomes(records / "training-00000.tfrecords", lambda: cells_of(records), n_flips, seed=1)
    assert found == {"detected": n_flips}


@pytest.mark.parametrize("n_flips", FLIPS)
def test_record_files_without_checksum_are_unpacked(records, n_flips):
    """Only the header of GZIP has bits that mean nothing to the content."""
    schema, path = RecordSchema.read(records), records / "training-00000.tfrecords"
    shards = {name: [replace(one, n_bytes=0, crc32c="") for one in some] for name, some in schema.splits.items()}
    content = replace(schema, splits=shards).to_json()
    del content["crc32c"]
    (records / "schema.json").write_text(json.dumps(content))
    found = outcomes(path, lambda: cells_of(records), n_flips, seed=2)
    assert found["harmful"] == 0
    assert found["harmless"] < 0.05 * n_flips


@pytest.mark.parametrize("n_flips", FLIPS)
def test_every_flipped_bit_of_a_schema_is_detected(records, processed, n_flips):
    def read():
        schema = RecordSchema.read(records)
        schema.check(list(processed.var_names), processed.batches)
        return [json.dumps(schema.to_json())]

    found = outcomes(records / "schema.json", read, n_flips, seed=3)
    assert found["harmful"] == 0
    assert found["detected"] > 0.98 * n_flips


def test_a_schema_or_record_file_that_ends_early_is_named(records):
    for path in (records / "schema.json", records / "training-00000.tfrecords"):
        whole = path.read_bytes()
        for n_bytes in {0, 1, len(whole) // 2, len(whole) - 9, len(whole) - 8, len(whole) - 2}:
            path.write_bytes(whole[:n_bytes])
            with pytest.raises(ExperimentError, match=path.name):
                RecordSource(records, "training")
        path.write_bytes(whole)


def test_the_record_files_of_each_split_are_checked(records):
    schema = RecordSchema.read(records)
    for shard in (*schema.splits["training"], *schema.splits["validate"]):
        (records / shard.file).write_bytes(b"")
        split = shard.file.split("-")[0]
        with pytest.raises(ExperimentError, match=rf"{shard.file} \(0 bytes in place of {shard.n_bytes}\)"):
            RecordSource(records, split)


@pytest.mark.parametrize("n_flips", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_record_files_damaged_after_they_were_opened_are_named(records, n_flips):
    """TensorFlow notices a record that does not fit its checksum; its error becomes ours."""
    source, path = RecordSource(records, "training"), records / "training-00000.tfrecords"

    def read():
        with reading(source):
            return [value for cells in source.in_order(8).as_numpy_iterator() for value in cells.values()]

    found = outcomes(path, read, n_flips, seed=4)
    assert found["harmful"] == 0
    assert found["detected"] > 0.9 * n_flips


def test_a_fault_of_tensorflow_that_no_file_explains_is_told(records):
    source = RecordSource(records, "training")
    with (
        pytest.raises(ExperimentError, match=r"could not be read \(lost in transit\).* Check the disk"),
        reading(source),
    ):
        raise tf.errors.DataLossError(None, None, "lost in transit\nat such a node")
    with pytest.raises(tf.errors.ResourceExhaustedError), reading(source):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


def read_as_training(path):
    annotation = read_annotation(path)
    scaling = annotation.transform.scaling
    return [annotation.genes, annotation.batches, annotation.cells_sha256, scaling.mean, scaling.std]


def read_as_projection(path):
    with open_cells(path, 8) as cells:
        matrices = [
            part for rows in (cells.counts, cells.expression) for part in (rows[0:40].toarray(), rows[7:9].toarray())
        ]
        return [
            cells.obs.reset_index().to_numpy().astype(str),
            cells.var.reset_index().to_numpy().astype(str),
            np.array(json.dumps(dict(cells.uns), default=str)),
            *matrices,
        ]


@pytest.mark.parametrize("n_flips", FLIPS)
@pytest.mark.parametrize("read", [read_as_training, read_as_projection])
def test_every_flipped_bit_of_processed_data_is_detected(h5ad, read, n_flips):
    found = outcomes(h5ad, lambda: read(h5ad), n_flips, seed=5)
    assert found["harmful"] == 0
    assert found["harmless"] <= 0.02 * n_flips  # in the mark of the seal: twenty bytes of some 40,000
    assert found["detected"] + found["harmless"] == n_flips


@pytest.mark.parametrize("n_flips", FLIPS)
def test_flipped_bits_of_parameters_are_detected_or_are_other_parameters(tmp_path, n_flips):
    """People edit this file, so it has no checksum: a digit that became another is as good as an edit."""
    example = Path(__file__).parents[2] / "parameters.json"
    path = tmp_path / "parameters.json"
    shutil.copy(example, path)
    expected = [one.config for one in load_experiments(path)]
    rng, found = np.random.default_rng(6), Counter()
    for _ in range(n_flips):
        path.write_bytes(flipped(example.read_bytes(), rng))
        try:
            parameters = [one.config for one in load_experiments(path)]
        except DiscernError as error:
            assert path.name in str(error)
            found["detected"] += 1
        else:
            found["same" if parameters == expected else "other"] += 1
    assert found["detected"] > 0.6 * n_flips, found


def test_processed_data_in_memory_are_checked_as_well(h5ad):
    content = bytearray(h5ad.read_bytes())
    content[len(content) // 2] ^= 4
    h5ad.write_bytes(content)
    with pytest.raises(DiscernError, match=r"concatenated_data\.h5ad is damaged: its checksum is"):
        DISCERNData.read_h5ad(h5ad, 8)


def test_processed_data_that_end_early_are_named(h5ad):
    whole = h5ad.read_bytes()
    for n_bytes in (0, 1, 100, len(whole) // 2, len(whole) - 21):
        h5ad.write_bytes(whole[:n_bytes])
        for read in (read_as_training, read_as_projection):
            with pytest.raises(DiscernError, match=h5ad.name):
                read(h5ad)


def test_a_file_that_lost_its_end_only_lost_its_seal(h5ad):
    expected = read_as_projection(h5ad)
    whole = h5ad.read_bytes()
    for n_bytes in (len(whole) - 20, len(whole) - 1):
        h5ad.write_bytes(whole[:n_bytes])
        assert same(read_as_projection(h5ad), expected)


def test_whoever_edits_a_file_is_not_accused_of_damage(h5ad, tmp_path):
    with h5py.File(h5ad, "r+") as file:
        file["obs/n_counts"][3] = 17
    with open_cells(h5ad, 8) as cells:
        assert cells.obs["n_counts"].iloc[3] == 17
    again = tmp_path / "again.h5ad"
    anndata.read_h5ad(h5ad).write_h5ad(again)
    assert damage_of_sealed(again) == ""
    read_as_projection(again)


@pytest.mark.parametrize("content", [b"", b"x", b"twenty bytes or more of something else"])
def test_the_seal_is_the_checksum_of_the_content(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert file_checksum(path) == google_crc32c.value(content)
    assert damage_of_sealed(path) == ""
    seal(path)
    assert path.read_bytes()[: len(content)] == content
    assert len(path.read_bytes()) == len(content) + 20
    assert damage_of_sealed(path) == ""
    if content:
        path.write_bytes(b"y" + path.read_bytes()[1:])
        assert "its checksum is" in damage_of_sealed(path)


def test_a_checksum_of_a_part(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * 2**20) + b"end")
    shutil.copy(path, tmp_path / "other")
    (tmp_path / "other").write_bytes(bytes(3 * 2**20))
    assert file_checksum(path, 3 * 2**20) == file_checksum(tmp_path / "other")
    assert file_checksum(path) != file_checksum(tmp_path / "other")


def test_records_with_a_wrong_number_of_cells_are_refused(records):
    shard = RecordSchema.read(records).splits["training"][0]
    path = records / shard.file
    unknown = replace(shard, n_bytes=0, crc32c="")
    assert damage_of_shard(path, unknown) == ""
    assert damage_of_shard(path, replace(unknown, n_cells=shard.n_cells + 1)) == "30 cells in place of 31"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-3]))
    assert "record 30 does not fit its checksum" in damage_of_shard(path, unknown)
    path.write_bytes(gzip.compress(content[:7]))
    assert "record 1 does not fit its checksum" in damage_of_shard(path, unknown)


@pytest.mark.parametrize("element", ["obs", "var", "uns/DISCERN", "X", "layers/counts"])
def test_damaged_parts_of_a_file_without_seal_are_named(h5ad, element):
    """As of the published program, or edited since."""
    with h5py.File(h5ad, "r+") as file:
        file[element].attrs["encoding-type"] = "no such"
        if "indptr" in file[element]:
            del file[element]["indptr"]
    with pytest.raises(DiscernError, match=h5ad.name):
        read_as_projection(h5ad)
