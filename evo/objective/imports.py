"""What a module imports, seen in syntax trees, without running any of it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evo.objective.places import Place, Source, digest_of, is_local, read_source

if TYPE_CHECKING:
    from importlib.metadata import Distribution

# Modules that belong into the process that trains, never into a rank: they take seconds and hundreds of megabytes,
# start threads, and hold a GPU.
_HEAVY = (
    *("torch", "torchvision", "lightning", "pytorch_lightning", "lightning_fabric", "tensorflow", "keras", "jax"),
    *("evo.lightning", "evo.problems.digits", "evo.LightningObjective"),
)
_HEAVY_DISTRIBUTIONS = ("torch", "lightning", "pytorch-lightning", "tensorflow", "tensorflow-cpu", "keras", "jax")


@dataclass(frozen=True)
class Survey:
    """All that some modules may import, directly or not.

    Args:
        files: The user's own modules by dotted name, those surveyed among them.
        others: Full names of what is imported from elsewhere.
        directories: Directories that are not on the path and hold modules that are found nowhere else.
    """

    files: dict[str, Path]
    others: frozenset[str]
    directories: tuple[Path, ...]

    @property
    def is_heavy(self) -> bool:
        """Whether a rank should not load these modules."""
        for name in sorted(self.others):
            if any(name == heavy or name.startswith(f"{heavy}.") for heavy in _HEAVY):
                return True
        if any("LightningObjective" in _read(file).attributes for file in self.files.values()):
            return True  # It is part of evo, under whatever name evo is imported there.
        tops = sorted({name.partition(".")[0] for name in self.others} - {"evo"} - sys.stdlib_module_names)
        return any(_needs_heavy(top) for top in tops)

    @property
    def digests(self) -> dict[str, str]:
        """A digest of each module's code, by its dotted name."""
        return {name: digest_of(file) for name, file in sorted(self.files.items())}


def survey(places: Iterable[Place]) -> Survey:
    """What modules import, directly or through others of the user's own."""
    walk = _Walk()
    for place in places:
        walk.visit(place)
    return Survey(walk.files, frozenset(walk.others), tuple(walk.directories))


def find_module(name: str, path: Sequence[str] | None = None) -> Path | None:
    """The file of a module; None when there is no such module, or it has no file.

    Args:
        name: The dotted name. No package above it is run.
        path: The directories to search. None means those that Python searches.
    """
    specs = _find_specs(name, path)
    spec = specs[-1] if len(specs) == name.count(".") + 1 else None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def is_module(name: str) -> bool:
    """Whether there is such a module, with a file or built in."""
    specs = _find_specs(name, None)
    return len(specs) == name.count(".") + 1 and specs[-1] is not None and specs[-1].origin is not None


class _Walk:
    """Follows imports from file to file, and gathers what `Survey` holds."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.others: set[str] = set()
        self.directories: list[Path] = []
        self._seen: set[Path] = set()
        importlib.invalidate_caches()

    def visit(self, place: Place) -> None:
        """Take in a file, the packages that it is in, and all that they import."""
        waiting = [*_packages_above(place), place]
        while waiting:
            each = waiting.pop()
            if each.file in self._seen:
                continue
            self._seen.add(each.file)
            if is_local(each.file):
                self.files[each.name] = each.file
            for found in _read(each.file).imports:
                for name in found.absolute(each.package):
                    waiting += self._follow(name, each)

    def _follow(self, name: str, importer: Place) -> list[Place]:
        """The user's modules that are loaded for a name which a file imports."""
        if not is_local(importer.file):
            self.others.add(name)  # An installed file is not followed further: what it requires tells enough.
            return []
        path = [str(importer.root), *map(str, self.directories), *sys.path]
        specs = _find_specs(name, path)
        if specs[0] is None and (directory := _find_above(name, importer.file)):
            self.directories.append(directory)
            specs = _find_specs(name, [*path, str(directory)])
        found = []
        for depth, spec in enumerate(specs, 1):
            file = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
            if file is not None and is_local(file) and file.suffix == ".py":
                steps = name.split(".")[:depth]
                root = file.parents[depth if file.name == "__init__.py" else depth - 1]
                found.append(Place(file, ".".join(steps), root))
            elif spec is None or file is not None or spec.submodule_search_locations is None:
                self.others.add(name)
        return found


