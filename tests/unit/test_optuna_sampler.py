"""Optuna's samplers as algorithms: the contract, the way between both spaces, and what travels."""

from __future__ import annotations

import json
import warnings
from itertools import islice
from typing import Any

import numpy as np
import pytest

from evo.algorithms.base import Setup, View
from evo.algorithms.optuna_sampler import OptunaSampler
from evo.errors import UserError
from evo.population.objectives import Bound, Objectives
from evo.space.limits import Choice, Float, Int
from evo.space.space import Space
from evo.testing.algorithms import CONTRACT as WHOLE_CONTRACT
from evo.testing.algorithms import (
    SPACES,
    AlgorithmCheck,
    copes_with_whatever_it_is_told,
    keeps_the_contract_with_two_objectives,
    learns_nothing_from_what_it_only_proposes,
    proposes_the_same_when_told_the_same,
    proposes_what_can_be_tried_and_journalled,
)
from evo.testing.searches import TWO_LOSSES, VirtualSearch, completed, distance_to_a_point, failed, mixed_fronts

optuna = pytest.importorskip("optuna", reason='needs optuna: pip install "evo-mpi[optuna]"')
pytestmark = pytest.mark.filterwarnings("error")

from evo.algorithms.optuna_space import Suggestions  # noqa: E402

TPE = OptunaSampler("TPESampler", {"multivariate": True, "group": True, "constant_liar": True})
# Optuna's reference points of a hypervolume depend on where the zeros of losses are.
CONTRACT = [check for check in WHOLE_CONTRACT if check is not keeps_the_contract_with_two_objectives]
EVERY_KIND = Space(
    {
        "rate": Float(1e-5, 1e-1, log=True),
        "share": (0.0, 1.0),
        "tenths": Float(0.1, 0.75, step=0.1),
        "powers": Float(1.0, 100.0, step=1.5, log=True),
        "width": Int(1, 512, log=True),
        "even": Int(2, 11, step=2),
        "odd": Int(1, 99, step=2, log=True),
        "batch": (8, 16, 64),
        "kind": Choice("a", None, True),
        "units": Choice([64], [64, 32]),
        "alike": Choice("x", 1, True),
        "always": 3,
        "momentum": Float(0.0, 1.0, when={"kind": "a"}),
    }
)


@pytest.mark.parametrize("check", CONTRACT[:-1], ids=lambda check: check.__name__)
def test_tpe_keeps_the_contract(check: AlgorithmCheck) -> None:
    check(OptunaSampler(), SPACES["constants"])


def test_tpe_by_groups_searches_a_conditional_space() -> None:
    space = SPACES["conditional"]
    loss = distance_to_a_point(space, seed=0)
    search = VirtualSearch(TPE, space, lambda known: completed(known, loss(known.genome)), workers=4)
    search.run(50)
    losses = [one.loss for one, _ in search.told if one.loss is not None]
    assert len(losses) == 50
    assert np.median(losses[10:]) < np.median(losses[:10]) / 2  # The first ten are drawn at random.


# Optuna models each group of parameters for itself, which takes a tenth of a second for a proposal in a conditional
# space: there, only what the groups could break.
BY_GROUPS = [
    *(("constrained", check) for check in CONTRACT if check is not proposes_the_same_when_told_the_same),
    ("conditional", proposes_the_same_when_told_the_same),
    ("conditional", copes_with_whatever_it_is_told),
]


@pytest.mark.parametrize(("space", "check"), BY_GROUPS, ids=lambda one: getattr(one, "__name__", one))
def test_tpe_by_groups_keeps_the_contract(space: str, check: AlgorithmCheck) -> None:
    check(TPE, SPACES[space])


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("CmaEsSampler", proposes_what_can_be_tried_and_journalled),
        *((name, proposes_the_same_when_told_the_same) for name in ("CmaEsSampler", "NSGAIISampler", "QMCSampler")),
        *((name, learns_nothing_from_what_it_only_proposes) for name in ("NSGAIISampler", "QMCSampler")),
    ],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_what_other_samplers_learn_depends_only_on_what_they_are_told(name: str, check: AlgorithmCheck) -> None:
    if name == "CmaEsSampler":
        pytest.importorskip("cmaes")
    check(OptunaSampler(name), SPACES["constants"])


def test_tpe_converges() -> None:
    space = SPACES["one float"]
    loss = distance_to_a_point(space, seed=1)
    search = VirtualSearch(OptunaSampler(), space, lambda known: completed(known, loss(known.genome)))
    search.run(40)
    assert np.median([one.loss for one, _ in search.told[-10:] if one.loss is not None]) < 0.01


def test_cma_es_adapts_although_its_state_does_not_travel() -> None:
    pytest.importorskip("cmaes")
    space = Space({f"x{place}": (0.0, 1.0) for place in range(4)})
    loss = distance_to_a_point(space, seed=2)
    search = VirtualSearch(OptunaSampler("CmaEsSampler"), space, lambda known: completed(known, loss(known.genome)))
    search.run(120)
    generations = [one.strategy["optuna"]["trial"] for one, _ in search.told if one.strategy]
    assert max(max(said.values()) for said in generations) >= 10
    assert not any("pickle" in json.dumps(said) or "optimizer" in json.dumps(said) for said in generations)
    late = [one.loss for one, _ in search.told[-20:] if one.loss is not None]
    assert max(late) < 0.05 < min(one.loss for one, _ in search.told[:3] if one.loss is not None)


