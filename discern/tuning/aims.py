"""What a part of a search aims at: a metric and the direction that is better."""

from pydantic import model_validator

from discern.config_section import ConfigSection
from discern.tuning.metrics import Aim, Mode, require_direction


class AimingSection(ConfigSection):
    """A section with ``metric`` and ``mode``.

    Attributes:
        metric: A reported number; null takes that of ``analysis``.
        mode: ``min`` or ``max``; null takes the direction that is better.
    """

    metric: Aim | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _the_better_direction(self) -> "AimingSection":
        if self.metric is not None:
            require_direction(self.metric, self.mode)
        return self
