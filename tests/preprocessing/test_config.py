import subprocess
import sys

import pytest

from discern.errors import ParametersError
from discern.preprocessing.config import InputConfig, as_scale, validate_input


def test_defaults():
    config = InputConfig()
    assert (config.filtering.min_genes, config.filtering.min_cells) == (400, 3)
    assert (config.scale.LSN, config.scale.fixed_scaling) == (None, None)
    assert (config.split.split_seed, config.split.valid_cells, config.split.mmd_cells) == (0, 0.1, 1.0)
    assert (config.split.balanced_split, config.split.test_cells) == (True, 0)
    assert config.n_cpus_preprocessing == 0


def test_the_section_given_is_not_changed():
    section = {"raw_input": {"a.h5ad": None, "b.h5ad": "donor"}, "split": {"valid_cells": 0.2}}
    config = validate_input(section)
    assert config.raw_input == {"a.h5ad": None, "b.h5ad": "donor"}
    assert section == {"raw_input": {"a.h5ad": None, "b.h5ad": "donor"}, "split": {"valid_cells": 0.2}}


@pytest.mark.parametrize("valid_cells", [0, 1, 1.0, -0.1, 1.5, True, float("nan")])
def test_refused_valid_cells(valid_cells):
    with pytest.raises(ParametersError, match="input_ds.split.valid_cells"):
        validate_input({"split": {"valid_cells": valid_cells}})


def test_all_cells_for_validation_is_explained():
    with pytest.raises(ParametersError, match="every cell would be a validation cell.*received 1"):
        validate_input({"split": {"valid_cells": 1}})


def test_a_number_of_validation_cells_is_deprecated():
    with pytest.warns(FutureWarning, match="deprecated"):
        assert validate_input({"split": {"valid_cells": 300}}).split.valid_cells == 300


@pytest.mark.parametrize("mmd_cells", [0, -1, 2.5])
def test_refused_mmd_cells(mmd_cells):
    with pytest.raises(ParametersError, match="input_ds.split.mmd_cells"):
        validate_input({"split": {"mmd_cells": mmd_cells}})


@pytest.mark.parametrize("test_cells", [1, -1, 2.5])
def test_refused_test_cells(test_cells):
    with pytest.raises(ParametersError, match="input_ds.split.test_cells"):
        validate_input({"split": {"test_cells": test_cells}})


def test_validation_and_test_cells_must_leave_cells():
    with pytest.raises(ParametersError, match="leave no cell to train on"):
        validate_input({"split": {"valid_cells": 0.5, "test_cells": 0.5}})


@pytest.mark.parametrize("raw_input", ["a.h5ad", [1], {"a.h5ad": 3}, ["a.h5ad", "a.h5ad"]])
def test_refused_raw_input(raw_input):
    with pytest.raises(ParametersError, match=r"input_ds\.raw_input"):
        validate_input({"raw_input": raw_input})


@pytest.mark.parametrize(
    "fixed_scaling",
    [{"mean": "gene"}, {"var": 0}, {"var": 1, "add_to_var": -1}, {"mean": True}, {"var": "genes", "a": 1}],
)
def test_refused_fixed_scaling(fixed_scaling):
    with pytest.raises(ParametersError, match=r"input_ds\.scale\.fixed_scaling"):
        validate_input({"scale": {"fixed_scaling": fixed_scaling}})


def test_recorded_scaling_holds_what_was_given():
    section = {"scale": {"fixed_scaling": {"mean": "genes", "var": 2, "add_to_var": 0.5}}}
    assert validate_input(section).scale.fixed_scaling.as_recorded() == {"mean": "genes", "var": 2.0, "add_to_var": 0.5}
    section = {"scale": {"fixed_scaling": {"mean": "genes"}}}
    assert validate_input(section).scale.fixed_scaling.as_recorded() == {"mean": "genes", "var": 1.0}


def test_all_faults_are_listed():
    with pytest.raises(ParametersError) as caught:
        validate_input({"split": {"valid_cells": 0, "sead": 1}, "scale": {"LSN": -5}, "filtering": {"min_genes": -1}})
    message = str(caught.value)
    for path in ("input_ds.split.valid_cells", "input_ds.scale.LSN", "input_ds.filtering.min_genes"):
        assert path in message
    assert "input_ds.split.sead: unknown key" in message


def test_a_whole_parameters_file_is_explained():
    with pytest.raises(ParametersError, match="several experiments.*one, two"):
        validate_input({"experiments": {"one": {}, "two": {}}})


def test_scale_is_a_section_or_a_library_size():
    assert as_scale(500).LSN == as_scale({"LSN": 500}).LSN == as_scale(as_scale(500)).LSN == 500
    assert as_scale(None).LSN is None
    with pytest.raises(ParametersError, match=r"input_ds\.scale\.LSN"):
        as_scale(0)


def test_the_configuration_needs_nothing_heavy():
    code = "import sys, discern.preprocessing.config; print(*({'numpy', 'pandas', 'anndata', 'tensorflow'} & set(sys.modules)))"
    heavy = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert heavy == []
