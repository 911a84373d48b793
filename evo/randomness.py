"""Every random stream of a study, by its purpose: made from the study's seed and an identity, so none needs saving."""

from __future__ import annotations

import numpy as np

# What the streams are for.
_BREEDING, _TRAINING, _MIGRATING, _STARTING = 0, 1, 2, 3
# Apart from all streams of individuals.
_TOPOLOGY = (0,)


def breeding_generator(seed: int, rank: int, generation: int) -> np.random.Generator:
    """The randomness of one generation of one rank: the same whenever it is bred.

    Args:
        seed: The study's.
        rank: The rank that breeds.
        generation: The generation that it breeds, from 0.
    """
    return _generator(_sequence(seed, (rank, generation), _BREEDING))


def training_seed(seed: int, identity: tuple[int, int]) -> int:
    """The seed of an individual's training: the same whoever evaluates it, and however often.

    Args:
        seed: The study's.
        identity: The individual's rank and generation.

    Returns:
        Below 2**32.
    """
    return int(_sequence(seed, identity, _TRAINING).generate_state(1)[0])


def start_generator(seed: int, number: int) -> np.random.Generator:
    """The randomness of what a start point lacks.

    Args:
        seed: The study's.
        number: The point's, from 0.
    """
    return _generator(_sequence(seed, (0, number), _STARTING))


def migration_generator(seed: int, identity: tuple[int, int]) -> np.random.Generator:
    """The randomness of the travels that an individual brings about.

    Args:
        seed: The study's.
        identity: The individual's rank and generation.
    """
    return _generator(_sequence(seed, identity, _MIGRATING))


def topology_generator(seed: int) -> np.random.Generator:
    """The randomness of a topology that is drawn.

    Args:
        seed: The study's.
    """
    return _generator(np.random.SeedSequence(seed, spawn_key=_TOPOLOGY))


def survey_generator(number: int) -> np.random.Generator:
    """Randomness that is the same in every study: what is found out about a space does not depend on who asks.

    Args:
        number: Another one for each thing that is found out.
    """
    return _generator(np.random.SeedSequence([0, number]))


def _sequence(seed: int, identity: tuple[int, int], purpose: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, *identity, purpose])


def _generator(sequence: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(sequence))
