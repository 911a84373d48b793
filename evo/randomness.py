"""Every random stream of a study, one function for each purpose.

A stream follows from the study's seed and an identity, so that none needs to be saved.
"""

from __future__ import annotations

import hashlib

import numpy as np

# The purposes of the streams.
_BREEDING, _TRAINING, _MIGRATING, _STARTING, _LEARNING = 0, 1, 2, 3, 4
# A key of its own keeps this stream apart from those of individuals.
_TOPOLOGY = (0,)
# Seeds below this are one word of numpy's.
_WORD = 2**32


def breeding_generator(seed: int, rank: int, generation: int) -> np.random.Generator:
    """The randomness of one generation of one rank: the same whenever it is bred.

    Args:
        seed: The seed of the study.
        rank: The rank that breeds.
        generation: The generation that it breeds, from 0.
    """
    return _generator(_sequence(seed, (rank, generation), _BREEDING))


def learning_entropy(seed: int, island: int) -> tuple[int, ...]:
    """Seeds for what an algorithm learns on an island: the same for all of its workers, and in every session.

    Args:
        seed: The seed of the study.
        island: The number of the island.
    """
    return seed, 0, island, _LEARNING


def training_seed(seed: int, identity: tuple[int, int]) -> int:
    """The seed of an individual's training: the same on every worker and for every attempt.

    Args:
        seed: The seed of the study.
        identity: The individual's rank and generation.

    Returns:
        A number from 0 to 2**32 - 1.
    """
    key = " ".join(map(str, (seed, *identity, _TRAINING)))
    # A digest, which takes a twentieth of the time that a stream of numpy does.
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "little")


def segment_seed(seed: int, begin: int) -> int:
    """The seed of a segment of a training that is done with one seed: its data come in another order than before.

    Args:
        seed: The seed of the training, which its first segment has.
        begin: The step from which the segment goes on.

    Example:
        >>> segment_seed(7, 0), segment_seed(7, 2) == segment_seed(7, 4)
        (7, False)
    """
    return training_seed(seed, (begin, 0)) if begin else seed


def start_generator(seed: int, number: int) -> np.random.Generator:
    """The randomness for the parameters that a start point leaves open.

    Args:
        seed: The seed of the study.
        number: The number of the point, from 0.
    """
    return _generator(_sequence(seed, (0, number), _STARTING))


def migration_generator(seed: int, identity: tuple[int, int]) -> np.random.Generator:
    """The randomness of the migration or pollination that an individual triggers.

    Args:
        seed: The seed of the study.
        identity: The individual's rank and generation.
    """
    return _generator(_sequence(seed, identity, _MIGRATING))


def topology_generator(seed: int) -> np.random.Generator:
    """The randomness of a random topology.

    Args:
        seed: The seed of the study.
    """
    return _generator(np.random.SeedSequence(seed, spawn_key=_TOPOLOGY))


def survey_generator(number: int) -> np.random.Generator:
    """Randomness that is the same in every study, so that a survey of a space always finds the same.

    Args:
        number: The number of the survey; each kind of survey has its own.
    """
    return _generator(np.random.SeedSequence([0, number]))


def _sequence(seed: int, identity: tuple[int, int], purpose: int) -> np.random.SeedSequence:
    words = (seed, *identity, purpose)
    if max(words) < _WORD:  # The same stream, but numpy takes several times as long to make this array of a list.
        return np.random.SeedSequence(np.array(words, dtype=np.uint32))
    return np.random.SeedSequence(words)


def _generator(sequence: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(sequence))
