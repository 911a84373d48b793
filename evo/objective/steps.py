"""The steps of a training, as an objective reports them."""

from __future__ import annotations

from typing import Any

from evo.errors import UserError
from evo.frames import cut_off, representation
from evo.population.scalars import plain_number

_LONGEST_VALUE = 100  # Characters of a wrong value that a message shows.
_HIGHEST_STEP = 2**53  # JSON holds whole numbers up to here.


def step_number(step: Any) -> int | None:
    """A step as a whole number of Python; None when it is no step.

    Example:
        >>> step_number(3), step_number(-1), step_number(True), step_number(1.5)
        (3, None, None, None)
    """
    number = plain_number(step)
    is_step = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= _HIGHEST_STEP
    return number if is_step else None


def state_step(step: Any, begin: int, until: int | None) -> int:
    """The step that `trial.note_state` is given.

    Args:
        step: It.
        begin: The step from which the evaluation goes on.
        until: The step at which it ends. None means that it does not say.

    Raises:
        UserError: It is no whole number within these.

    Example:
        >>> state_step(3, 2, 4)
        3
    """
    number = step_number(step)
    if number is None or number < begin or (until is not None and number > until):
        within = f"from {begin}" + ("" if until is None else f" to {until}")
        raise UserError(
            f"trial.note_state is given {cut_off(representation(step), _LONGEST_VALUE)}: a step is a whole number "
            f"{within}, the number of complete steps after which last.ckpt was saved"
        )
    return number


class ReportedSteps:
    """The steps that one evaluation reports: counts those that are left out, and refuses what cannot be one.

    Args:
        first: The first step if that is left out: the one from which a part of a training goes on.

    Example:
        >>> steps = ReportedSteps()
        >>> [steps.take(0.5), steps.take(0.4, step=3), steps.take(0.3)]
        [0, 3, 4]
    """

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def take(self, loss: Any, *others: Any, step: Any = None) -> int:
        """The step of a report.

        Args:
            loss: The loss, which is looked at for the message only.
            others: Further arguments given by position, which are refused.
            step: The step that was given, if any.

        Raises:
            UserError: It cannot be a step, or was given by position.
        """
        if others:
            given = ", ".join(cut_off(representation(value), _LONGEST_VALUE) for value in (loss, *others))
            raise UserError(
                f"trial.report({given}) gives more than the loss by position: the loss comes first, and the step is a "
                "keyword: trial.report(loss, step=3)"
            )
        if step is not None:
            number = step_number(step)
            if number is None:
                raise UserError(
                    f"trial.report is given step={cut_off(representation(step), _LONGEST_VALUE)}: a step is a whole "
                    "number from 0, such as the epoch: trial.report(loss, step=3)"
                )
            self._next = number
        self._next += 1
        return self._next - 1
