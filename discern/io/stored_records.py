"""Writing records of counts that lie on disk: the same files as from memory, byte for byte.

Records are first written piece by piece, sorted by the shard they belong to; then every shard collects its own.
"""

import shutil
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from anndata import AnnData

from discern.io.cell_store import CellStore, Piece
from discern.io.count_dtypes import common_value_dtype, narrowest_gene_dtype
from discern.io.record_format import frame
from discern.io.record_schema import RecordSchema, Shard
from discern.io.tfrecord_writer import CELLS_PER_SHARD, CellLabels, record_orders, shard_name, write_schema, write_shard
from discern.io.whole_files import replacing_folder
from discern.progress import progress
from discern.workers import Workers

_HEADER = struct.Struct("<II")  # place within the shard, bytes of the framed record


def write_stored_records(
    annotation: AnnData, store: CellStore, folder: Path, scratch: Path, workers: Workers, seed: int = 0
) -> RecordSchema:
    """Write the training and validation cells of a store, replacing what the folder held.

    Args:
        annotation: Processed data; their matrices are not used.
        store: The raw counts.
        folder: The folder of the records.
        scratch: A new folder for what lies in between; it is removed.
        workers: Who does it.
        seed: Drives the order of the cells, as in :func:`~discern.io.tfrecord_writer.write_records`.
    """
    dtypes = narrowest_gene_dtype(store.n_genes), common_value_dtype(piece.value_dtype for piece in store.pieces)
    labels = CellLabels.of(annotation, *dtypes)
    splits, shard, place = _assign(record_orders(annotation.obs, seed), store.n_cells)
    shards = [one for of_split in splits.values() for one in of_split]
    scratch.mkdir()
    sorting = []
    for piece, start in zip(store.pieces, store.starts, strict=False):
        cells = slice(start, start + piece.n_cells)
        own = labels.of_cells(cells)
        sorting.append(_Sorting(piece, own, shard[cells], place[cells], len(shards), scratch / piece.path.stem))
    with replacing_folder(folder) as temporary:
        with progress("Sorting cells, piece", len(sorting)) as report:
            spools = []
            for spool in workers.map(_sort, sorting):
                spools.append(spool)
                report(len(spools))
        gathering = [_Gathering(temporary / one.file, spools, number) for number, one in enumerate(shards)]
        with progress("Writing records, file", len(shards)) as report:
            for number, _ in enumerate(workers.map(_gather, gathering), start=1):
                report(number)
        shutil.rmtree(scratch)
        return write_schema(temporary, annotation, labels, splits)


def _assign(orders: dict[str, np.ndarray], n_cells: int) -> tuple[dict[str, list[Shard]], np.ndarray, np.ndarray]:
    """Return the shards of every split, the number of each cell's shard (−1: none) and its place therein."""
    splits: dict[str, list[Shard]] = {}
    shard, place = np.full(n_cells, -1, dtype=np.int32), np.zeros(n_cells, dtype=np.uint32)
    first = 0
    for split, cells in orders.items():
        position = np.arange(len(cells))
        shard[cells] = first + position // CELLS_PER_SHARD
        place[cells] = position % CELLS_PER_SHARD
        sizes = [min(CELLS_PER_SHARD, len(cells) - start) for start in range(0, len(cells), CELLS_PER_SHARD)]
        splits[split] = [Shard(shard_name(split, number), size) for number, size in enumerate(sizes)]
        first += len(sizes)
    return splits, shard, place


@dataclass(frozen=True)
class _Sorting:
    piece: Piece
    labels: CellLabels
    shard: np.ndarray
    place: np.ndarray
    n_shards: int
    target: Path


@dataclass(frozen=True)
class _Spool:
    """Records of one piece, sorted by shard; those of shard i are the bytes from ``ends[i]`` to ``ends[i + 1]``."""

    path: Path
    ends: np.ndarray


def _sort(task: _Sorting) -> _Spool:
    order = np.argsort(task.shard, kind="stable")
    order = order[np.searchsorted(task.shard[order], 0) :]
    sizes = np.zeros(task.n_shards, dtype=np.int64)
    with task.target.open("wb") as stream:
        for cell, record in zip(order, task.labels.records(task.piece.read()[order], order), strict=True):
            framed = frame(record)
            sizes[task.shard[cell]] += stream.write(_HEADER.pack(task.place[cell], len(framed)))
            sizes[task.shard[cell]] += stream.write(framed)
    return _Spool(task.target, np.concatenate([[0], np.cumsum(sizes)]))


@dataclass(frozen=True)
class _Gathering:
    target: Path
    spools: Sequence[_Spool]
    shard: int


def _gather(task: _Gathering) -> None:
    found = dict(record for spool in task.spools for record in _records_of(spool, task.shard))
    write_shard(task.target, (found[place] for place in range(len(found))))


def _records_of(spool: _Spool, shard: int) -> Iterator[tuple[int, bytes]]:
    start, stop = spool.ends[shard : shard + 2]
    with spool.path.open("rb") as stream:
        stream.seek(int(start))
        content = stream.read(int(stop - start))
    position = 0
    while position < len(content):
        place, size = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        yield place, content[position : position + size]
        position += size
