"""The face of the evo command: what it says without words, its help, and what lets a shell complete it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from helpers import call

from evo import texts
from evo.cli import COMMANDS
from evo.study.options import option_parser

SHELL = 'source "$0"; COMP_WORDS=({words}); COMP_CWORD={last}; _shtab_evo; echo "${{COMPREPLY[@]}}"'


def test_without_a_command_evo_says_what_one_can_do_next() -> None:
    ended = call()
    assert (ended.status, ended.err) == (0, "")
    assert "evo run" in ended.out
    assert "evo --help" in ended.out


def test_the_help_has_every_command_once_and_the_exit_statuses() -> None:
    shown = call("--help").out
    assert call("help").out == shown
    for name in COMMANDS:
        assert shown.count(f"\n  {name} ") == 1
    for text in (shown, call("run", "--help").out):
        assert "exit statuses:" in text
        assert "\n  85  " in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_and_says_the_version(name: str) -> None:
    assert call("help", name).out.startswith(f"usage: evo {name}")
    assert call(name, "--version").out == call("--version").out


def test_bash_completes_commands_options_and_names() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    script = call("completion", "bash").out

    def offered(*words: str) -> list[str]:
        asked = SHELL.format(words=" ".join(f"'{word}'" for word in words), last=len(words) - 1)
        command = [bash, "--norc", "-c", asked, "/dev/stdin"]
        return subprocess.run(command, input=script, text=True, capture_output=True, check=True).stdout.split()

    assert offered("evo", "stat") == ["status"]
    assert offered("evo", "run", "--evaluat") == ["--evaluations", "--evaluate"]
    assert "portfolio" in offered("evo", "run", "--propagator", "")
    assert "digits" in offered("evo", "run", "dig")
    assert offered("evo", "best", "--js") == ["--json"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_completed_too(shell: str) -> None:
    said = call("completion", shell)
    assert (said.status, said.err) == (0, "")
    assert "evaluations" in said.out


def test_a_completion_script_leaves_the_options_of_a_search_as_they_are() -> None:
    assert call("completion", "bash").status == 0
    given = option_parser("evo run").parse_args(
        ["sphere", "--limits", "{x: [0.0, 1.0]}", "--propagator", "{name: tpe}"]
    )
    assert (given.limits, given.propagator) == ("{x: [0.0, 1.0]}", "{name: tpe}")


@pytest.mark.parametrize(
    ("width", "terminal", "draws"), [(80, "xterm", True), (80, "dumb", False), (80, "", True), (0, "xterm", False)]
)
def test_a_live_view_needs_a_terminal_whose_cursor_moves(
    monkeypatch: pytest.MonkeyPatch, width: int, terminal: str, draws: bool
) -> None:
    monkeypatch.setattr(texts, "terminal_width", lambda: width)
    monkeypatch.setenv("TERM", terminal)
    assert texts.draws_in_place() is draws
