"""`evo train`: an individual trained again with its own seed, beside what the search has recorded of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evo.errors import UserError
from evo.population.objectives import Objectives
from evo.population.outcome import Outcome
from evo.posthoc.chain import SegmentChain, TrainedSegment
from evo.posthoc.figures import figures_text
from evo.posthoc.past import check_parameters, find_objective, find_results, make_folder, recorded_in, trained_folder
from evo.posthoc.schedules import TrainingPlan, checked_plan, plan_digest, planned, read_plan, segment_seeds
from evo.posthoc.single import SingleEvaluator
from evo.randomness import training_seed
from evo.report.columns import columns_text
from evo.report.lineages import LineageSegment, steps_text
from evo.report.reading import Run, load
from evo.report.records import Evaluation
from evo.report.tables import number_text
from evo.storage.rundir import RunDirectory
from evo.texts import as_path, printable


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What `evo train` is asked for.

    Args:
        run: The run directory.
        individual: Rank and generation of the individual. None means the best; with several objectives, the knee.
        schedule: A YAML file with a schedule, which is trained instead.
        seed: The seed of the training, from which those of its segments follow. None means that of the individual, and
            of each of its segments, or of the schedule.
        objective: The name of the search's objective. None means the one that study.json names.
        trust: Whether other users' checkpoints are loaded in full, and the code that their run directory names.
        results: The folder for everything that is written, in place of the run directory. None means that itself.
    """

    run: str
    individual: str | None = None
    schedule: str | None = None
    seed: int | None = None
    objective: str | None = None
    trust: bool = False
    results: str | None = None


def train_again(asked: TrainingRequest) -> None:
    """Train an individual again in RUN/trained/R-G, print its loss beside the recorded one, and write trained.json.

    An individual that goes on from others is trained from the start: segment after segment, with the hyperparameters
    and the seed that each of them had.

    Args:
        asked: What is trained.

    Raises:
        UserError: Something that was asked for does not exist or does not fit.
        PosthocError: The training failed.
        Interrupted: A signal stopped it, and it has saved its state.
    """
    past = load(asked.run)
    directory = find_results(past, asked.results)
    if asked.schedule is not None:
        _train_schedule(past, directory, asked, asked.schedule)
        return
    recorded = past.find(asked.individual)
    lineage = past.lineage(recorded.name)
    named = [(segment.name, segment.params) for segment in lineage] or [(recorded.name, recorded.params)]
    for name, params in named:
        check_parameters(params, f"individual {name}", recorded_in(past), asked.trust)
    if lineage and lineage[0].begin:
        raise UserError(
            f"individual {recorded.name} of {past.name} cannot be trained from the start: its lineage is known from "
            f"step {lineage[0].begin} only, because a damaged journal has lost what was before"
        )
    folder = trained_folder(directory, recorded)
    if asked.seed is not None:
        folder = folder.with_name(f"{folder.name}-seed-{asked.seed}")
    train = _train_lineage if lineage else _train_whole
    train(past, directory, asked, _Again(recorded, lineage, folder))


@dataclass(frozen=True)
class _Again:
    """An individual that is trained again, and where."""

    recorded: Evaluation
    lineage: Sequence[LineageSegment]
    folder: Path


def _train_whole(past: Run, directory: RunDirectory, asked: TrainingRequest, again: _Again) -> None:
    recorded, name = again.recorded, f"individual {again.recorded.name}"
    minimised = find_objective(past, asked.objective, asked.trust)
    make_folder(again.folder)
    with SingleEvaluator(past, minimised, asked.trust) as evaluator:
        print(f"training {name} of {past.directory} again{_with_seed(asked)}", flush=True)
        outcome = evaluator.train(name, recorded.individual, recorded.params, again.folder, asked.seed)
    values = [_values(past.study.objectives, each) for each in (recorded, outcome)]
    columns = {
        "recorded": {**values[0], **recorded.metrics, "seconds": recorded.seconds, **values[0]},
        "again": {**values[1], **outcome.metrics, "seconds": outcome.seconds, **values[1]},
    }
    print(figures_text(columns))
    found = {
        "individual": recorded.individual,
        "params": recorded.params,
        "loss": outcome.loss,
        **({"objectives": values[1]} if outcome.losses else {}),
        "metrics": outcome.metrics,
        "seconds": outcome.seconds,
        "recorded": {"status": recorded.status, "loss": recorded.loss, "metrics": recorded.metrics},
        **({} if asked.seed is None else {"seed": asked.seed}),
    }
    place = _write(directory, again.folder, found)
    print(f"{_comparison(recorded, values, asked.seed is not None)}; its files are in {place}")


