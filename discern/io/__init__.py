"""Reading, merging, records and writing. The published names are handed on, imported on first use."""

from importlib import import_module
from typing import Any

_PUBLISHED = {
    "DISCERNData": "discern.io.data",
    "TFRecordsWriter": "discern.io.tfrecord_writer",
    "estimate_csr_nbytes": "discern.io.writing",
    "generate_h5ad": "discern.io.writing",
    "make_dataset_from_anndata": "discern.io.tfdata",
    "np_one_hot": "discern.io.batch_labels",
    "parse_tfrecords": "discern.io.tfdata",
}

__all__ = sorted(_PUBLISHED)


def __getattr__(name: str) -> Any:
    if name not in _PUBLISHED:
        raise AttributeError(f"module 'discern.io' has no attribute {name!r}")
    return getattr(import_module(_PUBLISHED[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
