"""Failures are one reason when they are of the same kind and from the same place, whatever their messages say."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from records import assigned

from evo.evaluation.execution import evaluate
from evo.evaluation.settings import USUAL
from evo.evaluation.trial import RunningTrial
from evo.objective.objective import prepare
from evo.population.identity import Identity
from evo.report.reasons import failure_reasons
from evo.report.records import Evaluation
from evo.report.tables import failure_lines

FILE = Path(__file__).name


def failures(*objectives: Callable[[dict[str, Any]], Any], each: int = 1) -> list[Evaluation]:
    """What becomes of so many individuals whose x are 0, 1, …, with each objective."""
    evaluations = []
    for x, objective in enumerate(objective for objective in objectives for _ in range(each)):
        identity: Identity = (0, x)
        trial = RunningTrial(assigned(identity, folder="/nowhere"), USUAL, lambda *report: False)
        outcome = evaluate(prepare(objective), {"x": x}, trial)
        assert outcome.status == "failed"
        evaluations.append(failed(x, outcome.error, outcome.traceback))
    return evaluations


def failed(number: int, error: str, where: str = "") -> Evaluation:
    return Evaluation(individual=(0, number), params={}, status="failed", error=error, traceback=where)


def test_errors_that_differ_in_their_numbers_only_are_one_reason_and_another_line_is_another_one() -> None:
    def loss(params: dict[str, Any]) -> float:
        x = params["x"]
        if x == 2:
            raise ValueError(f"{x} is the odd one out")
        raise ValueError(f"mat1 and mat2 cannot be multiplied: {x} x 3")

    several, alone = failure_reasons(failures(loss, each=5))
    line = loss.__code__.co_firstlineno
    assert several.text == (
        f"4 x ValueError at {FILE}:{line + 4}, for example: mat1 and mat2 cannot be multiplied: 0 x 3 "
        "(0-0, 0-1, 0-3, 0-4)"
    )
    assert alone.text == f"1 x ValueError at {FILE}:{line + 3}: 2 is the odd one out (0-2)"


def test_the_place_is_the_innermost_line_of_the_users_own_not_that_of_a_library() -> None:
    def parse(text: str) -> Any:
        return msgspec.json.decode(text) if text else Path(text).joinpath("none").read_text()

    def loss(params: dict[str, Any]) -> Any:
        return parse("")

    (reason,) = failure_reasons(failures(loss))
    assert (reason.kind, reason.place) == ("FileNotFoundError", f"{FILE}:{parse.__code__.co_firstlineno + 1}")


def test_of_a_chain_of_errors_the_last_one_counts() -> None:
    def loss(params: dict[str, Any]) -> Any:
        try:
            return params["y"]
        except KeyError as error:
            raise RuntimeError("there is no y") from error

    (reason,) = failure_reasons(failures(loss))
    assert (reason.kind, reason.place) == ("RuntimeError", f"{FILE}:{loss.__code__.co_firstlineno + 4}")


def test_an_error_of_a_process_that_loads_data_is_from_there() -> None:
    where = (
        'Traceback (most recent call last):\n  File "/x/site-packages/torch/_utils.py", line 7, in reraise\n'
        "ValueError: Caught ValueError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n"
        '  File "/x/site-packages/torch/fetch.py", line 54, in fetch\n'
        '  File "/home/me/data.py", line 12, in __getitem__\n    raise ValueError(index)\nValueError: 4\n'
    )
    (reason,) = failure_reasons([failed(n, f"ValueError: {n} (Caught in worker process {n})", where) for n in (1, 2)])
    assert reason.place == "data.py:12"


def test_without_a_line_of_the_users_own_a_librarys_is_named_with_its_folder() -> None:
    where = 'Traceback (most recent call last):\n  File "/x/lib/python3.11/site-packages/torch/nn/linear.py", line 7\n'
    (reason,) = failure_reasons([failed(0, "on rank 1 of the worker: RuntimeError: 3 x 4", where)])
    assert reason.text == "1 x RuntimeError at nn/linear.py:7: 3 x 4 (0-0)"


def test_processes_that_died_in_different_ways_are_different_reasons() -> None:
    errors = [
        "ProcessDied: the evaluation process was killed by SIGSEGV",
        "ProcessDied: the evaluation process was killed by SIGKILL, perhaps because memory ran out",
        "RankDied: ranks 1, 2 died while they evaluated it, perhaps because of it",
        "RankDied: ranks 3, 4 died while they evaluated it, perhaps because of it",
    ]
    last_words = 'File "net.py", line 3 in forward'  # Of a child that died, not of an exception.
    reasons = failure_reasons([failed(number, error, last_words) for number, error in enumerate(errors)])
    assert [(reason.kind, len(reason.evaluations)) for reason in reasons] == [
        ("RankDied", 2),
        ("ProcessDied", 1),
        ("ProcessDied", 1),
    ]


def test_the_usual_mistakes_about_the_loss_are_told_apart_and_each_has_a_hint() -> None:
    mistakes: list[Callable[[dict[str, Any]], Any]] = [
        lambda params: {"loss": params["x"], "status": "ok"},
        lambda params: {"accuracy": params["x"]},
        lambda params: None,
        lambda params: (params["x"], 1.0),
        lambda params: "x" * 1000,
        lambda params: float("nan"),
    ]
    texts = [reason.text for reason in failure_reasons(failures(*mistakes, each=2))]
    assert [text.partition(":")[0] for text in texts] == [
        "4 x TypeError, for example",
        "2 x TypeError",
        "2 x TypeError, for example",
        "2 x TypeError",
        "2 x ValueError",
    ]
    assert "the loss is {'loss': 0, 'status': 'ok'} (dict): it must be a number; return its 'loss', and" in texts[0]
    assert "does the objective forget to return it?" in texts[1]
    assert "a weighted sum" in texts[2]
    assert all(len(text) < 250 for text in texts)
    assert all("evo/" not in text for text in texts)


def test_an_exception_without_a_message_and_one_that_is_no_word_are_reasons_too() -> None:
    reasons = failure_reasons([failed(0, "KeyError"), failed(1, "strange words"), failed(2, "")])
    assert [reason.text for reason in reasons] == ["1 x KeyError (0-0)", "1 x strange words (0-1)", "1 x  (0-2)"]


def test_only_the_most_frequent_reasons_are_listed() -> None:
    lines = failure_lines([failed(n, f"{'Error' * (n + 1)}: bad") for n in range(9)])
    assert lines[0] == "9 of 9 evaluations failed:"
    assert (len(lines), lines[-1]) == (7, "  and 4 other reasons")
    assert failure_lines([]) == []


def test_a_traceback_as_python_writes_it_is_understood_in_a_notebook_too() -> None:
    source = "def loss():\n    raise ValueError(1)\n"
    try:
        space: dict[str, Any] = {}
        exec(compile(source, "/tmp/ipykernel_7/123.py", "exec"), space)
        space["loss"]()
    except ValueError:
        (reason,) = failure_reasons([failed(0, "ValueError: 1", traceback.format_exc())])
    assert reason.place == "123.py:2"
