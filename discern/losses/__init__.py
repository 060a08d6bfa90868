"""Reconstruction losses and the masked cross entropy of the dropout head."""
