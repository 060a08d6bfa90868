"""The recipe: from raw counts of several batches to the data a DISCERN model trains on."""

import copy
import logging
from collections.abc import Mapping
from functools import partial, reduce
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from discern import keys
from discern.errors import DataError, counted
from discern.io.batch_labels import batch_names
from discern.io.data import DISCERNData
from discern.io.experiment_folder import ExperimentFolder
from discern.io.merging import JoinedAnnotation, join_annotation
from discern.io.raw_input import RawInput
from discern.preprocessing.cells import CellsInMemory, CellsOnDisk, OnDisk, RecipeCells, Space
from discern.preprocessing.celltypes import batch_and_celltype, find_celltypes
from discern.preprocessing.config import (
    InputConfig,
    ScaleConfig,
    SplitConfig,
    as_scale,
    validate_input,
    validate_section,
)
from discern.preprocessing.dispersion import cell_ranger_dispersion, highly_variable, most_dispersed, seurat_dispersion
from discern.preprocessing.filtering import (
    SeenCounts,
    choose_cells_and_genes,
    count_seen,
    heavy_losses,
    require_every_batch,
)
from discern.preprocessing.gene_moments import GeneMoments, ValueSums, gene_moments, value_sums
from discern.preprocessing.library_size import library_sizes
from discern.preprocessing.mmd_kernel import kernel_width
from discern.preprocessing.parameters_file import read_parameters
from discern.preprocessing.principal_components import coordinates, gram_matrix, loadings, require_enough_for
from discern.preprocessing.raw_inputs import InputFiles, merge_files, merge_files_on_disk, merge_objects
from discern.preprocessing.split_summary import split_summary
from discern.preprocessing.splitting import draw_for_mmd, split_cells

BATCH_SIZE = 192
N_PCA_GENES = 1000
N_COMPONENTS = 32
N_KERNEL_CELLS = 10_000

log = logging.getLogger(__name__)


