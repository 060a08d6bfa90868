"""Reading JSON as a person writes it: what would be lost silently is an error."""

import json
from pathlib import Path
from typing import Any, NoReturn

from discern.errors import ParametersError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; keys given twice and NaN are errors.

    Raises:
        ParametersError: The file is absent, unreadable or no JSON object.
    """
    if path.is_dir():
        raise ParametersError(f"{path} is a folder. Give the parameters.json inside it.")
    if not path.is_file():
        raise ParametersError(f"{path} does not exist.")
    try:
        content = json.loads(
            path.read_text(encoding="utf-8-sig"), object_pairs_hook=_no_twins, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        raise ParametersError(
            f"{path} is no valid JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except ParametersError as error:
        raise ParametersError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:  # e.g. bytes that are no text, numbers of thousands of digits
        raise ParametersError(f"{path} is no valid JSON: {error}.") from error
    except OSError as error:
        raise ParametersError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise ParametersError(f"{path} holds a {type(content).__name__}, expected an object with 'experiments'.")
    return content


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twins = sorted({name for name in names if names.count(name) > 1})
        raise ParametersError(f"the key '{twins[0]}' stands twice in one object; keep one.")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ParametersError(f"{name} is no JSON number.")
