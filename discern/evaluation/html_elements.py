"""HTML as nested calls; whatever is not already HTML is escaped, so that no name of a batch can become markup."""

from collections.abc import Iterable, Sequence
from html import escape

_EMPTY = {"img", "meta", "br"}

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 76rem; background: #fff; color: #1a1a1a;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p, ul { max-width: 46rem; }
nav a { margin-right: 1rem; }
a { color: #0b5394; }
small, figcaption { color: #444; font-size: .875rem; }
.scroll { overflow-x: auto; border: 1px solid #ccc; margin: .5rem 0; }
.scroll:focus { outline: 2px solid #0b5394; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; overflow-wrap: normal; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #e3e3e3; text-align: left; vertical-align: top; }
thead th { background: #f4f4f4; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.first, th.first { min-width: 19rem; font-weight: normal; }
@media (min-width: 60rem) { td.first, th.first { min-width: 27rem; } }
td.name, th.name { min-width: 7rem; overflow-wrap: anywhere; }
.best { font-weight: bold; }
.ceiling { color: #555; background: #fafafa; }
.mark { display: inline-block; padding: 0 .4rem; border-radius: .25rem; font-weight: bold; white-space: nowrap; }
.pass { background: #d9f2df; color: #0b4d1b; }
.warn { background: #fff0c2; color: #573d00; }
.fail { background: #fbdcdc; color: #7a0c0c; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
.pairs { grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
figure { margin: 0; min-width: 0; }
img { display: block; max-width: 100%; height: auto; }
pre { white-space: pre-wrap; background: #f7f7f7; padding: .75rem; font-size: .8rem; }
code { font-size: .9em; }
.caution { border-left: .3rem solid #b45f06; background: #fff7e6; padding: .5rem .75rem; margin: .5rem 0; max-width: 46rem; }
.note { border-left: .3rem solid #999; background: #f7f7f7; padding: .5rem .75rem; margin: .5rem 0; max-width: 46rem; }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
""".strip()


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """Return one element.

    Args:
        name: Its tag.
        *children: What is inside: HTML as it is, anything else escaped; None is left out.
        **attributes: Attributes, escaped; ``class_`` is class, ``aria_label`` is aria-label, None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_clean(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: object) -> Html:
    """Return elements one after the other; text is escaped."""
    parts = (
        child if isinstance(child, Html) else escape(_clean(str(child))) for child in children if child is not None
    )
    return Html("".join(parts))


def _clean(text: str) -> str:
    """Return text without what no HTML file may hold: control characters and halves of surrogate pairs."""
    kept = (one for one in text if one in "\n\t" or not (ord(one) < 32 or 0x7F <= ord(one) < 0xA0))
    return "".join(kept).encode("utf-8", "replace").decode("utf-8")


def table(label: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table that scrolls within a box of its own.

    Args:
        label: What it shows, for people who do not see it.
        head: Its column heads; whole ``th`` elements are taken as they are.
        rows: Its cells; whole ``td`` and ``th`` elements are taken as they are.
    """
    body = (element("tr", *(_cell("td", one) for one in row)) for row in rows)
    content = element(
        "table",
        element("thead", element("tr", *(_cell("th", one, scope="col") for one in head))),
        element("tbody", *body),
    )
    return element("div", content, class_="scroll", role="region", aria_label=label, tabindex=0)


def _cell(name: str, content: object, **attributes: object) -> Html:
    if isinstance(content, Html) and content.startswith(("<td", "<th")):
        return content
    return element(name, content, **attributes)


def page(title: str, *body: object) -> str:
    """Return a whole HTML file that loads nothing from anywhere and runs no script.

    Args:
        title: Its title, and its first heading.
        *body: What follows.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(STYLE)),
    )
    main = element("body", element("main", element("h1", title), *body))
    return f"<!DOCTYPE html>\n{element('html', head, main, lang='en')}\n"
