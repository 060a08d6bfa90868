import logging

from discern.io.experiment_folder import ExperimentFolder
from discern.workflows.older_projections import tell_of_older_projections


def test_projected_files_of_the_model_before_are_counted(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    folder = ExperimentFolder(tmp_path)
    tell_of_older_projections(folder)
    assert caplog.text == ""
    folder.projected.mkdir()
    (folder.projected / "unprojected.h5ad").touch()
    tell_of_older_projections(folder)
    assert f"1 file in {folder.projected} is of the model before" in caplog.text
    (folder.projected / "latent.h5ad").touch()
    tell_of_older_projections(folder)
    assert f"2 files in {folder.projected} are of the model before" in caplog.text
