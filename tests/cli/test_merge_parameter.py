import json

import pytest

from discern.cli import merge_parameter


@pytest.fixture
def merge(monkeypatch, capsys, logging_as_before):
    def run(*files):
        monkeypatch.setattr("sys.argv", ["merge_parameter", *map(str, files)])
        with pytest.raises(SystemExit) as end:
            merge_parameter.main()
        return (end.value.code or 0, *capsys.readouterr())

    return run


def test_the_merged_file_goes_to_stdout(merge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        content = {"exp_param": {"experiments_dir": f"exps/{name}"}, "experiments": {"größe": {}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    code, out, err = merge("a.json", "b.json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "exp_param": {"experiments_dir": "exps"},
        "experiments": {"a/größe": {}, "b/größe": {}},
    }
    assert "größe" in out


def test_faults_go_to_stderr_with_their_code(merge, tmp_path):
    code, out, err = merge(tmp_path / "absent.json")
    assert (code, out) == (2, "")
    assert err == f"Error: {tmp_path / 'absent.json'} does not exist.\n"


@pytest.mark.filterwarnings("default:.*old spelling:FutureWarning")
def test_old_spellings_do_not_disturb_the_output(merge, tmp_path):
    (tmp_path / "old.json").write_text('{"experiments": {"a": {"model": {"enc_layers": [4], "dec_layers": [4]}}}}')
    code, out, err = merge(tmp_path / "old.json")
    assert code == 0
    assert json.loads(out)["experiments"]["a"] == {"model": {"enc_layers": [4], "dec_layers": [4]}}
    assert "FutureWarning: model.enc_layers is an old spelling of model.encoder.layers\n" in err


def test_no_file_is_wrong_usage(merge):
    code, out, err = merge()
    assert (code, out) == (2, "")
    assert "Missing argument" in err
