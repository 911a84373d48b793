"""What is worth searching among the arguments of a constructor: a table of names, kinds and rules."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from evo.drafting.ranges import (
    Limit,
    Make,
    between,
    count_from_zero,
    decaying,
    list_of_sizes,
    logarithmic,
    multiples,
    odd_sizes,
    pairs,
    several,
    switch,
    whole,
)
from evo.objective.facts import ArgumentFact
from evo.space.values import why_no_value

_ACTIVATIONS = ("ReLU", "GELU", "SiLU", "Tanh")
_OTHER_ACTIVATIONS = ("leaky_relu", "leakyrelu", "elu", "selu", "sigmoid", "mish", "swish")


@dataclass(frozen=True)
class Rule:
    """What to search where the name and kind of an argument say what it is.

    Args:
        what: What it is, in words.
        names: A regular expression for the end of its name, in small letters with underscores.
        kinds: The kinds of argument that it is for.
        make: Makes the limit.
    """

    what: str
    names: str
    kinds: Collection[str]
    make: Make


@dataclass(frozen=True)
class Suggestion:
    """What to search.

    Args:
        limit: The limit.
        what: What it is, in words.
        is_sure: Whether it is worth searching; otherwise it is only shown.
    """

    limit: Limit
    what: str
    is_sure: bool = True


def activation(fact: ArgumentFact) -> Limit | None:
    """Names of activations in the manner of the default: relu, ReLU, nn.ReLU or torch.nn.ReLU."""
    if fact.kind in ("module", "class", "other"):
        is_of_torch = fact.kind == "module" or "Module" in fact.hint
        return several([f"torch.nn.{name}" for name in _ACTIVATIONS], fact) if is_of_torch else None
    if not isinstance(fact.default, str):
        return None
    prefix, dot, name = fact.default.rpartition(".")
    if name.lower() not in (*map(str.lower, _ACTIVATIONS), *_OTHER_ACTIVATIONS):
        return None
    names = [each.lower() if name.islower() else each for each in _ACTIVATIONS]
    return several(list(dict.fromkeys([fact.default, *(f"{prefix}{dot}{each}" for each in names)])), fact)


_FLOATS, _INTS = ("float",), ("int",)
_LOOSE = ("float", "int")  # A default of 0 without a type may stand for a float.
_SIZES = "size|dim|dims|units|features|channels|width|planes|nodes|neurons"

RULES = (
    Rule("a factor of decay", r"(\w+_)?(gamma|lr_decay|decay_rate|decay_factor|lr_factor)", _FLOATS, decaying),
    Rule("a learning rate", r"(lr|learning_rate|lrate)(_\w+)?|\w+_(lr|learning_rate)", _FLOATS,
         logarithmic(100, 10, 0.01, most=1.0)),
    Rule("weight decay", r"weight_decay|wd|l2(_\w+)?|weight_reg\w*", _LOOSE,
         logarithmic(100, 10, 0.01, most=1.0, zero=True)),
    Rule("dropout", r"(\w+_)?(dropout|drop)(_(rate|prob|p|ratio|\w+))?|p_drop\w*|drop_?path\w*", _LOOSE,
         between(0.0, 0.5)),
    Rule("momentum", r"momentum", _FLOATS, between(0.5, 0.99)),
    Rule("a decay rate of Adam's", r"(adam_)?(b|beta_?)1", _FLOATS, between(0.8, 0.99)),
    Rule("a decay rate of Adam's", r"(adam_)?(b|beta_?)2", _FLOATS, between(0.9, 0.9999)),
    Rule("the decay rates of Adam's", r"(adam_)?betas", ("other",), pairs([0.9, 0.999], [0.9, 0.95], [0.8, 0.99])),
    Rule("label smoothing", r"label_smooth\w*|smoothing", _LOOSE, between(0.0, 0.2)),
    Rule("mixing of examples", r"(mixup|cutmix)(_\w+)?", _LOOSE, between(0.0, 1.0)),
    Rule("a share of warm-up", r"warm_?up(_\w+)?", _FLOATS, between(0.0, 0.2)),
    Rule("warm-up", r"(num_)?warm_?up_epochs", _INTS, count_from_zero(5)),
    Rule("warm-up", r"(num_)?warm_?up(_steps|_iters|_iterations)?", _INTS, count_from_zero(500)),
    Rule("a temperature", r"(\w+_)?(temperature|temp|tau)", _FLOATS, logarithmic(10, 10, 0.1)),
    Rule("a margin", r"margin", _FLOATS, logarithmic(4, 4, 0.5)),
    Rule("a weight in the loss", r"(\w+_)?(lambda|coef|coeff|coefficient|loss_weight|kl_weight)|lambda_\w+|beta",
         _FLOATS, logarithmic(10, 10, 1.0)),
    Rule("a bound of gradients", r"(max_)?grad(ient)?_(clip|norm)\w*|clip_(grad|norm|value)\w*", _FLOATS,
         logarithmic(10, 10, 1.0)),
    Rule("a batch size", r"(train_)?(batch_?size|bs)", _INTS, multiples(0.5, 1, 2, 4, usual=32)),
    Rule("an accumulation of gradients", r"accumulat\w*", _INTS, multiples(1, 2, 4, usual=1)),
    Rule("a kernel size", r"(\w+_)?(kernel|kernel_?size|filter_?size|ksize)", _INTS, odd_sizes),
    Rule("a number of heads", r"(\w+_)?(n?_?heads?|nhead)", _INTS, multiples(0.5, 1, 2)),
    Rule("a depth", r"depth|(\w+_)?n?_?(layers?|blocks|cells|stages)", _INTS, whole(2, 2)),
    Rule("a ratio of widths", r"mlp_ratio|expan\w*|width_mult\w*", _FLOATS, multiples(0.5, 1, 2)),
    Rule("a ratio of widths", r"mlp_ratio|expan\w*|growth_?rate", _INTS, multiples(0.5, 1, 2)),
    Rule("widths of layers", rf"(\w+_)?(hidden|layers?|widths?|channels|filters|sizes|units)(_(\w+_)?({_SIZES})s?)?",
         ("other",), list_of_sizes),
    Rule("a width", rf"(\w+_)?hidden(_\w+)?|(\w+_)?(width|units|neurons|filters|planes|nf|ngf|ndf)|"
         rf"(base_|mid_|n_|num_)?(channels|features)|(\w+_)?(emb\w*|latent\w*|model|feedforward|ff|ffn|mlp|proj\w*|z|"
         rf"lin\d*|layer_?\d*|fc\d*)_({_SIZES})|d_(model|ff|inner|hid|hidden|state)|dim(_feedforward)?|n_?hid|n_?inp|"
         rf"n_?embd?|emb\w*|latent",
         _INTS, whole(4, 4, log=True)),
    Rule("an activation", r"(\w+_)?(act|activation|non_?linearity|nonlin)(_(fn|func|function|layer|name|cls|class))?",
         ("str", "module", "class", "other"), activation),
    Rule("a switch of the network", r"(use_)?(batch_?norm|bn|layer_?norm|residual|skip(_connections?)?|bidirectional|"
         r"pre_?norm|norm_first|nesterov|amsgrad|gated|tie_weights)", ("bool",), switch),
)  # fmt: skip
"""The first rule whose name and kind fit an argument counts."""

_NEVER = re.compile(
    r"(\w+_)?(seed|workers|verbose|debug|dir|path|file|root|folder|name|device|classes|vocab(_size)?|ntoken|tokens|"
    r"(in|input|out|output|target)_(features|channels|dim|dims|size|shape)|(img|image)_size|seq_len\w*|max_len\w*|"
    r"shuffle|drop_last|pin_memory|split|splits|num_samples|lr_(scheduler|step|patience|min)\w*|min_lr|compile|"
    r"positional|rate_decay_steps)"
)
# Texts that a type lists, whose names say that they change the training.
_TELLING = re.compile(
    r"(\w+_)?(act|activation|norm|normalization|pool|pooling|opt|optim|optimizer|sched|scheduler|loss|init|block|arch|"
    r"architecture|backbone|attention|encoder|decoder|cell|rnn|model|variant|kind|type)(_(fn|type|name|kind|layer))?"
)


def suggest(fact: ArgumentFact) -> Suggestion | None:
    """What to search for an argument; None where its name, type and default do not say.

    Args:
        fact: The argument.

    Example:
        >>> suggest(ArgumentFact(name="dropout", kind="float", default=0.1)).limit
        {'type': 'float', 'low': 0.0, 'high': 0.5, 'default': 0.1}
        >>> suggest(ArgumentFact(name="num_classes", kind="int", default=10)) is None
        True
    """
    name = snake_case(fact.name.rpartition(".")[2])
    is_beyond = why_no_value(fact.default) or (fact.shown and fact.kind in _LOOSE)  # No limit holds such a default.
    if fact.kind == "int" and isinstance(fact.default, float):
        fact = msgspec.structs.replace(fact, kind="float")  # A default tells more than a type that it is not of.
    if _NEVER.fullmatch(name) or is_beyond:
        return None
    if fact.kind == "float" and type(fact.default) is int:
        fact = msgspec.structs.replace(fact, default=float(fact.default))
    if fact.choices:
        limit = several(fact.choices, fact)
        return None if limit is None else Suggestion(limit, "its type lists them", bool(_TELLING.fullmatch(name)))
    for rule in RULES:
        if fact.kind in rule.kinds and re.fullmatch(rule.names, name):
            if fact.kind == "int" and "float" in rule.kinds and (fact.hint or fact.default not in (0, 1, None)):
                continue
            limit = rule.make(fact)
            if limit is not None:
                return Suggestion(limit, rule.what)
    limit = switch(fact) if fact.kind == "bool" else None
    return None if limit is None else Suggestion(limit, "a switch", is_sure=False)


def snake_case(name: str) -> str:
    """A name in small letters with underscores.

    Example:
        >>> snake_case("learningRate"), snake_case("numLSTMLayers"), snake_case("lin1_size")
        ('learning_rate', 'num_lstm_layers', 'lin1_size')
    """
    apart = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name))
    return apart.lower().strip("_")
