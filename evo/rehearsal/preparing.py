"""A study as a search would begin it, up to its first evaluation; nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.engine.transport import Serial
from evo.errors import UserError
from evo.objective.objective import describe
from evo.objective.training import Training
from evo.report.callbacks import make_callbacks
from evo.runtime.device import Placement, bind_ranks
from evo.storage.journal import open_locked
from evo.storage.rundir import RunDirectory
from evo.study.arguments import parse_arguments
from evo.study.beginning import agree_on_study, ask_for_study
from evo.study.config import Config
from evo.study.job import Job
from evo.study.joining import make_worker
from evo.study.plan import Plan, make_plan
from evo.study.session import find_job
from evo.study.warm_start import agree_on_start
from evo.texts import as_path


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A study that is ready for its first evaluation.

    Args:
        job: What was asked for.
        plan: What it amounts to.
        place: The device on which its first rank trains.
        ranks: The number of ranks that it was made for.
        notes: Remarks for the user.
    """

    job: Job
    plan: Plan
    place: Placement
    ranks: int
    notes: Sequence[str]

    @property
    def title(self) -> str:
        """What is minimised, in words."""
        objective = self.job.objective
        if not isinstance(objective, Training):
            return describe(objective)
        objective = objective.judged_by(self.plan.objectives)
        data = _class_of(objective.data) or objective.datamodule_class
        trained = f"{_class_of(objective.model) or objective.model_class or 'a module'}"
        return f"{trained}{f' on {data}' if data else ''}, by {objective.monitor} ({objective.mode})"


def _class_of(section: str | Mapping[str, Any] | None) -> str:
    path = section.get("class_path") if isinstance(section, Mapping) else section
    return path if isinstance(path, str) else ""


def prepare_study(arguments: Sequence[str], program: str, ranks: int | None) -> Prepared:
    """Read the settings of a search and make everything but its objective, as every rank does.

    Args:
        arguments: The words of its command line.
        program: The program's name, for messages.
        ranks: The number of ranks. None means the fewest that it can have.

    Raises:
        UserError: Something does not fit.
    """
    command = parse_arguments(arguments, program)
    job = find_job(command)
    config, alone = job.config, Serial()
    count = least_ranks(config) if ranks is None else ranks
    plan = make_plan(config, job.objective, job.limits, job.propagator, count)
    place = bind_ranks(config.gpus_per_node, alone)[0]
    assert config.run_dir is not None
    with closing(RunDirectory(as_path(config.run_dir))) as directory:
        asked = ask_for_study(config, plan, job.objective, directory, alone)
        study, changes = agree_on_study(asked, config, directory, alone)
        start = agree_on_start(config, plan.space, study, alone)
        make_worker(config, plan, study, directory, place, None)  # It reads the journals of earlier sessions.
        check_may_begin(directory)
        goes_on = directory.study() is not None
    make_callbacks(config.callbacks)
    notes = [*start.notes, *job.notes, *(job.objective.notes if isinstance(job.objective, Training) else ())]
    notes += [f"the search goes on in {config.run_dir}"] if goes_on else []
    if config.ranks_per_worker > 1:
        notes.append(f"tried by one process, where the search has {config.ranks_per_worker} for each individual")
    notes += [f"limits differ from those in {config.run_dir}: {change}" for change in changes]
    return Prepared(job=job, plan=plan, place=place, ranks=count, notes=notes)


def check_may_begin(directory: RunDirectory) -> None:
    """Make sure that a search could write its directory now; nothing stays there.

    A folder is made and removed, because some file systems, such as /proc, allow in their answers what they refuse.

    Args:
        directory: The run directory, which need not exist.

    Raises:
        UserError: It cannot be written, or another search is writing there.
    """
    existing = next(path for path in (directory.path, *directory.path.parents) if path.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".evo-check-", dir=existing)).rmdir()
    except OSError as error:
        raise UserError(
            f"run directory {directory} cannot be written: {error.strerror}; choose another with --run-dir"
        ) from None
    for file in directory.journals():
        with open_locked(file):
            pass


def least_ranks(config: Config) -> int:
    """The fewest ranks with which a search can run: one for each island, or as many as its islands ask for.

    Example:
        >>> least_ranks(Config(islands=3, ranks_per_worker=2)), least_ranks(Config(island_sizes=[4, 1], islands=2))
        (6, 5)
    """
    workers = config.islands if isinstance(config.islands, int) else 0
    if config.island_sizes is not None:
        workers = _total(config.island_sizes)
    elif not isinstance(config.islands, int):
        workers = _total([each.get("workers") if isinstance(each, Mapping) else 0 for each in config.islands])
    return max(1, workers) * config.ranks_per_worker


def _total(numbers: Sequence[Any]) -> int:
    return sum(each for each in numbers if isinstance(each, int) and each > 0)
