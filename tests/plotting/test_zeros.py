import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.figure import Figure

from discern import pl
from discern.errors import DataError, ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.plotting.zero_calibration import (
    ZeroCalibration,
    calibration_error,
    read_calibration,
    write_calibration,
)
from discern.plotting.zeros import ZEROS_FILE, calibration_of


def slow_table(probability, seen):
    """Every bin looked at one entry at a time."""
    bins = {}
    for one, there in zip(probability.ravel(), seen.ravel(), strict=True):
        bins.setdefault(min(int(one * 20), 19), []).append((one, there))
    rows = [
        (np.mean([one for one, _ in entries]), np.mean([there for _, there in entries]), len(entries))
        for _, entries in sorted(bins.items())
    ]
    return pd.DataFrame(rows, columns=["probability", "observed", "n"])


@pytest.fixture
def projected():
    """Cells of two batches decoded into ``good``; the estimates are true probabilities."""
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=(60, 50)).astype(np.float32)
    probability[0, :2] = 0.0, 1.0
    seen = rng.random(probability.shape) < probability
    obs = pd.DataFrame({"batch": ["good", "poor"] * 30}, index=[f"cell{number}" for number in range(60)])
    adata = AnnData(seen * np.float32(1.5), obs=obs, layers={"estimated_dropouts": probability})
    adata.raw = adata.copy()
    adata.uns["discern"] = {"target_column": "batch", "target_value": "good"}
    return adata


def test_cells_in_their_own_batch_are_counted(projected):
    own = (projected.obs["batch"] == "good").to_numpy()
    probability = projected.layers["estimated_dropouts"].astype(np.float64)
    expected = slow_table(probability[own], projected.X[own] > 0)
    pd.testing.assert_frame_equal(calibration_of(projected), expected, check_dtype=False)
    projected.uns["discern"]["target_column"] = ""
    everything = slow_table(probability, projected.X > 0)
    pd.testing.assert_frame_equal(calibration_of(projected), everything, check_dtype=False)


def test_good_estimates_lie_on_the_diagonal_and_bad_ones_do_not(projected):
    assert calibration_error(calibration_of(projected)) < 0.1
    projected.layers["estimated_dropouts"] = 1 - projected.layers["estimated_dropouts"]
    assert calibration_error(calibration_of(projected)) > 0.3


def test_genes_that_were_chosen_are_compared_with_their_own_counts(projected):
    few = projected[:, [7, 3]].copy()
    few.raw = projected.raw.to_adata()
    own = (projected.obs["batch"] == "good").to_numpy()
    expected = slow_table(
        projected.layers["estimated_dropouts"][:, [7, 3]][own].astype(np.float64), projected.X[:, [7, 3]][own] > 0
    )
    pd.testing.assert_frame_equal(calibration_of(few), expected, check_dtype=False)


def test_genes_that_were_not_measured_are_no_zeros(projected):
    projected.obs["dataset"] = np.where(np.arange(60) % 3, "all", "few")
    projected.varm["measured"] = pd.DataFrame({"few": np.arange(50) >= 20}, index=projected.var_names)
    own = (projected.obs["batch"] == "good").to_numpy()
    known = own[:, None] & ((projected.obs["dataset"] == "all").to_numpy()[:, None] | (np.arange(50) >= 20))
    probability, seen = projected.layers["estimated_dropouts"].astype(np.float64), projected.X > 0
    expected = slow_table(probability[known], seen[known])
    pd.testing.assert_frame_equal(calibration_of(projected), expected, check_dtype=False)
    of_few = projected[projected.obs["dataset"] == "few", :20].copy()
    with pytest.raises(DataError, match="No gene of these cells was measured"):
        calibration_of(of_few)


def test_what_cannot_be_compared_is_refused(projected):
    projected.uns["discern"]["target_value"] = "third"
    with pytest.raises(DataError, match="No cell was decoded into its own batch"):
        pl.zeros(projected)
    projected.uns["discern"] = {"target_column": "celltype", "target_value": "B"}
    with pytest.raises(DataError, match="No cell was decoded into its own batch"):
        pl.zeros(projected)
    del projected.uns["discern"]
    with pytest.raises(DataError, match="does not tell into which batch"):
        pl.zeros(projected)
    projected.uns["discern"] = {"target_column": "", "target_value": ""}
    projected.raw = None
    with pytest.raises(DataError, match="neither raw nor the layer 'counts'"):
        pl.zeros(projected)
    del projected.layers["estimated_dropouts"]
    with pytest.raises(DataError, match="no layer 'estimated_dropouts'"):
        pl.zeros(projected)


def test_the_folder_of_an_evaluated_experiment_is_drawn(tmp_path):
    calibration = ZeroCalibration()
    calibration.add(np.array([0.11, 0.13, 0.9]), np.array([False, True, True]))
    folder = ExperimentFolder(tmp_path)
    with pytest.raises(ExperimentError, match=r"zeros.csv does not exist. Run `discern evaluate` first"):
        pl.zeros(tmp_path)
    write_calibration(folder.evaluation / ZEROS_FILE, calibration.table())
    axes = Figure().subplots()
    assert pl.zeros(str(tmp_path), ax=axes) is axes
    points = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(points, [[0.12, 0.5], [0.9, 1.0]])
    assert axes.get_title() == "mean distance 0.287"  # (2 * 0.38 + 0.1) / 3
    (folder.evaluation / ZEROS_FILE).write_text("a,b\n1,2\n")
    with pytest.raises(ExperimentError, match="holds no calibration of zeros"):
        read_calibration(folder.evaluation / ZEROS_FILE)
