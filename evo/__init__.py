"""evo finds the hyperparameters of a network on a cluster: asynchronous evolution over MPI, Lightning inside.

>>> import evo
>>> result = evo.minimize(lambda params: params["x"] ** 2, {"x": (-5.0, 5.0)}, evaluations=20)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evo.algorithms import Algorithm
    from evo.errors import UserError
    from evo.lightning import LightningObjective
    from evo.objective.objective import Infeasible, Interrupted
    from evo.posthoc.testing import test
    from evo.propagators import Propagator, default_propagator
    from evo.pruning import Pruner
    from evo.report.callbacks import Callback
    from evo.report.reading import load
    from evo.report.results import SearchFailed
    from evo.space.limits import Choice, Float, Int
    from evo.study.asking import Study
    from evo.study.config import Config
    from evo.study.session import minimize

__version__ = "0.1.0"

# Names are loaded when they are first used, so that importing evo is quick, and loads neither MPI nor torch.
_HOMES = {
    "Algorithm": "evo.algorithms",
    "Callback": "evo.report.callbacks",
    "Choice": "evo.space.limits",
    "Config": "evo.study.config",
    "Float": "evo.space.limits",
    "Infeasible": "evo.objective.objective",
    "Int": "evo.space.limits",
    "Interrupted": "evo.objective.objective",
    "LightningObjective": "evo.lightning",
    "Propagator": "evo.propagators",
    "Pruner": "evo.pruning",
    "SearchFailed": "evo.report.results",
    "Study": "evo.study.asking",
    "UserError": "evo.errors",
    "default_propagator": "evo.propagators",
    "load": "evo.report.reading",
    "minimize": "evo.study.session",
    "test": "evo.posthoc.testing",
}

__all__ = [
    "Algorithm",
    "Callback",
    "Choice",
    "Config",
    "Float",
    "Infeasible",
    "Int",
    "Interrupted",
    "LightningObjective",
    "Propagator",
    "Pruner",
    "SearchFailed",
    "Study",
    "UserError",
    "__version__",
    "default_propagator",
    "load",
    "minimize",
    "test",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'evo' has no attribute {name!r}")
    return getattr(import_module(home), name)
