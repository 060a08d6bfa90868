"""The Wasserstein auto-encoder of DISCERN (Hausmann et al. 2023, Genome Biology 24:212)."""
