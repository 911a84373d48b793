"""What the user can mend is one line with the place in the user's code; a bug of evo's own is a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Ended, Launcher, call

import evo
import evo.storage.repair
from evo.engine.transport import Serial, together
from evo.errors import MISTAKEN, SharedError, UserError
from evo.frames import blamed, definition_of, one_line, place_of, told, whole_traceback
from evo.population.individual import Active, Individual
from evo.propagators import InitUniform
from evo.space.space import Space
from evo.study.wiring import MistakeFound

LIBRARY = """
def call(function):
    return function()

def wrap(function):
    try:
        function()
    except Exception as error:
        raise LookupError("found nothing") from error

def catch(function):
    try:
        function()
    except Exception as error:
        return error
"""


def library() -> dict[str, Any]:
    """Functions of what looks like an installed library."""
    names: dict[str, Any] = {}
    exec(compile(LIBRARY, "/x/lib/python3.11/site-packages/thing/calls.py", "exec"), names)
    return names


def raised(act: Callable[[], object]) -> BaseException:
    """What a function raises, without the frame of this one."""
    with pytest.raises((OSError, SyntaxError, TypeError, UserError)) as caught:
        act()
    error = caught.value
    return error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)


def line_of(function: Any, below: int = 1) -> str:
    return f"{__file__}, line {function.__code__.co_firstlineno + below}"


# Places


def test_the_place_is_the_innermost_line_of_the_users_own_with_its_code() -> None:
    def opens() -> None:
        Path("/no/such/file").read_text()

    error = raised(lambda: library()["call"](opens))
    assert place_of(error) == f'{line_of(opens)}: Path("/no/such/file").read_text()'
    assert told(error) == f"FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file' ({place_of(error)})"


def test_of_a_librarys_own_exception_the_place_is_where_the_users_code_failed() -> None:
    def divides() -> float:
        return 1 / 0

    error = library()["catch"](lambda: library()["wrap"](divides))
    assert isinstance(error, LookupError)
    assert told(error) == f"LookupError: found nothing ({place_of(error)})"
    # Without a frame of the user's own, that of the exception of which a library made another one.
    bare = error.with_traceback(None)
    assert place_of(bare) == f"{line_of(divides)}: return 1 / 0"


def test_without_a_line_of_the_users_own_the_place_is_a_librarys_and_never_evos() -> None:
    error = library()["catch"](lambda: None + 1)  # type: ignore[operator]
    assert error.__traceback__ is not None
    error = error.with_traceback(None)
    assert place_of(error) == ""
    assert place_of(library()["catch"](None)) == "/x/lib/python3.11/site-packages/thing/calls.py, line 13"
    assert place_of(raised(lambda: evo.Int(5, 1) and evo.propagators.SelectMin(0))).startswith(__file__)
    assert place_of(raised(evo.propagators.SelectMin)) == ""


def test_what_is_no_python_has_its_own_place(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("x = 1\ndef f(:\n    pass\n")
    error = raised(lambda: compile(file.read_text(), str(file), "exec"))
    assert told(error) == f"SyntaxError: invalid syntax ({file}, line 2: def f(:)"
    text = raised(lambda: compile("1 +", "<text>", "eval"))
    assert told(text).startswith("SyntaxError: invalid syntax (<text>, line 1) (")
    assert f"{__file__}, line " in told(text)


def test_an_exception_is_one_line_whatever_it_is() -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(Speechless()) == "Speechless: <exception str() failed>"
    assert one_line(ValueError("two\nlines \ud800")) == "ValueError: two lines \\ud800"
    assert one_line(KeyError()) == "KeyError"
    assert len(told(ValueError("x" * 10_000))) < 500


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have notes from Python 3.11 on")
def test_the_notes_of_an_exception_belong_to_its_message() -> None:
    error = ValueError("no")
    error.add_note("while reading\nrow 3")
    assert told(error) == "ValueError: no while reading row 3"


def test_an_error_of_evos_is_told_without_the_name_of_its_class() -> None:
    with (
        pytest.raises(UserError, match=r"^this fails: limit 'x' .*test_errors.py, line ") as caught,
        blamed("this fails"),
    ):
        evo.minimize(lambda params: 0.0, {"x": []})
    assert isinstance(caught.value.__cause__, UserError)
    assert "limit 'x'" in whole_traceback(caught.value)


def test_a_definition_has_a_place_if_it_is_written_in_python() -> None:
    class Callable:
        def __call__(self) -> None:
            pass

    assert definition_of(line_of) == line_of(line_of, 0)
    assert definition_of(Callable()) == line_of(Callable.__call__, 0)
    assert definition_of(len) == ""


# One line for what the user can mend

MODULES = {
    "divides.py": "SCALE = 2\n\nSCALE /= 0\n",
    "imports.py": "from divides import SCALE\n",
    "unfinished.py": "def loss(params):\n    return (params['x']\n",
    "lazy.py": "def __getattr__(name):\n    raise OSError('the share is away')\n",
    "checking.py": """
