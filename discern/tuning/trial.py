"""One trial: an ordinary training in steps of some epochs, in a process of its own that Ray Tune starts.

A trial reads its data and what is searched by path; nothing but its sample travels through Ray. All that it knows is in
its folder: begun again there, it first repeats what it had reported, then goes on from its last state.

What it reports is of the model that it keeps, the best so far by the monitored loss: the one that is projected. Its value
is therefore what it reported last, and that of no other epoch.
"""

import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.tune import Trainable

from discern.config.loading import experiment_config
from discern.errors import DiscernError
from discern.io.experiment_folder import ExperimentFolder
from discern.io.json_files import read_json
from discern.io.whole_files import write_json
from discern.tuning.metrics import is_term
from discern.tuning.reported_model import forget_all, forget_others, keep_reported, take_back_unreported
from discern.tuning.search_folder import SearchFolder, TrialFolder
from discern.tuning.search_space import SearchSpace, parse_space
from discern.tuning.trial_values import WORST, as_bad_as_can_be

SEARCH_FOLDER = "discern.search_folder"  # where a trial finds all but its sample
_STATE_FILES = ("last_state", "best_model", "history")


class SearchTrial(Trainable):
    """A trial as Ray Tune wants it; its name is that of its folder."""

    def setup(self, config: dict[str, Any]) -> None:
        """Write the parameters of this trial; nothing is trained or opened yet.

        Args:
            config: The sample, and the folder of the search.
        """
        folder = SearchFolder(Path(config[SEARCH_FOLDER]))
        self._search = folder.read_description()
        self._folder = folder.trial(self.trial_name)
        space = parse_space(self._search["search"]["search_space"])[0]
        self._sample = {name: config[name] for name in space.names}
        prepare_trial(self._folder, space, self._search["experiment"]["content"], self._sample)
        self._weights_of_loss = [leaf.name for leaf in space.leaves if leaf.shapes_loss]
        take_back_unreported(self._folder)
        self._work: _Work | None = None

    def step(self) -> dict[str, Any]:
        """Return what is reported after the next step; repeat it when the folder knows it already."""
        known = self._folder.read_results()
        if self.iteration < len(known):
            return known[self.iteration]
        last = known[-1] if known else {}
        begun = time.monotonic()
        try:
            if self._work is None:
                self._work = _Work(self._folder, self._search)
                self._work.take_up(last, self._has_another_loss_than(last))
            result = self._work.step(self.iteration + 1, last)
        except DiscernError as error:
            result = {"epochs": last.get("epochs", 0), **as_bad_as_can_be(self._search["metrics"], error)}
        seconds = round(last.get("seconds", 0.0) + time.monotonic() - begun, 3)
        result = {"seconds": seconds, **result, "reported_at": time.time(), "sample": self._sample}
        best_epoch = result.get("best_epoch", 0)
        keep_reported(self._folder, best_epoch)
        self._folder.write_results([*known, result])
        forget_others(self._folder, best_epoch)
        return result

    def _has_another_loss_than(self, last: Mapping[str, Any]) -> bool:
        before = last.get("sample", self._sample)
        return any(before.get(name) != self._sample[name] for name in self._weights_of_loss)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copy the whole state of the training into a folder."""
        for file in self._state_files():
            if file.is_file():
                shutil.copyfile(file, Path(checkpoint_dir) / file.name)

    def load_checkpoint(self, checkpoint: str) -> None:
        """Take the state of a folder in place of the own one; it may be that of another trial."""
        for file in self._state_files():
            file.unlink(missing_ok=True)
            if (Path(checkpoint) / file.name).is_file():
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(checkpoint) / file.name, file)
        self._folder.experiment.previous_state.unlink(missing_ok=True)
        self._folder.outcome_file.unlink(missing_ok=True)
        forget_all(self._folder)
        known = self._folder.read_results()
        keep_reported(self._folder, known[-1].get("best_epoch", 0) if known else 0)
        self._work = None

    def _state_files(self) -> list[Path]:
        return [*(getattr(self._folder.experiment, name) for name in _STATE_FILES), self._folder.results_file]


def prepare_trial(
    folder: TrialFolder, space: SearchSpace, content: Mapping[str, Any], sample: Mapping[str, Any]
) -> None:
    """Write sample.json and parameters.json of a trial.

    Args:
        folder: The trial.
        space: What the search varies.
        content: The experiment that is searched.
        sample: The values of this trial.
    """
    write_json(folder.experiment.parameters_file, space.apply(content, sample))
    write_json(folder.sample_file, dict(sample))


class _Work:
    """The training of a trial with what it is judged by; made when there is something to train."""

    def __init__(self, folder: TrialFolder, search: Mapping[str, Any]):
        from discern.training.resumable import ResumableTraining
        from discern.tuning.objectives import MEASURES, read_measures

        config = experiment_config(read_json(folder.experiment.parameters_file), str(folder.experiment.parameters_file))
        spec, data = search["search"]["train_spec"], ExperimentFolder(Path(search["experiment"]["folder"]))
        resources, judged = spec["resources_per_trial"], spec["config"]
        limits = config.training.early_stopping
        training = config.training.model_copy(
            update={
                "parallel_pc": max(1, int(resources["cpu"])),
                "tensorboard": False,
                "umap_every": 0,
                # the best weights are in a file of their own; steps go on from the last ones
                "early_stopping": limits and limits.model_copy(update={"restore_best_weights": False}),
            }
        )
        gpus = list(range(math.ceil(resources["gpu"])))
        self._training = ResumableTraining(folder.experiment, config.model, training, data=data, gpus=gpus)
        self._epochs_per_step = int(judged["epochs_per_timestep"])
        self._wanted = [name for name in MEASURES if name in search["metrics"]]
        self._measures = None
        if self._wanted:
            self._measures = read_measures(
                data,
                targets=judged["batch_to_check"],
                batch_size=search["batch_size"],
                at_most=search["cells_to_compare"],
                seed=search["seed"],
            )

    def take_up(self, last: Mapping[str, Any], another_loss: bool) -> None:
        """Go on from the state on disk.

        Args:
            last: What was reported last; empty when nothing was.
            another_loss: The loss was weighed otherwise then: no model from before can be compared with those to come.
        """
        training = self._training
        training.take_up(same_model=False)  # a scheduler may change weights of the loss on the way
        if another_loss and training.state.epoch == last.get("epochs"):
            training.state = replace(training.state, monitored=None, early_stopping={})

    def step(self, number: int, last: Mapping[str, Any]) -> dict[str, Any]:
        """Train to the end of a step and return what it is judged by.

        Args:
            number: The step, 1 for the first.
            last: What was reported after the step before; empty when there was none.
        """
        training = self._training
        max_steps = training.config.max_steps
        until = min(number * self._epochs_per_step, max_steps)
        if training.state.epoch < until and not training.has_stopped:
            training.train_until(until, show_progress=False)
        epochs, stopped = training.state.epoch, training.has_stopped
        limits, best = training.config.early_stopping, training.state.monitored
        best_epoch = self._best_epoch()
        sign = -1.0 if limits is not None and limits.mode == "max" else 1.0  # the smaller loss is always better
        return {
            **_terms(training.folder, best_epoch),
            "loss": WORST if best is None else sign * best,
            **self._judged(best_epoch, last),
            "epochs": epochs,
            "best_epoch": best_epoch,
            "early_stopped": stopped,
            "reached_max_step": epochs >= max_steps,
            "diverged": False,
            "failed": False,
            "done": stopped or epochs >= max_steps,
        }

    def _best_epoch(self) -> int:
        """Return the epoch of the best weights so far; 0 when no epoch could be compared."""
        from discern.training.checkpoints import read_description

        path = self._training.folder.best_model
        return read_description(path)[3].epoch if path.is_file() else 0

    def _judged(self, best_epoch: int, last: Mapping[str, Any]) -> dict[str, float]:
        """Return mmd and auc of the best weights so far, those that projection uses."""
        if self._measures is None:
            return {}
        if best_epoch == last.get("best_epoch"):
            return {name: last[name] for name in self._wanted}
        from discern.training.checkpoints import load_weights

        folder, family = self._training.folder, self._training.family
        is_current = best_epoch in {0, self._training.state.epoch}
        if not is_current:
            load_weights(folder.best_model, family.model)
        try:
            return self._measures.measure(family, self._wanted)
        finally:
            if not is_current:
                load_weights(folder.last_state, family.model)


def _terms(folder: ExperimentFolder, epoch: int) -> dict[str, float]:
    """Return the unweighted terms of the loss in an epoch, 0 for the last; one that is not finite is as bad as can be."""
    from discern.training.checkpoint_callback import read_history

    rows = read_history(folder.history)
    row = next((row for row in rows if int(row["epoch"]) == epoch), rows[-1] if rows else {})
    terms = {name: float(value) for name, value in row.items() if is_term(name)}
    return {name: value if math.isfinite(value) else WORST for name, value in terms.items() if name != "val_loss"}
