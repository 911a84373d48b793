"""What is expected around the code of an open project: its parts of CI, forms, citation, changelog, versions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

import evo
from evo.errors import COMPLETE, MISTAKEN, NOT_FOUND, RUN_AGAIN

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
CI = (ROOT / ".ci" / "run").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
VERSIONS = ROOT / "docs" / "reference" / "versions.md"
PAGES = [*sorted(GITHUB.glob("*.md")), VERSIONS]
FORMS = sorted(set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE" / "config.yml"})
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def words_of(name: str) -> set[str]:
    found = re.search(rf'^{name}="([a-z ]+)"', CI, re.M)
    assert found is not None
    return set(found[1].split())


def make_targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))


# Continuous integration.


def test_every_part_of_ci_is_a_function_and_the_make_targets_that_it_names_exist() -> None:
    functions = set(re.findall(r"^(\w+)\(\) \{", CI, re.M))
    assert words_of("PARTS") | words_of("TIERS") <= functions
    named = set(re.findall(r"^ +make ([\w-]+)", CI, re.M))
    assert {"lint", "test"} < named <= make_targets()
    refused = subprocess.run([ROOT / ".ci" / "run", "lint", "nonsense"], capture_output=True, text=True, timeout=30)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no part nonsense of .ci/run" in refused.stderr


def test_the_workflow_runs_every_part_with_both_mpis_and_every_python() -> None:
    jobs = loaded(WORKFLOW)["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if ".ci/run" in step.get("run", "")]
    run = {part for command in commands for part in command.partition(".ci/run")[2].split()}
    assert run == (words_of("PARTS") - {"tests"}) | words_of("TIERS")
    assert all({"runs-on", "timeout-minutes", "steps"} <= job.keys() for job in jobs.values())
    pythons = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)
    unit = jobs["unit"]["strategy"]["matrix"]
    assert unit["python"] == pythons
    assert {each["mpi"] for each in unit["include"]} == set(unit["mpi"]) == {"openmpi", "mpich"}
    assert set(jobs["macos"]["strategy"]["matrix"]["python"]) < set(pythons)
    assert f'requires-python = ">={pythons[0]}"' in PROJECT


# What people find and fill in.


@pytest.mark.parametrize("form", FORMS, ids=lambda file: file.stem)
def test_an_issue_form_is_what_github_takes(form: Path) -> None:
    fields = loaded(form)
    assert {"name", "description", "body"} <= fields.keys() <= {"name", "description", "labels", "title", "body"}
    assert {field["type"] for field in fields["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}
    asked = [field for field in fields["body"] if field["type"] != "markdown"]
    assert asked
    assert len({field["id"] for field in asked}) == len({field["attributes"]["label"] for field in asked}) == len(asked)
    for field in fields["body"]:
        known = {"label", "description", "render", "placeholder"} if field in asked else {"value"}
        assert field["attributes"].keys() <= known
        assert field.keys() <= {"type", "id", "attributes", "validations"}


@pytest.mark.parametrize("page", PAGES, ids=lambda file: file.stem)
def test_links_and_make_targets_and_tests_of_a_page_exist(page: Path) -> None:
    text = page.read_text()
    links = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in links if not (page.parent / target).exists()] == []
    named = {first or second for first, second in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, re.M)}
    assert named <= make_targets()
    paths = re.findall(r"\b(?:tests|evo)/[\w/]+(?:\.py)?", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_citation_names_no_invented_people_and_the_license_of_the_project() -> None:
    citation = loaded(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    (name,) = re.findall(r'^authors = \[\{ name = "(.+)" \}\]', PROJECT, re.M)
    assert citation["authors"] == [{"name": name}]
    assert f'license = "{citation["license"]}"' in PROJECT


# Versions.


def test_the_changelog_goes_by_release_and_the_version_is_that_of_the_newest_or_later() -> None:
    heads = re.findall(r"^## (.+)$", CHANGELOG, re.M)
    assert heads[0] == "[Unreleased]"
    releases = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d", head) for head in heads[1:]]
    assert all(releases), heads
    numbers = [Version(found[1]) for found in releases if found]
    assert numbers == sorted(numbers, reverse=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+", evo.__version__)
    assert [number for number in numbers if number > Version(evo.__version__)] == []
    for release in CHANGELOG.split("\n## ")[1:]:
        kinds = re.findall(r"^### (.+)$", release, re.M)
        assert kinds == [kind for kind in KINDS if kind in kinds]


def test_the_page_on_versions_has_every_exit_status() -> None:
    section = VERSIONS.read_text().partition("\n## Exit statuses\n")[2].partition("\n## ")[0]
    told = [int(status) for status in re.findall(r"^\| (\d+) \|", section, re.M)]
    assert told == [COMPLETE, NOT_FOUND, MISTAKEN, RUN_AGAIN, 130]
