"""Where minibatches come from: cells of record files or of data in memory, sparse and raw, in order or shuffled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from anndata import AnnData

from discern.errors import ExperimentError
from discern.io.batch_labels import batch_codes
from discern.io.measured_genes import GenePanels
from discern.io.processed_counts import require_counts, require_library_size
from discern.io.record_damage import require_undamaged
from discern.io.record_files import uncompressed_bytes
from discern.io.record_parsing import parse_records
from discern.io.record_schema import RecordSchema
from discern.keys import COUNTS, MEASURED

MEMORY_BUDGET = 128 * 2**20
_SMALLEST_BLOCK = 4096  # cells: fewer would not mix
_SHARDS_AT_ONCE = 4
_CELLS_IN_TURN = 16  # taken from one shard before the next


class CellSource(Protocol):
    """A sized collection of cells that yields sparse minibatches.

    A sparse minibatch is a dictionary: ``gene`` and ``value`` (n_entries,), the non-zero entries cell after cell;
    ``splits`` (n_cells + 1,) int64, where each cell begins among them; ``batch``, ``library_size`` (n_cells,). Where a
    gene was not measured in all cells also ``panel`` (n_cells,) int64, the row of ``panels`` that tells a cell's genes.

    Attributes:
        n_cells: Number of cells.
        n_genes: Number of genes.
        n_batches: Number of batches.
        panels: Whether a gene was measured, bool (n_panels, n_genes); None when all were in all cells.
    """

    n_cells: int
    n_genes: int
    n_batches: int
    panels: np.ndarray | None

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Yield all cells once; the last minibatch may be smaller."""
        ...

    def shuffled(self, batch_size: int, seeds: tf.data.Dataset) -> tf.data.Dataset:
        """Yield the cells once per seed, in the order that it decides; cells that fill no minibatch are left out.

        Args:
            batch_size: Cells per minibatch.
            seeds: One int64 per epoch.
        """
        ...

    def require_undamaged(self) -> None:
        """Refuse files that are no longer what was written.

        Raises:
            ExperimentError: A file is damaged; it is named.
        """
        ...


