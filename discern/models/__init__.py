"""Model families: one folder each, found through :mod:`discern.models.catalog`."""
