import anndata
import numpy as np
import pytest

from discern.io.data import DISCERNData
from discern.io.processed_config import library_size_normalisation, plain, storable
from discern.io.writing import write_h5ad

NAMES = ["a/b", "/", "50% fresh", "a%2Fb", "Blut früh", "β-cells", "plain", "a b", "a.b"]


def test_numbers_and_arrays_become_plain():
    content = {"a": np.int64(3), "b": {"c": np.float32(0.5), "d": np.array([1, 2])}, "e": np.array(["x", "y"])}
    result = plain(content)
    assert result == {"a": 3, "b": {"c": 0.5, "d": [1, 2]}, "e": ["x", "y"]}
    assert (type(result["a"]), type(result["b"]["c"])) == (int, float)


@pytest.mark.parametrize("name", NAMES)
def test_names_survive_being_storable(name):
    stored = storable({"train_cells_no": {name: 3}})
    assert "/" not in next(iter(stored["train_cells_no"]))
    assert plain(stored) == {"train_cells_no": {name: 3}}


def test_ordinary_names_are_stored_as_they_are():
    content = {"PBMC (10k), v3 [CD4+]": {"x=1;y:2": 1}}
    assert storable(content) == content


def test_a_configuration_survives_the_file(make_counts, make_processed, tmp_path):
    """Batch names are keys of the configuration; a "/" would open a group of the file."""
    data = make_processed(make_counts(4 * len(NAMES), 12), batches=NAMES)
    config = {
        "batch_key": {str(i): name for i, name in enumerate(NAMES)},
        "batch_ratios": {name: 1 / len(NAMES) for name in NAMES},
        "scale": {"LSN": 1000},
        "mmd_kernel": {"all": 3.5},
    }
    data.config = config
    for round_trip in range(2):
        path = tmp_path / f"{round_trip}.h5ad"
        write_h5ad(data, path)
        data = DISCERNData.read_h5ad(path, 8)
        assert data.config == config
        assert data.batches == NAMES
    assert set(anndata.read_h5ad(path).uns["DISCERN"]["batch_ratios"]) == set(storable(config["batch_ratios"]))


@pytest.mark.parametrize(
    ("config", "expected"), [({}, None), ({"scale": {}}, None), ({"scale": {"LSN": np.int64(20000)}}, 20000.0)]
)
def test_library_size(config, expected):
    assert library_size_normalisation(config) == expected
