"""What the archive of an experiment says that it holds, and which names it can hold: a closed set."""

import re
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, NonNegativeInt, model_validator

from discern import __version__
from discern.config_section import ConfigSection, possible_path
from discern.io.experiment_folder import ExperimentFolder

FORMAT = "discern-experiment"
_HERE = ExperimentFolder(Path())
_ALWAYS = (_HERE.parameters_file.as_posix(), _HERE.processed_file.as_posix())
_MORE = (_HERE.best_model, _HERE.last_state, _HERE.history, _HERE.tfrecords / "schema.json")
_RECORDS = rf"{_HERE.tfrecords.as_posix()}/(?:training|validate)(?:-[0-9]{{1,9}})?\.tfrecords(?:_v2)?"
_KNOWN = re.compile("|".join([*map(re.escape, _ALWAYS), *(re.escape(path.as_posix()) for path in _MORE), _RECORDS]))


def folder_name(name: str) -> str:
    """Return the name of an experiment as it is.

    Raises:
        ValueError: A folder cannot be called so, or it leads elsewhere.
    """
    plain = name == PurePosixPath(name).name and not PureWindowsPath(name).drive and "\\" not in name
    if not plain or not name.strip(". ") or any(unicodedata.category(one) == "Cc" for one in name):
        raise ValueError("is no name of a folder")
    return possible_path(name)


def is_known(name: str) -> bool:
    """Tell whether an archive can hold a file of this name."""
    return _KNOWN.fullmatch(name) is not None


def _known_name(name: str) -> str:
    if not is_known(name):
        raise ValueError("is no file of an experiment")
    return name


class ArchivedFile(ConfigSection):
    """One file of an archive.

    Attributes:
        name: Where it belongs in the folder of the experiment.
        size: Bytes.
        sha256: Its digest, hexadecimal.
    """

    name: Annotated[str, AfterValidator(_known_name)]
    size: NonNegativeInt
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(ConfigSection):
    """What an archive holds.

    Attributes:
        format: Of the archive.
        version: Of the format.
        program_version: Of the program that wrote it.
        name: Name of the experiment.
        with_cells: Whether it may hold cells; else it holds what can be shared without them.
        files: All of its files.
    """

    format: Literal["discern-experiment"] = "discern-experiment"
    version: Literal[1] = 1
    program_version: str = __version__
    name: Annotated[str, AfterValidator(folder_name)]
    with_cells: bool
    files: list[ArchivedFile]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [one.name for one in self.files]
        if len(set(names)) < len(names):
            raise ValueError("a file is listed twice")
        if missing := [name for name in _ALWAYS if name not in names]:
            raise ValueError(f"{' and '.join(missing)} must be there")
        return self
