"""``train``: fit one experiment from its records, taking up earlier training."""

import logging
from pathlib import Path

from discern.errors import counted
from discern.training.checkpoints import read_description
from discern.training.doubts import tell_of_doubts
from discern.training.received_signals import signals_received
from discern.training.resumable import ResumableTraining
from discern.training.resuming import set_aside_job
from discern.training.set_up import monitored_value
from discern.workflows.experiment import Experiment
from discern.workflows.older_projections import tell_of_older_projections
from discern.workflows.results import TrainResult
from discern.workflows.working_alone import working_alone

_LOGGER = logging.getLogger(__name__)


@working_alone("train")
def train(
    experiment: Experiment, *, gpus: list[int] | None = None, tfrecords: Path | None = None, restart: bool = False
) -> TrainResult:
    """Train one experiment until ``max_steps`` or early stopping.

    SIGTERM and Ctrl-C end the training with its state on disk; the next call goes on with the same bits.

    All GPUs that are named train this one model; the numbers are those of one GPU with the same minibatch, up to
    rounding. Where several experiments run side by side, each is given one GPU.

    Args:
        experiment: A processed experiment.
        gpus: GPUs to use in place of the configured ones.
        tfrecords: Folder of training records in place of the experiment's own.
        restart: Begin anew; the earlier job is kept in ``backup/1``, ``backup/2``, ...

    Raises:
        ExperimentError: The experiment was not processed, its job belongs to another model or is damaged, or another
            process works on it.
        TrainingInterruptedError: A signal came.
        ParametersError: The optimizer cannot be used on several GPUs.
        DivergenceError: A term of the loss is not finite.
    """
    config, folder = experiment.config.training, experiment.folder
    training = ResumableTraining(folder, experiment.config.model, config, tfrecords=tfrecords, gpus=gpus)
    if restart:
        set_aside_job(folder)
    training.take_up()
    resumed = training.state
    if training.has_stopped or resumed.epoch >= config.max_steps:
        _LOGGER.info(
            "%s is trained: %s. Nothing to do. To go on, raise training.%s.",
            experiment.name,
            counted(resumed.epoch, "epoch"),
            "max_steps" if resumed.epoch >= config.max_steps else "early_stopping.patience",
        )
        return TrainResult(resumed.epoch, resumed.monitored, finished=True)
    if resumed.epoch:
        _LOGGER.info("Going on after epoch %d", resumed.epoch)
    with signals_received() as received:
        history = training.train_until(config.max_steps, received)
    best = read_description(folder.best_model)[3] if folder.best_model.is_file() else training.state
    epochs, monitored = resumed.epoch + len(history.epoch), monitored_value(config)
    if best.monitored == training.state.monitored:
        _LOGGER.info("%s: %s, best %s in epoch %d", experiment.name, counted(epochs, "epoch"), monitored, best.epoch)
        tell_of_doubts(experiment.name, training.family, folder.history, best.epoch)
    else:  # the best model is of an online training, which is judged by all cells since
        _LOGGER.info(
            "%s: %s, none with a better %s than the model of the online training, which is kept",
            experiment.name,
            counted(epochs, "epoch"),
            monitored,
        )
    tell_of_older_projections(folder)
    return TrainResult(epochs, training.state.monitored, finished=False)
