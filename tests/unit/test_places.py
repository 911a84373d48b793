"""Where files of objectives stand: found from anywhere, the same by every spelling, heavy by what they import."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from evo.objective.imports import _needs_heavy, survey
from evo.objective.places import digest_of, find_place, is_local
from evo.objective.references import Reference, find_class

FILES = {
    "proj/pkg/__init__.py": "",
    "proj/pkg/tune.py": "from .helper import square\ndef loss(params): return square(params['x'])\n",
    "proj/pkg/helper.py": "def square(x): return x ** 2\n",
    "proj/pkg/deep/__init__.py": "",
    "proj/pkg/deep/tune.py": "from ..helper import square\nimport pkg\ndef loss(params): return square(params['x'])\n",
    "proj/pkg/neighbour.py": "import helper\ndef loss(params): return helper.square(params['x'])\n",
    "proj/scripts/script.py": "from pkg.helper import square\ndef loss(params): return square(params['x'])\n",
    "proj/scripts/other.py": "import script\nloss = script.loss\n",
    "proj/names/space/tune.py": "from ..beside import square\ndef loss(params): return square(params['x'])\n",
    "proj/names/beside.py": "def square(x): return x ** 2\n",
    "proj/far/away/more.py": "def square(x): return x ** 2\n",
    "proj/far/away/tune.py": "from far.away import more\ndef loss(params): return more.square(params['x'])\n",
    "proj/tests/check.py": "import inner.module\ndef loss(params): return inner.module.square(params['x'])\n",
    "proj/src/inner/__init__.py": "",
    "proj/src/inner/module.py": "from inner.more import square\n",
    "proj/src/inner/more.py": "def square(x): return x ** 2\n",
}
PLACES = [
    ("pkg/tune.py", "pkg.tune"),
    ("pkg/deep/tune.py", "pkg.deep.tune"),
    ("pkg/neighbour.py", "pkg.neighbour"),
    ("scripts/script.py", "script"),
    ("scripts/other.py", "other"),
    ("names/space/tune.py", "names.space.tune"),
    ("far/away/tune.py", "tune"),
    ("tests/check.py", "check"),
    ("src/inner/module.py", "inner.module"),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a package, scripts beside it, a package without a file and one below src; nothing is loaded."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path / "proj")
    yield tmp_path / "proj"
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(("file", "name"), PLACES)
@pytest.mark.parametrize("where", ["here", "above", "absolute", "elsewhere", "linked"])
def test_a_file_is_loaded_where_it_stands_from_anywhere(
    project: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str, where: str
) -> None:
    path = Path(file)
    if where == "above":
        monkeypatch.chdir(project.parent)
        path = Path("proj", file)
    elif where in ("absolute", "elsewhere"):
        path = project / file
        monkeypatch.chdir("/" if where == "elsewhere" else project)
    elif where == "linked":
        (project.parent / "link").symlink_to(project)
        path = project.parent / "link" / file
    reference = Reference(str(path), "loss" if "inner" not in file else "square")
    assert reference.canonical == f"{name}:{reference.name}"
    loss = reference.load()
    assert loss({"x": 3.0} if reference.name == "loss" else 3.0) == 9.0
    assert reference.load() is loss


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("pkg.tune", "pkg.tune"),
        ("scripts.script", "script"),
        ("names.space.tune", "names.space.tune"),
        ("src.inner.module", "inner.module"),
        ("pkg", "pkg"),
        ("pkg/__init__.py", "pkg"),
        ("math", "math"),
        ("absent.module", "absent.module"),
        ("absent.py", "absent.py"),
    ],
)
def test_a_module_and_its_file_have_one_name(project: Path, module: str, name: str) -> None:
    assert Reference(module, "f").canonical == f"{name}:f"


def test_a_link_to_a_file_stands_where_a_package_is(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link.py").symlink_to(project / "pkg" / "tune.py")
    assert Reference(str(tmp_path / "link.py"), "loss").canonical == "pkg.tune:loss"
    (tmp_path / "store").write_text("from .helper import square\ndef loss(params): return square(params['x'])\n")
    (project / "pkg" / "stored.py").symlink_to(tmp_path / "store")
    stored = Reference("pkg/stored.py", "loss")
    assert (stored.canonical, stored.load()({"x": 2.0})) == ("pkg.stored:loss", 4.0)


def test_a_class_of_a_section_is_found_in_its_package(project: Path) -> None:
    (project / "pkg" / "net.py").write_text("from .helper import square\nclass Net: square = square\n")
    by_file = find_class(f"{project}/pkg/net.py:Net", "model")
    assert by_file is find_class("pkg.net.Net", "model")
    assert by_file.__module__ == "pkg.net"


def test_a_package_of_another_ones_name_is_refused_where_it_matters(project: Path) -> None:
    twin = project.parent / "twin" / "pkg"
    twin.mkdir(parents=True)
    for name in ("__init__.py", "helper.py"):
        (twin / name).touch()
    (twin / "tune.py").write_text("from .helper import *\ndef loss(params): return 5.0\n")
    (twin / "alone.py").write_text("def loss(params): return 5.0\n")
    Reference("pkg/tune.py", "loss").load()
    with pytest.raises(ValueError, match=f"its package 'pkg' has the name of another one, {project}/pkg: rename one"):
        Reference(f"{twin}/tune.py", "loss").load()
    assert Reference(f"{twin}/alone.py", "loss").load()({}) == 5.0


def test_finding_a_module_runs_nothing_of_it(project: Path) -> None:
    (project / "pkg" / "__init__.py").write_text("raise AssertionError('it was run')\n")
    assert not Reference("pkg.tune", "loss").is_heavy
    assert Reference("pkg.tune", "loss").canonical == "pkg.tune:loss"
    assert "pkg" not in sys.modules


HEAVY = {
    "a neighbour": ({"training.py": "import torch\n"}, "import training"),
    "a neighbour of a neighbour": ({"a.py": "import b\n", "b.py": "from torch import nn\n"}, "import a"),
    "a cycle": ({"a.py": "import tune\nimport torch\n"}, "import a"),
    "an import in a function": ({"a.py": "def f():\n    import lightning\n"}, "def g():\n    import a"),
    "a name of a package": ({"p/__init__.py": "", "p/b.py": "import torch\n"}, "from p import b"),
    "a dotted name": ({"p/__init__.py": "", "p/b.py": "import torch\n"}, "import p.b"),
    "a package itself": ({"p/__init__.py": "import torch\n", "p/b.py": ""}, "import p.b"),
    "a relative import below": ({"p/__init__.py": "from . import b\n", "p/b.py": "import torch\n"}, "import p"),
    "a name of a relative import": ({"p/__init__.py": "from .b import c\n", "p/b/c.py": "import torch"}, "import p"),
    "a star": ({"a.py": "from torch import *\n"}, "from a import *"),
    "import_module": ({"a.py": "import torch\n"}, "import importlib\nm = importlib.import_module('a')"),
    "an installed package": ({}, "import torchmetrics"),
    "an installed package's part": ({"a.py": "from torchmetrics.classification import Accuracy\n"}, "import a"),
    "an import that is tried": ({"a.py": "try:\n    import torch\nexcept ImportError: pass\n"}, "import a"),
    "evo's own": ({"a.py": "from evo import LightningObjective as L\n"}, "from a import L"),
    "a problem of evo": ({"a.py": "from evo.problems.digits import DigitsNet\n"}, "import a"),
    "another framework": ({}, "import tensorflow as tf"),
}
LIGHT = {
    "what is installed": ({"a.py": "import numpy, sklearn.datasets, yaml\n"}, "import a, evo"),
    "types only": ({"a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"}, "import a"),
    "a module of a like name": ({"torch_like.py": ""}, "import torch_like"),
    "what is not there": ({}, "import absent_module"),
    "one that is not Python": ({"a.py": "def (:\n"}, "import a"),
    "functions of evo": ({}, "from evo.problems.functions import sphere\nimport evo.propagators"),
    "Python's own": ({}, "import json, os.path, xml.etree.ElementTree, importlib.metadata"),
}


@pytest.mark.parametrize("kind", [*HEAVY, *LIGHT])
def test_what_a_module_imports_makes_it_heavy_however_it_does(project: Path, kind: str) -> None:
    files, text = {**HEAVY, **LIGHT}[kind]
    for name, content in files.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(content)
    (project / "tune.py").write_text(f"{text}\ndef loss(params): return 0.0\n")
    (project / "inside.py").write_text("from tune import loss\n")
    for place in ("tune.py", "tune", "inside", str(project / "tune.py")):
        assert Reference(place, "loss").is_heavy == (kind in HEAVY), place


def test_the_requirements_of_what_is_installed_count_without_extras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, requires in (
        ("Some_Thing", "Other.Thing>=1; python_version > '3'"),
        ("other_thing", "torch"),
        ("light", "torch; extra == 'gpu'"),
    ):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n")
        (folder / "RECORD").write_text(f"module_of_{name.lower()}/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    _needs_heavy.cache_clear()
    importlib.invalidate_caches()
    assert _needs_heavy("module_of_some_thing")
    assert not any(map(_needs_heavy, ("module_of_light", "light", "numpy", "absent")))


def test_comments_formatting_and_docstrings_do_not_change_code(tmp_path: Path) -> None:
    texts = [
        'def f(x):\n    return x + 1\n\nclass A:\n    """A."""\n',
        '"""A module."""\n# A comment.\ndef f( x ):\n    """Add."""\n\n    return (x+1)  # one more\nclass A: pass\n',
        "def f(x):\n    return x + 2\n\nclass A:\n    pass\n",
    ]
    digests = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.py").write_text(text)
        digests.append(digest_of(tmp_path / f"{number}.py"))
    assert digests[0] == digests[1] != digests[2]
    (tmp_path / "broken.py").write_text("def (:\n")
    assert digest_of(tmp_path / "broken.py")
    assert digest_of(tmp_path / "absent.py") == ""


def test_what_is_installed_is_not_the_users(project: Path) -> None:
    files = [sys.modules[name].__file__ for name in ("json", "pytest", "evo.objective.imports")]
    assert not any(is_local(Path(file)) for file in files if file)
    assert is_local(project / "pkg" / "tune.py")
    found = survey([find_place(project / "scripts" / "script.py")])
    assert list(found.digests) == ["pkg", "pkg.helper", "script"]
