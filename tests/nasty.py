"""Losses that do what a loss must not, for the tests of evaluation and of whole searches.

`FAILS` and `DIES` hold each with the error that it must give; `sometimes_NAME` does it for x > 0 only.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def good(params: dict[str, Any]) -> float:
    return float(params["x"]) ** 2


def raises(params: dict[str, Any]) -> float:
    raise ArithmeticError("the learning rate\n  exploded")


def raises_without_text(params: dict[str, Any]) -> float:
    raise LookupError


def raises_what_cannot_be_printed(params: dict[str, Any]) -> float:
    raise Unprintable


def raises_what_cannot_be_encoded(params: dict[str, Any]) -> float:
    raise OSError("a file named \udcff")


def raises_what_is_no_exception(params: dict[str, Any]) -> float:
    raise asyncio.CancelledError("by someone")


def exits(params: dict[str, Any]) -> float:
    sys.exit(3)


def recurses(params: dict[str, Any]) -> float:
    return recurses(params)


def takes_all_memory(params: dict[str, Any]) -> float:
    return float(len(bytearray(2**62)))


def returns(value: Any) -> Callable[[dict[str, Any]], Any]:
    def loss(params: dict[str, Any]) -> Any:
        return value

    return loss


def yields_nothing(params: dict[str, Any]) -> Iterator[float]:
    yield from ()


def yields_nan_at_last(params: dict[str, Any]) -> Iterator[float]:
    yield 1.0
    yield math.nan


def yields_text(params: dict[str, Any]) -> Iterator[Any]:
    yield 1.0
    yield "bad"


def yields_and_raises(params: dict[str, Any]) -> Iterator[float]:
    yield 1.0
    raise ArithmeticError("late")


def records_nonsense(params: dict[str, Any], trial: Any) -> float:
    trial.metrics = None
    return 0.0


def reports_text(params: dict[str, Any], trial: Any) -> float:
    trial.report("low", step=0)
    return 0.0


NUMBER = "it must be a number"
FORGOTTEN = f"{NUMBER}; does the objective forget to return it?"
SEVERAL = f"{NUMBER}; return one, for example a weighted sum, and put the others into trial.metrics"
ITS_LOSS = f"{NUMBER}; return its 'loss', and put what else is to be recorded into trial.metrics"
FAILS: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (raises, "ArithmeticError: the learning rate exploded"),
    "raises_without_text": (raises_without_text, "LookupError"),
    "raises_what_cannot_be_printed": (raises_what_cannot_be_printed, "Unprintable"),
    "raises_what_cannot_be_encoded": (raises_what_cannot_be_encoded, "OSError: a file named "),
    "raises_what_is_no_exception": (raises_what_is_no_exception, "CancelledError: by someone"),
    "exits": (exits, "SystemExit: 3"),
    "recurses": (recurses, "RecursionError: maximum recursion depth exceeded"),
    "takes_all_memory": (takes_all_memory, "MemoryError"),
    "none": (returns(None), f"TypeError: the loss is None (NoneType): {FORGOTTEN}"),
    "nan": (returns(math.nan), "ValueError: the loss is nan: it must be finite"),
    "inf": (returns(math.inf), "ValueError: the loss is inf: it must be finite"),
    "minus_inf": (returns(-math.inf), "ValueError: the loss is -inf: it must be finite"),
    "numpy_nan": (returns(np.float32("nan")), "ValueError: the loss is nan: it must be finite"),
    "string": (returns("0.5"), f"TypeError: the loss is '0.5' (str): {NUMBER}"),
    "boolean": (returns(True), f"TypeError: the loss is True (bool): {NUMBER}"),
    "numpy_boolean": (returns(np.bool_(True)), f"TypeError: the loss is True (bool): {NUMBER}"),
    "numpy_string": (returns(np.array("0.5")), f"TypeError: the loss is '0.5' (str): {NUMBER}"),
    "bytes": (returns(b"1"), f"TypeError: the loss is b'1' (bytes): {NUMBER}"),
    "complex": (returns(1j), f"TypeError: the loss is 1j (complex): {NUMBER}"),
    "list": (returns([1.0]), f"TypeError: the loss is [1.0] (list): {SEVERAL}"),
    "dictionary": (returns({"loss": 1.0}), f"TypeError: the loss is {{'loss': 1.0}} (dict): {ITS_LOSS}"),
    "huge": (returns(10**400), "OverflowError: int too large to convert to float"),
    "two_numbers": (returns(np.ones(2)), "TypeError: the loss is a ndarray of shape (2,): it must be one number"),
    "no_number": (returns(np.ones(0)), "TypeError: the loss is a ndarray of shape (0,): it must be one number"),
    "yields_nothing": (yields_nothing, f"TypeError: the loss is None (NoneType): {FORGOTTEN}"),
    "yields_nan_at_last": (yields_nan_at_last, "ValueError: the loss is nan: it must be finite"),
    "yields_text": (yields_text, "ValueError: could not convert string to float: 'bad'"),
    "yields_and_raises": (yields_and_raises, "ArithmeticError: late"),
    "records_nonsense": (records_nonsense, "AttributeError: 'NoneType' object has no attribute 'items'"),
    "reports_text": (reports_text, "TypeError: trial.report is given 'low' (str): an inter"),
}


def exits_at_once(params: dict[str, Any]) -> float:
    print("my last words", flush=True)
    os._exit(7)


def exits_well(params: dict[str, Any]) -> float:
    os._exit(0)


def crashes(params: dict[str, Any]) -> float:
    return float(len(ctypes.string_at(0)))


def aborts(params: dict[str, Any]) -> float:
    os.abort()


def is_killed(params: dict[str, Any]) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


def closes_all_files(params: dict[str, Any]) -> float:
    os.closerange(3, 1000)
    return 0.0


def is_cancelled(params: dict[str, Any]) -> float:
    raise KeyboardInterrupt


DIES: dict[str, tuple[Callable[..., Any], str]] = {
    "exits_at_once": (exits_at_once, "ProcessDied: the evaluation process exited with status 7"),
    "exits_well": (exits_well, "ProcessDied: the evaluation process exited with status 0"),
    "crashes": (crashes, "ProcessDied: the evaluation process was killed by SIGSEGV"),
    "aborts": (aborts, "ProcessDied: the evaluation process was killed by SIGABRT"),
    "is_killed": (
        is_killed,
        "ProcessDied: the evaluation process was killed by SIGKILL, perhaps because memory ran out",
    ),
    "closes_all_files": (closes_all_files, "ProcessDied: "),
    "is_cancelled": (is_cancelled, "ProcessDied: the evaluation process exited with status 1"),
}


def goes_on(params: dict[str, Any], trial: Any) -> float:
    """Go on from the state of a donor, and leave one."""
    trial.metrics.update(begin=trial.begin, until=trial.until, found=(trial.inherit / "last.ckpt").read_text())
    (trial.folder / "last.ckpt").write_text("the next")
    trial.report(0.25)
    if params["x"] > 1:
        trial.note_state(params["x"], is_over=True)
    return 0.5


def any_of_them(params: dict[str, Any], trial: Any) -> Any:
    """Do what the categorical parameter `kind` says."""
    kind = str(params["kind"])
    loss = (FAILS | DIES)[kind][0] if kind in FAILS | DIES else globals()[kind]
    wants_trial = loss.__code__.co_argcount == 2
    return loss(params, trial) if wants_trial else loss(params)


def sleeps(params: dict[str, Any]) -> float:
    time.sleep(1000)
    return 0.0


def hangs_in_c(params: dict[str, Any], trial: Any) -> float:
    """Hang like C code that never gives the interpreter back."""
    (trial.folder / "hanging").touch()
    ctypes.PyDLL(None).sleep(1000)
    return 0.0


def tells_its_process(params: dict[str, Any]) -> float:
    return float(os.getpid())
