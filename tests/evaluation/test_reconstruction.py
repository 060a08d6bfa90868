import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from discern.errors import DiscernError
from discern.evaluation.reconstruction import latent_codes, reconstruct_into
from discern.io.data import DISCERNData
from discern.models.contract import DataDescription, Decoded, Latent

GENES = np.array([4, 1])


class Family:
    """Codes are the first two genes; decoding repeats them and adds ten times the number of the batch."""

    name = "repeating"
    output_space = "log1p of library-size-normalised counts"
    certain = False

    def __init__(self, data):
        self.data = DataDescription(data.n_vars, ("high", "third", "low"), 12, data.transform)

    def transform(self):
        return self.data.transform

    def encode(self, expression, source_batch):
        return Latent(expression[:, :2] + source_batch[:, :1])

    def decode(self, latent_mean, target_batch):
        expression = np.tile(latent_mean, 3) + 10 * target_batch.argmax(axis=1)[:, None]
        return Decoded(expression, None if self.certain else np.full_like(expression, 0.5))


@pytest.fixture
def data():
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(3.0, (12, 6)).astype(np.float32))
    obs = pd.DataFrame(
        {"batch": pd.Categorical(["low", "high"] * 6), "n_counts": np.asarray(counts.sum(axis=1)).ravel()},
        index=[f"cell{number}" for number in range(12)],
    )
    data = DISCERNData(AnnData(np.log1p(counts), obs=obs), batch_size=5)
    data.layers["counts"] = counts
    data.config = {"scale": {"LSN": 100}}
    return data


def expected_codes(data):
    counts = data.layers["counts"].toarray()
    normalised = np.log1p(100 * counts / counts.sum(axis=1, keepdims=True))
    return normalised[:, :2] + (data.obs["batch"] == "high").to_numpy()[:, None]


@pytest.mark.parametrize(("target", "number"), [("high", 0), ("low", 2), ("third", 1)])
def test_cells_are_decoded_into_the_batch_of_that_name(data, target, number):
    found = reconstruct_into(Family(data), data, target, GENES, 0)
    codes = expected_codes(data)
    np.testing.assert_allclose(found.latent, codes, rtol=1e-5)
    np.testing.assert_allclose(found.expression, codes[:, [0, 1]] + 10 * number, rtol=1e-5)
    np.testing.assert_allclose(latent_codes(Family(data), data), codes, rtol=1e-5)


def test_every_minibatch_has_as_many_rows(data, monkeypatch):
    family, sizes = Family(data), []
    decode = family.decode
    monkeypatch.setattr(family, "decode", lambda latent, batch: (sizes.append(len(latent)), decode(latent, batch))[1])
    reconstruct_into(family, data, "low", GENES, 0)
    assert sizes == [5, 5, 5]  # 12 cells


def test_zeros_are_drawn_by_the_seed(data):
    first, again, other = (reconstruct_into(Family(data), data, "low", GENES, seed) for seed in (1, 1, 2))
    drawn = first.drawn.toarray()
    np.testing.assert_array_equal(drawn, again.drawn.toarray())
    assert (drawn != other.drawn.toarray()).any()
    assert 0 < (drawn == 0).mean() < 1
    np.testing.assert_allclose(drawn[drawn > 0], first.expression[drawn > 0], rtol=1e-6)


def test_a_family_without_probabilities_draws_nothing(data):
    family = Family(data)
    family.certain = True
    assert reconstruct_into(family, data, "low", GENES, 0).drawn is None


def test_another_space_than_log_expression_is_refused(data):
    family = Family(data)
    family.output_space = "rates"
    with pytest.raises(DiscernError, match="family 'repeating' gives rates"):
        reconstruct_into(family, data, "low", GENES, 0)
