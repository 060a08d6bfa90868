"""Any hyperparameter_search.json there can be: a search, or an error of the parameters that names the cause."""

import copy
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discern.errors import ParametersError
from discern.tuning.algorithms import build_scheduler
from discern.tuning.config import SearchConfig, read_search, search_config
from discern.tuning.space_check import check_space

FEW = settings(
    max_examples=250, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
MANY = settings(FEW, max_examples=5_000, derandomize=False)
SHIPPED = Path(__file__).resolve().parents[2] / "hyperparameter_search.json"
VALID = {
    **json.loads(SHIPPED.read_text(encoding="utf-8")),
    "scheduler": {
        "name": "ray.tune.schedulers.PopulationBasedTraining",
        "perturbation_interval": 2,
        "perturbation_factors": [1.2, 0.8],
        "quantile_fraction": 0.2,
        "metric": "val_loss",
        "mode": "min",
    },
    "searcher": {"name": "ray.tune.suggest.hyperopt.HyperOptSearch", "use_early_stopped_trials": True, "gamma": 0.2},
}
VALID["train_spec"] |= {"time_budget_s": 60, "stop": {"auc": 50, "val_loss": 3.5, "early_stopped": True}}
VALID["search_space"]["model"] |= {
    "activation_fn": {"type": "ray.tune.choice", "args": [["mish", "relu"]]},
    "reconstruction_loss": {"weight_clipping": {"type": "uniform", "args": [1, 20]}},
    "decoder": {"regularization": {"type": "qlognormal", "name": "x", "args": [-1, 0.1, 0.05]}},
}
SCHEDULERS = [
    VALID["scheduler"],
    {"name": "ASHA", "max_t": 9, "grace_period": 1, "reduction_factor": 3, "brackets": 2, "time_attr": "epochs"},
    {"name": "HyperBand", "max_t": 9, "reduction_factor": 3, "stop_last_trials": False},
    {"name": "median", "grace_period": 1, "min_samples_required": 2, "min_time_slice": 0},
]
SEARCHERS = [VALID["searcher"], {"name": "Optuna", "n_startup_trials": 3, "multivariate": True}, "random"]
EXPERIMENT = {
    "model": {
        "latent_dim": 8,
        "encoder": {"layers": [8], "regularization": 0.1},
        "decoder": {"layers": [8], "regularization": 0.1},
    }
}
NAMES = [
    *("os.system", "__import__", "builtins.eval", "ray.tune.run", "ray.tune.schedulers.os", "hyperopt.hp.__class__"),
    *(
        "ray.tune.suggest.",
        "hyperopt.pyll.as_apply",
        "discern.errors:DiscernError",
        "",
        "/",
        "../x",
        "\0",
        "\ud800",
        "ß" * 300,
    ),
    *("uniform", "lognormal", "choice", "grid_search", "randint", "Optuna", "HyperBand", "loss", "val_loss", "auto"),
]
NUMBERS = [0, -1, 1, 7, 2**31, 2**63, 10**400, -(10**30), 0.5, 1e308, -0.0, 1e-320, float("nan"), float("inf")]
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(NAMES),
    st.text(max_size=5),
    st.sampled_from(
        [[], {}, [[]], [None], {"name": "os.system"}, {"name": []}, {"": None}, {"type": "uniform"}, {"args": []}]
    ),
    st.lists(st.sampled_from(NUMBERS + NAMES[:3]), max_size=4),
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def contents(draw):
    """A valid file with up to three changes."""
    parts = {"scheduler": draw(st.sampled_from(SCHEDULERS)), "searcher": draw(st.sampled_from(SEARCHERS))}
    content = copy.deepcopy({**VALID, **parts})
    for _ in range(draw(st.integers(0, 3))):
        *way, last = draw(st.sampled_from([path for path in places(content) if path]))
        holder = content
        try:
            for key in way:
                holder = holder[key]
            holder[last]
        except (KeyError, TypeError, IndexError):
            continue
        kind = draw(st.sampled_from(["value", "value", "missing", "renamed", "extra"]))
        if kind == "value" and not isinstance(holder, str):
            holder[last] = draw(ODD)
        elif kind == "missing" and not isinstance(holder, str):
            del holder[last]
        elif isinstance(holder, dict):
            name = draw(st.sampled_from([str(last)[:-1], str(last).upper(), "__class__", "model_config", *NAMES]))
            holder[name] = holder.pop(last) if kind == "renamed" else draw(ODD)
    return content


def outcome(content):
    """Read a search as a command does, and do with it all that needs no trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            search = search_config(content, "s.json")
        except ParametersError as error:
            assert str(error).startswith("s.json")
            assert len(str(error)) < 20_000
            return "refused"
        assert isinstance(search, SearchConfig)
        sample = search.space.draw(np.random.default_rng(0))
        assert search.space.nearest(sample).keys() == sample.keys()
        assert search.n_trials > 0
        assert search_config(json.loads(search.model_dump_json())) == search
        try:
            check_space(search.space, EXPERIMENT)
            build_scheduler(search, seed=0)
        except ParametersError as error:
            assert len(str(error)) < 20_000
        return "read"


def test_the_unchanged_file_is_read():
    assert outcome(VALID) == "read"


@FEW
@given(contents())
def test_every_file_is_read_or_refused_with_its_cause(content):
    outcome(content)


@pytest.mark.slow
@MANY
@given(contents())
def test_every_file_of_many(content):
    outcome(content)


@FEW
@given(st.text(max_size=40) | st.binary(max_size=40))
def test_what_is_no_json_is_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("search") / "s.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ParametersError, match=r"s\.json"):
        read_search(path)


@pytest.mark.parametrize(
    "section", [("scheduler", "name"), ("searcher", "name"), ("search_space", "model", "latent_dim", "type")]
)
@pytest.mark.parametrize("name", ["planted_module", "planted_module.f", "planted_module:f", "ray.tune.planted_module"])
def test_no_name_of_a_file_is_imported(section, name, tmp_path, monkeypatch):
    (tmp_path / "planted_module.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = copy.deepcopy(VALID)
    holder = content
    for key in section[:-1]:
        holder = holder[key]
    holder[section[-1]] = name
    assert outcome(content) == "refused"
    assert "planted_module" not in sys.modules
