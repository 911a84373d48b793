"""Whether an event fits the objectives of its study."""

from __future__ import annotations

from evo.population.events import AnyEvent, Finished, Reported
from evo.population.objectives import Objectives


def why_not_of(event: AnyEvent, objectives: Objectives) -> str:
    """The reason why an event cannot be of a study with these objectives; empty when it can.

    Example:
        >>> ended = Finished(time=0.0, individual=(0, 0), status="completed", loss=0.5, losses=(0.5, 2.0), rank=0)
        >>> why_not_of(ended, Objectives(modes={"acc": "max", "size": "min"}))
        ''
        >>> why_not_of(ended, Objectives())
        'it has 2 losses, but the study has one'
    """
    if not isinstance(event, Finished | Reported) or (isinstance(event, Finished) and event.loss is None):
        return ""
    count = objectives.count if objectives.are_several else 0
    if event.losses and len(event.losses) != count:
        return f"it has {len(event.losses)} losses, but the study has {count or 'one'}"
    if count and not event.losses and isinstance(event, Finished) and event.status == "completed":
        return f"it has one loss, but the study has {count}: {', '.join(objectives.names)}"
    if event.violation > 0.0 and not objectives.bounds:
        return f"it violates bounds by {event.violation:g}, but the study has none"
    return ""
