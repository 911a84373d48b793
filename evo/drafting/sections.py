"""A study from what its classes take: what is searched, what keeps its default, what the user has to fill in."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evo.drafting.ranges import Limit, multiples
from evo.drafting.suggestions import Suggestion, snake_case, suggest
from evo.objective.facts import ArgumentFact, ClassFacts
from evo.space.syntax import reference

ADAM = "torch.optim.AdamW"
# Widths that attention divides among its heads.
_DIVIDED = re.compile(r"d_model|(embed|emb|hidden|model|attention)_?(dim|size)|n?_?embd?|n_?inp|dim|hidden_channels")
_HEADS = "a number of heads"
# What a training may go on with another value of, as its weights fit all the same.
_CHANGEABLE = (
    "a learning rate", "weight decay", "dropout", "momentum", "a decay rate of Adam's", "the decay rates of Adam's",
    "label smoothing", "mixing of examples", "a weight in the loss", "a bound of gradients", "a batch size",
)  # fmt: skip
_CHANGES_ANYWAY = ("optimizer.", "data.")
_OPTIMIZER = (
    ArgumentFact(name="lr", kind="float", hint="float", default=0.001),
    ArgumentFact(name="weight_decay", kind="float", hint="float", default=0.01),
    ArgumentFact(name="betas", kind="other", hint="tuple", default=[0.9, 0.999]),
)


@dataclass(frozen=True)
class SearchedArgument:
    """A parameter and its limit.

    Args:
        name: Its dotted name, "model.lr".
        limit: Its limit.
        about: What it is, its type and default.
        is_active: Whether it is searched, rather than only shown.
    """

    name: str
    limit: Limit
    about: str
    is_active: bool = True


@dataclass(frozen=True)
class DraftedSection:
    """The section of a class.

    Args:
        path: The class.
        set_aside: The arguments that are not searched.
        given: The arguments that it is given, and why.
    """

    path: str
    set_aside: Sequence[ArgumentFact] = ()
    given: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudyDraft:
    """A study, before anything is known of its training.

    Args:
        model: The section of the module.
        data: That of the data module. None means that there is none.
        optimizer: The class of an optimizer section. Empty means that there is none.
        replaces: Whether this optimizer takes the place of one that the module configures.
        searched: What is searched, or could be.
        constraints: Conditions that parameters must fulfil.
        needed: The arguments that the user has to fill in, by their dotted names, with their types.
    """

    model: DraftedSection
    data: DraftedSection | None
    optimizer: str = ""
    replaces: bool = False
    searched: Sequence[SearchedArgument] = ()
    constraints: Sequence[str] = ()
    needed: Mapping[str, str] = field(default_factory=dict)

    @property
    def active(self) -> list[SearchedArgument]:
        """What is searched."""
        return [each for each in self.searched if each.is_active]

    @property
    def changeable(self) -> list[SearchedArgument]:
        """What is searched and may change while a network trains, as the limits do not say yet."""
        found = (each for each in self.active if each.about.startswith(_CHANGEABLE))
        return [each for each in found if not each.name.startswith(_CHANGES_ANYWAY)]


def draft_study(model: ClassFacts, data: ClassFacts | None, *, may_replace: bool = True) -> StudyDraft:
    """A study from its classes.

    Args:
        model: The module.
        data: The data module. None means that there is none.
        may_replace: Whether an optimizer may take the place of the module's own where nothing else can be searched.
    """
    section, searched, needed = _draft_section("model", model)
    own_data = None
    if data is not None:
        own_data, more, others = _draft_section("data", data)
        searched, needed = [*searched, *more], needed | others
    is_empty = not any(each.is_active for each in searched)
    replaces = model.has_optimizer and is_empty and may_replace
    optimizer = ADAM if replaces or not model.has_optimizer else ""
    searched += list(_of_optimizer("optimizer")) if optimizer else []
    searched, constraints = _divide_among_heads(searched)
    return StudyDraft(
        model=section,
        data=own_data,
        optimizer=optimizer,
        replaces=replaces,
        searched=searched,
        constraints=constraints,
        needed=needed,
    )


def _draft_section(kind: str, facts: ClassFacts) -> tuple[DraftedSection, list[SearchedArgument], dict[str, str]]:
    searched: list[SearchedArgument] = []
    aside: list[ArgumentFact] = []
    needed: dict[str, str] = {}
    given: dict[str, Any] = {}
    for fact in facts.arguments:
        name = f"{kind}.{fact.name}"
        if fact.is_off:
            aside.append(fact)
            continue
        # A default that is a function of the user's stays, since nothing tells what it makes.
        if fact.kind == "optimizer" and "." not in fact.name and (fact.maker is not None or not fact.shown):
            given[fact.name] = {"class_path": ADAM if fact.maker is None else fact.maker.path}
            searched += _of_optimizer(name, None if fact.maker is None else fact.maker.names)
            continue
        found = suggest(fact)
        if found is not None and _is_active(kind, fact, found):
            searched.append(SearchedArgument(name, found.limit, about(fact, found.what)))
            continue
        aside.append(fact)
        if fact.needed:
            needed[name] = fact.hint
        elif found is not None and "." not in fact.name:
            searched.append(SearchedArgument(name, found.limit, about(fact, found.what), is_active=False))
    return DraftedSection(facts.path, aside, given), searched, needed


def _is_active(kind: str, fact: ArgumentFact, found: Suggestion) -> bool:
    """Whether to search an argument: of data, only the size of batches, since others say what the data are."""
    return found.is_sure and (kind == "model" or found.what in ("a batch size", "mixing of examples", "dropout"))


def _of_optimizer(name: str, names: Collection[str] | None = None) -> Iterator[SearchedArgument]:
    """What is searched of an optimizer, as far as it takes that; None stands for Adam."""
    for fact in _OPTIMIZER:
        if names is not None and fact.name not in names:
            continue
        found = suggest(fact)
        assert found is not None
        yield SearchedArgument(f"{name}.{fact.name}", found.limit, about(fact, found.what), fact.name != "betas")


def about(fact: ArgumentFact, what: str = "") -> str:
    """An argument in a few words: what it is, its type and its default."""
    default = fact.shown or ("" if fact.needed else _value_text(fact.default))
    parts = [what, fact.hint or "no type", f"default {default}" if default else "no default"]
    return ", ".join(part for part in parts if part)


def _value_text(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _divide_among_heads(searched: list[SearchedArgument]) -> tuple[list[SearchedArgument], list[str]]:
    """Let widths be multiples of the numbers of heads beside them, which attention needs."""
    heads = [each for each in searched if each.about.startswith(_HEADS)]
    if len(heads) != 1:
        return searched, []
    of, constraints = heads[0].name, []
    found = []
    for one in searched:
        default = one.limit.get("default") if isinstance(one.limit, dict) else None
        is_width = _DIVIDED.fullmatch(snake_case(one.name.rpartition(".")[2])) and one.about.startswith("a width")
        if is_width and default and one.name.partition(".")[0] == of.partition(".")[0]:
            fact = ArgumentFact(name="", kind="int", default=default)
            one = replace(one, limit=multiples(0.5, 1, 2)(fact) or one.limit)
            constraints.append(f"{reference(one.name)} % {reference(of)} == 0")
        found.append(one)
    return found, constraints


def trial_sections(draft: StudyDraft) -> dict[str, Any]:
    """The sections of a training with the defaults, and the middle of limits for what has none.

    Args:
        draft: The study.
    """
    sections = {"model": _trial_section("model", draft.model, draft)}
    if draft.data is not None:
        sections["data"] = _trial_section("data", draft.data, draft)
    if draft.optimizer:
        sections["optimizer"] = {"class_path": draft.optimizer, "init_args": {"lr": 0.001}}
    return sections


def _trial_section(kind: str, section: DraftedSection, draft: StudyDraft) -> dict[str, Any]:
    """The section with the values that a search gives, but for defaults that the class has itself."""
    arguments: dict[str, Any] = dict(section.given)
    for one in draft.active:
        first, *groups, name = one.name.split(".")
        is_own = first == kind and not (groups and groups[0] in section.given)  # Not of an optimizer that is given.
        if not is_own or not isinstance(one.limit, dict) or (not groups and "default" in one.limit):
            continue
        place = arguments
        for group in groups:  # Fields of a dataclass that has no default of its own are given together.
            place = place.setdefault(group, {})
        place[name] = one.limit.get("default", middle(one.limit))
    return {"class_path": section.path, "init_args": arguments} if arguments else {"class_path": section.path}


def middle(limit: Mapping[str, Any]) -> Any:
    """A value in the middle of a limit.

    Example:
        >>> middle({"type": "float", "low": 0.001, "high": 0.1, "log": True})
        0.01
    """
    if limit["type"] == "choice":
        return limit["values"][0]
    low, high = limit["low"], limit["high"]
    value = math.sqrt(low * high) if limit.get("log") else (low + high) / 2
    return int(value) if limit["type"] == "int" else float(f"{value:.4g}")
