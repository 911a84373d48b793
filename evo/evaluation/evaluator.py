"""What an evaluator is, wherever it evaluates."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec

from evo.engine.loop import LoopEvaluator
from evo.population.assignment import Assignment
from evo.population.identity import Identity, individual_name
from evo.space.values import Params
from evo.storage.checkpoints import INHERITED
from evo.texts import readable


@dataclass(frozen=True)
class Opened:
    """What is learnt of an objective when it is loaded.

    Args:
        notes: Remarks for the user.
        settings: What it depends on, if only this has found it out, see `evo.objective.definition`. Empty means that
            nobody knows yet.
        may_save: Whether it may save its state, which needs the trial.
    """

    notes: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_save: bool = False


class Evaluator(LoopEvaluator, Protocol):
    """What evaluates on one rank, from the start of a session to its end."""

    def open(self, names: Sequence[str], examples: Sequence[Params] = ()) -> Opened:
        """Make ready to evaluate.

        Args:
            names: The parameters that the objective must take.
            examples: Points that show them, see `evo.space.examples`.

        Returns:
            What the objective remarks, and what one that was named depends on.

        Raises:
            UserError: The objective cannot be loaded, or does not take the parameters.
        """

    def interrupt(self, failed: bool = False) -> None:
        """End the evaluation in flight, which may save its state first if it can. A second call changes nothing.

        Args:
            failed: Whether it has failed on another rank, so that it may wait for that rank in vain.
        """

    def hurry(self) -> None:
        """Give up whatever runs, at once. A signal handler calls this, in the middle of anything."""

    def test(self, assignment: Assignment) -> dict[str, Any]:
        """Metrics of an evaluated individual on held-out data; empty when the objective has no test.

        Raises:
            RuntimeError: The test failed; the message says why.
        """

    def close(self) -> None:
        """Stop evaluating."""


def with_folder(assignment: Assignment, folder: Callable[[Identity], Path]) -> Assignment:
    """An assignment with its folders: its own, or else the usual one of the individual; and those of its parents.

    Args:
        assignment: What is to be evaluated on this rank.
        folder: Returns the usual folder of an individual.
    """
    usual = str(folder(assignment.individual))
    usual = readable(usual if usual.startswith("/") else os.path.abspath(usual))
    # Text is enough for the folders of parents, which lie beside it: a plain loss takes less time than many paths.
    beside = usual.rpartition("/")[0]
    inherits = tuple([f"{beside}/{individual_name(parent)}" for parent in assignment.parents])
    if assignment.segment is not None:
        assignment = with_inherited(assignment, folder)
    return msgspec.structs.replace(assignment, folder=assignment.folder or usual, inherits=inherits)


def with_inherited(assignment: Assignment, folder: Callable[[Identity], Path]) -> Assignment:
    """An assignment with the folder of the state that it goes on from, if there is one and it is not named yet.

    Args:
        assignment: What is to be evaluated.
        folder: Returns the usual folder of an individual on this rank.
    """
    segment = assignment.segment
    if segment is None or segment.donor is None or assignment.inherited:
        return assignment
    inherited = readable(os.path.abspath(folder(assignment.individual) / INHERITED))
    return msgspec.structs.replace(assignment, inherited=inherited)
