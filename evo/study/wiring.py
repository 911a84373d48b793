"""Session: the part of one rank in a study, from what is known to its result."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import msgspec

from evo.engine.exchange import Exchange
from evo.engine.loop import Effects, Turn, search
from evo.engine.transport import Transport, together
from evo.engine.worker import Worker
from evo.errors import Stuck, UserError
from evo.evaluation import (
    EvaluationSettings,
    Evaluator,
    InlineEvaluator,
    Opened,
    Team,
    TeamEvaluator,
    assist,
)
from evo.islands.migration import SelectionError
from evo.objective.definition import memory
from evo.objective.references import Named
from evo.population.events import AnyEvent, encode
from evo.population.population import Population
from evo.propagators.base import PropagatorError
from evo.pruning import PrunerError
from evo.report.course import Course
from evo.report.records import Findings
from evo.report.results import Conclusion, Result
from evo.report.screen import Screen
from evo.runtime.device import Placement, training_environment
from evo.runtime.signals import StopSignals
from evo.space.constraints import ConstraintError
from evo.space.examples import example_points
from evo.space.growth import Change
from evo.storage.checkpoints import Weights, sweep_states
from evo.storage.journal import Journal, Memory
from evo.storage.rundir import RunDirectory, Scratch, StudyRecord, study_forms
from evo.storage.states import StateTaker
from evo.study.beginning import begin_study, tell_changes
from evo.study.conclusion import StudyEnding, decode_conclusion, same_digest
from evo.study.config import Config
from evo.study.durations import parse_duration
from evo.study.inheritance import check_known, check_may_save, check_weights, remarks_on
from evo.study.joining import make_worker
from evo.study.listening import Listeners
from evo.study.plan import Plan
from evo.study.warm_start import learn_known
from evo.texts import as_path


class MistakeFound(UserError, Stuck):
    """Something of the user's is wrong, which could not be seen before the search."""

    status = 2


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session of a study on this rank, once all ranks agree on what is searched.

    Args:
        config: The settings.
        plan: What they amount to.
        study: What is searched, as it is recorded.
        directory: The folder with its files, if any are kept.
        transport: The connection to all other ranks.
        signals: May ask for a clean stop.
        screen: Prints for the user, on the first rank.
        place: The machine and the device on which this rank trains.
        turn: What a worker does in its turn.
    """

    config: Config
    plan: Plan
    study: StudyRecord
    directory: RunDirectory | Scratch
    transport: Transport
    signals: StopSignals
    screen: Screen
    place: Placement
    turn: Turn | None = None

    @cached_property
    def course(self) -> Course:
        """What has happened in the study, on the first rank if it prints; empty on others."""
        return Course(objectives=self.study.objectives)

    def steps(self, changes: list[Change]) -> Generator[None, None, Result]:
        """Go on where earlier sessions have ended, and search until the end, if there is anything left to do.

        Args:
            changes: How this session changes what the study searches.
        """
        course = self.course if self._is_first and not self.config.quiet else None
        worker = together(
            self.transport, lambda: make_worker(self.config, self.plan, self.study, self.directory, self.place, course)
        )
        self.course.heed(worker.population.set_aside)
        if changes and self._is_first:
            self.screen.limits_changed(changes, worker.population)
        known = learn_known(worker, self.plan.known, self.plan.known_at)
        for event in known:
            self.directory.remember(event)
            if course:
                course.add(event)
        self.signals.listen(worker.stopping.request)
        is_kept = isinstance(self.directory, RunDirectory)
        home = self.directory.individuals if isinstance(self.directory, RunDirectory) else None
        findings = Findings(self.directory.events, study_forms(self.study), home, self.study.objectives)
        listeners = Listeners(self.config, self.directory, worker.population, self.screen)
        earlier = conclusion = None if changes or known else self._concluded_earlier(worker)
        if conclusion is None:
            conclusion = yield from self._search(worker, findings, listeners, known)
            if self.study.definition.settings and self._is_first and not self.plan.separate:
                memory.remember(self.plan.objective, self.study.definition)
        elif self._is_first:
            tell_changes(self.study, self.directory, self.screen, self.config.strict)
        run_dir = as_path(str(self.directory)) if is_kept else None
        result = Result(**vars(conclusion), rank=self.transport.rank, run_dir=run_dir, findings=findings)
        if result.is_first:
            self.screen.end(result, self.plan.space.names, self.plan.archipelago.workers, self.transport.size)
        if earlier is None:
            listeners.end(result)
        return result

    @property
    def _is_first(self) -> bool:
        return self.transport.rank == 0

    def _concluded_earlier(self, worker: Worker) -> Conclusion | None:
        """What earlier sessions concluded, if no rank has anything left to do and the completion record is there."""
        reason = worker.stopping.why_complete
        tested = self.directory.tested() if reason else None
        digest = worker.population.digest() if self.config.debug else ""
        said = self.transport.gather(json.dumps([tested is not None, digest]))
        answers = [msgspec.json.decode(text, type=tuple[bool, str]) for text in said]
        if reason is None or tested is None or not all(is_complete for is_complete, _ in answers):
            return None
        return Conclusion(
            stop_reason=reason.text,
            stop_kind=reason.kind,
            nothing_completed=worker.population.best is None,
            digest=same_digest(digest for _, digest in answers),
            test=tested.test,
            tests=tested.tests,
        )

    def _search(
        self, worker: Worker, findings: Findings, listeners: Listeners, known: Sequence[AnyEvent]
    ) -> Generator[None, None, Conclusion]:
        """Record what is known, search, test the best individual and write the completion record.

        Every rank has read all journals before.
        """
        transport, directory = self.transport, self.directory
        team = Team(transport, self.config.ranks_per_worker)

        def is_interrupted() -> bool:
            return worker.stopping.why_now(time.time()) is not None

        session = transport.gather(secrets.token_hex(16))[0]
        made = together(transport, lambda: self._make_evaluator(team, session, is_interrupted))
        with closing(made) as evaluator:
            self._begin(evaluator, listeners, worker.population)
            number = worker.settings.worker
            journal = together(transport, lambda: directory.open_journal(number) if team.leaders else None)
            if team.leaders is None or journal is None:
                text, events = assist(team, evaluator)
                for event in events:
                    directory.remember(event)
            else:
                if number == 0:  # The others learn of the same results by themselves.
                    for event in known:
                        journal.append(encode(event))
                    journal.begin_session()  # So they are not among what is sent again after a death.
                team.leaders.attend()
                exchange = Exchange(team.leaders, self.plan.fan_out)
                text = yield from self._lead(worker, exchange, evaluator, journal, findings, listeners)
                team.dismiss(text, directory.events() if isinstance(directory, Scratch) else ())
            team.close()
        conclusion = decode_conclusion(text)
        transport.dead = transport.dead.union(conclusion.lost_ranks)
        return conclusion

    def _begin(self, evaluator: Evaluator, listeners: Listeners, population: Population) -> None:
        """Load the objective on all ranks; only then is anything written."""
        transport, space = self.transport, self.plan.space
        self.signals.listen_to_hurry(evaluator.hurry)

        def open_all() -> Opened:
            check_known(self.plan.propagators, population)
            found = evaluator.open(space.names, example_points(space))
            check_may_save(self.plan.propagators, self.plan.objective, found)
            check_weights(self.study.weights is not None, self.plan.objective, found)
            return found

        opened = together(transport, open_all)
        if self._is_first:
            plan = self.plan
            remarks = remarks_on(plan.propagators, plan.budget.evaluations, plan.archipelago.islands)
            self.screen.notes([*opened.notes, *remarks])

        def begin() -> None:
            if self._is_first:
                listeners.open()
                begin_study(self.study, opened.settings, self.directory, self.screen, self.config.strict)
                if population.states.any_left and isinstance(self.directory, RunDirectory):
                    sweep_states(population, self.directory.folder, self.directory.individuals)  # What a kill has left.

        together(transport, begin)

    def _lead(
        self,
        worker: Worker,
        exchange: Exchange,
        evaluator: Evaluator,
        journal: Journal | Memory,
        findings: Findings,
        listeners: Listeners,
    ) -> Generator[None, None, str]:
        """Search, as the first rank of a worker; returns what the first live rank has concluded."""
        number = worker.settings.worker
        folder, keep = self.directory.folder, self.config.keep_checkpoints
        progress = self.screen.progress(
            self.course, worker.population, lambda: exchange.is_first, self.directory.events
        )
        weights = Weights(worker.population, folder, number, keep, exchange.is_first)
        ending = StudyEnding(
            study=self.study,
            worker=worker,
            exchange=exchange,
            evaluator=evaluator,
            directory=self.directory,
            weights=weights,
            findings=findings,
            debug=self.config.debug,
            ranks=self.transport.size,
            by_keyboard=lambda: self.signals.by_keyboard,
        )
        watch = listeners.watch(weights, progress, lambda: exchange.is_first)
        effects = Effects(
            evaluator=evaluator,
            journal=journal,
            ending=ending,
            watch=watch,
            clock=time.time,
            turn=self.turn,
            take_state=StateTaker(folder, self.config.trust),
        )
        with closing(journal), closing(progress), listeners.unless_it_fails():
            try:
                return (yield from search(worker, exchange, effects))
            except (PropagatorError, PrunerError, SelectionError, ConstraintError) as error:
                raise MistakeFound(str(error)) from error

    def _make_evaluator(self, team: Team, session: str, is_interrupted: Callable[[], bool]) -> Evaluator:
        config, plan, folder = self.config, self.plan, self.directory.folder
        settings = EvaluationSettings(
            threads=self.place.threads,
            rank=team.place,
            size=team.size,
            checkpoint_interval=parse_duration("checkpoint_interval", config.checkpoint_interval),
            session=session,
            gpu_memory=config.gpu_memory,
            collective_timeout=parse_duration("collective_timeout", config.collective_timeout),
            time_limit=None if config.time_limit is None else parse_duration("time_limit", config.time_limit),
            grace=parse_duration("grace", config.grace),
            trust=config.trust,
            weights=self.study.weights.path if self.study.weights else "",
            objectives=plan.objectives,
        )
        evaluator: Evaluator
        if plan.separate:
            from evo.evaluation.process import ProcessEvaluator  # It loads multiprocessing, which others do not need.

            environment = training_environment(os.environ, self.place.environment)
            evaluator = ProcessEvaluator(plan.objective, folder, environment, settings, is_interrupted)
        else:
            assert not isinstance(plan.objective, Named)
            environment = dict(self.place.environment)
            evaluator = InlineEvaluator(plan.objective, folder, environment, settings, team, is_interrupted)
        return TeamEvaluator(evaluator, team, folder) if team.size > 1 and team.leaders else evaluator
