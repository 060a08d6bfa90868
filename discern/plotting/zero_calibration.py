"""How estimated probabilities that a gene is seen compare with how often it was."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from discern.errors import ExperimentError
from discern.io.whole_files import write_text

N_BINS = 20
_COLUMNS = ("probability", "observed", "n")


@dataclass
class ZeroCalibration:
    """Sums over entries of cells and genes, by twentieths of the estimated probability.

    Attributes:
        n: Entries, int64 (20,).
        probability: Sum of their probabilities, (20,).
        seen: How many of them have a count, int64 (20,).
    """

    n: np.ndarray = field(default_factory=lambda: np.zeros(N_BINS, dtype=np.int64))
    probability: np.ndarray = field(default_factory=lambda: np.zeros(N_BINS))
    seen: np.ndarray = field(default_factory=lambda: np.zeros(N_BINS, dtype=np.int64))

    def add(self, probability: np.ndarray, seen: np.ndarray) -> None:
        """Add entries.

        Args:
            probability: Estimated P(count > 0), any shape.
            seen: Whether there was a count, bool, same shape.
        """
        values = probability.ravel()
        bins = np.clip((values * N_BINS).astype(np.int64), 0, N_BINS - 1)
        self.n += np.bincount(bins, minlength=N_BINS)
        self.probability += np.bincount(bins, weights=values, minlength=N_BINS)
        self.seen += np.bincount(bins[seen.ravel()], minlength=N_BINS)

    def table(self) -> pd.DataFrame:
        """Return one row per bin with entries: mean ``probability``, ``observed`` share with a count, number ``n``."""
        some = self.n > 0
        n = self.n[some]
        return pd.DataFrame({"probability": self.probability[some] / n, "observed": self.seen[some] / n, "n": n})


def calibration_error(table: pd.DataFrame) -> float:
    """Return the mean over entries of the distance between estimated probability and observed share of their bin."""
    return float(np.average((table["probability"] - table["observed"]).abs(), weights=table["n"]))


def write_calibration(path: Path, table: pd.DataFrame) -> None:
    """Write the table of :meth:`ZeroCalibration.table` as CSV."""
    write_text(path, table.to_csv(index=False, float_format="%.6g"))


def read_calibration(path: Path) -> pd.DataFrame:
    """Read what :func:`write_calibration` wrote.

    Raises:
        ExperimentError: The file does not exist or is another one.
    """
    if not path.is_file():
        raise ExperimentError(f"{path} does not exist. Run `discern evaluate` first, without --no-report.")
    try:
        table = pd.read_csv(path).astype("float64")
        if list(table.columns) != list(_COLUMNS) or not len(table):
            raise ValueError(f"its columns are {', '.join(map(str, table.columns))}")
    except ValueError as error:
        raise ExperimentError(
            f"{path} holds no calibration of zeros: {error}. Run `discern evaluate` again."
        ) from error
    return table
