import copy
import json
import warnings
from pathlib import Path

import pytest

from discern.config.loading import load_experiments
from discern.errors import ParametersError
from discern.tuning.config import SearchConfig, read_search, search_config
from discern.tuning.space_check import check_space

ROOT = Path(__file__).resolve().parents[2]
SPACE = {"model": {"latent_dim": {"type": "quniform", "args": [4, 16, 4]}}}
SMALLEST = {"search_space": SPACE}


def refused(**sections):
    with pytest.raises(ParametersError) as caught:
        search_config({**SMALLEST, **sections}, "s.json")
    return str(caught.value)


def test_the_shipped_file_searches_the_shipped_experiment():
    search = read_search(ROOT / "hyperparameter_search.json")
    (experiment,) = load_experiments(ROOT / "parameters.json")
    check_space(search.space, experiment.content)
    assert search.n_trials <= 16
    assert search.setup.address is None
    assert set(search.space.names) == {
        "latent_dim",
        "encoder_dropout",
        "wae_lambda",
        "weighting_decoder_dropout",
        "learning_rate",
    }


def test_the_default_of_every_shipped_hyperparameter_lies_in_its_range():
    search = read_search(ROOT / "hyperparameter_search.json")
    (experiment,) = load_experiments(ROOT / "parameters.json")
    for leaf in search.space.leaves:
        default = experiment.content
        for key in leaf.path:
            default = default[key]
        assert leaf.distribution.at(leaf.distribution.quantile(default)) == pytest.approx(default)


def test_a_search_space_is_all_that_is_needed():
    search = search_config(SMALLEST)
    assert (search.scheduler.name, search.searcher.name, search.analysis.metric) == ("ASHA", "random", "loss")
    assert (search.scheduled_metric, search.searched_metric, search.n_trials) == ("loss", "loss", 10)
    assert search.metrics == {"loss", "training_iteration"}
    assert "s.json has 1 invalid entry:\n  search_space: required, but absent" in refused_content({})


def refused_content(content):
    with pytest.raises(ParametersError) as caught:
        search_config(content, "s.json")
    return str(caught.value)


@pytest.fixture
def published(golden_dir):
    with pytest.warns(UserWarning) as told:
        search = read_search(golden_dir / "published_hyperparameter_search.json")
    return search, [str(one.message).partition("search.json: ")[2] for one in told]


def test_the_published_file_works_and_tells_what_was_corrected(published, golden_dir):
    search, told = published
    assert [one.partition(" ")[0].rstrip(":") for one in told] == [
        "setup._redis_password",
        "searcher.use_early_stopped_trials",
        "scheduler.metric",
        "searcher.metric",
        "search_space.model.reconstruction_loss.weight_clipping",
        "'loss'",
    ]
    assert "'loss' is weighed by model.wae_lambda, model.weighting_random_encoder" in told[-1]
    (experiment,) = load_experiments(golden_dir / "published_parameters.json")
    check_space(search.space, experiment.content)
    assert search.space.names == (
        "learning_rate",
        "wae_lambda",
        "weighting_random",
        "output_function",
        "latent_dim",
    )


def test_every_other_value_of_the_published_file_is_kept(published, golden_dir):
    search, _ = published
    content = json.loads((golden_dir / "published_hyperparameter_search.json").read_text())
    del content["setup"]["_redis_password"], content["searcher"]["use_early_stopped_trials"]
    del content["search_space"]["model"]["reconstruction_loss"]
    content["scheduler"] |= {"name": "ASHA", "metric": "loss"}
    content["searcher"] |= {"name": "HyperOpt", "metric": "loss"}
    dumped = search.model_dump()

    def contained(part, whole, path=""):
        if isinstance(part, dict):
            for key, value in part.items():
                contained(value, whole[key], f"{path}.{key}")
        else:
            assert part == whole, path

    contained(content, dumped)
    assert search.metrics == {"loss", "auc", "training_iteration", "reached_max_step", "early_stopped"}
    assert (search.scheduled_metric, search.searched_metric, search.analysis.metric) == ("loss", "loss", "auc")


def test_reading_changes_no_dictionary_of_the_user(golden_dir):
    content = json.loads((golden_dir / "published_hyperparameter_search.json").read_text())
    before = copy.deepcopy(content)
    with pytest.warns(UserWarning):
        search_config(content)
    assert content == before


