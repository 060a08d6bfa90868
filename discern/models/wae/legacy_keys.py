"""Older spellings of the ``model`` section, turned into the present ones.

``layers``, ``norm_type``, ``regularization`` and ``conditional_regularization`` may stand at model level (the encoder
takes them as written, the decoder reversed) or carry the side in their name (``enc_layers``, ``layers_enc``, ...).
"""

import warnings
from collections.abc import Mapping
from typing import Any

_SIDED = ("layers", "norm_type", "regularization", "conditional_regularization")
_SIDES = {"encoder": ("enc", "encoder"), "decoder": ("dec", "decoder")}


def present_spelling(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section with ``encoder`` and ``decoder`` objects only.

    Raises:
        ValueError: A key is given twice, or for one side only.
    """
    section = dict(section)
    sides: dict[str, dict[str, Any]] = {}
    for side in _SIDES:
        value = section.pop(side, None)
        if value is not None and not isinstance(value, Mapping):
            raise ValueError(f"'{side}' must be an object with {', '.join(_SIDED)}")
        sides[side] = dict(value or {})
    for key in _SIDED:
        for side, prefixes in _SIDES.items():
            for prefix in prefixes:
                for spelling in (f"{prefix}_{key}", f"{key}_{prefix}"):
                    if spelling in section:
                        warnings.warn(
                            f"model.{spelling} is an old spelling of model.{side}.{key}", DeprecationWarning, stacklevel=2
                        )
                        _put(sides[side], key, section.pop(spelling), f"model.{side}.{key}")
        if key in section:
            value = section.pop(key)
            _put(sides["encoder"], key, value, f"model.{key}")
            _put(sides["decoder"], key, value[::-1] if isinstance(value, list) else value, f"model.{key}")
        given = [side for side in _SIDES if key in sides[side]]
        if len(given) == 1:
            other = next(side for side in _SIDES if side not in given)
            raise ValueError(f"'{key}' is given for the {given[0]} but not for the {other}; give both or neither")
    return section | {side: content for side, content in sides.items() if content}


def _put(side: dict[str, Any], key: str, value: Any, where: str) -> None:
    if key in side:
        raise ValueError(f"'{key}' is given twice ({where} and another spelling); keep one")
    side[key] = value
