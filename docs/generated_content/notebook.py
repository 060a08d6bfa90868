"""The tutorial beside the pages: a notebook whose links lead where the pages are."""

import json
import re
from pathlib import Path
from typing import Any

_ABSENT = "# Tutorial\n\nThe notebook `Tutorial.ipynb` is not part of this source tree."
_LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")
_PAGES = {"README.md": "index.md", "ARCHITECTURE.md": "architecture.md", "CHANGELOG.md": "changes.md"}


def tutorial_page(notebook: Path) -> str:
    """Return a notebook as a page, or a page that says that there is none.

    Args:
        notebook: In the folder above the pages.
    """
    if not notebook.is_file():
        cell = {"cell_type": "markdown", "id": "absent", "metadata": {}, "source": _ABSENT}
        return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    content: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = _LINK.sub(_as_seen_from_pages, "".join(cell["source"]))
    return json.dumps(content)


def _as_seen_from_pages(link: re.Match[str]) -> str:
    """Return a link from the folder above as one from the folder of the pages."""
    path, anchor = link[1], link[2] or ""
    page = _PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else f"../{path}")
    return f"]({page}{anchor})"
