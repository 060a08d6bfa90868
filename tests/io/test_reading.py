import logging

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DataError
from discern.io.reading import read_raw_input


def assert_canonical(adata):
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.float32
    assert adata.X.indices.dtype == np.int32
    assert adata.X.has_sorted_indices
    assert adata.X.data.all()
    assert set(adata.obsm) <= {"protein_expression"}
    assert not adata.layers
    assert not adata.uns
    assert adata.raw is None


@pytest.mark.parametrize(
    ("name", "shape", "batches"),
    [
        ("pbmc_citeseq_10k5k.h5ad", (10849, 4000), {"pbmc10k_v3": 6855, "pbmc5k_v3": 3994}),
        ("kang_pbmc_ctrl_8donors.h5ad", (12261, 1287), None),
        ("kang_pbmc_ctrl_stim.h5ad", (3853, 4805), {"ctrl": 1879, "stim": 1974}),
        ("mouse_spleen_ln_d2.h5ad", (7564, 4005), None),
        ("paul15_mouse_hsc.h5ad", (2730, 3451), None),
        ("eccite_pbmc_500.h5ad", (500, 19521), None),
    ],
)
def test_h5ad_sets_have_the_known_sizes_and_whole_counts(data_dir, name, shape, batches):
    adata = read_raw_input(data_dir / name)
    assert_canonical(adata)
    assert adata.shape == shape
    assert np.array_equal(adata.X.data, np.rint(adata.X.data))
    if batches:
        assert adata.obs["batch"].value_counts().to_dict() == batches


def test_median_depth_of_the_citeseq_batches_is_the_documented_one(data_dir):
    adata = read_raw_input(data_dir / "pbmc_citeseq_10k5k.h5ad")
    depth = pd.Series(np.asarray(adata.X.sum(axis=1)).ravel(), index=adata.obs["batch"])
    medians = depth.groupby(level=0, observed=True).median()
    assert medians.to_dict() == {"pbmc10k_v3": 661, "pbmc5k_v3": 1147}
    proteins = adata.obsm["protein_expression"]
    assert proteins.shape == (10849, 14)
    assert proteins.index.equals(adata.obs_names)


def test_integer_h5ad_keeps_obs_dtypes(data_dir):
    adata = read_raw_input(data_dir / "raw" / "h5ad_smfish" / "smfish.h5ad")
    assert_canonical(adata)
    assert adata.shape == (4530, 33)
    assert adata.obs["batch"].dtype == np.int64
    assert isinstance(adata.obs["str_labels"].dtype, pd.CategoricalDtype)


def test_old_dense_h5ad_equals_the_published_counts(golden_dir):
    golden = np.load(golden_dir / "preprocessing.npz")
    adata = read_raw_input(golden_dir / "input_b0.h5ad")
    assert_canonical(adata)
    assert np.array_equal(adata.X.toarray(), golden["raw_X"][:250])
    assert adata.obs["celltype"].cat.categories.tolist() == ["A", "B", "C"]


def test_published_processed_file_is_read_as_it_is(golden_dir):
    golden = np.load(golden_dir / "preprocessing.npz")
    adata = read_raw_input(golden_dir / "job_small" / "processed_data" / "concatenated_data.h5ad")
    assert_canonical(adata)
    assert np.array_equal(adata.X.toarray(), golden["scaled_X"])
    assert adata.obs["batch"].value_counts(sort=False).to_dict() == {"input_b0": 246, "input_b1": 196, "input_b2": 146}
    assert "var_scaling" in adata.var


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.7, (30, 12)).astype(np.float32)


def write(path, x, names=None, **parts):
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(x.shape[0])])
    var = pd.DataFrame(index=[f"Gene{i}" for i in range(x.shape[1])] if names is None else names)
    adata = AnnData(x, obs=obs, var=var, **parts)
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize("form", [np.asarray, sparse.csc_matrix, sparse.csr_matrix, lambda x: x.astype(np.int64)])
def test_every_storage_of_x_gives_the_same_matrix(tmp_path, counts, form):
    adata = read_raw_input(write(tmp_path / "x.h5ad", form(counts)))
    assert_canonical(adata)
    assert np.array_equal(adata.X.toarray(), counts)