class RecordSource:
    """Cells of one split of a folder of records.

    Records that fit into the memory budget are read once and held, serialised, for all epochs. Of others, half the
    budget is shuffled while the next half is read; shards come in another order every epoch. So memory does not grow
    with the number of cells. The budget has a part in the order.
    """

    def __init__(self, folder: Path, split: str, memory_budget: int = MEMORY_BUDGET):
        """Open the records.

        Args:
            folder: The folder with shards and schema.
            split: ``training`` or ``validate``.
            memory_budget: Bytes of serialised records held while training; at least twice 4,096 cells are.

        Raises:
            ExperimentError: The schema or a record file is missing or damaged.
        """
        self.schema = RecordSchema.read(Path(folder))
        self._shards = [Path(folder) / shard.file for shard in self.schema.splits.get(split, [])]
        missing = [str(path) for path in self._shards if not path.is_file()]
        if missing:
            raise ExperimentError(f"Record files are missing: {', '.join(missing)}. Run `discern process --force`.")
        self._folder, self._split = Path(folder), split
        self.require_undamaged()
        self._n_bytes = sum(map(uncompressed_bytes, self._shards))
        self.n_cells = self.schema.n_cells(split)
        self.n_genes = self.schema.n_genes
        self.n_batches = len(self.schema.batches)
        self.panels = self.schema.panels
        self._memory_budget = memory_budget

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Read and parse whole minibatches at once."""
        return self._records(self._paths).batch(batch_size).map(self._parse)

    def shuffled(self, batch_size: int, seeds: tf.data.Dataset) -> tf.data.Dataset:
        """Shuffle serialised records and parse whole minibatches at once."""

        def minibatches(seed: tf.Tensor, number: tf.Tensor, block: tf.Tensor) -> tf.data.Dataset:
            order = tf.data.Dataset.from_tensor_slices(_permutation(tf.size(block), seed, number))
            return order.batch(batch_size, drop_remainder=True).map(lambda cells: self._parse(tf.gather(block, cells)))

        block_cells = self._block_cells(batch_size)
        if block_cells < self.n_cells:
            blocks = self._blocks(seeds, block_cells, left_out=self.n_cells % batch_size)
        else:
            blocks = self._held(seeds)
        return blocks.flat_map(minibatches)

    def require_undamaged(self) -> None:
        """Read the files once more and refuse those that are not what was written."""
        require_undamaged(self._folder, self.schema.splits.get(self._split, []))

    def _block_cells(self, batch_size: int) -> int:
        """Return how many cells are shuffled together: all, or as many whole minibatches as half the budget holds."""
        total = self._n_bytes
        if total <= self._memory_budget:
            return self.n_cells
        fitting = max(_SMALLEST_BLOCK, self._memory_budget // 2 * self.n_cells // total)
        return max(1, fitting // batch_size) * batch_size

    def _held(self, seeds: tf.data.Dataset) -> tf.data.Dataset:
        everything = self._records(self._paths).batch(max(1, self.n_cells)).cache().repeat()
        return tf.data.Dataset.zip(seeds, everything).map(lambda seed, block: (seed, tf.constant(1, tf.int64), block))

    def _blocks(self, seeds: tf.data.Dataset, block_cells: int, left_out: int) -> tf.data.Dataset:
        def of_epoch(seed: tf.Tensor) -> tf.data.Dataset:
            records = self._records(tf.gather(self._paths, _permutation(len(self._shards), seed, block=0)))
            # the first ones or the last ones, so that none is left out of every epoch
            skipped = left_out * tf.random.stateless_uniform([], _two_numbers(seed, 0), 0, 2, tf.int64)
            return records.skip(skipped).batch(block_cells).enumerate(1).map(lambda *block: (seed, *block))

        return seeds.flat_map(of_epoch).prefetch(1)

    def _records(self, paths: tf.Tensor) -> tf.data.Dataset:
        # in one thread: records that several threads allocate fragment the memory, by hundreds of MB in a few epochs
        return tf.data.Dataset.from_tensor_slices(paths).interleave(
            lambda file: tf.data.TFRecordDataset(file, compression_type="GZIP"),
            cycle_length=_SHARDS_AT_ONCE,
            block_length=_CELLS_IN_TURN,
        )

    @property
    def _paths(self) -> tf.Tensor:
        return tf.constant([str(path) for path in self._shards], tf.string)

    def _parse(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        return parse_records(records, self.schema)


class MemorySource:
    """Cells of an AnnData with raw counts."""

    def __init__(self, adata: AnnData, batches: Sequence[str], cells: np.ndarray | None = None):
        """Hold the counts as tensors.

        Args:
            adata: Processed data with ``layers["counts"]``, ``obs["n_counts"]`` and batches; ``varm["measured"]`` where
                some data sets did not measure all genes.
            batches: Batch names in the order of the model.
            cells: Indices of the cells to serve; all when None.
        """
        counts = require_counts(adata.layers.get(COUNTS), "The data")
        cells = np.arange(adata.n_obs) if cells is None else np.asarray(cells)
        if not np.array_equal(cells, np.arange(adata.n_obs)):
            counts = counts[cells]
        self.n_cells, self.n_genes = counts.shape
        self.n_batches = len(batches)
        self._splits = tf.constant(counts.indptr.astype(np.int64))
        self._gene = tf.constant(counts.indices.astype(np.int32))
        self._value = tf.constant(counts.data.astype(np.float32))
        self._batch = tf.constant(batch_codes(adata.obs, batches)[cells])
        self._library_size = tf.constant(require_library_size(adata.obs).astype(np.float32)[cells])
        panels = GenePanels.of(adata.obs, adata.varm.get(MEASURED), adata.var_names)
        self.panels = None if panels is None else panels.panels
        self._panel = None if panels is None else tf.constant(panels.codes[cells])

    def in_order(self, batch_size: int) -> tf.data.Dataset:
        """Gather the cells of every minibatch from memory."""
        return tf.data.Dataset.range(self.n_cells).batch(batch_size).map(self._gather)

    def shuffled(self, batch_size: int, seeds: tf.data.Dataset) -> tf.data.Dataset:
        """Gather the cells of every minibatch from memory, in the order of records that are held at once."""
        cells = seeds.flat_map(
            lambda seed: tf.data.Dataset.from_tensor_slices(_permutation(self.n_cells, seed, block=1)).batch(
                batch_size, drop_remainder=True
            )
        )
        return cells.map(self._gather)

    def require_undamaged(self) -> None:
        """Do nothing: there is no file."""

    def _gather(self, cells: tf.Tensor) -> dict[str, tf.Tensor]:
        entries = tf.ragged.range(tf.gather(self._splits, cells), tf.gather(self._splits, cells + 1))
        found = {
            "splits": entries.row_splits,
            "gene": tf.gather(self._gene, entries.flat_values),
            "value": tf.gather(self._value, entries.flat_values),
            "batch": tf.gather(self._batch, cells),
            "library_size": tf.gather(self._library_size, cells),
        }
        return found if self._panel is None else found | {"panel": tf.gather(self._panel, cells)}


@contextmanager
def reading(*sources: CellSource) -> Iterator[None]:
    """Tell the files that are damaged when TensorFlow fails on what they hold.

    Raises:
        ExperimentError: A file is damaged or cannot be read.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for source in sources:
            source.require_undamaged()
        if isinstance(error, tf.errors.DataLossError):
            raise ExperimentError(
                f"Records could not be read ({error.message.splitlines()[0]}), though their files are whole now. "
                "Check the disk or the network they come from, and start again."
            ) from error
        raise


def _permutation(size: Any, seed: Any, block: Any) -> tf.Tensor:
    """Return the numbers below ``size`` in a random order, int64.

    Stateless, unlike ``Dataset.shuffle``: the order does not depend on TensorFlow's global seed.
    """
    keys = tf.random.stateless_uniform([size], _two_numbers(seed, block), minval=None, maxval=None, dtype=tf.int32)
    return tf.cast(tf.argsort(keys, stable=True), tf.int64)


def _two_numbers(seed: Any, block: Any) -> tf.Tensor:
    return tf.stack([tf.cast(seed, tf.int64), tf.cast(block, tf.int64)])
