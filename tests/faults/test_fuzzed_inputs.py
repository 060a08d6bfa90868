"""Any AnnData there can be: a result that holds the very cells, counts and batches given, or an error that names the cause."""

import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from discern.errors import DiscernError
from discern.io.reading import read_raw_input
from discern.preprocessing.cells import OnDisk
from discern.preprocessing.recipe import WAERecipe
from discern.workers import ThisProcess

FEW = settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=1000, derandomize=False)

DTYPES = [
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    "float16",
    "float32",
    "float64",
    "bool",
]
FORMATS = ["csr", "csc", "coo", "dense", "fortran", "csr_array", "unsorted", "zeros stored", "matrix of Python numbers"]
STRANGE_VALUES = [2**24, 2**24 + 1, 2**32 + 1, 2**60, -1, 0.5, 1e-50, 1e300, np.nan, np.inf, -np.inf]
NAMES = [
    "plain",
    "twice",
    "all the same",
    "with suffixes",
    "numbers",
    "spaces",
    "slashes",
    "NUL",
    "long",
    "empty",
    "unicode",
]
ROUTES = ["memory", "backed", "file", "on disk"]


def names_of(kind, n, prefix):
    plain = [f"{prefix}{i}" for i in range(n)]
    return {
        "plain": plain,
        "twice": [f"{prefix}{i // 2}" for i in range(n)],
        "all the same": [prefix] * n,
        "with suffixes": [prefix, f"{prefix}-1", prefix, *plain][:n],
        "numbers": [str(i) for i in range(n)],
        "spaces": [f" {name} \n\t" for name in plain],
        "slashes": [f"../{name}/." for name in plain],
        "NUL": [f"{name}\0b" for name in plain],
        "long": [name + "x" * 10_000 for name in plain],
        "empty": ["", *plain][:n],
        "unicode": [f"{name}-ß-\u202e-🧬" for name in plain],
    }[kind]


def column_of(kind, n):
    """A column of obs; a third of each kind's cells have each value."""
    turn = np.arange(n) % 3
    return {
        "texts": [f"donor {i}" for i in turn],
        "unicode": [["ä/b", "🧬", "a:b\n"][i] for i in turn],
        "integers": turn,
        "floats": turn / 2,
        "whole floats": turn.astype(float),
        "huge floats": turn * 1e300,
        "infinite": np.where(turn == 0, np.inf, 1.0),
        "booleans": turn == 0,
        "unused categories": pd.Categorical([f"d{i}" for i in turn], categories=["no", "d2", "d1", "d0", "none"]),
        "ordered numbers": pd.Categorical(turn, categories=[2, 9, 0, 1], ordered=True),
        "categories of booleans": pd.Categorical(turn == 0),
        "categories of mixed values": pd.Categorical(np.array([["1", 1, True][i] for i in turn], dtype=object)),
        "some missing": [None if i == 0 else "x" for i in turn],
        "NaN": np.where(turn == 0, np.nan, 1.0),
        "all missing": np.full(n, np.nan),
        "missing categories": pd.Categorical([None if i == 0 else "x" for i in turn], categories=["x", "y"]),
        "blank": [["", " ", "x"][i] for i in turn],
        "one value": ["the same"] * n,
        "one each": [f"of {i}" for i in range(n)],
        "nullable integers": pd.array([None if i == 0 else i for i in turn], dtype="Int64"),
        "nullable booleans": pd.array([None if i == 0 else i == 1 for i in turn], dtype="boolean"),
        "nullable texts": pd.array([f"d{i}" for i in turn], dtype="string"),
        "datetimes": pd.to_datetime(turn, unit="D"),
        "durations": pd.to_timedelta(turn, unit="h"),
        "intervals": pd.cut(turn + 0.5, [0, 1, 2, 3]),
        "mixed objects": np.array([[1, "1", 1.0][i] for i in turn], dtype=object),
        "tuples": pd.Series([(int(i), "x") for i in turn], dtype=object).to_numpy(),
        "bytes": np.array([b"a%d" % i for i in turn], dtype=object),
        "complex": turn + 1j,
    }[kind]


COLUMN_KINDS = [
    *("texts", "unicode", "integers", "floats", "whole floats", "huge floats", "infinite", "booleans"),
    *(
        "unused categories",
        "ordered numbers",
        "categories of booleans",
        "categories of mixed values",
        "some missing",
        "NaN",
    ),
    *("all missing", "missing categories", "blank", "one value", "one each", "nullable integers", "nullable booleans"),
    *("nullable texts", "datetimes", "durations", "intervals", "mixed objects", "tuples", "bytes", "complex"),
]
COLUMNS = [
    "batch",
    "donor",
    "split",
    "n_counts",
    "n_genes",
    "for_mmd",
    "dataset",
    "celltype",
    "cluster",
    "_index",
    "a/b",
    "",
]
PARAMETERS = {"filtering": {"min_genes": 2, "min_cells": 2}, "scale": {"LSN": 1000.0}, "n_cpus_preprocessing": 1}


