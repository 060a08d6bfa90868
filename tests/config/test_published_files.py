"""The published files must load with every value they hold."""

import copy
import json
from pathlib import Path

import pytest

from discern.config.experiment import ParametersFile
from discern.config.loading import experiment_config, load_experiments

PRESENT_NAMES = {
    "tensorflow_addons.activations.mish": "mish",
    "tensorflow_addons.optimizers.RectifiedAdam": "RectifiedAdam",
    "tensorflow.keras.regularizers.L1L2": "L1L2",
}


def leaves(content, path=()):
    """Yield (path, value) of everything that is no object."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, content


def expected_places(path, value):
    """Where a leaf of a published experiment is found in the validated configuration, and with which value."""
    value = PRESENT_NAMES.get(value, value) if isinstance(value, str) else value
    if path[:2] in {("model", "norm_type"), ("model", "conditional_regularization")}:
        reverse = value[::-1] if isinstance(value, list) else value
        return [(("model", "encoder", *path[1:]), value), (("model", "decoder", *path[1:]), reverse)]
    return [(path, value)]


def value_at(content, path):
    for key in path:
        content = content[key]
    return content


def assert_every_value_kept(content, config):
    dumped = config.model_dump()
    checked = 0
    for leaf, value in leaves(content):
        for path, wanted in expected_places(leaf, value):
            assert value_at(dumped, path) == wanted, ".".join(path)
            checked += 1
    assert checked > 30


def test_the_published_example_keeps_every_value(golden_dir):
    path = golden_dir / "published_parameters.json"
    experiment = load_experiments(path)[0]
    assert (experiment.name, str(experiment.folder)) == ("default_experiment", "experiments/default_experiment")
    assert_every_value_kept(json.loads(path.read_text())["experiments"]["default_experiment"], experiment.config)


def test_the_file_in_a_published_experiment_folder_keeps_every_value(golden_dir):
    path = golden_dir / "job_small" / "parameters.json"
    experiment = load_experiments(path)[0]
    assert (experiment.name, experiment.folder) == ("job_small", path.parent.resolve())
    assert_every_value_kept(json.loads(path.read_text()), experiment.config)


def test_reading_changes_no_dictionary_of_the_user(golden_dir):
    content = json.loads((golden_dir / "job_small" / "parameters.json").read_text())
    content["model"]["enc_layers"] = content["model"].pop("encoder")["layers"]
    content["model"]["layers_dec"] = content["model"].pop("decoder")["layers"]
    before = copy.deepcopy(content)
    with pytest.warns(FutureWarning, match="old spelling"):
        experiment_config(content)
    assert content == before


def accepts(schema, definition, value):
    """Tell whether a value satisfies the parts of JSON schema that pydantic writes; slow, plain and independent."""
    if "$ref" in definition:
        return accepts(schema, schema["$defs"][definition["$ref"].removeprefix("#/$defs/")], value)
    if "anyOf" in definition:
        return any(accepts(schema, one, value) for one in definition["anyOf"])
    if "const" in definition or "enum" in definition:
        return value in definition.get("enum", [definition.get("const")])
    if "type" not in definition:
        return True
    if definition.get("type") == "object":
        known, others = definition.get("properties", {}), definition.get("additionalProperties", True)
        if not isinstance(value, dict) or any(key not in value for key in definition.get("required", [])):
            return False
        if others is False and any(key not in known for key in value):
            return False
        return all(
            accepts(schema, known.get(key, others), one)
            for key, one in value.items()
            if key in known or isinstance(others, dict)
        )
    if definition.get("type") == "array":
        return isinstance(value, list) and all(accepts(schema, definition["items"], one) for one in value)
    types = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}
    if not isinstance(value, types[definition["type"]]):
        return False
    return value >= definition.get("minimum", value) if isinstance(value, (int, float)) else True


def all_parts(schema):
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from all_parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from all_parts(value)


@pytest.fixture(scope="module")
def schema():
    return json.loads(json.dumps(ParametersFile.model_json_schema()))


def test_the_schema_defines_all_it_refers_to(schema):
    references = {part["$ref"] for part in all_parts(schema) if "$ref" in part}
    assert references
    assert {reference.removeprefix("#/$defs/") for reference in references} <= set(schema["$defs"])


def test_the_schema_accepts_the_present_spelling_and_refuses_others(schema, golden_dir):
    content = json.loads((golden_dir / "published_parameters.json").read_text())
    model = content["experiments"]["default_experiment"]["model"]
    for side in ("encoder", "decoder"):
        model[side] |= {key: model[key] for key in ("norm_type", "conditional_regularization")}
    del model["norm_type"], model["conditional_regularization"]
    assert accepts(schema, schema, content)
    for broken in ({"latent_dimm": 3}, {"latent_dim": "many"}, {"encoder": [1, 2]}):
        spoiled = copy.deepcopy(content)
        spoiled["experiments"]["default_experiment"]["model"] |= broken
        assert not accepts(schema, schema, spoiled), broken


def test_the_schema_accepts_the_published_example(schema, golden_dir):
    assert accepts(schema, schema, json.loads((golden_dir / "published_parameters.json").read_text()))


def test_the_shipped_published_parameters_are_those(golden_dir):
    """But for what the published program had no key for, and for how many processors work."""
    ours = load_experiments(Path(__file__).parents[2] / "parameters.published.json")[0].config
    published = load_experiments(golden_dir / "published_parameters.json")[0].config
    assert ours.model == published.model
    assert ours.input_ds.scale == published.input_ds.scale
    assert ours.input_ds.split == published.input_ds.split
    same = {"batch_size", "max_steps", "early_stopping", "optimizer"}
    assert ours.training.model_dump(include=same) == published.training.model_dump(include=same)
