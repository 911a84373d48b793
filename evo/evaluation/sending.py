"""How an objective comes from a rank to its child: by name where its names can be found there, or else by value."""

from __future__ import annotations

import ast
import functools
import io
import pickle
import sys
import types
from collections import ChainMap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from evo.errors import UserError
from evo.frames import one_line
from evo.objective.functions import functions_of, globals_read
from evo.objective.identity import attributes_of
from evo.objective.references import Named

_MAIN = "__main__"
_DEEPEST = 8  # Levels down to which the part that cannot be sent is looked for.
Members: TypeAlias = dict[str, dict[str, Any]]
"""Classes and functions by module and name."""


@dataclass(frozen=True)
class Parcel:
    """An objective on its way.

    Args:
        content: The pickled objective.
        needs_main: Whether the child is to run the main module of its rank, which is a script with a guard then.
    """

    content: bytes
    needs_main: bool


@dataclass(frozen=True)
class _Sent:
    """What is pickled.

    Args:
        objective: What to evaluate, or a reference to it.
        members: Classes and functions that come by value, by module and by the name under which others look for them.
    """

    objective: Any
    members: Members


def pack(objective: Callable[..., Any] | Named) -> Parcel:
    """Pickle an objective.

    Classes and functions are sent by name where that is possible. They are sent by value if their module cannot be
    imported by a child, or searches while it is imported; or if it is the main module, unless that is a script with a
    guard and defines them outside of it. A notebook cannot be run by a child at all.

    Raises:
        UserError: It cannot be sent; the message names the part that cannot.
    """
    if isinstance(objective, Named):
        return Parcel(pickle.dumps(_Sent(objective, {})), needs_main=False)
    script = _read_script()
    try:
        content, members = _pickle(_by_name(), objective)
    except Exception:
        content, members = b"", {}
    if content and set(members) <= {_MAIN} and set(members.get(_MAIN, {})) <= (script.names if script else set()):
        return Parcel(content, needs_main=script is not None)
    to = "the objective cannot be sent to a child process"
    return Parcel(pack_by_value(objective, to, 'or set evaluate="inline"'), needs_main=False)


def pack_by_value(what: Any, problem: str, way_out: str) -> bytes:
    """Pickle anything for a process that has neither the main module of this one nor what a notebook has defined.

    Args:
        what: An objective, or something that contains one.
        problem: The beginning of the message when it cannot be sent.
        way_out: The end of that message, after the advice to make the culprit later.

    Raises:
        UserError: It cannot be sent; the message names the part that cannot.
    """
    try:
        return _pickle_by_value(what)
    except Exception as error:
        raise UserError(
            f"{problem}: {_name_culprit(what, error)}; make that where it is first needed in the evaluation, {way_out}"
        ) from error


def unpack(content: bytes) -> Any:
    """The objective, in the child; definitions that come with it are put into the modules that they belong to."""
    sent = pickle.loads(content)
    for module, members in sent.members.items():
        for name, member in members.items():
            _name_inner(member, name)
        vars(sys.modules.setdefault(module, types.ModuleType(module))).update(members)
    return sent.objective


def _name_inner(thing: Any, name: str) -> None:
    """Give classes inside of a class that came by value their full names again, by which pickle looks for them."""
    if isinstance(thing, type):
        thing.__qualname__ = name
        for inner, value in list(vars(thing).items()):
            is_inner = isinstance(value, type) and value.__name__ == inner and value.__module__ == thing.__module__
            if is_inner and value is not thing:
                _name_inner(value, f"{name}.{inner}")


@contextmanager
def main_hidden() -> Iterator[None]:
    """Let multiprocessing start a process inside that does not run this one's main module."""
    main = sys.modules[_MAIN]
    names = ("__spec__", "__file__")
    before = {name: vars(main)[name] for name in names if name in vars(main)}
    main.__spec__ = None
    vars(main).pop("__file__", None)
    try:
        yield
    finally:
        vars(main).update(before)


@dataclass(frozen=True)
class _Script:
    """A main module that a child may run.

    Args:
        names: What it defines outside of its guard.
    """

    names: set[str]


def _read_script() -> _Script | None:
    """The main module, if multiprocessing would run it again and its guard keeps it from searching then."""
    main = sys.modules[_MAIN]
    file = getattr(main, "__file__", None)
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if not file or Path(file).stem == "ipython" or (name and name.rpartition(".")[2] == _MAIN):
        return None
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None
    guards = [node for node in tree.body if isinstance(node, ast.If) and _asks_for_the_name(node.test)]
    others = [node for node in tree.body if node not in guards]
    if not guards or any(_searches(node) for node in others):
        return None
    return _Script({name for node in others for name in _names_bound(node)})


