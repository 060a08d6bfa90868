"""Which record file is damaged, told without TensorFlow."""

import gzip
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from discern.errors import ExperimentError
from discern.io.checksums import file_checksum
from discern.io.record_format import frame
from discern.io.record_schema import Shard

_LENGTH = struct.Struct("<Q")
_CHECKSUM_BYTES = 4


def require_undamaged(folder: Path, shards: Iterable[Shard]) -> None:
    """Refuse record files that are not what was written; each is read once, at the speed of the disk.

    Raises:
        ExperimentError: A file is damaged; every such file is named.
    """
    found = [(folder / shard.file, damage_of_shard(folder / shard.file, shard)) for shard in shards]
    damaged = "; ".join(f"{path} ({damage})" for path, damage in found if damage)
    if damaged:
        raise ExperimentError(
            f"Record files are damaged: {damaged}. Restore them, or write all anew with `discern process --force`."
        )


def damage_of_shard(path: Path, shard: Shard) -> str:
    """Return what is wrong with a record file; empty when nothing is.

    Args:
        path: The file.
        shard: What the schema says of it; without a checksum all records are unpacked and checked one by one.
    """
    try:
        if shard.crc32c:
            size = path.stat().st_size
            if size != shard.n_bytes:
                return f"{size} bytes in place of {shard.n_bytes}"
            checksum = f"{file_checksum(path):08x}"
            return "" if checksum == shard.crc32c else f"its checksum is {checksum}, not {shard.crc32c}"
        n_cells = _whole_records(path)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        return str(error) or type(error).__name__
    return "" if n_cells == shard.n_cells else f"{n_cells} cells in place of {shard.n_cells}"


def _whole_records(path: Path) -> int:
    """Return the number of records in a file.

    Raises:
        ValueError: A record is incomplete or does not fit its checksum.
    """
    n_records = 0
    with gzip.open(path) as stream:
        while length := stream.read(_LENGTH.size + _CHECKSUM_BYTES):
            size = _LENGTH.unpack_from(length)[0] if len(length) == _LENGTH.size + _CHECKSUM_BYTES else 0
            if size > 2**31:  # of one cell
                raise ValueError(f"record {n_records + 1} does not fit its checksum")
            content = stream.read(size + _CHECKSUM_BYTES)
            if length + content != frame(content[:-_CHECKSUM_BYTES]):
                raise ValueError(f"record {n_records + 1} does not fit its checksum")
            n_records += 1
    return n_records
