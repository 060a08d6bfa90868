"""Any parameters.json there can be: experiments below their folder, or an error that names the cause."""

import copy
import json
import os
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discern.config.merging import merge_parameters
from discern.errors import DiscernError, ParametersError
from discern.workflows.experiment import read_experiments
from discern.workflows.process import search_file

FEW = settings(
    max_examples=250, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=20_000, derandomize=False)

VALID = {
    "exp_param": {"experiments_dir": "results"},
    "experiments": {
        "run": {
            "input_ds": {
                "raw_input": {"a.h5ad": "donor", "b.h5ad": None},
                "filtering": {"min_genes": 10, "min_cells": 3},
                "scale": {"LSN": 20000, "fixed_scaling": {"mean": "genes", "var": 1.0}},
                "split": {"split_seed": 0, "valid_cells": 0.1, "mmd_cells": 1.0, "balanced_split": True},
                "n_cpus_preprocessing": 1,
            },
            "model": {
                "name": "wae",
                "latent_dim": 8,
                "encoder": {"layers": [16, 8], "norm_type": ["conditionallayernorm"] * 2, "regularization": 0.3},
                "decoder": {"layers": [8], "norm_type": ["layernorm"], "regularization": 0.0},
                "activation_fn": "tensorflow_addons.activations.mish",
                "output_fn": "softmax",
                "reconstruction_loss": {"name": "HuberLoss", "delta": 9.0},
                "wae_lambda": 1500.0,
            },
            "training": {
                "batch_size": 32,
                "max_steps": 3,
                "GPU": [],
                "XLA": "auto",
                "early_stopping": {"patience": 3, "monitor": "val_loss"},
                "optimizer": {
                    "algorithm": "tensorflow_addons.optimizers.RectifiedAdam",
                    "learning_rate": 0.001,
                    "learning_decay": {"name": "ExponentialDecay", "decay_steps": 10, "decay_rate": 0.9},
                },
                "seed": 1,
            },
            "hyperparameter_search": "search.json",
        }
    },
}

DOTTED = [
    *(
        "os.system",
        "__import__",
        "builtins.eval",
        "subprocess:Popen",
        "discern.errors.DiscernError",
        "keras.Model.__init__",
    ),
    *(
        "tensorflow_addons.optimizers.",
        "tensorflow.keras.layers.Lambda",
        "tf.nn.os.system",
        "__class__",
        "L1L2.__call__",
    ),
]
PATHS = [
    *(
        "../x",
        "/etc/x",
        "a/../../x",
        "..",
        ".",
        "",
        "/",
        "a/b",
        "./a",
        "a//b",
        "a\\b",
        "..\\x",
        "C:\\x",
        "C:/x",
        "C:x",
        "~",
        "~/x",
    ),
    *(
        "CON",
        "nul.txt",
        "a:b",
        "x\0y",
        "x\ny",
        "x\r",
        "\u202ex",
        "\ud800",
        "x" * 300,
        "/".join(["y" * 200] * 30),
        "ß" * 200,
    ),
    *(
        "run",
        "$HOME",
        "`id`",
        "%s%n",
        "{0.__class__}",
        " ",
        "...",
        "-rf",
        ".hidden",
        "run\u0000",
        "\x7f",
        "a/\ud800",
        "file:///x",
    ),
]
NUMBERS = [
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    10**400,
    -(10**30),
    0.5,
    1e308,
    -0.0,
    1e-320,
    float("nan"),
    float("inf"),
    -float("inf"),
]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(DOTTED + PATHS),
    st.text(max_size=8),
    st.sampled_from(
        [[], {}, [[]], {"name": "os.system"}, {"name": []}, {"": None}, [None], {"name": {"a": 1}}, [2**70], [1.5]]
    ),
    st.recursive(
        st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
)


