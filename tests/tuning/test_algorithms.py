"""Schedulers and searchers as Ray Tune is given them."""

import itertools
import math
import sys

import numpy as np
import pytest
from scipy import stats

from discern.errors import OptionalDependencyError, ParametersError
from discern.tuning.algorithms import build_scheduler, build_searcher
from discern.tuning.config import search_config
from discern.tuning.searchers import Experience, RandomConfig, seed_of

SPACE = {
    "model": {
        "latent_dim": {"type": "quniform", "args": [4, 64, 4], "name": "dim"},
        "wae_lambda": {"type": "lognormal", "args": [2, 1], "name": "lambda, μ=2 (decades)"},
        "activation_fn": {"type": "choice", "args": [["mish", "relu", "gelu"]], "name": "activation"},
        "encoder": {"layers": {"type": "choice", "args": [[[32, 16], [16]]], "name": "layers"}},
    },
    "training": {"optimizer": {"learning_rate": {"type": "loguniform", "args": [-4, -2], "name": "rate"}}},
}
GRID = {
    "model": {
        "latent_dim": {"type": "grid_search", "args": [[4, 8, 12]], "name": "dim"},
        "output_fn": {"type": "grid_search", "args": [["softmax", None]], "name": "output"},
        "wae_lambda": {"type": "uniform", "args": [0, 1], "name": "lambda"},
    }
}
SEARCHERS = {
    "random": {"name": "random"},
    "Optuna": {"name": "Optuna", "n_startup_trials": 4},
    "Optuna together": {"name": "Optuna", "n_startup_trials": 4, "multivariate": True},
    "HyperOpt": {"name": "HyperOpt", "n_initial_points": 4},
}


def search(searcher="random", space=None, **sections):
    return search_config(
        {"search_space": space or SPACE, "searcher": searcher, "analysis": {"metric": "mmd"}, **sections}
    )


def score(sample):
    """Least for 32 dimensions, a rate of 0.001 and relu."""
    return abs(sample["dim"] - 32) / 32 + abs(math.log10(sample["rate"]) + 3) + (sample["activation"] != "relu")


def run(searcher, n, first_id=0):
    """Propose, judge and learn one trial after the other."""
    trials = []
    for number in range(first_id, first_id + n):
        sample = searcher.suggest(f"t{number}")
        trials.append((sample, score(sample)))
        searcher.on_trial_complete(f"t{number}", {"mmd": trials[-1][1]})
    return trials


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_resumed_search_proposes_what_the_first_would_have_proposed(name):
    config = search(SEARCHERS[name])
    whole = run(build_searcher(config, seed=3), 12)
    for n_before in (0, 2, 7):
        resumed = run(build_searcher(config, seed=3, finished=whole[:n_before]), 12 - n_before)
        assert resumed == whole[n_before:]
    assert len({repr(sample) for sample, _ in whole}) == 12
    assert run(build_searcher(config, seed=4), 2) != whole[:2]


@pytest.mark.parametrize("name", SEARCHERS)
def test_unfinished_trials_come_first_and_then_the_search_goes_on(name):
    config = search(SEARCHERS[name])
    lived = build_searcher(config, seed=1)
    finished = run(lived, 5)
    begun = [lived.suggest("a"), lived.suggest("b")]
    following = [lived.suggest("c"), lived.suggest("d")]
    resumed = build_searcher(config, seed=1, finished=finished, first=begun)
    assert [resumed.suggest(trial) for trial in "abcd"] == [*begun, *following]
    assert len({repr(sample) for sample in (*begun, *following)}) == 4


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name != "random"])
def test_estimators_find_better_samples_than_chance(name):
    means = {}
    for searcher in ("random", name):
        config = search(SEARCHERS[searcher])
        last = [value for seed in range(4) for _, value in run(build_searcher(config, seed=seed), 30)[15:]]
        means[searcher] = np.mean(last)
    assert means[name] < 0.75 * means["random"]


@pytest.mark.parametrize("name", SEARCHERS)
def test_first_proposals_have_the_distributions_of_the_space(name):
    config = search(SEARCHERS[name])
    drawn = [config.searcher.propose(config.space, Experience(number), 0) for number in range(300)]
    rates = [math.log10(sample["rate"]) for sample in drawn]
    assert stats.kstest(rates, stats.uniform(-4, 2).cdf).pvalue > 0.01
    weights = [math.log10(sample["lambda, μ=2 (decades)"]) for sample in drawn]
    assert stats.kstest(weights, stats.norm(2, 1).cdf).pvalue > 0.01
    names = [sample["activation"] for sample in drawn]
    assert stats.chisquare([names.count(one) for one in ("mish", "relu", "gelu")]).pvalue > 0.01
    assert {type(sample["dim"]) for sample in drawn} == {int}
    assert all(sample["layers"] in ([32, 16], [16]) for sample in drawn)


@pytest.mark.parametrize("name", SEARCHERS)
def test_failed_trials_and_those_without_a_number_teach_nothing(name):
    config = search(SEARCHERS[name])
    finished = run(build_searcher(config, seed=0), 6)
    other = {**finished[0][0], "dim": 64}
    outcomes = [(None, True), (None, False), ({"mmd": float("nan")}, False), ({"seconds": 3.0}, False)]
    proposals = []
    for result, error in outcomes:
        searcher = build_searcher(config, seed=0, finished=finished, first=[other])
        searcher.suggest("x")
        searcher.on_trial_complete("x", result, error=error)
        proposals.append(searcher.suggest("y"))
    resumed = build_searcher(config, seed=0, finished=[*finished, (other, None)])
    assert proposals == [resumed.suggest("y")] * 4


