import json

from discern.config.experiment import ParametersFile


def test_the_schema_is_json_on_stdout(discern):
    finished = discern("schema")
    assert (finished.exit_code, finished.stderr) == (0, "")
    schema = json.loads(finished.stdout)
    assert schema == json.loads(json.dumps(ParametersFile.model_json_schema()))
    assert schema["required"] == ["experiments"]
    assert set(schema["properties"]) == {"exp_param", "experiments"}
    assert schema["additionalProperties"] is False


def test_the_schema_of_searches_is_printed_too(discern):
    schema = json.loads(discern("schema", "--search").stdout)
    assert {"search_space", "train_spec", "searcher"} <= set(schema["properties"])