@dataclass(frozen=True)
class Case:
    """What one input is like."""

    n_cells: int
    n_genes: int
    dtype: str
    form: str
    density: float
    empty_cells: bool
    strange: float | None
    cells: str
    genes: str
    columns: dict[str, str]
    batch: str | None
    route: str
    seed: int

    def matrix(self):
        """Return the counts, dense, in their type."""
        rng = np.random.default_rng(self.seed)
        values = rng.poisson(self.density * 3, (self.n_cells, self.n_genes)).clip(0, 120)
        if self.empty_cells:
            values[:: max(2, self.n_cells // 5)] = 0
            values[:, :: max(2, self.n_genes // 5)] = 0
        with np.errstate(all="ignore"):
            values = values.astype(self.dtype)
            if self.strange is not None and self.can_hold_strange():
                values[rng.integers(self.n_cells), rng.integers(self.n_genes)] = self.strange
        return values

    def can_hold_strange(self):
        if self.dtype[0] == "f":
            return True
        limits = None if self.dtype == "bool" else np.iinfo(self.dtype)
        return limits is not None and isinstance(self.strange, int) and limits.min <= self.strange <= limits.max

    def as_stored(self, values):
        """Return the counts in the wanted format."""
        if self.form in {"dense", "fortran"}:
            return np.asarray(values, order="F" if self.form == "fortran" else "C")
        if self.form == "matrix of Python numbers":
            return values.astype(object)
        if values.dtype == np.float16:  # SciPy has no such sparse matrices
            values = values.astype(np.float32)
        if self.form == "csr_array":
            return sparse.csr_array(values)
        if self.form == "zeros stored":
            rows, columns = np.indices(values.shape).reshape(2, -1)
            return sparse.csr_matrix((values.ravel(), (rows, columns)), shape=values.shape)
        if self.form == "unsorted":
            matrix = sparse.csc_matrix(values[::-1]).tocsr()
            matrix.indices, matrix.data = matrix.indices.copy(), matrix.data.copy()
            for start, stop in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
                matrix.indices[start:stop] = matrix.indices[start:stop][::-1]
                matrix.data[start:stop] = matrix.data[start:stop][::-1]
            matrix.has_sorted_indices = False
            return matrix[::-1]
        return sparse.csr_matrix(values).asformat(self.form)

    def adata(self):
        """Return the input; cells and genes are numbered in ``number``."""
        obs = pd.DataFrame({name: column_of(kind, self.n_cells) for name, kind in self.columns.items()})
        obs = obs.set_axis(pd.RangeIndex(self.n_cells)).assign(number=np.arange(self.n_cells))
        var = pd.DataFrame({"number": np.arange(self.n_genes)})
        values = self.matrix()
        obs.index = names_of(self.cells, self.n_cells, "cell")
        var.index = names_of(self.genes, self.n_genes, "Gene")
        stored = self.as_stored(values)
        if self.form == "coo" or self.form == "matrix of Python numbers":  # AnnData itself refuses or turns these
            built = ad.AnnData(obs=obs, var=var)
            try:
                built.X = stored
            except ValueError:
                built.X = sparse.csr_matrix(values.astype(np.float32))
        else:
            built = ad.AnnData(stored, obs=obs, var=var)
        return built, values


@st.composite
def cases(draw):
    """Inputs that are plain but for some traits."""
    n_cells, n_genes = draw(st.sampled_from([(60, 45)] * 4 + [(1, 45), (60, 1), (33, 33), (7, 40), (45, 60), (1, 1)]))
    odd = draw(
        st.sets(st.sampled_from(["dtype", "form", "values", "cells", "genes", "batch", "columns", "empty"]), max_size=3)
    )
    batch = draw(st.sampled_from([None, "batch", "donor", "absent"])) if "batch" in odd else None
    columns = {}
    if batch in {"batch", "donor"}:
        columns[batch] = draw(st.sampled_from(COLUMN_KINDS))
    if "columns" in odd:
        columns |= draw(st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(COLUMN_KINDS), max_size=3))
    return Case(
        n_cells,
        n_genes,
        draw(st.sampled_from(DTYPES)) if "dtype" in odd else "float32",
        draw(st.sampled_from(FORMATS)) if "form" in odd else "csr",
        draw(st.sampled_from([0.0, 0.02, 0.3, 1.0])) if "empty" in odd else 1.0,
        "empty" in odd and draw(st.booleans()),
        draw(st.sampled_from(STRANGE_VALUES)) if "values" in odd else None,
        draw(st.sampled_from(NAMES)) if "cells" in odd else "plain",
        draw(st.sampled_from(NAMES)) if "genes" in odd else "plain",
        columns,
        batch,
        draw(st.sampled_from(ROUTES)),
        draw(st.integers(0, 3)),
    )


def text_of(value):
    """What a batch is called: numbers that are whole have no decimals."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def recipe_of(case, adata, folder):
    """Return the finished recipe; None when AnnData itself cannot write such a file."""
    if case.route == "memory" and case.batch in {None, "batch"}:
        return WAERecipe(PARAMETERS, inputs={"one": adata}, n_jobs=1)()
    path = folder / "one.h5ad"
    try:
        adata.write_h5ad(path)
    except Exception:  # noqa: BLE001 - what a file cannot hold is never read from one
        return None
    if case.route == "backed" and case.batch in {None, "batch"}:
        return WAERecipe(PARAMETERS, inputs={"one": ad.read_h5ad(path, backed="r")}, n_jobs=1)()
    on_disk = OnDisk(folder / "scratch", ThisProcess()) if case.route == "on disk" else None
    if on_disk is not None:
        on_disk.folder.mkdir()
    return WAERecipe(PARAMETERS, input_files={str(path): case.batch}, n_jobs=1, on_disk=on_disk)()


def check_recipe(case):
    """Process one input: everything that is kept is what was given."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
        warnings.simplefilter("ignore")
        adata, values = case.adata()
        folder = Path(name)
        try:
            recipe = recipe_of(case, adata, folder)
            if recipe is None:
                return "not written"
            recipe.dump_tf_records(folder / "records")
            recipe.dump(folder / "out")
        except DiscernError as error:
            assert len(str(error)) > 20
            return str(error)
        require_same(case, ad.read_h5ad(folder / "out/processed_data/concatenated_data.h5ad"), values)
    return "result"


def require_same(case, processed, values):
    """Compare processed data with what was given."""
    cells, genes = processed.obs["number"].to_numpy(), processed.var["number"].to_numpy()
    assert (np.diff(cells) > 0).all() and (np.diff(genes) > 0).all()
    assert processed.obs_names.is_unique and processed.var_names.is_unique
    values = np.where(
        np.abs(values.astype(np.float64)) < 1e-45, 0.0, values.astype(np.float64)
    )  # float32 holds no less
    given = values[cells][:, genes]
    kept = processed.layers["counts"].toarray().astype(np.float64)
    np.testing.assert_array_equal(kept, given)
    assert cells.tolist() == np.flatnonzero((values > 0).sum(axis=1) >= 2).tolist()
    assert genes.tolist() == np.flatnonzero((values[cells] > 0).sum(axis=0) >= 2).tolist()
    column = case.batch or ("batch" if "batch" in case.columns else None)
    if column is None:
        expected = ["one"] * len(cells)
    else:
        expected = [text_of(value) for value in pd.Series(column_of(case.columns[column], case.n_cells)).iloc[cells]]
    assert processed.obs["batch"].tolist() == expected
    np.testing.assert_allclose(processed.obs["n_counts"].to_numpy(), given.sum(axis=1), rtol=1e-6)
    assert processed.obs["n_genes"].tolist() == (values[cells] > 0).sum(axis=1).tolist()


def check_both_ways(case):
    """What is kept does not depend on where the counts are while they are processed."""
    outcomes = []
    for route in ("file", "on disk"):
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
            warnings.simplefilter("ignore")
            adata, _ = case.adata()
            try:
                recipe = recipe_of(replace(case, route=route), adata, Path(name))
                if recipe is None:
                    return
                recipe.dump(Path(name) / "out")
            except DiscernError as error:
                outcomes.append(str(error).replace(name, ""))
            else:
                outcomes.append(ad.read_h5ad(Path(name) / "out/processed_data/concatenated_data.h5ad"))
    in_memory, on_disk = outcomes
    if isinstance(in_memory, str) or isinstance(on_disk, str):
        assert in_memory == on_disk
        return
    pd.testing.assert_frame_equal(in_memory.obs, on_disk.obs)
    pd.testing.assert_index_equal(in_memory.var_names, on_disk.var_names)
    np.testing.assert_array_equal(in_memory.layers["counts"].toarray(), on_disk.layers["counts"].toarray())
    np.testing.assert_allclose(in_memory.X.toarray(), on_disk.X.toarray(), rtol=1e-6)


def check_reading(case):
    """Reading alone changes no count, no name and no order."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as name:
        warnings.simplefilter("ignore")
        adata, values = case.adata()
        path = Path(name) / "one.h5ad"
        try:
            adata.write_h5ad(path)
        except Exception:  # noqa: BLE001 - what a file cannot hold is never read from one
            return
        try:
            read = read_raw_input(path)
        except DiscernError as error:
            assert "one.h5ad" in str(error)
            return
        with np.errstate(over="ignore"):
            expected = values.astype(np.float32)
    np.testing.assert_array_equal(read.X.toarray(), expected)
    assert read.X.has_sorted_indices
    assert read.X.data.all()
    assert read.obs_names.tolist() == names_of(case.cells, case.n_cells, "cell")
    assert read.obs["number"].tolist() == list(range(case.n_cells))
    assert read.var["number"].tolist() == list(range(case.n_genes))


@settings(FEW, max_examples=40)
@given(cases())
def test_reading_keeps_every_count(case):
    check_reading(case)


@settings(FEW, max_examples=12)
@given(cases())
def test_memory_and_disk_agree(case):
    check_both_ways(case)


@FEW
@given(cases())
def test_every_input_gives_a_result_or_a_named_cause(case):
    check_recipe(case)


@pytest.mark.slow
@MANY
@given(cases())
def test_every_input_of_many(case):
    check_recipe(case)
