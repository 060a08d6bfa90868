"""What training needs of the processed file without its cells' expression."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import pandas as pd
from anndata.io import read_elem

from discern.errors import DiscernError, ExperimentError
from discern.io.cells_digest import cells_digest
from discern.io.checksums import damage_of_sealed
from discern.io.processed_config import n_train_cells_elsewhere, plain
from discern.io.transform import InputTransform
from discern.keys import BATCH, DISCERN, FIXED_SCALING, N_COUNTS, SPLIT

_NAMES_AT_ONCE = 50_000


@dataclass(frozen=True)
class ProcessedAnnotation:
    """Genes, batches and transform of processed data.

    Attributes:
        genes: Gene names.
        batches: Batch names in the order of the label columns.
        transform: From counts to what a DISCERN network reads.
        cells_sha256: Digest of the cells, as in the schema of their records; empty when split or counts are absent.
        n_train_cells_elsewhere: Cells that the model was trained on and that are not here: those of a reference that was
            shared without them.
    """

    genes: list[str]
    batches: list[str]
    transform: InputTransform
    cells_sha256: str = ""
    n_train_cells_elsewhere: int = 0

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.genes)


def read_annotation(path: Path) -> ProcessedAnnotation:
    """Read var, the batches and the recorded preprocessing; the matrices stay on disk.

    Raises:
        ExperimentError: The file is absent, damaged or no processed data.
    """
    if not path.is_file():
        raise ExperimentError(f"{path} does not exist. Run `discern process` first.")
    if damage := damage_of_sealed(path):
        raise ExperimentError(f"{path} is damaged: {damage}. Restore it, or run `discern process --force`.")
    try:
        with h5py.File(path, "r") as file:
            var: pd.DataFrame = read_elem(file["var"])
            batches = read_elem(file["obs"][BATCH]).categories
            cells = _cells_digest(file["obs"])
            uns = {DISCERN: plain(read_elem(file["uns"][DISCERN]))}
            if FIXED_SCALING in file["uns"]:
                uns[FIXED_SCALING] = plain(read_elem(file["uns"][FIXED_SCALING]))
        transform = InputTransform.scaled_log_expression(var, uns)
    except DiscernError:
        raise
    except Exception as error:  # of any class: anndata has some of its own
        raise ExperimentError(
            f"{path} is damaged or no processed data ({error}). Run `discern process --force`."
        ) from error
    elsewhere = n_train_cells_elsewhere(uns[DISCERN])
    return ProcessedAnnotation(list(var.index), [str(name) for name in batches], transform, cells, elsewhere)


def _cells_digest(obs: h5py.Group) -> str:
    if SPLIT not in obs or N_COUNTS not in obs:
        return ""
    return cells_digest(_names(obs[obs.attrs["_index"]]), read_elem(obs[SPLIT]), read_elem(obs[N_COUNTS]))


def _names(index: h5py.Dataset | h5py.Group) -> Iterator[str]:
    """Yield the names of the cells; text is read in slices."""
    if not isinstance(index, h5py.Dataset) or h5py.check_string_dtype(index.dtype) is None:
        yield from read_elem(index)
        return
    text = index.asstr()
    for start in range(0, len(index), _NAMES_AT_ONCE):
        yield from text[start : start + _NAMES_AT_ONCE]
