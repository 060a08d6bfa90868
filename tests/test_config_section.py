import pytest
from pydantic import Field, ValidationError

from discern.config_section import ConfigSection, also_found, parameters_error
from discern.errors import MissingParameterError, ParametersError


class Inner(ConfigSection):
    width: int = Field(default=1, gt=0)
    share: float = 0.5


class Outer(ConfigSection):
    name: str
    inner: Inner = Inner()
    optional: Inner | None = None
    several: dict[str, Inner] = {}
    many: list[Inner] = []
    either: list[str] | dict[str, int] = []


def error_of(content, section=Outer, **arguments):
    with pytest.raises(ValidationError) as error:
        section.model_validate(content)
    return parameters_error(error.value, section, **arguments)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"name": "a", "iner": {}}, "iner: unknown key. Did you mean 'inner'?"),
        ({"name": "a", "zzz": {}}, "zzz: unknown key. Known: name, inner, optional, several, many, either."),
        ({"name": "a", "inner": {"widht": 2}}, "inner.widht: unknown key. Did you mean 'width'?"),
        ({"name": "a", "optional": {"widht": 2}}, "optional.widht: unknown key. Did you mean 'width'?"),
        ({"name": "a", "several": {"x": {"sharé": 2}}}, "several.x.sharé: unknown key. Did you mean 'share'?"),
        ({"name": "a", "many": [{}, {"width": 0}]}, "many.1.width: Input should be greater than 0 (received 0)"),
        ({"name": 3}, "name: Input should be a valid string (received 3)"),
        ({"name": "a", "inner": 3}, "inner: give an object {...} (received 3)"),
        ({"name": "a", "many": 3}, "many: give a list [...] (received 3)"),
    ],
)
def test_one_fault_is_one_line(content, line):
    assert str(error_of(content)).splitlines()[1:] == [f"  {line}"]


def test_the_types_tried_of_a_union_are_no_part_of_the_path():
    faults = str(error_of({"name": "a", "either": [1]})).splitlines()[1:]
    assert faults == [
        "  either.0: Input should be a valid string (received 1)",
        "  either: give an object {...} (received [1])",
    ]


def test_all_faults_are_told_under_the_source_and_the_prefix():
    error = error_of({"name": "a", "inner": {"width": 0, "x": 1}, "y": 2}, source="file.json", prefix="model")
    assert str(error).splitlines() == [
        "file.json has 3 invalid entries:",
        "  model.inner.width: Input should be greater than 0 (received 0)",
        "  model.inner.x: unknown key. Known: width, share.",
        "  model.y: unknown key. Known: name, inner, optional, several, many, either.",
    ]


def test_only_missing_keys_are_a_key_error():
    assert isinstance(error_of({}), MissingParameterError)
    mixed = error_of({"y": 1})
    assert isinstance(mixed, ParametersError)
    assert not isinstance(mixed, KeyError)
    assert str(error_of({})) == "parameters has 1 invalid entry:\n  name: required, but absent"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value):
    assert "finite" in str(error_of({"share": value}, Inner))


def test_a_fault_found_before_can_be_raised_again():
    with pytest.raises(ValidationError) as error:
        Inner.model_validate({"width": -1})
    again = ValidationError.from_exception_data("Inner", [also_found(one) for one in error.value.errors()])
    assert str(parameters_error(again, Inner)) == str(parameters_error(error.value, Inner))


def test_sections_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Inner().width = 3
