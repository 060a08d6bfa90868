import numpy as np
import pandas as pd
import pytest

from discern.errors import DataError
from discern.online_learning.known_cells import cells_again, known_batches, refuse_cells_again


def cells(*rows, categories=("a", "b", "c")) -> pd.DataFrame:
    """(name, batch, total count, data set) each."""
    table = pd.DataFrame(rows, columns=["name", "batch", "n_counts", "dataset"]).set_index("name")
    table["batch"] = pd.Categorical(table["batch"], categories=list(categories))
    return table.astype({"n_counts": np.float32})


OLD = cells(
    ("AAAC-1", "a", 10, "one"),
    ("AAAG-1", "a", 20, "one"),
    ("AAAC-1-1", "b", 30, "two"),
    ("cell-1", "b", 40, "two"),
    ("cell-2", "a", 60, "three"),
)


def test_cells_with_name_batch_and_total_of_an_old_one_are_found_under_their_first_name():
    names = ["AAAC-1", "AAAC-1", "AAAC-1", "AAAG-1", "cell-7", "cell-2", "new"]
    new = cells(
        ("x0", "a", 10, "n"),
        ("x1", "b", 30, "n"),  # its name got a suffix when it was joined
        ("x2", "b", 10, "n"),
        ("x3", "a", 21, "n"),
        ("x4", "b", 40, "n"),  # of another number, which is no suffix
        ("x5", "a", 60, "n"),
        ("x6", "a", 10, "n"),
    )
    assert cells_again(OLD, new, names).tolist() == [True, True, False, False, False, True, False]


def test_nothing_is_known_of_cells_that_are_elsewhere():
    new = cells(("AAAC-1", "a", 10, "n"))
    assert cells_again(OLD.iloc[:0], new, new.index).tolist() == [False]
    assert cells_again(OLD.drop(columns="n_counts"), new, new.index).tolist() == [False]


@pytest.mark.parametrize(("n_again", "n_cells"), [(1, 1), (1, 10), (10, 100), (9, 91), (0, 5)])
def test_a_tenth_is_refused(n_again, n_cells):
    again = np.arange(n_cells) < n_again
    names = [f"c{number}" for number in range(n_cells)]
    if n_again and n_again / n_cells >= 0.1:
        with pytest.raises(
            DataError, match=rf"{n_again} of {n_cells} new cells .*: c0.*already part of the experiment"
        ):
            refuse_cells_again(again, names)
    else:
        refuse_cells_again(again, names)


def test_known_batches_come_with_evidence():
    new = cells(("x", "c", 1, "n"), ("y", "a", 7, "n"), ("z", "a", 9, "n"), ("w", "c", 5, "n"), categories="xca")
    first, second = known_batches(OLD, new)
    assert (first.name, first.data_sets, first.n_cells, first.library_size) == ("a", ("one", "three"), 3, 20)
    assert (first.n_new_cells, first.new_library_size) == (2, 8)
    assert str(first) == (
        "Batch a is known from one, three: 3 cells with a median library size of 20; "
        "its 2 new cells have a median library size of 8"
    )
    assert (second.name, second.n_cells) == ("c", 0)
    assert str(second).startswith(
        "Batch c is known, but its cells are not in these data; its 2 new cells have a median"
    )