class Refuses:
    def __call__(self, params):
        return params["x"]

    def check(self, names):
        raise ValueError(f"I want more than {names}")

class Fails(Refuses):
    def check(self, names):
        return names["x"]

class Leaves(Refuses):
    def check(self, names):
        raise SystemExit(3)

refuses, fails, leaves = Refuses(), Fails(), Leaves()
""",
    "breeding_badly.py": """
import evo
from evo.propagators import InitUniform

class Forgets(evo.Propagator):
    def breed(self, parents, space, rng):
        InitUniform().breed(parents, space, rng)

class Fails(evo.Propagator):
    def breed(self, parents, space, rng):
        return [parents[7]]

class Takes(evo.Propagator):
    def breed(self, parents):
        return []

class Numbers(evo.Propagator):
    def breed(self, parents, space, rng):
        return [0.5]

class Misuses(evo.Propagator):
    def breed(self, parents, space, rng):
        return evo.propagators.CrossoverUniform()(parents, space, rng)

class Picky(Fails):
    def __init__(self, mood="bad"):
        if mood == "bad":
            raise ValueError(f"my mood is {mood}")
        self.mood = {}[mood]
""",
}
LIMITS = ["--limits", "{x: [0.0, 1.0]}", "--evaluations", "3"]


def of_class(name: str, **arguments: Any) -> list[str]:
    return ["sphere", "--propagator", f"{{class_path: breeding_badly.{name}, init_args: {arguments}}}"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["divides.py:loss"],
            "objective divides.py:loss cannot be imported: ZeroDivisionError: division by zero "
            "({0}/divides.py, line 3: SCALE /= 0)\n",
        ),
        (
            ["imports.py:loss"],
            "objective imports.py:loss cannot be imported: ZeroDivisionError: division by zero "
            "({0}/divides.py, line 3: SCALE /= 0)\n",
        ),
        (
            ["unfinished.py:loss"],
            "objective unfinished.py:loss: unfinished.py is not valid Python: SyntaxError: '(' was never closed "
            "({0}/unfinished.py, line 2: return (params['x'])\n",
        ),
        (
            ["lazy.py:loss"],
            "objective lazy.py:loss cannot be imported: OSError: the share is away "
            "({0}/lazy.py, line 2: raise OSError('the share is away'))\n",
        ),
        (
            ["checking.py:refuses"],
            "I want more than ['x'] ({0}/checking.py, line 7: raise ValueError(f\"I want more than {{names}}\"))\n",
        ),
        (
            ["checking.py:fails"],
            "the check of objective checking:Fails fails: TypeError: list indices must be integers or slices, not str "
            '({0}/checking.py, line 11: return names["x"])\n',
        ),
        (
            ["checking.py:leaves"],
            "checking:Leaves fails: SystemExit: 3 ({0}/checking.py, line 15: raise SystemExit(3))",
        ),
        (
            of_class("Forgets"),
            "on an empty population: Forgets.breed ({0}/breeding_badly.py, line 6) returned None: it must return a "
            "list of individuals; a search needs one individual",
        ),
        (
            [
                "sphere",
                "--propagator",
                "{class_path: Compose, init_args: {propagators: [{class_path: breeding_badly.Forgets}]}}",
            ],
            "Forgets.breed ({0}/breeding_badly.py, line 6) returned None",
        ),
        (
            of_class("Numbers"),
            "Numbers.breed ({0}/breeding_badly.py, line 18) returned [0.5]: it must return a list of",
        ),
        (
            of_class("Fails"),
            "Fails.breed fails: IndexError: list index out of range "
            "({0}/breeding_badly.py, line 11: return [parents[7]]); a search needs",
        ),
        (of_class("Takes"), "positional arguments but 4 were given ({0}/breeding_badly.py, line 14); a search"),
        (
            of_class("Misuses"),
            "Misuses.breed fails: CrossoverUniform(contribution=0.5) takes 2 parents and was given 0: select that "
            "many before it, behind a Conditional that waits until there are enough ({0}/breeding_badly.py, line 23: ",
        ),
        (
            of_class("Picky"),
            "propagator breeding_badly.Picky: my mood is bad "
            '({0}/breeding_badly.py, line 28: raise ValueError(f"my mood is {{mood}}"))\n',
        ),
        (
            of_class("Picky", mood="good"),
            "propagator breeding_badly.Picky cannot be made of {{'mood': 'good'}}: KeyError: 'good' "
            "({0}/breeding_badly.py, line 29: self.mood = {{}}[mood]); it takes mood\n",
        ),
        (
            ["sphere", "--propagator", "{class_path: imports.Mine}"],
            "propagator imports.Mine: imports cannot be imported: ZeroDivisionError: division by zero "
            "({0}/divides.py, line 3: SCALE /= 0)\n",
        ),
    ],
)
def test_where_the_users_code_fails_one_line_names_its_file_line_and_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    ended = run_beside_modules(tmp_path, monkeypatch, *arguments, *LIMITS)
    assert (ended.status, len(ended.err.splitlines())) == (MISTAKEN, 1), ended
    assert said.format(tmp_path) in ended.err.removeprefix("evo: error: ")


def run_beside_modules(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Ended:
    """A search in a folder with the modules above, of which later tests find nothing."""
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    try:
        return call("run", *arguments)
    finally:
        for name in MODULES:
            sys.modules.pop(name.removesuffix(".py"), None)


def test_a_constraint_that_fails_names_its_line_and_has_its_exception_as_cause() -> None:
    def fits(params: dict[str, Any]) -> bool:
        return params["x"] / 0 > 1.0  # type: ignore[no-any-return]

    def returns_more(params: dict[str, Any]) -> Any:
        return params["x"], 1

    with pytest.raises(UserError) as caught:
        evo.minimize(lambda params: 0.0, {"x": (0.0, 1.0)}, constraints=fits, evaluations=1)
    code = 'return params["x"] / 0 > 1.0 # type: ignore[no-any-return]'
    assert f"ZeroDivisionError: float division by zero ({line_of(fits)}: {code})" in str(caught.value)
    assert "ZeroDivisionError" in whole_traceback(caught.value)
    with pytest.raises(UserError, match=rf"returns_more \({line_of(returns_more, 0)}\) returned \(0\.\d+, 1\) for"):
        evo.minimize(lambda params: 0.0, {"x": (0.0, 1.0)}, constraints=returns_more, evaluations=1)
    with pytest.raises(UserError, match=r"TypeError: .* missing 1 required positional argument.*test_errors.py, line"):
        evo.minimize(lambda params: 0.0, {"x": (0.0, 1.0)}, constraints=lambda one, other: True, evaluations=1)


def test_a_search_ends_with_the_place_when_a_propagator_fails_late(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("""
import evo

