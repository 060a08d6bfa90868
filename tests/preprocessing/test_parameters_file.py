import pytest

from discern.errors import ExperimentError, MissingParameterError, ParametersError
from discern.preprocessing.parameters_file import read_parameters


def test_a_byte_order_mark_is_no_fault(tmp_path):
    path = tmp_path / "parameters.json"
    path.write_text('\ufeff{"input_ds": {"n_cpus_preprocessing": 1}}', encoding="utf-8")
    assert read_parameters(path) == {"input_ds": {"n_cpus_preprocessing": 1}}


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('{"input_ds": {}, "input_ds": {}}', ParametersError, "the key 'input_ds' stands twice"),
        ('{"input_ds": {"split": {"valid_cells": NaN}}}', ParametersError, "NaN is no JSON number"),
        ("{", ParametersError, "no valid JSON: line 1"),
        ("[]", ParametersError, "holds a list"),
        ('{"input_ds": [], "model": {}}', MissingParameterError, "no section 'input_ds'. Found: input_ds, model"),
        ("{}", MissingParameterError, "Found: nothing"),
    ],
)
def test_faults_name_the_file(tmp_path, text, kind, message):
    path = tmp_path / "parameters.json"
    path.write_text(text)
    with pytest.raises(kind, match=message) as error:
        read_parameters(path)
    assert str(path) in str(error.value)


def test_an_absent_file_is_a_fault_of_the_folder(tmp_path):
    with pytest.raises(ExperimentError, match="`discern process` writes it"):
        read_parameters(tmp_path / "parameters.json")
