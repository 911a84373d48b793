"""Run directories in which other users have planted something: evo's commands refuse it, or are not moved by it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import Launcher

import evo
from evo.cli import main
from evo.errors import UserError
from evo.objective.definition import Definition
from evo.objective.references import Reference
from evo.ownership import belongs_to_user, is_own_folder, why_foreign
from evo.population.events import Finished, Started, encode
from evo.posthoc.past import check_parameters, find_objective
from evo.report.reading import load
from evo.storage.checkpoints import find_weights
from evo.storage.rundir import RunDirectory, StudyRecord

STRANGER = 12345
LIMITS = {"x": {"type": "float", "low": 0.0, "high": 1.0}}


def plant(
    path: Path, objective: str, params: dict[str, Any] | None = None, file: str = "", error: str = "", **study: Any
) -> Path:
    """A run directory with one individual, written as another user could."""
    definition = Definition(file=file)
    RunDirectory(path).create(
        StudyRecord(name="s", objective=objective, definition=definition, limits=LIMITS, seed=0, **study)
    )
    started = Started(individual=(0, 0), island=0, params=params or {"x": 0.5}, rank=0, time=1.0)
    finished = Finished(individual=(0, 0), rank=0, time=2.0, status="completed", loss=0.25, seconds=1.0)
    events = [started, finished]
    if error:
        events.append(Started(individual=(0, 1), island=0, params={"x": 0.5}, rank=0, time=3.0))
        events.append(Finished(individual=(0, 1), rank=0, time=4.0, status="failed", error=error))
    (path / "journal" / "0.jsonl").write_bytes(b"".join(encode(event) + b"\n" for event in events))
    return path


def give_away(*paths: Path) -> None:
    for path in paths:
        for each in [path, *path.rglob("*")]:
            os.chown(each, STRANGER, -1, follow_symlinks=False)


@pytest.fixture
def command(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command evo as it is installed: a script in a folder of its own."""
    script = tmp_path_factory.mktemp("bin") / "evo"
    script.write_text("import sys\nfrom evo.cli import main\nsys.exit(main())\n")
    return [sys.executable, script]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, as pytest's cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="evo-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def as_stranger(open_folder: Path) -> Iterator[Path]:
    """For a moment, this process is another user, whom file modes bind."""
    groups, group = os.getgroups(), os.getegid()
    os.setgroups([])
    os.setegid(STRANGER)
    os.seteuid(STRANGER)
    yield open_folder
    os.seteuid(0)
    os.setegid(group)
    os.setgroups(groups)


OWN = """
from subprocess import run
import subprocess
import math as mathematics

alias = run
other = subprocess.Popen
constant = 1.0
if constant:
    def within(params): return params["x"]

class Loss:
    def __call__(self, params): return params["x"]
    def named(self, params): return params["x"]

def loss(params): return params["x"]
def shadowed(params): return params["x"]
from os import system as shadowed
made = Loss()
first, (second, third) = made, (made, made)
typed: Loss = made
"""


@pytest.mark.parametrize("name", ["loss", "within", "made", "second", "third", "typed"])
def test_of_a_file_of_ones_own_a_foreign_study_may_name_what_it_defines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    run = load(plant(tmp_path / "run", f"own:{name}", file=str(tmp_path / "own.py")))
    monkeypatch.setattr("evo.posthoc.past.why_foreign", lambda file: "belongs to another user")
    assert str(find_objective(run, None, trust=False)) == f"{tmp_path}/own.py:{name}"


@pytest.mark.parametrize(
    "name",
    ["run", "alias", "other", "mathematics", "shadowed", "subprocess", "subprocess.run", "Loss.named", "absent"],
)
def test_a_foreign_study_names_nothing_that_a_file_of_ones_own_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    run = load(plant(tmp_path / "run", f"own:{name}", file=str(tmp_path / "own.py")))
    assert str(find_objective(run, None, trust=False)) == f"{tmp_path}/own.py:{name}"  # The study is the user's own.
    monkeypatch.setattr("evo.posthoc.past.why_foreign", lambda file: "belongs to another user")
    with pytest.raises(
        UserError, match=rf"belongs to another user.*own\.py:{name}, which .*own\.py does not define.*--trust"
    ):
        find_objective(run, None, trust=False)
    assert find_objective(run, None, trust=True)


