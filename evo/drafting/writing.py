"""A drafted study as the text of its file: short lines, each with what it means."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evo.drafting.sections import DraftedSection, SearchedArgument, StudyDraft, about
from evo.objective.facts import ArgumentFact
from evo.rehearsal.monitor import Monitor
from evo.report.yaml_text import yaml_text
from evo.texts import printable

_FEWEST, _MOST, _FOR_EACH = 20, 100, 10  # Evaluations, and how many for each parameter.
_PLACE = 46  # The column of comments behind short lines.
FILL_IN = "FILL IN"
LOG_RETURNED = "evo.lightning.LogReturned"


@dataclass(frozen=True, kw_only=True)
class FirstBatches:
    """What a training of a few batches has told.

    Args:
        monitor: The metric that serves as the loss. None means that there is none.
        logged: The names of the metrics, by where they are logged.
        problem: Why there was no training; empty when there was one.
        returned: Whether it is not logged by the module, but returned by its steps.
        manual: Whether the module optimizes by itself, so that the Trainer must not clip gradients.
        is_late: Whether the problem is that it took too long.
    """

    monitor: Monitor | None = None
    logged: Mapping[str, Sequence[str]] | None = None
    problem: str = ""
    returned: bool = False
    manual: bool = False
    is_late: bool = False


def study_text(draft: StudyDraft, findings: FirstBatches, command: str, file: str) -> str:
    """The text of a study file.

    Args:
        draft: The study.
        findings: What is known of its training.
        command: The command that writes it, for its first line.
        file: The name of the file.
    """
    search = f"python -m evo.run {shlex.quote(file)}"
    lines = [
        f"# Written by: {command}",
        f"#   evo check {shlex.quote(file)}    makes everything and trains a few batches, before a job is queued",
        f"#   mpirun -N 2 {search}    searches on 2 ranks; with Slurm: srun --mpi=pmix {search}",
        "# What stands behind # is not set. evo run --help explains every setting.",
    ]
    if draft.needed:
        lines.append(f"# {FILL_IN} what has no default: {', '.join(draft.needed)}")
    for part in (
        _section_lines("model", draft.model, draft.needed),
        _section_lines("data", draft.data, draft.needed) if draft.data else [],
        _optimizer_lines(draft),
        _limit_lines(draft),
        _trainer_lines(findings),
        _monitor_lines(findings),
        _budget_lines(draft),
    ):
        lines += ["", *part] if part else []
    return "\n".join(printable(line) for line in lines) + "\n"


def _section_lines(kind: str, section: DraftedSection, needed: Mapping[str, str]) -> list[str]:
    inner = [line for name, value in section.given.items() for line in _yaml_lines({name: value}, "    ")]
    inner += _argument_lines(kind, section.set_aside, needed)
    return [f"{kind}:", f"  class_path: {scalar(section.path)}", *(["  init_args:", *inner] if inner else [])]


def _argument_lines(kind: str, arguments: Sequence[ArgumentFact], needed: Mapping[str, str]) -> Iterator[str]:
    """The arguments that have no value here, as comments: to be filled in, or with their defaults."""
    written: set[str] = set()
    for fact in arguments:
        *groups, name = fact.name.split(".")
        for depth in range(1, len(groups) + 1):
            if (group := ".".join(groups[:depth])) not in written:  # The fields of a dataclass stand below it.
                written.add(group)
                line = f"    # {'  ' * (depth - 1)}{scalar(groups[depth - 1])}:"
                yield _aligned(line, "none, unless a field is set") if fact.is_off else line
        place = f"    # {'  ' * len(groups)}{scalar(name)}:"
        if f"{kind}.{fact.name}" in needed:
            yield _aligned(place, f"{FILL_IN}: {fact.hint or 'no type'}, no default{_example(fact)}")
        elif fact.shown or fact.needed:
            yield _aligned(place, about(fact))
        else:
            yield _aligned(f"{place} {flow(fact.default)}", fact.hint or "no type")


def _example(fact: ArgumentFact) -> str:
    """How to write a value of this kind, where that is not plain."""
    if fact.kind in ("module", "class"):
        return "; for example {class_path: package.Class, init_args: {size: 64}}"
    return "; {class_path: torch.optim.lr_scheduler.…}" if fact.kind == "scheduler" else ""


def _optimizer_lines(draft: StudyDraft) -> list[str]:
    if not draft.optimizer:
        return []
    why = "the module configures none itself"
    if draft.replaces:
        why = "it takes the place of the module's own, since the module takes nothing else worth searching"
    return [f"optimizer:  # {why}", f"  class_path: {draft.optimizer}", "# lr_scheduler: {class_path: …}"]


def _limit_lines(draft: StudyDraft) -> list[str]:
    lines = ["limits:  # what is searched; where every one has a default, these are evaluated first"]
    if not draft.active:
        lines = [f"# limits:  # {FILL_IN} what is searched"]
    lines += [_limit_line(one) for one in draft.searched]
    if draft.constraints:
        lines += ["", "constraints:  # points that violate one are never evaluated"]
        lines += [f"  - {scalar(text)}" for text in draft.constraints]
    return lines


def _limit_line(one: SearchedArgument) -> str:
    return _aligned(f"  {'' if one.is_active else '# '}{scalar(one.name)}: {flow(one.limit)}", one.about)


def _trainer_lines(findings: FirstBatches) -> list[str]:
    lines = [
        "trainer:  # arguments of Lightning's Trainer",
        _aligned("  max_epochs: 10", "the most epochs of a training"),
    ]
    if not findings.manual:
        lines.append(_aligned("  # gradient_clip_val: 1.0", "or searched: trainer.gradient_clip_val in limits"))
    if findings.returned:
        lines += [
            "  callbacks:",
            _aligned(f"    - class_path: {LOG_RETURNED}", "the module logs nothing: this logs what its steps return"),
        ]
    return [*lines, _aligned("  # precision: bf16-mixed", "where the GPU has it")]


def _monitor_lines(findings: FirstBatches) -> list[str]:
    monitor = findings.monitor
    lines = []
    for kind, names in (findings.logged or {}).items():
        if names:
            lines.append(f"# logged in {kind}: {', '.join(names)}")
    if findings.problem:
        lines.append(f"# To be chosen, since a training of a few batches failed: {findings.problem}")
    if monitor is None:
        if not findings.problem:
            lines.append(
                "# The module logs nothing, and returns no loss: add self.log('val_loss', loss) to its validation_step."
            )
        return [
            *lines,
            _aligned("monitor: val_loss", "the metric that is the loss: a guess"),
            _aligned("mode: min", "max, if larger is better"),
        ]
    why = "the metric that is the loss" + ("" if monitor.stage == "validation" else ", of training")
    sure = "smaller is better" if monitor.mode == "min" else "larger is better"
    guess = "" if monitor.is_sure else "; a guess, since its name does not say"
    return [
        *lines,
        _aligned(f"monitor: {scalar(monitor.name)}", why),
        _aligned(f"mode: {monitor.mode}", sure + guess),
    ]


def _budget_lines(draft: StudyDraft) -> list[str]:
    count = min(_MOST, max(_FEWEST, _FOR_EACH * len(draft.active)))
    return [
        _aligned("early_stopping: {patience: 3}", "a training ends when the metric has not improved for 3 epochs"),
        _aligned("pruning: median", "ends what is worse than half of the others were; or halving, curve, none"),
        "",
        _aligned(f"evaluations: {count}", "how many trainings, all ranks together"),
        _aligned("walltime: 1h", "the search stops after this time, and goes on when it is run again"),
        _aligned("# time_limit: 10m", "a training that takes longer fails"),
        _aligned("# propagator: portfolio", "how individuals are bred: tpe, cmaes, genetic, random, …"),
        _aligned(
            "# propagator: {name: pbt, interval: 1}", "an evaluation is an epoch, weights are inherited; no pruning"
        ),
        *_changeable_lines(draft),
    ]


def _changeable_lines(draft: StudyDraft) -> list[str]:
    names = ", ".join(each.name for each in draft.changeable)
    return (
        [f"#   With mutable: true in its limit, each of these may change in a training then: {names}"] if names else []
    )


def _aligned(line: str, comment: str) -> str:
    return f"{line:<{_PLACE}}  # {comment}"


def _yaml_lines(value: Any, indent: str) -> list[str]:
    return [f"{indent}{line}" for line in yaml_text(value).splitlines()]


def flow(value: Any) -> str:
    """A value as YAML in one line, which every reader takes for what it is.

    Example:
        >>> print(flow({"type": "float", "low": 1e-05, "high": 0.1, "log": True, "names": ["relu", "on"]}))
        {type: float, low: 1.0e-05, high: 0.1, log: true, names: [relu, "on"]}
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(str(name))}: {flow(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A text, number, true, false or null as YAML, within a list or mapping too."""
    return yaml_text({"x": value}).removeprefix("x: ")
