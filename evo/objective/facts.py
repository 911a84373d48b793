"""What a constructor takes, as plain records that one process finds and another reads."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ArgumentKind = Literal["float", "int", "bool", "str", "choice", "optimizer", "scheduler", "module", "class", "other"]
FACTS = "facts.json"


class MakerFact(msgspec.Struct, frozen=True, kw_only=True):
    """The class of an optimizer.

    Args:
        path: Its import path.
        names: What its constructor takes beside the weights.
    """

    path: str
    names: list[str]


class ArgumentFact(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a constructor.

    Args:
        name: Its name; that of a field of a dataclass has the argument's name before it, "config.width".
        kind: What it is. A class is made from a section with class_path; module, a torch module; optimizer and
            scheduler, a function that makes one from weights or from an optimizer.
        hint: Its type, as text.
        needed: Whether it has no default.
        default: Its default, where that is plain.
        shown: Its default as text, where that is not plain.
        choices: Its values, where its type lists them.
        optional: Whether None is a value.
        is_off: Whether it is a field of something whose default is None, which a value for the field would switch on.
        maker: Its default, where that is the class of an optimizer.
    """

    name: str
    kind: ArgumentKind
    hint: str = ""
    needed: bool = False
    default: Any = None
    shown: str = ""
    choices: list[Any] = []
    optional: bool = False
    is_off: bool = False
    maker: MakerFact | None = None


class ClassFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A LightningModule or LightningDataModule.

    Args:
        path: How the user names it.
        arguments: What its constructor takes.
        has_optimizer: Whether it configures its optimizer itself.
        has_loaders: Whether it has dataloaders for its training.
    """

    path: str
    arguments: list[ArgumentFact]
    has_optimizer: bool = True
    has_loaders: bool = True
