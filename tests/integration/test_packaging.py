"""What pip gets: names, dependencies, the content of a wheel and of a source distribution, and that these run."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import Launcher
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import evo
from evo.versions import DISTRIBUTION, is_installed_by_former_name, other_evo, versions_of

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PROJECT = (ROOT / "pyproject.toml").read_text()
TUTORIALS = ROOT / "tutorials"


def listed(name: str) -> list[str]:
    """The lines of a list of requirements in pyproject.toml, without the outer brackets."""
    found = re.search(rf"^{name} = \[\n(.*?)^\]", PROJECT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def required(name: str) -> dict[str, Requirement]:
    requirements = [Requirement(re.findall('"([^"]+)"', line)[0]) for line in listed(name)]
    return {canonicalize_name(each.name): each for each in requirements}


def imported(folder: Path) -> set[str]:
    """The packages that Python files import anywhere, but for the standard library and what stands beside them."""
    found = set[str]()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    here = {each.stem for each in folder.iterdir()}
    return found - here - {"evo"} - sys.stdlib_module_names


@pytest.mark.parametrize(
    ("folder", "lists"),
    [(ROOT / "evo", ["dependencies", "optuna", "report", "loggers"]), (TUTORIALS, ["dependencies", "tutorials"])],
)
def test_every_package_that_is_imported_is_declared(folder: Path, lists: list[str]) -> None:
    declared = {name for each in lists for name in required(each)}
    brought_by = packages_distributions()
    for package in sorted(imported(folder)):
        names = {canonicalize_name(name) for name in brought_by.get(package, [package])}
        assert names & declared, f"{folder.name} imports {package}, of {names}: declare it in pyproject.toml"


@pytest.mark.parametrize("name", ["dependencies", "mpi", "optuna", "report", "loggers", "tutorials", "test"])
def test_every_dependency_has_its_reason_beside_it(name: str) -> None:
    others = [line for line in listed(name) if DISTRIBUTION not in line]
    assert [line for line in others if not re.search(r'",\s+# \w', line)] == []


def test_every_hint_names_the_distribution_and_not_another_project() -> None:
    files = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in ("evo", "docs", "jobs", "tutorials", "benchmarks"):
        files += [file for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".md", ".sh", ".yaml")]
    wrong = re.compile(r"(?<![\w.-])evo\[|pip install (?:\S+ )*'?evo(?![\w./-])")
    assert [f"{file.name}: {found[0]}" for file in files if (found := wrong.search(file.read_text()))] == []
    assert f'name = "{DISTRIBUTION}"' in PROJECT


def test_the_version_stands_in_one_place() -> None:
    assert not re.search(r"^version = ", PROJECT, re.MULTILINE)
    assert versions_of(["numpy", "no-such-package"]).keys() == {"evo", "numpy"}
    assert versions_of([])["evo"] == evo.__version__


# Another project's evo.


def install_evo(folder: Path, version: str, command: str) -> None:
    """What an installer writes of a distribution named evo."""
    about = folder / f"evo-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: evo\nVersion: {version}\n")
    (about / "entry_points.txt").write_text(f"[console_scripts]\nevo = {command}\n")


def test_another_projects_evo_is_found_and_this_projects_former_name_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("other", "former"):
        install_evo(tmp_path / folder, "1.38.1", "evo.cli:main" if folder == "former" else "evo.cli.evo_main:main")
    monkeypatch.syspath_prepend(tmp_path / "former")
    assert is_installed_by_former_name()
    assert other_evo() == ""
    monkeypatch.syspath_prepend(tmp_path / "other")
    assert other_evo() == f"another project's evo 1.38.1, in {tmp_path / 'other'}"


def test_the_command_says_so_where_another_projects_evo_has_overwritten_files(launcher: Launcher) -> None:
    shutil.copytree(ROOT / "evo", launcher.folder / "evo", ignore=shutil.ignore_patterns("__pycache__"))
    (launcher.folder / "evo" / "cli").mkdir()
    (launcher.folder / "evo" / "cli" / "__init__.py").touch()
    ended = launcher.python("-m", "evo", "--version", PYTHONPATH=str(launcher.folder))
    assert "cannot import name 'main' from 'evo.cli'" in ended.err  # For another reason, which must be seen.
    install_evo(launcher.folder, "1.38.1", "evo.cli.evo_main:main")
    ended = launcher.python("-m", "evo", "--version", PYTHONPATH=str(launcher.folder))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"evo: error: another project's evo 1.38.1, in {launcher.folder}, has overwritten files of evo: "
        "pip uninstall evo, then pip install --force-reinstall --no-deps evo-mpi\n"
    )


# What is built.


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A source distribution, a wheel built from it, and one built from this folder."""
    for name in ("build", "hatchling"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install -e '.[test]'")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    for part, options in {"both": [], "direct": ["--wheel"]}.items():
        done = subprocess.run([*command, folder / part, *options, ROOT], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    (source,), (wheel,), (direct,) = (
        list((folder / part).glob(kind))
        for part, kind in (("both", "*.tar.gz"), ("both", "*.whl"), ("direct", "*.whl"))
    )
    return {"source": source, "wheel": wheel, "direct": direct}


def contents(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}


@pytest.mark.slow
def test_a_wheel_holds_the_package_and_no_more(built: dict[str, Path]) -> None:
    names = contents(built["wheel"]).keys()
    assert built["wheel"].name == f"evo_mpi-{evo.__version__}-py3-none-any.whl"
    about = f"evo_mpi-{evo.__version__}.dist-info"
    assert {"evo/py.typed", "evo/cli.py", f"{about}/licenses/LICENSE", f"{about}/entry_points.txt"} <= names
    assert {name.partition("/")[0] for name in names} == {"evo", about}
    files = {str(file.relative_to(ROOT)) for file in (ROOT / "evo").rglob("*.py")}
    pages = {f"evo/report/pages/page.{kind}" for kind in ("css", "js")}
    assert {name for name in names if name.startswith("evo/")} == files | pages | {"evo/py.typed"}


@pytest.mark.slow
def test_a_source_distribution_builds_the_same_wheel_and_holds_the_tests(built: dict[str, Path]) -> None:
    assert contents(built["wheel"]) == contents(built["direct"])
    with tarfile.open(built["source"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "Makefile", "README.md", "docs/architecture.md", "tests/unit/test_layers.py"} <= names
    assert not any(name.startswith((".venv", "runs", "data")) for name in names)


@pytest.fixture(scope="module")
def clean(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs of an environment with nothing but the wheel, and the dependencies of this one."""
    folder = tmp_path_factory.mktemp("clean")
    run: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
    subprocess.run([sys.executable, "-m", "venv", folder], **run)
    programs = folder / "bin"
    subprocess.run([programs / "python", "-m", "pip", "install", "--no-deps", "--no-index", built["wheel"]], **run)
    # Only now, because pip would see, and might remove, what is installed there.
    (libraries,) = (folder / "lib").glob("python*/site-packages")
    places = [place for place in sys.path if place.endswith(("site-packages", "dist-packages"))]
    (libraries / "dependencies.pth").write_text("\n".join(places))
    yield programs
    shutil.rmtree(folder)


@pytest.mark.slow
def test_an_installed_wheel_searches(clean: Path, launcher: Launcher) -> None:
    nothing = {"PYTHONPATH": ""}
    shown = launcher.run(clean / "python", "-c", "import evo; print(evo.__file__)", **nothing).out
    assert Path(shown.strip()).is_relative_to(clean.parent)
    assert launcher.run(clean / "evo", "--version", **nothing).out == f"evo {evo.__version__}\n"
    ended = launcher.run(clean / "evo", "run", "sphere", "--evaluations", "4", "--run-dir", "here", **nothing)
    assert (ended.status, ended.err) == (0, "")
    assert (launcher.folder / "here" / "summary.json").is_file()
    version = "from importlib.metadata import version; print(version('evo-mpi'))"
    assert launcher.run(clean / "python", "-c", version, **nothing).out.strip() == evo.__version__


# Images, as far as they can be made without a daemon.

CONTAINER = ROOT / "jobs" / "container"


def steps_of_dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, lines that go on joined."""
    text = re.sub(r"\\\n\s*", "", (CONTAINER / "Dockerfile").read_text())
    return [(name, rest) for name, rest in re.findall(r"^([A-Z]+) +(.+)$", text, re.M)]


def section_of_definition(name: str) -> list[str]:
    text = (CONTAINER / "evo.def").read_text()
    found = re.search(rf"^%{name}\n((?:    .+\n)+)", text, re.M)
    assert found is not None
    return [line.strip() for line in found[1].splitlines()]


def test_both_images_are_made_from_the_same_by_the_same_commands() -> None:
    steps = steps_of_dockerfile()
    values = {name: rest for name, rest in steps if name in ("ARG", "FROM", "COPY", "LABEL", "ENV")}
    runs = [rest for name, rest in steps if name == "RUN"]
    definition = (CONTAINER / "evo.def").read_text()
    python = values["ARG"].removeprefix("PYTHON=")
    assert f"From: {values['FROM'].replace('${PYTHON}', python)}\n" in definition
    assert f'"Programming Language :: Python :: {python}"' in PROJECT
    assert section_of_definition("files") == [values["COPY"]]
    assert section_of_definition("post") == runs[:2]
    assert section_of_definition("environment")[0].removeprefix("export ") in values["ENV"]
    license = re.search(r'^license = "(.+)"$', PROJECT, re.M)
    assert license is not None
    assert f'licenses="{license[1]}"' in values["LABEL"]
    assert f"org.opencontainers.image.licenses {license[1]}" in section_of_definition("labels")


@pytest.mark.slow
def test_the_steps_of_an_image_install_the_wheel_and_the_command_runs(
    built: dict[str, Path], launcher: Launcher
) -> None:
    """With /opt in a folder, this Python for the image's, and no dependencies, which torch makes 5 GB of."""
    root, context = launcher.folder / "root", launcher.folder / "context"
    (context / "dist").mkdir(parents=True)
    shutil.copy(built["wheel"], context / "dist")
    variables = {"PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PYTHONPATH": "", "PATH": f"{root}/opt/evo/bin:/usr/bin:/bin"}
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "python3").symlink_to(sys.executable)
    for name, rest in steps_of_dockerfile():
        words = rest.replace("/opt/", f"{root}/opt/")
        if name == "COPY":
            (target := Path(words.split()[1])).mkdir(parents=True)
            for file in context.glob(words.split()[0]):
                shutil.copy(file, target)
        elif name == "RUN":
            path = f"{variables['PATH']}:{root}/bin"
            ended = launcher.run("sh", "-ec", words, timeout=120, **(variables | {"PATH": path}))
            assert ended.status == 0, ended.err
    assert ended.out == f"evo {evo.__version__}\n"
    assert (root / "opt" / "evo" / "bin" / "evo").exists()
