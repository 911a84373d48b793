"""An objective, tried out in the child process that a search would have it in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, final

from evo.errors import UserError
from evo.evaluation.execution import check_objective
from evo.evaluation.stages import CALLING, ENDED, MISTAKE, note_facts, note_stage
from evo.objective.objective import Trial, prepare
from evo.objective.references import Named
from evo.space.values import Params


@final
class Rehearsal:
    """Stands in place of an objective: a training lasts a few batches, any other loss is called as it is.

    The stages are noted in the trial's folder, see `evo.evaluation.stages`.

    Args:
        objective: The objective.
    """

    separate_process: ClassVar[bool] = True

    def __init__(self, objective: Callable[..., Any] | Named) -> None:
        self._objective = objective
        self._loaded: Callable[..., Any] | None = None

    def check(self, names: Sequence[str], examples: Sequence[Params]) -> list[str]:
        """Make sure that the objective takes the parameters, as the child of a search does.

        Raises:
            UserError: It cannot be loaded, or does not take them.
        """
        loaded = self._load()
        prepare(loaded)
        return check_objective(loaded, names, examples)

    def __call__(self, params: Params, trial: Trial) -> Any:
        """Try it.

        Raises:
            Exception: Whatever the objective raises.
        """
        return rehearse_one(self._load(), params, trial)

    def _load(self) -> Callable[..., Any]:
        if self._loaded is None:
            self._loaded = self._objective.load() if isinstance(self._objective, Named) else self._objective
        return self._loaded


def rehearse_one(objective: Callable[..., Any], params: Mapping[str, Any], trial: Trial) -> Any:
    """Try a loaded objective with some parameters; returns what it returns.

    Args:
        objective: The objective.
        params: The parameters.
        trial: The trial, whose folder gets the notes.

    Raises:
        Exception: Whatever the objective raises.
    """
    with noting_mistakes(trial.folder):
        if is_training(objective):
            from evo.lightning.rehearsing import rehearse_training

            return rehearse_training(objective, params, trial)  # type: ignore[arg-type]
        note_stage(trial.folder, CALLING)
        loss = prepare(objective)(dict(params), trial)
        note_stage(trial.folder, ENDED)
        return loss


@contextmanager
def noting_mistakes(folder: Path) -> Iterator[None]:
    """Note what the user can mend, apart from the name of its class, which says nothing to them.

    Args:
        folder: The folder for the notes.
    """
    try:
        yield
    except UserError as error:
        note_facts(folder, {MISTAKE: " ".join(str(error).split())})
        raise


def is_training(objective: Any) -> bool:
    """Whether a loaded objective is a training that evo makes; nothing is imported to find that out."""
    module = sys.modules.get("evo.lightning.objective")
    return module is not None and isinstance(objective, module.LightningObjective)
