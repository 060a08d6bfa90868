"""What ``train`` goes on from after online training."""

from discern.io.cell_sources import RecordSource
from discern.io.experiment_folder import ExperimentFolder
from discern.io.record_schema import VALIDATION
from discern.models.contract import ModelFamily
from discern.training.checkpoints import Checkpoint, load_family, read_description, save_checkpoint
from discern.training.config import TrainingConfig
from discern.training.devices import wants_xla
from discern.training.fit import evaluate
from discern.training.set_up import configured_optimizer, monitored_value


def ready_to_resume(folder: ExperimentFolder, config: TrainingConfig) -> float | None:
    """Let ``train`` start from the best weights, nothing frozen, as for new data; return the best monitored value.

    Weights that ``train`` finds are compared with these on all validation cells, old and new.

    Args:
        folder: An experiment that was just trained online.
        config: The training section.
    """
    best = read_description(folder.best_model)[3].monitored
    family = load_family(folder.best_model, config.seed)[0]
    family.compile(configured_optimizer(config), wants_xla(config.XLA))
    family.model.optimizer.build(family.model.trainable_variables)
    save_checkpoint(
        folder.last_state, family, Checkpoint(monitored=_on_all_cells(folder, family, config)), with_state=True
    )
    folder.previous_state.unlink(missing_ok=True)  # it has seen epochs, of the new cells only
    folder.history.replace(folder.online_history)
    return best


def _on_all_cells(folder: ExperimentFolder, family: ModelFamily, config: TrainingConfig) -> float | None:
    """Return the monitored value of all validation cells; None where it is none of theirs, or there are no records."""
    name = monitored_value(config)
    if not name.startswith("val_") or not folder.tfrecords.exists():
        return None
    valid = RecordSource(folder.tfrecords, VALIDATION)
    return evaluate(family, valid, config.batch_size, config.seed).get(name) if valid.n_cells else None
