import pytest

from discern.errors import ParametersError
from discern.tuning.metrics import METRICS, check_reported, direction, metric, require_direction


def test_terms_of_the_loss_are_known_by_their_ending():
    assert direction("val_decoder_counts_loss") == direction("mmdpp_loss") == direction("auc") == "min"
    for name in ("_loss", "val__loss ", "os.system_loss", "losss", "__class__", ""):
        with pytest.raises(ValueError, match="no trial reports"):
            metric(name)


def test_val_loss_is_not_reported_but_loss_is():
    with pytest.raises(ValueError, match="no trial reports 'val_loss'. Did you mean 'loss'"):
        metric("val_loss")


@pytest.mark.parametrize("name", [name for name, one in METRICS.items() if one.mode is None])
def test_no_search_aims_at_times_and_switches(name):
    with pytest.raises(ValueError, match=f"cannot aim at '{name}'. It can at: loss, mmd"):
        direction(name)


def test_a_mode_must_be_that_of_the_metric():
    require_direction("auc", "min")
    require_direction("auc", None)
    with pytest.raises(ValueError, match="mode is 'max', but of 'auc' the minimum is best"):
        require_direction("auc", "max")


def test_terms_that_are_not_reported_after_all():
    check_reported({"loss"}, ["loss", "epochs"])
    with pytest.raises(ParametersError, match="s.json: no trial reports val_x_loss. Reported: epochs, loss."):
        check_reported({"loss", "val_x_loss"}, ["loss", "epochs"], "s.json")
