"""The model families a parameters file can name in ``model.name``; absent means ``wae`` (DISCERN)."""

from discern.registry import Entry, Registry

DEFAULT_FAMILY = "wae"

FAMILIES = Registry(
    "model family",
    {
        "wae": Entry("discern.models.wae.family:WAEFamily"),
    },
)

CONFIGS = Registry(
    "model family",
    {
        "wae": Entry("discern.models.wae.config:WAEConfig"),
    },
)
