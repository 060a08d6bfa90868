"""Labels of the decoder against those of the published program."""

import numpy as np
import pandas as pd
import pytest

from discern.io.batch_labels import np_one_hot
from discern.projection.batch_labels import BatchLabels
from discern.projection.targets import Target, target_labels

TARGETS = {
    "None_None": Target(),
    "batch_b1": Target("batch", "b1"),
    "batch_": Target("batch"),
    "batch_None": Target("batch"),
    "celltype_C": Target("celltype", "C"),
    "celltype_": Target("celltype"),
    "tissue_lung": Target("tissue", "lung"),
    "tissue_": Target("tissue"),
}


@pytest.fixture(scope="module")
def golden(golden_dir):
    with np.load(golden_dir / "labels.npz") as arrays:
        return dict(arrays)


def test_every_published_case_is_compared(golden):
    assert {f"labels_{name}" for name in TARGETS} == {name for name in golden if name.startswith("labels_")}


def test_one_hot(golden):
    np.testing.assert_array_equal(np_one_hot(pd.Series(golden["batch"], dtype="category")), golden["one_hot"])


@pytest.mark.parametrize("name", TARGETS)
def test_labels(golden, name):
    obs = pd.DataFrame({column: pd.Categorical(golden[column]) for column in ("batch", "celltype", "tissue")})
    one_hot = golden["one_hot"]
    own = BatchLabels(np.eye(one_hot.shape[1], dtype=np.float32), one_hot.argmax(axis=1).astype(np.int32))
    labels = target_labels(obs, own, TARGETS[name])[:]
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, golden[f"labels_{name}"], rtol=2e-7)
