"""The objective: what is minimised, how to name it, and what counts as its loss."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from evo.events import Identity, plain
from evo.limits import Params

# Modules that belong into the process that trains, never into a rank.
_HEAVY = ("torch", "lightning", "pytorch_lightning", "torchvision", "evo.lightning", "evo.LightningObjective")


class Interrupted(BaseException):
    """Raised by an objective that has saved its state because `trial.interrupted` was set; evaluated again later."""


class Trial(Protocol):
    """What an objective with a second parameter gets: where it is, and how to report.

    Args:
        individual: Rank and generation of birth.
        seed: For its training; the same whenever this individual is evaluated.
        threads: CPU threads that it may use.
        metrics: What is put here is recorded beside the loss: JSON scalars.
        rank: Place of this process among those that evaluate the individual together, from 0.
        size: How many these are, see the setting ranks_per_worker; the loss of the first one counts.
        checkpoint_interval: Seconds after which a long evaluation should save its state in its folder again.
        results: Of a test after the search: the folder for what it finds beside its metrics; None: nothing is wanted.
    """

    individual: Identity
    seed: int
    threads: int
    metrics: dict[str, Any]
    rank: int
    size: int
    checkpoint_interval: float
    results: Path | None

    @property
    def interrupted(self) -> bool:
        """Whether the evaluation should save its state in its folder now and raise `Interrupted`."""

    @property
    def communicator(self) -> Any:
        """An mpi4py communicator of these ranks; only where the objective runs inline."""

    @property
    def folder(self) -> Path:
        """The individual's own folder, for logs and checkpoints."""

    @property
    def should_stop(self) -> bool:
        """Whether the evaluation should end early, with the loss so far."""

    def report(self, step: int, loss: float) -> None:
        """Report an intermediate loss; one that is not finite is passed over."""


@dataclass(frozen=True)
class Reference:
    """An objective by name, to be loaded in the process that evaluates.

    Args:
        place: Module, or path of a Python file.
        name: Of the function, class instance or other callable in it.
    """

    place: str
    name: str

    def __str__(self) -> str:
        return f"{self.place}:{self.name}"

    @property
    def is_heavy(self) -> bool:
        """Whether its module imports torch or lightning; seen in its text, without running it.

        Raises:
            ValueError: There is no such module or file, or it is not Python.
        """
        file = self._file()
        if file.suffix != ".py":
            return False  # Built in or compiled.
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"objective {self}: {self.place} is not valid Python: {error}") from None
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Attribute) and node.attr == "LightningObjective":
                return True  # Of evo, whatever that is called there.
            if any(name == heavy or name.startswith(f"{heavy}.") for name in names for heavy in _HEAVY):
                return True
        return False

    def load(self) -> Callable[..., Any]:
        """Import it.

        Raises:
            ValueError: It cannot be imported, or is not callable.
        """
        module = self._import()
        target: Any = module
        for part in self.name.split("."):
            if not hasattr(target, part):
                names = ", ".join(sorted(name for name, value in vars(module).items() if callable(value)))
                raise ValueError(
                    f"objective {self}: {self.place} has no {self.name!r}; it has {names or 'no functions'}"
                )
            target = getattr(target, part)
        if not callable(target):
            raise ValueError(f"objective {self} is {target!r}: an objective is a function of the parameters")
        return target  # type: ignore[no-any-return]

    @property
    def _is_file(self) -> bool:
        return self.place.endswith(".py")

    def _file(self) -> Path:
        if self._is_file:
            path = Path(self.place)
            if not path.is_file():
                raise ValueError(f"objective {self}: there is no file {self.place}")
            return path
        if "" not in sys.path:
            sys.path.insert(0, "")  # As `python -m` does, for the evo command: modules of the working directory.
        try:
            spec = importlib.util.find_spec(self.place)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None:
            raise ValueError(f"objective {self}: there is no module {self.place!r}, here or installed")
        return Path(spec.origin)

    def _import(self) -> Any:
        path = self._file()
        try:
            return _run_file(path.resolve()) if self._is_file else importlib.import_module(self.place)
        except (Exception, SystemExit) as error:
            raise ValueError(f"objective {self} cannot be imported: {type(error).__name__}: {error}") from error


