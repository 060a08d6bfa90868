import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.figure import Figure
from scipy import sparse

from discern import pl
from discern.errors import DataError
from discern.plotting.embedding import components, draw_embedding

N_CELLS = 60


@pytest.fixture(autouse=True)
def first_features(monkeypatch):
    """Coordinates are the first two features: what is drawn is then known, and quickly."""
    monkeypatch.setattr(
        "discern.plotting.embedding.umap_coordinates", lambda features, seed: np.asarray(features)[:, :2]
    )


@pytest.fixture
def projected():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"batch": ["good", "poor"] * 30, "celltype": ["B", "T", "NK"] * 20, "donor": "x"},
        index=[f"cell{number}" for number in range(N_CELLS)],
    )
    adata = AnnData(
        sparse.csr_matrix(rng.poisson(1.0, (N_CELLS, 40)).astype(np.float32)),
        obs=obs,
        obsm={"X_DISCERN": rng.normal(size=(N_CELLS, 4)).astype(np.float32)},
        layers={"estimated_counts": rng.gamma(2.0, 1.0, (N_CELLS, 40)).astype(np.float32)},
    )
    adata.raw = adata.copy()
    return adata


def points_of(axes):
    return np.asarray(axes.collections[0].get_offsets())


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def same_points(axes, coordinates):
    """Whether the points of a panel are these, in any order."""
    found, expected = (points[np.lexsort(points.T)] for points in (points_of(axes), np.asarray(coordinates)))
    return np.allclose(found, expected)


def test_rows_are_spaces_and_columns_are_labels(projected):
    grid = Figure().subplots(3, 2)
    assert pl.umap(None, projected, ax=grid).shape == (3, 2)
    assert [one.get_title() for one in grid.ravel()] == [
        f"{space}, by {column}"
        for space in ("as measured", "latent codes", "reconstructed")
        for column in ("batch", "celltype")
    ]
    assert same_points(grid[0, 0], components(projected.X)[:, :2])
    assert same_points(grid[1, 1], projected.obsm["X_DISCERN"][:, :2])
    assert same_points(grid[2, 0], components(projected.layers["estimated_counts"])[:, :2])
    assert legend_of(grid[0, 0]) == ["good", "poor"]
    assert legend_of(grid[2, 1]) == ["B", "NK", "T"]


def test_cells_before_are_matched_by_name(projected):
    before = AnnData(np.random.default_rng(1).normal(size=(N_CELLS, 30)), obs=projected.obs[[]].iloc[::-1])
    axes = Figure().subplots(3, 1)
    pl.umap(before[:40], projected, color="donor", ax=axes)
    assert same_points(axes[0], components(before[:40].X[::-1])[:, :2])
    before.obs_names = [f"other{number}" for number in range(N_CELLS)]
    with pytest.raises(DataError, match="No cell of `after` is in `before`"):
        pl.umap(before, projected)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_cells_before_are_read_from_a_file_in_any_order(projected, tmp_path, kind):
    order = np.random.default_rng(2).permutation(N_CELLS)
    values = np.random.default_rng(1).normal(size=(N_CELLS, 30)).astype(np.float32)
    AnnData(kind(values[order]), obs=projected.obs[[]].iloc[order]).write_h5ad(tmp_path / "before.h5ad")
    before = anndata.read_h5ad(tmp_path / "before.h5ad", backed="r")
    axes = Figure().subplots(3, 1)
    projected.obs["number"] = [f"{number // 15}" for number in range(N_CELLS)]
    pl.umap(before, projected, color="number", ax=axes)
    assert same_points(axes[0], components(values)[:, :2])
    expected = components(values)[:, :2]
    nearest = ((points_of(axes[0])[None] - expected[:, None]) ** 2).sum(axis=2).argmin(axis=1)
    colours = axes[0].collections[0].get_facecolors()[nearest].reshape(4, 15, 4)
    assert (colours == colours[:, :1]).all()  # every row still has the label of its cell
    assert len(np.unique(colours[:, 0], axis=0)) == 4
    before.file.close()


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("which", ["before", "after"])
def test_names_that_stand_twice_are_refused(projected, which):
    both = {"before": projected.copy(), "after": projected}
    both[which].obs_names = ["cell0", "cell0", *projected.obs_names[2:]]
    with pytest.raises(DataError, match=f"1 name of `{which}` .* e.g. cell0. .*obs_names_make_unique"):
        pl.umap(**both)
    if which == "after":
        assert pl.umap(None, projected, ax=Figure().subplots(3, 2)).shape == (3, 2)  # nothing is matched


def test_many_cells_are_sampled(projected):
    axes = Figure().subplots(3, 1)
    pl.umap(None, projected, color="batch", max_cells=25, seed=3, ax=axes)
    chosen = np.sort(np.random.default_rng(3).choice(N_CELLS, 25, replace=False))
    assert same_points(axes[1], projected.obsm["X_DISCERN"][chosen, :2])


def test_columns_that_are_missing_are_refused(projected):
    with pytest.raises(DataError, match="Column 'kind' is missing from obs. Found: batch, celltype, donor"):
        pl.umap(None, projected, color=["batch", "kind"])
    projected.obs = projected.obs[["donor"]]
    with pytest.raises(DataError, match="There is no column to colour cells by"):
        pl.umap(None, projected)


def test_components_are_those_of_a_singular_value_decomposition():
    expression = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    expression[:, 0] *= 9
    left, singular_values, _ = np.linalg.svd(expression - expression.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(components(expression)), np.abs(left * singular_values), atol=1e-3)


@pytest.mark.parametrize("n_labels", [3, 8, 9, 20, 50])
def test_every_cell_has_the_colour_of_its_label(n_labels):
    labels = pd.Series([f"type {number % n_labels:02}" for number in range(199)] + [None])
    coordinates = np.random.default_rng(0).normal(size=(200, 2))
    axes = Figure().subplots()
    draw_embedding(axes, coordinates, labels)
    colours = {}
    for point, colour in zip(points_of(axes), axes.collections[0].get_facecolors(), strict=True):
        cell = int(np.argmin(((coordinates - point) ** 2).sum(axis=1)))
        colours.setdefault(labels[cell], set()).add(tuple(colour))
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == min(n_labels, 20) + 1
    shown = legend_of(axes)
    assert len(shown) == min(n_labels + 1, 21)
    assert shown[-1] == ("no value" if n_labels < 20 else f"and {n_labels + 1 - 20} more")


def test_names_that_matplotlib_would_read_are_drawn_as_they_are():
    axes = Figure().subplots()
    draw_embedding(axes, np.zeros((4, 2)), pd.Series(["_hidden", "$x^2$", "<script>", "ü" * 90]))
    axes.figure.canvas.draw()
    assert legend_of(axes) == [r"\$x^2\$", "<script>", " _hidden", "ü" * 27 + "…"]
