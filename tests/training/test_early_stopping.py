"""Early stopping against a history given by hand."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from discern.errors import ParametersError
from discern.training.early_stopping import DelayedEarlyStopping


class Weights:
    """As much of a model as early stopping looks at; its weights are the number of the epoch."""

    def __init__(self):
        self.stop_training = False
        self.weights = [np.array(-1)]

    def get_weights(self):
        return [weight.copy() for weight in self.weights]

    def set_weights(self, weights):
        self.weights = weights


def run(stopping, values, first_epoch=0, model=None, column="val_loss"):
    """Return how many epochs were run."""
    model = model or Weights()
    stopping.set_model(model)
    stopping.on_train_begin()
    done = 0
    for epoch, value in enumerate(values, first_epoch):
        model.weights = [np.array(epoch)]
        stopping.on_epoch_end(epoch, {"loss": 1.0, column: value})
        done += 1
        if model.stop_training:
            break
    stopping.on_train_end()
    return done


def test_stops_after_patience_epochs_without_improvement():
    assert run(DelayedEarlyStopping(patience=2), [5, 4, 6, 4, 6, 6]) == 4
    assert run(DelayedEarlyStopping(patience=2), [5, 4, 6, 3, 6, 6, 6]) == 6


def test_epochs_before_delay_neither_count_nor_compare():
    values = [1, 9, 9, 5, 6, 6, 6]  # the 1 of the first epoch is not the best to beat
    assert run(DelayedEarlyStopping(delay=3, patience=2), values) == 6
    assert run(DelayedEarlyStopping(delay=0, patience=2), values) == 3


def test_min_delta_is_absolute():
    values = [100, 99.5, 99.0, 98.5]
    assert run(DelayedEarlyStopping(patience=1, min_delta=1), values) == 2
    assert run(DelayedEarlyStopping(patience=1, min_delta=0.1), values) == 4


def test_relative_min_delta_is_a_share_of_the_best():
    values = [12000, 11900, 11800, 11790, 11000]  # 0.8 %, 0.8 %, 0.08 %
    assert run(DelayedEarlyStopping(patience=1, relative_min_delta=0.005), values) == 4
    assert run(DelayedEarlyStopping(patience=1, relative_min_delta=0.0005), values) == 5
    assert run(DelayedEarlyStopping(patience=1, min_delta=0.01), values) == 5  # absolute: any change will do


def test_relative_min_delta_when_larger_is_better():
    values = [0.5, 0.6, 0.601, 0.9]
    limits = {"monitor": "val_auc", "mode": "max", "patience": 1}
    assert run(DelayedEarlyStopping(**limits, relative_min_delta=0.01), values, column="val_auc") == 3
    assert run(DelayedEarlyStopping(**limits, relative_min_delta=0.001), values, column="val_auc") == 4


def test_mode_max():
    limits = {"monitor": "val_auc", "mode": "max", "patience": 2}
    assert run(DelayedEarlyStopping(**limits), [0.5, 0.6, 0.7, 0.6, 0.6, 0.9], column="val_auc") == 5


@pytest.mark.parametrize("monitor", ["val_decoder_counts_loss", "loss"])
def test_auto_means_smaller_for_every_loss(monitor):
    model = Weights()
    stopping = DelayedEarlyStopping(monitor=monitor, patience=1)
    stopping.set_model(model)
    stopping.on_train_begin()
    for epoch, value in enumerate([3.0, 2.0, 1.0]):
        stopping.on_epoch_end(epoch, {monitor: value})
    assert not model.stop_training
    assert stopping.best == 1.0


def test_baseline_must_be_beaten_within_patience():
    assert run(DelayedEarlyStopping(baseline=1.0, patience=3), [9, 8, 7, 6, 5]) == 3
    assert run(DelayedEarlyStopping(baseline=1.0, patience=4), [9, 8, 0.5, 6, 5, 4, 4]) == 7
    assert run(DelayedEarlyStopping(baseline=0.4, monitor="val_auc", mode="max", patience=2), [0.1, 0.5, 0.6, 0.6],
               column="val_auc") == 4  # fmt: skip


def test_the_log_names_a_baseline_that_was_not_reached(caplog):
    with caplog.at_level(logging.INFO, "discern"):
        run(DelayedEarlyStopping(baseline=1.0, patience=2), [9, 8, 7])
    assert "Stopped after epoch 2: val_loss did not reach 1." in caplog.text


def test_best_weights_are_restored_only_when_asked_for():
    for restore, expected in ((True, 1), (False, 3)):
        model = Weights()
        run(DelayedEarlyStopping(patience=2, restore_best_weights=restore), [5, 4, 6, 6], model=model)
        assert model.weights[0] == expected


def test_a_monitor_that_does_not_exist_is_an_error_in_the_first_epoch():
    with pytest.raises(ParametersError, match=r"'val_los'.*Use one of: loss, val_loss"):
        run(DelayedEarlyStopping(monitor="val_los", delay=5), [1.0])


@pytest.mark.parametrize(
    "limits",
    [
        {"patience": 3},
        {"patience": 3, "min_delta": 0.4},
        {"patience": 3, "relative_min_delta": 0.1},
        {"patience": 3, "mode": "max"},
        {"patience": 3, "relative_min_delta": 0.1, "mode": "max"},
        {"patience": 4, "baseline": 4.5},
        {"patience": 2, "delay": 4},
    ],
)
@pytest.mark.parametrize("cut", range(1, 10))
def test_a_resumed_run_stops_where_an_uninterrupted_one_does(limits, cut):
    values = [5.0, 4.0, 4.2, 3.9, 4.1, 3.85, 3.0, 3.3, 3.2, 3.1, 3.05, 5.5]
    at_once = DelayedEarlyStopping(**limits)
    epochs = run(at_once, values)
    assert epochs < len(values)
    first = DelayedEarlyStopping(**limits)
    done = run(first, values[:cut])
    if done < cut or first.model.stop_training:
        return
    state = json.loads(json.dumps(first.state))
    second = DelayedEarlyStopping(**limits)
    second.resume(state)
    assert cut + run(second, values[cut:], first_epoch=cut) == epochs
    assert second.state == at_once.state


def test_a_resumed_run_keeps_the_best_epoch_and_does_not_restore_worse_weights():
    first = DelayedEarlyStopping(patience=3, restore_best_weights=True)
    run(first, [5, 1, 4])
    second = DelayedEarlyStopping(patience=3, restore_best_weights=True)
    second.resume(first.state)
    model = Weights()
    assert run(second, [6, 5, 5], first_epoch=3, model=model) == 2
    assert second.best_epoch == 1
    assert model.weights[0] == 4  # the last, not those of epoch 3, which Keras takes for the best


def test_a_second_training_starts_anew():
    stopping = DelayedEarlyStopping(patience=2)
    stopping.resume({"wait": 1, "best": 0.1, "best_epoch": 0, "best_logs": {"val_loss": 0.1}})
    assert run(stopping, [5, 4, 3], first_epoch=1) == 1
    assert run(stopping, [5, 4, 3]) == 3


def test_the_log_says_which_terms_moved(caplog):
    stopping = DelayedEarlyStopping(patience=2)
    stopping.set_model(SimpleNamespace(stop_training=False))
    stopping.on_train_begin()
    rows = [(10.0, 1.0, 5.0), (8.0, 0.5, 4.0), (9.0, 0.5, 6.0), (9.5, 0.25, 7.0)]
    with caplog.at_level(logging.INFO, "discern"):
        for epoch, (total, counts, mmdpp) in enumerate(rows):
            logs = {"loss": 1.0, "val_loss": total, "val_decoder_counts_loss": counts, "val_mmdpp_loss": mmdpp}
            stopping.on_epoch_end(epoch, logs)
    (message,) = [record.getMessage() for record in caplog.records]
    assert "Stopped after epoch 4: val_loss has not improved since epoch 2" in message
    assert "val_decoder_counts_loss 0.5 → 0.25" in message
    assert "val_mmdpp_loss 4 → 7" in message
    assert " loss 1" not in message
