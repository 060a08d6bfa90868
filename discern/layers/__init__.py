"""Layers of the networks: conditional normalisation, reparametrisation, output heads, penalties."""
