"""The pages of the reference, of Extend and of Inside name what exists, and all of it."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from test_docs import modules, modules_named_in

import evo
from evo.cli import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS / "_extensions"))

import generated  # noqa: E402

REFERENCE = {file.stem: file.read_text() for file in (DOCS / "reference").glob("*.md")}
PAGES = {f"{folder}/{file.name}": file for folder in ("extend", "inside") for file in (DOCS / folder).glob("*.md")}
PAGES |= {file.name: file for file in (DOCS / "architecture.md", DOCS / "performance.md")}
EXTEND = (DOCS / "extend" / "index.md").read_text()

# What users import beside `evo` itself and the packages below.
IMPORTED = (
    "evo.lightning.LogReturned",
    "evo.objective.objective.Trial",
    "evo.population.Individual",
    "evo.population.Known",
    "evo.report.reading.Run",
    "evo.report.records.Evaluation",
    "evo.report.results.Result",
    "evo.testing.algorithms.check_algorithm",
    "evo.testing.propagators.check_propagator",
    "evo.testing.trials.FakeTrial",
)
PACKAGES = ("evo.propagators", "evo.algorithms", "evo.pruning", "evo.population")


def public_names() -> list[str]:
    of_evo = [f"evo.{name}" for name in evo.__all__]
    of_packages = [f"{package}.{name}" for package in PACKAGES for name in importlib.import_module(package).__all__]
    # What evo itself has as well is documented there.
    return of_evo + [name for name in of_packages if name.rpartition(".")[2] not in evo.__all__] + list(IMPORTED)


def test_every_public_name_is_in_the_reference_and_every_name_there_exists() -> None:
    named = {name for page in REFERENCE.values() for name in re.findall(r"\bevo(?:\.\w+)+", page)}
    assert [name for name in public_names() if name not in named] == []
    places = [place for page in REFERENCE.values() for place in re.findall(generated.PLACE, page)]
    assert [part for kind, part in places if kind == "generated" and part not in generated.PARTS] == []
    names = [name for kind, part in places if kind == "autodoc" for name in part.split()]
    names = [name for name in names if name not in ("evo.LightningObjective", "evo.lightning.LogReturned")]  # torch
    assert ".. autoclass:: evo.Study" in generated.autodoc(" ".join(names))


def test_every_option_of_a_search_is_in_the_reference_with_its_type() -> None:
    shown = generated.with_generated_parts(REFERENCE["options"])
    parser = generated.parser_of("run")
    options = [name for action in parser._actions for name in action.option_strings if name not in ("-h", "--help")]
    assert len(options) > 50
    assert [name for name in options if not re.search(rf"^:::{{option}} .*{name}\b", shown, re.MULTILINE)] == []
    assert "In a study file `keep_checkpoints: VALUE`, in Python `keep_checkpoints=`, of type `int`." in shown


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "run"])
def test_every_command_is_in_the_reference_with_all_its_options(command: str) -> None:
    section = COMMANDS_SHOWN.partition(f"\n## evo {command}\n")[2].partition("\n## ")[0]
    actions = [action for action in generated.parser_of(command)._actions if "--help" not in action.option_strings]
    assert actions
    for action in actions:
        assert all(f"{{option}} {name}" in section or f", {name}" in section for name in action.option_strings)
        assert (action.help or "")[:20] in section.replace("\\", "")


COMMANDS_SHOWN = "\n" + generated.commands()


def test_propagators_pruners_limits_and_events_are_shown_with_their_texts() -> None:
    assert "- `kernels` (integer, default `200`): The number of bad individuals" in generated.propagators()
    assert "### halving" in generated.pruners()
    assert "- `maximum` (integer, needed): " in generated.pruners()
    assert "- `log` (boolean, default `false`): Search the logarithm" in generated.limit_kinds()
    assert "- `metrics` (default `{}`): Values that the objective recorded" in generated.events()
    assert "- `max_epochs` (" in generated.trainer()


@pytest.mark.parametrize("name", PAGES)
def test_every_module_test_and_benchmark_that_a_page_names_exists(name: str) -> None:
    text = PAGES[name].read_text()
    assert modules_named_in(text) - modules() == set()
    named = re.findall(r"`(evo/[\w/]+/)`", text) + re.findall(r"\b(?:tests|benchmarks)/[\w/]+\.py\b", text)
    assert [path for path in named if not (DOCS.parent / path).exists()] == []


def test_each_of_ten_wishes_touches_few_files() -> None:
    section = EXTEND.partition("\n## Ten wishes\n")[2].partition("\n## ")[0]
    files = {wish: named.split(", ") for wish, named, _ in re.findall(r"^\| (.+?) \| (.+?) \| (.+) \|$", section, re.M)}
    del files["Wish"]
    assert len(files) == 10
    assert {wish for wish, named in files.items() if len(named) > 3} == {"Another journal format"}
    assert len(files["Another journal format"]) == 4
