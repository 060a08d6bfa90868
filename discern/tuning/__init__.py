"""The hyperparameter search: its configuration, its trials on Ray Tune, and what it finds."""
