"""Trainings with learning curves, for searches that prune: 27 steps each, on the data that scikit-learn carries.

A curve is trained as far as it is asked for, and kept in a scratch folder (see `tasks.scratch`). Train some thousands
beforehand with `python curves.py COUNT`.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

import evo
from benchmarks.quality.tasks import BOOSTING, Kept, data
from evo.space.space import Space

SUITE: Final = "curves"
STEPS: Final = 27
_LEVELS: Final = (1, 3, 9, STEPS)  # Curves are trained to one of these lengths, because most are pruned early.
Params: TypeAlias = Mapping[str, Any]
Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Trainings whose losses are known after each step; the loss of a complete one is the lowest of its curve.

    Args:
        suite: The suite that it belongs to.
        name: Its name, unique within the suite.
        limits: What is searched, as evo's limits.
        curve: The losses after each step, at least as many as asked for; from the parameters and that number.
        target: The loss to reach: within 1 % of the way from the best to the median of random curves; see `_CURVES`.
    """

    suite: str
    name: str
    limits: Mapping[str, Any]
    curve: Callable[[Params, int], list[float]] = field(compare=False)
    target: float = 0.0

    @property
    def space(self) -> Space:
        """The search space."""
        return Space(self.limits)


class Network:
    """A network of dense layers, trained with SGD or Adam in minibatches; plain numpy, because it is so small.

    Args:
        params: The hyperparameters, as `_NETWORK` has them.
        inputs: The number of inputs.
        outputs: The number of outputs.
        classes: Whether the outputs are the logits of classes, and not one number.
    """

    def __init__(self, params: Params, inputs: int, outputs: int, classes: bool) -> None:
        self.params, self.classes = params, classes
        self.rng = np.random.default_rng(0)
        sizes = [inputs, *[params["units"]] * params["layers"], outputs]
        self.weights = [self.rng.normal(0, params["init"] / np.sqrt(a), (a, b)) for a, b in itertools.pairwise(sizes)]
        self.weights += [np.zeros(size) for size in sizes[1:]]
        self.first = [np.zeros_like(weight) for weight in self.weights]
        self.second = [np.zeros_like(weight) for weight in self.weights]
        self.steps = 0

    def forward(self, inputs: Array, train: bool = False) -> list[Array]:
        """The activations of all layers, the inputs first."""
        depth, relu, dropout = len(self.weights) // 2, self.params["activation"] == "relu", self.params["dropout"]
        values = [inputs]
        for layer in range(depth):
            value = values[-1] @ self.weights[layer] + self.weights[depth + layer]
            if layer < depth - 1:
                value = np.maximum(value, 0.0) if relu else np.tanh(value)
                if train and dropout:
                    value = value * (self.rng.random(value.shape) >= dropout) / (1 - dropout)
            values.append(value)
        return values

    def loss(self, inputs: Array, targets: Array) -> float:
        """The mean cross-entropy, or the root of the mean squared error."""
        out = self.forward(inputs)[-1]
        if not self.classes:
            return float(np.sqrt(((out[:, 0] - targets) ** 2).mean()))
        out = out - out.max(axis=1, keepdims=True)
        return float((np.log(np.exp(out).sum(axis=1)) - out[np.arange(len(out)), targets.astype(int)]).mean())

    def epoch(self, inputs: Array, targets: Array) -> None:
        """One pass over the data in random order."""
        order, size = self.rng.permutation(len(inputs)), self.params["batch"]
        for start in range(0, len(order) - size + 1, size):
            rows = order[start : start + size]
            self._step(self._gradients(inputs[rows], targets[rows]))

    def _gradients(self, inputs: Array, targets: Array) -> list[Array]:
        depth, relu = len(self.weights) // 2, self.params["activation"] == "relu"
        values = self.forward(inputs, train=True)
        if self.classes:
            delta = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
            delta /= delta.sum(axis=1, keepdims=True)
            delta[np.arange(len(delta)), targets.astype(int)] -= 1.0
        else:
            delta = values[-1] - targets[:, None]
        delta, slopes = delta / len(inputs), [np.zeros(0)] * (2 * depth)
        for layer in reversed(range(depth)):
            slopes[layer] = values[layer].T @ delta + self.params["decay"] * self.weights[layer]
            slopes[depth + layer] = delta.sum(axis=0)
            if layer:
                # A dropped unit is 0: with relu it passes nothing on; with tanh its slope is a good enough guess.
                delta = (delta @ self.weights[layer].T) * ((values[layer] > 0) if relu else 1 - values[layer] ** 2)
        return slopes

    def _step(self, slopes: list[Array]) -> None:
        self.steps += 1
        rate = self.params["rate"]
        for weight, slope, first, second in zip(self.weights, slopes, self.first, self.second, strict=True):
            if self.params["optimizer"] == "sgd":
                first *= self.params["momentum"]
                first += slope
                weight -= rate * first
            else:
                beta = self.params["beta"]
                first += (1 - beta) * (slope - first)
                second += 0.001 * (slope**2 - second)
                corrected = np.sqrt(second / (1 - 0.999**self.steps)) + 1e-8
                weight -= rate * first / (1 - beta**self.steps) / corrected


