"""How good a model is that took up new batches, and what that costs, against training on all batches anew.

    python -m benchmarks.online FOLDER DATA.h5ad --query donor_a donor_b

The batches named by --query are added to a model of the others, in several ways. Each is scored on the query's cells,
decoded into the largest batch of the reference, against real cells of that batch. Times are those of whole commands.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from benchmarks.measuring import machine, measure
from discern.evaluation.against_reference import differences_between_types, type_mean_correlation
from discern.evaluation.distribution import classifier_auc
from discern.evaluation.type_moments import type_moments
from discern.keys import BATCH, ESTIMATED_COUNTS, LATENT

SHIPPED_PARAMETERS = Path(__file__).resolve().parents[1] / "parameters.json"
WAYS = {
    "all": ["--freeze-mode", "none"],
    "conditional": ["--freeze-mode", "conditional"],
    "new-batches": ["--freeze"],
    "new-batches-from-mean": ["--freeze", "--new-rows", "mean"],
    "all-with-replay": ["--freeze-mode", "none", "--replay", "0.25"],
}
_FEWEST_CELLS = 20  # of a type, to tell how it mixes


@dataclass(frozen=True)
class Score:
    """How good an experiment is, and what it took.

    Attributes:
        way: How it was made.
        seconds: Time of its commands; training the reference does not count.
        type_means: Correlation of the query's type means, decoded into the target, with those of real target cells.
        fold_changes: Correlation of the fold changes between types.
        mixing: 1 where a classifier cannot tell the query's latent codes from those of the target, type by type; 0 where
            it always can.
        reference_type_means: As ``type_means``, of the reference's other batches.
        reference_change: Largest change of the decoded expression of a reference cell; 0 when no bit changed.
    """

    way: str
    seconds: float
    type_means: float
    fold_changes: float
    mixing: float
    reference_type_means: float
    reference_change: float


class Comparison:
    """The experiments of one data set."""

    def __init__(self, arguments: argparse.Namespace):
        """Write the inputs: all cells, those of the reference, and those of the query."""
        self.folder: Path = arguments.folder
        self.labels: str = arguments.labels
        self.epochs: int = arguments.epochs
        self.online_epochs: int = arguments.online_epochs
        self.layers: list[int] | None = arguments.layers
        self.folder.mkdir(parents=True, exist_ok=True)
        cells = anndata.read_h5ad(arguments.data)
        is_query = cells.obs[BATCH].isin(arguments.query).to_numpy()
        missing = set(arguments.query) - set(cells.obs[BATCH].astype(str))
        if missing:
            raise SystemExit(f"No cell of {arguments.data} belongs to {', '.join(sorted(missing))}.")
        self.query = set(arguments.query)
        self.target = str(cells.obs[BATCH][~is_query].value_counts().index[0])
        for name, chosen in (("every", slice(None)), ("reference", ~is_query), ("query", is_query)):
            part = cells[chosen].copy()
            part.obs[BATCH] = part.obs[BATCH].astype(str)
            part.write_h5ad(self._input(name))

    def retrained(self) -> Score:
        """Train on all batches anew."""
        seconds = self._make("retrained", "every")
        return self._score("retrained", seconds, before=None)

    def train_reference(self) -> None:
        """Train on the reference; the ways start from a copy of it."""
        self._make("reference", "reference")
        self._project("reference")

    def online(self, way: str) -> Score:
        """Take up the query."""
        shutil.rmtree(self._experiment(way), ignore_errors=True)
        shutil.copytree(self._experiment("reference"), self._experiment(way))
        seconds = self._run(
            way,
            "onlinetraining",
            "--filename",
            str(self._input("query")),
            "--max-steps",
            str(self.online_epochs),
            *WAYS[way],
        )
        return self._score(way, seconds, before="reference")

    def _make(self, name: str, raw: str) -> float:
        """Process and train, unless an earlier run of this benchmark did; return the time that took."""
        taken = self.folder / f"{name}_seconds.json"
        if taken.exists():
            return float(json.loads(taken.read_text(encoding="utf-8")))
        shutil.rmtree(self._experiment(name), ignore_errors=True)
        content = json.loads(SHIPPED_PARAMETERS.read_text(encoding="utf-8"))
        experiment = content["experiments"]["default_experiment"]
        experiment["input_ds"]["raw_input"] = [str(self._input(raw).absolute())]
        experiment["training"] |= {"max_steps": self.epochs, "GPU": []}
        if self.layers:
            norms = ["conditionallayernorm"] * len(self.layers)
            experiment["model"] |= {"norm_type": norms}
            experiment["model"]["encoder"]["layers"] = self.layers
            experiment["model"]["decoder"]["layers"] = self.layers[::-1]
        self._experiment(name).mkdir(parents=True)
        parameters = self._experiment(name) / "parameters.json"
        parameters.write_text(json.dumps(experiment), encoding="utf-8")
        seconds = self._run(name, "process") + self._run(name, "train")
        taken.write_text(json.dumps(seconds), encoding="utf-8")
        return seconds

    def _score(self, name: str, seconds: float, before: str | None) -> Score:
        self._project(name)
        decoded = self._decoded(name)
        real = anndata.read_h5ad(self._experiment(name) / "processed_data" / "concatenated_data.h5ad")
        real = real[real.obs[BATCH] == self.target]
        types = pd.Index(sorted(set(decoded.obs[self.labels].astype(str))))
        true = type_moments(real.X.toarray(), types.get_indexer(real.obs[self.labels].astype(str)), len(types))
        batch = decoded.obs[BATCH].astype(str)
        groups = {
            "query": batch.isin(self.query).to_numpy(),
            "reference": ~batch.isin({*self.query, self.target}).to_numpy(),
        }
        moments = {
            group: type_moments(
                decoded.layers[ESTIMATED_COUNTS][chosen],
                types.get_indexer(decoded.obs[self.labels][chosen].astype(str)),
                len(types),
            )
            for group, chosen in groups.items()
        }
        rest = groups["reference"].any()
        return Score(
            way=name,
            seconds=round(seconds, 1),
            type_means=type_mean_correlation(moments["query"], true),
            fold_changes=differences_between_types(moments["query"], true)["fold_change_correlation"],
            mixing=self._mixing(decoded, groups["query"], (batch == self.target).to_numpy()),
            reference_type_means=type_mean_correlation(moments["reference"], true) if rest else float("nan"),
            reference_change=float("nan") if before is None else self._change(decoded, self._decoded(before)),
        )

    def _mixing(self, decoded: AnnData, query: np.ndarray, target: np.ndarray) -> float:
        latent, labels = decoded.obsm[LATENT], decoded.obs[self.labels].astype(str).to_numpy()
        found = []
        for label in sorted(set(labels)):
            sides = [latent[chosen & (labels == label)] for chosen in (query, target)]
            if min(map(len, sides)) >= _FEWEST_CELLS:
                auc = classifier_auc(*sides, rng=np.random.default_rng(0))
                found.append(1.0 - 2.0 * abs(auc - 0.5))
        return float(np.mean(found))

    @staticmethod
    def _change(after: AnnData, before: AnnData) -> float:
        same = after[before.obs_names, before.var_names]
        return float(np.abs(same.layers[ESTIMATED_COUNTS] - before.layers[ESTIMATED_COUNTS]).max())

    def _project(self, name: str) -> None:
        self._run(name, "project", "--metadata", f"{BATCH}:{self.target}", "--layers", ESTIMATED_COUNTS, "--no-raw")

    def _decoded(self, name: str) -> AnnData:
        [path] = (self._experiment(name) / "projected").glob("projected_to_average_*.h5ad")
        return anndata.read_h5ad(path)

    def _run(self, name: str, verb: str, *options: str) -> float:
        command = [sys.executable, "-m", "discern", verb, str(self._experiment(name) / "parameters.json"), *options]
        return measure(command, self._experiment(name), self.folder / f"{name}_{verb}.log").seconds

    def _experiment(self, name: str) -> Path:
        return self.folder / "experiments" / name

    def _input(self, name: str) -> Path:
        return self.folder / f"{name}.h5ad"


def table(scores: Sequence[Score]) -> str:
    """Return all scores, the time also as a share of the first way's."""
    rows = pd.DataFrame([asdict(score) for score in scores]).set_index("way")
    rows.insert(1, "share of time", rows["seconds"] / rows["seconds"].iloc[0])
    return str(rows.round(4).to_string())


def main() -> None:
    """Run all ways, print a table and write ``online.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="working folder")
    parser.add_argument("data", type=Path, help="h5ad with raw counts, obs['batch'] and labels")
    parser.add_argument("--query", nargs="+", required=True, help="batches to add")
    parser.add_argument("--labels", default="celltype", help="column of obs with cell types, for scoring only")
    parser.add_argument("--epochs", type=int, default=200, help="max_steps; early stopping is as shipped")
    parser.add_argument("--online-epochs", type=int, default=30, help="epochs to take up the query, at most")
    parser.add_argument("--layers", type=int, nargs="+", help="layers of the encoder in place of the shipped ones")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    arguments = parser.parse_args()
    comparison = Comparison(arguments)
    scores = [comparison.retrained()]
    print(table(scores), flush=True)
    comparison.train_reference()
    for way in arguments.ways:
        scores.append(comparison.online(way))
        print(table(scores), flush=True)
        content = {"machine": machine(), "scores": [asdict(score) for score in scores]}
        (arguments.folder / "online.json").write_text(json.dumps(content, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
