"""Which metric may serve as the loss, and whether it is to be small or large, by its name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

_SMALL = re.compile(
    r"loss|logloss|error|err|mse|mae|rmse|rmsle|mape|nll|nelbo|bce|ce|cross|entropy|perplexity|ppl|bits|bpd|wer|cer|fid"
    r"|kl|divergence|distance|dist|regret|eer|hamming|brier|ece|cost|energy|residual|deviation|fnr|fpr"
)
_LARGE = re.compile(
    r"acc|accuracy|top1|top5|f1|fbeta|auc|auroc|auprc|ap|map|precision|recall|sensitivity|specificity|iou"
    r"|jaccard|dice|bleu|rouge|meteor|psnr|ssim|r2|score|reward|return|kappa|mcc|matthews|corr|correlation"
    r"|pearson|spearman|similarity|elbo|likelihood|loglikelihood|loglik|ll|logprob|win|success|ndcg|mrr|hit|tpr|tnr|ppv|npv"
)
_NEGATION = re.compile(r"neg|negative|negated|minus|inv|inverse")
_JOINED = re.compile(r"(neg|negative|minus)(log)?(\w+)")  # "negloglikelihood"
_SIGN = re.compile(r"((?:^|[/(])(?:1 ?)?-|(?<!top)(?<!hit)_1 ?-) ?(?=[A-Za-z])")  # "1-acc", "val/-elbo"
_NEGATIVE, _OF_EXAMPLES = ("neg", "negative"), ("loss", "acc", "accuracy", "similarity", "distance", "score")
_OF_STEPS = "_step"
_ASIDE = ("lr", "epoch", "step", "time", "grad", "norm", "memory")


@dataclass(frozen=True)
class Monitor:
    """A metric that serves as the loss.

    Args:
        name: Its name.
        mode: Whether it is to be small or large.
        is_sure: Whether its name says so.
        stage: Where it is logged, "validation" or "training".
    """

    name: str
    mode: Literal["min", "max"]
    is_sure: bool
    stage: str


def choose_monitor(validation: Collection[str], training: Collection[str]) -> Monitor | None:
    """The metric that a user would most likely take; None where nothing is logged.

    A loss of validations comes first, then anything else that they log whose name says what is better; metrics of
    training count where validations log nothing.

    Args:
        validation: The names that are logged in validations.
        training: The names that are logged in training alone.

    Example:
        >>> choose_monitor(["val/acc", "val/loss"], ["train/loss"]).name
        'val/loss'
        >>> choose_monitor([], ["train_acc_step", "train_acc_epoch"])
        Monitor(name='train_acc_epoch', mode='max', is_sure=True, stage='training')
    """
    for stage, names in (("validation", validation), ("training", training)):
        whole = [name for name in names if not (name.endswith(_OF_STEPS) and len(names) > 1)] or list(names)
        if whole:
            name = min(whole, key=lambda name: (_rank(name), list(names).index(name)))
            mode = direction(name)
            return Monitor(name, mode or "min", mode is not None, stage)
    return None


def direction(name: str) -> Literal["min", "max"] | None:
    """Whether a metric is to be small or large, by its name; None where that says nothing, or two things.

    Example:
        >>> direction("val/BinaryAUROC"), direction("valMSE"), direction("val_top5_error"), direction("x")
        ('max', 'min', 'min', None)
        >>> direction("neg_log_likelihood"), direction("neg_mean_squared_error"), direction("1-acc")
        ('min', 'max', 'min')
    """
    said = list(_said_by(words_in(_SIGN.sub("/minus ", name))))
    if None in said or not said:
        return None
    return "min" if "min" in said else "max"


def _said_by(words: Sequence[str]) -> Iterator[Literal["min", "max"] | None]:
    """What each telling word says: the opposite behind a negation, and None where a negation may mean two things."""
    negated: Literal["min", "max"] | None = None  # What the words that the negation is about would say without it.
    is_open, before = False, ""
    for word in _apart(words):
        says = _says(word)
        if _NEGATION.fullmatch(word) and before not in ("true", "false"):
            is_open, negated = not is_open, None
        elif says is not None:
            if is_open:
                is_open, negated = False, says
            # A loss or an accuracy may be that of negative examples; scikit-learn's neg_log_loss is a negated one.
            if says == negated and before in _NEGATIVE and word in _OF_EXAMPLES:
                yield None
            else:
                yield says if says != negated else "max" if says == "min" else "min"
        before = word
    if is_open:
        yield None


def _says(word: str) -> Literal["min", "max"] | None:
    forms = (word, word.rstrip("0123456789"))
    if any(map(_SMALL.fullmatch, forms)):
        return "min"
    return "max" if any(map(_LARGE.fullmatch, forms)) else None


def _apart(words: Sequence[str]) -> Iterator[str]:
    """The words, where a negation that is joined to another word is one of its own."""
    for word in words:
        found = _JOINED.fullmatch(word)
        yield from (found[1], found[3]) if found and _says(found[3]) else (word,)


def words_in(name: str) -> list[str]:
    """The words of a name, in small letters.

    Example:
        >>> words_in("val/BinaryF1Score_epoch")
        ['val', 'binary', 'f1', 'score', 'epoch']
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+", name)]


def _rank(name: str) -> tuple[int, int]:
    """What comes first: losses, then what is small, then what is large, then the rest; short names before long ones."""
    found = words_in(name)
    if any(word in _ASIDE for word in found):
        return 4, len(name)
    kinds = ("loss" in found, direction(name) == "min", direction(name) == "max")
    return next((place for place, is_so in enumerate(kinds) if is_so), 3), len(name)


def other_monitor(metrics: Mapping[str, Collection[str]]) -> str:
    """What to write in place of a monitor that is not logged; empty where nothing is.

    Args:
        metrics: The names that are logged in "validation" and in "training".
    """
    found = choose_monitor(metrics.get("validation", ()), metrics.get("training", ()))
    return "" if found is None else f"monitor: {found.name}, with mode: {found.mode}"
