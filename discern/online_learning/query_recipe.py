"""The recipe for new cells: everything that was learned from the reference stays as it is."""

import logging
from collections.abc import Mapping
from functools import partial, reduce
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from discern import keys
from discern.errors import ParametersError
from discern.io.cell_store import CellStore, store_inputs
from discern.io.merging import JoinedAnnotation, join_onto, with_unique_names
from discern.io.naming import free_names
from discern.io.processed_config import library_size_normalisation
from discern.io.raw_input import RawInput
from discern.io.row_readers import RowsInMemory
from discern.online_learning.gene_alignment import MIN_OVERLAP, GeneAlignment, align_genes
from discern.online_learning.gene_report import GeneReport
from discern.online_learning.known_cells import (
    KnownBatch,
    cells_again,
    describe_cells_again,
    known_batches,
    refuse_cells_again,
)
from discern.online_learning.query_split import split_query
from discern.online_learning.reference import data_sets_of, processed_reference
from discern.preprocessing.cells import CellsOnDisk, OnDisk, Space
from discern.preprocessing.config import ScaleConfig, SplitConfig
from discern.preprocessing.filtering import SeenCounts, count_seen, heavy_losses, require_every_batch
from discern.preprocessing.recipe import WAERecipe

log = logging.getLogger(__name__)


