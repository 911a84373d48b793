"""The code that things of a user's run: a digest of each module, and the global values that functions read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evo.objective.differences import CODE
from evo.objective.functions import code_of, functions_of, globals_read
from evo.objective.identity import Describer, is_plain, module_name
from evo.objective.imports import survey
from evo.objective.places import Place, find_place


def code_of_used(used: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """The code of classes and functions, and of all that they use.

    Args:
        used: The classes and functions by name, as a `Describer` has met them.

    Returns:
        A digest of the code of each of the user's modules by name, and of each thing that has no module of its own; and
        the plain values of the global names that the functions read.
    """
    places, codes, constants = list[Place](), dict[str, str](), dict[str, Any]()
    waiting, seen = list(used.items()), set[str]()
    while waiting:
        name, thing = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module, file = module_name(thing.__module__)
        if file is not None:
            places.append(find_place(file))
        elif code := code_of(thing):
            codes[name] = code
        for base in getattr(thing, "__mro__", ()):
            if base.__module__ == thing.__module__:
                waiting.append((f"{module}.{base.__qualname__}".strip("."), base))
        for function in functions_of(thing):
            for variable, value in globals_read(function):
                if is_plain(value):
                    constants[f"{module}.{variable}".strip(".")] = Describer().describe(value)
                elif getattr(value, "__module__", None) == thing.__module__ and code_of(value):
                    waiting.append((f"{module}.{value.__qualname__}".strip("."), value))
    return {**survey(places).digests, **codes}, constants


def file_of(module: str, objective: str) -> str:
    """The file of a module, as a user would write it; its name if there is none."""
    root = find_place(Path(objective)).root if objective else Path.cwd()
    path = module.replace(".", "/")
    for folder in (root, *root.parents):
        for file in (folder / f"{path}.py", folder / path / "__init__.py"):
            if file.is_file():
                return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    return module


def by_version(sources: Mapping[str, str]) -> dict[str, Any]:
    """Mark digests of bytecode, so that they are compared only within one version of Python."""
    return {f"{name}\n": {CODE: text} if ":" in text else text for name, text in sources.items()}
