"""The classes of a training that names none: those that LightningCLI is called with, or the only ones that fit.

Files are read and never run, because a rank must not import torch, nor what needs it.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evo.errors import UserError

_BASES = {"model": "LightningModule", "data": "LightningDataModule"}
_KEYS = {"model": "model_class", "data": "datamodule_class"}
_MOST_FILES, _MOST_NAMED = 300, 6


@dataclass(frozen=True)
class Candidate:
    """A class that may be meant.

    Args:
        path: Its import path.
        takes: The arguments of its constructor. None means any, or that they are not known.
        needs: The arguments without a default.
        where: What says that this class is meant. Empty means that nothing does.
    """

    path: str
    takes: Sequence[str] | None = None
    needs: frozenset[str] = frozenset()
    where: str = ""

    def fits(self, given: Collection[str], searched: Collection[str]) -> bool:
        """Whether it takes these arguments, and needs no others than these and those that are searched.

        If something says that this class is meant, what else it needs does not matter here.
        """
        takes_all = self.takes is None or set(given) <= set(self.takes)
        return takes_all and (bool(self.where) or self.needs <= {*given, *searched})

    def __str__(self) -> str:
        return self.path if self.takes is None else f"{self.path}({', '.join(self.takes)})"


@dataclass
class Sources:
    """The Python files of some folders, read.

    Args:
        folders: The folders.
    """

    folders: Sequence[Path]
    _files: dict[Path, _File] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        found = dict.fromkeys(file.resolve() for folder in self.folders for file in sorted(folder.glob("*.py")))
        for file in list(found)[:_MOST_FILES]:
            try:
                self._files[file] = _File(file, ast.parse(file.read_bytes()))
            except (SyntaxError, ValueError, OSError):
                continue  # A training could not import it either.

    def called(self) -> list[dict[str, Candidate]]:
        """The "model" and the "data" of each call of LightningCLI in these files."""
        calls = []
        for file in self._files.values():
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Call) and self._derives(file, node.func, "LightningCLI"):
                    given = dict(zip(_KEYS.values(), node.args, strict=False))
                    given |= {each.arg: each.value for each in node.keywords if each.arg}
                    found = {kind: file.path_of(given[key]) for kind, key in _KEYS.items() if key in given}
                    where = f"LightningCLI is called with it in {file.path.name}"
                    calls.append({kind: self._describe(path, where) for kind, path in found.items() if path})
        return [call for call in calls if call]

    def added(self, kind: str) -> list[str]:
        """The classes that a parser of LightningCLI in these files has for "optimizer" or "lr_scheduler"."""
        found = []
        for file in self._files.values():
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    path = file.path_of(node.args[0]) if node.func.attr == f"add_{kind}_args" else None
                    found += [path] if path and path not in found else []
        return found

    def links(self) -> dict[str, str]:
        """The arguments that a parser of LightningCLI in these files takes from others as they are."""
        found = {}
        for file in self._files.values():
            for node in ast.walk(file.tree):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                computed = any(each.arg == "compute_fn" for each in node.keywords)
                if node.func.attr == "link_arguments" and len(node.args) == 2 and not computed:
                    source, target = node.args
                    if isinstance(source, ast.Constant) and isinstance(target, ast.Constant):
                        found[str(source.value)] = str(target.value)
        return found

    def classes(self, kind: str) -> list[Candidate]:
        """All classes of a kind, "model" or "data", that are defined in these files."""
        return [
            self._describe(file.own_path(name))
            for file in self._files.values()
            for name, definition in file.classes.items()
            if any(self._derives(file, base, _BASES[kind]) for base in definition.bases)
        ]

    def _derives(self, file: _File, base: ast.expr, wanted: str, depth: int = 20) -> bool:
        path = file.path_of(base)
        if path is None or not depth:
            return False
        if path.replace(":", ".").rpartition(".")[2] == wanted:
            return True
        known = self._definition(path)
        return known is not None and any(self._derives(known[0], each, wanted, depth - 1) for each in known[1].bases)

    def _definition(self, path: str) -> tuple[_File, ast.ClassDef] | None:
        for file in self._files.values():
            for name, definition in file.classes.items():
                if file.own_path(name) == path:
                    return file, definition
        return None

    def _describe(self, path: str, where: str = "") -> Candidate:
        known = self._definition(path)
        while known is not None:
            file, definition = known
            start = next(
                (each for each in definition.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"),
                None,
            )
            if start is not None:
                return _described(path, start.args, where)
            bases = [file.path_of(base) for base in definition.bases]
            if any(base and base.replace(":", ".").rpartition(".")[2] in _BASES.values() for base in bases):
                return Candidate(path, (), where=where)  # The class has no constructor of its own.
            known = next((found for base in bases if base and (found := self._definition(base))), None)
        return Candidate(path, where=where)


@dataclass
class _File:
    path: Path
    tree: ast.Module
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.classes = {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    self.imported[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                self.imported |= dict(self._import_from(node))

    def _import_from(self, node: ast.ImportFrom) -> Iterator[tuple[str, str]]:
        for alias in node.names:
            if not node.level:
                yield alias.asname or alias.name, self._path_of(str(node.module), alias.name)
            elif node.module:
                folder = self.path.parents[node.level - 1].joinpath(*node.module.split("."))
                yield alias.asname or alias.name, _path_in(folder.with_suffix(".py"), alias.name)

    def _path_of(self, module: str, name: str) -> str:
        """The import path of a name in a module; for a module beside a file elsewhere, the path of its file."""
        beside = self.path.parent.joinpath(*module.split(".")).with_suffix(".py")
        return _path_in(beside, name) if self.path.parent != Path.cwd() and beside.is_file() else f"{module}.{name}"

    def own_path(self, name: str) -> str:
        """The import path of a class of this file."""
        return _path_in(self.path, name)

    def path_of(self, expression: ast.expr) -> str | None:
        """The import path of the value of an expression; None when it cannot be seen."""
        if isinstance(expression, ast.Name):
            if expression.id in self.imported:
                return self.imported[expression.id]
            here = expression.id in self.classes or any(
                isinstance(node, ast.FunctionDef) and node.name == expression.id for node in self.tree.body
            )
            return self.own_path(expression.id) if here else None
        if isinstance(expression, ast.Attribute):
            owner = self.path_of(expression.value)
            return self._path_of(owner, expression.attr) if owner else None
        return None


def choose_class(
    kind: str, given: Collection[str], searched: Collection[str], candidates: Sequence[Candidate]
) -> Candidate:
    """The class that a section without one is meant for.

    Args:
        kind: "model" or "data".
        given: The arguments in the section.
        searched: The arguments among the limits.
        candidates: All candidates. Those that LightningCLI is called with come before the others.

    Raises:
        UserError: No class fits, or several do.
    """
    base, key = _BASES[kind], _KEYS[kind]
    known = list({one.path: one for one in reversed(candidates)}.values())
    fitting = [one for one in known if one.fits(given, searched)]
    fitting = [one for one in fitting if one.where] or fitting
    arguments = f"the arguments {', '.join(given)}" if given else "no arguments"
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        listed = "; there are: " + ", ".join(map(str, known[:_MOST_NAMED])) if known else ""
        raise UserError(
            f"{kind} has no class_path, and no {base} in the Python files here takes {arguments}{listed}; write "
            f"{key}: module.Class, or give {kind} a class_path and init_args"
        )
    raise UserError(
        f"{kind} has no class_path, and several classes take {arguments}: "
        f"{', '.join(map(str, fitting[:_MOST_NAMED]))}; write {key}: and one of them"
    )


def _described(path: str, arguments: ast.arguments, where: str) -> Candidate:
    positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)][1:]
    keywords = [each.arg for each in arguments.kwonlyargs]
    optional = positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else []
    optional += [name for name, default in zip(keywords, arguments.kw_defaults, strict=True) if default is not None]
    takes = None if arguments.kwarg else (*positional, *keywords)
    return Candidate(path, takes, frozenset({*positional, *keywords} - set(optional)), where)


def _path_in(file: Path, name: str) -> str:
    """The import path of a class in a file: with a module's name if the file is in the working directory."""
    here = Path.cwd()
    if file.parent == here and file.stem.isidentifier():
        return f"{file.stem}.{name}"
    return f"{os.path.relpath(file, here)}:{name}"
