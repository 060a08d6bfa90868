"""Writing processed data piece by piece, so that memory does not grow with the number of cells."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from anndata import AnnData
from scipy import sparse

from discern.io.cell_store import CellStore
from discern.io.checksums import seal
from discern.io.growing_arrays import ChunkWriter, GrowingCSR
from discern.io.hdf5_files import hdf5_to_write
from discern.io.whole_files import replacing_file
from discern.keys import COUNTS
from discern.progress import progress


def write_processed(
    annotation: AnnData,
    store: CellStore,
    to_expression: Callable[[sparse.csr_matrix], sparse.csr_matrix],
    path: Path,
    n_threads: int | None = None,
) -> None:
    """Write an h5ad with the stored counts in ``layers["counts"]`` and the expression made of them in X.

    Args:
        annotation: Everything else of the file.
        store: The counts, (n_cells, n_genes).
        to_expression: Makes X of raw counts, cell by cell.
        path: The file; it appears when it is whole.
        n_threads: Threads that compress; those of this machine when None.
    """
    with replacing_file(path) as temporary:
        annotation.write_h5ad(temporary, compression="gzip", compression_opts=1)
        with hdf5_to_write(temporary) as file, ChunkWriter(n_threads) as chunks:
            for key in ("X", f"layers/{COUNTS}"):
                if key in file:
                    del file[key]
            grow = partial(GrowingCSR, n_columns=store.n_genes, most_values=store.n_values)
            expression = grow(file, "X", chunks)
            counts = grow(file.require_group("layers"), COUNTS, chunks)
            with progress("Writing processed data, piece", len(store.pieces)) as report:
                for number, piece in enumerate(store.pieces, start=1):
                    cells = piece.read()
                    counts.append(cells)
                    expression.append(to_expression(cells))
                    report(number)
            for matrix in (expression, counts):
                matrix.close()
            chunks.flush()
        seal(temporary)