def places(value, path=()):
    """All places of a nested object."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


PLACES = [path for path in places(VALID) if path]


def at(content, path):
    for key in path:
        content = content[key]
    return content


@st.composite
def contents(draw):
    """A valid file with up to two changes."""
    content = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 2))):
        path = draw(st.sampled_from(PLACES))
        try:
            holder = at(content, path[:-1])
            if not isinstance(holder, dict | list):
                continue  # an earlier change took its place
            if path[-1] not in (holder if isinstance(holder, dict) else range(len(holder))):
                continue
        except (KeyError, TypeError, IndexError):
            continue
        kind = draw(st.sampled_from(["value", "missing", "renamed", "extra"]))
        if kind == "value":
            holder[path[-1]] = draw(ODD)
        elif kind == "missing":
            del holder[path[-1]]
        elif isinstance(holder, dict):
            name = draw(
                st.sampled_from(
                    [str(path[-1])[:-1], str(path[-1]).upper(), "__class__", "model_config", *PATHS, *DOTTED]
                )
            )
            holder[name] = holder.pop(path[-1]) if kind == "renamed" else draw(ODD)
    return content


@st.composite
def texts(draw):
    """The text of a file: as above, or damaged."""
    text = json.dumps(draw(contents()), ensure_ascii=draw(st.booleans()))
    kind = draw(st.sampled_from(["whole"] * 6 + ["cut", "twice", "other character", "deep", "bytes", "long number"]))
    place = draw(st.integers(0, len(text)))
    if kind == "cut":
        text = text[:place]
    elif kind == "twice":
        text = text.replace('"batch_size": ', '"batch_size": 1, "batch_size": ', 1)
    elif kind == "other character":
        text = text[:place] + draw(st.characters(codec=None)) + text[place + 1 :]
    elif kind == "deep":
        text = text.replace("null", "[" * 100_000, 1) if draw(st.booleans()) else "[" * 5000 + "]" * 5000
    elif kind == "long number":
        text = text.replace("20000", "9" * 5000, 1)
    data = text.encode("utf-8", "surrogatepass")
    return data[:place] + b"\xff\xfe" + data[place:] if kind == "bytes" else data


def check_file(data):
    """Read one file as the commands do, and make the folders that they would make."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated values
        home = Path(name).resolve()
        path = home / "inner" / "parameters.json"
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            experiments = read_experiments(path)
            merge_parameters([path])
        except DiscernError as error:
            assert isinstance(error, ParametersError)
            assert "parameters.json" in str(error) or "merged" in str(error) or "folder in common" in str(error)
            assert len(str(error)) < 20_000
            return "refused"
        for experiment in experiments:
            require_inside(experiment)
        return "read"


def require_inside(experiment):
    """An experiment's folder is below experiments_dir, and everything it names can be looked for."""
    parent = Path(os.path.normpath(Path("/anywhere") / experiment.experiments_dir))
    folder = Path(os.path.normpath(Path("/anywhere") / experiment.folder.path))
    assert parent in folder.parents
    assert experiment.folder.path.parts[-1] == experiment.name.split("/")[-1]
    os.fsencode(folder)
    try:
        experiment.input_paths()
        search_file(experiment)
    except ParametersError as error:
        assert "does not exist" in str(error)


@FEW
@given(texts())
def test_every_file_is_read_or_refused_with_its_cause(data):
    check_file(data)


@pytest.mark.slow
@MANY
@given(texts())
def test_every_file_of_many(data):
    check_file(data)


def test_the_unchanged_file_is_read():
    assert check_file(json.dumps(VALID).encode()) == "read"


@pytest.mark.parametrize("name", DOTTED)
@pytest.mark.parametrize(
    "path",
    [
        ("model", "name"),
        ("model", "activation_fn"),
        ("model", "output_fn"),
        ("model", "reconstruction_loss", "name"),
        ("model", "encoder", "norm_type", 0),
        ("model", "decoder", "norm_type", 0),
        ("training", "optimizer", "algorithm"),
        ("training", "optimizer", "learning_decay", "name"),
    ],
)
def test_no_name_of_a_file_is_imported(path, name):
    content = copy.deepcopy(VALID)
    at(content["experiments"]["run"], path[:-1])[path[-1]] = name
    assert check_file(json.dumps(content).encode()) == "refused"
