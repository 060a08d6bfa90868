"""Search files of the published program, corrected where they name what does not exist."""

import copy
from collections.abc import Mapping
from typing import Any

_NOT_REPORTED = {"val_loss": "loss"}
_OTHER_NAMES = {
    ("setup", "redis_address"): "address",
    ("searcher", "random_state_seed"): "seed",
    ("searcher", "random_state"): "seed",
}
_OWN_RAY = "a Ray started here keeps to this machine and needs none"
_OWN_FOLDER = "results are written into the folder of the experiment"
_OWN_STATE = "the state of every trial is kept, and an interrupted search goes on"
_WITHOUT_MEANING = {
    "setup": {
        **dict.fromkeys(("_redis_password", "redis_password"), "present Ray takes no such password"),
        **dict.fromkeys(("webui_host", "include_webui", "dashboard_host", "include_dashboard"), _OWN_RAY),
        **dict.fromkeys(("ignore_reinit_error", "log_to_driver", "local_mode"), "the search sets it itself"),
    },
    "searcher": {
        "use_early_stopped_trials": "results of trials that ended early are always used",
        **dict.fromkeys(("points_to_evaluate", "evaluated_rewards"), _OWN_STATE),
    },
    "train_spec": {
        **dict.fromkeys(("local_dir", "upload_dir", "sync_config", "storage_path"), _OWN_FOLDER),
        **dict.fromkeys(("resume", "checkpoint_freq", "keep_checkpoints_num", "checkpoint_score_attr"), _OWN_STATE),
        **dict.fromkeys(("reuse_actors", "queue_trials", "raise_on_failed_trial", "verbose", "loggers"),
                        "the search sets it itself"),
    },
}  # fmt: skip
_NO_LOSS_ACCEPTS = ("model", "reconstruction_loss", "weight_clipping")


def present_search(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a search file as the schema knows it, and what was corrected, in words.

    Args:
        content: The file; left as it is. What is no object stays, so that the schema can refuse it.
    """
    present: dict[str, Any] = copy.deepcopy(dict(content))
    notes: list[str] = []
    for section in ("setup", "scheduler", "searcher", "train_spec", "analysis"):
        if isinstance(present.get(section), dict):
            present[section] = _present_section(section, present[section], notes)
    _correct_metrics(present, notes)
    _remove_unaccepted(present, notes)
    return present, notes


def _present_section(section: str, values: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        other = _OTHER_NAMES.get((section, key))
        if other is not None and other not in values:
            notes.append(f"{section}.{key} is called {other}")
            kept[other] = value
        elif key in _WITHOUT_MEANING.get(section, {}):
            notes.append(f"{section}.{key} is passed over: {_WITHOUT_MEANING[section][key]}")
        else:
            kept[key] = value
    return kept


def _correct_metrics(present: dict[str, Any], notes: list[str]) -> None:
    for section in ("scheduler", "searcher", "analysis"):
        values = present.get(section)
        name = values.get("metric") if isinstance(values, dict) else None
        if isinstance(name, str) and name in _NOT_REPORTED:
            present[section]["metric"] = _NOT_REPORTED[name]
            notes.append(_replaced(f"{section}.metric", name))
    spec = present.get("train_spec")
    stop = spec.get("stop") if isinstance(spec, dict) else None
    if isinstance(stop, dict):
        for name in [name for name in stop if name in _NOT_REPORTED and _NOT_REPORTED[name] not in stop]:
            stop[_NOT_REPORTED[name]] = stop.pop(name)
            notes.append(_replaced("train_spec.stop", name))


def _replaced(place: str, name: str) -> str:
    return (
        f"{place}: '{name}' is never reported; '{_NOT_REPORTED[name]}', the smallest validation loss so far, "
        "takes its place"
    )


def _remove_unaccepted(present: dict[str, Any], notes: list[str]) -> None:
    """Take out of the search space what the published example samples and no loss accepts."""
    way: list[dict[str, Any]] = []
    node = present.get("search_space")
    for key in _NO_LOSS_ACCEPTS:
        if not isinstance(node, dict) or key not in node:
            return
        way.append(node)
        node = node[key]
    for holder, key in zip(reversed(way), reversed(_NO_LOSS_ACCEPTS), strict=True):
        if key == _NO_LOSS_ACCEPTS[-1] or not holder[key]:
            del holder[key]
    notes.append(f"search_space.{'.'.join(_NO_LOSS_ACCEPTS)} is left out: no reconstruction loss accepts it")
