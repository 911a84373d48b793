"""Trainings with scikit-learn on the data that it carries: 20 to 100 ms each, most of them on conditional spaces.

Splits and the seeds of models are fixed, so a loss depends on the parameters alone. Losses are kept in a scratch folder
(`EVO_QUALITY_SCRATCH`, or a folder for temporary files), so that comparing many tools trains every point only once.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

import evo
from benchmarks.quality.problem import Problem

SUITE: Final = "tasks"
Params: TypeAlias = Mapping[str, Any]


def scratch() -> Path:
    """The folder for what can be made again."""
    folder = Path(os.environ.get("EVO_QUALITY_SCRATCH") or Path(tempfile.gettempdir()) / "evo-quality")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Kept:
    """A function whose losses are kept in a file, one JSON line each.

    Args:
        name: The name of the file.
        function: The function; its result may be a number or a list of numbers. An exception counts as nan.
    """

    def __init__(self, name: str, function: Callable[[Params], Any]) -> None:
        self._file, self._function = scratch() / f"{name}.jsonl", function
        self._known: dict[str, Any] | None = None

    def __call__(self, params: Params) -> Any:
        known, key = self._read(), json.dumps(params, sort_keys=True)
        if key not in known:
            known[key] = value = self._evaluate(params)
            with self._file.open("a") as file:
                file.write(json.dumps([key, value]) + "\n")
        return known[key]

    def has(self, params: Params) -> bool:
        """Whether the loss of these parameters is known already."""
        return json.dumps(params, sort_keys=True) in self._read()

    def _read(self) -> dict[str, Any]:
        if self._known is None:
            lines = self._file.read_text().splitlines() if self._file.exists() else []
            self._known = dict(json.loads(line) for line in lines)
        return self._known

    def _evaluate(self, params: Params) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                value = self._function(params)
            except ValueError:  # Diverged, for example.
                return math.nan
        return value if isinstance(value, list) else (float(value) if math.isfinite(value) else math.nan)


@cache
def data(name: str, train: int, valid: int) -> tuple[Any, Any, Any, Any]:
    """A fixed split of a data set of scikit-learn: training and validation inputs, and their targets."""
    import sklearn.datasets
    from sklearn.model_selection import train_test_split

    inputs, targets = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    strata = targets if name != "diabetes" else None
    split: tuple[Any, Any, Any, Any] = tuple(
        train_test_split(inputs, targets, train_size=train, test_size=valid, random_state=0, stratify=strata)
    )
    return split


def cross_entropy(model: Any, split: tuple[Any, Any, Any, Any]) -> float:
    """The mean cross-entropy on the validation data, of probabilities no closer to 0 than 0.001."""
    train, valid, targets, wanted = split
    model.fit(train, targets)
    if hasattr(model, "predict_proba"):
        scores = model.predict_proba(valid)
    else:
        margins = model.decision_function(valid)
        margins = np.column_stack([-margins / 2, margins / 2]) if margins.ndim == 1 else margins
        scores = np.exp(margins - margins.max(axis=1, keepdims=True))
    shares = np.maximum(scores / scores.sum(axis=1, keepdims=True), 1e-3)
    places = np.searchsorted(model.classes_, wanted)
    return float(-np.log(shares[np.arange(len(wanted)), places]).mean())


def _scaler(kind: str) -> Any:
    from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

    return {
        "none": "passthrough",
        "standard": StandardScaler(),
        "minmax": MinMaxScaler(),
        "quantile": QuantileTransformer(n_quantiles=50),
    }[kind]


def _svm(p: Params, kind: str = "SVC", **others: Any) -> Any:
    import sklearn.svm

    given = {key: p[f"svm_{key}"] for key in ("C", "kernel", "gamma", "degree", "coef0") if f"svm_{key}" in p}
    return getattr(sklearn.svm, kind)(**given, **others, max_iter=5000)


_SVM: Final[dict[str, Any]] = {
    "svm_C": ("Float", 1e-3, 1e3, {"log": True}, {}),
    "svm_kernel": ("Choice", "linear", "rbf", "poly", "sigmoid", {}, {}),
    "svm_gamma": ("Float", 1e-5, 10.0, {"log": True}, {"svm_kernel": ("rbf", "poly", "sigmoid")}),
    "svm_degree": ("Int", 2, 5, {}, {"svm_kernel": "poly"}),
    "svm_coef0": ("Float", -1.0, 1.0, {}, {"svm_kernel": ("poly", "sigmoid")}),
}


def _svm_limits(when: Params) -> dict[str, Any]:
    return {
        name: getattr(evo, kind)(*values, **options, when={**when, **own} or None)
        for name, (kind, *values, options, own) in _SVM.items()
    }


def _digits_svm(p: Params) -> float:
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    reduce = PCA(p["components"], whiten=p["whiten"], random_state=0) if p["reduce"] == "pca" else "passthrough"
    model = make_pipeline(_scaler(p["scaler"]), reduce, _svm(p))
    return cross_entropy(model, data("digits", 400, 800))


_DIGITS_SVM: Final = {
    "scaler": ("none", "standard", "minmax"),
    "reduce": ("none", "pca"),
    "components": evo.Int(2, 60, when={"reduce": "pca"}),
    "whiten": evo.Choice(True, False, when={"reduce": "pca"}),
    **_svm_limits({}),
}


def _digits_mlp(p: Params) -> float:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    names = ("activation", "alpha", "batch_size", "solver", "learning_rate_init", "momentum", "nesterovs_momentum")
    more = ("learning_rate", "power_t", "beta_1", "beta_2", "epsilon")
    given = {name: p[name] for name in (*names, *more) if name in p}
    layers = [p[f"units_{layer}"] for layer in range(1, p["layers"] + 1)]
    network = MLPClassifier(layers, **given, max_iter=8, random_state=0, tol=0.0)
    return cross_entropy(make_pipeline(_scaler(p["scaler"]), network), data("digits", 500, 800))


_DIGITS_MLP: Final = {
    "scaler": ("none", "standard", "minmax"),
    "layers": (1, 3),
    "units_1": evo.Int(4, 128, log=True),
    "units_2": evo.Int(4, 128, log=True, when={"layers": (2, 3)}),
    "units_3": evo.Int(4, 128, log=True, when={"layers": 3}),
    "activation": ("relu", "tanh", "logistic"),
    "alpha": evo.Float(1e-7, 1.0, log=True),
    "batch_size": (8, 16, 32, 64, 128),
    "solver": ("sgd", "adam"),
    "learning_rate_init": evo.Float(1e-5, 1.0, log=True),
    "momentum": evo.Float(0.0, 0.99, when={"solver": "sgd"}),
    "nesterovs_momentum": evo.Choice(True, False, when={"solver": "sgd"}),
    "learning_rate": evo.Choice("constant", "invscaling", when={"solver": "sgd"}),
    "power_t": evo.Float(0.05, 0.9, when={"solver": "sgd", "learning_rate": "invscaling"}),
    "beta_1": evo.Float(0.5, 0.99, when={"solver": "adam"}),
    "beta_2": evo.Float(0.8, 0.9999, when={"solver": "adam"}),
    "epsilon": evo.Float(1e-9, 1e-2, log=True, when={"solver": "adam"}),
}


def _forest(p: Params, kind: str, **others: Any) -> Any:
    import sklearn.ensemble

    names = ("n_estimators", "max_depth", "min_samples_leaf", "max_features", "criterion")
    given = {name: p[f"forest_{name}"] for name in names if f"forest_{name}" in p}
    if p["forest_bootstrap"]:
        others["max_samples"] = p["forest_max_samples"]
    bootstrap = p["forest_bootstrap"]
    return getattr(sklearn.ensemble, kind)(**given, **others, bootstrap=bootstrap, random_state=0)


def _forest_limits(when: Params, criteria: tuple[str, ...]) -> dict[str, Any]:
    return {
        "forest_kind": evo.Choice("RandomForest", "ExtraTrees", when=when),
        "forest_n_estimators": evo.Int(3, 40, log=True, when=when),
        "forest_max_depth": evo.Int(1, 20, log=True, when=when),
        "forest_min_samples_leaf": evo.Int(1, 30, log=True, when=when),
        "forest_max_features": evo.Float(0.05, 1.0, when=when),
        "forest_criterion": evo.Choice(*criteria, when=when),
        "forest_bootstrap": evo.Choice(True, False, when=when),
        "forest_max_samples": evo.Float(0.1, 1.0, when={**when, "forest_bootstrap": True}),
    }


def _neighbours_limits(when: Params) -> dict[str, Any]:
    return {
        "neighbours_k": evo.Int(1, 60, log=True, when=when or None),
        "neighbours_weights": evo.Choice("uniform", "distance", when=when or None),
        "neighbours_metric": evo.Choice("minkowski", "cosine", "chebyshev", when=when or None),
        "neighbours_p": evo.Float(1.0, 6.0, when={**when, "neighbours_metric": "minkowski"}),
    }


def _neighbours(p: Params, kind: str) -> Any:
    import sklearn.neighbors

    more = {"p": p["neighbours_p"]} if "neighbours_p" in p else {}
    weights, metric = p["neighbours_weights"], p["neighbours_metric"]
    return getattr(sklearn.neighbors, kind)(p["neighbours_k"], weights=weights, metric=metric, **more)


def _cancer_models(p: Params) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    make: dict[str, Callable[[], Any]] = {
        "svm": lambda: _svm(p),
        "forest": lambda: _forest(p, f"{p['forest_kind']}Classifier"),
        "neighbours": lambda: _neighbours(p, "KNeighborsClassifier"),
        "logistic": lambda: LogisticRegression(
            C=p["logistic_C"], l1_ratio=p.get("logistic_l1_ratio", 0.0), solver="saga", max_iter=60, random_state=0
        ),
    }
    return cross_entropy(make_pipeline(_scaler(p["scaler"]), make[p["model"]]()), data("breast_cancer", 200, 369))


_CANCER_MODELS: Final = {
    "scaler": ("none", "standard", "minmax", "quantile"),
    "model": ("svm", "forest", "neighbours", "logistic"),
    **_svm_limits({"model": "svm"}),
    **_forest_limits({"model": "forest"}, ("gini", "entropy")),
    **_neighbours_limits({"model": "neighbours"}),
    "logistic_C": evo.Float(1e-4, 1e3, log=True, when={"model": "logistic"}),
    "logistic_mixed": evo.Choice(True, False, when={"model": "logistic"}),
    "logistic_l1_ratio": evo.Float(0.0, 1.0, when={"model": "logistic", "logistic_mixed": True}),
}


def _diabetes_models(p: Params) -> float:
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import ElasticNet
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    make: dict[str, Callable[[], Any]] = {
        "svm": lambda: _svm(p, "SVR", epsilon=p["svm_epsilon"]),
        "forest": lambda: _forest(p, f"{p['forest_kind']}Regressor"),
        "neighbours": lambda: _neighbours(p, "KNeighborsRegressor"),
        "linear": lambda: ElasticNet(alpha=p["linear_alpha"], l1_ratio=p["linear_l1_ratio"], max_iter=300),
        "boosting": lambda: GradientBoostingRegressor(
            **{key[9:]: value for key, value in p.items() if key.startswith("boosting_")}, random_state=0
        ),
    }
    more = PolynomialFeatures(2, interaction_only=p["interactions_only"]) if p["products"] else "passthrough"
    train, valid, targets, wanted = data("diabetes", 220, 222)
    model = make_pipeline(_scaler(p["scaler"]), more, make[p["model"]]())
    centre, spread = targets.mean(), targets.std()
    model.fit(train, (targets - centre) / spread)
    # Of predictions that are absurdly far off, it does not matter how far.
    return float(np.sqrt(np.minimum((model.predict(valid) - (wanted - centre) / spread) ** 2, 100.0).mean()))


_DIABETES_MODELS: Final = {
    "scaler": ("standard", "minmax", "quantile"),
    "products": (True, False),
    "interactions_only": evo.Choice(True, False, when={"products": True}),
    "model": ("svm", "forest", "neighbours", "linear", "boosting"),
    **_svm_limits({"model": "svm"}),
    "svm_epsilon": evo.Float(1e-3, 1.0, log=True, when={"model": "svm"}),
    **_forest_limits({"model": "forest"}, ("squared_error", "friedman_mse")),
    **_neighbours_limits({"model": "neighbours"}),
    "linear_alpha": evo.Float(1e-5, 10.0, log=True, when={"model": "linear"}),
    "linear_l1_ratio": evo.Float(0.01, 1.0, when={"model": "linear"}),
    "boosting_n_estimators": evo.Int(3, 60, log=True, when={"model": "boosting"}),
    "boosting_learning_rate": evo.Float(1e-3, 1.0, log=True, when={"model": "boosting"}),
    "boosting_max_depth": evo.Int(1, 6, when={"model": "boosting"}),
    "boosting_subsample": evo.Float(0.2, 1.0, when={"model": "boosting"}),
    "boosting_loss": evo.Choice("squared_error", "huber", when={"model": "boosting"}),
    "boosting_alpha": evo.Float(0.5, 0.99, when={"model": "boosting", "boosting_loss": "huber"}),
}


def _cancer_boosting(p: Params) -> float:
    from sklearn.ensemble import GradientBoostingClassifier

    return cross_entropy(GradientBoostingClassifier(**p, random_state=0), data("breast_cancer", 200, 369))


BOOSTING: Final = {
    "learning_rate": evo.Float(1e-3, 1.0, log=True),
    "max_depth": (1, 8),
    "subsample": (0.1, 1.0),
    "min_samples_leaf": evo.Int(1, 60, log=True),
    "max_features": (0.03, 1.0),
    "loss": ("log_loss", "exponential"),
    "criterion": ("squared_error", "friedman_mse"),
}
"""The limits of gradient boosting, but for the number of its trees."""
_CANCER_BOOSTING: Final = {"n_estimators": evo.Int(5, 60, log=True), **BOOSTING}


def _digits_neighbours(p: Params) -> float:
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif
    from sklearn.pipeline import make_pipeline

    reduce = {
        "none": lambda: VarianceThreshold(),
        "pca": lambda: PCA(p["components"], whiten=p["whiten"], random_state=0),
        "best": lambda: make_pipeline(VarianceThreshold(), SelectKBest(f_classif, k=p["features"])),
    }[p["reduce"]]()
    model = make_pipeline(_scaler(p["scaler"]), reduce, _neighbours(p, "KNeighborsClassifier"))
    return cross_entropy(model, data("digits", 300, 400))


_DIGITS_NEIGHBOURS: Final = {
    "scaler": ("none", "standard", "minmax", "quantile"),
    "reduce": ("none", "pca", "best"),
    "components": evo.Int(2, 60, when={"reduce": "pca"}),
    "whiten": evo.Choice(True, False, when={"reduce": "pca"}),
    "features": evo.Int(2, 50, when={"reduce": "best"}),
    **_neighbours_limits({}),
}

# Each task: the limits, the function, the lowest loss that any search has found, the median of 1,000 random points.
_TASKS: Final[dict[str, tuple[dict[str, Any], Callable[[Params], float], float, float]]] = {
    "digits_svm": (_DIGITS_SVM, _digits_svm, 0.42193, 0.8219),
    "digits_mlp": (_DIGITS_MLP, _digits_mlp, 0.12381, 2.2799),
    "cancer_models": (_CANCER_MODELS, _cancer_models, 0.09451, 0.2730),
    "diabetes_models": (_DIABETES_MODELS, _diabetes_models, 0.66917, 0.7796),
    "cancer_boosting": (_CANCER_BOOSTING, _cancer_boosting, 0.09824, 0.4824),
    "digits_neighbours": (_DIGITS_NEIGHBOURS, _digits_neighbours, 0.15920, 0.5657),
}
NAMES: Final = tuple(_TASKS)
"""The names of all tasks; the spaces of all but `cancer_boosting` are conditional."""


def problems(names: Iterable[str] = NAMES) -> list[Problem]:
    """The tasks with these names.

    Args:
        names: Names of tasks.
    """
    return [_problem(name) for name in names]


@cache
def _problem(name: str) -> Problem:
    limits, function, best, median = _TASKS[name]
    return Problem(SUITE, name, limits, partial(Kept.__call__, Kept(name, function)), best, median - best)
