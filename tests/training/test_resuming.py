"""What counts as a change between the training that is taken up and the one at hand."""

from discern.training.config import TrainingConfig
from discern.training.resuming import changed_settings


def section(**settings) -> dict:
    return TrainingConfig.model_validate(settings).model_dump(mode="json")


def test_what_changes_the_result_is_named():
    changes = changed_settings(section(), section(batch_size=10, early_stopping={"min_delta": 0.5}))
    assert changes == ["training.batch_size is 10, was 192", "training.early_stopping.min_delta is 0.5, was 0.01"]


def test_settings_of_online_training_are_none_of_it():
    online = {"freeze_mode": "new-batches", "new_rows": "mean", "replay": 0.5, "min_gene_overlap": 0.5}
    assert changed_settings(section(), section(online=online)) == []


def test_keys_that_an_older_training_did_not_know_are_no_change():
    before = section()
    del before["online"], before["precision"]
    assert changed_settings(before, section(precision="mixed_bfloat16")) == []
