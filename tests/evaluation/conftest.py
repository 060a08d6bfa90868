import numpy as np
import pandas as pd
import pytest

from discern.evaluation.marker_genes import marker_genes
from discern.evaluation.neighbourhoods import neighbourhood
from discern.evaluation.shown_cells import ShownCells, spread_within_types
from discern.evaluation.shown_decoding import Decoding
from discern.evaluation.table import Evaluation, Method
from discern.plotting.zero_calibration import ZeroCalibration

METHODS = (
    Method("reconstructed", "estimate", "What the decoder expects."),
    Method("zeros drawn", "estimate", "After drawing zeros."),
    Method("as measured", "baseline", "As they are."),
    Method("ComBat", "baseline", "Corrected."),
    Method("half", "ceiling", "Real cells."),
)


@pytest.fixture
def evaluation_of():
    """A function that returns an evaluation: values of each measure by method; others of the facts."""

    def build(scores, facts=None, notes=()):
        given = {"experiment": "run", "target": "good", "version": "1", "seed": 0, "types": ["B", "T"]}
        by_method = {one.name: {} for one in METHODS}
        for measure, values in scores.items():
            for method, value in values.items():
                by_method[method][measure] = value
        return Evaluation(given | (facts or {}), METHODS, by_method, list(notes))

    return build


@pytest.fixture
def shown_of():
    """A function that returns shown cells of two batches and types, made without a model; names can be chosen."""

    def build(batches=("good", "poor"), types=("B", "T"), genes=None, n_cells=120, with_zeros=True):
        rng = np.random.default_rng(0)
        batch_codes, type_codes = np.arange(n_cells) % 2, (np.arange(n_cells) // 2) % 2
        genes = list(genes or [f"GENE{number}" for number in range(20)])
        rates = rng.gamma(2.0, 1.0, (2, len(genes)))
        measured = np.log1p(rng.poisson(rates[type_codes])).astype(np.float32)
        reconstructed = np.log1p(rates[type_codes] * rng.gamma(20, 0.05, measured.shape)).astype(np.float32)
        of_target = batch_codes == 0
        probability = rng.uniform(size=measured.shape)
        calibration = ZeroCalibration()
        calibration.add(probability, rng.random(measured.shape) < probability)
        decoding = Decoding(
            rng.normal(size=(n_cells, 4)).astype(np.float32),
            reconstructed,
            np.expm1(reconstructed).sum(axis=1),
            1 - probability.mean(axis=0) if with_zeros else None,
            (measured == 0).mean(axis=0),
            calibration.table() if with_zeros else None,
        )
        spaces = {"as measured": measured, "latent codes": decoding.latent, "reconstructed": reconstructed}
        typed = None if types is None else pd.Series(pd.Categorical.from_codes(type_codes, list(types)))
        codes = type_codes if types is not None else np.full(n_cells, -1)
        return ShownCells(
            batches[0],
            pd.Series(pd.Categorical.from_codes(batch_codes, list(batches))),
            typed,
            rng.uniform(500, 5000, n_cells),
            1000.0,
            {name: points[:, :2] for name, points in spaces.items()},
            {name: neighbourhood(points, batch_codes, codes) for name, points in spaces.items()},
            decoding,
            spread_within_types(
                reconstructed[~of_target], measured[~of_target], codes[~of_target], batch_codes[~of_target]
            ),
            None if types is None else marker_genes(measured, reconstructed, codes, list(types), of_target, genes),
        )

    return build
