"""The documents name what exists: modules, options, make targets, exit statuses, and what is new."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import evo
from evo.errors import COMPLETE, MISTAKEN, NOT_FOUND, RUN_AGAIN
from evo.study.arguments import parse_arguments

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "tutorials/README.md", "jobs/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()

# Options in the documents that are not those of evo run.
OTHER_OPTIONS = {
    "evo": {"--version"},
    "LightningCLI": {"--print"},
    "benchmarks": {
        "--cost",
        "--near",
        "--interval",
        "--seconds",
        "--before",
        "--check",
        "--digits",
        "--mnist",
        "--out",
        "--peer",
        "--problems",
        "--seeds",
        "--suites",
        "--tools",
        "--ways",
        "--workers",
    },
    "Ray": {"--address", "--head"},
    "tutorials": {"--profile", "--smoke-test", "--weights"},
    "evo check": {"--ranks", "--timeout"},
    "evo init": {"--data", "--force", "--out", "--timeout"},
    "evo best": {"--json", "--yaml", "--params", "--knee"},
    "evo list": {"--by"},
    "evo export": {"--csv", "--json", "--parquet", "--optuna", "--follow"},
    "evo doctor": {"--timeout"},
    "evo repair": {"--dry-run"},
    "evo status": {"--follow", "--json"},
    "evo schema": {"--out"},
    "evo report": {"--out", "--png", "--serve"},
    "evo test": {"--individual", "--baseline", "--objective", "--results"},
    "evo train": {"--individual", "--schedule", "--seed"},
    "containers": {"--bind", "--file", "--gpus", "--ipc", "--nv", "--rm", "--tag", "--volume", "--wheel"},
    "Open MPI": {"--bind-to", "--with-ft"},
    "sbatch": {"--dependency", "--nodes", "--parsable", "--time"},
    "Slurm": {"--batch", "--gpus-per-task", "--me", "--mpi", "--signal"},
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


def test_every_option_in_the_documents_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = known_options(capsys).union(*OTHER_OPTIONS.values())
    found = {str(document.relative_to(ROOT)): options_in(document.read_text()) - known for document in DOCUMENTS}
    assert {document: options for document, options in found.items() if options} == {}


def test_readme_names_no_option_of_evo_run_and_no_name_of_python(capsys: pytest.CaptureFixture[str]) -> None:
    others = re.sub(r"^evo (?!run\b).*$", "", README, flags=re.MULTILINE)  # evo init, for example, has its own options.
    assert options_in(others) & known_options(capsys) == set()
    assert set(re.findall(r"\bevo\.(\w+)", README)) & set(evo.__all__) == set()
    code = " ".join(re.findall(r"^```.*?^```|`[^`\n]+`", README, flags=re.MULTILINE | re.DOTALL))
    assert {name for name in evo.__all__ if name[0].isupper() and re.search(rf"\b{name}\b", code)} == set()


def test_every_exit_status_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "exit_statuses.md").read_text()
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == [
        COMPLETE,
        NOT_FOUND,
        MISTAKEN,
        RUN_AGAIN,
    ]


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", document.read_text(), re.MULTILINE)
        assert {first or second for first, second in named} <= targets, document


def headings_of(document: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def leads_nowhere(document: Path, link: str) -> bool:
    path, _, heading = link.partition("#")
    target = document.parent / path if path else document
    return "://" not in link and not (target.exists() and (not heading or heading in headings_of(target)))


def test_every_link_inside_the_project_leads_somewhere() -> None:
    links = [(each, link) for each in DOCUMENTS for link in re.findall(r"\]\(([^)\s]+)\)", each.read_text())]
    assert [f"{each.relative_to(ROOT)}: {link}" for each, link in links if leads_nowhere(each, link)] == []


def test_the_changelog_says_what_is_unreleased() -> None:
    unreleased = CHANGELOG.partition("\n## [Unreleased]\n")[2].partition("\n## ")[0]
    assert re.search(r"^- \S", unreleased, re.MULTILINE)
