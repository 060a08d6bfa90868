"""The parent of every configuration class: frozen, and strict about keys."""

from pydantic import BaseModel, ConfigDict


class ConfigSection(BaseModel):
    """One object of a configuration file. Unknown keys are errors; instances cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
