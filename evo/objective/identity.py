"""What an object depends on, as a tree of plain values that is the same in every process."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import functools
import math
import re
import sys
import types
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from evo.objective.differences import digest, json_of
from evo.objective.functions import code_digest, code_of_class
from evo.objective.places import find_place, is_local

_DEEPEST = 16  # Levels below which only the class of a thing counts.
_MOST_THINGS = 20_000  # Things described of one objective; of all others only the class counts.
_MOST_ENTRIES = 1_000  # Entries described of a list or mapping of things that are not plain; the others are counted.
_READABLE = 64  # Entries of a list, or bytes, that are shown; a longer one is shown as its digest.
_LONGEST_TEXT = 300
_WRITTEN = (complex, range, slice, re.Pattern, types.GenericAlias)  # Their text tells all.
_WRITTEN_MODULES = ("datetime", "decimal", "fractions", "uuid", "zoneinfo")
_WRITTEN_NAMES = ("torch.device", "torch.dtype", "torch.Size", "numpy.dtype")
_ARRAYS = ("numpy.ndarray", "torch.Tensor", "pandas.core.frame.DataFrame", "pandas.core.series.Series")
_FEW = 8  # Entries of an array that are shown one by one.
_MOST_BYTES = 2**30  # The size of the largest array of which a digest is made.
_WITH_STATE = (types.SimpleNamespace, argparse.Namespace)  # Python's own classes whose attributes are described.


class Describer:
    """Describes things, and remembers which of the user's classes and functions they are made of.

    Attributes:
        used: The classes and functions that were met, by name.
    """

    def __init__(self) -> None:
        self.used: dict[str, Any] = {}
        self._above: list[int] = []
        self._left = _MOST_THINGS

    def describe(self, value: Any) -> Any:
        """Names, classes with their state, plain values; never what only this process has, such as an address."""
        written, plain = _plain(value)
        if plain:
            return written
        self._left -= 1
        if id(value) in self._above:
            return {"class": self.name(type(value)), "within": "itself"}
        if len(self._above) >= _DEEPEST or self._left < 0:
            return {"class": self.name(type(value))}
        self._above.append(id(value))
        try:
            return self._compound(value)
        except Exception:  # A property of the user's may raise anything.
            return {"class": self.name(type(value))}
        finally:
            self._above.pop()

    def name(self, thing: Any) -> str:
        """The full name of a class or a function, with its module's own name, whatever that was loaded as."""
        module, name = str(getattr(thing, "__module__", "") or ""), str(getattr(thing, "__qualname__", ""))
        own, file = module_name(module)
        if module == "__main__" or (file is not None and is_local(file)):
            self.used.setdefault(f"{own}.{name}".strip("."), thing)
        return f"{own}.{name}".strip(".")

    def _compound(self, value: Any) -> Any:
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, functools.partial):
            keywords = {name: self.describe(each) for name, each in value.keywords.items()}
            arguments = [self.describe(each) for each in value.args]
            return {"partial": self.describe(value.func), "args": arguments, "keywords": keywords}
        if isinstance(value, types.MethodType):
            return {"method": self.name(value.__func__), "self": self.describe(value.__self__)}
        if isinstance(value, types.ModuleType):
            return {"module": value.__name__}
        if isinstance(value, dict | types.MappingProxyType):
            return self._mapping(value)
        if isinstance(value, set | frozenset):
            return sorted((self.describe(each) for each in value), key=json_of)
        if isinstance(value, list | deque) or type(value) is tuple:
            return self._sequence(list(value))
        if any(_full_name(each) in _ARRAYS for each in type(value).__mro__):
            return self._array(value)
        if callable(value) and hasattr(value, "__qualname__"):  # A function of an extension module.
            return {"function": self.name(value)}
        return self._instance(value)

    def _class(self, value: type) -> Any:
        name = self.name(value)
        if _is_named(value):
            return {"type": name}
        state = {key: each for key, each in vars(value).items() if not key.startswith("__") and _plain(each)[1]}
        return {"type": name, **self._mapping(state), "code": code_of_class(value)}

    def _function(self, value: types.FunctionType) -> Any:
        name = self.name(value)
        parts: dict[str, Any] = {}
        for variable, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                parts[variable] = self.describe(cell.cell_contents)
            except ValueError:  # The variable is not assigned yet.
                continue
        if "<" in name:  # A lambda or an inner function: its name does not tell it from others.
            parts["code"] = code_digest(value)
            defaults = [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
            parts |= {"defaults": [self.describe(each) for each in defaults]} if defaults else {}
        given = {key: each for key, each in vars(value).items() if key != "__wrapped__"}
        return {"function": name, **parts, **self._mapping(given)}

    def _mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        if len(value) > _MOST_ENTRIES and all(_plain(each)[1] for each in value.values()):
            pairs = sorted(json_of([self.describe(key), _plain(each)[0]]) for key, each in value.items())
            return {"length": len(value), "digest": digest("".join(pairs).encode())}
        length = {"length": len(value)} if len(value) > _MOST_ENTRIES else {}
        return length | {
            key if isinstance(key, str) else json_of(self.describe(key)): self.describe(each)
            for key, each in islice(value.items(), _MOST_ENTRIES)
        }

    def _sequence(self, value: list[Any]) -> Any:
        if len(value) > _READABLE and all(isinstance(each, str | int | float | bool | None) for each in value):
            return {"length": len(value), "digest": digest(json_of([_plain(each)[0] for each in value]).encode())}
        length = [f"{len(value)} entries"] if len(value) > _MOST_ENTRIES else []
        return length + [self.describe(each) for each in value[:_MOST_ENTRIES]]

    def _array(self, value: Any) -> Any:
        import numpy as np

        plain = value.detach().cpu() if hasattr(value, "detach") else value
        about: dict[str, Any] = {"class": self.name(type(value)), "shape": list(plain.shape)}
        if getattr(plain, "nbytes", 0) > _MOST_BYTES:
            return about
        if "bfloat16" in str(getattr(plain, "dtype", "")):
            plain = plain.float()
        array = np.asarray(plain)
        about["dtype"] = str(array.dtype)
        if hasattr(value, "columns"):
            about["columns"] = self.describe(list(value.columns))
        if array.dtype.hasobject or array.size <= _FEW:
            return {**about, "values": self.describe(array.tolist())}
        return {**about, "digest": digest(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)}

    def _instance(self, value: Any) -> Any:
        kind = type(value)
        state: Any = None
        if dataclasses.is_dataclass(value):
            unseen = {field.name for field in dataclasses.fields(value) if not field.compare}
            state = {name: each for name, each in attributes_of(value).items() if name not in unseen}
        elif isinstance(value, tuple):  # A named tuple.
            state = dict(zip(getattr(kind, "_fields", map(str, range(len(value)))), value, strict=False))
        elif hasattr(kind, "state_dict") and hasattr(kind, "named_parameters"):
            state = _public(value) | {"state": dict(value.state_dict())}
        elif _is_users(kind):
            own = getattr(kind, "__getstate__", None)
            has_own = own is not None and own is not getattr(object, "__getstate__", None)
            state = own(value) if has_own else attributes_of(value)  # type: ignore[misc]
        elif kind.__module__ == "operator":  # itemgetter and its like.
            state = list(value.__reduce__()[1])
        elif isinstance(value, Mapping):
            state = dict(value)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) <= _READABLE:
            state = list(value)
        elif kind.__module__.partition(".")[0] not in sys.stdlib_module_names or isinstance(value, _WITH_STATE):
            state = vars(value) if isinstance(value, _WITH_STATE) else _public(value)
        about: dict[str, Any] = {"class": self.name(kind)}
        if not _is_named(kind):
            about["made"] = self.describe(kind)
        base = next((base for base in (int, float, str) if isinstance(value, base)), None)
        if base is not None:
            about["value"] = _plain(base(value))[0]
        if isinstance(state, Mapping):
            return {**about, **self._mapping(state)}
        return about if state is None else {**about, "state": self.describe(state)}