def test_old_arguments_are_named_when_they_are_passed_over():
    content = {
        **SMALLEST,
        "setup": {"redis_address": "1.2.3.4:5", "webui_host": "x"},
        "searcher": {"name": "hyperopt", "random_state_seed": 7},
        "train_spec": {"local_dir": "~/ray", "stop": {"val_loss": 3}},
        "analysis": {"metric": "mmd"},
    }
    with pytest.warns(UserWarning) as told:
        search = search_config(content)
    assert len(told) == 5
    assert (search.setup.address, search.searcher.seed, search.train_spec.stop) == ("1.2.3.4:5", 7, {"loss": 3.0})


def test_losses_that_are_weighed_anew_in_every_trial_are_told():
    weighed = {"model": {"wae_lambda": {"type": "loguniform", "args": [0, 3]}}}
    with pytest.warns(UserWarning, match="'loss' is weighed by model.wae_lambda"):
        search_config({"search_space": weighed})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        search_config({"search_space": weighed, "analysis": {"metric": "mmd"}})
        search_config(SMALLEST)


def test_all_faults_are_told_at_once_with_suggestions():
    message = refused(
        setup={"adress": "auto"},
        scheduler={"name": "ASHA", "max_tt": 5, "grace_period": 0},
        searcher={"name": "optunna"},
        train_spec={"num_samples": 0, "resources_per_trial": {"cpus": 1}, "stop": {"auk": 1, "early_stopped": False}},
        search_space={"model": {"latent_dim": {"type": "quniform", "args": [4]}, "wae_lambda": 3}},
        analysis={"metric": "accuracy"},
        extra=1,
    )
    lines = message.split("\n  ")
    assert lines[0] == "s.json has 12 invalid entries:"
    expected = [
        "setup.adress: unknown key. Did you mean 'address'?",
        "scheduler.max_tt: unknown key. Did you mean 'max_t'?",
        "scheduler.grace_period: Input should be greater than 0",
        "searcher.name: unknown searcher 'optunna'. Did you mean 'Optuna'?",
        "train_spec.num_samples: Input should be greater than 0",
        "train_spec.resources_per_trial.cpus: unknown key. Did you mean 'cpu'?",
        "train_spec.stop.auk: no trial reports 'auk'. Did you mean 'auc'? Reported: loss, mmd",
        "train_spec.stop.early_stopped: is true or false; give true, or leave it out (received False)",
        "search_space.model.latent_dim: 'quniform' does not take these arguments",
        "search_space.model.wae_lambda: give an object {type, name, args}",
        "analysis.metric: no trial reports 'accuracy'",
        "extra: unknown key.",
    ]
    for line in expected:
        assert any(found.startswith(line) for found in lines[1:]), (line, lines)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"analysis": {"metric": "mmd", "mode": "max"}}, "mode is 'max', but of 'mmd' the minimum is best"),
        ({"scheduler": {"name": "ASHA", "mode": "max"}}, "mode is 'max', but of 'loss' the minimum is best"),
        ({"searcher": {"name": "Optuna", "metric": "auc", "mode": "max"}}, "searcher: mode is 'max', but of 'auc'"),
        ({"scheduler": {"name": "ASHA", "metric": "epochs"}}, "scheduler.metric: a search cannot aim at 'epochs'"),
        ({"scheduler": {"max_t": 3}}, "scheduler.name: a scheduler needs a 'name'. Known: ASHA, HyperBand"),
        ({"scheduler": 3}, "scheduler: give the name of a scheduler, or an object with its 'name' (received 3)"),
        ({"scheduler": {"name": "ASHA", "max_t": 2, "grace_period": 3}}, "grace_period 3 is longer than max_t 2"),
        (
            {"scheduler": {"name": "FIFO", "max_t": 2}},
            "scheduler.max_t: unknown key. Known: metric, mode, time_attr, name.",
        ),
        ({"scheduler": {"name": "os.system"}}, "unknown scheduler 'os.system'"),
        (
            {"scheduler": {"name": "ASHA", "time_attr": "os"}},
            "scheduler.time_attr: Input should be 'training_iteration'",
        ),
        ({"searcher": {"name": "grid"}}, "'grid' needs hyperparameters of the type 'grid_search'"),
        ({"setup": {"address": "auto", "num_cpus": 3}}, "setup: num_cpus and num_gpus are for a Ray started here"),
        ({"train_spec": {"stop": {"auc": True}}}, "train_spec.stop.auc: is a number; give a threshold (received True)"),
        ({"train_spec": {"stop": {"\ud800": 1}}}, r"s.json holds half a character: '\ud800'"),
        ({"train_spec": {"time_budget_s": float("nan")}}, "s.json holds what is no JSON: Out of range float"),
        ({"searcher": "\ud800"}, r"s.json holds half a character: '\ud800'"),
        ({"train_spec": {"name": "../x"}}, "train_spec.name: String should match"),
        ({"train_spec": {"config": {"report": ["x"]}}}, "train_spec.config.report.0: no trial reports 'x'"),
    ],
)
def test_what_cannot_be_meant_is_refused(sections, told):
    assert told in refused(**sections)


