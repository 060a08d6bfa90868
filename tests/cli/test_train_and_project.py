"""What ``train`` and ``project`` say when there is nothing to work on; real training is in end_to_end."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "concatenated_data.h5ad does not exist. Run `discern process` first."),
        (["project"], "Cannot project: exps/run has no trained model. Run `discern process parameters.json` first."),
    ],
)
def test_out_of_order(discern, parameters, arguments, message):
    finished = discern(*arguments, parameters())
    assert finished.exit_code == 4
    assert finished.stderr.startswith("Error: ")
    assert message in finished.stderr


def test_a_processed_experiment_asks_for_training(discern, parameters):
    name = parameters()
    assert discern("process", name, "-q").exit_code == 0
    finished = discern("project", name)
    assert finished.exit_code == 4
    assert "Run `discern train parameters.json` first." in finished.stderr


@pytest.mark.parametrize("target", ["batch", ":good", ""])
def test_targets_that_are_none(discern, parameters, target):
    finished = discern("project", parameters(), "--metadata", target)
    assert finished.exit_code == 3
    assert "A projection target is COLUMN:VALUE" in finished.stderr
