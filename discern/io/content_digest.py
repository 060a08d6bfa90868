"""What minibatches are made of, as one number."""

import hashlib

import numpy as np
from anndata import AnnData

from discern.io.batch_labels import batch_codes, batch_names
from discern.io.measured_genes import GenePanels
from discern.io.processed_counts import require_counts, require_library_size
from discern.io.record_schema import genes_digest
from discern.io.transform import InputTransform
from discern.keys import COUNTS, MEASURED


def minibatches_digest(adata: AnnData, cells: np.ndarray, transform: InputTransform, batch_size: int) -> str:
    """Return a digest of all that decides what is in the minibatches of some cells, in hexadecimal digits.

    Args:
        adata: Processed data with raw counts.
        cells: Indices of the cells in their order, (n_cells,).
        transform: What is read of the counts.
        batch_size: Cells per minibatch.
    """
    counts = require_counts(adata.layers.get(COUNTS), "The data")[cells]
    batches = batch_names(adata.obs)
    panels = GenePanels.of(adata.obs, adata.varm.get(MEASURED), adata.var_names)
    scaling = transform.scaling
    arrays = [
        counts.indptr.astype(np.int64),
        counts.indices.astype(np.int64),
        counts.data.astype(np.float32),
        batch_codes(adata.obs, batches)[cells],
        require_library_size(adata.obs)[cells].astype(np.float32),
        *([] if scaling is None else [scaling.mean, scaling.std]),
        *([] if panels is None else [panels.measured(cells), transform.fill]),
    ]
    settings = [batch_size, counts.shape, batches, transform.library_size, transform.log, genes_digest(adata.var_names)]
    digest = hashlib.sha256(repr([settings, *((one.dtype.str, one.shape) for one in arrays)]).encode())
    for one in arrays:
        digest.update(np.ascontiguousarray(one).data)
    return digest.hexdigest()
