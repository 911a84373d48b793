"""Algorithms that learn from every individual that finishes; see `evo.algorithms.base`."""

from evo.algorithms.additive import AdditiveSearch
from evo.algorithms.base import Algorithm, Learner, Setup, View
from evo.algorithms.cmaes import CMAES
from evo.algorithms.front import FrontSearch
from evo.algorithms.modelled import ModelledSearch
from evo.algorithms.nelder_mead import NelderMead
from evo.algorithms.optuna_sampler import OptunaSampler
from evo.algorithms.pbt import PopulationBasedTraining
from evo.algorithms.portfolio import Portfolio
from evo.algorithms.pso import ParticleSwarm
from evo.algorithms.regularized import RegularizedEvolution
from evo.algorithms.shade import Shade
from evo.algorithms.tpe import TPE

__all__ = [
    "CMAES",
    "TPE",
    "AdditiveSearch",
    "Algorithm",
    "FrontSearch",
    "Learner",
    "ModelledSearch",
    "NelderMead",
    "OptunaSampler",
    "ParticleSwarm",
    "PopulationBasedTraining",
    "Portfolio",
    "RegularizedEvolution",
    "Setup",
    "Shade",
    "View",
]