class Late(evo.Propagator):
    def breed(self, parents, space, rng):
        if 4 < len(parents) < 16:
            return parents[0].genome
        return evo.propagators.InitUniform().breed(parents, space, rng)
""")
    ended = launcher.evo("sphere", "--propagator", "{class_path: late.Late}", "--debug")
    assert ended.status == MISTAKEN
    *trace, last = ended.err.splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert last.startswith("evo: error: propagator <late.Late object")
    assert f"fails on a population of 5: Late.breed ({tmp_path}/late.py, line 5) returned array([" in last


def test_a_search_ends_with_the_place_when_a_pruner_fails_late(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("""
from dataclasses import dataclass

import evo
from evo.pruning import Verdict

@dataclass(frozen=True)
class Late(evo.Pruner):
    enough: int

    def rung(self, steps):
        return 1

    def value(self, curve):
        return min(curve.values())

    def judge(self, curve, others, best):
        return Verdict(False, self.value(curve), [1.0, 2.0][self.enough - len(others)], len(others))
""")
    (tmp_path / "loss.py").write_text("def loss(params):\n    yield params['x']\n    yield params['x']\n")
    pruning = "{class_path: late.Late, init_args: {enough: 2}}"
    ended = launcher.evo("loss.py:loss", *LIMITS, "--evaluate", "process", "--pruning", pruning)
    assert ended.status == MISTAKEN, ended
    assert "pruning Late.judge fails: IndexError: list index out of range" in ended.err.splitlines()[-1]
    assert f"({tmp_path}/late.py, line 18: " in ended.err.splitlines()[-1]


# The whole traceback


def test_debug_shows_the_traceback_of_the_users_code_before_the_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run_beside_modules(tmp_path, monkeypatch, "divides.py:loss", *LIMITS)
    whole = run_beside_modules(tmp_path, monkeypatch, "divides.py:loss", *LIMITS, "--debug")
    (tmp_path / "study.yaml").write_text("objective: divides.py:loss\nlimits: {x: [0.0, 1.0]}\ndebug: true\n")
    by_file = run_beside_modules(tmp_path, monkeypatch, "study.yaml")
    assert (plain.status, whole.status, by_file.status) == (MISTAKEN,) * 3
    for ended in (whole, by_file):
        assert ended.err.startswith("Traceback (most recent call last):\n")
        assert f'  File "{tmp_path}/divides.py", line 3, in <module>\n    SCALE /= 0\n' in ended.err
        assert ended.err.splitlines()[-1] == plain.err.strip()
    mistake = call("run", "sphere", "--sigma", "wide", "--debug")
    assert mistake.err.startswith("Traceback")
    assert mistake.err.count("evo: error: sigma is 'wide'") == 1


def test_debug_shows_what_happened_in_the_process_that_evaluates(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "checking.py").write_text(MODULES["checking.py"])
    command = ["checking.py:fails", *LIMITS, "--evaluate", "process"]
    ended = launcher.evo(*command, "--debug")
    assert ended.status == MISTAKEN
    assert f'  File "{tmp_path}/checking.py", line 11, in check\n    return names["x"]\n' in ended.err
    last = ended.err.splitlines()[-1]
    assert last.startswith("evo: error: the check of objective checking:Fails fails: TypeError: list indices must")
    assert f'({tmp_path}/checking.py, line 11: return names["x"])' in last


@pytest.mark.parametrize("command", ["best", "repair", "test", "train"])
def test_other_commands_show_the_whole_traceback_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    plain, whole = call(command, "nowhere"), call(command, "nowhere", "--debug")
    assert (plain.status, whole.status) == (MISTAKEN, MISTAKEN)
    assert whole.err.startswith("Traceback (most recent call last):\n")
    assert whole.err.endswith(plain.err)
    assert len(plain.err.splitlines()) == 1


# Bugs


def bug(*arguments: Any, **named: Any) -> Any:
    raise ValueError("planted")


def test_together_shares_what_the_user_can_mend_and_nothing_else() -> None:
    def refuse() -> None:
        raise UserError("say less")

    with pytest.raises(SharedError, match=r"^say less$") as caught:
        together(Serial(), refuse)
    assert isinstance(caught.value.__cause__, UserError)
    with pytest.raises(ValueError, match=r"^planted$") as planted:
        together(Serial(), bug)
    assert not isinstance(planted.value, UserError)
    assert together(Serial(), lambda: 3) == 3


@pytest.mark.parametrize(
    ("place", "command"),
    [
        ("evo.study.arguments.parse_arguments", ["run", "sphere"]),
        ("evo.study.plan.make_topology", ["run", "sphere"]),
        ("evo.propagators.selection.SelectMin.breed", ["run", "sphere"]),
        ("evo.study.joining.make_start_points", ["run", "sphere"]),
        ("evo.space.space.Space.encode", ["run", "sphere", "--evaluations", "3"]),
        ("evo.report.best.rank_runs", ["best", "run"]),
        ("evo.storage.repair.study_forms", ["repair", "run"]),
        ("evo.posthoc.testing.load", ["test", "run"]),
        ("evo.posthoc.training.load", ["train", "run"]),
    ],
)
def test_a_bug_is_no_message_but_an_exception_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("run", "sphere", "--evaluations", "3", "--run-dir", "run").status == 0
    monkeypatch.setattr(place, bug)
    with pytest.raises(ValueError, match=r"^planted$") as caught:
        call(*command)
    assert not isinstance(caught.value, UserError)
    assert caught.traceback[-1].path == Path(__file__)


PLANTED = """
import os, sys
import {module} as planted

