"""Who may import whom, seen in the text of every module."""

from __future__ import annotations

import ast
import graphlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "evo"
ARCHITECTURE = (PACKAGE.parent / "docs" / "architecture.md").read_text()
_LIST = ARCHITECTURE.partition("\n## Layers\n")[2].partition("```text\n")[2].partition("```")[0]
_PURE_PART = _LIST.partition("---- effects ----")[0]


def layers_in(text: str) -> list[str]:
    """The folders and single modules of a list, in its order, as modules."""
    return [
        name.strip("/").removesuffix(".py").replace("/", ".") for name in re.findall(r"^(evo/\S+)", text, re.MULTILINE)
    ]


def modules_in(text: str) -> list[str]:
    """All modules of a list, in its order."""
    found, folder = list[str](), ""
    for line in text.splitlines():
        name = line.split()[0] if line.strip() else ""
        if name.startswith("evo/") and name.endswith("/"):
            folder = name
        elif name.endswith(".py"):
            found.append((name if name.startswith("evo/") else folder + name).removesuffix(".py").replace("/", "."))
    return found


# Each may import from itself and from those above it; the entry to the package only points to where names are.
LAYERS = [*layers_in(_LIST), "evo"]
PURE = layers_in(_PURE_PART)

# Clocks, files, processes, output, global randomness.
EFFECTS = {"time", "datetime", "os", "sys", "io", "logging", "random", "pathlib", "socket", "subprocess", "threading"}
# Of numpy.random, whatever has no state of its own.
STATELESS = {"Generator", "PCG64", "SeedSequence"}
TRAINING = {"torch", "torchvision", "torchmetrics", "lightning", "pytorch_lightning"}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> str:
    """The longest name in the list of layers that a module's name begins with."""
    return max((name for name in LAYERS if f"{module}.".startswith(f"{name}.")), key=len)


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(module: str, node: ast.AST | None = None) -> Iterator[str]:
    """The full names that a module imports, anywhere in it: modules, or what is in them."""
    for child in ast.iter_child_nodes(node or tree(module)):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module} has a relative import, which nobody can read"
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not is_for_types_only(child):
            yield from imports(module, child)


def tops(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports(module)}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_layer_and_those_above_it(module: str) -> None:
    below = LAYERS[LAYERS.index(layer(module)) + 1 :]
    wrong = {name for name in imports(module) if f"{name}.".startswith("evo.") and layer(name) in below}
    assert wrong <= {"evo.__version__"}, f"{module} imports from below it"


def test_the_list_names_every_module_once_and_no_other() -> None:
    entries = {module for module, file in MODULES.items() if file.name == "__init__.py"}
    assert sorted(modules_in(_LIST)) == sorted(MODULES.keys() - entries)


# Public names that several modules may give, and why.
SHARED_NAMES = {
    "main": "the entry of each program",
    "test": "evo.test, and the command evo test",
}


def test_a_public_class_or_function_has_a_name_of_its_own() -> None:
    homes: dict[str, list[str]] = {}
    for module in MODULES:
        for node in tree(module).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name for name, modules in homes.items() if len(modules) > 1} == SHARED_NAMES.keys()


def test_no_imports_go_in_a_circle() -> None:
    of_module = {module: {owner(name) for name in imports(module, tree(module))} - {module, None} for module in MODULES}
    graphlib.TopologicalSorter(of_module).prepare()


def owner(name: str) -> str | None:
    """The module of evo that an imported name is of, but for the entries of packages, which only point to names."""
    module = name if name in MODULES else name.rpartition(".")[0]
    return module if module in MODULES and MODULES[module].name != "__init__.py" else None


@pytest.mark.parametrize("module", MODULES)
def test_one_folder_imports_mpi4py_and_two_import_torch(module: str) -> None:
    assert "mpi4py" not in tops(module) or module.startswith("evo.runtime.mpi.")
    assert not tops(module) & TRAINING or layer(module) in ("evo.lightning", "evo.problems")


@pytest.mark.parametrize("module", [module for module in MODULES if layer(module) in PURE])
def test_a_pure_module_has_no_effects(module: str) -> None:
    assert not tops(module) & EFFECTS
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "open", "input", "exec", "eval", "__import__")
        if isinstance(node, ast.Global | ast.Nonlocal):
            raise AssertionError(f"{module} changes {node.names} from a distance")
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            assert node.attr in STATELESS


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("import torch", "torch"),
        ("def f():\n    from mpi4py import MPI", "mpi4py"),
        ("if True:\n    import os.path as p", "os"),
    ],
)
def test_an_import_is_found_wherever_it_hides(text: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "tree", lambda module: ast.parse(text))
    assert wrong in tops("evo.space.limits")


def test_importing_the_package_loads_nothing_heavy_and_nothing_of_itself() -> None:
    program = "import evo, json, sys; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(
        subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, check=True).stdout
    )
    heavy = TRAINING | {"mpi4py", "matplotlib", "numpy", "rich", "sklearn", "jsonargparse"}
    assert not heavy & {name.partition(".")[0] for name in loaded}
    assert [name for name in loaded if name.startswith("evo.")] == []


@pytest.mark.parametrize(
    "module", ["evo.study.wiring", "evo.study.session", "evo.run", "evo.posthoc.command", "evo.cli"]
)
def test_a_rank_never_loads_what_trains(module: str) -> None:
    program = f"import {module}, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, check=True)
    assert not (TRAINING | {"matplotlib", "sklearn"}) & {name.partition(".")[0] for name in json.loads(done.stdout)}
