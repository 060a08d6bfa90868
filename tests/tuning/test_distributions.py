"""Every distribution against NumPy, SciPy, HyperOpt and Ray."""

import math

import numpy as np
import pytest
from scipy import stats

from discern.registry import DISTRIBUTIONS
from discern.tuning.distributions import Choice, occurs

N = 4000
TEN = math.log(10)
SMOOTH = {
    "uniform": ([2.0, 5.0], stats.uniform(2, 3)),
    "loguniform": ([-4, -2], stats.loguniform(1e-4, 1e-2)),
    "normal": ([1.0, 0.5], stats.norm(1, 0.5)),
    "lognormal": ([-2, 0.5], stats.lognorm(s=0.5 * TEN, scale=0.01)),
    "randn": ([-3, 2], stats.norm(-3, 2)),
}
DISCRETE = {
    "randint": ([3, 9], range(3, 9)),
    "qrandint": ([4, 20, 4], range(4, 21, 4)),
    "choice": ([["a", "b", None]], ["a", "b", None]),
    "grid_search": ([[1, 2]], [1, 2]),
}
EXAMPLES = {
    **{name: arguments for name, (arguments, _) in {**SMOOTH, **DISCRETE}.items()},
    "quniform": [32, 140, 4],
    "qloguniform": [1, 3, 10],
    "qnormal": [0, 10, 5],
    "qlognormal": [2, 0.5, 1],
    "uniformint": [1, 6],
    "lograndint": [0, 3],
    "qrandn": [0, 1, 0.5],
}


def drawn(name, arguments=None, n=N):
    distribution = DISTRIBUTIONS.get(name)(*(EXAMPLES[name] if arguments is None else arguments))
    generator = np.random.default_rng(0)
    return [distribution.at(quantile) for quantile in generator.random(n)]


@pytest.mark.parametrize("name", SMOOTH)
def test_draws_have_the_distribution_of_scipy(name):
    arguments, expected = SMOOTH[name]
    assert stats.kstest(drawn(name, arguments), expected.cdf).pvalue > 0.01


@pytest.mark.parametrize("name", SMOOTH)
def test_quantiles_are_those_of_scipy(name):
    arguments, expected = SMOOTH[name]
    distribution = DISTRIBUTIONS.get(name)(*arguments)
    inner = np.linspace(0.01, 0.99, 21)
    np.testing.assert_allclose([distribution.at(one) for one in inner], expected.ppf(inner), rtol=1e-9)
    np.testing.assert_allclose([distribution.quantile(value) for value in expected.ppf(inner)], inner, rtol=1e-9)


@pytest.mark.parametrize("name", DISCRETE)
def test_all_values_are_equally_likely(name):
    arguments, values = DISCRETE[name]
    found = drawn(name, arguments)
    counts = [found.count(value) for value in values]
    assert sum(counts) == N
    assert stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "base", "step"),
    [
        ("quniform", stats.uniform(32, 108), 4),
        ("qloguniform", stats.loguniform(10, 1000), 10),
        ("qnormal", stats.norm(0, 10), 5),
        ("qlognormal", stats.lognorm(s=0.5 * TEN, scale=100), 1),
        ("qrandn", stats.norm(0, 1), 0.5),
        ("uniformint", stats.uniform(1, 5), 1),
    ],
)
def test_steps_round_the_smooth_distribution(name, base, step):
    found = np.array(drawn(name))
    np.testing.assert_array_equal(found, np.round(found / step) * step)
    values = np.unique(found)
    # P(value) is that of the smooth distribution between the middles to the neighbours
    expected = base.cdf(values + step / 2) - base.cdf(values - step / 2)
    counts = np.array([(found == value).sum() for value in values])
    frequent = expected * N > 10
    assert frequent.sum() > 3
    rest = [N - counts[frequent].sum() + 1e-9, N * (1 - expected[frequent].sum()) + 1e-9]
    merged = np.append(counts[frequent], rest[0]), np.append(expected[frequent] * N, rest[1])
    keep = merged[1] > 1
    assert (
        stats.chisquare(merged[0][keep], merged[1][keep] * merged[0][keep].sum() / merged[1][keep].sum()).pvalue > 0.01
    )


def test_whole_steps_give_whole_numbers_and_others_short_ones():
    assert {type(value) for value in drawn("quniform")} == {int}
    assert {type(value) for value in drawn("qlognormal")} == {int}
    assert set(drawn("quniform", [0, 0.7, 0.1])) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7}


def test_rounding_never_leaves_the_bounds():
    assert set(drawn("quniform", [1, 20, 3])) == {3, 6, 9, 12, 15, 18}
    assert set(drawn("quniform", [0.1, 0.35, 0.1])) == {0.1, 0.2, 0.3}
    for name, (low, high) in {"uniform": (0.1, 0.7), "loguniform": (-4, -2)}.items():
        distribution = DISTRIBUTIONS.get(name)(low, high)
        bounds = (low, high) if name == "uniform" else (1e-4, 1e-2)
        assert (distribution.at(0.0), distribution.at(1.0)) == bounds


def test_whole_numbers_uniform_in_their_logarithm():
    found = np.array(drawn("lograndint", [0, 3]))
    assert (found.min(), found.max() <= 999) == (1, True)
    assert DISTRIBUTIONS.get("lograndint")(0, 3).at(1.0) == 999
    edges = [1, 2, 5, 10, 100, 1000]
    counts = np.histogram(found, edges)[0]
    assert stats.chisquare(counts, N * np.diff(np.log(edges)) / np.log(1000)).pvalue > 0.01


