"""Problems whose fronts are known: ZDT and DTLZ2, and BNH, TNK and SRN with bounds.

ZDT: E. Zitzler, K. Deb, L. Thiele, doi:10.1162/106365600568202. DTLZ: K. Deb, L. Thiele, M. Laumanns, E. Zitzler,
doi:10.1109/CEC.2002.1007032. BNH: T. T. Binh, U. Korn, MOBES (1997). TNK: M. Tanaka, H. Watanabe, Y. Furukawa,
T. Tanino, doi:10.1109/ICSMC.1995.537993. SRN: N. Srinivas, K. Deb, doi:10.1162/evco.1994.2.3.221. The formulas of the
last three are those of K. Deb et al., doi:10.1109/4235.996017, table V.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np

from benchmarks.fronts.problem import FrontProblem, Points, Value, vector
from evo.population.dominance import hypervolume, ranks

_DENSE = 20_001


def zdt(number: int) -> FrontProblem:
    """ZDT1, ZDT2 or ZDT3, with 30 parameters from 0 to 1."""
    limits = {f"x{i}": (0.0, 1.0) for i in range(30)}
    far, name = (11.0, 11.0), f"zdt{number}"
    near = (1.1, 1.1)

    def loss(params: object) -> Value:
        x = vector(params)  # type: ignore[arg-type]
        first, factor = float(x[0]), 1.0 + 9.0 * float(x[1:].mean())
        return Value((first, factor * _zdt_shape(number, first, factor)))

    volume = partial(_volume_of, partial(_zdt_front, number))
    return FrontProblem("textbook", name, limits, loss, reference=far, near=near, volume=volume)  # type: ignore[arg-type]


def _zdt_shape(number: int, first: float, factor: float) -> float:
    share = first / factor
    if number == 2:
        return 1.0 - share**2
    wave = share * np.sin(10 * np.pi * first) if number == 3 else 0.0
    return float(1.0 - np.sqrt(share) - wave)


@cache
def _zdt_front(number: int) -> Points:
    points = [(first, _zdt_shape(number, first, 1.0)) for first in np.linspace(0.0, 1.0, _DENSE).tolist()]
    return _undominated(np.array(points))


def dtlz2() -> FrontProblem:
    """DTLZ2 with 3 objectives and 12 parameters from 0 to 1; the front is an eighth of the unit sphere."""
    limits = {f"x{i}": (0.0, 1.0) for i in range(12)}

    def loss(params: object) -> Value:
        x = vector(params)  # type: ignore[arg-type]
        radius = 1.0 + float(((x[2:] - 0.5) ** 2).sum())
        (cos1, cos2), (sin1, sin2) = np.cos(x[:2] * np.pi / 2), np.sin(x[:2] * np.pi / 2)
        return Value((float(radius * cos1 * cos2), float(radius * cos1 * sin2), float(radius * sin1)))

    def volume(reference: Sequence[float]) -> float:
        return float(np.prod(reference) - np.pi / 6)  # Of reference points outside of the sphere.

    points = {"reference": (2.0, 2.0, 2.0), "near": (1.1, 1.1, 1.1)}
    return FrontProblem("textbook", "dtlz2", limits, loss, objectives=3, volume=volume, **points)  # type: ignore[arg-type]


def bnh() -> FrontProblem:
    """BNH: the best points lie where both parameters are equal, then along the upper limit of the second one."""

    def values(x: float, y: float) -> Value:
        excesses = ((x - 5) ** 2 + y**2) / 25 - 1, 1 - ((x - 8) ** 2 + (y + 3) ** 2) / 7.7
        return Value((4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2), excesses)

    def front() -> Points:
        line = np.linspace(0.0, 5.0, _DENSE)
        return np.array([values(x, min(x, 3.0)).losses for x in line.tolist()])

    return _constrained("bnh", {"x0": (0.0, 5.0), "x1": (0.0, 3.0)}, values, front)


def tnk() -> FrontProblem:
    """TNK: the losses are the parameters, and the front is a part of the border of what the first bound allows."""

    def values(x: float, y: float) -> Value:
        border = 1 + 0.1 * np.cos(16 * np.arctan2(x, y))
        excesses = float(border - x**2 - y**2), ((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.5 - 1
        return Value((x, y), excesses)

    def front() -> Points:
        angles = np.linspace(0.0, np.pi / 2, 10 * _DENSE)
        radius = np.sqrt(1 + 0.1 * np.cos(16 * angles))
        border = np.stack([radius * np.sin(angles), radius * np.cos(angles)], axis=1)
        return border[((border - 0.5) ** 2).sum(axis=1) <= 0.5]

    return _constrained("tnk", {"x0": (0.0, np.pi), "x1": (0.0, np.pi)}, values, front)


def srn() -> FrontProblem:
    """SRN: the front runs along the second bound, then where the gradients are opposite, then along the first bound."""

    def values(x: float, y: float) -> Value:
        excesses = (x**2 + y**2) / 225 - 1, (x - 3 * y + 10) / 10
        return Value((2 + (x - 2) ** 2 + (y - 1) ** 2, 9 * x - (y - 1) ** 2), excesses)

    def front() -> Points:
        along, top = np.linspace(-2.5, 1.1, _DENSE), float(np.sqrt(225 - 2.5**2))
        circle = np.linspace(-2.5, -7.5, _DENSE)
        points = [(x, (x + 10) / 3) for x in along.tolist()]
        points += [(-2.5, y) for y in np.linspace(2.5, top, _DENSE).tolist()]
        points += [(x, float(np.sqrt(225 - x**2))) for x in circle.tolist()]
        return np.array([values(x, y).losses for x, y in points])

    return _constrained("srn", {"x0": (-20.0, 20.0), "x1": (-20.0, 20.0)}, values, front)


def _constrained(
    name: str,
    limits: dict[str, tuple[float, float]],
    values: Callable[[float, float], Value],
    make_front: Callable[[], Points],
) -> FrontProblem:
    """A problem of two parameters and two bounds; its losses are scaled to the extent of its front."""
    front = _undominated(make_front())
    low, high = front.min(axis=0), front.max(axis=0)
    volume = partial(_volume_of, lambda: (front - low) / (high - low))
    scale = {"ideal": tuple(low.tolist()), "nadir": tuple(high.tolist())}
    kinds = {"bounds": 2, "volume": volume}
    return FrontProblem("bounds", name, limits, lambda p: values(p["x0"], p["x1"]), **kinds, **scale)  # type: ignore


def _volume_of(front: Callable[[], Points], reference: Sequence[float]) -> float:
    return hypervolume(front(), reference)


def _undominated(points: Points) -> Points:
    return np.asarray(points[ranks(points) == 0])
