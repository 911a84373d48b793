"""Callbacks and commands of the user's: told once of everything, and unable to hurt a search."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from helpers import wait_until
from records import finished, started

import evo
from evo.population.events import AnyEvent, Joined, Reported
from evo.population.identity import Identity
from evo.population.objectives import ONE_LOSS, Objectives, make_objectives
from evo.population.population import Population
from evo.population.reason import StopKind
from evo.report.callbacks import Announcer, Callback, make_callbacks
from evo.report.records import Evaluation, Findings
from evo.report.results import Result
from evo.report.shell import Hook, Shell, ShellCommands
from evo.space.space import Space

SPACE = Space({"x": (0.0, 1.0)})


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] = []

    def on_started(self, evaluation: Evaluation) -> None:
        self.entries.append(("started", evaluation.name, evaluation.status, dict(evaluation.params)))

    def on_reported(self, evaluation: Evaluation, step: int, loss: float) -> None:
        self.entries.append(("reported", evaluation.name, step, loss))

    def on_finished(self, evaluation: Evaluation) -> None:
        self.entries.append(("finished", evaluation.name, evaluation.status, evaluation.loss))

    def on_improved(self, evaluation: Evaluation) -> None:
        self.entries.append(("improved", evaluation.name, evaluation.loss))

    def on_end(self, result: Result) -> None:
        self.entries.append(("end", result.stop_reason))


class Broken(Callback):
    """Fails when it is told that something has finished."""

    def on_finished(self, evaluation: Evaluation) -> None:
        evaluation.params.clear()
        raise SystemExit(evaluation.name)


class Sleepy(Callback):
    """Lets time pass."""

    def __init__(self, clock: Callable[[float], None]) -> None:
        self._pass = clock

    def on_started(self, evaluation: Evaluation) -> None:
        self._pass(7.0)


class Search:
    """Applies events to a population and shows them to callbacks, as a search does."""

    def __init__(self, *callbacks: Callback) -> None:
        self.now = 0.0
        self.warnings: list[str] = []
        self.population = Population(SPACE)
        self.announcer = Announcer(lambda: callbacks, self.population, Path("run"), self.warnings.append, self.clock)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def show(self, *events: AnyEvent, speaks: bool = True) -> None:
        for event in events:
            self.population.apply(event)
            self.announcer(event, speaks)


def reported(identity: Identity, step: int, loss: float) -> Reported:
    return Reported(time=0.0, individual=identity, step=step, loss=loss)


EVENTS: list[AnyEvent] = [
    started((0, 0), {"x": 0.5}),
    started((1, 0), {"x": 0.25}),
    reported((1, 0), 0, 9.0),
    finished((0, 0), 2.0),
    finished((1, 0), None),
    started((1, 1), {"x": 0.75}),
    finished((1, 1), 0.5, "pruned"),
    started((0, 1), {"x": 0.125}),
    finished((0, 1), None, "interrupted"),
    started((0, 1), {"x": 0.125}),
    finished((0, 1), 1.0),
]
TOLD = [
    ("started", "0-0", "running", {"x": 0.5}),
    ("started", "1-0", "running", {"x": 0.25}),
    ("reported", "1-0", 0, 9.0),
    ("finished", "0-0", "completed", 2.0),
    ("improved", "0-0", 2.0),
    ("finished", "1-0", "failed", None),
    ("started", "1-1", "running", {"x": 0.75}),
    ("finished", "1-1", "pruned", 0.5),
    ("started", "0-1", "running", {"x": 0.125}),
    ("finished", "0-1", "completed", 1.0),
    ("improved", "0-1", 1.0),
]


class Seen(Callback):
    """Keeps what has finished."""

    def __init__(self) -> None:
        self.evaluations: list[Evaluation] = []

    def on_finished(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)


def test_a_callback_sees_an_individual_as_readers_of_the_journals_do() -> None:
    seen = Seen()
    joined = Joined(time=0.0, rank=0, ranks=1, host="a", device="cpu", ranks_per_worker=2)
    events = [joined, *EVENTS]
    Search(seen).show(*events)
    read = {one.name: one for one in Findings(lambda: events, home=Path("run")).individuals}
    assert [msgspec.structs.astuple(one) for one in seen.evaluations] == [
        msgspec.structs.astuple(read[one.name]) for one in seen.evaluations
    ]
    assert {one.evaluator for one in seen.evaluations if one.rank == 0} == {"worker 0"}


def test_with_several_objectives_who_enters_the_front_has_improved() -> None:
    diary = Diary()
    search = Search(diary)
    values = [((2.0, 2.0), 0.5), ((2.0, 2.0), 0.0), ((3.0, 3.0), 0.0), ((3.0, 1.0), 0.0), ((1.0, 1.0), 0.1)]
    for number, (losses, violation) in enumerate(values):
        who, more = (1, number), {"losses": losses, "violation": violation}
        search.show(started(who, {"x": number / 10}), finished(who, losses[0], **more))
    # One with a lower name that is as good takes the place of another one, which is no news.
    search.show(started((0, 0), {"x": 0.9}), finished((0, 0), 3.0, losses=(3.0, 1.0)))
    assert [name for what, name, *_ in diary.entries if what == "improved"] == ["1-0", "1-1", "1-3"]
    assert [one.identity for one in search.population.front] == [(1, 1), (0, 0)]


def test_a_callback_is_told_once_of_everything_though_events_come_again_after_a_death() -> None:
    diary = Diary()
    search = Search(diary)
    search.show(*EVENTS, *EVENTS)
    assert diary.entries == TOLD
    assert search.warnings == []


def test_a_result_that_is_known_from_elsewhere_is_no_news_but_must_be_improved_on() -> None:
    diary = Diary()
    search = Search(diary)
    known = [msgspec.structs.replace(started((1, 5), {"x": 0.625}), origin="elsewhere"), finished((1, 5), 1.5)]
    for event in known:
        search.population.apply(event)
    search.announcer = Announcer(lambda: [diary], search.population, Path("run"), search.warnings.append, search.clock)
    search.show(*known, *EVENTS)  # They come again after a death where no files are kept.
    assert diary.entries == [entry for entry in TOLD if entry != ("improved", "0-0", 2.0)]


def test_as_good_as_the_best_is_no_improvement() -> None:
    diary = Diary()
    tied = [started((1, 0), {"x": 0.5}), started((0, 0), {"x": 0.25}), finished((1, 0), 0.5), finished((0, 0), 0.5)]
    Search(diary).show(*tied)
    assert [entry for entry in diary.entries if entry[0] == "improved"] == [("improved", "1-0", 0.5)]


def test_the_successor_of_the_first_rank_goes_on_where_that_has_died() -> None:
    diary = Diary()
    search = Search(diary)
    search.show(*EVENTS[:7], speaks=False)
    search.show(*EVENTS)
    assert diary.entries == TOLD[8:]


def test_a_callback_that_fails_is_called_no_more_and_changes_nothing_for_the_search_or_for_others() -> None:
    diary, broken = Diary(), Broken()
    search = Search(broken, diary)
    search.show(*EVENTS)
    assert diary.entries == TOLD
    (warning,) = search.warnings
    assert warning.startswith("callback Broken.on_finished fails: SystemExit: 0-0 (")
    assert f"{Path(__file__).name}, line " in warning
    assert "raise SystemExit(evaluation.name)); it is called no more, and the search goes on" in warning
    assert EVENTS[0].params == {"x": 0.5}  # type: ignore[union-attr]


def test_a_slow_callback_is_remarked_upon_once() -> None:
    search = Search()
    search.announcer = Announcer(
        lambda: [Sleepy(search.wait)], search.population, Path("run"), search.warnings.append, search.clock
    )
    search.show(*EVENTS)
    (warning,) = search.warnings
    assert warning.startswith("callback Sleepy.on_started took 7 s, in which this rank has started nothing")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (3, "callbacks is 3: give a list"),
        ([3], "callbacks has 3: give a list"),
        ([Diary], "callbacks has the class Diary: give one that is made, Diary(...)"),
        ({"name": "x"}, "callbacks has {'name': 'x'}"),
        ("no.such.Class", "there is no module 'no.such'"),
        ("test_callbacks.Search", "is no subclass of evo.Callback; test_callbacks has Broken, Callback, "),
        ({"class_path": "test_callbacks.Diary", "init_args": {"page": 1}}, "'page' is 1, but it takes no arguments"),
        ({"class_path": "test_callbacks.Sleepy"}, "clock is missing"),
    ],
)
def test_what_is_no_callback_is_refused_with_the_form_that_is_meant(given: Any, words: str) -> None:
    with pytest.raises(evo.UserError) as caught:
        make_callbacks(given)
    assert words in str(caught.value)


def test_callbacks_are_made_of_import_paths_of_mappings_and_of_themselves() -> None:
    diary = Diary()
    made = make_callbacks([diary, "test_callbacks.Diary", {"class_path": "test_callbacks.Broken"}])
    assert made[0] is diary
    assert [type(each).__name__ for each in made] == ["Diary", "Diary", "Broken"]
    assert make_callbacks(None) == []


def test_a_search_of_a_program_tells_its_callbacks_of_the_beginning_and_the_end(tmp_path: Path) -> None:
    diary = Diary()
    limits = {"x": (0.0, 1.0)}
    for evaluations in (3, 5, 5):  # The last one has nothing left to search.
        evo.minimize(
            lambda params: float(params["x"]), limits, evaluations=evaluations, callbacks=[diary], run_dir=tmp_path
        )
    kinds = [entry[0] for entry in diary.entries]
    assert {kind: kinds.count(kind) for kind in ("started", "finished", "end")} == {
        "started": 5,
        "finished": 5,
        "end": 2,
    }
    losses = [entry[2] for entry in diary.entries if entry[0] == "improved"]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"on_end": 3}, "on_end is 3: give a command for the shell"),
        ({"on_improvement": " "}, "on_improvement is ' ': give a command"),
        ({"command_timeout": "soon"}, "command_timeout is 'soon'"),
    ],
)
def test_a_setting_of_commands_that_cannot_be_is_refused(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(evo.UserError, match=words):
        evo.Config(**setting)


class Shelled:
    """Commands that write into a folder."""

    def __init__(
        self,
        folder: Path,
        improvement: str | None,
        end: str | None = None,
        timeout: float = 20.0,
        objectives: Objectives = ONE_LOSS,
    ) -> None:
        self.warnings: list[str] = []
        self.log = folder / "commands.log"
        environment = {"PATH": os.environ["PATH"], "KEPT": "1"}
        shell = Shell(environment=environment, log=self.log, timeout=timeout, warn=self.warnings.append)
        self.commands = ShellCommands(improvement, end, shell, lambda: 7, str(folder), objectives)

    def improve(self, number: int, **params: Any) -> None:
        self.commands.on_improved(
            Evaluation(individual=(0, number), params=params, status="completed", loss=1.0 / number)
        )

    def end(self, kind: StopKind = StopKind.EVALUATIONS) -> None:
        known = msgspec.structs.replace(started((0, 9), {"x": 0.75}), origin="elsewhere")
        events = [started((3, 1), {"x": 0.5}), finished((3, 1), 0.25), known, finished((0, 9), 0.5)]
        findings = Findings(lambda: events)
        self.commands.on_end(Result(stop_reason="it is over", stop_kind=kind, rank=0, run_dir=None, findings=findings))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_command_gets_its_values_in_a_clean_environment_and_what_it_prints_is_kept(folder: Path) -> None:
    shelled = Shelled(
        folder, 'echo "$EVO_INDIVIDUAL $EVO_LOSS $EVO_EVALUATIONS $KEPT"; printf %s "$EVO_PARAMS"; cat', "env; exit 3"
    )
    shelled.improve(2, x=0.5, name='ü"\n\x1b', big="z")
    shelled.end()
    text = shelled.log.read_text()
    assert '0-2 0.5 7 1\n{"x": 0.5, "name": "\\u00fc\\"\\n\\u001b", "big": "z"}' in text
    for line in ("EVO_STOP_REASON=it is over", "EVO_STOP_KIND=evaluations", "EVO_INDIVIDUAL=3-1", "EVO_EVALUATIONS=1"):
        assert f"\n{line}\n" in text
    assert "OMPI" not in text
    assert text.index("0-2 has loss 0.5") < text.index("on_end: it is over")
    (warning,) = shelled.warnings
    assert warning == f"on_end: the command ended with status 3; {shelled.log} has what it printed"


def test_commands_get_all_values_and_the_last_one_those_of_the_knee(folder: Path) -> None:
    objectives = make_objectives({"accuracy": "max", "size": "min"}, {"memory": "<= 2"})
    shelled = Shelled(folder, None, 'echo "$EVO_INDIVIDUAL $EVO_OBJECTIVES $EVO_VIOLATION $EVO_LOSS"', 20.0, objectives)
    losses = [(-0.5, 0.0), (-0.875, 1.0), (-1.0, 5.0)]
    events = [started((0, number), {"x": 0.5}) for number in range(3)]
    ends = [finished((0, number), each[0], losses=each) for number, each in enumerate(losses)]
    findings = Findings(lambda: [*events, *ends], objectives=objectives)
    kind = StopKind.EVALUATIONS
    shelled.commands.on_end(Result(stop_reason="over", stop_kind=kind, rank=0, run_dir=None, findings=findings))
    assert '0-1 {"accuracy": 0.875, "size": 1.0} 0.0 -0.875' in shelled.log.read_text()


def test_of_the_improvements_that_wait_for_a_command_only_the_newest_gets_one(folder: Path) -> None:
    shelled = Shelled(folder, "echo $EVO_INDIVIDUAL >> said; while [ ! -e go ]; do sleep 0.01; done")
    for number in range(1, 6):
        shelled.improve(number)
        wait_until(lambda: Path("said").exists() and Path("said").read_text() == "0-1\n")
    Path("go").touch()
    shelled.end()
    assert Path("said").read_text() == "0-1\n0-5\n"
    assert shelled.warnings == []


def test_a_command_that_hangs_is_killed_with_all_that_it_started(folder: Path) -> None:
    shelled = Shelled(folder, "sleep 100 & echo $! > child; wait", timeout=0.3)
    shelled.improve(1)
    shelled.end()
    child = int(Path("child").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    assert shelled.warnings[0].startswith("on_improvement: the command was killed because it took longer than 0.3 s")


def test_nothing_waits_long_for_a_command_when_the_search_was_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evo.report.shell._HURRIED", 0.3)
    shelled = Shelled(folder, "sleep 100", "sleep 100")
    shelled.improve(1)
    began = time.monotonic()
    shelled.end(StopKind.REQUESTED)
    assert time.monotonic() - began < 30
    assert {warning.partition(":")[0] for warning in shelled.warnings} <= {"on_improvement", "on_end"}


def test_no_command_keeps_a_later_one_from_being_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    hook = Hook(
        "on_end", 'printf %s "$EVO_IT" > said', Shell(environment={}, log=None, timeout=9.0, warn=warnings.append)
    )

    def run(value: str) -> None:
        hook.run({"EVO_IT": value}, "it \ud800 ended")
        wait_until(lambda: hook._thread is None)

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", _fails)
        run("a")
    assert warnings == ["on_end cannot be run: RuntimeError: no"]
    run("\ud800 ü")  # No locale has half of a character.
    assert Path(folder / "said").read_text() == "\\ud800 ü"


def _fails(*_: object, **__: object) -> None:
    raise RuntimeError("no")


@pytest.mark.parametrize("log", ["/dev/full", "absent/commands.log"])
def test_a_command_is_run_also_where_its_log_cannot_be_written(folder: Path, log: str) -> None:
    warnings: list[str] = []
    hook = Hook(
        "on_end", "touch ran && exit 3", Shell(environment={}, log=Path(log), timeout=9.0, warn=warnings.append)
    )
    hook.run({}, "it ended")
    hook.finish(9.0)
    assert Path("ran").exists()
    assert warnings == ["on_end: the command ended with status 3"]


def test_a_value_that_is_too_long_for_a_variable_is_left_out(folder: Path) -> None:
    shelled = Shelled(folder, 'echo "got ${#EVO_PARAMS}"')
    shelled.improve(1, text="x" * 200_000)
    shelled.end()
    assert "got 0\n" in shelled.log.read_text()
    assert shelled.warnings == []
