"""The command `evo init`: a study file for a LightningModule."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from evo.commands import CommandParser, status_of
from evo.drafting.draft import SECTIONS_OF_TRIAL, Draft, read_facts
from evo.drafting.sections import StudyDraft, draft_study, trial_sections
from evo.drafting.writing import LOG_RETURNED, FirstBatches, study_text
from evo.errors import Elsewhere, UserError
from evo.evaluation import Evaluator
from evo.evaluation.stages import NOT_LOGGED
from evo.objective.facts import ClassFacts
from evo.objective.references import add_working_directory
from evo.rehearsal.account import logged_metrics
from evo.rehearsal.alone import on_first_rank
from evo.rehearsal.command import rehearsal_process
from evo.rehearsal.monitor import choose_monitor
from evo.rehearsal.scratch import scratch_folder
from evo.rehearsal.trying import Patience, Tried, try_point
from evo.runtime.device import available_cores, bind
from evo.runtime.gpus import find_gpus
from evo.space.space import Space
from evo.storage.files import write_whole
from evo.study.arguments import parse_arguments
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.study.files import load_limits
from evo.texts import as_path, print_anything, printable

_LONGEST_REASON = 300


def main(arguments: Sequence[str], program: str) -> int:
    """Write a study file; under a launcher, on the first rank.

    Args:
        arguments: The words after the command's name.
        program: The program's name, for the help.

    Returns:
        The exit status: 0 written, 2 there is a mistake.
    """

    def act(ranks: int) -> int:
        print_anything()
        options = _make_parser(program).parse_args(list(arguments))
        command = f"{program} {shlex.join(arguments)}"
        return status_of(lambda: write_study(options, command), options.debug)

    return on_first_rank(act)


def _make_parser(program: str) -> CommandParser:
    parser = CommandParser(
        prog=program,
        usage=f"{program} MODULE [--data DATA] [--out FILE] [--force]",
        description="Write a study file for a LightningModule: what its constructor takes, what of that is worth "
        "searching, and the metric that a training of a few batches logs.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODULE", help="The LightningModule: module.Class or path/to/file.py:Class.")
    parser.add_argument(
        "--data", metavar="DATA", help="The LightningDataModule, in the same way, unless the module has dataloaders."
    )
    parser.add_argument("--out", metavar="FILE", default="study.yaml", help="The file. Default: study.yaml.")
    parser.add_argument("--force", action="store_true", help="Replace the file if it exists.")
    parser.add_argument(
        "--timeout", default="3m", metavar="TIME", help="Longest time for the first batches, such as 90s. Default: 3m."
    )
    return parser


def write_study(options: Namespace, command: str) -> None:
    """Write a study file, and say what it has.

    Args:
        options: The options of the command.
        command: The command, for the file's first line.

    Raises:
        UserError: The file exists, or a class does not.
    """
    file = as_path(options.out)
    if file.suffix not in (".yaml", ".yml"):
        raise UserError(f"out is {options.out!r}: a study file ends in .yaml")
    if file.is_dir():
        raise UserError(f"{options.out} is a folder: name a file in it with --out")
    if file.exists() and not options.force:
        raise UserError(f"{options.out} exists: name another file with --out, or replace it with --force")
    _check_writable(file, options.out)
    for name in filter(None, (options.model, options.data)):
        add_working_directory(name.rpartition(".")[0])
    longest = parse_duration("timeout", options.timeout)
    with scratch_folder("evo-init-") as folder:
        place = bind(0, os.environ, None, find_gpus(os.environ), len(available_cores()))
        objective = Draft(options.model, options.data)
        with rehearsal_process(objective, Config(), place, folder, longest) as evaluator:
            model, data = _describe(evaluator, folder, Patience(longest, longest), options.debug)
            draft, findings = draft_and_try(evaluator, (model, data), folder, time.monotonic() + longest)
        text = study_text(draft, findings, command, options.out)
        _check_text(text, folder, draft)
    write_whole(file, lambda stream: stream.write(text.encode()))
    print("\n".join(map(printable, summary_lines(draft, findings, options.out))))


def _check_writable(file: Path, name: str) -> None:
    """Refuse a file that could not be written at the end."""
    try:
        with tempfile.TemporaryFile(dir=file.parent):  # Some file systems allow in their answers what they refuse.
            pass
    except OSError as error:
        raise UserError(
            f"{name} cannot be written: {error.strerror}; name a file in a folder that exists with --out"
        ) from None


def _describe(
    evaluator: Evaluator, folder: Path, patience: Patience, debug: bool
) -> tuple[ClassFacts, ClassFacts | None]:
    evaluator.open([])
    described = try_point(evaluator, {}, folder / "facts", patience)
    if described.outcome.status == "completed":
        return read_facts(folder / "facts")
    error = UserError(described.why)
    if debug:
        error.__cause__ = Elsewhere(described.outcome.traceback)
    raise error


def draft_and_try(
    evaluator: Evaluator, facts: tuple[ClassFacts, ClassFacts | None], folder: Path, deadline: float
) -> tuple[StudyDraft, FirstBatches]:
    """The study, and what a few batches of it tell; the module's own optimizer is kept where it has to be.

    Args:
        evaluator: Evaluates a `Draft`; it has been opened.
        facts: The module and the data module.
        folder: The folder for all files.
        deadline: When all trainings together must have ended, by `time.monotonic`.
    """
    model, data = facts
    draft = draft_study(model, data)
    if draft.needed:
        names = ", ".join(draft.needed)
        return draft, FirstBatches(problem=f"{names} without default: fill in")
    if data is None and not model.has_loaders:
        return draft, FirstBatches(problem=f"{model.path} has no train_dataloader: name a data module with --data")
    findings = _try(evaluator, draft, folder / "first", deadline)
    if draft.replaces and (findings.manual or findings.problem) and not findings.is_late:
        other = draft_study(model, data, may_replace=False)
        own = _try(evaluator, other, folder / "second", deadline)
        if not own.problem:
            return other, own
    return draft, findings


def _try(
    evaluator: Evaluator, draft: StudyDraft, folder: Path, deadline: float, *, returned: bool = False
) -> FirstBatches:
    """What a few batches tell; of a module that logs nothing, what its steps return is logged."""
    trainer = {"max_epochs": 1, **({"callbacks": [{"class_path": LOG_RETURNED}]} if returned else {})}
    sections = {**trial_sections(draft), "trainer": trainer, "early_stopping": False}
    left = max(1.0, deadline - time.monotonic())
    tried = try_point(evaluator, {SECTIONS_OF_TRIAL: sections}, folder, Patience(left, left))
    logged = {kind: list(names) for kind, names in logged_metrics(tried).items()}
    manual = any(stage.facts.get("manual") for stage in tried.stages)
    if tried.failed and not tried.fact(NOT_LOGGED):
        return FirstBatches(logged=logged, problem=_reason(tried), manual=manual, is_late=bool(tried.late))
    monitor = choose_monitor(logged["validation"], logged["training"])
    if monitor is None and not returned:
        return _try(evaluator, draft, folder.with_name(f"{folder.name}-returned"), deadline, returned=True)
    return FirstBatches(monitor=monitor, logged=logged, manual=manual, returned=returned and monitor is not None)


def _reason(tried: Tried) -> str:
    why = tried.why
    return why if len(why) <= _LONGEST_REASON else f"{why[: _LONGEST_REASON - 1]}…"


def _check_text(text: str, folder: Path, draft: StudyDraft) -> None:
    """Read the file as a search does; a refusal would be a bug of ours."""
    copy = folder / "study.yaml"
    copy.write_text(text, encoding="utf-8")
    try:
        command = parse_arguments([str(copy)], "evo run")
        if draft.active:
            Space(load_limits(command.config.limits or {}), command.config.constraints)
    except UserError as error:
        raise RuntimeError(f"the study file that was written is refused: {error}") from error


def summary_lines(draft: StudyDraft, findings: FirstBatches, file: str) -> list[str]:
    """What to tell of a file that was written.

    Args:
        draft: The study.
        findings: What its training has told.
        file: The name of the file.
    """
    names = [one.name for one in draft.active]
    lines = [f"evo: {file} is written; it searches {', '.join(names) or 'nothing yet: fill in limits'}"]
    if draft.replaces:
        lines.append("  note: its optimizer section takes the place of the module's configure_optimizers")
    if findings.monitor is not None:
        found = findings.monitor
        sure = "" if found.is_sure else ", a guess"
        source = f"its {found.stage}_step returns" if findings.returned else f"the module logs in {found.stage}"
        lines.append(f"  monitor {found.name} ({found.mode}{sure}), which {source}")
    elif findings.problem:
        lines.append(f"  to choose: monitor, since no training could be tried: {findings.problem}")
    else:
        lines.append("  to choose: monitor, since the module logs nothing: add self.log('val_loss', …) to it")
    lines += [f"  to fill in: {name} ({hint or 'no type'})" for name, hint in draft.needed.items()]
    return [*lines, f"  next: evo check {shlex.quote(file)}"]
