"""Which member of a portfolio proposes, and what each is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from evo.algorithms import Algorithm, Learner, Portfolio, Setup, View
from evo.algorithms.catalogue import make_propagator
from evo.algorithms.portfolio import PortfolioLearner, usual_members
from evo.errors import UserError
from evo.population.individual import Individual, Known
from evo.space.space import Space

SPACE = Space({"x": (0.0, 1.0)})
SETUP = Setup(space=SPACE)


@dataclass(frozen=True)
class Fixed(Algorithm):
    """Proposes points near a place, and notes what it is told."""

    place: float
    told: list[Known] = field(default_factory=list, compare=False)

    @property
    def bred_by(self) -> str:
        return "fixed"

    def start(self, setup: Setup) -> Learner:
        return FixedLearner(self)


class FixedLearner(Learner):
    def __init__(self, constants: Fixed) -> None:
        self._constants = constants

    def learn(self, individual: Known, loss: float | None) -> None:
        self._constants.told.append(individual)

    def propose(self, view: View, rng: np.random.Generator) -> Iterator[Individual]:
        place = self._constants.place
        while True:
            genome = np.array([place + 0.01 * rng.random()])
            yield Individual(genome=genome, strategy={"place": place}, bred_by="near" if place > 0.5 else "")


def search(portfolio: Portfolio, evaluations: int, scale: float = 1.0, shift: float = 0.0) -> PortfolioLearner:
    """Go through a search whose loss is the first gene, scaled and shifted."""
    learner = portfolio.start(SETUP)
    for number in range(evaluations):
        candidate = next(learner.propose(View(), np.random.default_rng(number)))
        loss = scale * float(candidate.genome[0]) + shift
        learner.learn(
            Known(
                genome=candidate.genome,
                identity=(0, number),
                status="completed",
                loss=loss,
                strategy=candidate.strategy,
                bred_by=candidate.bred_by,
            ),
            loss,
        )
    return learner


def test_the_member_whose_individuals_are_among_the_best_proposes_more_and_the_others_keep_the_floor() -> None:
    learner = search(Portfolio({"good": Fixed(0.1), "bad": Fixed(0.9)}, floor=0.2), 300)
    good, bad = learner.shares()
    assert good + bad == pytest.approx(1.0)
    assert good > 0.7
    assert bad >= 0.2


def test_at_first_all_members_propose_as_often() -> None:
    assert Portfolio({name: Fixed(0.1) for name in "abc"}).start(SETUP).shares() == pytest.approx([1 / 3] * 3)


def test_a_floor_that_is_too_high_for_so_many_members_is_an_equal_share() -> None:
    learner = search(
        Portfolio({name: Fixed(place) for name, place in zip("abc", (0.1, 0.5, 0.9), strict=True)}, 0.9), 50
    )
    assert learner.shares() == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e6), (3.0, -7.0)])
def test_a_loss_that_is_scaled_and_shifted_gives_the_same_credit(scale: float, shift: float) -> None:
    members = {"good": Fixed(0.1), "bad": Fixed(0.9)}
    assert search(Portfolio(members), 100, scale, shift).shares() == search(Portfolio(members), 100).shares()


def test_failures_cost_credit() -> None:
    learner = Portfolio({"one": Fixed(0.1), "other": Fixed(0.9)}).start(SETUP)
    for number in range(30):
        learner.learn(Known(genome=np.zeros(1), identity=(0, number), status="failed", bred_by="one"), None)
    one, other = learner.shares()
    assert one < 0.3 < 0.7 < other


def test_each_member_learns_from_all_and_recognises_only_its_own() -> None:
    first, second = Fixed(0.1), Fixed(0.9)
    search(Portfolio({"first": first, "second": second}), 40)
    assert len(first.told) == len(second.told) == 40
    for member, name in ((first, "fixed"), (second, "near")):
        own = [one for one in member.told if one.strategy]
        assert 0 < len(own) < 40
        assert {one.bred_by for one in own} == {name}
        assert {one.strategy["place"] for one in own} == {member.place}


def test_the_journal_names_the_member_and_its_operator() -> None:
    learner = Portfolio({"first": Fixed(0.1), "second": Fixed(0.9)}).start(SETUP)
    names = {next(learner.propose(View(), np.random.default_rng(seed))).bred_by for seed in range(50)}
    assert names == {"first", "second/near"}


def test_when_the_candidates_of_one_member_were_all_tried_another_one_is_asked() -> None:
    learner = Portfolio({"first": Fixed(0.1), "second": Fixed(0.9)}).start(SETUP)
    candidates = list(learner.propose(View(), np.random.default_rng(0)))
    assert {candidate.bred_by for candidate in candidates} == {"first", "second/near"}
    assert len(candidates) < 100


def test_members_are_named_in_a_study_file() -> None:
    portfolio = make_propagator({"name": "portfolio", "members": ["tpe", {"name": "genetic", "sigma": 0.1}]}, {})
    assert isinstance(portfolio, Portfolio)
    assert portfolio.members is not None
    assert list(portfolio.members) == ["tpe", "genetic"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"name": "portfolio", "members": []}, "members is {}: give at least one algorithm"),
        ({"name": "portfolio", "forgetting": 0}, "forgetting is 0: rewards would never change anything"),
        ({"name": "portfolio", "members": ["tpee"]}, "'tpee' is no ready one.*did you mean tpe?"),
        ({"name": "portfolio", "floor": 2}, r"floor is 2.*"),
        ({"name": "portfolio", "floor": math.nan}, r"floor is nan.*"),
    ],
)
def test_a_mistake_in_a_portfolio_is_named(setting: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_propagator(setting, {})


@pytest.mark.parametrize("settings", [{}, {"forgetting": 1.0}, {"power": 100.0, "floor": 0.0}])
def test_when_nothing_improves_any_more_every_member_can_still_be_asked(settings: dict[str, float]) -> None:
    learner = Portfolio({"one": Fixed(0.1), "other": Fixed(0.9)}, **settings).start(SETUP)
    for number in range(20_000):
        by = ("one", "other")[number % 2]
        learner.learn(Known(genome=np.zeros(1), identity=(0, number), status="completed", loss=1.0, bred_by=by), 1.0)
    assert sum(learner.shares()) == pytest.approx(1.0)
    assert min(learner.shares()) > 0
    assert len(list(learner.propose(View(), np.random.default_rng(0)))) > 24


def test_with_a_high_floor_the_better_members_are_still_preferred() -> None:
    learner = Portfolio(floor=0.3).start(SETUP)
    for number in range(200):
        by, loss = ("genetic", -float(number)) if number % 2 else ("tpe", 1.0)
        known = Known(genome=np.zeros(1), identity=(0, number), status="completed", loss=loss, bred_by=by)
        learner.learn(known, loss)
    shares = dict(zip(usual_members(), learner.shares(), strict=True))
    assert shares["genetic"] >= shares["tpe"] >= 0.24
    assert sum(shares.values()) == pytest.approx(1.0)


def test_the_modelled_search_leads_only_while_its_models_foresee_what_comes_out() -> None:
    learner = Portfolio().start(Setup(space=Space({"x": (0.0, 1.0), "few": (1, 4)})))
    leading = learner.shares()[0]
    learner._learners["modelled"].foresight = 0.1  # type: ignore[attr-defined]
    assert 0.2 < learner.shares()[0] < leading
    assert sum(learner.shares()) == pytest.approx(1.0)


def test_members_may_be_given_by_class_path_and_twice() -> None:
    twice = [{"name": "tpe", "good": 0.1}, {"name": "tpe", "good": 0.3}, {"class_path": "Shade"}]
    portfolio = make_propagator({"name": "portfolio", "members": twice}, {})
    assert isinstance(portfolio, Portfolio)
    assert portfolio.members is not None
    assert list(portfolio.members) == ["tpe", "tpe2", "Shade"]


@pytest.mark.parametrize("members", [["tpe"], {"tpe": "tpe"}, {"a/b": Fixed(0.1)}, {}])
def test_members_that_are_none_are_refused(members: Any) -> None:
    with pytest.raises(UserError, match=r"^members "):
        Portfolio(members)
