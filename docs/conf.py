"""How Sphinx builds the documentation: `make docs`."""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]  # what fills pages, and the program of this checkout

from generated_content.notebook import tutorial_page  # noqa: E402 - found by the line above
from generated_content.pages import filled  # noqa: E402

project = "DISCERN"
author = "The DISCERN developers"
copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
exclude_patterns = ["_build", "generated_content"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_dmath_double_inline = True
nb_execution_mode = "off"  # a test runs the notebook

autodoc_default_options = {"members": True, "exclude-members": "compute_output_shape, get_config"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style")]
python_use_unqualified_type_names = True

smartquotes_action = "D"  # dashes only: quotation marks of the program are shown as they are
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "DISCERN"
html_static_path = ["_static"]
html_css_files = ["discern.css"]
html_show_copyright = False
html_copy_source = False

_NO_PLACEHOLDERS = re.compile(r"(``.*?``)|([|])", re.DOTALL)


def bring_tutorial(app: Sphinx) -> None:
    """Put the notebook beside the pages."""
    page = tutorial_page(DOCS.parent / "Tutorial.ipynb")
    (Path(app.srcdir) / "tutorial.ipynb").write_text(page, encoding="utf-8")


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Fill in what comes from the program."""
    source[0] = filled(source[0])


def escape_bars(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Keep |x| in a docstring what it is: reStructuredText would take it for the name of a substitution."""
    text = _NO_PLACEHOLDERS.sub(lambda found: found.group(1) or "\\|", "\n".join(lines))
    lines[:] = text.split("\n")


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("builder-inited", bring_tutorial)
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", escape_bars)
