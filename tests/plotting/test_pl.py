import subprocess
import sys

import pytest

PROGRAM = """
import sys
import discern
heavy = {"tensorflow", "keras", "scanpy", "matplotlib", "numpy", "discern.pl"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "pl" in dir(discern)
assert {name for name in dir(discern.pl) if not name.startswith("_")} == {"losses", "umap", "zeros"}
axes = discern.pl.losses([{"loss": 2.0}, {"loss": 1.0}], show=False)
assert axes.get_ylabel() == "loss"
assert not {"tensorflow", "keras", "scanpy"} & set(sys.modules)
"""


def test_pictures_are_found_without_importing_them_and_cost_no_tensorflow():
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=120,
        env={"MPLBACKEND": "agg", "PYTHONPATH": ":".join(filter(None, ["."] + sys.path))},
    )
    assert finished.returncode == 0, finished.stderr


def test_unknown_names_are_refused():
    import discern

    with pytest.raises(AttributeError, match="module 'discern' has no attribute 'plots'"):
        _ = discern.plots
