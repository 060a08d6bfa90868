"""The ``model`` section of parameters.json for DISCERN's Wasserstein auto-encoder."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from discern.config_section import ConfigSection, also_found
from discern.errors import counted
from discern.models.wae.legacy_keys import add_other_spellings, present_spelling
from discern.registry import (
    ACTIVATIONS,
    NORMALISATIONS,
    OUTPUT_FUNCTIONS,
    RECONSTRUCTION_LOSSES,
    REGULARIZERS,
    Registry,
)

DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]


def _named(registry: Registry) -> Any:
    def check(value: Any) -> Any:
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, dict):
            return value
        if "name" not in value:
            raise ValueError(f"a {registry.kind} needs a 'name'. Known: {', '.join(registry.entries)}")
        name = registry.canonical(str(value["name"]))
        arguments = {key: argument for key, argument in value.items() if key != "name"}
        registry.check_arguments(name, arguments)
        return {"name": name, **arguments}

    return BeforeValidator(check)


NamedLoss = Annotated[dict[str, Any], _named(RECONSTRUCTION_LOSSES)]
NamedRegularizer = Annotated[dict[str, Any], _named(REGULARIZERS)]


class NetworkConfig(ConfigSection):
    """One side of the auto-encoder.

    Attributes:
        layers: Width of every hidden layer, from input to output.
        norm_type: One normalisation per layer; conditional layer normalisation when absent.
        regularization: Dropout rate after every layer.
        conditional_regularization: Penalty on the activity of the batch-conditional layers.
    """

    layers: list[PositiveInt] = Field(min_length=1)
    norm_type: list[str] | None = None
    regularization: DropoutRate
    conditional_regularization: NamedRegularizer | None = {"name": "L1L2", "l2": 0.0}

    @field_validator("norm_type")
    @classmethod
    def _known_norms(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else [NORMALISATIONS.canonical(name) for name in value]

    @model_validator(mode="after")
    def _one_norm_per_layer(self) -> "NetworkConfig":
        if self.norm_type is not None and len(self.norm_type) != len(self.layers):
            raise ValueError(
                f"norm_type has {counted(len(self.norm_type), 'entry', 'entries')} for "
                f"{counted(len(self.layers), 'layer')}; give one per layer"
            )
        return self

    @property
    def normalisations(self) -> list[str]:
        """One normalisation name per layer."""
        return self.norm_type or ["conditionallayernorm"] * len(self.layers)


class EncoderConfig(NetworkConfig):
    """The encoder.

    Attributes:
        hidden_counts: Largest share of a cell's genes that training hides from the encoder; each cell's share is drawn anew.
    """

    layers: list[PositiveInt] = Field(default=[1024, 512, 256], min_length=1)
    regularization: DropoutRate = 0.4
    hidden_counts: DropoutRate = 0.0


class DecoderConfig(NetworkConfig):
    """The decoder."""

    layers: list[PositiveInt] = Field(default=[256, 512, 1024], min_length=1)
    regularization: DropoutRate = 0.0


class CrossEntropyConfig(ConfigSection):
    """Label smoothing of the dropout cross entropy.

    Attributes:
        label_smoothing: Moves both labels towards one half.
        lower_label_smoothing: Moves the label of zeros up to this value.
    """

    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    lower_label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)


class WAEConfig(ConfigSection):
    """Architecture and loss weights of DISCERN.

    Attributes:
        latent_dim: Dimensions of the latent space.
        activation_fn: Activation after every hidden layer, a name of ``registry.ACTIVATIONS``.
        output_fn: What is applied to the decoded expression; null leaves it linear.
        reconstruction_loss: A name of ``registry.RECONSTRUCTION_LOSSES``, or an object with ``name`` and its arguments.
        wae_lambda: Weight of the MMD++ term.
        weighting_decoder_dropout: Weight of the dropout cross entropy.
        weighting_random_encoder: Weight of the sigma term.
        reconstruction_weight: Weight of the reconstruction term.
    """

    model_config = ConfigDict(json_schema_extra=add_other_spellings)

    name: Literal["wae"] = "wae"
    latent_dim: PositiveInt = 48
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    activation_fn: str = "mish"
    output_fn: str | None = None
    reconstruction_loss: NamedLoss = {"name": "HuberLoss", "delta": 9.0}
    crossentropy: CrossEntropyConfig = CrossEntropyConfig()
    wae_lambda: NonNegativeFloat = 1500.0
    weighting_decoder_dropout: NonNegativeFloat = 10000.0
    weighting_random_encoder: NonNegativeFloat = 1e-8
    reconstruction_weight: NonNegativeFloat = 15000.0

    @model_validator(mode="wrap")
    @classmethod
    def _older_spellings(cls, section: Any, validate: ModelWrapValidatorHandler["WAEConfig"]) -> "WAEConfig":
        if not isinstance(section, dict):
            return validate(section)
        present, found = present_spelling(section)
        faults = [
            InitErrorDetails(
                type=PydanticCustomError("spelling", "{fault}", {"fault": fault}), loc=tuple(key.split(".")), input={}
            )
            for key, fault in found.items()
        ]
        try:
            config = validate(present)
        except ValidationError as error:
            faults += [also_found(detail) for detail in error.errors(include_url=False)]
            raise ValidationError.from_exception_data(cls.__name__, faults) from error
        if faults:
            raise ValidationError.from_exception_data(cls.__name__, faults)
        return config

    @field_validator("activation_fn")
    @classmethod
    def _known_activation(cls, value: str) -> str:
        return ACTIVATIONS.canonical(value)

    @field_validator("output_fn")
    @classmethod
    def _known_output_function(cls, value: str | None) -> str | None:
        return None if value is None else OUTPUT_FUNCTIONS.canonical(value)

    def n_weights(self, n_genes: int) -> int:
        """Return roughly how many weights the auto-encoder has; batches hardly count."""
        sizes = [n_genes, *self.encoder.layers, 2 * self.latent_dim]
        back = [self.latent_dim, *self.decoder.layers, 2 * n_genes]
        return sum(a * b for widths in (sizes, back) for a, b in pairwise(widths))
