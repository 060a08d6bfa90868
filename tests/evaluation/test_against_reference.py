from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from discern.evaluation.against_reference import (
    batch_differences,
    differences_between_types,
    gene_gene_agreement,
    mean_variance_distance,
    shared_types,
    spurious_differences,
    type_mean_correlation,
    zero_fraction_error,
)
from discern.evaluation.type_moments import type_moments

N_TYPES, N_GENES = 3, 60


def cells(seed, shift=0.0, n_cells=40, strength=1.0):
    """Cells of three types whose genes differ in mean, the same for every seed; ``shift`` moves genes of all types."""
    centres = 3 + strength * np.random.default_rng(99).normal(0, 1, (N_TYPES, N_GENES))
    types = np.repeat(np.arange(N_TYPES), n_cells)
    noise = np.random.default_rng(seed).normal(0, 0.5, (len(types), N_GENES))
    moved = shift * np.random.default_rng(98).normal(0, 1, N_GENES)
    return np.maximum(centres[types] + moved + noise, 0), types


def moments(seed, **changes):
    return type_moments(*cells(seed, **changes), N_TYPES)


def test_types_with_few_cells_do_not_count():
    expression, types = cells(0)
    few = np.r_[0:40, 40:59, 80:120]  # 19 cells of the second type
    found = type_moments(expression[few], types[few], N_TYPES)
    assert list(shared_types(moments(1), found)) == [0, 2]


def test_type_means_against_scipy():
    estimate, reference = moments(0, shift=0.5), moments(1)
    overall = reference.mean.mean(axis=0)
    slow = [stats.pearsonr(estimate.mean[i] - overall, reference.mean[i] - overall).statistic for i in range(N_TYPES)]
    assert type_mean_correlation(estimate, reference) == pytest.approx(np.mean(slow))


def test_what_is_left_of_a_batch_effect_lowers_the_correlation_of_type_means():
    reference = moments(1)
    found = [type_mean_correlation(moments(0, shift=shift), reference) for shift in (0.0, 0.5, 3.0)]
    assert found[0] > 0.98
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.5


def test_differences_between_types_against_scipy():
    first, second = cells(0, shift=0.5), cells(1)
    found = differences_between_types(type_moments(*first, N_TYPES), type_moments(*second, N_TYPES))
    slow = []
    for a, b in combinations(range(N_TYPES), 2):
        changes = [x[t == a].mean(0) - x[t == b].mean(0) for x, t in (first, second)]
        t = [stats.ttest_ind(x[y == a], x[y == b], equal_var=False).statistic for x, y in (first, second)]
        clear = [gene for gene in range(N_GENES) if abs(t[1][gene]) >= 3]
        same = np.mean([changes[0][gene] * changes[1][gene] > 0 for gene in clear])
        top = [sorted(range(N_GENES), key=lambda gene, one=one: -abs(one[gene]))[:12] for one in t]  # a fifth of 60
        overlap = len(set(top[0]) & set(top[1])) / 12
        slow.append([stats.pearsonr(*changes).statistic, stats.pearsonr(*t).statistic, same, overlap])
    assert list(found.values()) == pytest.approx(list(np.mean(slow, axis=0)))


def test_differences_of_the_reference_with_itself_agree_wholly():
    found = differences_between_types(moments(1), moments(1))
    assert list(found.values()) == pytest.approx([1, 1, 1, 1])


def test_turned_differences_disagree():
    reference = moments(1)
    turned = type_moments(6 - cells(1)[0], cells(1)[1], N_TYPES)
    found = differences_between_types(turned, reference)
    assert found["fold_change_correlation"] == pytest.approx(-1)
    assert found["sign_agreement"] == 0


def test_means_without_cells_have_changes_but_no_t():
    reference = moments(1)
    types = cells(1)[1]
    found = differences_between_types(type_moments(reference.mean[types], types, N_TYPES), reference)
    assert found["fold_change_correlation"] == pytest.approx(1)
    assert np.isnan([found["t_correlation"], found["top_gene_overlap"]]).all()


def test_one_mean_for_all_types_tells_of_no_difference():
    same = type_moments(np.tile(moments(1).mean[0], (120, 1)), cells(1)[1], N_TYPES)
    assert np.isnan(list(differences_between_types(same, moments(1)).values())).all()


