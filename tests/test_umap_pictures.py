import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from discern.umap_pictures import draw_umap, umap_coordinates


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A function that draws panels and returns the figure."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1])

    def draw(*panels, **arguments):
        draw_umap(tmp_path / "new" / "picture.png", panels, **arguments)
        return figures[-1]

    return draw


def legend_of(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def points_of(axis):
    """Coordinates and colours of all cells of a panel."""
    cells = axis.collections[0]
    return np.asarray(cells.get_offsets()), np.asarray(cells.get_facecolors())


@pytest.fixture
def coordinates():
    return np.random.default_rng(0).normal(size=(90, 2))


def test_groups_are_found_again_and_the_seed_decides():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    features = rng.normal(size=(60, 5)) + 30.0 * group[:, None]
    first, same, other = umap_coordinates(features, 1), umap_coordinates(features, 1), umap_coordinates(features, 2)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    centres = [first[group == one].mean(axis=0) for one in (0, 1)]
    spread = max(np.linalg.norm(first[group == one] - centres[one], axis=1).max() for one in (0, 1))
    assert np.linalg.norm(centres[0] - centres[1]) > spread


@pytest.mark.parametrize("n_cells", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("n_features", [1, 4])
def test_few_cells(n_cells, n_features):
    found = umap_coordinates(np.random.default_rng(0).normal(size=(n_cells, n_features)))
    assert found.shape == (n_cells, 2)
    assert np.isfinite(found).all()


def test_a_picture_is_written_whole(drawn, coordinates, tmp_path):
    drawn(("title", coordinates, pd.Series(["a", "b", "c"] * 30)))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["picture.png"]
    assert image.imread(tmp_path / "new" / "picture.png").std() > 0.01


def test_panels_have_titles_and_all_labels(drawn, coordinates):
    labels = pd.Series(pd.Categorical(["x", "y", "z"] * 30, categories=["z", "y", "x"]))
    figure = drawn(
        ("one", coordinates, labels), ("two", coordinates, pd.Series([1, 2, 3] * 30)), ("three", coordinates, labels)
    )
    shown = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title() for axis in shown] == ["one", "two", "three"]
    assert len(figure.axes) == 4
    assert legend_of(shown[0]) == ["z", "y", "x"]
    assert legend_of(shown[1]) == ["1", "2", "3"]


def test_every_cell_has_the_colour_of_its_label(drawn, coordinates):
    labels = pd.Series(["a", "b", None] * 30)
    axis = drawn(("title", coordinates, labels)).axes[0]
    points, colours = points_of(axis)
    assert legend_of(axis) == ["a", "b", "no value"]
    of_label = {
        name: handle.get_facecolor()[0]
        for name, handle in zip(legend_of(axis), axis.get_legend().legend_handles, strict=True)
    }
    assert len({tuple(colour) for colour in of_label.values()}) == 3
    for point, colour in zip(points, colours, strict=True):
        cell = int(np.argmin(((coordinates - point) ** 2).sum(axis=1)))
        expected = of_label[labels[cell] if labels[cell] is not None else "no value"]
        np.testing.assert_allclose(colour, expected)


@pytest.mark.parametrize(("n_labels", "shown"), [(20, 20), (45, 45), (60, 60), (200, 61)])
def test_many_labels_share_colours_and_leave_room_for_the_cells(drawn, coordinates, n_labels, shown):
    labels = pd.Series([f"type {number % n_labels}" for number in range(900)])
    axis = drawn(("title", np.tile(coordinates, (10, 1)), labels)).axes[0]
    assert len(legend_of(axis)) == shown
    assert legend_of(axis)[-1] == (f"and {n_labels - 60} more" if n_labels > 60 else sorted(set(labels))[-1])
    assert len(points_of(axis)[0]) == 900
    assert axis.get_window_extent().width > 250
