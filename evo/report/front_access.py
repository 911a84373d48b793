"""What `evo.load` and `evo.minimize` return tell of the front."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from evo.population.dominance import find_knee
from evo.population.objectives import Objectives
from evo.report.fronts import front_hypervolume, values_of
from evo.report.records import Evaluation, Findings


class HasFront(ABC):
    """Has a front: those individuals that no other one dominates."""

    @abstractmethod
    def _found(self) -> Findings:
        """What its events tell."""

    @property
    def objectives(self) -> Objectives:
        """The objectives, with their names and modes, and the bounds of metrics."""
        return self._found().objectives

    @property
    def front(self) -> list[Evaluation]:
        """The completed individuals that no other one dominates, ordered by the first objective.

        With one objective it is the best individual alone. While every individual violates a bound, it is the one that
        does so least.
        """
        return self._found().front

    @property
    def knee(self) -> Evaluation | None:
        """The individual of the front that is nearest to the ideal point; see `evo.population.dominance.find_knee`.

        Whatever needs one individual takes it, if there are several objectives, unless another one is named.
        """
        return find_knee(self.front)

    def values(self, individual: Evaluation | None = None) -> dict[str, float]:
        """The values of all objectives in the names and signs that the study has for them.

        Args:
            individual: One of `individuals`. None means the best.

        Returns:
            The values by name, "loss" where the objective has none; empty while there are none.
        """
        ranking = self._found().ranking
        one = individual or (ranking[0] if ranking else None)
        return {} if one is None else values_of(one, self.objectives)

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """The volume that the front dominates, up to a reference point; 0 while nothing keeps the bounds.

        Args:
            reference: The value of each objective at the reference point. None means a point that is worse than the
                front by a tenth of its extent in each objective, which differs from front to front: to compare two,
                give one point.

        Raises:
            UserError: The reference point lacks an objective, or has something else.
        """
        return front_hypervolume(self.front, self.objectives, reference)
