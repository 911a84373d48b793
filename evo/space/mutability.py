"""Which parameters may change while a network trains."""

from __future__ import annotations

from evo.space.parameters import Parameter

# The sections of a training whose parameters may change, unless the limit says otherwise. What a section is as a whole,
# such as the class of an optimizer, has no dot in its name, and may not.
_SECTIONS = ("optimizer.", "lr_scheduler.", "data.", "trainer.")
# They say how long a training is, or in which numbers it computes.
_OF_THE_WHOLE = ("max_epochs", "min_epochs", "max_steps", "min_steps", "max_time", "precision")
_CLASS = "class_path"


def is_mutable(name: str, parameter: Parameter) -> bool:
    """Whether a training may go on with another value of a parameter.

    The limit says so with `mutable`. Left out, parameters of the sections optimizer, lr_scheduler, data and trainer may
    change, but not the classes in them, nor how long a training is; all others may not.

    Args:
        name: The name of the parameter.
        parameter: Its checked limit.

    Example:
        >>> from evo.space.parameters import Float, Int
        >>> is_mutable("optimizer.lr", Float(0.0, 1.0)), is_mutable("model.width", Int(1, 8))
        (True, False)
        >>> is_mutable("model.dropout", Float(0.0, 0.5, mutable=True))
        True
    """
    if parameter.mutable is not None:
        return parameter.mutable
    last = name.rpartition(".")[2]
    return name.startswith(_SECTIONS) and last != _CLASS and last not in _OF_THE_WHOLE