def _run_file(file: Path) -> ModuleType:
    """The module of a file, once; under the name of the file unless another module has that name."""
    sys.path.insert(0, str(file.parent))  # Its neighbours, as when it is run as a script.
    name = file.stem
    if name in sys.stdlib_module_names or getattr(sys.modules.get(name), "__file__", str(file)) != str(file):
        name = str(file)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def prepare(objective: Callable[..., Any]) -> Callable[[Params, Trial], Any]:
    """Give every objective the same form, whether or not it wants the trial.

    Args:
        objective: `loss(params)` or `loss(params, trial)`; either may be a generator of intermediate losses.

    Returns:
        A function of both that runs the objective to its end.

    Raises:
        ValueError: It takes neither one nor two parameters.
    """
    gets_trial = wants_trial(objective)

    def run(params: Params, trial: Trial) -> Any:
        result = objective(params, trial) if gets_trial else objective(params)
        return _exhaust(result, trial) if isinstance(result, Generator) else result

    return run


def wants_trial(objective: Callable[..., Any]) -> bool:
    """Whether an objective takes the trial as its second parameter.

    Raises:
        ValueError: It takes neither one nor two parameters.
    """
    try:
        signature = inspect.signature(objective)
    except (TypeError, ValueError):
        return False
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    required = [parameter for parameter in positional if parameter.default is parameter.empty]
    variadic = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in signature.parameters.values())
    if len(required) > 2 or not (positional or variadic):
        raise ValueError(
            f"objective {getattr(objective, '__name__', objective)!r} has the signature {signature}: "
            "an objective takes (params) or (params, trial)"
        )
    return len(required) == 2 or (len(positional) >= 2 and positional[1].name == "trial")


def check_loss(value: Any) -> float:
    """The loss as a float.

    Args:
        value: What an objective returned: a number, or an array or tensor of one.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not finite.
    """
    shape = tuple(getattr(value, "shape", ()))
    if math.prod(shape) != 1:
        raise TypeError(f"the loss is a {type(value).__name__} of shape {shape}: it must be one number")
    number = plain(value)
    if isinstance(number, str | bytes | bool) or not hasattr(number, "__float__"):
        raise TypeError(f"the loss is {number!r} ({type(number).__name__}): it must be a number")
    loss = float(number)
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss}: it must be finite")
    return loss


def _exhaust(losses: Generator[Any, None, Any], trial: Trial) -> Any:
    """Report each loss of a generator; the last one is the loss, unless the generator returns one."""
    latest: Any = None
    step = 0
    while True:
        try:
            latest = next(losses)
        except StopIteration as end:
            return latest if end.value is None else end.value
        trial.report(step, float(latest))
        step += 1
        if trial.should_stop:
            losses.close()
            return latest


def describe(objective: Callable[..., Any] | Reference) -> str:
    """A name for the study's record.

    Args:
        objective: A function, an instance, or a reference to one.
    """
    if isinstance(objective, Reference):
        return str(objective)
    named = objective if hasattr(objective, "__qualname__") else type(objective)
    module = "" if named.__module__ == "__main__" else f"{named.__module__}:"
    return f"{module}{named.__qualname__}"


def parse_reference(text: str) -> Reference:
    """Read `module:function` or `path/to/file.py:function`.

    Raises:
        ValueError: It is neither.
    """
    place, _, name = text.rpartition(":")
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"objective {text!r} is neither a ready problem, module:function nor path/to/file.py:function")
    return Reference(place, name)


def check_team(objective: Callable[..., Any], size: int) -> None:
    """Refuse several ranks for an objective that is made for one.

    Raises:
        ValueError: It is.
    """
    if size > 1 and getattr(objective, "one_rank_only", False):
        raise ValueError(
            f"ranks_per_worker is {size}, but a {type(objective).__name__} trains on one rank: "
            "leave out ranks_per_worker"
        )


def optional_method(objective: Callable[..., Any], name: str) -> Callable[..., Any] | None:
    """A method that an objective may have beside being callable: `check(names)` or `test(params, trial)`."""
    method = getattr(objective, name, None)
    return method if callable(method) and not inspect.isfunction(objective) else None
