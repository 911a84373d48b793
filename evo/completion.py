"""The command `evo completion`: what lets a shell complete commands, their options, and the names of ready parts."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence

from evo.cli import COMMANDS
from evo.commands import CommandParser, ParserMade, only_making_parsers

SHELLS = ("bash", "zsh", "fish")

_OBJECTIVES = "_evo_complete_file_or_problem"

_HOW = """\
bash:  echo 'eval "$(evo completion bash)"' >> ~/.bashrc
zsh:   echo 'eval "$(evo completion zsh)"' >> ~/.zshrc      (after compinit)
fish:  evo completion fish > ~/.config/fish/completions/evo.fish

To print it takes a second: where that is too long for each new shell, keep the text in a file and source that. A later
evo may have other options, so print it again then."""


def main(arguments: Sequence[str], program: str) -> int:
    """Print a completion script.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 printed.
    """
    parser = CommandParser(
        prog=program,
        description="Print a script that lets a shell complete evo's commands, options and names.",
        epilog=_HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="The shell.")
    shell = parser.parse_args(arguments).shell
    print(completion({name: (about, parser_of(name)) for name, (_, about) in COMMANDS.items()}, shell))
    return 0


def completion(commands: Mapping[str, tuple[str, argparse.ArgumentParser]], shell: str) -> str:
    """The completion script for some commands.

    Args:
        commands: What each command does, and its parser, by its name.
        shell: The shell, one of `SHELLS`.
    """
    import shtab

    parser = argparse.ArgumentParser(prog="evo")
    parser.add_argument("--version", action="store_true", help="print the version")
    below = parser.add_subparsers()
    for name, (about, found) in commands.items():
        for action in found._actions:
            _name_values(action)
        below.add_parser(name, parents=[found], add_help=False, help=about)
    return str(shtab.complete(parser, shell, preamble=_objectives().get(shell, "")))


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of a command, which is not run.

    Args:
        command: One of `COMMANDS`.
    """
    if command == "run":  # It installs signal handlers and joins other ranks before it reads its options.
        from evo.study.options import option_parser

        return option_parser("evo run")
    module, _, function = COMMANDS[command][0].partition(":")
    try:
        with only_making_parsers():
            getattr(importlib.import_module(module), function)([], f"evo {command}")
    except ParserMade as made:
        return made.parser
    raise AssertionError(f"the command {command} has no VersionedParser")


def _name_values(action: argparse.Action) -> None:
    """Say what the value of an option may be, where a shell can offer it."""
    import shtab

    files, directories, names = ("config", "baseline", "limits"), ("run_dir", "runs", "run", "results"), _ready_names()
    if action.dest in ("what", "objective"):
        offered = dict.fromkeys(("bash", "zsh"), _OBJECTIVES)
        action.complete = {**shtab.FILE, **offered}  # type: ignore[attr-defined]
    elif action.dest in files:
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif action.dest in directories:
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    if action.dest in names:
        action.choices = names[action.dest]
    elif isinstance(action.metavar, str) and "|" in action.metavar and action.choices is None:
        words = [each for each in action.metavar.split("|") if each.islower() and each.isalpha()]
        action.choices = [each for each in words if each not in ("str", "int", "float", "dict", "list", "bool")] or None


def _ready_names() -> Mapping[str, list[str]]:
    from evo.algorithms.catalogue import READY as algorithms
    from evo.pruning.catalogue import READY as pruners

    return {"propagator": [*algorithms], "pruning": [*pruners]}


def _objectives() -> dict[str, str]:
    """A function for each shell that offers ready problems and files."""
    from evo.problems.catalogue import PROBLEMS

    names = " ".join(PROBLEMS)
    return {
        "bash": f'{_OBJECTIVES}() {{\n  compgen -W "{names}" -- "$1"\n  compgen -f -- "$1"\n}}\n',
        "zsh": f"{_OBJECTIVES}() {{\n  _alternative 'problems:ready problem:({names})' 'files:file:_files'\n}}\n",
    }