class OnlineWAERecipe(WAERecipe):
    """Preprocess new cells (the query) for a model that was trained on a reference.

    Genes, mean and standard deviation of every gene, principal components, library size and MMD kernel are those of
    the reference. Only cells are filtered. Genes of the reference that a data set of the query lacks get no count, and
    ``varm["measured"]`` says so: a table of genes by data sets, without a column for data sets that have all genes, and
    absent when all have.

    Attributes:
        reference: The processed cells of the reference, or their annotation alone.
        alignments: Where the genes of the reference are in each data set of the query.
        gene_report: The same in words and numbers, and as a table of genes.
        known_batches: Batches of the query that the reference has too; from :meth:`fix_batch_labels` on.
    """

    def __init__(self, reference_adata: AnnData, *args: Any, min_gene_overlap: float = MIN_OVERLAP, **kwargs: Any):
        """Read the query and bring its genes into the order of the reference's.

        Args:
            reference_adata: The processed data the model was trained on; they stay as they are. Annotation is enough,
                see :func:`~discern.online_learning.reference.read_reference`; its cells may be elsewhere.
            *args: Arguments of :class:`~discern.preprocessing.recipe.WAERecipe`. Each of several inputs has genes of its
                own.
            min_gene_overlap: Smallest share of the reference's genes that each input must have.
            **kwargs: As ``args``.

        Raises:
            ParametersError: ``min_gene_overlap`` is no share.
            DataError: The reference is not processed, or the query cannot be used or has too few of its genes.
        """
        if not 0 <= min_gene_overlap <= 1:
            raise ParametersError(
                f"min_gene_overlap {min_gene_overlap:g} is no share of the genes: give a number from 0 to 1."
            )
        self.reference = processed_reference(reference_adata)
        self.alignments: dict[str, GeneAlignment] = {}
        self.known_batches: list[KnownBatch] = []
        self._min_gene_overlap = min_gene_overlap
        self._names_given = pd.Series(dtype=object)
        super().__init__(*args, **kwargs)
        if "mmd_kernel" in self.reference.config:
            self._record(mmd_kernel=self.reference.config["mmd_kernel"])

    @property
    def gene_report(self) -> GeneReport:
        """Which genes of the reference every data set of the query has, lacks and has beyond them."""
        return GeneReport(tuple(one.genes for one in self.alignments.values()))

    @property
    def cells_per_gene(self) -> np.ndarray:
        """In how many cells of the query each gene is seen, int64 (n_genes,)."""
        count = partial(count_seen, min_genes=0, n_genes=self.sc_raw.n_vars)
        seen = self._cells.runs(count, Space.COUNTS, "Counting cells of genes, piece")
        return reduce(SeenCounts.merge, seen).cells_per_gene

    def stored(self, place: OnDisk) -> CellStore:
        """Return the raw counts of the query on disk; those in memory are written into a new folder of ``place``."""
        if isinstance(self._cells, CellsOnDisk):
            return self._cells.store
        data = self.sc_raw
        raw = RawInput(RowsInMemory(data.layers.get(keys.COUNTS, data.X)), data.obs, data.var)
        return store_inputs([raw], [np.arange(data.n_vars)], place.folder / "added", place.workers).store

    def _join(self, inputs: Mapping[str, RawInput], batch_columns: Mapping[str, str | None] | None) -> JoinedAnnotation:
        """Join the inputs' annotation onto the genes of the reference, each as a data set of its own."""
        var = self.reference.var
        data_sets = free_names([name.replace("/", "_") for name in inputs], data_sets_of(self.reference))
        for name, data_set in zip(inputs, data_sets, strict=True):
            if name != data_set:
                log.info("%s is called '%s' in obs['%s'], as that name is taken", name, data_set, keys.DATASET)
            own = with_unique_names(inputs[name].var)
            self.alignments[data_set] = align_genes(var, own, self._min_gene_overlap, data_set)
        columns = [one.columns for one in self.alignments.values()]
        joined = join_onto(inputs, batch_columns, var=var, columns=columns, data_sets=data_sets)
        adata, reference = joined.adata, self.reference
        adata.varm[keys.PCS] = reference.varm[keys.PCS]
        lacking = {name: one.measured for name, one in self.alignments.items() if not one.measured.all()}
        if lacking:
            adata.varm[keys.MEASURED] = pd.DataFrame(lacking, index=adata.var_names)
        if keys.FIXED_SCALING in reference.uns:
            adata.uns[keys.FIXED_SCALING] = dict(reference.uns[keys.FIXED_SCALING])
        given = [str(name) for one in inputs.values() for name in one.obs.index]
        self._names_given = pd.Series(given, index=adata.obs_names, dtype=object)
        return joined

    def filtering(self, min_genes: int, min_cells: int = 0) -> None:
        """Remove cells with fewer than ``min_genes`` genes; the genes stay those of the reference.

        Args:
            min_genes: Fewest genes of a cell, counted over all genes of its input.
            min_cells: Not used.

        Raises:
            DataError: Nothing of one batch is left.
        """
        kept = self.sc_raw.obs[keys.N_GENES].to_numpy() >= min_genes
        require_every_batch(kept, self._codes, self._batches, f"has {min_genes} genes or more")
        for fault in heavy_losses(kept, self._codes, self._batches):
            log.warning("%s; lower filtering.min_genes (%d) to keep more", fault, min_genes)
        self._keep(kept)
        self._report("filtering")

    def scaling(self, scale: ScaleConfig | Mapping[str, Any] | float | None = None) -> None:
        """Normalise every cell to the library size of the reference and keep the counts.

        Args:
            scale: Not used.

        Raises:
            DataError: A tenth or more of the cells are part of the reference.
        """
        super().scaling(library_size_normalisation(self.reference.config))
        obs = self.sc_raw.obs
        names = self._names_given[obs.index].to_numpy()
        again = cells_again(self.reference.obs, obs, names)
        refuse_cells_again(again, names)
        if again.any():
            log.warning("%s They are added once more.", describe_cells_again(again, names))

    def split(self, split_seed: int, valid_cells_ratio: float, mmd_cells_ratio: float = 1.0, **how: Any) -> None:
        """Choose validation and test cells of the query as ``process`` does, then fix the batch labels.

        All cells of a batch that is too small for a validation cell are trained on.

        Args:
            split_seed: As of :meth:`WAERecipe.split`, like all others.
            valid_cells_ratio: The same.
            mmd_cells_ratio: The same.
            **how: The same.

        Raises:
            DataError: A batch would get no training cell.
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
        self.sc_raw.obs[keys.BATCH] = self.sc_raw.obs[keys.BATCH].cat.set_categories([*known, *new])
        self._record(batch_key={str(code): name for code, name in enumerate(self._batches)})
        log.info("New batches: %s", ", ".join(new) or "none")
        self.known_batches = known_batches(self.reference.obs, self.sc_raw.obs)
        for batch in self.known_batches:
            log.warning("%s. They are taken as more cells of it. Rename the batch where it is another one.", batch)

    def _roles(self, section: SplitConfig, rng: np.random.RandomState) -> np.ndarray:
        return split_query(rng, self._codes, self._batches, section)

    def _marked_for_mmd(self, section: SplitConfig, rng: np.random.RandomState, valid: np.ndarray) -> np.ndarray:
        few = int(section.mmd_cells * valid.sum()) == 0
        return valid.copy() if few else super()._marked_for_mmd(section, rng, valid)

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
