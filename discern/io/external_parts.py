"""HDF5 files that would have the program read other files than the one a user named."""

from pathlib import Path

import h5py

from discern.errors import DataError


def refuse_external_parts(file: h5py.File, path: Path) -> None:
    """Refuse a file that takes parts of its content from other files; these could be any of this machine.

    Args:
        file: The file, open.
        path: Its name.

    Raises:
        DataError: It has external links, data sets in external files or virtual ones.
    """

    def check_link(name: str, link: object) -> str | None:
        return f"{name} is a link to {link.filename}" if isinstance(link, h5py.ExternalLink) else None

    def check_item(name: str, item: h5py.Group | h5py.Dataset) -> str | None:
        if isinstance(item, h5py.Dataset) and item.external:
            return f"{name} is in {item.external[0][0]}"
        if isinstance(item, h5py.Dataset) and item.is_virtual:
            return f"{name} is a view of other files"
        return None

    found = file.visititems_links(check_link) or file.visititems(check_item)
    if found:
        raise DataError(f"{path} holds only part of its data: {found}. Give a file that holds all of them itself.")