def test_points_of_a_sequence_are_tried_once_each_on_all_workers() -> None:
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    search = VirtualSearch(OptunaSampler("QMCSampler"), space, lambda known: completed(known, 0.0), workers=4)
    search.run(30)
    counted = [next(iter(one.strategy["optuna"]["study"].values())) for one, _ in search.told if one.strategy]
    assert len(set(counted)) == len(counted) >= 29


def test_genes_come_back_from_optuna_as_they_were() -> None:
    suggestions, rng = Suggestions(EVERY_KIND), np.random.default_rng(0)
    for _ in range(200):
        genome = EVERY_KIND.encode(EVERY_KIND.complete(EVERY_KIND.sample(rng), rng))
        params, distributions = suggestions.told(genome)
        assert all(each._contains(each.to_internal_repr(params[name])) for name, each in distributions.items())
        back = suggestions.ask(optuna.trial.FixedTrial(params))
        assert EVERY_KIND.complete(back, rng) == EVERY_KIND.decode(genome)
        assert np.isnan(back[-1]) == np.isnan(genome[-1])


def test_distributions_have_the_bounds_scales_and_steps_of_the_parameters() -> None:
    known = EVERY_KIND.encode(EVERY_KIND.complete(np.full(len(EVERY_KIND), 0.0), np.random.default_rng(0)))
    _, distributions = Suggestions(EVERY_KIND).told(known)
    of = optuna.distributions
    assert distributions["rate"] == of.FloatDistribution(1e-5, 1e-1, log=True)
    assert distributions["tenths"] == of.FloatDistribution(0.1, 0.7, step=0.1)
    assert distributions["powers"] == of.IntDistribution(0, 66)
    assert distributions["width"] == of.IntDistribution(1, 512, log=True)
    assert distributions["even"] == of.IntDistribution(2, 10, step=2)
    assert distributions["batch"] == of.IntDistribution(0, 2)
    assert distributions["kind"] == of.CategoricalDistribution(["a", None, True])
    assert distributions["momentum"] == of.FloatDistribution(0.0, 1.0)
    assert "always" not in distributions


def test_optuna_is_told_what_failed_and_what_runs() -> None:
    search = VirtualSearch(TPE, SPACES["floats"], failed, workers=3)
    search.run(3)
    states = [trial.state.name for trial in search.learner.study.trials]  # type: ignore[attr-defined]
    assert states == ["FAIL"] * 3


def test_a_constant_liar_keeps_away_from_what_runs() -> None:
    space = Space({"x": (0.0, 1.0)})
    search = VirtualSearch(
        OptunaSampler("TPESampler", {"constant_liar": True}), space, lambda one: completed(one, float(one.genome[0]))
    )
    search.run(30)
    before = [float(one.genome[0]) for one in islice(search.candidates(), 1)]
    view = search.view
    near = [one for one, _ in search.told if abs(one.genome[0] - before[0]) < 0.2] * 8
    rng = np.random.default_rng([0, 11, 30])
    after = next(search.learner.propose(View(active=view.active, running=near, used=30), rng))
    assert float(after.genome[0]) != before[0]


def test_optunas_log_and_warnings_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    verbosity = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = TPE.start(Setup(space=SPACES["floats"]))
        assert len(list(islice(learner.propose(View(), np.random.default_rng(0)), 3))) == 3
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == verbosity


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("TPESample", {}, "Optuna has no sampler 'TPESample'; did you mean TPESampler?"),
        ("Parzen", {}, "Optuna has no sampler 'Parzen': it has BruteForceSampler, "),
        ("TPESampler", {"sigma": 1}, "TPESampler of Optuna refuses {'sigma': 1}: .*unexpected keyword"),
        ("TPESampler", {"seed": 1}, "seed is given to TPESampler"),
    ],
)
def test_a_wrong_name_or_option_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        OptunaSampler(name, options)


def test_its_name_in_records_is_that_of_the_configuration() -> None:
    assert OptunaSampler("RandomSampler").bred_by == "optuna:RandomSampler"


@pytest.mark.parametrize("name", ["TPESampler", "NSGAIISampler", "GPSampler"])
def test_samplers_are_told_all_losses_and_violations(name: str) -> None:
    if name == "GPSampler":
        pytest.importorskip("torch")
    objectives = Objectives(modes=TWO_LOSSES.modes, bounds=(Bound(metric="second", limit=0.125, is_least=True),))
    space = SPACES["floats"]
    search = VirtualSearch(OptunaSampler(name), space, mixed_fronts(space), workers=2, objectives=objectives)
    search.run(15)
    trials = search.learner.study.trials  # type: ignore[attr-defined]
    told = [one for one, _ in search.told]
    assert [trial.values for trial in trials if trial.values] == [list(one.losses) for one in told if one.losses]
    violations = [trial.system_attrs["constraints"] for trial in trials if trial.values]
    assert violations == [[one.violation] for one in told if one.losses]


def test_only_cma_es_refuses_several_objectives() -> None:
    taking = {name: OptunaSampler(name).takes_several for name in ("TPESampler", "NSGAIIISampler", "CmaEsSampler")}
    assert taking == {"TPESampler": True, "NSGAIIISampler": True, "CmaEsSampler": False}
