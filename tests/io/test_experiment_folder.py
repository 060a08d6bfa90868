from discern.io.experiment_folder import ExperimentFolder


def test_backups_are_numbered_folders(tmp_path):
    folder = ExperimentFolder(tmp_path)
    assert folder.backups == []
    assert folder.next_backup.path == tmp_path / "backup" / "1"
    for name in ("2", "10", "x", "03", "0", "٣", "-1", "1.5"):
        (folder.backup / name).mkdir(parents=True)
    (folder.backup / "11").touch()
    assert [one.name for one in folder.backups] == ["2", "10"]
    assert folder.next_backup.job == tmp_path / "backup" / "12" / "job"
