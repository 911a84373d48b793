"""Mistakes in what a training is made of, found before the search: everything is read, and made once."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping

from evo.errors import UserError
from evo.frames import is_of_evo, told
from evo.lightning.blueprint import Blueprint, Shares, check_kinds, has_own_loaders
from evo.lightning.data import same_random_numbers
from evo.lightning.environment import quiet
from evo.lightning.loggers import check_loggers
from evo.lightning.parts import AbsentPart, Constructor
from evo.lightning.reports import check_validations
from evo.lightning.signatures import SectionError
from evo.lightning.trainers import Seat, make_trainer
from evo.lightning.weights import begin_from_weights, load_weights

_MOST_TRIES = 5  # Points at which something may be impossible to make before it counts as a mistake.


def check_training(blueprint: Blueprint, names: Collection[str], examples: Sequence[Mapping[str, Any]]) -> list[str]:
    """Make sure that a training can be made with these parameters.

    Args:
        blueprint: The training.
        names: The names of all parameters, conditional ones included.
        examples: Points that together show every choice; without any, only names are checked.

    Returns:
        Remarks for the user: which fixed arguments are left out where another class does not take them.

    Raises:
        UserError: Nothing takes a name, a value does not fit, or something cannot be made; the message has the place.
    """
    blueprint.check_length(names)
    check_loggers(blueprint.trainer.get("logger"))
    seen: set[str] = set()
    notes: dict[str, None] = {}
    for shares in map(blueprint.share_out, examples) if examples else [blueprint.share_names(names)]:
        for part, params in shares.values():
            linked = [link.place for link in blueprint.links if link.target_part == part.name]
            part.check([*params, *linked])
            key = f"{part.name} {part.title} {sorted(params.items())}"
            if examples and key not in seen and not linked:
                seen.add(key)
                part.read({**blueprint.placed(part.name), **params})
            notes |= dict.fromkeys(part.dropped)
    if blueprint.data is None and isinstance(blueprint.model, type) and not has_own_loaders(blueprint.model):
        raise UserError(f"there is no data: give one, or define train_dataloader in {blueprint.model.__name__}")
    _make_once(blueprint, examples)
    return [f"left out: {note}" for note in notes]


def check_start_of(blueprint: Blueprint, weights: Path, examples: Sequence[Mapping[str, Any]], trust: bool) -> None:
    """Make sure that trainings can begin from weights: that they load, and that some network can take one of them.

    Args:
        blueprint: The training.
        weights: The file.
        examples: Points that together show every choice.
        trust: Whether the file is loaded with any code in it.

    Raises:
        UserError: They cannot.
    """
    load_weights(weights, trust)
    refusals: list[UserError] = []
    for example in examples[:_MOST_TRIES]:
        with same_random_numbers(), quiet(0), suppress(Exception):
            module, _ = blueprint.build(blueprint.share_out(example), lambda key, make: None, sets_up=False)
            if isinstance(module, L.LightningModule):
                vars(module).pop("configure_optimizers", None)
                module.configure_model()
                try:
                    begin_from_weights(module, weights, trust)
                except UserError as error:
                    refusals.append(error)
                    continue
        return  # What cannot be made here, by itself, will say so in the search.
    raise refusals[-1]


def _make_once(blueprint: Blueprint, examples: Sequence[Mapping[str, Any]]) -> None:
    """Make what sections describe, once for each combination of classes."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for example in examples:
        classes = {name: value for name, value in example.items() if name.endswith("class_path")}
        kinds.setdefault(repr(classes), []).append(example)
    for alike in kinds.values():
        for number, example in enumerate(alike[:_MOST_TRIES], 1):
            shares = blueprint.share_out(example)
            failed = _make(blueprint, shares)
            if failed is None:
                break
            name, refusal = failed
            # Something that cannot be made with some parameters only is a failed individual, and no mistake.
            if number == min(len(alike), _MOST_TRIES) or not shares[name][1]:
                raise refusal


def _make(blueprint: Blueprint, shares: Shares) -> tuple[str, UserError] | None:
    """Make all parts; returns the part that cannot be made, and why, or None."""
    doing = ["trainer"]
    try:
        with same_random_numbers(), quiet(0), tempfile.TemporaryDirectory() as folder:
            trainer, _ = make_trainer(blueprint, shares, Seat(Path(folder)), [], logger=False)
            check_validations(trainer.max_epochs, trainer.check_val_every_n_epoch, trainer.limit_val_batches)
            doing.append("early_stopping")
            EarlyStopping(**{"monitor": blueprint.monitor} | blueprint.settings(shares, "early_stopping"))
            _make_module_and_data(blueprint, shares, doing)
    except SectionError as error:
        return doing[-1], error
    except Exception as error:
        if is_of_evo(error) and not isinstance(error, UserError):
            raise
        refusal = UserError(f"{doing[-1]} cannot be made: {shares[doing[-1]][0].title}: {told(error)}")
        refusal.__cause__ = error
        return doing[-1], refusal
    return None


def _make_module_and_data(blueprint: Blueprint, shares: Shares, doing: list[str]) -> None:
    # A class given in Python may do anything when it is made: only sections are known to be cheap and without effects.
    takes_data = any(link.source_part == "data" for link in blueprint.links)
    data = shares["data"][0]
    if isinstance(shares["model"][0], Constructor) or (isinstance(data, Constructor) and takes_data):
        return
    module, made = blueprint.build(
        shares, lambda key, make: None if isinstance(data, Constructor) else make(), doing.append, sets_up=False
    )
    if isinstance(module, L.LightningModule):
        vars(module).pop("configure_optimizers", None)  # It refers to the module, whose memory would not be freed.
    check_kinds(module, None if isinstance(data, Constructor) else made)
    if module is not None and blueprint.data is None and isinstance(data, AbsentPart) and not has_own_loaders(module):
        raise SectionError(
            f"there is no section data, and {shares['model'][0].title} has no train_dataloader: add one of the two"
        )