def test_one_bound_of_randint_counts_from_zero():
    assert set(drawn("randint", [3])) == {0, 1, 2}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_value_is_found_again_at_its_quantile(name):
    distribution = DISTRIBUTIONS.get(name)(*EXAMPLES[name])
    for value in drawn(name, n=200):
        quantile = distribution.quantile(value)
        assert 0 <= quantile <= 1
        assert distribution.at(quantile) == (value if not isinstance(value, float) else pytest.approx(value))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in {"choice", "grid_search"}])
def test_values_ascend_with_their_quantiles(name):
    distribution = DISTRIBUTIONS.get(name)(*EXAMPLES[name])
    values = [distribution.at(quantile) for quantile in np.linspace(0, 1, 101)]
    assert values == sorted(values)
    assert values[0] < values[-1]
    assert all(math.isfinite(value) for value in values)
    assert (distribution.quantile(-1e300), distribution.quantile(1e300)) == (
        pytest.approx(distribution.quantile(values[0]), abs=1e-4),
        pytest.approx(distribution.quantile(values[-1]), abs=1e-4),
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform", [2, 5]),
        ("quniform", [32, 140, 4]),
        ("loguniform", [-4, -2]),
        ("qloguniform", [1, 3, 10]),
        ("normal", [1, 0.5]),
        ("qnormal", [0, 10, 5]),
        ("lognormal", [-2, 0.5]),
        ("qlognormal", [2, 0.5, 1]),
        ("randint", [3, 9]),
        ("uniformint", [1, 6]),
    ],
)
def test_draws_are_like_those_of_hyperopt_with_exponents_times_log_10(name, arguments):
    hyperopt = pytest.importorskip("hyperopt")
    theirs = [value * TEN for value in arguments[:2]] + arguments[2:] if "log" in name else arguments
    expression = getattr(hyperopt.hp, name)("x", *theirs)
    generator = np.random.default_rng(1)
    expected = [float(hyperopt.pyll.stochastic.sample(expression, rng=generator)) for _ in range(1500)]
    found = drawn(name, arguments, n=1500)
    assert stats.ks_2samp(found, expected).pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("uniform", [2, 5]),
        ("quniform", [32, 140, 4]),
        ("loguniform", [-4, -2]),
        ("qloguniform", [1, 3, 10]),
        ("randn", [1, 0.5]),
        ("qrandn", [0, 10, 5]),
        ("randint", [3, 9]),
        ("qrandint", [4, 20, 4]),
        ("qrandint", [4, 20, 1]),
        ("lograndint", [0, 3]),
    ],
)
def test_draws_are_like_those_of_ray(name, arguments):
    from ray import tune

    theirs = [10**value for value in arguments[:2]] + arguments[2:] if "log" in name else arguments
    expected = getattr(tune, name)(*theirs).sample(size=1500, random_state=1)
    found = drawn(name, arguments, n=1500)
    assert stats.ks_2samp(found, expected).pvalue > 0.01
    assert {type(value) for value in found} <= {int, float}


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("uniform", [5, 2], "smaller than the second"),
        ("uniform", [1, 1], "smaller than the second"),
        ("uniform", ["1", 2], "must be numbers"),
        ("uniform", [True, 2], "must be numbers"),
        ("uniform", [float("nan"), 2], "must be numbers"),
        ("uniform", [0, 10**400], "must be numbers"),
        ("uniform", [float("-inf"), 2], "must be numbers"),
        ("quniform", [1, 2, 0], "greater than 0"),
        ("quniform", [1, 2, 5], "fewer than two multiples"),
        ("quniform", [1, 2, 1e-300], "a step must be at least"),
        ("loguniform", [1e-4, 1e-2], r"exponents of ten: \[-4, -2\]"),
        ("loguniform", [100, 10000], "exponents of ten"),
        ("lognormal", [1000, 1], "of the exponent of ten"),
        ("lognormal", [0, 0], "greater than 0"),
        ("lognormal", [0, 50], "of the exponent of ten"),
        ("normal", [0, -1], "greater than 0"),
        ("randint", [0.5, 2], "whole numbers"),
        ("randint", [3, 3], "smaller than the second"),
        ("randint", [0], "smaller than the second"),
        ("qrandint", [1, 2, 7], "fewer than two multiples"),
        ("lograndint", [-3, 1], "whole numbers from 1"),
        ("lograndint", [0, 20], "whole numbers from 1"),
        ("choice", [[]], "list of the options"),
        ("choice", ["abc"], "list of the options"),
        ("choice", [[1, 2, 1]], "stands twice"),
    ],
)
def test_impossible_arguments_are_refused(name, arguments, told):
    with pytest.raises(ValueError, match=told):
        DISTRIBUTIONS.get(name)(*arguments)


def test_options_are_found_by_value():
    options = Choice(([256, 128], {"name": "HuberLoss"}, None))
    assert [options.at(options.quantile(value)) for value in options.options] == list(options.options)
    assert options.at(options.quantile("absent")) == [256, 128]


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_that_are_drawn_occur(name):
    distribution = DISTRIBUTIONS.get(name)(*EXAMPLES[name])
    assert all(occurs(distribution, value) for value in drawn(name, n=200))


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("uniform", [2.0, 5.0], 1.99),
        ("loguniform", [-4, -2], 0.02),
        ("loguniform", [-4, -2], 0),
        ("quniform", [32, 140, 4], 33),
        ("randint", [3, 9], 9),
        ("lograndint", [0, 3], 0.5),
        ("lognormal", [-2, 0.5], -1),
        ("choice", [["a", None]], "b"),
        ("uniform", [0, 2], True),
        ("uniform", [0, 2], "1"),
        ("uniform", [0, 2], None),
        ("randint", [3, 9], math.inf),
        ("normal", [0, 1], math.nan),
    ],
)
def test_other_values_do_not_occur(name, arguments, value):
    assert not occurs(DISTRIBUTIONS.get(name)(*arguments), value)
