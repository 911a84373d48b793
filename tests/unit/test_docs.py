"""The documents name what exists: modules, options, make targets, exit statuses, and what is new."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evo.errors import COMPLETE, MISTAKEN, NOT_FOUND, RUN_AGAIN
from evo.study.arguments import parse_arguments

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()

# Options in the documents that are not those of evo run.
OTHER_OPTIONS = {
    "LightningCLI": {"--print"},
    "evo best": {"--json", "--yaml", "--params"},
    "evo list": {"--by"},
    "evo export": {"--csv", "--json", "--parquet", "--optuna", "--follow"},
    "evo doctor": {"--timeout"},
    "evo repair": {"--dry-run"},
    "evo status": {"--follow", "--json"},
    "evo report": {"--out", "--png", "--serve"},
    "evo test": {"--individual", "--baseline", "--objective", "--results"},
    "Open MPI": {"--bind-to", "--with-ft"},
    "Slurm": {"--gpus-per-task", "--mpi"},
    "tensorboard": {"--logdir"},
}


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def known_options(capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"], "evo run")
    return options_in(capsys.readouterr().out)


def modules() -> set[str]:
    files = (ROOT / "evo").rglob("*.py")
    return {str(file.relative_to(ROOT)) for file in files if file.name != "__init__.py"}


def modules_named_in(text: str) -> set[str]:
    return set(re.findall(r"\bevo/[\w/]+\.py\b", text)) - {"evo/propagators/__init__.py"}


@pytest.mark.parametrize("text", [ARCHITECTURE, EXTENDING], ids=["architecture", "extending"])
def test_every_module_named_in_a_document_exists(text: str) -> None:
    assert len(modules_named_in(text)) >= 10
    assert modules_named_in(text) - modules() == set()


def test_every_folder_and_test_named_for_those_who_extend_evo_exists() -> None:
    folders, tests = re.findall(r"`(evo/[\w/]+/)`", EXTENDING), re.findall(r"\btests/[\w/]+\.py\b", EXTENDING)
    assert folders
    assert tests
    assert [path for path in (*folders, *tests) if not (ROOT / path).exists()] == []


def test_each_of_ten_wishes_touches_few_files() -> None:
    section = EXTENDING.partition("\n## Ten wishes\n")[2].partition("\n## ")[0]
    files = {wish: named.split(", ") for wish, named, _ in re.findall(r"^\| (.+?) \| (.+?) \| (.+) \|$", section, re.M)}
    del files["Wish"]
    assert len(files) == 10
    assert {wish for wish, named in files.items() if len(named) > 3} == {"Another journal format"}
    assert len(files["Another journal format"]) == 4


@pytest.mark.parametrize("text", [README, ARCHITECTURE, EXTENDING], ids=["README", "architecture", "extending"])
def test_every_option_in_the_documents_exists(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert options_in(text) - known_options(capsys) - set().union(*OTHER_OPTIONS.values()) == set()


def test_every_option_is_in_the_readme(capsys: pytest.CaptureFixture[str]) -> None:
    of_the_parser = {"--help", "--version", "--config", "--objective", "--ranks"}
    assert known_options(capsys) - options_in(README) - of_the_parser == set()


def test_every_exit_status_is_in_the_readme() -> None:
    section = README.partition("\n## Exit statuses\n")[2].partition("\n## ")[0]
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == [
        COMPLETE,
        NOT_FOUND,
        MISTAKEN,
        RUN_AGAIN,
    ]


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", README, re.MULTILINE))
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("text", [README, ARCHITECTURE, EXTENDING], ids=["README", "architecture", "extending"])
def test_every_link_inside_the_project_leads_somewhere(text: str) -> None:
    folder = ROOT if text is README else ROOT / "docs"
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (folder / target).exists(), target


def test_the_changelog_says_what_is_unreleased() -> None:
    unreleased = CHANGELOG.partition("\n## [Unreleased]\n")[2].partition("\n## ")[0]
    assert re.search(r"^- \S", unreleased, re.MULTILINE)