def test_explicit_zeros_and_unsorted_indices_are_mended_and_the_file_stays(tmp_path):
    x = sparse.csr_matrix((np.array([3, 0, 5, 2], "f4"), np.array([2, 0, 1, 0]), np.array([0, 2, 4])), shape=(2, 3))
    path = write(tmp_path / "x.h5ad", x)
    before = path.read_bytes()
    adata = read_raw_input(path)
    assert_canonical(adata)
    assert adata.X.nnz == 3
    assert np.array_equal(adata.X.toarray(), [[0, 0, 3], [2, 5, 0]])
    assert path.read_bytes() == before


def test_layers_graphs_and_uns_are_left_out(tmp_path, counts):
    parts = {
        "layers": {"other": counts},
        "uns": {"note": "x"},
        "obsp": {"graph": sparse.csr_matrix((30, 30))},
        "obsm": {"X_pca": counts[:, :2], "protein_expression": counts[:, :3]},
    }
    adata = read_raw_input(write(tmp_path / "x.h5ad", counts, **parts))
    assert_canonical(adata)
    assert not adata.obsp
    assert adata.obsm["protein_expression"].columns.tolist() == ["protein_0", "protein_1", "protein_2"]
    assert np.array_equal(adata.obsm["protein_expression"], counts[:, :3])


def test_counts_layer_is_read_when_x_holds_no_counts(tmp_path, counts, caplog):
    caplog.set_level(logging.INFO)
    adata = read_raw_input(write(tmp_path / "x.h5ad", np.log1p(counts), layers={"counts": sparse.csr_matrix(counts)}))
    assert np.array_equal(adata.X.toarray(), counts)
    assert "layers['counts'] is read" in caplog.text


def test_x_is_read_when_it_holds_counts_or_the_layer_does_not(tmp_path, counts):
    both = read_raw_input(write(tmp_path / "a.h5ad", counts, layers={"counts": counts * 2}))
    assert np.array_equal(both.X.toarray(), counts)
    neither = read_raw_input(write(tmp_path / "b.h5ad", np.log1p(counts), layers={"counts": counts / 3}))
    assert np.array_equal(neither.X.toarray(), np.log1p(counts))


def test_counts_in_raw_are_pointed_out(tmp_path, counts, caplog):
    adata = AnnData(counts, obs=pd.DataFrame(index=list(map(str, range(30)))))
    adata.raw = adata.copy()
    adata.X = np.log1p(counts)
    adata.write_h5ad(tmp_path / "x.h5ad")
    read_raw_input(tmp_path / "x.h5ad")
    assert "raw.to_adata()" in caplog.text


def test_file_without_x_needs_the_counts_layer(tmp_path, counts):
    obs, var = pd.DataFrame(index=list("ab")), pd.DataFrame(index=list("CDE"))
    AnnData(None, obs=obs, var=var, layers={"counts": counts[:2, :3]}).write_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(read_raw_input(tmp_path / "a.h5ad").X.toarray(), counts[:2, :3])
    AnnData(None, obs=obs, var=var).write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(DataError, match="neither X nor layers"):
        read_raw_input(tmp_path / "b.h5ad")


@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
def test_repeated_gene_names_are_made_unique_with_a_warning(tmp_path, caplog):
    adata = read_raw_input(write(tmp_path / "x.h5ad", np.ones((2, 4), "f4"), names=["A", "B", "A", "A"]))
    assert adata.var_names.tolist() == ["A", "B", "A-1", "A-2"]
    assert "2 gene names occur more than once" in caplog.text


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_repeated_cell_names_are_allowed(tmp_path):
    obs = pd.DataFrame({"n": [1, 2, 3]}, index=["a", "b", "a"])
    proteins = pd.DataFrame({"CD3": [4.0, 5.0, 6.0]}, index=obs.index)
    adata = AnnData(np.ones((3, 2), "f4"), obs=obs, var=pd.DataFrame(index=["X", "Y"]))
    adata.obsm["protein_expression"] = proteins
    adata.write_h5ad(tmp_path / "x.h5ad")
    read = read_raw_input(tmp_path / "x.h5ad")
    assert read.obs_names.tolist() == ["a", "b", "a"]
    assert read.obs["n"].tolist() == [1, 2, 3]
    assert read.obsm["protein_expression"]["CD3"].tolist() == [4, 5, 6]