def _asks_for_the_name(test: ast.expr) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _searches(node: ast.stmt) -> bool:
    """Whether a statement calls minimize as soon as it is run."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    called = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return any("minimize" in (getattr(each, "attr", None), getattr(each, "id", None)) for each in called)


def _names_bound(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield each.name
        elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
        elif isinstance(each, ast.alias):
            yield (each.asname or each.name).partition(".")[0]
            if each.name == "*":
                yield from vars(sys.modules[_MAIN])


class _Notes:
    """Part of a pickler: notes what comes from modules that a child lacks, and refuses what no other process can have.

    Attributes:
        members: Classes and functions that these modules have by these names.
    """

    members: Members

    def persistent_id(self, thing: Any) -> None:
        """Return None, so that everything is pickled as it would be without this method."""
        if isinstance(thing, type | types.FunctionType) and _is_only_here(thing.__module__):
            top = thing.__qualname__.partition(".")[0]
            found = vars(sys.modules[thing.__module__]).get(top)
            self.members.setdefault(thing.__module__, {})[top] = thing if found is None else found
        elif getattr(thing, "is_cuda", False) is True:
            raise TypeError(f"a tensor on {thing.device}, whose memory belongs to this process")


@functools.cache
def _by_name() -> Callable[[io.BytesIO], Any]:
    class ByName(_Notes, pickle.Pickler):
        pass

    return ByName


@functools.cache
def _by_value() -> Callable[[io.BytesIO], Any]:
    import cloudpickle

    table = cloudpickle.Pickler.dispatch_table
    own = ChainMap({types.CodeType: functools.partial(_reduce_code, table[types.CodeType])}, table)

    class ByValue(_Notes, cloudpickle.Pickler):  # type: ignore[misc]
        dispatch_table = own

    return ByValue


def _reduce_code(reduce: Callable[[types.CodeType], Any], code: types.CodeType) -> Any:
    """Code as cloudpickle reduces it, but with the name of its file, by which errors name the user's line."""
    return _make_code, (code.co_filename, reduce(code)[1])


def _make_code(file: str, arguments: tuple[Any, ...]) -> types.CodeType:
    return types.CodeType(*arguments).replace(co_filename=file)


def _is_only_here(name: Any) -> bool:
    """Whether a child does not have, or should not import, the module of a name that this process has."""
    if name == _MAIN:
        return True
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return False
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        return True  # It is just being imported.
    top = name.partition(".")[0]
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return not any(finder.find_spec(top, None) is not None for finder in finders)


def _pickle_by_value(objective: Any) -> bytes:
    """Pickle an objective by value, with all that comes from modules that a child does not have."""
    import cloudpickle

    registered: list[types.ModuleType] = []
    try:
        _, members = _pickle(_by_value(), objective)
        # What comes by value may need other such modules in turn.
        while unknown := [name for name in members if name != _MAIN and sys.modules[name] not in registered]:
            for module in (sys.modules[name] for name in unknown):
                cloudpickle.register_pickle_by_value(module)
                registered.append(module)
            _, members = _pickle(_by_value(), objective)
        return _pickle(_by_value(), objective, members)[0]
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)


def _pickle(
    pickler: Callable[[io.BytesIO], Any], objective: Any, members: Members | None = None
) -> tuple[bytes, Members]:
    stream = io.BytesIO()
    one = pickler(stream)
    one.members = {}
    one.dump(_Sent(objective, members or {}))
    return stream.getvalue(), one.members


def _name_culprit(objective: Any, error: Exception) -> str:
    """The innermost part that cannot be sent, and why."""
    path, thing, why = "it", objective, error
    for _ in range(_DEEPEST):
        for name, part in _parts(thing):
            if (refusal := _refusal(part)) is not None:
                path, thing, why = (name if path == "it" else f"{path}, {name}"), part, refusal
                break
        else:
            break
    return f"{path} is a {type(thing).__module__}.{type(thing).__qualname__} ({one_line(why)})"


def _refusal(thing: Any) -> Exception | None:
    try:
        _pickle(_by_value(), thing)
    except Exception as error:
        return error
    return None


def _parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a thing brings with it, by names that its author knows."""
    if isinstance(thing, functools.partial):
        yield from (("its function", thing.func), *((f"its argument {place}", a) for place, a in enumerate(thing.args)))
        yield from ((f"its argument {name!r}", value) for name, value in thing.keywords.items())
    elif isinstance(thing, types.MethodType):
        yield f"the {type(thing.__self__).__qualname__}", thing.__self__
    elif isinstance(thing, types.FunctionType):
        for name, cell in zip(thing.__code__.co_freevars, thing.__closure__ or (), strict=True):
            with suppress(ValueError):  # The variable is not assigned yet.
                yield f"{name!r} of {thing.__qualname__}", cell.cell_contents
        yield from ((f"the global name {name!r}", value) for name, value in globals_read(thing))
    elif isinstance(thing, type):
        if thing.__module__ == _MAIN:
            yield from ((each.__qualname__, each) for each in functions_of(thing))
            yield from ((f"{thing.__qualname__}.{name}", value) for name, value in vars(thing).items())
    elif isinstance(thing, dict):
        yield from ((f"the entry {str(name)!r}", value) for name, value in thing.items())
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from ((f"the entry {place}", value) for place, value in enumerate(thing))
    else:
        yield from ((f"its attribute {name!r}", value) for name, value in attributes_of(thing).items())
        yield "its class", type(thing)
