"""parameters.json as frozen, strict configuration classes."""
