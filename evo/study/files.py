"""The files that settings may name: limits, a baseline, and the study file itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from evo.errors import UserError
from evo.space.values import Params, plain, why_no_value
from evo.study.traps import check_values
from evo.texts import as_path


def load_limits(limits: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """The limits that a configuration has, or that are in the file that it names.

    Args:
        limits: The limits themselves, or the path of a YAML file with them.

    Raises:
        UserError: The file cannot be read.
    """
    if not isinstance(limits, str | os.PathLike):
        return limits
    file = os.fspath(limits)
    loaded = load_yaml("limits file", file, of_values=True)
    if not isinstance(loaded, Mapping):
        raise UserError(f"limits file {file} holds no mapping of names to limits, such as lr: [0.0001, 0.1]")
    return loaded


def read_parameters(given: str | os.PathLike[str] | Mapping[str, Any]) -> Params:
    """The parameters of a baseline.

    Args:
        given: The parameters themselves, or the path of a YAML file with them.

    Raises:
        UserError: The file cannot be read, or what is given holds no parameters.
    """
    loaded, where = given, "baseline"
    if isinstance(given, str | os.PathLike):
        loaded, where = load_yaml("baseline", os.fspath(given), of_values=True), f"baseline {os.fspath(given)}"
    if not isinstance(loaded, Mapping):
        raise UserError(f"{where} holds {loaded!r}: it must hold a mapping of parameters to their values")
    values: Params = plain(loaded)
    for name, value in values.items():
        if problem := why_no_value({name: value}):
            raise UserError(f"{where}: {name!r} is {value!r}: {problem}")
    return values


def load_yaml(what: str, file: str, *, of_values: bool = False) -> Any:
    """What a YAML file holds, read as a study file is.

    Args:
        what: What the file is, for messages.
        file: The path of the file.
        of_values: Whether it holds limits or parameters, so that YAML must read every value as it is written.

    Raises:
        UserError: It cannot be read, or is not YAML.
    """
    from jsonargparse import get_loader

    text = ""
    try:
        text = as_path(file).read_text(encoding="utf-8")
        loaded = get_loader("yaml")(text)
    except OSError as error:
        raise UserError(f"{what} {file} cannot be read: {error.strerror}") from None
    except Exception as error:
        quotes = "; a comparison needs quotes, '>= 0.9'" if re.search(r"[:,\[-] *>=", text) else ""
        raise UserError(f"{what} {file} is not valid YAML: {' '.join(str(error).split())}{quotes}") from None
    if of_values:
        check_values(text, what=f"{what} {file}")
    return loaded
