"""The tutorial runs offline on the installed packages, and what it claims is so."""

import copy
import json

import nbformat
import pytest

KEEP_RESULTS = """
tables = {
    "recovered": recovered,
    "depth": n_genes.groupby(level=0).median(),
    "clustering": clustering,
    "genes_seen": genes_seen,
    "online": online,
    "joint": joint["late"],
}
results = {name: table.to_dict() for name, table in tables.items()}
results["between_types"] = between_types["correlation"].unstack("expression").to_dict()
results["between_batches"] = between_batches["size of differences"].unstack("expression").to_dict()
results["called"] = between_batches["genes called different"].unstack("expression").to_dict()
results["frozen"] = [bool(one) for one in frozen]
results["from_python"] = float(largest_difference)
results["compared"] = list(side_by_side.columns)
Path("results.json").write_text(json.dumps(results, default=float))
"""


def stderr_of(notebook):
    return [
        output.text for cell in notebook.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"
    ]


def test_the_first_part_runs(tutorial, run_notebook, tmp_path):
    notebook = run_notebook(copy.deepcopy(tutorial), tmp_path, "--before", "### Process, train, project")
    assert stderr_of(notebook) == []
    folder = tmp_path / "discern_tutorial"
    assert {path.name for path in folder.iterdir()} >= {"deep.h5ad", "shallow.h5ad", "late.h5ad", "two_batches.json"}
    validated = next(cell for cell in notebook.cells if cell.id == "c-validate")
    assert "560 of 560 cells" in validated.outputs[0].text


@pytest.fixture(scope="module")
def whole_run(tutorial, run_notebook, tmp_path_factory):
    """The folder of a run of the whole notebook, its cells with outputs, and its tables."""
    folder = tmp_path_factory.mktemp("tutorial")
    notebook = copy.deepcopy(tutorial)
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP_RESULTS))
    notebook = run_notebook(notebook, folder)
    work = folder / "discern_tutorial"
    return work, notebook, json.loads((work / "results.json").read_text())


@pytest.mark.slow
def test_it_runs_without_warnings_and_writes_its_files(whole_run):
    work, notebook, _ = whole_run
    assert stderr_of(notebook) == []
    for name in ("two_batches", "three_batches"):
        experiment = work / "experiments" / name
        assert (experiment / "job" / "best_model.hdf5").is_file()
        assert (experiment / "evaluation" / "report.html").is_file()
    projected = {path.name for path in (work / "experiments" / "three_batches" / "projected").iterdir()}
    assert projected >= {f"projected_to_average_batch_{name}.h5ad" for name in ("deep", "late", "shallow")}
    assert (work / "experiments" / "two_batches" / "backup" / "1").is_dir()
    assert "three_batches" in (work / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_reconstruction_is_nearer_to_the_truth(whole_run):
    results = whole_run[2]
    for table in (results["recovered"], results["joint"]):
        for by in ("per gene", "per cell"):
            others = max(value for name, value in table[by].items() if name != "DISCERN")
            assert table[by]["DISCERN"] > others + 0.02
    between_types = {name: dict(values) for name, values in results["between_types"].items()}
    for values in between_types.values():
        del values["NK cell / T cell"]  # eleven NK cells tell little
    for reconstructed, measured in both(between_types, "reconstructed"):
        assert reconstructed > measured + 0.02
    depth = {name: values["shallow"] for name, values in results["depth"].items()}
    truth = depth["before counts were taken away"]
    assert abs(depth["reconstructed (X)"] - truth) < 0.25 * truth < truth - depth["as measured"]
    assert 0.6 < depth["sum of reconstructed expression"] / 1000 < 1.1


@pytest.mark.slow
def test_batches_come_together_and_types_stay_apart(whole_run):
    results = whole_run[2]
    agreement = results["clustering"]
    assert abs(agreement["batch"]["reconstructed"]) < 0.05 < agreement["batch"]["as measured"]
    assert agreement["celltype"]["reconstructed"] > agreement["celltype"]["as measured"] - 0.02
    for reconstructed, measured in both(results["between_batches"], "estimated_counts"):
        assert reconstructed < 0.6 * measured
    for targets in zip(*(results["genes_seen"][name].values() for name in ("deep", "late", "shallow")), strict=True):
        assert targets[0] > 1.4 * targets[1] > 1.4 * targets[2]


@pytest.mark.slow
def test_tests_on_expectations_find_too_much_as_the_text_says(whole_run):
    called = whole_run[2]["called"]
    for one, n_genes in called["X, zeros drawn"].items():
        assert n_genes < called["as measured"][one]
        assert n_genes < 0.5 * called["estimated_counts"][one]


@pytest.mark.slow
def test_online_training_leaves_old_cells_alone_and_helps_new_ones(whole_run):
    results = whole_run[2]
    assert results["frozen"] == [True] * 3
    for by in ("per gene", "per cell"):
        assert results["online"][by]["DISCERN"] > results["online"][by]["as measured"] + 0.05


@pytest.mark.slow
def test_python_and_the_command_line_agree(whole_run):
    results = whole_run[2]
    assert results["from_python"] < 1e-5
    assert results["compared"] == ["all at once", "online"]


def both(table, reconstructed):
    """Return pairs of a reconstructed and a measured value, one for each row."""
    return [(value, table["as measured"][row]) for row, value in table[reconstructed].items()]
