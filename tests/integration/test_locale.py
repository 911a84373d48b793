"""Names, values and files of any language, under a locale that knows none of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import Launcher

from evo.texts import as_path, readable

LOSS = """
def verlust(p):
    print("größe ist", p["größe"], "层")
    return p["größe"] + len(p["层"])
"""
PYTHON = """
import evo


def verlust(p):
    return p["größe"] + len(p["层"])


if __name__ == "__main__":
    limits = {"größe": (1, 5), "层": ("ä", "层层")}
    result = evo.minimize(verlust, limits, evaluations=3, evaluate="process", run_dir="läufe/π", quiet=False)
    print(result.run_dir, result.best.params)
"""
NO_LANGUAGE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def here(launcher: Launcher, tmp_path: Path) -> Path:
    launcher.folder = tmp_path / "日本"
    launcher.folder.mkdir()
    (launcher.folder / "größe.py").write_text(LOSS, encoding="utf-8")
    (launcher.folder / "grenzen-ü.yaml").write_text("größe: [1, 5]\n层: [ä, 层层]\n", encoding="utf-8")
    (launcher.folder / "punkte-ü.yaml").write_text("[{größe: 5, 层: 层层}]", encoding="utf-8")
    (launcher.folder / "suche.py").write_text(PYTHON, encoding="utf-8")
    (launcher.folder / "studie-ü.yaml").write_text(
        "objective: größe.py:verlust\nlimits: {größe: [1, 5], 层: [ä, 层层]}\nevaluations: 4\nrun_dir: runs/ü\n",
        encoding="utf-8",
    )
    return launcher.folder


def run(launcher: Launcher, *arguments: str) -> str:
    ended = launcher.python(*arguments, **NO_LANGUAGE)
    assert ended.status == 0, ended.err
    return ended.out


def test_any_language_runs_under_a_locale_without_one(launcher: Launcher, here: Path) -> None:
    printed = run(launcher, "-m", "evo.run", "studie-ü.yaml")
    assert "4 evaluations (4 completed)" in printed
    study = json.loads((here / "runs" / "ü" / "study.json").read_text(encoding="utf-8"))
    assert study["name"] == "ü"
    assert study["objective"] == "größe:verlust"
    assert list(study["limits"]) == ["größe", "层"]
    options = ["--evaluate", "process", "--evaluations", "2", "--start-from", "punkte-ü.yaml"]
    run(launcher, "-m", "evo.run", "größe.py:verlust", "--limits", "grenzen-ü.yaml", *options)
    limits = "{größe: [1, 5], 层: [ä, 层层]}"
    run(launcher, "-m", "evo.run", "größe.py:verlust", "--limits", limits, "--evaluations", "3")  # It goes on.
    first = (here / "runs" / "größe-verlust" / "individuals" / "0-0" / "output.log").read_bytes()
    assert first == b"gr\\xf6\\xdfe ist 5 \\u5c42\n"
    shown = run(launcher, "-c", "from evo.cli import main; main()", "best", "runs/größe-verlust", "--json")
    best = json.loads(shown)
    assert best["run"] == "runs/größe-verlust"
    assert list(best["params"]) == ["größe", "层"]


def test_a_script_does_so_as_well(launcher: Launcher, here: Path) -> None:
    assert "everything is in l\\xe4ufe/\\u03c0" in run(launcher, "suche.py")
    assert (here / "läufe" / "π" / "summary.json").exists()


def test_text_is_text_and_paths_are_paths() -> None:
    assert readable("gr\udcc3\udcb6\udcc3\udc9fe") == readable("größe") == "größe"
    assert readable("a\udcff") == "a\\xff"
    assert as_path("größe") == Path("größe")
