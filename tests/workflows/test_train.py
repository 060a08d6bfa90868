"""When a training is over, and when it may go on."""

import pytest

from discern.training.checkpoints import Checkpoint
from discern.training.config import TrainingConfig
from discern.training.resumable import has_stopped

STOPPED = Checkpoint(epoch=9, early_stopping={"wait": 3, "stopped": True})


@pytest.mark.parametrize(
    ("early_stopping", "over"),
    [({"patience": 3}, True), ({"patience": 2}, True), ({"patience": 4}, False), (None, False)],
)
def test_more_patience_lets_a_stopped_training_go_on(early_stopping, over):
    config = TrainingConfig.model_validate({"early_stopping": early_stopping})
    assert has_stopped(STOPPED, config) is over


def test_an_interrupted_training_has_not_stopped():
    assert not has_stopped(Checkpoint(epoch=9, early_stopping={"wait": 30, "stopped": False}), TrainingConfig())
    assert not has_stopped(Checkpoint(), TrainingConfig())