def module_name(name: str) -> tuple[str, Path | None]:
    """A loaded module's own name, and its file.

    Args:
        name: The name under which it was loaded. The own name of __main__ is that of its file, or empty without one.
    """
    file = getattr(sys.modules.get(name), "__file__", None)
    if not file or not file.endswith(".py") or not Path(file).is_file():
        return ("" if name == "__main__" else name), None
    place = find_place(Path(file))
    return place.name, place.file


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a text or the like, or a few of them that nobody changes."""
    if isinstance(value, tuple | frozenset):
        return len(value) <= _READABLE and all(map(is_plain, value))
    return _plain(value)[1] or isinstance(value, argparse.Namespace)


def _plain(value: Any) -> tuple[Any, bool]:
    """A value in the form of JSON, and whether it is plain enough to have one."""
    kind = type(value)
    if value is None or kind is bool:
        return value, True
    if isinstance(value, enum.Enum):
        return f"{kind.__qualname__}.{value.name}", True
    if kind is int:
        return (value if abs(value) < 2**53 else str(value)), True
    if kind is float:
        return (value if math.isfinite(value) else str(value)), True
    if kind is str:
        text = value.encode("utf-8", "replace").decode()
        short = len(text) <= _LONGEST_TEXT
        return (text if short else f"{text[:_LONGEST_TEXT]}… (digest {digest(text.encode())})"), True
    if isinstance(value, bytes | bytearray):
        return (value.hex() if len(value) <= _READABLE else f"{len(value)} bytes, digest {digest(value)}"), True
    if isinstance(value, PurePath):
        return str(value), True
    if isinstance(value, _WRITTEN) or kind.__module__ in _WRITTEN_MODULES or _full_name(kind) in _WRITTEN_NAMES:
        return str(value), True
    if kind.__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", (1,)):
        item = value.item()
        return _plain(item) if type(item) is not kind else (str(item), True)
    if kind.__module__ == "numpy.dtypes":
        return str(value), True
    return None, False


def attributes_of(value: Any) -> dict[str, Any]:
    """The attributes of an instance, those in slots included."""
    found = {}
    for kind in reversed(type(value).__mro__):
        slots = vars(kind).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return {**found, **getattr(value, "__dict__", {})}


def _public(value: Any) -> dict[str, Any]:
    """The attributes of an instance of a library's class that are public or arguments of its constructor.

    Others that begin with an underline may hold for this process only, as a process number does.
    """
    arguments = {f"_{name}" for kind in type(value).__mro__ for name in _arguments(kind)}
    state = attributes_of(value)
    return {name: each for name, each in state.items() if name in arguments or not str(name).startswith("_")}


def _arguments(kind: type) -> list[str]:
    code = getattr(vars(kind).get("__init__"), "__code__", None)
    return list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]) if code else []


def _is_named(kind: type) -> bool:
    """Whether a class is known by its name; in a notebook, an earlier one of the same name counts as the same."""
    if kind.__module__ == "__main__":
        return "<locals>" not in kind.__qualname__
    found: Any = sys.modules.get(kind.__module__)
    for step in kind.__qualname__.split("."):
        found = getattr(found, step, None)
    return found is kind or not _is_users(kind)


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_users(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "__main__" or bool(file and is_local(Path(file)))