def _train_lineage(past: Run, directory: RunDirectory, asked: TrainingRequest, again: _Again) -> None:
    recorded = again.recorded
    minimised = find_objective(past, asked.objective, asked.trust)
    plan = TrainingPlan(planned(again.lineage), asked.seed)
    seeds = [training_seed(past.study.seed, segment.individual) for segment in again.lineage]
    if asked.seed is not None:
        seeds = segment_seeds(asked.seed, plan)
    chain = SegmentChain(f"individual {recorded.name}", plan, seeds, again.folder)
    with SingleEvaluator(past, minimised, asked.trust) as evaluator:
        many = f"{len(again.lineage)} segments" if len(again.lineage) > 1 else "one segment"
        what = f"training individual {recorded.name} of {past.directory} again, {many} from the start"
        print(f"{what}{_with_seed(asked)}", flush=True)
        trained = chain.train(evaluator)
    losses = {segment.until: segment.loss for segment in again.lineage}
    print(_segments_text(trained, losses))
    found = {
        "individual": recorded.individual,
        **_found(trained, plan, seeds),
        "recorded": {"status": recorded.status, "loss": recorded.loss, "metrics": recorded.metrics},
    }
    _write(directory, again.folder, found)
    values = [{"loss": each.loss} for each in (recorded, trained[-1])]
    compared = _comparison(recorded, values, asked.seed is not None)
    print(f"{compared}; its files are in {_shown(chain, directory)}")


def _train_schedule(past: Run, directory: RunDirectory, asked: TrainingRequest, file: str) -> None:
    try:
        text = as_path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"schedule {file} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    plan = read_plan(text, f"schedule {file}")
    unknown = {name for segment in plan.segments for name in segment.params} - set(past.study.limits)
    if unknown:
        raise UserError(
            f"schedule {file} has the parameter {min(unknown)!r}, which {past.name} does not search; it searches "
            + ", ".join(past.study.limits)
        )
    for segment in plan.segments:
        check_parameters(segment.params, f"schedule {file}", [as_path(file)], asked.trust)
    plan = checked_plan(plan, past.study.limits, f"schedule {file}")
    own = training_seed(past.study.seed, (0, 0)) if plan.seed is None else plan.seed
    seed = own if asked.seed is None else asked.seed
    minimised = find_objective(past, asked.objective, asked.trust)
    name = re.sub(r"[^\w.+-]+", "_", as_path(file).stem)
    # Another schedule has another folder, so that files of one name, or a corrected one, do not meet.
    name = f"schedule-{name}-{plan_digest(plan)}" + ("" if asked.seed is None else f"-seed-{seed}")
    folder, seeds = directory.path / "trained" / name, segment_seeds(seed, plan)
    chain = SegmentChain(f"schedule {file}", plan, seeds, folder)
    with SingleEvaluator(past, minimised, asked.trust) as evaluator:
        print(printable(f"training schedule {file} with the objective of {past.directory}, seed {seed}"), flush=True)
        trained = chain.train(evaluator)
    print(_segments_text(trained, {}))
    _write(directory, folder, _found(trained, plan, seeds))
    print(f"loss {number_text(trained[-1].loss)}; its files are in {_shown(chain, directory)}")


def _found(trained: Sequence[TrainedSegment], plan: TrainingPlan, seeds: Sequence[int]) -> dict[str, Any]:
    return {
        "params": plan.segments[len(trained) - 1].params,
        "loss": trained[-1].loss,
        "metrics": trained[-1].metrics,
        "seconds": sum(segment.seconds for segment in trained),
        "segments": [
            {"begin": one.begin, "until": one.until, "loss": one.loss, "params": part.params, "seed": seed}
            for one, part, seed in zip(trained, plan.segments, seeds, strict=False)
        ],
    }


def _segments_text(trained: Sequence[TrainedSegment], recorded: Mapping[int, float | None]) -> str:
    """The losses of all segments, beside those that are recorded, if there are any."""
    head = ["steps", *(["recorded"] if recorded else []), "again" if recorded else "loss"]
    rows = [head]
    for segment in trained:
        before = [number_text(recorded.get(segment.until))] if recorded else []
        rows.append([steps_text(segment.begin, segment.until), *before, number_text(segment.loss)])
    return columns_text(rows, right=range(1, len(head)))


def _write(directory: RunDirectory, folder: Path, found: Mapping[str, Any]) -> str:
    """Write trained.json; returns the folder as messages call it."""
    place = f"trained/{folder.name}"
    directory.write(f"{place}/trained.json", found)
    return f"{directory}/{place}"


def _shown(chain: SegmentChain, directory: RunDirectory) -> str:
    """The folder with the weights as messages call it."""
    return f"{directory}/{chain.place.relative_to(directory.path)}"


def _with_seed(asked: TrainingRequest) -> str:
    return "" if asked.seed is None else f", with seed {asked.seed}"


def _values(objectives: Objectives, found: Evaluation | Outcome) -> dict[str, Any]:
    """The loss, or the values of all objectives by name, as far as they are known."""
    if found.loss is None or (objectives.are_several and not found.losses):
        return {} if objectives.modes else {"loss": found.loss}
    return dict(objectives.values(found.losses or (found.loss,)))


def _comparison(recorded: Evaluation, values: Sequence[Mapping[str, Any]], has_other_seed: bool) -> str:
    """What is to be said of a training that was repeated, whose values are the second ones, and were the first ones."""
    if recorded.status != "completed":
        return f"the one recorded is {recorded.status}{f' ({printable(recorded.error)})' if recorded.error else ''}"
    before, now = values
    differ = [name for name in before if before[name] != now.get(name)]
    if not differ:
        return f"the same {'loss' if list(before) == ['loss'] else 'values'} as recorded"
    what = f"another {' and another '.join(differ)} than recorded"
    if has_other_seed:
        return f"{what}, as another seed may give"
    return f"{what}, as another device, number of threads or version may give"
