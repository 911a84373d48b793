"""What a child process finds out about classes that are to be searched, and their first training of a few batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, final

import msgspec

from evo.objective.facts import FACTS, ClassFacts
from evo.objective.objective import Trial
from evo.objective.training import Training
from evo.rehearsal.rehearsal import noting_mistakes, rehearse_one
from evo.space.values import Params

SECTIONS_OF_TRIAL = "sections"
"""The parameter with the sections of a training to be tried; without it, the classes are described."""


@final
class Draft:
    """Describes a module and its data module in the folder of its trial, or tries a training with them.

    Args:
        model: The module's class, by its name.
        data: The data module's class. None means that the module has its own dataloaders.
    """

    separate_process: ClassVar[bool] = True

    def __init__(self, model: str, data: str | None) -> None:
        self._model, self._data = model, data

    def __call__(self, params: Params, trial: Trial) -> float:
        """Describe, or try.

        Raises:
            UserError: There is no such class.
            Exception: Whatever the training raises.
        """
        sections = params.get(SECTIONS_OF_TRIAL)
        if sections is not None:
            return float(rehearse_one(Training(**sections).load(), {}, trial))
        from evo.lightning.describing import describe_class

        with noting_mistakes(trial.folder):
            facts = [describe_class(self._model, "model")]
            facts += [describe_class(self._data, "data")] if self._data else []
        (trial.folder / FACTS).write_bytes(msgspec.json.encode(facts))
        return 0.0


def read_facts(folder: Path) -> tuple[ClassFacts, ClassFacts | None]:
    """The module and the data module, as `Draft` has described them in a folder."""
    facts: list[Any] = msgspec.json.decode((folder / FACTS).read_bytes(), type=list[ClassFacts])
    return facts[0], facts[1] if len(facts) > 1 else None
