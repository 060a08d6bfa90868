"""What the pipeline knows of a model family, and all it may know.

A family is one class: it builds its Keras model for given data, says how the cells it reads are transformed, and
implements the capabilities it has by providing their methods. Training, projection, evaluation and search speak to
families only through the names below.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import keras
import numpy as np

from discern.config_section import ConfigSection
from discern.errors import DiscernError
from discern.io.transform import InputTransform
from discern.layers.batch_rows import variables_with_batch_axis
from discern.models.termwise import TermwiseModel


@dataclass(frozen=True)
class DataDescription:
    """What a model needs to know of the data it is built for.

    Attributes:
        n_genes: Number of genes.
        batches: Batch names in the order of the label columns.
        n_train_cells: Number of training cells the model is for. It counts cells that are elsewhere too: those of a
            reference that was shared without them.
        transform: What preprocessing recorded: library size, logarithm, scaling.
        genes_sha256: Digest of the gene names in their order; empty when they are not known.
    """

    n_genes: int
    batches: tuple[str, ...]
    n_train_cells: int
    transform: InputTransform
    genes_sha256: str = ""

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(self.batches)

    def same_features(self, n_genes: int, batches: Sequence[str], transform: InputTransform) -> bool:
        """Tell whether genes (by number), batches and scaling are those of other data."""
        same_names = (self.n_genes, self.batches) == (n_genes, tuple(batches))
        return same_names and np.array_equal(self.transform.zeros(self.n_genes), transform.zeros(n_genes))

    def same_data(self, other: "DataDescription") -> bool:
        """Tell whether genes, batches, scaling and the number of training cells agree; unknown gene names always do."""
        mine, theirs = self.transform, other.transform
        same_counts = (self.n_train_cells, mine.library_size, mine.log) == (
            (other.n_train_cells, theirs.library_size, theirs.log)
        )
        same_genes = not (self.genes_sha256 and other.genes_sha256) or self.genes_sha256 == other.genes_sha256
        return same_counts and same_genes and self.same_features(other.n_genes, other.batches, theirs)


@dataclass(frozen=True)
class Latent:
    """Encoded cells, (n_cells, n_latent) each."""

    mean: np.ndarray
    log_std: np.ndarray | None = None


@dataclass(frozen=True)
class Decoded:
    """Decoded cells, (n_cells, n_genes) each.

    Attributes:
        expression: In the family's output space, not below 0.
        probability: P(count > 0), for families that estimate it; zeros are drawn from it.
    """

    expression: np.ndarray
    probability: np.ndarray | None = None


class ModelFamily(ABC):
    """One model design, configured and bound to data."""

    name: ClassVar[str]
    output_space: ClassVar[str]

    def __init__(self, config: ConfigSection, data: DataDescription, seed: int = 0):
        """Build the model.

        Args:
            config: The ``model`` section of the parameters.
            data: What the model is built for.
            seed: Drives initial weights and every random draw of the model.
        """
        self.config = config
        self.data = data
        self.model = self.build(seed)

    @classmethod
    def from_foreign_file(cls, path: Path, data: DataDescription | None, seed: int) -> "ModelFamily | None":
        """Return the trained model of a file that another program saved; None when the family knows no such file.

        Args:
            path: The file.
            data: What the file does not tell, batch names and scaling; placeholders when None.
            seed: Drives the random draws of the model.
        """
        return None

    @abstractmethod
    def build(self, seed: int) -> TermwiseModel:
        """Return the Keras model that is trained."""

    @abstractmethod
    def transform(self) -> InputTransform:
        """Return how the counts this family reads are transformed."""

    @abstractmethod
    def model_input(self, minibatch: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (inputs, targets) of the model for one minibatch of the data path."""

    @abstractmethod
    def compile(
        self, optimizer: keras.Optimizer, jit_compile: bool, reconstruction_weight: float | None = None
    ) -> None:
        """Make the model ready for ``fit``.

        Args:
            optimizer: A Keras optimizer.
            jit_compile: Compile the training step with XLA.
            reconstruction_weight: Weight of the reconstruction term in place of the configured one.
        """

    def doubts(self, epoch: Mapping[str, float]) -> Sequence[str]:
        """Return sentences on what looks wrong with a model although its training went on without an error.

        Args:
            epoch: What the history says of the epoch whose weights are kept, by column.
        """
        return ()

    def variables_with_batch_axis(self) -> Sequence[keras.Variable]:
        """Return the variables whose axis 0 is the batch; they grow when batches are added.

        Layers tell which of their variables these are, see :class:`~discern.layers.batch_rows.BatchRows`.
        """
        return variables_with_batch_axis(self.model)


@runtime_checkable
class Encodes(Protocol):
    """Can map cells to a latent space."""

    def encode(self, expression: np.ndarray, source_batch: np.ndarray) -> Latent:
        """Encode transformed cells (n_cells, n_genes) with their batch labels (n_cells, n_batches)."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can decode a latent as if the cells had been sequenced in given batches."""

    def decode(self, latent_mean: np.ndarray, target_batch: np.ndarray) -> Decoded:
        """Decode (n_cells, n_latent) into the batches of (n_cells, n_batches), which may be fractional."""
        ...


@runtime_checkable
class Reconstructs(Encodes, Decodes, Protocol):
    """Can do both, hence project."""


def require(family: ModelFamily, capability: type, verb: str) -> Any:
    """Return the family when it has the capability.

    Raises:
        DiscernError: It has not; the message names family and verb.
    """
    if not isinstance(family, capability):
        raise DiscernError(f"A model of family '{family.name}' cannot {verb}.")
    return family
