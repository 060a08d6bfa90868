import pytest


def test_a_good_file_is_described_and_nothing_is_written(discern, parameters, here, files_of):
    name = parameters()
    before = files_of(here)
    finished = discern("validate", name)
    assert finished.exit_code == 0
    lines = finished.stdout.splitlines()
    assert lines[0] == "run:"
    assert lines[1] == "  cells.h5ad: 80 cells, 60 genes, named 'cells'"
    assert lines[-1] == "Everything is ready to process."
    assert files_of(here) == before
    assert not (here / "exps").exists()


@pytest.mark.parametrize("debug", [False, True])
def test_every_experiment_is_told_and_faults_give_the_exit_code(discern, parameters, here, files_of, debug):
    def too_strict(experiment):
        experiment["input_ds"]["filtering"]["min_genes"] = 61

    def absent(experiment):
        experiment["input_ds"]["raw_input"] = ["absent.h5ad", "also_absent.csv"]

    name = parameters(good=None, strict=too_strict, missing=absent)
    before = files_of(here)
    finished = discern("validate", name, *(["--debug"] if debug else []))
    assert files_of(here) == before
    if debug:
        assert (finished.exit_code, finished.stderr) == (0, "")
        assert "strict" not in finished.stdout
        return
    assert finished.exit_code == 3
    assert finished.stdout.count("  FAULT ") == 3
    assert "FAULT No cell has 61 genes or more" in finished.stdout
    assert "ready" not in finished.stdout
    assert finished.stderr == "2 of 3 experiments failed: strict, missing\n"


def test_faults_of_several_lines_stay_together(discern, parameters, here, counts):
    other = counts()
    other.var_names = [f"ENSG{number:011d}" for number in range(other.n_vars)]
    other.write_h5ad(here / "other.h5ad")

    def two(experiment):
        experiment["input_ds"]["raw_input"] = ["cells.h5ad", "other.h5ad"]

    finished = discern("validate", parameters(run=two), "-q")
    assert finished.exit_code == 3
    fault = finished.stdout.split("FAULT ")[1].splitlines()
    assert fault[0] == "The inputs have no gene in common."
    assert all(line.startswith("  ") for line in fault[1:])
    assert "Ensembl ids" in finished.stdout


def test_an_invalid_file_is_told_before_any_input_is_read(discern, parameters):
    def unknown(experiment):
        experiment["input_ds"]["raw_input"] = ["absent.h5ad"]
        experiment["modell"] = {}

    finished = discern("validate", parameters(run=unknown))
    assert finished.exit_code == 2
    assert "experiments.run.modell: unknown key. Did you mean 'model'?" in finished.stderr
