"""The section ``input_ds`` of parameters.json: which data are read and how they are preprocessed."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from discern.config_section import ConfigSection, possible_path, validate_section
from discern.errors import ParametersError

GENES = "genes"  # as in discern.scaling, which is not imported here: it needs pandas


class FilteringConfig(ConfigSection):
    """Which cells and genes are kept.

    Attributes:
        min_genes: Cells with fewer genes are removed.
        min_cells: Genes seen in fewer of the remaining cells are removed.
    """

    min_genes: NonNegativeInt = 400
    min_cells: NonNegativeInt = 3


class FixedScalingConfig(ConfigSection):
    """(expression − mean) / standard deviation, applied where a network reads.

    Attributes:
        mean: ``"genes"`` for the mean of every gene, or one number for all.
        var: ``"genes"`` for the standard deviation of every gene, or one number for all.
        add_to_mean: Added to the mean.
        add_to_var: Added to the standard deviation.
    """

    mean: Literal["genes"] | float = 0.0
    var: Literal["genes"] | float = 1.0
    add_to_mean: float = 0.0
    add_to_var: float = 0.0

    @field_validator("mean", "var", mode="before")
    @classmethod
    def _genes_or_number(cls, value: Any) -> Any:
        if value != GENES and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"give '{GENES}' or a number")
        return value

    @model_validator(mode="after")
    def _positive_deviation(self) -> Self:
        if not isinstance(self.var, str) and self.var + self.add_to_var <= 0:
            raise ValueError("var + add_to_var is a standard deviation and must be greater than 0")
        return self

    def as_recorded(self) -> dict[str, float | str]:
        """Return what ``uns["fixed_scaling"]`` holds: mean and var, and what is added when it was given."""
        return {"mean": self.mean, "var": self.var} | self.model_dump(exclude_unset=True)


class ScaleConfig(ConfigSection):
    """How counts become expression.

    Attributes:
        LSN: Every cell is normalised to this library size; absent: no normalisation.
        fixed_scaling: Scaling per gene; absent: none.
    """

    LSN: float | None = Field(default=None, gt=0)
    fixed_scaling: FixedScalingConfig | None = None


class SplitConfig(ConfigSection):
    """Which cells are trained and validated on.

    Attributes:
        split_seed: Drives the split and the cells of the MMD kernel.
        valid_cells: Ratio of validation cells; a whole number > 1 means that many cells (deprecated).
        mmd_cells: Ratio (or whole number > 1) of the validation cells marked for MMD.
        balanced_split: The ratio holds within each batch, else over all cells.
        test_cells: Ratio (or whole number > 1) of cells neither trained nor validated on.
    """

    split_seed: int = Field(default=0, ge=0, lt=2**32)
    valid_cells: float = 0.1
    mmd_cells: float = 1.0
    balanced_split: bool = True
    test_cells: float = 0.0

    @field_validator("valid_cells")
    @classmethod
    def _some_validation_cells(cls, value: float) -> float:
        if value == 0:
            raise ValueError("without validation cells training cannot be judged; give a ratio such as 0.1")
        value = _ratio_or_number(value, "every cell would be a validation cell")
        if value > 1:
            warnings.warn(
                f"valid_cells as a number of cells ({value:g}) is deprecated; give a ratio below 1.",
                FutureWarning,
                stacklevel=2,
            )
        return value

    @field_validator("test_cells")
    @classmethod
    def _not_all_test_cells(cls, value: float) -> float:
        return _ratio_or_number(value, "every cell would be a test cell")

    @field_validator("mmd_cells")
    @classmethod
    def _some_mmd_cells(cls, value: float) -> float:
        if value == 0:
            raise ValueError("give a ratio of the validation cells, greater than 0; 1.0 takes all")
        return value if value == 1 else _ratio_or_number(value, "")

    @model_validator(mode="after")
    def _some_training_cells(self) -> Self:
        if self.valid_cells < 1 and self.test_cells < 1 and self.valid_cells + self.test_cells >= 1:
            raise ValueError(
                f"valid_cells {self.valid_cells:g} and test_cells {self.test_cells:g} leave no cell to train on; "
                "their sum must be below 1"
            )
        return self


class InputConfig(ConfigSection):
    """The section ``input_ds`` of an experiment.

    Attributes:
        raw_input: Paths, or paths with the obs column that names the batch (null: obs["batch"] or the file name).
        filtering: Which cells and genes are kept.
        scale: How counts become expression; absent: neither normalised nor scaled.
        split: Which cells are trained and validated on.
        n_cpus_preprocessing: CPUs that preprocessing may use; 0: all available.
    """

    raw_input: list[str] | dict[str, str | None] = Field(default_factory=list)
    filtering: FilteringConfig = FilteringConfig()
    scale: ScaleConfig = ScaleConfig()
    split: SplitConfig = SplitConfig()
    n_cpus_preprocessing: NonNegativeInt = 0

    @field_validator("raw_input", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        expected = "give a list of paths, or an object {path: batch column or null}"
        if isinstance(value, dict):
            if not all(isinstance(path, str) and isinstance(key, str | None) for path, key in value.items()):
                raise ValueError(expected)
        elif not isinstance(value, list | tuple) or not all(isinstance(path, str) for path in value):
            raise ValueError(expected)
        elif len(set(value)) < len(value):
            raise ValueError("a path is named twice")
        for path in value:
            possible_path(path)
        return value


def _ratio_or_number(value: float, all_of_them: str) -> float:
    if value < 0:
        raise ValueError("give a ratio between 0 and 1")
    if value == 1:
        raise ValueError(f"1 means all: {all_of_them}. Give a ratio below 1, e.g. 0.1")
    if value > 1 and not value.is_integer():
        raise ValueError("give a ratio below 1, or a whole number of cells")
    return value


def validate_input(section: Mapping[str, Any]) -> InputConfig:
    """Return the validated section ``input_ds``; the mapping is left as it is.

    Raises:
        ParametersError: The section is invalid; the message lists all faults.
    """
    if "experiments" in section:
        raise ParametersError(
            f"The parameters hold several experiments ({', '.join(map(str, section['experiments']))}). "
            "Give the parameters of one of them: parameters['experiments'][name]."
        )
    return validate_section(InputConfig, section, "input_ds")


def as_scale(scale: ScaleConfig | Mapping[str, Any] | float | None) -> ScaleConfig:
    """Return the section ``scale`` from itself, its dictionary or the library size alone.

    Raises:
        ParametersError: The values are invalid.
    """
    if isinstance(scale, ScaleConfig):
        return scale
    values = scale if isinstance(scale, Mapping) else {"LSN": scale}
    return validate_section(ScaleConfig, values, "input_ds.scale")
