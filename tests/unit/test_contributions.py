"""Which algorithm has proposed what, and how often that was the best so far."""

from __future__ import annotations

from typing import Any

import evo
from evo.report.contributions import Contribution, contributions, contributions_text
from evo.report.records import Evaluation


def evaluation(number: int, loss: float | None, bred_by: str, **more: Any) -> Evaluation:
    status = "completed" if loss is not None else "failed"
    given = {"params": {}, "status": status, "loss": loss, "bred_by": bred_by, "ended": float(number), **more}
    return Evaluation(individual=(0, number), **given)


def test_an_improvement_is_what_was_better_than_all_that_had_ended_before() -> None:
    made = [
        evaluation(0, 5.0, "random"),
        evaluation(1, 3.0, "tpe", ended=9.0),  # Ends last.
        evaluation(2, 4.0, "tpe"),
        evaluation(3, 4.0, "genetic"),  # As good is not better.
        evaluation(4, None, "genetic"),
        evaluation(5, 1.0, "tpe", status="pruned"),
        evaluation(6, 0.5, "tpe", is_set_aside=True),
        evaluation(7, None, "tpe", status="running"),
    ]
    assert contributions(made) == {
        "genetic": Contribution(evaluations=2, improvements=0, best=4.0),
        "random": Contribution(evaluations=1, improvements=1, best=5.0),
        "tpe": Contribution(evaluations=4, improvements=2, best=3.0),
    }


def test_journals_of_an_earlier_version_do_not_say_who_it_was() -> None:
    assert list(contributions([evaluation(0, 1.0, "")])) == ["unknown"]


def test_nothing_is_said_where_one_algorithm_has_proposed_everything() -> None:
    assert contributions_text([evaluation(0, 1.0, "random"), evaluation(1, 0.5, "random")]) == ""


def test_a_search_says_who_has_contributed_what() -> None:
    found = evo.minimize(lambda params: params["x"] ** 2, {"x": (-1.0, 1.0)}, evaluations=40, seed=1)
    by_name = contributions(found.individuals)
    assert sum(one.evaluations for one in by_name.values()) == 40
    assert set(by_name) > {"random"}
    assert found.best is not None
    assert min(one.best for one in by_name.values() if one.best is not None) == found.best.loss
    assert contributions_text(found.individuals).startswith("evaluations that improved the best: ")
