import pytest


def absent(content):
    content["input_ds"]["raw_input"] = ["absent.h5ad"]


def test_one_failure_leaves_the_others_running_and_shows_in_the_exit_code(here, in_own_process, parameters, cells):
    cells.write_h5ad(here / "cells.h5ad")
    finished = in_own_process("process", parameters(**{"group/first": None, "broken": absent, "last": None}))
    assert finished.exit_code == 3
    lines = finished.stderr.splitlines()
    assert "broken failed: absent.h5ad does not exist. Similar names there: cells.h5ad. Correct the path." in lines
    assert lines[-1] == "1 of 3 experiments failed: broken"
    assert "Traceback" not in finished.stderr
    for name in ("group/first", "last"):
        assert f"[{name}] After merging: 300 cells, 700 genes" in lines
        assert (here / "exps" / name / "processed_data" / "concatenated_data.h5ad").is_file()
    assert not (here / "exps" / "broken").exists()
    log = (here / "exps" / "discern.log").read_text()
    assert all(f" {name} discern." in log for name in ("group/first", "broken", "last"))


@pytest.mark.slow
def test_training_several_tells_of_no_library_noise(here, in_own_process, parameters, cells):
    cells.write_h5ad(here / "cells.h5ad")
    name = parameters(first=None, broken=absent, last=None)
    assert in_own_process("process", name).exit_code == 3
    finished = in_own_process("train", name)
    assert finished.exit_code == 4
    assert "1 of 3 experiments failed: broken" in finished.stderr
    assert not [word for word in ("port.cc", "cuda", "absl") if word in finished.stderr]
    finished = in_own_process("project", name, "--metadata", "batch:101")
    assert finished.exit_code == 4
    for run in ("first", "last"):
        assert (here / "exps" / run / "projected" / "projected_to_average_batch_101.h5ad").is_file()
