"""Weights and states of optimizers from elsewhere, fitted to a network that may differ in some places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.optim import LBFGS, Optimizer


def fit_weights(own: Mapping[str, Any], loaded: dict[str, Any], *, may_lack: bool = False) -> set[str]:
    """Fit weights to a network: what is missing or has another shape is the network's own, and others are left out.

    Args:
        own: The weights and buffers of the network, by name.
        loaded: Those that are to be loaded, which are changed so that they can be.
        may_lack: Whether it is meant that some are not there: these are none of the result.

    Returns:
        The names of those of the network that stay as they were initialised.

    Example:
        >>> import torch
        >>> loaded = {"a": torch.ones(2), "b": torch.ones(3), "c": torch.ones(1)}
        >>> sorted(fit_weights({"a": torch.zeros(2), "b": torch.zeros(2), "d": torch.zeros(1)}, loaded))
        ['b', 'd']
        >>> loaded
        {'a': tensor([1., 1.]), 'b': tensor([0., 0.]), 'd': tensor([0.])}
    """
    anew: set[str] = set()
    for name, value in own.items():
        if name not in loaded and may_lack:
            continue
        if name not in loaded or not _fits(loaded[name], value):
            loaded[name] = value
            anew.add(name)
    for name in loaded.keys() - own.keys():
        del loaded[name]
    return anew


def _fits(loaded: Any, own: Any) -> bool:
    if not isinstance(own, Tensor) or not isinstance(loaded, Tensor):
        return isinstance(own, Tensor) == isinstance(loaded, Tensor)
    return is_lazy(own) or (not is_lazy(loaded) and loaded.shape == own.shape)


def fit_optimizers(
    optimizers: Sequence[Optimizer],
    own: Sequence[Mapping[str, Any]],
    donors: Sequence[Mapping[str, Any]],
    states: Sequence[dict[str, Any]],
    anew: AbstractSet[str],
) -> list[dict[str, Any] | None]:
    """Fit the states of a donor's optimizers to those of a training.

    Args:
        optimizers: The optimizers of the training, which are new.
        own: Their records, see `evo.lightning.hyperparameters.optimizer_records`.
        donors: The records of the donor's optimizers.
        states: The states of these.
        anew: The names of the weights whose state is not wanted.

    Returns:
        For each optimizer the state that it can load; None where it has to begin anew, because the donor's is of
        another class, or has another number of parameter groups.
    """
    fitted: list[dict[str, Any] | None] = []
    for number, optimizer in enumerate(optimizers):
        both = number < min(len(donors), len(states))
        fitted.append(_fit(optimizer, own[number], donors[number], states[number], anew) if both else None)
    return fitted


def _fit(
    optimizer: Optimizer,
    own: Mapping[str, Any],
    donors: Mapping[str, Any],
    state: dict[str, Any],
    anew: AbstractSet[str],
) -> dict[str, Any] | None:
    names, theirs = ([group["weights"] for group in record["groups"]] for record in (own, donors))
    if own["name"] != donors["name"] or len(names) != len(theirs):
        return None
    if len(state["param_groups"]) != len(theirs):
        return state  # A callback that adds groups while it trains adds them before they are loaded.
    if names == theirs and anew.isdisjoint(name for group in names for name in group):
        return state
    if isinstance(optimizer, LBFGS):
        return None  # What it knows is about all weights together.
    numbers = {
        name: number
        for group, entries in zip(theirs, state["param_groups"], strict=True)
        for name, number in zip(group, entries["params"], strict=True)
        if name not in anew
    }
    fresh = optimizer.state_dict()
    known: dict[Any, Any] = {}
    groups = []
    for group, entries, mine in zip(names, state["param_groups"], fresh["param_groups"], strict=True):
        groups.append({**entries, "params": mine["params"]})
        for name, number in zip(group, mine["params"], strict=True):
            if numbers.get(name) in state["state"]:
                known[number] = state["state"][numbers[name]]
    return {**state, "state": known, "param_groups": groups}
