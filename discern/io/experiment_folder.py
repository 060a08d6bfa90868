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
        """The job folder as it was before online training; in it 1, 2, ... those that ``train --restart`` replaced."""
        return self.path / "backup"

    @property
    def lock(self) -> Path:
        """Held by the process that works on the experiment."""
        return self.path / ".lock"

    @property
    def best_model(self) -> Path:
        """Weights with the best monitored loss; what projection uses."""
        return self.job / "best_model.hdf5"

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
    def tensorboard(self) -> Path:
        """TensorBoard logs."""
        return self.job / "tensorboard"

    @property
    def umap_pictures(self) -> Path:
        """UMAP pictures of the latent space during training."""
        return self.job / "UMAP"
