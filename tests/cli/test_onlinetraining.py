from typing import get_args

from discern.cli import onlinetraining
from discern.training.config import FreezeMode, NewRows


def test_the_options_are_those_of_the_configuration():
    assert get_args(FreezeMode) == onlinetraining.FREEZE_MODES
    assert get_args(NewRows) == onlinetraining.NEW_ROWS
