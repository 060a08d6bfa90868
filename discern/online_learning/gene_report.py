"""How the genes of new cells fit those of a trained model, in words, numbers and a table."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from discern.io.gene_names import kind_of_names
from discern.io.whole_files import replacing_file

COLUMNS = ("data_set", "reference_gene", "query_gene", "status")
_EXAMPLES = 5


@dataclass(frozen=True)
class DataSetGenes:
    """Genes of one data set against those of the reference.

    Attributes:
        data_set: Name of the data set.
        n_reference_genes: Genes of the reference.
        n_genes: Genes of the data set.
        reference_names: Which names of the reference's genes were compared, e.g. ``gene names``.
        query_names: Which names of the data set's genes they were compared with, e.g. ``var['gene_symbols']``.
        missing: Genes of the reference that the data set does not have.
        extra: Genes of the data set that the reference does not have.
        duplicated: Further genes of the data set that stand for a gene found already; their counts are left out.
        renamed: (gene of the reference, gene of the data set) where these names differ.
    """

    data_set: str
    n_reference_genes: int
    n_genes: int
    reference_names: str
    query_names: str
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def n_matched(self) -> int:
        """Genes of the reference that the data set has."""
        return self.n_reference_genes - len(self.missing)

    def summary(self) -> str:
        """Return one line."""
        parts = [
            f"{self.data_set}: {self.n_matched:,} of {self.n_reference_genes:,} genes found",
            f"{len(self.missing):,} missing, which count as not measured{_examples(self.missing)}",
            f"{len(self.extra):,} further genes left out{_examples(self.extra)}",
            f"{len(self.duplicated):,} repeated, of which the first counts{_examples(self.duplicated)}",
        ]
        if self.renamed:
            parts.append(
                f"{self.query_names} matched to {self.reference_names} of the reference; its genes are called by "
                f"{kind_of_names(new for _, new in self.renamed)}, the reference's by "
                f"{kind_of_names(old for old, _ in self.renamed)}"
            )
        kept = [part for part in parts if not part.startswith("0 ")]
        return "; ".join(kept) + "."

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield a row of the table for every gene that is not simply there."""
        for status, names in (("missing", self.missing), ("extra", self.extra), ("duplicated", self.duplicated)):
            for name in names:
                yield (self.data_set, name, "", status) if status == "missing" else (self.data_set, "", name, status)
        for old, new in self.renamed:
            yield self.data_set, old, new, "renamed"


@dataclass(frozen=True)
class GeneReport:
    """Genes of all data sets of a query.

    Attributes:
        data_sets: One entry for each, in their order.
    """

    data_sets: tuple[DataSetGenes, ...]

    def summary(self) -> str:
        """Return one paragraph."""
        return " ".join(one.summary() for one in self.data_sets)

    def numbers(self) -> dict[str, dict[str, int | str]]:
        """Return for every data set which names were compared and how many genes are what."""
        return {
            one.data_set: {
                "matched": one.n_matched,
                **{name: len(getattr(one, name)) for name in ("missing", "extra", "duplicated", "renamed")},
                "reference_names": one.reference_names,
                "query_names": one.query_names,
            }
            for one in self.data_sets
        }

    def write_csv(self, path: Path) -> None:
        """Write one row for every gene that is missing, extra, duplicated or renamed."""
        with replacing_file(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            for one in self.data_sets:
                table.writerows(one.rows())


def _examples(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:_EXAMPLES])}{', …' if len(names) > _EXAMPLES else ''})" if names else ""
