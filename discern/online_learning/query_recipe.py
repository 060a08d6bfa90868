"""The recipe for new cells: everything that was learned from the reference stays as it is."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData

from discern import keys
from discern.errors import DataError
from discern.io.data import DISCERNData
from discern.io.processed_config import library_size_normalisation
from discern.online_learning.gene_alignment import GeneAlignment, align_genes
from discern.preprocessing.config import ScaleConfig
from discern.preprocessing.filtering import count_genes_per_cell, require_every_batch
from discern.preprocessing.recipe import BATCH_SIZE, WAERecipe
from discern.preprocessing.row_chunks import row_chunks

log = logging.getLogger(__name__)


class OnlineWAERecipe(WAERecipe):
    """Preprocess new cells (the query) for a model that was trained on a reference.

    Genes, mean and standard deviation of every gene, principal components, library size and MMD kernel are those of
    the reference. Only cells are filtered. Genes of the reference that the query lacks get zero counts: records hold
    raw counts, which cannot say "not measured".

    Attributes:
        reference: The processed cells of the reference.
        alignment: Which genes of the reference the query has, lacks and has beyond them.
    """

    def __init__(self, reference_adata: AnnData, *args: Any, **kwargs: Any):
        """Read the query and bring its genes into the order of the reference's.

        Args:
            reference_adata: The processed data the model was trained on. They stay as they are.
            *args: Arguments of :class:`~discern.preprocessing.recipe.WAERecipe`. Several inputs are first joined by
                the genes they share.
            **kwargs: The same.

        Raises:
            DataError: The reference is not processed, or the query cannot be used or has too few of its genes.
        """
        self.reference = _processed(reference_adata)
        super().__init__(*args, **kwargs)
        self.alignment: GeneAlignment = align_genes(self.reference.var, self.sc_raw.var)
        self.sc_raw.obs[keys.N_GENES] = count_genes_per_cell(row_chunks(self.sc_raw.X))
        self._adopt_reference()
        self._report("alignment of the genes")

    def _adopt_reference(self) -> None:
        reference = self.reference
        aligned = AnnData(
            self.alignment.apply(self.sc_raw.X),
            obs=self.sc_raw.obs,
            var=reference.var.copy(),
            obsm=dict(self.sc_raw.obsm),
            varm={keys.PCS: reference.varm[keys.PCS]},
            uns=dict(self.sc_raw.uns),
        )
        if keys.FIXED_SCALING in reference.uns:
            aligned.uns[keys.FIXED_SCALING] = dict(reference.uns[keys.FIXED_SCALING])
        self.sc_raw = DISCERNData(aligned, self.sc_raw.batch_size, self.sc_raw.cachefile)
        if "mmd_kernel" in reference.config:
            self._record(mmd_kernel=reference.config["mmd_kernel"])

    def filtering(self, min_genes: int, min_cells: int = 0) -> None:
        """Remove cells with fewer than ``min_genes`` genes; the genes stay those of the reference.

        Args:
            min_genes: Fewest genes of a cell, counted over all genes of the query.
            min_cells: Not used.

        Raises:
            DataError: Nothing of one batch is left.
        """
        kept = self.sc_raw.obs[keys.N_GENES].to_numpy() >= min_genes
        require_every_batch(kept, self._codes, self._batches, f"has {min_genes} genes or more")
        self._keep(kept)
        self._report("filtering")

    def scaling(self, scale: ScaleConfig | Mapping[str, Any] | float | None = None) -> None:
        """Normalise every cell to the library size of the reference and keep the counts.

        Args:
            scale: Not used.
        """
        super().scaling(library_size_normalisation(self.reference.config))

    def split(self, split_seed: int, valid_cells_ratio: float, mmd_cells_ratio: float = 1.0, **how: Any) -> None:
        """Choose validation and test cells of the query as ``process`` does, then fix the batch labels.

        Args:
            split_seed: As of :meth:`WAERecipe.split`, like all others.
            valid_cells_ratio: The same.
            mmd_cells_ratio: The same.
            **how: The same.

        Raises:
            DataError: A batch would get no validation cell.
        """
        # batches of the reference without a cell here need no validation cell
        self.sc_raw.obs[keys.BATCH] = self.sc_raw.obs[keys.BATCH].cat.remove_unused_categories()
        super().split(split_seed, valid_cells_ratio, mmd_cells_ratio, **how)
        self.fix_batch_labels()

    def fix_batch_labels(self) -> None:
        """Give batches of the reference their place among the categories and append the new ones."""
        known = self.reference.batches
        present = [str(name) for name in self.sc_raw.obs[keys.BATCH].unique()]
        new = [name for name in self._batches if name in present and name not in known]
        again = [name for name in known if name in present]
        self.sc_raw.obs[keys.BATCH] = self.sc_raw.obs[keys.BATCH].cat.set_categories([*known, *new])
        self._record(batch_key={str(code): name for code, name in enumerate(self._batches)})
        log.info("New batches: %s", ", ".join(new) or "none")
        if again:
            log.warning(
                "Batch %s is known: its cells are taken as more cells of it. Rename it where it is another one.",
                ", ".join(again),
            )

    def projection_pca(self, pcs: int = 25) -> None:
        """Keep mean, standard deviation and components of the reference.

        Args:
            pcs: Not used.
        """

    def kernel_mmd(self, neighbors_mmd: int = 50, no_cells_mmd: int = 2000) -> None:
        """Keep the kernel of the reference, which belongs to its components.

        Args:
            neighbors_mmd: Not used.
            no_cells_mmd: Not used.
        """

    def highly_variable_genes(self) -> None:
        """Keep the highly variable genes of the reference."""

    def mean_var_scaling(self) -> None:
        """Keep the fixed scaling of the reference."""


def _processed(reference: AnnData) -> DISCERNData:
    if not isinstance(reference, AnnData):
        raise DataError(f"reference_adata must be the processed AnnData of a reference, received {type(reference)}.")
    missing = [
        f"{place}['{key}']"
        for place, key in (
            ("uns", keys.DISCERN),
            ("obs", keys.BATCH),
            ("var", keys.MEAN_SCALING),
            ("var", keys.VAR_SCALING),
            ("varm", keys.PCS),
        )
        if key not in getattr(reference, place)
    ]
    if missing:
        raise DataError(
            f"The reference was not preprocessed: {', '.join(missing)} missing. Run `discern process` first."
        )
    data = DISCERNData(reference, BATCH_SIZE)
    if not np.all(data.var_names == data.var_names.unique()):
        raise DataError("Gene names of the reference occur more than once.")
    return data
