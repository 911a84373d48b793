"""What functions and classes bring with them: their code, and the global names that they read."""

from __future__ import annotations

import dis
import inspect
import sys
import types
from collections.abc import Iterator
from typing import Any

from evo.objective.differences import digest


def code_digest(function: types.FunctionType) -> str:
    """A digest of a function's code, with the version of Python that it is for."""
    text = _code_text(function.__code__, skips=function.__doc__)
    return f"{sys.version_info.major}.{sys.version_info.minor}:{digest(text.encode('utf-8', 'replace'))}"


def code_of(thing: Any) -> str:
    """A digest of the code of a function or class; empty when it has none."""
    if isinstance(thing, types.FunctionType):
        return code_digest(thing)
    return code_of_class(thing) if isinstance(thing, type) else ""


def functions_of(thing: Any) -> list[types.FunctionType]:
    """A function itself, or the functions of a class."""
    values = list(vars(thing).values()) if isinstance(thing, type) else [thing]
    bare = [getattr(each, "__func__", None) or getattr(each, "fget", None) or each for each in values]
    return [inspect.unwrap(each) for each in bare if isinstance(each, types.FunctionType)]


def globals_read(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """The global names that a function reads and never assigns, with their values."""
    read, assigned = dict[str, None](), set[str]()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read[step.argval] = None
            elif step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                assigned.add(step.argval)
    for name in read:
        if name in function.__globals__ and name not in assigned and not name.startswith("__"):
            yield name, function.__globals__[name]


def code_of_class(kind: type) -> str:
    """A digest of the code of all functions of a class."""
    digests = [f"{each.__qualname__} {code_digest(each)}" for each in functions_of(kind)]
    return f"{sys.version_info.major}.{sys.version_info.minor}:{digest(' '.join(sorted(digests)).encode())}"


def _code_text(code: types.CodeType, skips: str | None = None) -> str:
    constants = [
        _code_text(each) if isinstance(each, types.CodeType) else _constant_text(each)
        for place, each in enumerate(code.co_consts)
        if place or each != skips
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, code.co_freevars, constants))


def _constant_text(constant: Any) -> str:
    """The text of a constant; a frozenset is sorted, because its order differs from process to process."""
    return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
