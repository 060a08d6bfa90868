"""Older spellings of the ``model`` section, turned into the present ones.

``layers``, ``norm_type``, ``regularization`` and ``conditional_regularization`` may stand at model level (the encoder
takes them as written, the decoder reversed) or carry the side in their name (``enc_layers``, ``layers_enc``, ...).
"""

import warnings
from collections.abc import Mapping
from typing import Any

_SIDED = ("layers", "norm_type", "regularization", "conditional_regularization")
_SIDES = {"encoder": ("enc", "encoder"), "decoder": ("dec", "decoder")}


def present_spelling(section: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the section with ``encoder`` and ``decoder`` objects only, and the faults found on the way by key.

    A key given twice, or for one side only, is a fault.
    """
    rest = dict(section)
    faults: dict[str, str] = {}
    sides = {side: rest.pop(side, {}) for side in _SIDES}
    readable = {side: dict(content) if isinstance(content, Mapping) else {} for side, content in sides.items()}
    both_readable = all(isinstance(content, Mapping) for content in sides.values())
    for key in _SIDED:
        twice: dict[str, list[str]] = {}
        for side, value, spelling in _other_spellings(rest, key):
            if key in readable[side]:
                twice.setdefault(spelling, []).append(side)
            readable[side].setdefault(key, value)
        for spelling, of_sides in twice.items():
            faults[spelling] = (
                f"'{key}' of the {' and the '.join(of_sides)} is given twice, here and elsewhere; keep one"
            )
        given = [side for side in _SIDES if key in readable[side]]
        if len(given) == 1 and both_readable:
            other = next(side for side in _SIDES if side not in given)
            faults[f"{given[0]}.{key}"] = f"given for the {given[0]} but not for the {other}; give both or neither"
    for side, content in sides.items():
        if not isinstance(content, Mapping):
            rest[side] = content  # of a wrong type: the configuration class says so
        elif readable[side]:
            rest[side] = readable[side]
    return rest, faults


def add_other_spellings(schema: dict[str, Any]) -> None:
    """Tell the JSON schema of the ``model`` section of every spelling that :func:`present_spelling` reads."""
    for key in _SIDED:
        values: dict[str, Any] = {"title": key, "description": f"{key} of both sides; the decoder's is reversed"}
        schema["properties"][key] = values
        for prefix in (prefix for prefixes in _SIDES.values() for prefix in prefixes):
            for spelling in (f"{prefix}_{key}", f"{key}_{prefix}"):
                schema["properties"][spelling] = {"title": spelling, "deprecated": True}


def _other_spellings(section: dict[str, Any], key: str) -> list[tuple[str, Any, str]]:
    """Take every other spelling of ``key`` out of the section; return (side, value, spelling) of each."""
    found: list[tuple[str, Any, str]] = []
    for side, prefixes in _SIDES.items():
        for spelling in (text for prefix in prefixes for text in (f"{prefix}_{key}", f"{key}_{prefix}")):
            if spelling in section:
                message = f"model.{spelling} is an old spelling of model.{side}.{key}"
                warnings.warn(message, FutureWarning, stacklevel=2)
                found.append((side, section.pop(spelling), spelling))
    if key in section:
        value = section.pop(key)
        found.append(("encoder", value, key))
        found.append(("decoder", value[::-1] if isinstance(value, list) else value, key))
    return found
