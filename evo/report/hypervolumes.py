"""The hypervolume of fronts over evaluations, with one reference point for all that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from evo.population.dominance import Losses, hypervolume, loss_matrix, reference_point
from evo.report.fronts import keeps_bounds
from evo.report.improvements import ends_in_order, improvements
from evo.report.records import Evaluation

_MOST_STEPS = 200  # The hypervolume of a long list of improvements takes long.


class Yardstick(msgspec.Struct, frozen=True):
    """What hypervolumes are measured with: those of one study, or of several that are compared.

    Args:
        reference: The reference point, in losses: worse than the joint front by a tenth of its extent in each.
        whole: The hypervolume of the joint front.
    """

    reference: tuple[float, ...]
    whole: float

    def share(self, losses: Losses) -> float:
        """The hypervolume of some losses as a share of that of the joint front, from 0 to 1."""
        return hypervolume(losses, self.reference) / self.whole if self.whole > 0 else 0.0


def make_yardstick(fronts: Iterable[Sequence[Evaluation]]) -> Yardstick | None:
    """A reference point for fronts, so that their hypervolumes compare; None while none of them keeps the bounds.

    Args:
        fronts: The front of each study; all have the same objectives.
    """
    import moocore

    members = [one for front in fronts if keeps_bounds(front) for one in front]
    if not members:
        return None
    losses = loss_matrix(members)
    joint = losses[np.asarray(moocore.is_nondominated(losses))]
    reference = reference_point(joint)
    return Yardstick(tuple(reference.tolist()), hypervolume(joint, reference))


def hypervolume_steps(evaluations: Sequence[Evaluation], yardstick: Yardstick) -> list[tuple[int, Evaluation, float]]:
    """The share of the hypervolume that was reached with each individual that entered the front.

    Args:
        evaluations: All evaluations of a study.
        yardstick: What hypervolumes are measured with.

    Returns:
        The number of the evaluation, the individual, and the share with it; of very many individuals only some.
    """
    entered = [each for each in improvements(ends_in_order(evaluations)) if each[1].violation == 0.0]
    losses = loss_matrix(one for _, one in entered)
    places = np.unique(np.linspace(0, len(entered) - 1, min(len(entered), _MOST_STEPS)).round().astype(int))
    return [(*entered[place], yardstick.share(losses[: place + 1])) for place in places.tolist()]
