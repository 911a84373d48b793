"""The contract of algorithms that learn, for all that evo has."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from evo.algorithms.base import Algorithm
from evo.algorithms.shade import Shade
from evo.testing.algorithms import CONTRACT, SPACES, AlgorithmCheck

ALGORITHMS: Mapping[str, Algorithm] = {
    "shade": Shade(),
}


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_keeps_the_contract(name: str, space: str, check: AlgorithmCheck) -> None:
    check(ALGORITHMS[name], SPACES[space])
