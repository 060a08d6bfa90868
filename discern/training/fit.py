"""The training loop: minibatches of any source into any family."""

from collections.abc import Sequence

import keras

from discern.io.cell_sources import CellSource, reading
from discern.io.minibatches import minibatches, minibatches_per_epoch, training_minibatches
from discern.models.contract import ModelFamily
from discern.training.divergence import StopOnDivergence
from discern.training.several_devices import shared_out
from discern.training.suspicious_cells import SuspiciousCells
from discern.training.validation_draws import SameDrawsInValidation


def fit(
    family: ModelFamily,
    train: CellSource,
    valid: CellSource,
    *,
    batch_size: int,
    seed: int,
    epochs: range,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Train a compiled family, on several devices when it was built within the scope of a strategy.

    Args:
        family: What is trained.
        train: Cells to train on, in another order every epoch.
        valid: Cells to validate on after every epoch: always all of them.
        batch_size: Cells per minibatch.
        seed: Drives the order of the training cells and the random draws of validation, the same in every epoch.
        epochs: Epochs to run; a start above 0 takes up earlier training.
        callbacks: Called by Keras; a check for divergence is added in front.

    Raises:
        DivergenceError: A term of the loss is not finite.
        ExperimentError: A record file is damaged.
    """
    transform = family.transform()
    training = training_minibatches(train, transform, batch_size, seed, epochs.start).map(family.model_input)
    validation = minibatches(valid, transform, batch_size).map(family.model_input)
    validation_steps = int(validation.cardinality())
    # of data that end Keras makes an iterator before and after each validation; one takes as long as minibatches do
    validation = validation.repeat()
    strategy = family.model.distribute_strategy
    if strategy.num_replicas_in_sync > 1:
        training, validation = shared_out(training, strategy), shared_out(validation, strategy)
    # otherwise TensorFlow traces the training step once to make these variables and once more to run it
    with strategy.scope():
        family.model.optimizer.build(family.model.trainable_variables)
    suspicious = SuspiciousCells(train, valid, transform, family.data.batches, batch_size, seed)
    with reading(train, valid):
        return family.model.fit(
            training,
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=minibatches_per_epoch(train, batch_size),
            validation_data=validation,
            validation_steps=validation_steps,
            callbacks=[StopOnDivergence(suspicious), SameDrawsInValidation(seed), *callbacks],
            verbose=0,
            shuffle=False,
        )


def evaluate(family: ModelFamily, cells: CellSource, batch_size: int, seed: int) -> dict[str, float]:
    """Return the losses of cells by the names that they have in the history: ``val_loss``, ``val_<term>_loss``.

    They are those that :func:`fit` finds for the same weights.

    Args:
        family: A compiled family.
        cells: All of them count.
        batch_size: Cells per minibatch.
        seed: Drives random draws.
    """
    prepared = minibatches(cells, family.transform(), batch_size).map(family.model_input)
    with reading(cells):
        found = family.model.evaluate(prepared, verbose=0, return_dict=True, callbacks=[SameDrawsInValidation(seed)])
    return {f"val_{name}": float(value) for name, value in found.items()}