def bug(*arguments, **named):
    raise ValueError("planted here")

if os.environ.get("OMPI_COMM_WORLD_RANK", "1") == "1":
    planted.{name} = bug
from evo.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_bug_ends_a_command_with_its_traceback(launcher: Launcher, tmp_path: Path) -> None:
    assert launcher.evo("sphere", "--evaluations", "3", "--run-dir", "run").status == 0
    (tmp_path / "planted.py").write_text(PLANTED.format(module="evo.report.best", name="rank_runs"))
    ended = launcher.python("planted.py", "best", "run")
    assert ended.status not in (0, 2)
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("ValueError: planted here\n")
    (tmp_path / "planted.py").write_text(PLANTED.format(module="evo.doctor.command", name="find_launch"))
    ended = launcher.python("planted.py", "doctor")
    assert ended.status not in (0, 2)
    assert ended.err.endswith("ValueError: planted here\n")


def test_a_bug_in_the_process_that_evaluates_is_a_traceback_of_the_rank(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "patching.py").write_text("""
import evo.evaluation.child

def bug(objective):
    raise ValueError("planted in the child")

evo.evaluation.child.settings_of = bug

def loss(params):
    return params["x"]
""")
    ended = launcher.evo("patching.py:loss", *LIMITS, "--evaluate", "process")
    assert ended.status not in (0, 2)
    assert "Traceback (most recent call last):" in ended.err
    assert "ValueError: planted in the child" in ended.err
    assert "evo: error:" not in ended.err


