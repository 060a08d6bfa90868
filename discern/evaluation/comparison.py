"""Every method against real cells of the target batch, and against counts that were taken away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import sparse

from discern.errors import DataError, OptionalDependencyError
from discern.evaluation.baselines import smooth_within_batches
from discern.evaluation.component_space import fit_space
from discern.evaluation.findings import Findings
from discern.evaluation.hidden_truth import hidden_truth_scores
from discern.evaluation.methods import (
    FLAT,
    RECONSTRUCTED,
    SMOOTHED,
    SPLIT_HALF,
    TYPE_MEANS,
    baseline_estimates,
    model_estimates,
)
from discern.evaluation.other_estimates import OtherEstimate
from discern.evaluation.reconstruction import latent_codes, reconstruct_into
from discern.evaluation.sampling import choose_cells, choose_genes, type_codes
from discern.evaluation.scoring import Cells, Reference, distribution_scores, mixing_scores, reference_scores
from discern.evaluation.shared_genes import left_out, shared_genes
from discern.evaluation.table import Method
from discern.io.data import DISCERNData
from discern.io.matrix_rows import rows_at
from discern.io.processed_cells import ProcessedCells
from discern.keys import BATCH
from discern.models.contract import ModelFamily
from discern.projection.count_prior import CountPrior

_LATENT = "_latent"


@dataclass(frozen=True)
class Settings:
    """What is compared.

    Attributes:
        target: The target batch.
        labels: obs column of cell types; None: rows by type are left out.
        n_cells: Cells to look at, at most.
        seed: Drives every choice and draw.
        others: Estimates of other tools.
        prior: What the cells' own counts add to the model's estimates; they are left out when None.
    """

    target: str
    labels: str | None
    n_cells: int
    seed: int
    others: Sequence[OtherEstimate] = ()
    prior: CountPrior | None = None

    def types(
        self, obs: pd.DataFrame, parts: list[np.ndarray], findings: Findings, without: str
    ) -> tuple[np.ndarray, list[str]]:
        """Return the codes of all cells' types and their names; −1 and none without labels.

        Args:
            obs: Annotation of all cells.
            parts: Positions of the cells of either side.
            findings: Where a note goes when there is no type.
            without: What is left out then.
        """
        if self.labels is None:
            return np.full(len(obs), -1), []
        codes, names = type_codes(obs[self.labels], parts)
        if not names:
            findings.note(f"No type of obs['{self.labels}'] has 20 cells on both sides: {without} left out.")
        return codes, names


@dataclass(frozen=True)
class _Part:
    """Some of the processed cells, in memory.

    Attributes:
        data: Annotation, X and counts of all genes.
        cells: Their expression of the genes that are compared.
    """

    data: DISCERNData
    cells: Cells

    @classmethod
    def of(cls, cells: ProcessedCells, positions: np.ndarray, genes: np.ndarray, types: np.ndarray) -> "_Part":
        data = cells.at(positions)
        expression = sparse.csr_matrix(data.X)[:, genes].toarray().astype(np.float32, copy=False)
        batches = data.obs[BATCH].cat.codes.to_numpy(dtype=np.int64)
        return cls(data, Cells(expression, types[positions], batches))


def compare_with_reference(family: ModelFamily, cells: ProcessedCells, settings: Settings, findings: Findings) -> None:
    """Score every method on cells of other batches against real cells of the target batch.

    One half of the target's cells is compared with, baselines learn from the other half. Whether batches mix is judged
    among estimates: the target's cells take part as each method gives them.

    Args:
        family: A trained family that can encode and decode.
        cells: The processed cells it was trained on.
        settings: What is compared.
        findings: Where scores and notes go.

    Raises:
        DataError: Target or labels cannot be used, or a file to compare with; or the data sets share no gene.
    """
    rng = np.random.default_rng(settings.seed)
    batches = cells.obs[BATCH].astype(str).to_numpy()
    sample = choose_cells(batches, settings.target, settings.n_cells, rng)
    positions = [sample.others, sample.reference, sample.learnt]
    codes, names = settings.types(cells.obs, positions, findings, "rows by type are")
    genes = _genes(cells, positions, np.union1d(sample.reference, sample.learnt), settings.others, findings)
    others, real, learnt = (_Part.of(cells, part, genes, codes) for part in positions)
    space = fit_space(np.concatenate([real.cells.expression, learnt.cells.expression]))
    reference = Reference(real.cells, space, len(names))
    findings.facts |= {
        "n_cells": len(sample.others),
        "n_reference_cells": len(sample.reference),
        "n_genes": len(genes),
        "types": names,
    }

    given = _target_as_given(family, real, genes, reference, settings)

    def score(method: Method, estimate: Cells) -> None:
        scores = reference_scores(estimate, reference, settings.seed)
        scores |= distribution_scores(estimate, reference, settings.seed)
        if method not in (*FLAT, SPLIT_HALF):
            points, of_target = space.points(estimate.expression), given.get(method.name, reference.points)
            scores |= _integration(points, estimate, of_target, reference, settings.seed, findings)
        findings.add(method, scores)

    for method, expression in _estimates(family, others, learnt.cells, genes, settings):
        score(method, Cells(expression, others.cells.types, others.cells.batches))
    score(SPLIT_HALF, learnt.cells)
    latent = [latent_codes(family, part.data) for part in (others, real)]
    mixing = _integration(latent[0], others.cells, latent[1], reference, settings.seed, findings)
    findings.scores[RECONSTRUCTED.name] |= {name + _LATENT: value for name, value in mixing.items()}


def _estimates(
    family: ModelFamily, others: _Part, learnt: Cells, genes: np.ndarray, settings: Settings
) -> Iterator[tuple[Method, np.ndarray]]:
    estimates = reconstruct_into(family, others.data, settings.target, genes, settings.seed, settings.prior)
    yield from model_estimates(estimates)
    for other in settings.others:
        method = Method(other.name, "estimate", f"Read from {other.path.name}.")
        yield method, other.read(others.data.obs_names, list(others.data.var_names[genes]))
    yield from baseline_estimates(others.cells, learnt)


def _target_as_given(
    family: ModelFamily, real: _Part, genes: np.ndarray, reference: Reference, settings: Settings
) -> Mapping[str, np.ndarray]:
    """Return the target's cells in the space of the components as methods give them, by method; others change nothing.

    Beside cells as measured, estimates would lie apart for their lack of noise alone, however well batches mix.
    """
    points = reference.space.points
    estimates = reconstruct_into(family, real.data, settings.target, genes, settings.seed, settings.prior)
    given = {method.name: points(expression) for method, expression in model_estimates(estimates)}
    given[SMOOTHED.name] = points(smooth_within_batches(real.cells.expression, real.cells.batches))
    for other in settings.others:
        if other.holds(real.data.obs_names):
            given[other.name] = points(other.read(real.data.obs_names, list(real.data.var_names[genes])))
    return given


def _genes(
    cells: ProcessedCells,
    positions: Sequence[np.ndarray],
    of_target: np.ndarray,
    others: Sequence[OtherEstimate],
    findings: Findings,
) -> np.ndarray:
    """Return the positions of the genes that are compared, ascending.

    Args:
        cells: Processed cells.
        positions: Those that are compared, in parts.
        of_target: Those from the target batch, in which the genes vary, ascending.
        others: Estimates of other tools; genes that one of them lacks are left out.
        findings: Where a note goes on genes that not all data sets measured.
    """
    compared = np.concatenate(positions)
    allowed = shared_genes(cells, compared)
    if note := left_out(cells, compared, allowed):
        findings.note(note)
    for other in others:
        allowed &= cells.var_names.isin(other.genes())
        if not allowed.any():
            which = "of the processed data that all data sets measured" if note else "of the processed data"
            raise DataError(f"{other.path} has no gene {which}. Name its genes as they are there.")
    return choose_genes(rows_at(cells.expression, of_target), allowed)


def _integration(
    points: np.ndarray, estimate: Cells, real: np.ndarray, reference: Reference, seed: int, findings: Findings
) -> dict[str, float]:
    try:
        return mixing_scores(points, estimate, real, reference, seed)
    except OptionalDependencyError as error:
        findings.note(str(error))
        return {}


def compare_with_hidden(
    family: ModelFamily,
    cells: ProcessedCells,
    batch: str,
    hidden: Callable[[pd.Index, pd.Index], sparse.csr_matrix],
    settings: Settings,
    findings: Findings,
) -> None:
    """Score every method on thinned cells against the counts that were taken from them.

    Args:
        family: A family trained on thinned cells.
        cells: The processed cells it was trained on.
        batch: Name of the batch of the thinned cells.
        hidden: Gives the counts taken from cells, by names of cells and genes, (n_cells, n_genes).
        settings: What is compared; the target is the batch whose other half was thinned.
        findings: Where scores and notes go.

    Raises:
        DataError: No cell of one side is left, or the data sets share no gene.
    """
    rng = np.random.default_rng(settings.seed)
    batches = cells.obs[BATCH].astype(str).to_numpy()
    positions = [
        np.sort(rng.permutation(np.flatnonzero(batches == name))[: settings.n_cells // 2])
        for name in (batch, settings.target)
    ]
    if not min(map(len, positions)):
        raise DataError(f"No cell of '{batch}' or '{settings.target}' is left after thinning. Thin less: --thin 0.5.")
    codes, _ = settings.types(cells.obs, positions, findings, f"'{TYPE_MEANS.name}' of hidden counts is")
    genes = _genes(cells, positions, positions[1], (), findings)
    thinned, learnt = (_Part.of(cells, part, genes, codes) for part in positions)
    taken = hidden(thinned.data.obs_names, thinned.data.var_names)
    truth = _log_expression(taken, cells.transform.library_size)[:, genes]
    findings.facts |= {"n_thinned_cells": len(positions[0])}
    for method, expression in _estimates(family, thinned, learnt.cells, genes, replace(settings, others=())):
        findings.add(method, hidden_truth_scores(expression, truth))


def _log_expression(counts: sparse.csr_matrix, library_size: float | None) -> np.ndarray:
    dense = counts.toarray().astype(np.float32)
    if library_size is not None:
        dense *= library_size / np.maximum(dense.sum(axis=1, keepdims=True), 1)
    return np.log1p(dense, out=dense)
