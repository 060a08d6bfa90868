import gzip
import tarfile

import h5py
import numpy as np
import pytest
import scanpy
from scipy import sparse
from scipy.io import mmwrite

from discern.errors import DataError
from discern.io.cell_ranger import find_matrix_folder
from discern.io.reading import read_raw_input


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("10x_h5_pbmc_1k_v2/pbmc_1k_v2_filtered_feature_bc_matrix.h5", (996, 33538)),
        ("10x_mtx/1.2.0/filtered_gene_bc_matrices_h5.h5", (12, 343)),
        ("10x_mtx/3.0.0/filtered_feature_bc_matrix.h5", (1107, 507)),
    ],
)
def test_h5_equals_scanpy(data_dir, name, shape):
    adata = read_raw_input(data_dir / "raw" / name)
    expected = scanpy.read_10x_h5(data_dir / "raw" / name)
    expected.var_names_make_unique()
    assert adata.shape == shape
    assert adata.X.indices.dtype == np.int32
    assert (adata.X != expected.X).nnz == 0
    assert adata.var_names.equals(expected.var_names)
    assert adata.obs_names.equals(expected.obs_names)
    assert adata.var["gene_ids"].tolist() == expected.var["gene_ids"].tolist()


@pytest.mark.parametrize(
    ("folder", "twin"),
    [
        ("1.2.0/filtered_gene_bc_matrices/hg19_chr21", "1.2.0/filtered_gene_bc_matrices_h5.h5"),
        ("3.0.0/filtered_feature_bc_matrix", "3.0.0/filtered_feature_bc_matrix.h5"),
    ],
)
def test_folder_equals_scanpy_and_its_h5(data_dir, folder, twin):
    place = data_dir / "raw" / "10x_mtx" / folder
    adata, same = read_raw_input(place), read_raw_input(place.parents[folder.count("/") - 1] / twin.split("/")[-1])
    expected = scanpy.read_10x_mtx(place)
    assert np.array_equal(adata.X.toarray(), expected.X.toarray())
    assert np.array_equal(adata.X.toarray(), same.X.toarray())
    assert adata.var_names.equals(expected.var_names)
    assert adata.var_names.equals(same.var_names)
    assert adata.obs_names.equals(same.obs_names)


def test_a_parent_folder_of_one_matrix_will_do(data_dir):
    parent = data_dir / "raw" / "10x_mtx"
    assert read_raw_input(parent / "1.2.0").shape == (12, 343)
    assert read_raw_input(parent / "3.0.0").shape == (1107, 507)
    with pytest.raises(DataError, match="holds 2 matrix folders"):
        read_raw_input(parent)


def test_filtered_goes_before_raw(tmp_path):
    for name in ("raw_feature_bc_matrix", "filtered_feature_bc_matrix"):
        (tmp_path / "outs" / name).mkdir(parents=True)
        (tmp_path / "outs" / name / "matrix.mtx.gz").touch()
    assert find_matrix_folder(tmp_path) == tmp_path / "outs" / "filtered_feature_bc_matrix"


def test_folder_without_a_matrix_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no Cell Ranger folder.*Found: notes\.txt"):
        read_raw_input(tmp_path)


def write_folder(folder, matrix, types):
    folder.mkdir()
    mmwrite(folder / "matrix.mtx", sparse.coo_matrix(matrix))
    lines = [f"ENSG{i:011d}\tG{i}\t{kind}\n" for i, kind in enumerate(types)]
    (folder / "features.tsv").write_text("".join(lines))
    (folder / "barcodes.tsv").write_text("".join(f"AC{i}\n" for i in range(matrix.shape[1])))


def test_uncompressed_version_3_and_faults_of_a_folder(tmp_path):
    matrix = np.array([[1, 0, 2], [0, 3, 0]])
    write_folder(tmp_path / "a", matrix, ["Gene Expression"] * 2)
    adata = read_raw_input(tmp_path / "a")
    assert np.array_equal(adata.X.toarray(), matrix.T)
    assert adata.obs_names.tolist() == ["AC0", "AC1", "AC2"]
    (tmp_path / "a" / "barcodes.tsv").write_text("AC0\n")
    with pytest.raises(DataError, match="2 genes x 3 cells, but features.tsv has 2 and barcodes.tsv 1 lines"):
        read_raw_input(tmp_path / "a")
    (tmp_path / "a" / "barcodes.tsv").unlink()
    with pytest.raises(
        DataError, match=r"lacks barcodes\.tsv\.gz or barcodes\.tsv\. Found: features\.tsv, matrix\.mtx"
    ):
        read_raw_input(tmp_path / "a")
    write_folder(tmp_path / "b", matrix, ["Peaks"] * 2)
    with pytest.raises(DataError, match="holds no 'Gene Expression' features. Found: Peaks"):
        read_raw_input(tmp_path / "b")


def test_antibodies_of_a_folder_are_kept_apart(data_dir, tmp_path):
    archive = data_dir / "raw" / "10x_mtx" / "pbmc_10k_protein_v3_tiny_filtered_feature_bc_matrix.tar.gz"
    folder = tmp_path / "filtered_feature_bc_matrix"
    folder.mkdir()
    with tarfile.open(archive) as file:  # extracting needs a filter since Python 3.12, and knows none before 3.11.4
        for member in filter(tarfile.TarInfo.isfile, file):
            (tmp_path / member.name).write_bytes(file.extractfile(member).read())
    adata = read_raw_input(folder)
    everything = scanpy.read_10x_mtx(folder, gex_only=False)
    is_gene = (everything.var["feature_types"] == "Gene Expression").to_numpy()
    assert 0 < is_gene.sum() < everything.n_vars
    assert np.array_equal(adata.X.toarray(), everything.X[:, is_gene].toarray())
    assert np.array_equal(adata.obsm["protein_expression"], everything.X[:, ~is_gene].toarray())
    assert adata.obsm["protein_expression"].columns.tolist() == everything.var_names[~is_gene].tolist()
    with gzip.open(folder / "features.tsv.gz", "rt") as text:
        assert adata.n_vars == sum("Gene Expression" in line for line in text)


def test_antibodies_of_an_h5_are_kept_apart_and_other_types_left_out(tmp_path):
    counts = np.array([[1, 0, 7, 9], [0, 4, 0, 2], [5, 6, 3, 0]])
    matrix = sparse.csr_matrix(counts)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("matrix")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(matrix, key)
        group["shape"] = [4, 3]
        group["barcodes"] = np.array([b"AA", b"CC", b"GG"])
        group["features/id"] = np.array([b"E1", b"E2", b"P1", b"C1"])
        group["features/name"] = np.array([b"CD3D", b"MS4A1", b"CD3", b"guide"])
        group["features/feature_type"] = np.array(
            [b"Gene Expression"] * 2 + [b"Antibody Capture", b"CRISPR Guide Capture"]
        )
        group["features/genome"] = np.array([b"GRCh38"] * 2 + [b""] * 2)
    adata = read_raw_input(tmp_path / "x.h5")
    assert np.array_equal(adata.X.toarray(), counts[:, :2])
    assert adata.var_names.tolist() == ["CD3D", "MS4A1"]
    assert adata.obsm["protein_expression"].to_dict() == {"CD3": {"AA": 7, "CC": 0, "GG": 3}}


def test_several_genomes_of_version_2_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["hg19/gene_names"] = np.array([b"A"])
        file["mm10/gene_names"] = np.array([b"a"])
    with pytest.raises(DataError, match="several genomes: hg19, mm10"):
        read_raw_input(tmp_path / "x.h5")
