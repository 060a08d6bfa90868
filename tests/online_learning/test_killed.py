"""``onlinetraining`` that is killed or told to end: the experiment is the old one or the new one, never a mixture."""

import json
import signal
import subprocess
import sys

import pytest

from discern.io.processed_annotation import read_annotation
from discern.io.record_schema import RecordSchema
from discern.keys import BATCH
from discern.projection.targets import Target
from discern.training.checkpoints import read_description
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.project import project

pytestmark = pytest.mark.slow

# Imports TensorFlow once and runs nothing with it, so that each run is a fork; prints how each ended.
KILLER = """
import json, os, shutil, signal, sys
from pathlib import Path
from discern.errors import DiscernError
from discern.online_learning.journal import Journal
from discern.workflows.experiment import experiment_of_folder
from discern.workflows.online_training import train_online
import tensorflow

trained, query, parent = map(Path, sys.argv[1:])
carry_out = Journal.carry_out

def before_the_journal(journal, folder):
    os.kill(os.getpid(), signal.SIGKILL)

def between_renames(journal, folder):
    rename, calls = Path.rename, []
    def counted(self, target):
        calls.append(target)
        if len(calls) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)
    Path.rename = counted
    carry_out(journal, folder)

def told_to_end(journal, folder):
    os.kill(os.getpid(), signal.SIGTERM)
    carry_out(journal, folder)

ended = {}
for way in (before_the_journal, between_renames, told_to_end):
    folder = shutil.copytree(trained, parent / way.__name__)
    pid = os.fork()
    if pid == 0:
        Journal.carry_out, code = way, 1
        try:
            train_online(experiment_of_folder(folder), query)
        except DiscernError as error:
            print(error, file=sys.stderr)
            code = error.exit_code
        finally:
            os._exit(code)
    ended[way.__name__] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps(ended))
"""


def contents(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def ended(tmp_path_factory, trained_folder, input_paths):
    """The folders of three runs that did not end well, and their exit codes."""
    parent = tmp_path_factory.mktemp("killed")
    ran = subprocess.run(
        [sys.executable, "-c", KILLER, str(trained_folder), str(input_paths[2]), str(parent)],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return parent, json.loads(ran.stdout.splitlines()[-1])


def test_a_kill_before_the_journal_leaves_the_old_state(ended, trained_folder):
    parent, codes = ended
    assert codes["before_the_journal"] == -signal.SIGKILL
    folder = parent / "before_the_journal"
    assert (folder / ".staging").exists()
    (path,) = project(experiment_of_folder(folder), [Target(BATCH, "input_b1")])
    path.unlink()
    path.parent.rmdir()
    assert contents(folder) == contents(trained_folder)


def test_a_kill_between_renames_is_made_up_for_by_the_next_verb(ended, trained_folder):
    parent, codes = ended
    assert codes["between_renames"] == -signal.SIGKILL
    experiment = experiment_of_folder(parent / "between_renames")
    assert project(experiment, [Target(BATCH, "input_b2")])[0].is_file()
    folder = experiment.folder
    annotation = read_annotation(folder.processed_file)
    assert (
        annotation.batches
        == list(read_description(folder.best_model)[2].batches)
        == ["input_b0", "input_b1", "input_b2"]
    )
    RecordSchema.read(folder.tfrecords).check(annotation.genes, annotation.batches, annotation.cells_sha256)
    assert len(experiment_of_folder(folder.path).config.input_ds.raw_input) == 3
    assert contents(folder.backups[-1].path) == contents(trained_folder)
    assert not list(folder.path.glob(".*"))


def test_sigterm_leaves_the_old_state_at_once(ended, trained_folder):
    parent, codes = ended
    assert codes["told_to_end"] == 128 + signal.SIGTERM
    assert contents(parent / "told_to_end") == contents(trained_folder)
    assert not list((parent / "told_to_end").glob(".*"))
