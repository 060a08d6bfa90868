"""The ``training`` section of parameters.json."""

from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from discern.config_section import ConfigSection
from discern.registry import LEARNING_RATE_SCHEDULES, OPTIMIZERS

_DEFAULT_ALGORITHM = "RectifiedAdam"
_PUBLISHED_BETAS = {"beta_1": 0.85, "beta_2": 0.95}

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
FreezeMode = Literal["none", "conditional", "new-batches"]
NewRows = Literal["zeros", "mean"]


class EarlyStoppingConfig(ConfigSection):
    """When training stops before ``max_steps``.

    Attributes:
        delay: Epochs that do not count.
        patience: Epochs without improvement before stopping.
        min_delta: Smallest change of the monitored value that counts as improvement.
        relative_min_delta: The same as a fraction of the best value; replaces ``min_delta`` when given.
        monitor: A column of the history: ``val_loss``, ``val_decoder_counts_loss``, ...
        mode: Whether smaller or larger is better; ``auto`` means smaller.
        baseline: Value to start from: only a better one is an improvement.
        restore_best_weights: Go on with the best weights when training has stopped.
    """

    delay: NonNegativeInt = 5
    patience: NonNegativeInt = 30
    min_delta: NonNegativeFloat = 0.01
    relative_min_delta: NonNegativeFloat | None = None
    monitor: str = "val_loss"
    mode: Literal["auto", "min", "max"] = "auto"
    baseline: float | None = None
    restore_best_weights: bool = False


class OptimizerConfig(ConfigSection):
    """The optimizer; further keys are arguments of the algorithm.

    RectifiedAdam, named or by default, has beta_1 0.85 and beta_2 0.95 when they are absent; every other algorithm
    has its own defaults.

    Attributes:
        algorithm: A name of ``registry.OPTIMIZERS``.
        learning_rate: Initial learning rate.
        learning_decay: ``{"name": schedule, ...}``: how the learning rate changes with the steps.
        Lookahead: Wrap the algorithm in Lookahead.
    """

    model_config = ConfigDict(extra="allow")

    algorithm: str = _DEFAULT_ALGORITHM
    learning_rate: PositiveFloat = 1e-3
    learning_decay: dict[str, Any] | None = None
    Lookahead: bool = False

    @field_validator("algorithm")
    @classmethod
    def _known_algorithm(cls, value: str) -> str:
        return OPTIMIZERS.canonical(value)

    @model_validator(mode="after")
    def _known_names(self) -> "OptimizerConfig":
        OPTIMIZERS.check_arguments(self.algorithm, self.arguments)
        if self.learning_decay is not None:
            decay = dict(self.learning_decay)
            if "name" not in decay:
                raise ValueError(f"learning_decay needs a 'name'. Known: {', '.join(LEARNING_RATE_SCHEDULES.entries)}")
            LEARNING_RATE_SCHEDULES.check_arguments(str(decay.pop("name")), decay)
        return self

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the algorithm other than the learning rate."""
        published = _PUBLISHED_BETAS if self.algorithm == _DEFAULT_ALGORITHM else {}
        return published | (self.model_extra or {})


class OnlineTrainingConfig(ConfigSection):
    """How a trained model takes up the cells of new batches.

    Attributes:
        freeze_mode: What is not trained. ``none``: everything is trained. ``conditional``: only variables with a row
            for each batch are trained, rows of old batches too. ``new-batches``: nothing but the rows of new batches
            is trained, so that old batches are encoded and decoded exactly as before.
        new_rows: First values of the rows of new batches: ``zeros``, or the ``mean`` of the rows of old batches.
        replay: Share of the old training cells that are trained on along with the new ones.
        min_gene_overlap: Smallest share of the model's genes that the new cells must have.
        max_steps: Epochs at most; those of ``training.max_steps`` when null. Few are enough where little is trained.
    """

    freeze_mode: FreezeMode = "none"
    new_rows: NewRows = "zeros"
    replay: float = Field(default=0.0, ge=0.0, le=1.0)
    min_gene_overlap: float = Field(default=0.8, gt=0.0, le=1.0)
    max_steps: PositiveInt | None = None


class TrainingConfig(ConfigSection):
    """How a model is trained.

    Attributes:
        batch_size: Cells per minibatch.
        max_steps: Epochs at most.
        parallel_pc: Threads of one operation, half as many operations side by side; 0 lets TensorFlow decide.
        GPU: Indices of the GPUs to use, all for one model; an empty list means the CPU.
        XLA: Compile the training step; ``auto`` does so on a GPU only: on CPUs the compiled step is a third slower.
        precision: Format of the wide matrix products while training: ``float32``, ``mixed_bfloat16`` or
            ``mixed_float16``; weights and losses are in float32 in any case, and so is projection.
        early_stopping: null trains all ``max_steps``.
        optimizer: The optimizer.
        seed: Drives initial weights, the order of the cells and every random draw.
        deterministic: ``auto`` gives the same bits in every run on as many threads of a CPU, on a GPU only nearly; ``true``
            also on a GPU, where operations are then slower.
        tensorboard: Write TensorBoard logs into ``job/tensorboard``.
        umap_every: Draw a UMAP picture of the latent space every so many epochs; 0 draws none.
        online: How `discern onlinetraining` takes up new batches.
    """

    batch_size: PositiveInt = 192
    max_steps: PositiveInt = 200
    parallel_pc: NonNegativeInt = 5
    GPU: list[NonNegativeInt] = [0]
    XLA: bool | Literal["auto"] = "auto"
    precision: Precision = "float32"
    early_stopping: EarlyStoppingConfig | None = EarlyStoppingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    seed: int = Field(default=0, ge=0, lt=2**31)
    deterministic: bool | Literal["auto"] = "auto"
    tensorboard: bool = False
    umap_every: NonNegativeInt = 0
    online: OnlineTrainingConfig = OnlineTrainingConfig()

    @field_validator("XLA", "deterministic", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        if value != "auto" and not isinstance(value, bool):
            raise ValueError("give true, false or 'auto'")
        return value
