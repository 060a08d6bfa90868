import json

import anndata
import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import ExperimentError
from discern.workflows.demo import as_table, compare, demo
from discern.workflows.demo_data import DEEP, SHALLOW, DemoData


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A demonstration of two epochs: all files, no quality."""
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, demo(out, seed=1, max_steps=2)


def test_all_files_are_there(short):
    out, result = short
    assert {path.name for path in out.iterdir()} == {
        "blood_cells.h5ad",
        "parameters.json",
        "recovery.json",
        "experiments",
        "umap_before.png",
        "umap_after.png",
        "umap_latent.png",
    }
    assert sorted(path.name for path in result.pictures) == ["umap_after.png", "umap_before.png", "umap_latent.png"]
    assert all(path.stat().st_size > 10_000 for path in result.pictures)
    assert result.projected.name == "projected_to_average_batch_deep.h5ad"
    assert 0 < result.seconds < 600


def test_the_parameters_are_an_ordinary_file(short):
    from discern.config.loading import load_experiments

    (experiment,) = load_experiments(short[0] / "parameters.json")
    assert experiment.config.training.max_steps == 2
    assert experiment.folder == short[0] / "experiments" / "demo"


def test_the_reconstruction_has_all_cells(short):
    out, result = short
    reconstructed, observed = anndata.read_h5ad(result.projected), anndata.read_h5ad(out / "blood_cells.h5ad")
    assert reconstructed.n_obs == observed.n_obs == 700
    assert set(observed.obs["batch"]) == {DEEP, SHALLOW}
    assert reconstructed.uns["discern"]["target_value"] == DEEP


def test_the_table_shows_what_was_found(short):
    out, result = short
    names = [one.estimate for one in result.recoveries]
    assert names[:2] == ["as measured", "nearest-neighbour smoothing"]
    assert [one["estimate"] for one in json.loads((out / "recovery.json").read_text())] == names
    lines = as_table(result.recoveries).splitlines()
    assert len(lines) == 1 + len(names)
    assert len({len(line) for line in lines}) == 1
    for line, one in zip(lines[1:], result.recoveries, strict=True):
        assert line.startswith(one.estimate)
        assert line.split()[-2:] == [f"{one.gene_correlation:.3f}", f"{one.cell_correlation:.3f}"]


@pytest.mark.slow
def test_a_second_demonstration_replaces_the_first(short):
    out, result = short
    assert demo(out, seed=1, max_steps=2).recoveries == result.recoveries  # seeded from end to end


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(ExperimentError, match="Give another folder: --out DIR"):
        demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_perfect_reconstruction_is_recognised():
    """Cells of two types; the estimate is the hidden truth itself, as measured it is noise."""
    rng = np.random.default_rng(0)
    n_cells, n_genes = 60, 40
    hidden = sparse.csr_matrix(rng.poisson(8.0, (n_cells, n_genes)).astype(np.float32))
    names = [f"cell{number}" for number in range(n_cells)]
    genes = [f"gene{number}" for number in range(n_genes)]
    observed = AnnData(sparse.csr_matrix(rng.poisson(2.0, (n_cells + 5, n_genes)).astype(np.float32)))
    observed.obs_names, observed.var_names = [*names, *(f"deep{number}" for number in range(5))], genes
    observed.obs["batch"] = [SHALLOW] * n_cells + [DEEP] * 5
    size = np.asarray(hidden.sum(axis=1))
    truth = np.log1p(hidden.toarray() * 1000 / size).astype(np.float32)
    order, chosen = rng.permutation(n_cells), rng.permutation(n_genes)[:30]  # other order, fewer genes: matched by name
    reconstructed = AnnData(sparse.csr_matrix(truth[order][:, chosen]))
    reconstructed.obs_names, reconstructed.var_names = [names[cell] for cell in order], [genes[gene] for gene in chosen]
    reconstructed.layers["estimated_counts"] = truth[order][:, chosen]
    noise = AnnData(sparse.csr_matrix(rng.random((n_cells, n_genes)).astype(np.float32)), var=observed.var[[]])
    noise.obs_names = reconstructed.obs_names
    reconstructed.raw = noise
    reconstructed.layers["posterior_counts"] = truth[order][:, chosen]
    as_it_is, smoothed, *of_the_model = compare(DemoData(observed, hidden), reconstructed)
    assert len(of_the_model) == 3
    for one in of_the_model:
        assert (one.gene_correlation, one.cell_correlation) == (1.0, 1.0)
    assert abs(as_it_is.gene_correlation) < 0.1
    assert abs(smoothed.cell_correlation) < 0.1


@pytest.mark.slow
def test_discern_beats_the_data_as_they_are_and_smoothing(tmp_path):
    result = demo(tmp_path / "out")
    by_name = {one.estimate: one for one in result.recoveries}
    found = by_name["DISCERN (estimated_counts)"]
    for baseline in (by_name["as measured"], by_name["nearest-neighbour smoothing"]):
        assert found.gene_correlation > baseline.gene_correlation + 0.02
        assert found.cell_correlation > baseline.cell_correlation + 0.02
    corrected = by_name["DISCERN (posterior_counts)"]
    assert corrected.gene_correlation > found.gene_correlation
    assert corrected.cell_correlation > found.cell_correlation
    drawn = by_name["DISCERN, zeros drawn (X)"]
    assert drawn.cell_correlation > by_name["as measured"].cell_correlation + 0.05
    assert result.seconds < 180 * 4  # three minutes on two free cores