def test_nameless_and_numbered_genes_are_refused(tmp_path, counts):
    with pytest.raises(DataError, match="2 of 12 genes .* have no name"):
        read_raw_input(write(tmp_path / "a.h5ad", counts, names=["", "  ", *"ABCDEFGHIJ"]))
    path = write(tmp_path / "b.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["var/_index"]
        file["var/_index"] = np.arange(12)
        file["var/_index"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(DataError, match="gene names .* are numbers"):
        read_raw_input(path)


def test_empty_inputs_are_refused(tmp_path):
    with pytest.raises(DataError, match="is empty: 0 cells x 3 genes"):
        read_raw_input(write(tmp_path / "a.h5ad", np.zeros((0, 3), "f4")))
    (tmp_path / "b.csv").write_text("gene,c1,c2\n")
    with pytest.raises(DataError, match="is empty: 2 cells x 0 genes"):
        read_raw_input(tmp_path / "b.csv")


def test_absent_file_names_similar_ones(tmp_path, counts):
    write(tmp_path / "pbmc8k.h5ad", counts)
    with pytest.raises(DataError, match=r"pbmc_8k\.h5ad does not exist\. Similar names there: pbmc8k\.h5ad"):
        read_raw_input(tmp_path / "pbmc_8k.h5ad")
    with pytest.raises(DataError, match="neither does its folder"):
        read_raw_input(tmp_path / "nowhere" / "x.h5ad")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.rds", r"unknown suffix '\.rds'\. Known: \.h5, \.h5ad, \.loom"),
        ("x.tar.gz", "is an archive. Unpack it"),
        ("matrix.mtx.gz", "one file of a Cell Ranger folder. Give the folder"),
    ],
)
def test_other_files_are_refused_with_a_way_out(tmp_path, name, message):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=message):
        read_raw_input(tmp_path / name)


def test_the_tarball_is_refused(data_dir):
    with pytest.raises(DataError, match="Unpack it"):
        read_raw_input(data_dir / "raw" / "10x_mtx" / "pbmc_10k_protein_v3_tiny_filtered_feature_bc_matrix.tar.gz")


@pytest.mark.parametrize(
    "name",
    [
        "pbmc_citeseq_10k5k.h5ad",
        "raw/10x_mtx/3.0.0/filtered_feature_bc_matrix.h5",
        "raw/loom_starmap/mpfc-starmap.loom",
        "raw/csv_totalvi_pbmc/pbmc5k_harmo_rna.csv.gz",
    ],
)
def test_truncated_files_are_named_with_the_reason(data_dir, tmp_path, name):
    whole = (data_dir / name).read_bytes()
    short = tmp_path / (data_dir / name).name
    short.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=rf"Cannot read .*{short.name}: .+ may be damaged") as caught:
        read_raw_input(short)
    assert caught.value.__cause__ is not None


def test_annotation_that_does_not_fit_is_an_error(tmp_path, counts):
    path = write(tmp_path / "x.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = counts[:20]
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(DataError, match="Cannot read"):
        read_raw_input(path)


def test_h5_of_another_program_is_told(tmp_path, counts):
    path = write(tmp_path / "x.h5ad", counts)
    with pytest.raises(DataError, match="looks like an .h5ad file: rename it"):
        read_raw_input(path.rename(tmp_path / "x.h5"))
    with h5py.File(tmp_path / "y.h5ad", "w") as file:
        file["something"] = 1
    with pytest.raises(DataError, match="is no .h5ad file: obs, var missing. It holds: something"):
        read_raw_input(tmp_path / "y.h5ad")


def test_structured_arrays_of_the_oldest_files(tmp_path, counts):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        names = [(f"c{i}".encode(), i) for i in range(30)]
        file["obs"] = np.array(names, dtype=[("index", "S4"), ("n", "i8")])
        file["var"] = np.array([(f"g{i}".encode(),) for i in range(12)], dtype=[("index", "S4")])
        file["X"] = counts
    adata = read_raw_input(tmp_path / "x.h5ad")
    assert np.array_equal(adata.X.toarray(), counts)
    assert adata.obs_names[29] == "c29"
    assert adata.obs["n"].tolist() == list(range(30))
    assert adata.var_names[11] == "g11"
    with h5py.File(tmp_path / "x.h5ad", "r+") as file:
        del file["X"]
        matrix = sparse.csr_matrix(counts)
        group = file.create_group("X")
        for key in ("data", "indices", "indptr"):
            group[key] = getattr(matrix, key)
        group.attrs.update({"h5sparse_format": "csr", "h5sparse_shape": (30, 12)})
    assert np.array_equal(read_raw_input(tmp_path / "x.h5ad").X.toarray(), counts)
