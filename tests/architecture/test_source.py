"""Rules of the house that no linter knows, read from the syntax trees of the package."""

import ast
import re
from pathlib import Path

import pytest

import discern

PACKAGE = Path(discern.__file__).parent
TREES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")
}

TENSORFLOW = {
    "io/cell_sources.py": "where minibatches come from",
    "io/record_parsing.py": "parses whole minibatches of records",
    "io/minibatches.py": "the tf.data pipeline",
    "io/published_cells.py": "published record files",
    "training/devices.py": "threads and GPUs",
    "training/several_devices.py": "one model on several devices",
    "training/suspicious_cells.py": "reads a broken minibatch again",
    "layers/replicas.py": "what the devices of one model tell each other",
    "compiled_regions.py": "compiles parts of a training step",
    "optimizers/fused_adam.py": "Adam's update in one pass",
    "workflows/doctor.py": "times every device",
    "cli/quiet_tensorflow.py": "holds back what it prints while it starts",
}
IMPORT_BY_NAME = {
    "registry.py": "closed tables of what a file may name",
    "lazy_names.py": "published names of a package, a closed table",
    "functions.py": "getmembers, which knows three modules",
}
MEANINGLESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core", "tools", "stuff"}
OLD_RANDOM_STATE = {"RandomState", "default_rng", "Generator", "SeedSequence"}


def files_where(found):
    """Return the files with a node for which ``found`` holds."""
    return {name for name, tree in TREES.items() if any(found(node) for node in ast.walk(tree))}


def imports(*modules):
    """Return a test of a node: does it import one of the modules, or from within one?"""

    def found(node):
        if isinstance(node, ast.Import):
            return any(alias.name.split(".")[0] in modules for alias in node.names)
        return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in modules

    return found


def calls(*names):
    """Return a test of a node: does it call a function or method of one of these names?"""

    def found(node):
        if not isinstance(node, ast.Call):
            return False
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in names

    return found


def test_the_package_was_found():
    assert {"cli/main.py", "errors.py", "models/wae/networks.py"} <= set(TREES)


@pytest.mark.parametrize("name", sorted(TREES))
def test_file_names_say_what_is_inside(name):
    assert Path(name).stem not in MEANINGLESS
    assert not set(Path(name).parent.parts) & MEANINGLESS


def test_tensorflow_appears_where_keras_has_no_word_for_it():
    assert files_where(imports("tensorflow")) == set(TENSORFLOW)


def test_nothing_is_unpickled():
    assert files_where(imports("pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle")) == set()


def test_no_text_is_run_as_code():
    def runs_text(node):
        return calls("eval", "exec", "__import__")(node) and isinstance(node.func, ast.Name)

    assert files_where(runs_text) == set()


def test_modules_are_imported_by_name_from_closed_tables_only():
    def with_a_computed_name(node):
        return calls("import_module")(node) and not isinstance(node.args[0], ast.Constant)

    assert files_where(with_a_computed_name) == set(IMPORT_BY_NAME)


def test_no_global_random_state():
    def uses_it(node):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
            return False
        is_numpy = isinstance(node.value.value, ast.Name) and node.value.value.id in {"np", "numpy"}
        return is_numpy and node.value.attr == "random" and node.attr not in OLD_RANDOM_STATE

    assert files_where(uses_it) == set()
    assert files_where(imports("random")) == set()
    assert files_where(calls("set_random_seed")) == set()


def test_logging_is_set_up_by_the_command_line_only():
    found = files_where(calls("basicConfig", "addHandler", "setLevel", "captureWarnings", "dictConfig"))
    assert found == {
        "cli/logs.py",
        "tuning/cluster.py",
    }  # the latter sets Ray's own, as a search file asks, for a while


def test_only_the_command_line_prints_and_ends_the_program():
    def prints(node):
        return calls("print")(node) and isinstance(node.func, ast.Name)

    assert files_where(prints) == set()
    ending = files_where(calls("exit")) | files_where(lambda node: getattr(node, "id", "") == "SystemExit")
    assert {name for name in ending if not name.startswith("cli/")} <= {"workflows/side_by_side.py"}  # ends a child


def test_click_belongs_to_the_command_line():
    assert {name for name in files_where(imports("click")) if not name.startswith("cli/")} == set()


def test_commands_import_the_rooms_below_only_when_they_run():
    light = {"discern.errors", "discern.cli", "discern"}
    for name, tree in TREES.items():
        if not name.startswith("cli/"):
            continue
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("discern"):
                assert node.module in light or node.module.startswith("discern.cli."), f"{name}: {node.module}"


def test_messages_name_verbs_that_exist():
    from discern.cli.main import cli

    named = {
        verb: name
        for name in TREES
        for verb in re.findall(r"`discern ([a-z]+)", (PACKAGE / name).read_text(encoding="utf-8"))
    }
    assert {"process", "train"} <= set(named)
    assert {verb: name for verb, name in named.items() if verb not in cli.commands} == {}