def _packages_above(place: Place) -> list[Place]:
    """The packages that a module is in, which Python runs before the module itself."""
    steps = place.file.parent.relative_to(place.root).parts
    above = [(place.root.joinpath(*steps[:depth]), ".".join(steps[:depth])) for depth in range(1, len(steps) + 1)]
    return [
        Place(folder / "__init__.py", name, place.root) for folder, name in above if (folder / "__init__.py").is_file()
    ]


def _read(file: Path) -> Source:
    """What a file tells; nothing if it cannot be read, because its import will say why."""
    try:
        return read_source(file)
    except (OSError, SyntaxError, ValueError):
        return Source((), frozenset())


def _find_specs(name: str, path: Sequence[str] | None) -> list[ModuleSpec | None]:
    """The specs of all steps of a dotted name; they end with None at the first step that is not found."""
    steps = name.split(".")
    specs: list[ModuleSpec | None] = [_find_top(steps[0], sys.path if path is None else path)]
    for depth in range(2, len(steps) + 1):
        above = specs[-1]
        if above is None:
            break
        specs.append(_find_in(".".join(steps[:depth]), list(above.submodule_search_locations or ())))
    return specs


def _find_top(name: str, path: Sequence[str]) -> ModuleSpec | None:
    spec = None if name in sys.stdlib_module_names else _find_in(name, path)
    try:
        # Finders of other kinds know built-in modules and editable installations.
        return spec or importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _find_in(name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """Find a module as Python's own path finder does, without loading any package above it."""
    portions: list[str] = []
    for folder in folders:
        finder: Any = pkgutil.get_importer(folder or os.getcwd())
        spec = finder.find_spec(name) if finder is not None else None
        if spec is not None and spec.loader is not None:
            return spec  # type: ignore[no-any-return]
        portions += spec.submodule_search_locations or () if spec is not None else ()
    if not portions:
        return None
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = portions
    return spec


def _find_above(name: str, file: Path) -> Path | None:
    """The directory above a file, or `src` in one, that has a module or package of that name.

    A directory without `__init__.py` is a package where it holds what the dotted name says, or any Python file.
    """
    top, *below = name.split(".")
    for above in file.parents:
        for folder in (above, above / "src"):
            package = folder / top
            if (folder / f"{top}.py").is_file() or (package / "__init__.py").is_file():
                return folder
            inner = package.joinpath(*below)
            is_there = bool(below) and (inner.is_dir() or inner.with_name(f"{inner.name}.py").is_file())
            if package.is_dir() and (is_there or any(package.glob("*.py"))):
                return folder
    return None


@functools.cache
def _needs_heavy(top: str) -> bool:
    """Whether what is installed with this top-level name requires something heavy."""
    from importlib.metadata import PackageNotFoundError, distribution

    waiting, seen = _distributions_of(top), set[str]()
    while waiting:
        name = _normal(waiting.pop())
        if name in _HEAVY_DISTRIBUTIONS:
            return True
        if name in seen:
            continue
        seen.add(name)
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        for text in required:
            what, _, condition = text.partition(";")
            if "extra" not in condition and (found := re.match(r"[\w.-]+", what.strip())):
                waiting.append(found[0])
    return False


def _distributions_of(top: str) -> list[str]:
    from importlib.metadata import PackageNotFoundError, distribution, distributions

    try:
        return [distribution(top).metadata["Name"]]
    except (PackageNotFoundError, ValueError):
        # A name may differ from its distribution's, as sklearn does from scikit-learn: metadata or files tell.
        return [each.metadata["Name"] for each in distributions() if _provides(each, top)]


def _provides(distribution: Distribution, top: str) -> bool:
    names = distribution.read_text("top_level.txt")
    return top in names.split() if names else f"\n{top}/" in f"\n{distribution.read_text('RECORD')}"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