@pytest.mark.parametrize(
    ("objective", "why"),
    [
        ("evo.runtime.batch.base:subprocess.run", "which is no ready problem"),
        ("evo.problems.functions:math.exp", "which is no ready problem"),
        ("evo.posthoc.past:trained_folder", "which is no ready problem"),
        ("subprocess:run", "which is not your own"),  # Whoever has installed Python owns it.
        ("msgspec.json:decode", "which is not your own"),
        ("sys:exit", "which is not your own"),
    ],
)
def test_a_foreign_study_names_no_code_of_evo_of_python_and_of_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, why: str
) -> None:
    run = load(plant(tmp_path / "run", objective))
    monkeypatch.setattr("evo.posthoc.past.why_foreign", lambda file: "belongs to another user")
    with pytest.raises(UserError, match=f"{objective}, {why}: name the objective yourself"):
        find_objective(run, None, trust=False)


def test_the_library_of_another_python_is_not_ones_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib" / "python3.10"
    library.mkdir(parents=True)
    (library / "own.py").write_text(OWN)
    run = load(plant(tmp_path / "run", "own:loss", file=str(library / "own.py")))
    monkeypatch.setattr("evo.posthoc.past.why_foreign", lambda file: "belongs to another user")
    with pytest.raises(UserError, match="which is not your own"):
        find_objective(run, None, trust=False)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("objective", ["evo.runtime.batch.base:subprocess.run", "own:run"])
def test_a_shell_in_a_foreign_study_is_not_run(launcher: Launcher, command: list[str | Path], objective: str) -> None:
    (launcher.folder / "own.py").write_text(OWN)
    words = dict.fromkeys(["sh", "-c", "touch exploded"], 0.5)
    run = plant(launcher.folder / "run", objective, words, file=str(launcher.folder / "own.py"))
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps({**study, "limits": dict.fromkeys(words, LIMITS["x"])}))
    give_away(run)
    ended = launcher.run(*command, "train", "run")
    assert (ended.status, len(ended.err.splitlines())) == (2, 1), ended
    assert "belongs to another user, and its study.json names the objective" in ended.err
    assert not (launcher.folder / "exploded").exists()
    launcher.run(*command, "train", "run", "--trust")
    assert (launcher.folder / "exploded").exists()  # It would have been.


CLASSES: list[tuple[str, dict[str, Any]]] = [
    ("class_path", {"x": 0.5, "class_path": "subprocess.Popen"}),
    ("model.class_path", {"model.class_path": "subprocess.Popen"}),
    ("model.init_args.layer.class_path", {"model.init_args.layer.class_path": "subprocess.Popen"}),
    ("layer", {"x": 0.5, "layer": {"class_path": "subprocess.Popen", "init_args": {"args": "sh"}}}),
    ("layers", {"layers": [1, [{"deep": {"class_path": "subprocess.Popen"}}]]}),
    ("layer", {"layer": {"model.class_path": "subprocess.Popen"}}),
    ("layer", {"layer": "{class_path: subprocess.Popen}"}),
]


@pytest.mark.parametrize(("name", "params"), CLASSES)
def test_parameters_that_another_user_may_have_written_name_no_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, params: dict[str, Any]
) -> None:
    file = tmp_path / "0.jsonl"
    file.touch()
    check_parameters(params, "individual 0-0", [file], trust=False)
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    check_parameters({"x": 0.5, "paths": ["a", {"b": "c"}]}, "individual 0-0", [file], trust=False)
    check_parameters(params, "individual 0-0", [file], trust=True)
    with pytest.raises(UserError, match=rf"individual 0-0 has the parameter {name}, .*0\.jsonl.*another user.*--trust"):
        check_parameters(params, "individual 0-0", [file], trust=False)


