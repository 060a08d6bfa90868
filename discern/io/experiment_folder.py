"""Every file and folder name of an experiment, once."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExperimentFolder:
    """The layout of one experiment on disk."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.path.name

    @property
    def parameters_file(self) -> Path:
        """The experiment's own parameters."""
        return self.path / "parameters.json"

    @property
    def provenance(self) -> Path:
        """How each step of the experiment was run."""
        return self.path / "provenance.json"

    @property
    def hyperparameter_file(self) -> Path:
        """Copy of the search configuration."""
        return self.path / "hyperparameter_search.json"

    @property
    def processed_data(self) -> Path:
        """Folder of the processed data."""
        return self.path / "processed_data"

    @property
    def processed_file(self) -> Path:
        """All cells after preprocessing."""
        return self.processed_data / "concatenated_data.h5ad"

    @property
    def original_data(self) -> Path:
        """Copies of the raw inputs, when asked for."""
        return self.path / "original_data"

    @property
    def scratch(self) -> Path:
        """Pieces of counts while a process works on them; hidden, and gone afterwards."""
        return self.path / "counts"

    @property
    def tfrecords(self) -> Path:
        """Folder of the training records."""
        return self.path / "TF_records"

    @property
    def job(self) -> Path:
        """Folder of checkpoints, logs and pictures of training."""
        return self.path / "job"

    @property
    def projected(self) -> Path:
        """Folder of projected cells."""
        return self.path / "projected"

    @property
    def optimize(self) -> Path:
        """Folder of the hyperparameter search."""
        return self.path / "optimize"

    @property
    def evaluation(self) -> Path:
        """Folder of measures and report."""
        return self.path / "evaluation"

    @property
    def backup(self) -> Path:
        """Folder of earlier states: 1, 2, ..., each laid out like an experiment.

        Online training keeps there what it replaces, ``train --restart`` the job alone. Earlier versions put the files
        of a job right here, or into a number without a ``job`` folder; these stay where they are.
        """
        return self.path / "backup"

    @property
    def backups(self) -> "list[ExperimentFolder]":
        """The earlier states, oldest first."""
        numbers = sorted(_number_of(path) for path in self.backup.glob("*") if path.is_dir() and _number_of(path))
        return [ExperimentFolder(self.backup / str(number)) for number in numbers]

    @property
    def next_backup(self) -> "ExperimentFolder":
        """Where the next state goes that is replaced; it does not exist."""
        return ExperimentFolder(self.backup / str(max(map(_number_of, self.backup.glob("*")), default=0) + 1))

    @property
    def staging(self) -> Path:
        """Where a new state is made until it is whole; only there while a process works on it, or after a kill."""
        return self.path / ".staging"

    @property
    def journal(self) -> Path:
        """Which renames bring a new state, and what it replaces, to their places."""
        return self.staging / "moves.json"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the experiment."""
        return self.path / ".lock"

    @property
    def best_model(self) -> Path:
        """Weights with the best monitored loss; what projection uses."""
        return self.job / "best_model.hdf5"

    @property
    def count_prior(self) -> Path:
        """How far cells' own counts move the estimates of the best model; written when first asked for."""
        return self.job / "count_prior.hdf5"

    @property
    def last_state(self) -> Path:
        """Weights, optimizer and counters after the last epoch; what training continues from."""
        return self.job / "last_state.hdf5"

    @property
    def previous_state(self) -> Path:
        """The state before the last one, for when that is damaged."""
        return self.job / "last_state.previous.hdf5"

    @property
    def damaged_state(self) -> Path:
        """A last state that could not be read, set aside."""
        return self.job / "last_state.damaged.hdf5"

    @property
    def history(self) -> Path:
        """One line per epoch."""
        return self.job / "history.csv"

    @property
    def online_history(self) -> Path:
        """The history of the last online training, which had cells of its own."""
        return self.job / "online_history.csv"

    @property
    def gene_alignment(self) -> Path:
        """Genes that the cells added last lack, have beyond the model's, or name otherwise."""
        return self.job / "gene_alignment.csv"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard logs."""
        return self.job / "tensorboard"

    @property
    def umap_pictures(self) -> Path:
        """UMAP pictures of the latent space during training."""
        return self.job / "UMAP"


def _number_of(path: Path) -> int:
    """Return the number that a backup is called by, 0 when its name is none."""
    return int(path.name) if path.name.isdecimal() and path.name.isascii() and not path.name.startswith("0") else 0
