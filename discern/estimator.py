"""``DISCERN``: the published Python interface over the model families, the training loop and projection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from anndata import AnnData

from discern.config.experiment import ExperimentConfig
from discern.config.loading import experiment_config
from discern.errors import DataError, ExperimentError, MissingParameterError, counted
from discern.io.data import DISCERNData
from discern.io.record_schema import genes_digest
from discern.io.transform import InputTransform
from discern.models.catalog import FAMILIES
from discern.models.contract import DataDescription, ModelFamily
from discern.projection.project import check_genes, project_cells
from discern.projection.reconstruct import reconstruct_cells
from discern.projection.targets import Target
from discern.training.checkpoints import Checkpoint, is_checkpoint, save_checkpoint
from discern.training.devices import wants_xla
from discern.training.fit import fit
from discern.training.precision import computing_in, optimizer_for
from discern.training.progress_line import ProgressLine
from discern.training.set_up import configured_optimizer
from discern.training.trained_model import best_model_of, load_trained


class DISCERN:
    """Train on preprocessed cells and decode them as if they had been sequenced in another batch.

    Attributes:
        wae_model: The Keras model; None until it is built.
        start_step: Epochs the model has been trained.
    """

    def __init__(self, **kwargs: Any):
        """Configure; nothing is built.

        Args:
            **kwargs: Sections of an experiment: ``model``, ``training``, ``input_ds``; defaults where absent.

        Raises:
            ParametersError: A section has invalid entries.
        """
        self.config: ExperimentConfig = experiment_config(kwargs, "DISCERN")
        self.family: ModelFamily | None = None
        self.wae_model: keras.Model | None = None
        self.start_step = 0
        self._optimizer: keras.Optimizer | None = None
        self._scale: float | None = None  # as configured
        self._knows_data = False

    @classmethod
    def from_json(cls, jsondata: Mapping[str, Any]) -> "DISCERN":
        """Configure from one experiment of parameters.json, which is left unchanged.

        Raises:
            MissingParameterError: ``model`` or ``training`` is absent (also a KeyError).
            ParametersError: An entry is invalid.
        """
        for section in ("model", "training"):
            if section not in jsondata:
                raise MissingParameterError(
                    f"The parameters have no section '{section}'. Found: {', '.join(jsondata)}."
                )
        return cls(**jsondata)

    @property
    def encoder(self) -> keras.Model:
        """The encoder.

        Raises:
            AttributeError: No model is built.
            ValueError: The model has no encoder.
        """
        return self._built.get_layer("encoder")

    @property
    def decoder(self) -> keras.Model:
        """The decoder.

        Raises:
            AttributeError: No model is built.
            ValueError: The model has no decoder.
        """
        return self._built.get_layer("decoder")

    @property
    def _built(self) -> keras.Model:
        if self.wae_model is None:
            raise AttributeError("The model is not built: call build_model() or restore_model() first.")
        return self.wae_model

    @property
    def _family(self) -> ModelFamily:
        if self.family is None:
            raise ExperimentError("The model is not built: call build_model() or restore_model() first.")
        return self.family

    def build_model(self, n_genes: int, n_labels: int, scale: float) -> None:
        """Build the networks.

        Args:
            n_genes: Number of genes.
            n_labels: Number of batches.
            scale: Number of training cells.
        """
        transform = InputTransform(library_size=self.config.input_ds.scale.LSN, log=True)
        batches = tuple(str(number) for number in range(n_labels))
        self._adopt(self._new_family(DataDescription(n_genes, batches, int(scale), transform)))

    def _new_family(self, description: DataDescription) -> ModelFamily:
        config = self.config.model
        with computing_in(self.config.training.precision):
            return FAMILIES.get(config.name)(config, description, self.config.training.seed)

    def _adopt(self, family: ModelFamily, step: int = 0, knows_data: bool = False) -> None:
        self.family, self.wae_model, self.start_step, self._knows_data = family, family.model, step, knows_data
        self._optimizer = None  # its state belongs to the weights of the model before

    def get_optimizer(self) -> keras.Optimizer:
        """Return a new optimizer as configured."""
        return configured_optimizer(self.config.training)

    def compile(self, optimizer: keras.Optimizer, scale: float = 15000.0) -> None:
        """Make the model ready for training.

        Args:
            optimizer: A Keras optimizer.
            scale: Weight of the reconstruction term.
        """
        self._optimizer, self._scale = optimizer_for(self.config.training.precision, optimizer), scale
        self._family.compile(self._optimizer, wants_xla(self.config.training.XLA), reconstruction_weight=scale)

    def restore_model(self, directory: Path) -> None:
        """Load the best model of a job folder; ``start_step`` becomes its number of epochs.

        Raises:
            ExperimentError: The folder holds no model.
        """
        path = best_model_of(directory)
        with computing_in(self.config.training.precision):
            family, checkpoint = load_trained(path)
        self._adopt(family, checkpoint.epoch, knows_data=is_checkpoint(path))

    def training(
        self,
        inputdata: DISCERNData,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        savepath: Path | None = None,
        max_steps: int = 25,
    ) -> keras.callbacks.History:
        """Train on the cells whose split is "train", validate on those of "valid".

        Args:
            inputdata: Preprocessed cells.
            callbacks: Keras callbacks.
            savepath: Folder that the trained model is written to.
            max_steps: Epochs to train until; training goes on from ``start_step``.

        Returns:
            ``history`` holds the loss and every term per epoch, ``epoch`` the numbers of the epochs.
        """
        family = self._family
        check_genes(family, inputdata)
        self._learn_from(inputdata)
        # compiled here in any case: only the data know the value of a zero count
        self._optimizer = self._optimizer or self.get_optimizer()
        family.compile(self._optimizer, wants_xla(self.config.training.XLA), self._scale)
        epochs = range(self.start_step, max_steps)
        callbacks = list(callbacks or ())
        stops = any(isinstance(one, keras.callbacks.EarlyStopping) for one in callbacks)
        history = fit(
            family,
            *inputdata.sources(family.data.batches),
            batch_size=inputdata.batch_size,
            seed=self.config.training.seed,
            epochs=epochs,
            callbacks=[ProgressLine(epochs.start, epochs.stop, stops), *callbacks],
        )
        self.start_step += len(history.epoch)
        if savepath is not None:
            save_checkpoint(best_model_of(savepath), family, Checkpoint(self.start_step), with_state=False)
        return history

    def _learn_from(self, data: DISCERNData) -> None:
        """Tell a newly built family what only data know: batch names, scaling, the value of a zero count.

        A family that was trained or restored keeps what it knows; cells are matched with its batches by name.
        """
        family = self._family
        if self._knows_data:
            return
        if len(data.batches) != family.data.n_batches:
            raise DataError(
                f"The data has {counted(len(data.batches), 'batch', 'batches')} ({', '.join(data.batches)}), the model "
                f"was built for {family.data.n_batches}."
            )
        built, found = family.data.transform.library_size, data.transform.library_size
        if built is not None and built != found:
            raise DataError(f"The data were normalised to a library size of {found}, the model was built for {built}.")
        family.data = replace(
            family.data,
            batches=tuple(data.batches),
            transform=data.transform,
            genes_sha256=genes_digest(data.var_names),
        )
        self._knows_data = True

    def generate_latent_codes(
        self, counts: np.ndarray, batch_labels: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Encode cells.

        Args:
            counts: Scaled expression, (n_cells, n_genes).
            batch_labels: Batch of every cell, (n_cells, n_batches).
            batch_size: Cells per minibatch.

        Returns:
            Latent means and log standard deviations, (n_cells, n_latent) each.
        """
        return _in_minibatches(self.encoder, counts, batch_labels, batch_size)

    def generate_cells_from_latent(
        self, latent_codes: np.ndarray, output_batch_labels: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Decode latent codes.

        Args:
            latent_codes: (n_cells, n_latent).
            output_batch_labels: Batch to decode into, (n_cells, n_batches), may be fractional.
            batch_size: Cells per minibatch.

        Returns:
            Scaled expression and P(count > 0), (n_cells, n_genes) each.
        """
        return _in_minibatches(self.decoder, latent_codes, output_batch_labels, batch_size)

    def reconstruct(
        self, input_data: DISCERNData, column: str | None, column_value: str | None, store_sigmas: bool = False
    ) -> AnnData:
        """Return the cells decoded into the average batch of the cells with a value; see ``projection.targets``.

        Args:
            input_data: Preprocessed cells.
            column: obs column; None decodes every cell into its own batch.
            column_value: Value in that column; None or empty: see :func:`~discern.projection.targets.target_labels`.
            store_sigmas: Keep the latent log standard deviations.
        """
        self._learn_from(input_data)
        target = Target.of(column, column_value)
        seed = self.config.training.seed
        return reconstruct_cells(self._family, input_data, target, seed=seed, store_sigmas=store_sigmas)

    def project_to_metadata(
        self,
        input_data: DISCERNData,
        metadata: Iterable[tuple[str, str | None]] | None,
        save_path: Path,
        store_sigmas: bool = False,
    ) -> list[Path]:
        """Write one projected file per (column, value); without metadata ``unprojected.h5ad``.

        Args:
            input_data: Preprocessed cells.
            metadata: Pairs of obs column and value.
            save_path: Folder of the files.
            store_sigmas: Keep the latent log standard deviations.
        """
        self._learn_from(input_data)
        targets = [Target.of(column, value) for column, value in metadata or ()] or [Target()]
        seed = self.config.training.seed
        return project_cells(self._family, input_data, targets, Path(save_path), seed=seed, store_sigmas=store_sigmas)


def _in_minibatches(
    model: keras.Model, first: np.ndarray, second: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    pieces = [
        model.predict_on_batch([first[start : start + batch_size], second[start : start + batch_size]])
        for start in range(0, len(first), batch_size)
    ]
    return np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])
