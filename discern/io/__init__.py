"""Reading, merging, records and writing. The published names are handed on, imported on first use."""

from discern.lazy_names import lazy_names

_PUBLISHED = {
    "DISCERNData": "discern.io.data",
    "TFRecordsWriter": "discern.io.tfrecord_writer",
    "estimate_csr_nbytes": "discern.io.writing",
    "generate_h5ad": "discern.io.writing",
    "make_dataset_from_anndata": "discern.io.published_cells",
    "np_one_hot": "discern.io.batch_labels",
    "parse_tfrecords": "discern.io.published_cells",
}

__all__ = sorted(_PUBLISHED)
__getattr__, __dir__ = lazy_names(__name__, _PUBLISHED)
