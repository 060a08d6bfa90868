import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold

from discern.errors import DataError, ShapeError
from discern.evaluation.distribution import classifier_auc, maximal_mmd


def normal(n_cells, centre=0.0, seed=0):
    return np.random.default_rng(seed).normal(centre, 1.0, (n_cells, 4))


def slow_mmd(x, y, width):
    def kernel(a, b, scale):
        return np.array([[np.exp(-((p - q) ** 2).sum() / (2 * width * scale)) for q in b] for p in a])

    def within(a, scale):
        return (kernel(a, a, scale).sum() - len(a)) / (len(a) * (len(a) - 1))

    scales = np.linspace(0.8, 1.5, 23)
    return max(within(x, s) + within(y, s) - 2 * kernel(x, y, s).mean() for s in scales)


def test_mmd_against_all_pairs():
    x, y = normal(12), normal(9, 1.0, seed=1)
    assert maximal_mmd(x, y, 3.0) == pytest.approx(slow_mmd(x, y, 3.0), rel=1e-5)


def test_mmd_against_the_published_program(golden_dir):
    with np.load(golden_dir / "mmd_loss.npz") as golden:
        found = maximal_mmd(golden["x"], golden["y"], float(golden["sigma"]))
        assert found == pytest.approx(float(golden["mmd_c"]), rel=1e-5)


def test_mmd_grows_with_the_distance():
    same, near, far = (maximal_mmd(normal(200), normal(200, centre, seed=1), 4.0) for centre in (0.0, 0.5, 2.0))
    assert abs(same) < 0.01
    assert 0.01 < near < far


def slow_auc(cells, others, rng):
    """The share of pairs, one cell of each set, that probabilities of an unseen fold order rightly."""
    folds_seed, forest_seed = rng.integers(2**31, size=2)
    features = np.concatenate([cells, others])
    is_other = np.array([0] * len(cells) + [1] * len(others))
    found = []
    for seen, unseen in StratifiedKFold(5, shuffle=True, random_state=int(folds_seed)).split(features, is_other):
        forest = RandomForestClassifier(100, max_depth=3, min_samples_leaf=0.1, random_state=int(forest_seed))
        score = forest.fit(features[seen], is_other[seen]).predict_proba(features[unseen])[:, 1]
        pairs = [(a > b) + 0.5 * (a == b) for a in score[is_other[unseen] == 1] for b in score[is_other[unseen] == 0]]
        found.append(np.mean(pairs))
    return np.mean(found)


def test_auc_against_counted_pairs():
    cells, others = normal(40), normal(30, 0.6, seed=1)
    found = classifier_auc(cells, others, np.random.default_rng(3))
    assert found == pytest.approx(slow_auc(cells, others, np.random.default_rng(3)), abs=1e-12)
    assert 0.6 < found < 0.95


def test_auc_of_known_sets():
    assert classifier_auc(normal(150), normal(150, 9.0, seed=1), np.random.default_rng(0)) == 1.0
    assert classifier_auc(normal(150), normal(150, seed=1), np.random.default_rng(0)) == pytest.approx(0.5, abs=0.1)


def test_auc_follows_the_seed():
    cells, others = normal(40), normal(40, 0.3, seed=1)
    first, again, other = (classifier_auc(cells, others, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again != other


def test_fewer_cells_than_folds_are_refused():
    with pytest.raises(DataError, match="each set needs at least 5 cells; received 4 and 30"):
        classifier_auc(normal(4), normal(30), np.random.default_rng(0))


def test_sets_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"\(6, 3\), \(6, 4\)"):
        classifier_auc(normal(6)[:, :3], normal(6), np.random.default_rng(0))
    broken = normal(6)
    broken[2, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        classifier_auc(broken, normal(6), np.random.default_rng(0))