@pytest.mark.mpi
@pytest.mark.parametrize("place", ["evo.study.plan.make_topology", "evo.engine.breeding.breeding_generator"])
def test_a_bug_on_one_rank_is_its_traceback_and_ends_all(
    launcher: Launcher, mpirun: Callable[..., Ended], tmp_path: Path, place: str
) -> None:
    module, _, name = place.rpartition(".")
    (tmp_path / "planted.py").write_text(PLANTED.format(module=module, name=name))
    ended = mpirun(2, "planted.py", "run", "sphere", "--generations", "100000", timeout=60)
    assert ended.status not in (0, 2), ended
    assert ended.err.count("Traceback (most recent call last):") == 1
    assert "ValueError: planted here\n" in ended.err
    assert "evo: error:" not in ended.err
    assert launcher.survivors() == []


@pytest.mark.mpi
def test_what_fails_on_one_rank_only_is_told_once_with_its_place_and_traceback(
    mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "uneven.py").write_text("""
import os

def loss(params):
    return params["x"]

1 / (1 - int(os.environ["OMPI_COMM_WORLD_RANK"]))
""")
    ended = mpirun(2, "-m", "evo.run", "uneven.py:loss", *LIMITS, "--debug")
    assert ended.status == MISTAKEN, ended
    (line,) = [line for line in ended.err.splitlines() if "evo: error: " in line]
    assert f"division by zero ({tmp_path}/uneven.py, line 7: 1 / (1 - int(os.environ" in line
    assert ended.err.count(f'File "{tmp_path}/uneven.py", line 7, in <module>') == 1