@pytest.mark.parametrize("name", ["Optuna", "HyperOpt"])
def test_the_value_of_a_finished_trial_matters(name):
    config = search(SEARCHERS[name])
    finished = run(build_searcher(config, seed=0), 8)
    turned = [(sample, -value) for sample, value in finished]
    expected = config.searcher.propose(config.space, Experience(8, finished), 0)
    assert config.searcher.propose(config.space, Experience(8, turned), 0) != expected


def test_no_more_trials_run_at_once_than_may():
    searcher = build_searcher(search({"name": "random", "max_concurrent": 2}))
    assert searcher.suggest("a") and searcher.suggest("b")
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", {"mmd": 1.0})
    assert searcher.suggest("c") is not None
    assert build_searcher(search(), max_concurrent=1).suggest("a") is not None


def test_a_searcher_is_saved_as_text(tmp_path):
    config = search(SEARCHERS["Optuna"])
    searcher = build_searcher(config, seed=2)
    run(searcher, 6)
    searcher.save(str(tmp_path / "state"))
    assert (tmp_path / "state").read_text().startswith("[[{")
    other = build_searcher(config, seed=2)
    other.restore(str(tmp_path / "state"))
    assert run(other, 2, 6) == run(searcher, 2, 6)


@pytest.mark.parametrize("name", ["grid", "random"])
def test_every_combination_of_a_grid_is_tried_num_samples_times(name):
    config = search(name, GRID, train_spec={"num_samples": 2})
    searcher = build_searcher(config)
    samples = [searcher.suggest(str(number)) for number in range(config.n_trials)]
    expected = list(itertools.product([4, 8, 12], ["softmax", None]))
    assert [(one["dim"], one["output"]) for one in samples] == expected * 2
    assert len({one["lambda"] for one in samples}) == 12


@pytest.mark.parametrize("package", ["optuna", "hyperopt"])
def test_an_absent_package_is_named_with_its_remedy(package, monkeypatch):
    config = search({"optuna": "Optuna", "hyperopt": "HyperOpt"}[package])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionalDependencyError, match=f"pip install {package}"):
        build_searcher(config)


def test_proposals_have_seeds_of_their_own():
    seeds = {seed_of(seed, number) for seed in range(20) for number in range(50)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**31
    drawn = [RandomConfig().propose(search().space, Experience(number), 0) for number in range(20)]
    assert len({sample["rate"] for sample in drawn}) == 20


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        ({"name": "ASHA", "max_t": 9, "grace_period": 3, "reduction_factor": 3}, "AsyncHyperBandScheduler"),
        ({"name": "HyperBand", "max_t": 9}, "HyperBandScheduler"),
        ({"name": "median", "metric": "auc"}, "MedianStoppingRule"),
        ({"name": "PBT", "perturbation_interval": 2}, "PopulationBasedTraining"),
    ],
)
def test_schedulers_know_their_metric_and_direction(scheduler, kind):
    built = build_scheduler(search(scheduler=scheduler))
    assert type(built).__name__ == kind
    assert (built.metric, built._mode) == (scheduler.get("metric", "mmd"), "min")
    assert built._time_attr == "training_iteration"


def test_fifo_compares_nothing():
    assert type(build_scheduler(search(scheduler="FIFO"))).__name__ == "FIFOScheduler"


def test_rungs_of_successive_halving_are_those_of_the_file():
    built = build_scheduler(search(scheduler={"name": "ASHA", "max_t": 8, "grace_period": 1, "reduction_factor": 2}))
    assert [milestone for milestone, _ in built._brackets[0]._rungs] == [8, 4, 2, 1]


def test_what_a_scheduler_cannot_do_is_an_error_of_the_parameters():
    fixed = {"model": {"latent_dim": SPACE["model"]["latent_dim"], "encoder": SPACE["model"]["encoder"]}}
    with pytest.raises(ParametersError, match="no hyperparameter of the search space can change while"):
        build_scheduler(search(space=fixed, scheduler="PBT"))


def test_a_population_varies_what_can_change_and_stays_in_the_space():
    from ray.tune.schedulers.pbt import _explore

    config = search(scheduler="PBT")
    built = build_scheduler(config, seed=0)
    assert set(built._hyperparam_mutations) == {"lambda, μ=2 (decades)", "rate"}
    sample = config.space.draw(np.random.default_rng(0))
    for rate in (1.05e-4, 9.9e-3, 1e-3):
        for _ in range(20):
            explored, _ = _explore(
                {**sample, "rate": rate}, built._hyperparam_mutations, 0.3, (1.2, 0.8), built._custom_explore_fn
            )
            assert 1e-4 <= explored["rate"] <= 1e-2
            assert {name: explored[name] for name in ("dim", "layers", "activation")} == {
                name: sample[name] for name in ("dim", "layers", "activation")
            }


def test_a_population_starts_from_random_samples_whatever_the_searcher():
    config = search("Optuna", scheduler="PBT", train_spec={"num_samples": 3})
    handed_on = build_searcher(config, seed=5)._generator.searcher
    drawn = build_searcher(search("random"), seed=5)
    assert [handed_on.suggest(name) for name in "abc"] == [drawn.suggest(name) for name in "abc"]