def test_one_type_has_nothing_to_differ_from():
    expression, types = cells(0, n_cells=30)
    one = type_moments(expression, np.where(types == 0, 0, -1), N_TYPES)
    assert np.isnan(type_mean_correlation(one, one))
    assert np.isnan(list(differences_between_types(one, one).values())).all()


def modules(seed, n_genes=30):
    """Cells in which genes move together in three groups."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(0, 1, (80, 3)), n_genes // 3, axis=1) + rng.normal(0, 1, (80, n_genes))


def test_gene_gene_agreement_against_scipy():
    first, second = modules(0), modules(1)
    pairs = list(combinations(range(30), 2))
    slow = [[stats.pearsonr(x[:, a], x[:, b]).statistic for a, b in pairs] for x in (first, second)]
    assert gene_gene_agreement(first, second) == pytest.approx(stats.pearsonr(*slow).statistic)
    assert gene_gene_agreement(first, second) > 0.7


def test_genes_without_order_do_not_agree():
    first = modules(0)
    shuffled = np.random.default_rng(0).permuted(first, axis=0)
    assert abs(gene_gene_agreement(shuffled, modules(1))) < 0.15


def test_pairs_with_a_constant_gene_are_left_out():
    first, second = modules(0), modules(1)
    constant = first.copy()
    constant[:, 4] = 2.0
    kept = np.arange(30) != 4
    assert gene_gene_agreement(constant, second) == pytest.approx(gene_gene_agreement(first[:, kept], second[:, kept]))
    assert np.isnan(gene_gene_agreement(np.ones((30, 30)), second))


def test_zero_fractions():
    reference = np.array([[0, 1], [0, 1], [1, 1], [1, 0]])
    estimate = np.array([[1, 0], [1, 0], [0, 0], [1, 0]])
    assert zero_fraction_error(estimate, reference) == pytest.approx((0.25 + 0.75) / 2)
    assert zero_fraction_error(reference, reference) == 0


def test_a_tenth_of_the_variance_is_one_power_of_ten():
    expression = np.random.default_rng(0).gamma(2.0, 1.0, (300, 100))
    mean = expression.mean(axis=0)
    smooth = mean + (expression - mean) / np.sqrt(10)
    of_all = [type_moments(one, np.zeros(300, int), 1) for one in (expression, smooth)]
    assert mean_variance_distance(of_all[1], of_all[0], 0) == pytest.approx(1.0)
    assert mean_variance_distance(of_all[0], of_all[0], 0) == 0


def test_mean_variance_distance_against_a_loop():
    estimate, reference = moments(0, shift=1.0), moments(1)
    means = np.sort(reference.mean[0])
    bounds = [np.quantile(means, share) for share in np.arange(1, 20) / 20]

    def curve(found):
        groups = [[] for _ in range(20)]
        for mean, variance in zip(found.mean[0], found.variance[0], strict=True):
            groups[sum(bound <= mean for bound in bounds)].append(np.log10(variance))
        return [np.median(group) if group else np.nan for group in groups]

    slow = np.nanmean(np.abs(np.subtract(curve(estimate), curve(reference))))
    assert mean_variance_distance(estimate, reference, 0) == pytest.approx(slow)


def test_batch_differences_count_the_genes_that_moved():
    rng = np.random.default_rng(0)
    reference = type_moments(rng.normal(5, 1, (100, 200)), np.zeros(100, int), 1)
    estimate = rng.normal(5, 1, (100, 200))
    assert batch_differences(type_moments(estimate, np.zeros(100, int), 1), reference, 0) < 0.02
    estimate[:, :50] += 3.0
    assert batch_differences(type_moments(estimate, np.zeros(100, int), 1), reference, 0) == pytest.approx(
        0.25, abs=0.03
    )


def test_halves_differ_only_where_something_sets_them_apart():
    rng = np.random.default_rng(0)
    expression = rng.normal(5, 1, (100, 200))
    assert spurious_differences(expression, np.random.default_rng(1)) < 0.02
    half = np.random.default_rng(1).permutation(100)[:50]  # the halves that the same seed chooses
    expression[half] += 2.0
    assert spurious_differences(expression, np.random.default_rng(1)) > 0.95