_NETWORK: Final = {
    "layers": (1, 2),
    "units": evo.Int(8, 128, log=True),
    "activation": ("relu", "tanh"),
    "init": evo.Float(0.1, 3.0, log=True),
    "dropout": (0.0, 0.6),
    "decay": evo.Float(1e-6, 0.1, log=True),
    "batch": (16, 32, 64, 128),
    "optimizer": ("sgd", "adam"),
    "rate": evo.Float(1e-5, 1.0, log=True),
    "momentum": evo.Float(0.0, 0.99, when={"optimizer": "sgd"}),
    "beta": evo.Float(0.5, 0.99, when={"optimizer": "adam"}),
}


def _trained(params: Params, steps: int, name: str, train: int, valid: int) -> list[float]:
    inputs, others, targets, wanted = data(name, train, valid)
    centre, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    inputs, others, classes = (inputs - centre) / spread, (others - centre) / spread, name == "digits"
    if not classes:
        middle, width = targets.mean(), targets.std()
        targets, wanted = (targets - middle) / width, (wanted - middle) / width
    network = Network(params, inputs.shape[1], 10 if classes else 1, classes)
    curve = []
    for _ in range(steps):
        network.epoch(inputs, targets)
        loss = network.loss(others, wanted)
        curve.append(loss if loss < 1e3 else 1e3)  # Also instead of nan.
    return curve


def _digits(params: Params, steps: int) -> list[float]:
    return _trained(params, steps, "digits", 700, 800)


def _diabetes(params: Params, steps: int) -> list[float]:
    return _trained(params, steps, "diabetes", 260, 182)


def _boosting(params: Params, steps: int) -> list[float]:
    from sklearn.ensemble import GradientBoostingClassifier

    train, valid, targets, wanted = data("breast_cancer", 250, 319)
    model = GradientBoostingClassifier(**params, n_estimators=4 * steps, random_state=0).fit(train, targets)
    rows, losses = np.arange(len(wanted)), []
    for shares in model.staged_predict_proba(valid):
        losses.append(float(-np.log(np.maximum(shares[rows, wanted], 1e-3)).mean()))
    return losses[3::4]


# Each one: the limits, the function, the target. It is from 1,000 random curves (`cancer_stages`: from 329), and for
# `diabetes_network` within 5 %, because which configurations come within 1 % there looks like luck.
_CURVES: Final[dict[str, tuple[dict[str, Any], Callable[[Params, int], list[float]], float]]] = {
    "digits_network": (_NETWORK, _digits, 0.132658),
    "diabetes_network": (_NETWORK, _diabetes, 0.688400),
    "cancer_stages": (BOOSTING, _boosting, 0.095825),
}
NAMES: Final = tuple(_CURVES)
"""The names of all trainings with curves."""


def problems(names: Iterable[str] = NAMES) -> list[Curves]:
    """The trainings with these names.

    Args:
        names: Names of trainings with curves.
    """
    return [_problem(name) for name in names]


@cache
def _problem(name: str) -> Curves:
    limits, function, target = _CURVES[name]
    levels = {level: Kept(f"curves-{name}-{level}", partial(function, steps=level)) for level in _LEVELS}

    def curve(params: Params, steps: int) -> list[float]:
        enough = [kept for level, kept in levels.items() if level >= steps]
        kept: list[float] = next((kept for kept in enough if kept.has(params)), enough[0])(params)
        return kept

    return Curves(SUITE, name, limits, curve, target)


def main() -> None:
    """Train random configurations of all problems, and print what the targets are derived from."""
    for problem in problems():
        rng, space = np.random.default_rng(0), problem.space
        curves = np.array(
            [problem.curve(space.complete(space.sample(rng), rng), STEPS) for _ in range(int(sys.argv[1]))]
        )
        lowest = curves.min(axis=1)
        best, median = float(lowest.min()), float(np.median(lowest))
        print(f"{problem.name}: best {best:.6g}, median {median:.6g}, target {best + 0.01 * (median - best):.6g}")


if __name__ == "__main__":
    main()