class Late(evo.Propagator):
    """Fails when it has bred some individuals, more than when it is tried out."""

    def __init__(self) -> None:
        self.bred = 0

    def breed(self, parents: Active, space: Space, rng: np.random.Generator) -> Sequence[Individual]:
        self.bred += 1
        if self.bred > 20:
            raise KeyError("late")
        return InitUniform()(parents, space, rng)


def test_what_fails_of_the_users_own_in_the_search_can_be_caught_as_an_error_of_the_user() -> None:
    with pytest.raises(evo.UserError, match=r"Late.breed fails: KeyError: 'late'") as caught:
        evo.minimize(lambda params: params["x"], {"x": (0.0, 1.0)}, propagator=Late(), evaluations=40)
    assert type(caught.value) is MistakeFound
    assert caught.value.status == MISTAKEN


CATCHING = """
import os, sys
import evo

FIRST = os.environ["OMPI_COMM_WORLD_RANK"] == "0"

class Uneven(evo.Propagator):
    def __init__(self):
        self.bred = 0

    def breed(self, parents, space, rng):
        self.bred += 1
        {breeds}

def loss(params):
    return params["x"]

{prepare}
try:
    evo.minimize(loss, {{"x": (0.0, 1.0)}}, propagator=Uneven(), generations=1_000_000)
except Exception as error:
    print("caught", file=sys.stderr)
"""


@pytest.mark.mpi
def test_a_bug_on_one_rank_ends_all_though_the_script_catches_everything(
    launcher: Launcher, mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    prepare = """
import evo.study.plan

def bug(*arguments, **named):
    raise ValueError("planted here")

if not FIRST:
    evo.study.plan.make_topology = bug
"""
    (tmp_path / "catching.py").write_text(CATCHING.format(breeds="return parents[:1]", prepare=prepare))
    ended = mpirun(2, "catching.py", timeout=60)
    assert ended.status not in (0, 2), ended
    assert ended.err.count("Traceback (most recent call last):") == 1
    assert "ValueError: planted here\n" in ended.err
    assert "caught" not in ended.err
    assert launcher.survivors() == []


@pytest.mark.mpi
def test_a_mistake_that_one_rank_finds_in_the_search_ends_all_in_one_line_though_the_script_catches_it(
    launcher: Launcher, mpirun: Callable[..., Ended], tmp_path: Path
) -> None:
    breeds = """
        if not FIRST and self.bred > 20:
            raise KeyError("late")
        return evo.propagators.InitUniform()(parents, space, rng)"""
    (tmp_path / "catching.py").write_text(CATCHING.format(breeds=breeds.strip(), prepare="import evo.propagators"))
    ended = mpirun(2, "catching.py", timeout=60)
    assert ended.status == MISTAKEN, ended
    (line,) = [line for line in ended.err.splitlines() if "evo: error: " in line]
    assert f"Uneven.breed fails: KeyError: 'late' ({tmp_path}/catching.py, line 14: raise KeyError" in line
    assert "Traceback" not in ended.err
    assert "caught" not in ended.err
    assert launcher.survivors() == []
