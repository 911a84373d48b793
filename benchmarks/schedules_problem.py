"""A training whose learning rate must fall: SGD with noisy gradients on a quadratic loss; it needs numpy only.

A high learning rate forgets the start fast and ends in noise, a low one never arrives, so that the best constant is
worse than a schedule. Wherever it is trained, the same seed gives the same noise in the same epoch.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EPOCHS = 40  # The length of a training.
STEPS = 25  # Of an epoch.
LEARNING_RATES = 1e-4, 1.0
MOMENTA = 0.0, 0.95
_CURVATURES = np.geomspace(0.05, 1.0, 20)
_START, _NOISE = 30.0, 1.0


class NoisyTraining:
    """The weights of one training, and the velocity of its optimizer.

    Args:
        weights: The weights; None means those of the start.
        velocity: The velocity; None means none yet.
        epoch: The number of epochs that it has trained.
    """

    def __init__(
        self, weights: NDArray[np.float64] | None = None, velocity: NDArray[np.float64] | None = None, epoch: int = 0
    ) -> None:
        self.weights = np.full(_CURVATURES.shape, _START) if weights is None else weights
        self.velocity = np.zeros(_CURVATURES.shape) if velocity is None else velocity
        self.epoch = epoch

    def train(self, rate: float, momentum: float, seed: int) -> float:
        """Train an epoch; returns the loss after it."""
        rng = np.random.default_rng([seed, self.epoch])
        for noise in rng.normal(0.0, _NOISE, (STEPS, len(_CURVATURES))):
            self.velocity = momentum * self.velocity - rate * (_CURVATURES * self.weights + noise)
            self.weights = np.clip(self.weights + self.velocity, -1e6, 1e6)
        self.epoch += 1
        return float(0.5 * (_CURVATURES * self.weights**2).sum())

    def save(self, file: Path) -> None:
        """Save it."""
        state = {"weights": self.weights.tolist(), "velocity": self.velocity.tolist(), "epoch": self.epoch}
        file.write_text(json.dumps(state))

    @classmethod
    def load(cls, file: Path) -> NoisyTraining:
        """Load one that was saved."""
        state = json.loads(file.read_text())
        return cls(np.array(state["weights"]), np.array(state["velocity"]), state["epoch"])


def rest(seconds: float, seed: int, epoch: int) -> None:
    """Sleep as long as an epoch takes: lognormal times with this median."""
    if seconds:
        time.sleep(seconds * float(np.exp(np.random.default_rng([seed, epoch, 1]).normal(0.0, 0.5))))


def train_whole(rate: float, momentum: float, seed: int) -> float:
    """The best loss of a whole training with constant hyperparameters."""
    training = NoisyTraining()
    return min(training.train(rate, momentum, seed) for _ in range(EPOCHS))
