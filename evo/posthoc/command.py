"""The commands after a search: `evo test` and `evo train`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Sequence

from evo.commands import CommandParser
from evo.errors import RUN_AGAIN, UserError
from evo.objective.objective import Interrupted
from evo.posthoc.single import PosthocError
from evo.posthoc.testing import test as test_individual
from evo.posthoc.training import TrainingRequest, train_again
from evo.storage.retry import StorageError
from evo.texts import show_error


def test(arguments: Sequence[str], program: str) -> int:
    """Test an individual.

    Args:
        arguments: What stands on the command line after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 tested, 1 the test or the baseline's training failed, 2 mistaken input, 85 run it again.
    """
    parser = CommandParser(
        prog=program,
        description="Test an individual from its saved weights; with several objectives, all of the front that have "
        "kept theirs.",
    )
    _add_arguments(parser, "those of the front")
    parser.add_argument(
        "--baseline", metavar="FILE.yaml", help="Parameters to compare with, which are trained once, in RUN/baseline."
    )
    options = parser.parse_args(arguments)
    return _run(
        lambda: test_individual(
            options.run,
            options.objective,
            individual=options.individual,
            baseline=options.baseline,
            trust=options.trust,
            results=options.results,
        ),
        options.debug,
    )


def train(arguments: Sequence[str], program: str) -> int:
    """Train an individual again.

    Args:
        arguments: What stands on the command line after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 trained, 1 the training failed, 2 mistaken input, 85 stopped: run it again.
    """
    parser = CommandParser(
        prog=program,
        description="Train an individual again, with its own seed. One that goes on from others is trained from the "
        "start, with the hyperparameters that each of them had.",
    )
    _add_arguments(parser, "the knee of the front, as evo best --knee shows it")
    parser.add_argument(
        "--schedule", metavar="FILE.yaml", help="Train a schedule instead, as evo best --yaml writes one."
    )
    parser.add_argument("--seed", type=int, metavar="N", help="Another seed; then the files are in trained/R-G-seed-N.")
    options = parser.parse_args(arguments)
    if options.schedule is not None and options.individual is not None:
        parser.error("--individual and --schedule name two trainings: leave out one of them")
    if options.seed is not None and not 0 <= options.seed < 2**32:
        parser.error(f"--seed is {options.seed}: it must be a whole number from 0 to {2**32 - 1}")
    asked = TrainingRequest(
        run=options.run,
        individual=options.individual,
        schedule=options.schedule,
        seed=options.seed,
        objective=options.objective,
        trust=options.trust,
        results=options.results,
    )
    return _run(lambda: train_again(asked), options.debug)


def _add_arguments(parser: ArgumentParser, of_front: str) -> None:
    parser.add_argument("run", metavar="RUN", help="A run directory, complete or not.")
    parser.add_argument(
        "--individual",
        metavar="R-G",
        help=f"Rank and generation, for example 3-1. Default: the best; with several objectives, {of_front}.",
    )
    parser.add_argument(
        "--objective", metavar="PLACE:NAME", help="The objective of the search. Default: the one that study.json names."
    )
    parser.add_argument(
        "--results",
        metavar="DIR",
        help="The folder for all that is written, for a RUN that may only be read. Default: RUN.",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="Load another user's checkpoints in full, and the code that their run directory names.",
    )


def _run(act: Callable[[], object], debug: bool) -> int:
    """Do what a command asks for; returns the exit status, after a message where that is not 0."""
    problem: BaseException
    try:
        act()
        return 0
    except UserError as error:
        problem, status = error, 2
    except PosthocError as error:
        problem, status = error, 1
    except StorageError as error:
        problem, status = error, error.status
    except Interrupted as error:
        problem, status = error, RUN_AGAIN
    except OSError as error:
        problem, status = Interrupted(f"{error.filename} cannot be used: {error.strerror}"), RUN_AGAIN
        problem.__cause__ = error
    except KeyboardInterrupt:
        problem, status = Interrupted("interrupted: run the same command again"), RUN_AGAIN
    show_error(problem, debug)
    return status