class WAERecipe:
    """Preprocess raw counts, one public method per step; calling the recipe runs all of them in order.

    Attributes:
        sc_raw: The data. After all steps X is log1p of normalised expression (CSR float32) and ``layers["counts"]``
            the raw counts; scaling is recorded, never applied. With counts on disk it is the annotation only.
        params: The section ``input_ds`` as it was given (a copy).
        settings: The same, validated.
        n_jobs: CPUs for the search of neighbours; -1: all.
    """

    def __init__(
        self,
        params: Mapping[str, Any] | InputConfig,
        inputs: Mapping[str, AnnData] | None = None,
        input_files: InputFiles | None = None,
        n_jobs: int = -1,
        *,
        allow_non_counts: bool = False,
        on_disk: OnDisk | None = None,
    ):
        """Read and merge the raw data.

        Args:
            params: Parameters of an experiment with ``input_ds``, or that section. They stay as they are.
            inputs: Raw counts by name, dense or sparse. They stay as they are.
            input_files: Paths, or paths with the obs column that names the batch; used when there are no ``inputs``.
                Without both ``raw_input`` of the parameters is read.
            n_jobs: CPUs to use; -1: as many as the parameters allow.
            allow_non_counts: Accept fractional values with a warning.
            on_disk: Where the counts of files are kept, a few cells at a time in memory; None keeps them in memory.

        Raises:
            ParametersError: The parameters are invalid or name no data.
            DataError: An input cannot be read, does not hold counts or shares no genes with the others.
        """
        if isinstance(params, InputConfig):
            params = params.model_dump(exclude_unset=True)
        self.params: dict[str, Any] = copy.deepcopy(dict(params.get("input_ds", params)))
        self.settings = validate_input(self.params)
        self.n_jobs = n_jobs if n_jobs != -1 else self.settings.n_cpus_preprocessing or -1
        files = self.settings.raw_input if input_files is None else input_files
        self._cells: RecipeCells
        if on_disk is not None:
            annotation, store = merge_files_on_disk(files, on_disk, allow_non_counts, self._join)
            self._cells = CellsOnDisk(DISCERNData(annotation, batch_size=BATCH_SIZE), store, on_disk)
        else:
            merged = (
                merge_files(files, allow_non_counts, self._join)
                if inputs is None
                else merge_objects(inputs, allow_non_counts, self._join)
            )
            self._cells = CellsInMemory(DISCERNData(merged, batch_size=BATCH_SIZE))
        self._rng: np.random.RandomState | None = None
        self._record(batch_key={str(code): name for code, name in enumerate(self._batches)})
        self._report("merging")

    @property
    def sc_raw(self) -> DISCERNData:
        """The data."""
        return self._cells.data

    @sc_raw.setter
    def sc_raw(self, data: DISCERNData) -> None:
        self._cells.data = data

    @property
    def config(self) -> dict[str, Any]:
        """What the steps recorded; stored in ``uns["DISCERN"]``."""
        return self.sc_raw.config

    def __call__(self) -> Self:
        """Run all steps and return the recipe."""
        settings = self.settings
        self.filtering(settings.filtering.min_genes, settings.filtering.min_cells)
        self.celltypes()
        self.scaling(settings.scale)
        self.split(
            settings.split.split_seed,
            settings.split.valid_cells,
            settings.split.mmd_cells,
            balanced_split=settings.split.balanced_split,
            test_cells=settings.split.test_cells,
        )
        self.projection_pca(pcs=N_COMPONENTS)
        self.log1p()
        self.kernel_mmd(no_cells_mmd=N_KERNEL_CELLS)
        self.highly_variable_genes()
        self.mean_var_scaling()
        return self

    def filtering(self, min_genes: int, min_cells: int) -> None:
        """Remove cells with fewer than ``min_genes`` genes, then genes in fewer than ``min_cells`` cells.

        Raises:
            DataError: Nothing is left, or nothing of one batch.
        """
        count = partial(count_seen, min_genes=min_genes, n_genes=self.sc_raw.n_vars)
        seen = reduce(SeenCounts.merge, self._cells.runs(count, Space.COUNTS, "Counting genes of cells, piece"))
        kept = choose_cells_and_genes(seen, min_genes, min_cells)
        require_every_batch(kept.cells, self._codes, self._batches, f"has {min_genes} genes or more")
        self.sc_raw.obs[keys.N_GENES] = kept.genes_per_cell
        self.sc_raw.var[keys.N_CELLS] = kept.cells_per_gene
        for fault in heavy_losses(kept.cells, self._codes, self._batches):
            log.warning("%s; lower filtering.min_genes (%d) to keep more", fault, min_genes)
        self._keep(kept.cells, kept.genes)
        self._report("filtering")

    def celltypes(self) -> None:
        """Make the first column that names cell types categorical and call it ``celltype``; without one do nothing."""
        found = find_celltypes(self.sc_raw.obs)
        if found is None:
            log.info("No column of obs names cell types")
            return
        column, labels = found
        self.sc_raw.obs[keys.CELLTYPE] = labels
        log.info("Cell types are taken from column '%s': %d", column, len(labels.categories))

    def scaling(self, scale: ScaleConfig | Mapping[str, Any] | float | None) -> None:
        """Normalise every cell to one library size and keep the counts in ``layers["counts"]``.

        Cells without counts in the genes that are left are removed.

        Args:
            scale: The section ``scale`` or the library size itself; without library size X stays counts.
        """
        section = as_scale(scale)
        self._cells.restore_counts()
        library_size = np.concatenate(
            list(self._cells.runs(library_sizes, Space.COUNTS, "Counting library sizes, piece"))
        )
        if not library_size.all():
            require_every_batch(library_size > 0, self._codes, self._batches, "has counts in the genes kept")
            n_empty = int((library_size == 0).sum())
            log.warning("%s no counts in the genes kept: removed", counted(n_empty, "cell has", "cells have"))
            self._keep(library_size > 0)
            library_size = library_size[library_size > 0]
        self.sc_raw.obs[keys.N_COUNTS] = library_size
        self._cells.normalise(library_size, section.LSN)
        self._record(scale={} if section.LSN is None else {"LSN": section.LSN})
        self._report("library size normalisation")

    def split(
        self,
        split_seed: int,
        valid_cells_ratio: float,
        mmd_cells_ratio: float = 1.0,
        *,
        balanced_split: bool = True,
        test_cells: float = 0.0,
    ) -> None:
        """Choose validation and test cells, mark validation cells for MMD and record the numbers.

        Args:
            split_seed: Seeds the generator, which :meth:`kernel_mmd` continues.
            valid_cells_ratio: Ratio of validation cells; a whole number > 1 means that many.
            mmd_cells_ratio: Ratio (or whole number > 1) of validation cells marked for MMD.
            balanced_split: The ratios hold within each batch, else over all cells.
            test_cells: Ratio (or whole number > 1) of test cells.

        Raises:
            ParametersError: An amount is out of range.
            DataError: A batch would get no validation cell.
        """
        section = validate_section(
            SplitConfig,
            {
                "split_seed": split_seed,
                "valid_cells": valid_cells_ratio,
                "mmd_cells": mmd_cells_ratio,
                "balanced_split": balanced_split,
                "test_cells": test_cells,
            },
            "input_ds.split",
        )
        obs = self.sc_raw.obs
        self._rng = np.random.RandomState(split_seed)
        roles = self._roles(section, self._rng)
        obs[keys.SPLIT] = pd.Categorical(
            roles, categories=[keys.TRAIN, keys.VALID, *([keys.TEST] if (roles == keys.TEST).any() else [])]
        )
        obs[keys.FOR_MMD] = self._marked_for_mmd(section, self._rng, roles == keys.VALID)
        self._record(**split_summary(roles, self._codes, self._batches), common_genes_count=self.sc_raw.n_vars)
        self._report("splitting")

    def projection_pca(self, pcs: int = 25) -> None:
        """Record mean and standard deviation of every gene's log expression and its principal components.

        The components use the 1,000 genes most dispersed (Cell Ranger's flavour) before the logarithm, as published.

        Raises:
            DataError: There are fewer cells or genes than components.
        """
        n_cells, n_genes = self.sc_raw.shape
        require_enough_for(pcs, n_cells, n_genes)
        sums = self._cells.runs(partial(value_sums, n_genes=n_genes), Space.EXPRESSION, "Dispersion of genes, piece")
        dispersion = cell_ranger_dispersion(*reduce(ValueSums.merge, sums).mean_and_variance)
        genes = most_dispersed(dispersion, N_PCA_GENES)
        require_enough_for(pcs, n_cells, int(genes.sum()))
        moments = self._cells.runs(
            partial(gene_moments, n_genes=n_genes), Space.LOG_EXPRESSION, "Mean and deviation of genes, piece"
        )
        logged = reduce(GeneMoments.merge, moments)
        used = np.flatnonzero(genes)
        gram = partial(gram_matrix, genes=used, mean=logged.mean[used], std=logged.deviation[used])
        products = self._cells.runs(gram, Space.LOG_EXPRESSION, "Principal components, piece")
        self.sc_raw.var[keys.MEAN_SCALING] = logged.mean
        self.sc_raw.var[keys.VAR_SCALING] = logged.deviation
        self.sc_raw.var[keys.PCA_GENES] = genes
        self.sc_raw.varm[keys.PCS] = loadings(reduce(np.add, products), genes, pcs)
        self._report("principal components")

    def log1p(self) -> None:
        """Replace expression by log(1 + expression); a second call does nothing."""
        self._cells.log1p()

    def kernel_mmd(self, neighbors_mmd: int = 50, no_cells_mmd: int = 2000) -> None:
        """Record the squared kernel width of the MMD: distances of neighbours in the space of the components.

        Args:
            neighbors_mmd: Number of nearest neighbours, the cell itself included.
            no_cells_mmd: The most cells used; they are drawn by the generator of :meth:`split`.

        Raises:
            DataError: The components are missing.
        """
        if keys.PCS not in self.sc_raw.varm:
            raise DataError("The MMD kernel needs principal components. Call projection_pca() first.")
        if self._rng is None:
            self._rng = np.random.RandomState(self.settings.split.split_seed)
        cells = self._rng.choice(self.sc_raw.n_obs, min(self.sc_raw.n_obs, no_cells_mmd), replace=False)
        var = self.sc_raw.var
        place = partial(
            coordinates,
            loadings=self.sc_raw.varm[keys.PCS],
            mean=var[keys.MEAN_SCALING].to_numpy(),
            std=var[keys.VAR_SCALING].to_numpy(),
        )
        points = self._cells.chosen(place, cells, Space.LOG_EXPRESSION)
        self._record(mmd_kernel={"all": kernel_width(points, neighbors_mmd, self.n_jobs)})
        self._report("MMD kernel")

    def highly_variable_genes(self) -> None:
        """Record highly variable genes of the log expression (Seurat's flavour) in ``var``, as published."""
        sums = self._cells.runs(
            partial(value_sums, n_genes=self.sc_raw.n_vars), Space.LOG_EXPRESSION, "Highly variable genes, piece"
        )
        genes = seurat_dispersion(*reduce(ValueSums.merge, sums).mean_and_variance)
        self.sc_raw.var["means"] = genes.mean.astype(np.float32)
        self.sc_raw.var["dispersions"] = genes.dispersion.astype(np.float32)
        self.sc_raw.var["dispersions_norm"] = genes.normalised.astype(np.float32)
        self.sc_raw.var["highly_variable"] = highly_variable(genes)

    def mean_var_scaling(self) -> None:
        """Record the configured fixed scaling in ``uns["fixed_scaling"]``.

        The published program also scales X, which makes it dense; here the scaling is applied where a network reads.
        """
        scaling = self.settings.scale.fixed_scaling
        if scaling is not None:
            self.sc_raw.uns[keys.FIXED_SCALING] = scaling.as_recorded()

    def dump(self, job_dir: str | PathLike[str]) -> None:
        """Write the data into an experiment folder."""
        self._cells.write_h5ad(ExperimentFolder(Path(job_dir)).processed_file)

    def dump_tf_records(self, path: str | PathLike[str]) -> None:
        """Write training and validation cells into a folder of records."""
        self._cells.write_records(Path(path))

    @classmethod
    def from_path(cls, job_dir: str | PathLike[str]) -> Self:
        """Return the recipe of an experiment folder, from its parameters.json.

        Relative paths of raw data start at the current working directory.

        Raises:
            ExperimentError: The folder has no parameters.json.
            ParametersError: The file is invalid.
        """
        return cls(read_parameters(ExperimentFolder(Path(job_dir)).parameters_file))

    def _join(self, inputs: Mapping[str, RawInput], batch_columns: Mapping[str, str | None] | None) -> JoinedAnnotation:
        return join_annotation(inputs, batch_columns)

    def _roles(self, section: SplitConfig, rng: np.random.RandomState) -> np.ndarray:
        return split_cells(rng, self._codes, self._batches, section)

    def _marked_for_mmd(self, section: SplitConfig, rng: np.random.RandomState, valid: np.ndarray) -> np.ndarray:
        return draw_for_mmd(rng, section.mmd_cells, valid, batch_and_celltype(self.sc_raw.obs))

    @property
    def _batches(self) -> list[str]:
        return batch_names(self.sc_raw.obs)

    @property
    def _codes(self) -> np.ndarray:
        return self.sc_raw.obs[keys.BATCH].cat.codes.to_numpy(dtype=np.int64)

    def _keep(self, cells: np.ndarray, genes: np.ndarray | None = None) -> None:
        self._cells.keep(cells, np.ones(self.sc_raw.n_vars, dtype=bool) if genes is None else genes)

    def _record(self, **entries: Any) -> None:
        self.sc_raw.config = {**self.sc_raw.config, **entries}

    def _report(self, step: str) -> None:
        n_cells, n_genes = self.sc_raw.shape
        log.info("After %s: %s, %s", step, counted(n_cells, "cell"), counted(n_genes, "gene"))
