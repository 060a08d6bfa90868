import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from discern import pl
from discern.errors import DataError, ExperimentError
from discern.io.experiment_folder import ExperimentFolder
from discern.training.checkpoint_callback import write_history

ROWS = [
    {"epoch": 1, "loss": 8.0, "mmdpp_loss": 0.5, "val_loss": 9.0, "val_mmdpp_loss": 0.75},
    {"epoch": 2, "loss": 4.0, "mmdpp_loss": 0.25, "val_loss": 5.0, "val_mmdpp_loss": 0.5},
    {"epoch": 3, "loss": 2.0, "mmdpp_loss": 0.125, "val_loss": 6.0, "val_mmdpp_loss": 0.25},
]


@pytest.fixture
def axes():
    return Figure().subplots()


@pytest.fixture
def folder(tmp_path):
    """An experiment with the history that training writes."""
    write_history(ExperimentFolder(tmp_path).history, ROWS)
    return tmp_path


def lines_of(axes):
    return {line.get_label(): np.column_stack(line.get_data()).tolist() for line in axes.lines}


def test_training_validation_and_the_best_epoch_are_drawn(axes, folder):
    assert pl.losses(folder, ax=axes) is axes
    assert lines_of(axes) == {
        "training": [[1, 8], [2, 4], [3, 2]],
        "validation": [[1, 9], [2, 5], [3, 6]],
        "lowest": [[2, 5]],
    }
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    "form", [list, pd.DataFrame, lambda rows: pd.DataFrame(rows).to_dict("list"), "path", "folder"]
)
def test_all_forms_of_a_history_are_alike(form, folder):
    source = {"path": str(folder), "folder": ExperimentFolder(folder)}[form] if isinstance(form, str) else form(ROWS)
    axes = Figure().subplots()
    pl.losses(source, term="mmdpp_loss", ax=axes)
    assert lines_of(axes)["validation"] == [[1, 0.75], [2, 0.5], [3, 0.25]]


def test_a_loss_that_is_not_positive_has_a_linear_axis(axes):
    pl.losses([{"loss": 1.0}, {"loss": -1.0}], ax=axes)
    assert axes.get_yscale() == "linear"
    assert lines_of(axes) == {"training": [[1, 1], [2, -1]]}


def test_what_is_no_history_is_refused(tmp_path, folder):
    with pytest.raises(ExperimentError, match=r"history.csv does not exist. Run `discern train` first"):
        pl.losses(tmp_path / "absent")
    with pytest.raises(DataError, match="no column 'kl_loss'. Found: loss, mmdpp_loss"):
        pl.losses(folder, term="kl_loss")
    for text in ("epoch,loss\n", "a,b\n1,2\n", "epoch,loss\n1,many\n", ""):
        ExperimentFolder(tmp_path).history.write_text(text)
        with pytest.raises(ExperimentError, match="is no history of a training"):
            pl.losses(tmp_path)


def test_new_axes_are_returned_or_shown(folder, monkeypatch):
    from matplotlib import pyplot as plt

    plt.switch_backend("agg")
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append("shown"))
    axes = pl.losses(folder, show=False)
    assert lines_of(axes)["training"] == [[1, 8], [2, 4], [3, 2]]
    assert calls == []
    assert pl.losses(folder, show=True) is None
    assert calls == ["shown"]
    for autoshow in (False, True):
        settings = SimpleNamespace(autoshow=autoshow)
        monkeypatch.setitem(sys.modules, "scanpy", SimpleNamespace(settings=settings))
        assert (pl.losses(folder) is None) == autoshow
    plt.close("all")
