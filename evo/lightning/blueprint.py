"""What a training is made of, for any parameters: which part gets which of them, and in which order they are made."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.model_helpers import is_overridden

from evo.errors import UserError
from evo.evaluation.open_runs import OpenRun
from evo.lightning.linking import Link, comes_first, linked_values, read_links
from evo.lightning.loggers import RunPlace, has_loggers, is_of_loggers, placed_loggers
from evo.lightning.optimizing import set_optimizers
from evo.lightning.parts import AbsentPart, Constructor, Part, Section, make_part
from evo.lightning.settings import Arguments
from evo.lightning.sharing import share_out
from evo.lightning.signatures import SectionError, find_any
from evo.lightning.stores import make_stores

Shares: TypeAlias = Mapping[str, tuple[Part, dict[str, Any]]]
"""The parts by name, each with the parameters that it gets."""
Given: TypeAlias = Callable[..., Any] | Section | None
"""A class, a function that makes one, a section, or nothing."""

_SECTIONS = ("model", "data", "optimizer", "lr_scheduler")  # Sections whose class may be searched.
_LENGTHS = {"max_epochs": (None,), "max_steps": (None, -1), "max_time": (None,)}  # The values that set no limit.


@final
@dataclass(frozen=True)
class Blueprint:
    """A training before its parameters are known; the fields are those of `LightningObjective`.

    Args:
        model: The module.
        data: The data module. None means that the module has its own dataloaders.
        trainer: Arguments of the Trainer.
        early_stopping: Arguments of Lightning's EarlyStopping.
        optimizer: A section with an optimizer, in place of the module's own.
        lr_scheduler: A section with a scheduler for this optimizer.
        link_arguments: The links between arguments, from sources to targets.
        trainer_class: A Trainer in place of Lightning's own.
        monitor: The metric that serves as the loss.
    """

    model: Given
    data: Given
    trainer: Mapping[str, Any]
    early_stopping: Mapping[str, Any]
    optimizer: Section | None
    lr_scheduler: Section | None
    link_arguments: Mapping[str, Any] | None
    trainer_class: Callable[..., L.Trainer] | str | None
    monitor: str

    @property
    def links(self) -> list[Link]:
        """The arguments that one part takes from another.

        Raises:
            UserError: A link names no part.
        """
        return read_links(self.link_arguments, [*_SECTIONS, "trainer", "early_stopping"])

    @property
    def make_trainer(self) -> Callable[..., L.Trainer]:
        """The Trainer's class, or a function that makes one."""
        if isinstance(self.trainer_class, str):
            return find_any(self.trainer_class, "trainer_class")
        return self.trainer_class or L.Trainer

    def share_out(self, params: Mapping[str, Any]) -> Shares:
        """Which parameters each part gets, with the classes that these say.

        Raises:
            UserError: Nobody takes one of them, or a section is malformed.
        """
        return self._shares(params, _SECTIONS)

    def share_names(self, names: Collection[str]) -> Shares:
        """The same for names whose values are not known; parts whose class is searched take everything.

        Raises:
            UserError: Nobody takes one of them, or a section is malformed.
        """
        known = [name for name in _SECTIONS if f"{name}.class_path" not in map(_short, names)]
        return self._shares(dict.fromkeys(names), known, at_once=False)

    def check_length(self, names: Collection[str]) -> None:
        """Make sure that something says how long a training may last.

        Args:
            names: The names of the parameters.

        Raises:
            UserError: Nothing says so.
        """
        says = {f"trainer.{name}" for name, nothing in _LENGTHS.items() if self.trainer.get(name) not in nothing}
        says |= set(map(_short, names)) | {link.target for link in self.links}
        if says.isdisjoint(f"trainer.{name}" for name in _LENGTHS):
            raise UserError(
                "max_epochs is absent: say how many epochs a training may take, or -1 for no limit; or search "
                "trainer.max_epochs."
            )

    def build(
        self,
        shares: Shares,
        keep_data: Callable[[Mapping[str, Any], Callable[[], Any]], Any],
        tell: Callable[[str], object] = lambda name: None,
        *,
        sets_up: bool = True,
    ) -> tuple[Any, Any]:
        """The module, with its optimizer if there is a section for it, and the data module.

        Args:
            shares: The parts and their parameters.
            keep_data: Returns the data module, given its parameters and a function that makes it.
            tell: Is called with the name of each part before that is made.
            sets_up: Whether the data module may be set up for what is taken from it.

        Returns:
            Both; None in place of what cannot be made without setting the data up, or of data that are not there.

        Raises:
            Exception: Whatever a constructor raises, unchanged.
        """
        made: dict[str, Any] = {}

        def set_up() -> None:
            made["data"].prepare_data()
            made["data"].setup("fit")

        first = comes_first(self.links)
        for name in (first, "data" if first == "model" else "model"):
            tell(name)
            part, params = shares[name]
            linked = linked_values(name, self.links, shares, made, set_up if sets_up else None)
            if linked is None:
                return None, made.get("data")
            make = functools.partial(part.make, {**params, **linked})
            if name == "data" and not isinstance(part, AbsentPart):
                made[name] = keep_data({**params, **linked, "class_path": part.title}, make)
            else:
                made[name] = make()
        self._optimize(shares, made, tell)
        return made["model"], made["data"]

    def settings(self, shares: Shares, name: str) -> dict[str, Any]:
        """The arguments of the Trainer or of EarlyStopping, with those that are taken from elsewhere.

        Loggers of the user's are not among them, because making one may open a run; see `loggers`.

        Args:
            shares: The parts and their parameters.
            name: "trainer" or "early_stopping".
        """
        part, params = shares[name]
        given = {**params, **(linked_values(name, self.links, shares, {}, None) or {})}
        if name == "trainer" and self.has_loggers:
            given = {"logger": False, **{each: given[each] for each in given if not is_of_loggers(each)}}
        return part.make(given)  # type: ignore[no-any-return]

    @property
    def has_loggers(self) -> bool:
        """Whether the user has loggers."""
        return has_loggers(self.trainer.get("logger"))

    def loggers(self, shares: Shares, place: RunPlace, runs: Iterator[OpenRun | None], session: str) -> list[Logger]:
        """The user's loggers, made.

        Args:
            shares: The parts and their parameters.
            place: Where they log, and under which name.
            runs: The runs in which they go on.
            session: The session of the study, in which a store is made once.
        """
        part, params = shares["trainer"]
        assert isinstance(part, Arguments)
        given = {**params, **(linked_values("trainer", self.links, shares, {}, None) or {})}
        placed = {"logger": placed_loggers(self.trainer["logger"], place, runs)}
        placed |= {each: given[each] for each in given if is_of_loggers(each)}
        make_stores(placed["logger"], session)
        made = part.make_one("logger", placed)
        return list(made) if isinstance(made, list | tuple) else [made]

    def placed(self, name: str) -> dict[str, Any]:
        """The Trainer's loggers as they would be in the working directory, to be read only; nothing for other parts."""
        is_trainer = name == "trainer" and self.has_loggers
        return {"logger": placed_loggers(self.trainer["logger"], RunPlace(os.curdir))} if is_trainer else {}

    def _optimize(self, shares: Shares, made: dict[str, Any], tell: Callable[[str], object]) -> None:
        if isinstance(shares["optimizer"][0], AbsentPart) or not isinstance(made["model"], L.LightningModule):
            return
        before: Any = made["model"].parameters()
        for name in ("optimizer", "lr_scheduler"):
            part, params = shares[name]
            if not isinstance(part, AbsentPart):
                tell(name)
                linked = linked_values(name, self.links, shares, made, None) or {}
                made[name] = before = part.make({**params, **linked}, before)
        set_optimizers(made["model"], made["optimizer"], made.get("lr_scheduler"), self.monitor)

    def _shares(self, params: Mapping[str, Any], known: Collection[str], *, at_once: bool = True) -> Shares:
        classes = {_short(name): value for name, value in params.items() if _short(name).endswith(".class_path")}
        classes = {place: classes.get(place, ...) for place in (f"{name}.class_path" for name in _SECTIONS)}
        parts: dict[str, Part] = {}
        for name in _SECTIONS:
            path = classes[f"{name}.class_path"]
            if name not in known:
                parts[name] = Constructor(name, _takes_any)
            elif path is None:
                parts[name] = AbsentPart(name)  # It is searched whether there is one.
            else:
                parts[name] = make_part(name, getattr(self, name), None if path is ... else path)
        if isinstance(parts["optimizer"], AbsentPart) and not isinstance(parts["lr_scheduler"], AbsentPart):
            raise UserError("there is a section lr_scheduler, but no section optimizer that it is for: add one")
        parts["trainer"] = Arguments("trainer", self.make_trainer, self.trainer)
        parts["early_stopping"] = Arguments("early_stopping", EarlyStopping, self.early_stopping)
        others = {name: value for name, value in params.items() if _short(name) not in classes}
        anywhere = [parts["model"], parts["data"]]
        dotted: Sequence[Part] = [part for part in parts.values() if part not in anywhere]
        shares = share_out(others, anywhere, dotted, at_once=at_once)
        return {part.name: (part, share) for part, share in zip([*anywhere, *dotted], shares, strict=True)}


def has_own_loaders(module: Any) -> bool:
    """Whether a module, or its class, defines dataloaders for its training."""
    if isinstance(module, type):
        return getattr(module, "train_dataloader", None) is not L.LightningModule.train_dataloader
    return not isinstance(module, L.LightningModule) or is_overridden("train_dataloader", module)


def check_kinds(module: Any, data: Any) -> None:
    """Make sure that these are a module and, if anything, a data module of the Lightning that trains them.

    Raises:
        SectionError: One of them is something else.
    """
    for thing, kind in ((module, L.LightningModule), (data, L.LightningDataModule)):
        if not isinstance(thing, kind | None):
            raise SectionError(
                f"{type(thing).__module__}.{type(thing).__qualname__} is not a {kind.__module__}.{kind.__name__}. "
                "evo trains what `import lightning` brings, not `import pytorch_lightning`: change that import."
            )


def _short(name: str) -> str:
    """`model.class_path` for `model.init_args.class_path`, and the like."""
    return name.replace(".init_args.", ".")


def _takes_any(**others: Any) -> None:
    """Stands in for a class that is not known yet."""
