"""What kind of gene names an input uses, and why two inputs have no gene in common."""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

import pandas as pd

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d{6,})\.\d+")
_CUT = " without version"
_SPECIES = re.compile(r"ENS[A-Z]*G(?=\d)")
_CAPITALISED = re.compile(r"[A-Z][a-z0-9]*[a-z][a-z0-9.\-]*")
_EXAMINED = 2000

ENSEMBL = "Ensembl ids"
ENSEMBL_VERSIONED = "Ensembl ids with version suffix"
UPPER_CASE = "symbols in upper case, as in human"
CAPITALISED = "capitalised symbols, as in mouse"
NUMBERS = "numbers"
OTHER = "names"


def looks_like_ensembl(names: Iterable[str]) -> bool:
    """Tell whether most names are Ensembl gene ids (ENSG…, ENSMUSG…), with or without version suffix."""
    return _share(names, _ENSEMBL.fullmatch) > 0.5


def kind_of_names(names: Iterable[str]) -> str:
    """Return what kind of gene names these are: one of the constants of this module."""
    names = list(islice(names, _EXAMINED))
    if looks_like_ensembl(names):
        return ENSEMBL_VERSIONED if _share(names, lambda name: "." in name) > 0.5 else ENSEMBL
    if _share(names, str.isdigit) > 0.5:
        return NUMBERS
    if _share(names, str.isupper) > 0.8:
        return UPPER_CASE
    if _share(names, _CAPITALISED.fullmatch) > 0.6:
        return CAPITALISED
    return OTHER


def without_version(names: pd.Index) -> pd.Index:
    """Return the names, Ensembl ids among them without their version: ENSG00000141510.16 is ENSG00000141510."""
    return pd.Index(
        [match[1] if (match := _VERSIONED.fullmatch(name)) else name for name in map(str, names)], dtype=object
    )


def spellings(var: pd.DataFrame) -> dict[str, pd.Index]:
    """Return all names that the genes of an input have, by what messages call them; genes without a name have "".

    These are the gene names themselves, which come first, and every column of text of which most values differ; each
    also without the version of Ensembl ids.

    Args:
        var: Gene annotation, (n_genes, ...).
    """
    found = {"gene names": pd.Index(var.index.astype(str), dtype=object)}
    for column in var.columns:
        if _holds_names(var[column]):
            names = var[column].astype(object)
            found[f"var['{column}']"] = pd.Index(names.where(names.notna(), "").astype(str), dtype=object)
    shorter = {f"{kind}{_CUT}": without_version(names) for kind, names in found.items()}
    return found | {kind: names for kind, names in shorter.items() if not names.equals(found[kind[: -len(_CUT)]])}


def names_differ_in_kind(variables: Mapping[str, pd.DataFrame]) -> bool:
    """Tell whether inputs name their genes in other ways, as those of other species do."""
    return len({kind_of_names(var.index) for var in variables.values()} - {OTHER}) > 1


def explain_no_common_genes(variables: Mapping[str, pd.DataFrame], n_common: int = 0) -> str:
    """Return a message on inputs with hardly a common gene: examples of every input's names, and a hint how to mend it.

    Args:
        variables: Name of the input to its gene annotation.
        n_common: Genes in common.
    """
    kinds = {name: kind_of_names(var.index) for name, var in variables.items()}
    beginning = f"The inputs have {n_common or 'no'} {'genes' if n_common > 1 else 'gene'} in common."
    lines = [
        f"  {name} ({len(var):,} genes, {kinds[name]}): {', '.join(map(str, var.index[:4]))}"
        for name, var in islice(variables.items(), 10)
    ]
    return "\n".join([beginning, *lines, _hint(set(kinds.values()), variables)])


def _hint(kinds: set[str], variables: Mapping[str, pd.DataFrame]) -> str:
    species = {match[0] for var in variables.values() if (match := _SPECIES.match(str(var.index[0])))}
    if kinds <= {ENSEMBL, ENSEMBL_VERSIONED} and len(species) > 1:
        return f"The Ensembl ids differ in species ({', '.join(sorted(species))}): translate them to one species first."
    if kinds <= {ENSEMBL, ENSEMBL_VERSIONED} and ENSEMBL_VERSIONED in kinds:
        return "Cut the version suffix from the gene names that have one: ENSG00000141510.16 is ENSG00000141510."
    if kinds & {ENSEMBL, ENSEMBL_VERSIONED} and kinds & {UPPER_CASE, CAPITALISED, OTHER}:
        columns = sorted(
            {str(column) for var in variables.values() for column in var.columns if _holds_names(var[column])}
        )
        found = f" The other kind may be in var: {', '.join(columns)}." if columns else ""
        return f"Ensembl ids meet symbols: give all inputs the same kind of gene names as var_names.{found}"
    if {UPPER_CASE, CAPITALISED} <= kinds:
        return "Human and mouse symbols differ in case: translate one species through a table of orthologues first."
    if NUMBERS in kinds:
        return "One input has numbers for gene names: set its var_names to gene names."
    return "Give all inputs the same kind of gene names."


def _holds_names(column: pd.Series) -> bool:
    values = column.iloc[:_EXAMINED].astype(object)
    if pd.api.types.infer_dtype(values, skipna=True) != "string" or kind_of_names(values.dropna()) == NUMBERS:
        return False
    return values.nunique() > len(values) / 2


def _share(names: Iterable[str], test: Callable[[str], object]) -> float:
    examined = list(islice(names, _EXAMINED))
    return sum(bool(test(name)) for name in examined) / max(1, len(examined))
