"""How large are sparse records beside the published dense ones, for the same cells?

Usage: python benchmarks/record_size.py EXPERIMENT_FOLDER [--cells 500]

The published format holds one dense cell per record: scaled float32 expression, one-hot batch and a closing 1.0, all
records in one GZIP stream.
"""

import argparse
import gzip
import tempfile
from pathlib import Path

import numpy as np

from discern.io.batch_labels import np_one_hot
from discern.io.data import DISCERNData
from discern.io.record_format import frame, narrowest_dtypes, require_counts, serialise_cells
from discern.io.tfrecord_writer import TFRecordsWriter
from discern.keys import BATCH, COUNTS, N_COUNTS


def main() -> None:
    """Print bytes per cell of both formats and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--cells", type=int, default=500)
    arguments = parser.parse_args()
    data = DISCERNData.from_folder(arguments.experiment, batch_size=1)
    cells = np.random.default_rng(0).permutation(data.n_obs)[: arguments.cells]
    counts = require_counts(data.layers.get(COUNTS), "The data")[cells]
    library_size = data.obs[N_COUNTS].to_numpy()[cells]
    one_hot = np_one_hot(data.obs[BATCH])[cells]
    scaled = data.transform.dense(counts, library_size)
    with tempfile.TemporaryDirectory() as folder:
        records = serialise_cells(counts, one_hot.argmax(axis=1), library_size, *narrowest_dtypes(counts))
        shards = TFRecordsWriter(Path(folder)).write_dataset(records, "training")
        sparse_bytes = sum((Path(folder) / shard.file).stat().st_size for shard in shards)
        dense_file = Path(folder) / "dense.tfrecords"
        with gzip.open(dense_file, "wb", compresslevel=6) as stream:
            for row, labels in zip(scaled, one_hot, strict=True):
                stream.write(frame(np.concatenate([row, labels, [1.0]]).astype("<f4").tobytes()))
        dense_bytes = dense_file.stat().st_size
    print(f"{len(cells)} cells x {data.n_vars} genes")
    print(f"sparse {sparse_bytes / len(cells):10.0f} bytes per cell")
    print(f"dense  {dense_bytes / len(cells):10.0f} bytes per cell")
    print(f"sparse records take {sparse_bytes / dense_bytes:.1%} of the dense ones")


if __name__ == "__main__":
    main()
