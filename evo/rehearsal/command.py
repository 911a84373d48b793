"""The command `evo check`: everything but the search."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from evo.commands import CommandParser, status_of
from evo.errors import Elsewhere, UserError
from evo.evaluation import EvaluationSettings, Evaluator
from evo.evaluation.stages import NOT_LOGGED
from evo.rehearsal.account import failure_text, logged_metrics, search_lines, tried_lines
from evo.rehearsal.alone import on_first_rank
from evo.rehearsal.monitor import other_monitor
from evo.rehearsal.preparing import Prepared, prepare_study
from evo.rehearsal.rehearsal import Rehearsal
from evo.rehearsal.scratch import scratch_folder
from evo.rehearsal.trying import Patience, Tried, try_point
from evo.runtime.device import Binding, Placement, training_environment
from evo.space.examples import example_points
from evo.space.values import Params
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.study.launching import split_ranks
from evo.study.starting_weights import find_start_weights
from evo.texts import print_anything

_MORE = 8.0  # Seconds in which further points are tried, after the first.
_CALL = 5.0  # Seconds that a plain loss may take.


def main(arguments: Sequence[str], program: str) -> int:
    """Do everything but the search that a command line asks for; under a launcher, on the first rank.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 ready, 2 there is a mistake.
    """

    def act(ranks: int) -> int:
        print_anything()
        options, others = _read(arguments, program)
        if ranks > 1 and options.ranks is None:
            options.ranks = ranks
        return status_of(lambda: check_study(options, others, program), options.debug)

    return on_first_rank(act)


def _read(arguments: Sequence[str], program: str) -> tuple[Namespace, list[str]]:
    parser = CommandParser(
        prog=program,
        usage=f"{program} [OBJECTIVE | STUDY.yaml] [options of evo run] [--ranks N] [--timeout TIME]",
        description="Do everything but the search: read all settings, make every part, train a few batches at points "
        "that show every choice, or call the loss. Nothing is written. It takes what evo run takes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--ranks",
        metavar="N",
        help="How many ranks will search. Default: as many as this command was started on, or else the fewest that "
        "the settings allow.",
    )
    parser.add_argument(
        "--timeout", default="3m", metavar="TIME", help="Longest time for one point, for example 90s. Default: 3m."
    )
    options, others = parser.parse_known_args(list(arguments))
    return options, [*others, *(["--debug"] if options.debug else [])]


def check_study(options: Namespace, others: Sequence[str], program: str) -> int:
    """Check a study, and print what was found.

    Args:
        options: The options of the command.
        others: The words that a search would have.
        program: The program's name, for messages.

    Returns:
        0.

    Raises:
        UserError: There is a mistake.
    """
    ranks = None if options.ranks is None else split_ranks([f"--ranks={options.ranks}"])[0]
    patience = Patience(parse_duration("timeout", options.timeout), _CALL)
    prepared = prepare_study(others, program, ranks)
    print("\n".join(search_lines(prepared)), flush=True)
    examples = example_points(prepared.plan.space)
    with scratch_folder("evo-check-") as folder:
        began = time.monotonic()
        with open_rehearsal(prepared, folder, patience.training) as evaluator:
            notes = evaluator.open(prepared.plan.space.names, examples).notes
            loaded = time.monotonic() - began
            if loaded > patience.training:
                raise UserError(f"the objective was not loaded after {loaded:.0f} s; --timeout gives it longer")
            tried = try_points(evaluator, examples, folder, patience, options.debug)
    print("\n".join([*(f"  note: {note}" for note in notes), *tried_lines(prepared, tried, loaded, len(examples))]))
    failed = [one for one in tried if one.failed]
    besides = f", but {len(failed)} of the {len(tried)} points that were tried fail, see above" if failed else ""
    print(f"evo: nothing stands in the way of this search{besides}")
    return 0


@contextmanager
def open_rehearsal(prepared: Prepared, folder: Path, longest: float) -> Iterator[Evaluator]:
    """What tries points in a child process, as a rank of a search would have it.

    Args:
        prepared: The study.
        folder: The folder for all files.
        longest: The seconds that the objective may take to load.
    """
    objective = Rehearsal(prepared.job.objective)
    with rehearsal_process(objective, prepared.job.config, prepared.place, folder, longest) as evaluator:
        yield evaluator


@contextmanager
def rehearsal_process(
    objective: Callable[..., object], config: Config, place: Binding | Placement, folder: Path, longest: float
) -> Iterator[Evaluator]:
    """A child process for an objective that is tried.

    Args:
        objective: The objective.
        config: The settings.
        place: The device on which it runs: a placement or a binding.
        folder: The folder for all files; its temporary files lie there too.
        longest: The seconds that it may take to load.
    """
    from evo.evaluation.process import ProcessEvaluator

    deadline = time.monotonic() + longest
    environment = training_environment(os.environ, place.environment)
    weights = find_start_weights(config.start_from)
    settings = EvaluationSettings(
        threads=place.threads,
        gpu_memory=config.gpu_memory,
        grace=1.0,
        trust=config.trust,
        weights=weights.path if weights else "",
        objectives=config.goals,
    )
    evaluator = ProcessEvaluator(
        objective, lambda identity: folder, environment, settings, lambda: time.monotonic() > deadline
    )
    with closing(evaluator):
        yield evaluator


def try_points(
    evaluator: Evaluator, points: Sequence[Params], folder: Path, patience: Patience, debug: bool = False
) -> list[Tried]:
    """Try points: the first one, and as many others as there is time for, up to one that takes too long.

    Args:
        evaluator: Tries them; it has been opened.
        points: The points.
        folder: The folder for all files.
        patience: How long one may take.
        debug: Whether an error has the traceback of what failed.

    Raises:
        UserError: All of them fail; the message is that of the first.
    """
    tried: list[Tried] = []
    deadline = None
    for number, params in enumerate(points):
        if deadline is not None and time.monotonic() > deadline:
            break
        tried.append(try_point(evaluator, params, folder / str(number), patience))
        if tried[-1].failed and tried[-1].late:
            break  # Another one that hangs would take as long again.
        deadline = deadline or time.monotonic() + _MORE
    if all(one.failed for one in tried):
        error = UserError(_why_all_fail(tried))
        if debug and tried[0].outcome.traceback:
            error.__cause__ = Elsewhere(tried[0].outcome.traceback)
        raise error
    return tried


def _why_all_fail(tried: Sequence[Tried]) -> str:
    first = tried[0]
    text = failure_text(first)
    if first.fact(NOT_LOGGED) and (instead := other_monitor(logged_metrics(first))):
        text += f" Here: {instead}."
    elif len(tried) > 1:
        text += f"; so do the {len(tried) - 1} others that were tried" if len(tried) > 2 else "; so does another one"
    return text