@pytest.mark.parametrize("searcher", ["Optuna", "HyperOpt"])
def test_a_grid_is_for_searchers_that_try_everything(searcher):
    space = {"model": {"latent_dim": {"type": "grid_search", "args": [[8, 16]], "name": "dim"}}}
    assert "'grid_search' of dim tries every value" in refused(search_space=space, searcher=searcher)
    assert search_config({"search_space": space, "searcher": "grid", "train_spec": {"num_samples": 3}}).n_trials == 6


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ray.tune.schedulers.AsyncHyperBandScheduler", "ASHA"),
        ("ray.tune.schedulers.ASHAScheduler", "ASHA"),
        ("ray.tune.schedulers.HyperBandScheduler", "HyperBand"),
        ("ray.tune.schedulers.MedianStoppingRule", "median"),
        ("ray.tune.schedulers.FIFOScheduler", "FIFO"),
        ("ray.tune.schedulers.PopulationBasedTraining", "PopulationBasedTraining"),
    ],
)
def test_spellings_of_ray_name_schedulers(spelling, name):
    assert search_config({**SMALLEST, "scheduler": spelling}).scheduler.name == name
    assert search_config({**SMALLEST, "scheduler": {"name": spelling}}).scheduler.name == name


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ray.tune.suggest.hyperopt.HyperOptSearch", "HyperOpt"),
        ("ray.tune.search.hyperopt.HyperOptSearch", "HyperOpt"),
        ("ray.tune.search.optuna.OptunaSearch", "Optuna"),
        ("ray.tune.search.basic_variant.BasicVariantGenerator", "random"),
    ],
)
def test_spellings_of_ray_name_searchers(spelling, name):
    assert search_config({**SMALLEST, "searcher": spelling}).searcher.name == name


def test_one_batch_to_check_need_be_no_list():
    search = search_config({**SMALLEST, "train_spec": {"config": {"batch_to_check": "a"}}})
    assert search.train_spec.config.batch_to_check == ["a"]


def test_changes_of_the_command_line_are_validated():
    search = search_config(SMALLEST)
    changed = search.with_changes({"train_spec": {"num_samples": 3}, "setup": {"address": "auto"}})
    assert (changed.train_spec.num_samples, changed.setup.address, changed.space) == (3, "auto", search.space)
    with pytest.raises(ParametersError, match="train_spec.num_samples: Input should be greater than 0"):
        search.with_changes({"train_spec": {"num_samples": 0}})


def test_a_dumped_search_is_read_again():
    search = search_config({**SMALLEST, "train_spec": {"stop": {"epochs": 3, "early_stopped": True}}})
    assert search_config(json.loads(search.model_dump_json())) == search


def test_the_json_schema_names_every_section_and_class():
    schema = json.loads(json.dumps(SearchConfig.model_json_schema()))
    assert schema["required"] == ["search_space"]
    assert set(schema["properties"]) == {"setup", "scheduler", "searcher", "train_spec", "search_space", "analysis"}
    assert {"type": "string"} in schema["properties"]["scheduler"]["anyOf"]
    assert {"ASHAConfig", "PopulationConfig", "HyperOptConfig", "OptunaConfig"} <= set(schema["$defs"])


def test_a_file_that_is_absent_or_nested_without_end(tmp_path):
    with pytest.raises(ParametersError, match="does not exist"):
        read_search(tmp_path / "absent.json")
    (tmp_path / "deep.json").write_text('{"search_space": ' + '{"a": ' * 900 + "1" + "}" * 901)
    with pytest.raises(ParametersError, match="deep"):
        read_search(tmp_path / "deep.json")
