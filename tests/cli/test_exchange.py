import pytest

from discern.cli.main import cli


def test_experiments_travel_as_files(discern, parameters, here):
    assert discern("process", parameters()).exit_code == 0
    assert discern("export", "parameters.json", "run.zip").exit_code == 0
    found = discern("import", "run.zip", "--into", "others")
    assert found.exit_code == 0
    assert "others/run: no model, processed cells" in found.stderr
    assert found.stdout == ""
    assert (here / "others" / "run" / "processed_data" / "concatenated_data.h5ad").is_file()
    refused = discern("import", "run.zip", "--into", "others")
    assert (refused.exit_code, refused.stderr.count("exists already")) == (4, 1)
    assert discern("export", "exps/run/parameters.json", "run.zip").exit_code == 4
    assert discern("export", "exps/run/parameters.json", "run.zip", "--force").exit_code == 0


def test_with_a_model_the_next_step_is_told(discern, parameters, here):
    discern("process", parameters())
    (here / "exps" / "run" / "job").mkdir()
    import h5py

    with h5py.File(here / "exps" / "run" / "job" / "best_model.hdf5", "w") as file:
        file["weights"] = 1
    discern("export", "parameters.json", "run.zip")
    told = discern("import", "run.zip", "--into", "others").stdout
    assert told == "Add cells: discern onlinetraining others/run/parameters.json --filename FILE\n"


@pytest.mark.parametrize(("more", "told"), [((), "several experiments"), (("--experiment", "c"), "no experiment 'c'")])
def test_one_of_several_must_be_named(discern, parameters, here, more, told):
    finished = discern("export", parameters(a=None, b=None), "run.zip", *more)
    assert finished.exit_code == 2
    assert told in finished.stderr
    assert "one of: a, b." in finished.stderr
    finished = discern("export", "parameters.json", "run.zip", "--experiment", "b")
    assert finished.exit_code == 4
    assert "exps/b/processed_data" in finished.stderr


def test_damage_has_the_exit_code_of_data(discern, here):
    (here / "run.zip").write_text("no zip")
    finished = discern("import", "run.zip")
    assert (finished.exit_code, "run.zip is damaged" in finished.stderr) == (3, True)
    assert "import" in cli.commands