LOSS = """
def loss(params, trial):
    (trial.folder / "best.ckpt").write_text("weights")
    return 0.25

class Tested:
    def __call__(self, params, trial): return loss(params, trial)
    def test(self, params, trial): return {"kept": 1.0}

tested = Tested()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("where", ["journal", "study", "baseline"])
def test_a_class_in_the_journal_or_the_baseline_of_another_user_is_refused(
    launcher: Launcher, command: list[str | Path], where: str
) -> None:
    (launcher.folder / "own.py").write_text(LOSS)
    named = {"x": 0.5, "model.class_path": "subprocess.Popen"}
    run = plant(
        launcher.folder / "run",
        "own:tested",
        named if where == "journal" else None,
        baseline=named if where == "study" else None,
    )
    (run / "individuals" / "0-0").mkdir(parents=True)
    (run / "individuals" / "0-0" / "best.ckpt").touch()
    if where == "baseline":
        (run / "baseline").mkdir()
        (run / "baseline" / "baseline.json").write_text(json.dumps({"params": named, "loss": 0.5}))
        give_away(run / "baseline")
    elif where == "study":
        give_away(run)
    else:
        give_away(run / "journal")
    what = "individual 0-0" if where == "journal" else "the baseline"
    for way in ("train", "test") if where == "journal" else ("test",):
        ended = launcher.run(*command, way, "run", "--objective", "own.py:tested")
        assert (ended.status, len(ended.err.splitlines())) == (2, 1), ended
        assert f"{what} has the parameter model.class_path" in ended.err
        assert "--trust" in ended.err
    trusted = launcher.run(*command, "test", "run", "--objective", "own.py:tested", "--trust")
    assert trusted.status == 0, trusted


PLANTED = ["typing_extensions", "rich", "yaml", "msgspec", "numpy", "own_propagators"]
if sys.version_info >= (3, 11):  # Before, a Python that is started with code as text looks here in any case.
    PLANTED += ["multiprocessing", "pickle", "socket"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_no_module_of_a_working_directory_of_another_user_is_run(launcher: Launcher, command: list[str | Path]) -> None:
    first = launcher.run(*command, "run", "sphere", "--evaluations", "1", "--run-dir", "run", "--quiet")
    assert first.status == 0, first
    for module in PLANTED:
        file = launcher.folder / f"{module}.py"
        file.write_text(f"import os\nos.close(os.open('exploded-{module}', os.O_CREAT))\n")
    give_away(launcher.folder)
    ended = launcher.run(*command, "train", "run")
    assert ended.status == 0, ended
    searched = launcher.run(
        *command, "run", "sphere", "--evaluations", "2", "--evaluate", "process", "--run-dir", "other", "--quiet"
    )
    assert searched.status == 0, searched
    assert not list(launcher.folder.glob("exploded-*"))


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_module_that_the_user_names_is_found_in_any_working_directory(
    launcher: Launcher, command: list[str | Path]
) -> None:
    (launcher.folder / "mine.py").write_text(
        "import typing_extensions\ndef loss(params): return params['x'] if typing_extensions.Self else 0\n"
    )
    search = ["mine:loss", "--limits", "{x: [1.0, 2.0]}", "--evaluations", "2", "--quiet"]
    for place in ("own", "foreign"):
        ended = launcher.run(*command, "run", *search, "--run-dir", place)
        assert ended.status == 0, ended
        # From now on it is a stranger's, with a file in it that is named as a library is.
        (launcher.folder / "typing_extensions.py").write_text("raise SystemExit('exploded')\n")
        give_away(launcher.folder)


def test_a_module_of_ones_own_working_directory_comes_before_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    place = Reference("msgspec", "loss").where()
    assert place is not None
    assert (place.file, sys.path[0]) == (tmp_path / "msgspec.py", "")
    sys.path.remove("")
    tmp_path.chmod(0o777)
    place = Reference("msgspec", "loss").where()
    assert place is not None
    assert (place.file, "" in sys.path) == (Path(str(msgspec.__file__)), False)


MODES = [
    (0o644, 0o755, True),
    (0o600, 0o700, True),
    (0o666, 0o755, False),
    (0o646, 0o755, False),
    (0o644, 0o777, False),
    (0o644, 0o757, False),
    (0o644, 0o1777, True),
    (0o664, 0o775, True),  # The group is the user's own.
]


@pytest.mark.parametrize(("file_mode", "folder_mode", "own"), MODES)
def test_what_all_users_may_write_to_is_not_ones_own(
    tmp_path: Path, file_mode: int, folder_mode: int, own: bool
) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(file_mode)
    file.parent.chmod(folder_mode)
    assert (belongs_to_user(file), belongs_to_user(link)) == (own, own)
    assert is_own_folder(file.parent) == (folder_mode not in (0o777, 0o757))
    assert why_foreign(file) == ("" if own else "can be written by other users (chmod go-w makes it yours alone)")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_another_group_may_write_to_is_not_ones_own(tmp_path: Path, what: str) -> None:
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.touch()
    path = file if what == "file" else file.parent
    os.chown(path, -1, STRANGER)
    assert belongs_to_user(file)
    path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert not belongs_to_user(file)
    path.chmod(path.stat().st_mode & ~stat.S_IWGRP)
    assert belongs_to_user(file)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_found_goes_elsewhere_where_a_run_may_only_be_read(
    launcher: Launcher, command: list[str | Path]
) -> None:
    (launcher.folder / "own.py").write_text(LOSS)
    run = plant(launcher.folder / "run", "own:tested", baseline={"x": 0.25})
    (run / "individuals" / "0-0").mkdir(parents=True)
    (run / "individuals" / "0-0" / "best.ckpt").touch()
    for folder in ("test", "trained"):  # No folder can be made there, not even by root.
        (run / folder).touch()
    before = contents(run)
    for way, place in (("test", "test"), ("train", "trained/0-0")):
        refused = launcher.run(*command, way, "run")
        assert refused.status == 2
        why = "File exists" if way == "test" else "Not a directory"
        assert refused.err == (
            f"evo: error: {run}/{place} cannot be written: {why}; make room for it, or name another folder with "
            "--results DIR\n"
        )
        ended = launcher.run(*command, way, "run", "--results", "found")
        assert ended.status == 0, ended
        assert f"found/{place}" in ended.out
    found = launcher.folder / "found"
    assert json.loads((found / "test" / "test.json").read_text())["baseline"]["params"] == {"x": 0.25}
    assert (found / "baseline" / "baseline.json").is_file()
    assert (found / "trained" / "0-0" / "trained.json").is_file()
    assert contents(run) == before
    (run / "individuals" / "0-0" / "best.ckpt").unlink()
    again = launcher.run(*command, "test", "run", "--results", "found")  # The weights are those trained again.
    assert (again.status, "in found/trained/0-0" in again.out) == (0, True), again
    assert "training the baseline" not in again.out


def test_results_do_not_go_into_another_run_directory(tmp_path: Path) -> None:
    run, other = plant(tmp_path / "run", "own:tested"), plant(tmp_path / "other", "own:tested")
    with pytest.raises(UserError, match=r"results is .*other, which is another run directory"):
        evo.test(run, results=other)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(("folder", "said"), [("journal", "the journals in"), ("individuals", "the checkpoints in")])
def test_a_folder_that_may_not_be_read_is_not_taken_for_an_empty_one(
    as_stranger: Path, folder: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.seteuid(0)
    run = plant(as_stranger / "run", "own:tested")
    (run / folder).chmod(0o700)
    os.seteuid(STRANGER)
    with pytest.raises(UserError, match=f"{said} .*{folder}.* cannot be read: Permission denied"):
        print(load(run).find().weights)
    if folder == "journal":
        assert main(["best", str(run)]) == 2
        assert "Permission denied" in capsys.readouterr().err


def test_of_an_individual_without_a_folder_there_are_no_weights(tmp_path: Path) -> None:
    assert find_weights(tmp_path / "absent") == []
    (tmp_path / "file").touch()
    assert find_weights(tmp_path / "file") == []
    for name in ("b.ckpt", "a.ckpt", "last.ckpt", "notes.txt"):
        (tmp_path / name).touch()
    assert find_weights(tmp_path) == [tmp_path / "a.ckpt", tmp_path / "b.ckpt"]


def test_only_a_file_is_a_journal(launcher: Launcher, command: list[str | Path]) -> None:
    run = plant(launcher.folder / "run", "own:tested")
    os.mkfifo(run / "journal" / "1.jsonl")
    (run / "journal" / "2.jsonl").mkdir()
    (run / "journal" / "3.jsonl").symlink_to("absent")
    ended = launcher.run(*command, "best", "run", timeout=20.0)
    assert (ended.status, "0-0" in ended.out) == (0, True), ended


def test_no_character_of_a_journal_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"\x1b[2Jx": "\x1b]0;hi\x07", "lines": "a\nloss  0", "csi": "\x9b2J", "sprache": "Größe 木 👍"}
    run = plant(tmp_path / "run", "own:tested", params, error="Bad\x1b[2J: \x07 no")
    assert main(["best", str(run)]) == 0
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.splitlines())
    assert r"\x1b[2Jx" in out
    assert r"\x1b]0;hi\x07" in out
    assert r"a\nloss  0" in out
    assert "Größe 木 👍" in out
    assert main(["best", str(run), "--json"]) == 0
    out = capsys.readouterr().out
    assert out.strip().isprintable()
    assert json.loads(out)["params"] == params
