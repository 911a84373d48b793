"""The contract of algorithms that learn, for all that evo has."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from evo.algorithms.base import Algorithm
from evo.algorithms.nelder_mead import NelderMead
from evo.algorithms.optuna_sampler import OptunaSampler
from evo.algorithms.pso import ParticleSwarm
from evo.algorithms.regularized import RegularizedEvolution
from evo.algorithms.shade import Shade
from evo.errors import UserError
from evo.testing.algorithms import CONTRACT, SPACES, AlgorithmCheck

ALGORITHMS: Mapping[str, Algorithm] = {
    "nelder_mead": NelderMead(),
    "pso": ParticleSwarm(),
    "regularized": RegularizedEvolution(),
    "shade": Shade(),
}


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_keeps_the_contract(name: str, space: str, check: AlgorithmCheck) -> None:
    check(ALGORITHMS[name], SPACES[space])


def test_without_optuna_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'not installed: pip install "evo-mpi\[optuna\]"'):
        OptunaSampler()
