"""A training that ends without an error and without a usable model says so."""

import pytest


@pytest.mark.parametrize("sgd", [True, False])
def test_steps_that_are_too_large(here, cells, parameters, discern, sgd):
    def change(experiment):
        experiment["training"]["optimizer"] = {"learning_rate": 0.005, "degenerated_to_sgd": sgd}

    cells.write_h5ad("cells.h5ad")
    parameters(run=change)
    assert discern("process", "parameters.json").exit_code == 0
    told = discern("train", "parameters.json")
    assert told.exit_code == 0
    assert ("run: The latent codes are far from their prior (val_mmdpp_loss 2." in told.stderr) is sgd
    assert ("training.optimizer.degenerated_to_sgd to false" in told.stderr) is sgd
