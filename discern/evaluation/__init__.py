"""Measuring reconstructions against the truth and against honest baselines."""
