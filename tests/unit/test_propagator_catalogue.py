"""Propagators as a study file names them: what is made of what, and what every mistake is answered with."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import get_loader

import evo.propagators
from evo.algorithms import Algorithm
from evo.algorithms.catalogue import READY, make_propagator, make_selection
from evo.propagators import (
    Compose,
    Conditional,
    CrossoverMultiple,
    CrossoverSigmoid,
    CrossoverUniform,
    InitUniform,
    IntervalMutationNormal,
    PointMutation,
    Propagator,
    RandomPointMutation,
    SelectMax,
    SelectMin,
    SelectUniform,
    Stochastic,
    default_propagator,
)

DEFAULTS = {"population": 6, "crossover": 0.6, "mutation": 0.5, "random_init": 0.2, "sigma": 0.1}

# A user's module.
MINE = '''
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evo.propagators import InitUniform, Propagator, SelectMin

if TYPE_CHECKING:
    from nowhere import Nothing

LIMIT = 3
Vector = list[float]


class Nowhere(Propagator):
    def breed(self, parents, space, rng):
        return list(parents)


@dataclass(frozen=True)
class Typed(Nowhere):
    """Of every kind of argument."""

    rate: float = 0.5
    kind: Literal["Even", "Odd"] = "Odd"
    maybe: Propagator | None = None
    named: Mapping[str, Propagator] | None = None
    best: SelectMin | None = None
    either: int | Propagator = 1
    call: Callable[[int], int] | None = None
    anything: Any = None


class Untyped(Nowhere):
    def __init__(self, first, *, others=(), **more):
        self.made = (first, others, more)


class Unresolvable(Nowhere):
    def __init__(self, part: Propagator, nothing: Nothing | None = None):
        self.part = part


class Moody(Nowhere):
    def __init__(self, mood: str = "bad"):
        raise ValueError(f"mood is {mood!r}:\\n  cheer up") if mood != "ill" else KeyError(mood)


class NoMethod(Propagator):
    pass


class TakesTwo(Nowhere):
    def __init__(self, count: int):
        self.count = count

    @property
    def parents(self):
        return 2


class TakesMore(Nowhere):
    def __init__(self, count: int, more: int):
        pass


class MySelection(Nowhere):
    def __init__(self, count: int):
        self.count = count


class Average:
    pass
'''


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A working directory with modules, which are forgotten again."""
    before = set(sys.modules)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "broken.py").write_text("1 +\n")
    (tmp_path / "needy.py").write_text("import no_such_library\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "empty.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def make(what: Any) -> Propagator:
    return make_propagator(what, DEFAULTS)


def from_yaml(text: str) -> Any:
    return get_loader("yaml")(text)


def of_mine(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"mine.{name}", "init_args": arguments}


def message_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        call()
    return str(caught.value)


# What is made


def test_a_name_makes_a_ready_one_with_the_defaults_that_it_takes() -> None:
    assert make("genetic") == default_propagator(6, crossover=0.6, mutation=0.5, random_init=0.2, sigma=0.1)
    assert make_propagator("genetic", {"population": 4}) == default_propagator(4)
    assert make("random") == InitUniform()


def test_a_mapping_with_a_name_has_parameters_that_come_before_the_defaults() -> None:
    made = make({"name": "genetic", "population": 8, "crossover": 0.9})
    assert made == default_propagator(8, crossover=0.9, mutation=0.5, random_init=0.2, sigma=0.1)
    assert make({"name": "genetic", "crossover": 1}) == make({"name": "genetic", "crossover": 1.0})
    assert make({"name": "random"}) == InitUniform()


# Each class of the package, with arguments other than its defaults.
EVERY: dict[str, tuple[dict[str, Any], Propagator]] = {
    "Compose": (
        {"propagators": [{"class_path": "SelectMin", "init_args": {"count": 2}}, {"class_path": "CrossoverUniform"}]},
        Compose([SelectMin(2), CrossoverUniform()]),
    ),
    "Conditional": (
        {"population": 5, "then": {"class_path": "SelectMin", "init_args": {"count": 1}}, "otherwise": "random"},
        Conditional(5, then=SelectMin(1), otherwise=InitUniform()),
    ),
    "CrossoverMultiple": ({"count": 3}, CrossoverMultiple(3)),
    "CrossoverSigmoid": ({"temperature": 2}, CrossoverSigmoid(2.0)),
    "CrossoverUniform": ({"contribution": 0.25}, CrossoverUniform(0.25)),
    "InitUniform": ({}, InitUniform()),
    "IntervalMutationNormal": ({"sigma": 0.2, "points": 3}, IntervalMutationNormal(0.2, 3)),
    "PointMutation": ({"points": 2}, PointMutation(2)),
    "RandomPointMutation": ({"min_points": 2, "max_points": 4}, RandomPointMutation(2, 4)),
    "SelectMax": ({"count": 3}, SelectMax(3)),
    "SelectMin": ({"count": 3}, SelectMin(3)),
    "SelectUniform": ({"count": 3}, SelectUniform(3)),
    "Stochastic": (
        {"propagator": {"class_path": "PointMutation"}, "probability": 0.5},
        Stochastic(PointMutation(), 0.5),
    ),
}


def test_every_class_of_the_package_is_tried() -> None:
    exported = (getattr(evo.propagators, name) for name in evo.propagators.__all__)
    assert set(EVERY) == {one.__name__ for one in exported if inspect.isclass(one) and not inspect.isabstract(one)}


@pytest.mark.parametrize("name", EVERY)
def test_every_class_of_the_package_is_made_by_its_name_or_with_its_module(name: str) -> None:
    arguments, by_hand = EVERY[name]
    for path in (name, f"evo.propagators.{name}", f"{type(by_hand).__module__}.{name}"):
        made = make({"class_path": path, "init_args": arguments})
        assert type(made) is type(by_hand)
        assert made == by_hand
        assert repr(made) == repr(by_hand)


@pytest.mark.parametrize("name", ["InitUniform", "CrossoverUniform", "CrossoverMultiple", "RandomPointMutation"])
def test_a_class_without_arguments_needs_no_init_args(name: str) -> None:
    assert make({"class_path": name}) == make({"class_path": name, "init_args": {}}) == getattr(evo.propagators, name)()


def test_what_is_nested_equals_what_is_composed_by_hand() -> None:
    text = """
    class_path: Conditional
    init_args:
      population: 6
      otherwise: random
      then:
        class_path: evo.propagators.Compose
        init_args:
          propagators:
          - {class_path: SelectMin, init_args: {count: 6}}
          - {class_path: SelectUniform, init_args: {count: 2}}
          - {class_path: Stochastic, init_args: {propagator: {class_path: CrossoverUniform}, probability: 0.6}}
          - {class_path: Stochastic, init_args: {propagator: {class_path: PointMutation}, probability: 0.5}}
          - {class_path: IntervalMutationNormal, init_args: {sigma: 0.1}}
          - {class_path: Stochastic, init_args: {propagator: random, probability: 0.2}}
    """
    made = make(from_yaml(text))
    assert made == make("genetic")
    assert repr(made) == repr(make("genetic"))


def test_a_ready_one_within_another_has_the_defaults_too() -> None:
    made = make({"class_path": "Compose", "init_args": {"propagators": [{"name": "genetic", "sigma": 0.3}, "random"]}})
    genetic = default_propagator(6, crossover=0.6, mutation=0.5, random_init=0.2, sigma=0.3)
    assert made == Compose([genetic, InitUniform()])


def test_what_is_given_stays_as_it_is() -> None:
    what = from_yaml("{class_path: Compose, init_args: {propagators: [random, {class_path: InitUniform}]}}")
    before = repr(what)
    assert make(what) == make(what)
    assert repr(what) == before


# What a user writes


@pytest.mark.usefixtures("mine")
def test_a_class_of_a_module_in_the_working_directory_is_made() -> None:
    made: Any = make({"class_path": "mine.Typed", "init_args": {"rate": 1}})
    assert type(made).__module__ == "mine"
    assert made.rate == 1.0


@pytest.mark.usefixtures("mine")
def test_arguments_with_type_hints_become_what_they_say() -> None:
    random, one = {"class_path": "InitUniform"}, {"class_path": "SelectMin", "init_args": {"count": 1}}
    made: Any = make(of_mine("Typed", maybe="random", named={"a": "random", "b": one}, best=one, either=random))
    assert made.maybe == made.named["a"] == made.either == InitUniform()
    assert made.named["b"] == made.best == SelectMin(1)
    plain: Any = make(of_mine("Typed", kind="Even", anything=["random", {"name": "random"}]))
    assert plain.anything == ["random", {"name": "random"}]


@pytest.mark.usefixtures("mine")
def test_arguments_without_type_hints_stay_as_they_are_but_for_a_class_path() -> None:
    random = {"class_path": "InitUniform"}
    made: Any = make(of_mine("Untyped", first=random, others=[[random], "random"], more={"a": 1}, name="x"))
    assert made.made == (InitUniform(), [[InitUniform()], "random"], {"more": {"a": 1}, "name": "x"})


@pytest.mark.usefixtures("mine")
def test_type_hints_that_cannot_be_resolved_are_passed_over() -> None:
    made: Any = make(of_mine("Unresolvable", part={"class_path": "InitUniform"}, nothing=3))
    assert made.part == InitUniform()


# Mistakes

MISTAKES: list[tuple[str, list[str]]] = [
    ("genetc", ["propagator 'genetc'", "no ready one", "did you mean genetic?", "genetic, random", "class_path"]),
    ("SelectMin", ["'SelectMin'", "genetic, random", "class_path: module.Class"]),
    ("", ["propagator is None", "genetic, random"]),
    ("3", ["propagator is 3", "genetic, random"]),
    ("[genetic]", ["propagator is ['genetic']", "genetic, random"]),
    ("{}", ["propagator is {}", "name", "class_path"]),
    ("{crossover: 0.9}", ["propagator is {'crossover': 0.9}", "name", "class_path"]),
    ("{name: genetic, class_path: SelectMin}", ["propagator is", "name", "class_path"]),
    ("{name: [genetic]}", ["propagator ['genetic']", "genetic, random"]),
    ("{name: genetic, crosover: 0.9}", ["genetic: 'crosover' is 0.9", "population, crossover, mut", "mean crossover?"]),
    ("{name: genetic, 1: 2}", ["genetic: 1 is 2", "population, crossover"]),
    ("{name: genetic, sigma: wide}", ["genetic: sigma is 'wide', but it takes sigma: float = 0.05"]),
    ("{name: genetic, population: 2.5}", ["genetic: population is 2.5, but it takes population: int"]),
    ("{name: genetic, population: null}", ["genetic: population is None, but it takes population: int"]),
    ("{name: genetic, mutation: 4}", ["propagator genetic: probability is 4", "between 0 and 1"]),
    ("{name: random, sigma: 1}", ["random: 'sigma' is 1", "it takes no arguments"]),
    ("{class_path: 3}", ["propagator 3 is no class", "evo.propagators", "module.Class"]),
    ("{class_path: 'mine:Typed'}", ["propagator 'mine:Typed' is no class", "module.Class"]),
    ("{class_path: ..SelectMin}", ["propagator '..SelectMin' is no class"]),
    ("{class_path: ''}", ["propagator '' is no class"]),
    (
        "{class_path: SelectMn}",
        [
            "SelectMn: there is no 'SelectMn'; evo.propagators or evo.algorithms has Compose, Cond",
            "mean SelectMin?",
            "of your own",
        ],
    ),
    ("{class_path: nowhere.Average}", ["nowhere.Average: there is no module 'nowhere'", "install it"]),
    ("{class_path: evo.nowhere.Average}", ["there is no module 'evo.nowhere'"]),
    ("{class_path: mine.Typed.Inner}", ["there is no module 'mine.Typed'"]),
    ("{class_path: broken.Average}", ["broken.Average: broken cannot be imported: SyntaxError", "line 1"]),
    ("{class_path: needy.Average}", ["needy cannot be imported: ModuleNotFoundError", "'no_such_library'"]),
    ("{class_path: leaving.Average}", ["leaving cannot be imported: SystemExit: 3"]),
    ("{class_path: empty.Average}", ["empty.Average: there is no 'Average'", "empty has no propagators"]),
    ("{class_path: mine.Typd}", ["mine.Typd: there is no 'Typd'", "did you mean Typed?", "InitUniform, Moody, MySel"]),
    ("{class_path: mine.Average}", ["mine.Average is no subclass of evo.Propagator", "Typed"]),
    ("{class_path: mine.LIMIT}", ["mine.LIMIT is no subclass of evo.Propagator"]),
    ("{class_path: default_propagator}", ["default_propagator is no subclass of evo.Propagator"]),
    ("{class_path: Propagator}", ["propagator Propagator is abstract, without breed", "Compose, Cond"]),
    ("{class_path: mine.NoMethod}", ["mine.NoMethod is abstract, without breed", "Typed"]),
    ("{class_path: SelectMin, count: 3}", ["SelectMin: 'count' stands beside class_path", "init_args"]),
    ("{class_path: InitUniform, init_args: null}", ["InitUniform: init_args is None", "mapping"]),
    ("{class_path: SelectMin, init_args: [3]}", ["SelectMin: init_args is [3]", "mapping"]),
    ("{class_path: SelectMin}", ["SelectMin: count is missing", "it takes count"]),
    ("{class_path: SelectMin, init_args: {cuont: 3}}", ["SelectMin: 'cuont' is 3, but it takes count", "mean count?"]),
    ("{class_path: SelectMin, init_args: {count: 0}}", ["propagator SelectMin: count is 0: give a whole number"]),
    ("{class_path: SelectMin, init_args: {count: many}}", ["SelectMin: count is 'many', but it takes count: int"]),
    ("{class_path: CrossoverSigmoid, init_args: {temperature: .nan}}", ["CrossoverSigmoid: temperature is nan"]),
    ("{class_path: Compose, init_args: {propagators: []}}", ["Compose: Compose is given no propagators"]),
    (
        "{class_path: Compose, init_args: {propagators: random}}",
        ["propagators is 'random', but it takes propagators: collections.abc.Sequence["],
    ),
    ("{class_path: Compose, init_args: {propagators: [random, 3]}}", ["propagator is 3", "genetic, random"]),
    ("{class_path: Compose, init_args: {propagators: [randm]}}", ["propagator 'randm'", "did you mean random?"]),
    ("{class_path: Compose, init_args: {propagators: [{name: genetic, sigma: 0}]}}", ["genetic: sigma is 0"]),
    (
        "{class_path: Compose, init_args: {propagators: [random, {class_path: CrossoverUniform}]}}",
        ["propagator Compose: InitUniform() returns 1 individuals, but CrossoverUniform(contribution=0.5) takes 2"],
    ),
    (
        "{class_path: Stochastic, init_args: {probability: 1, propagator: {class_path: SelectMin, init_args: {n: 1}}}}",
        ["propagator SelectMin: 'n' is 1, but it takes count"],
    ),
    ("{class_path: mine.Typed, init_args: {kind: Eve}}", ["kind is 'Eve'", "Literal['Even', 'Odd']"]),
    (
        "{class_path: mine.Typed, init_args: {best: {class_path: InitUniform}}}",
        ["best is {'class_path': 'InitUniform'}, but it takes best: evo.prop"],
    ),
    ("{class_path: mine.Moody}", ["propagator mine.Moody: mood is 'bad': cheer up"]),
    ("{class_path: mine.Moody, init_args: {mood: ill}}", ["mine.Moody cannot be made of {'mood': 'ill'}: KeyError"]),
    ("{class_path: mine.Untyped, init_args: {first: 1, 2: 3}}", ["mine.Untyped cannot be made", "must be strings"]),
    ("&a {class_path: Compose, init_args: {propagators: [*a]}}", ["nested more than 50 deep", "anchor"]),
    ("{name: genetic, sigma: &a [*a, *a]}", ["nested more than 50 deep", "anchor"]),
]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_a_mistake_is_answered_with_one_line_that_names_it(text: str, words: list[str]) -> None:
    message = message_of(lambda: make(from_yaml(text)))
    assert [word for word in words if word not in message] == [], message


def test_a_ready_one_without_a_default_says_what_is_missing() -> None:
    assert "propagator genetic: population is missing" in message_of(lambda: make_propagator("genetic", {}))


# Whatever a YAML file can hold, most of it near to what is right.
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.dates(),
    st.sampled_from([*READY, *EVERY, *(f"evo.propagators.{name}" for name in EVERY), "Propagator", "math.inf"]),
)
KEYS = st.one_of(
    st.sampled_from(["name", "class_path", "init_args", "propagators", "propagator", "count", *DEFAULTS]),
    st.sampled_from(["points", "then", "otherwise", "probability", "temperature"]),
    st.none() | st.integers() | st.text(max_size=3),
)


def structures(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def good(name: str) -> st.SearchStrategy[Any]:
        parameters = inspect.signature(getattr(evo.propagators, name)).parameters
        arguments = st.fixed_dictionaries({}, optional=dict.fromkeys(parameters, inner))
        return st.fixed_dictionaries({"class_path": st.just(name)}, optional={"init_args": arguments | inner})

    return st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sampled_from(sorted(EVERY)).flatmap(good),
        st.fixed_dictionaries({"name": st.sampled_from(sorted(READY))}, optional=dict.fromkeys(DEFAULTS, inner)),
    )


@given(st.recursive(PLAIN, structures, max_leaves=12))
def test_of_anything_comes_a_propagator_or_one_line(what: Any) -> None:
    try:
        made = make(what)
    except ValueError as error:
        message = str(error)
    else:
        assert isinstance(made, Propagator | Algorithm)
        assert made == make(what)
        return
    assert message.startswith("propagator ")
    assert len(message.splitlines()) == 1


PROPAGATORS = st.recursive(
    st.sampled_from(["random", "genetic", *({"class_path": name} for name in ("InitUniform", "CrossoverMultiple"))]),
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {
                "class_path": st.just("Conditional"),
                "init_args": st.fixed_dictionaries(
                    {"population": st.integers(1, 9), "then": inner, "otherwise": inner},
                ),
            }
        ),
        st.lists(inner, min_size=1).map(lambda parts: {"class_path": "Compose", "init_args": {"propagators": parts}}),
    ),
    max_leaves=8,
)


def by_hand(what: Any) -> Propagator:
    """The same, of the classes themselves."""
    if isinstance(what, str):
        return default_propagator(**DEFAULTS) if what == "genetic" else InitUniform()  # type: ignore[arg-type]
    arguments: Mapping[str, Any] = what.get("init_args", {})
    if what["class_path"] == "Compose":
        return Compose([by_hand(part) for part in arguments["propagators"]])
    if what["class_path"] == "Conditional":
        return Conditional(arguments["population"], by_hand(arguments["then"]), by_hand(arguments["otherwise"]))
    return InitUniform() if what["class_path"] == "InitUniform" else CrossoverMultiple()


@given(PROPAGATORS)
def test_of_what_is_right_comes_what_is_composed_by_hand(what: Any) -> None:
    assert make(what) == by_hand(what)


# Selections


@pytest.mark.parametrize("selection", [SelectMin, SelectMax, SelectUniform])
def test_a_selection_is_a_name_a_path_or_a_class(selection: type) -> None:
    for what in (selection.__name__, f"evo.propagators.{selection.__name__}", selection):
        assert make_selection(what)(3) == selection(3)


@pytest.mark.usefixtures("mine")
def test_a_selection_may_be_the_users() -> None:
    made: Any = make_selection("mine.MySelection")(4)
    assert (type(made).__name__, made.count) == ("MySelection", 4)


@pytest.mark.parametrize("name", sorted(set(EVERY) - {"SelectMin", "SelectMax", "SelectUniform"}))
def test_what_does_not_select_so_many_of_any_number_is_no_selection(name: str) -> None:
    message = message_of(lambda: make_selection(name))
    assert f"selection {name} " in message
    assert "such as SelectMax, SelectMin, SelectUniform" in message


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("SelectMedian", ["selection SelectMedian: there is no 'SelectMedian'", "SelectMin", "of your own"]),
        ("nowhere.Select", ["selection nowhere.Select: there is no module 'nowhere'"]),
        ("select min", ["selection 'select min' is no class"]),
        ("Propagator", ["selection Propagator is abstract"]),
        ("mine.Average", ["selection mine.Average is no subclass of evo.Propagator"]),
        ("mine.TakesMore", ["selection mine.TakesMore cannot be made with count 1: TypeError", "'more'", "SelectMin"]),
        ("mine.TakesTwo", ["selection mine.TakesTwo with count 1 is <mine.TakesTwo", "selects that many individuals"]),
        (Propagator, ["selection Propagator cannot be made with count 1: TypeError", "SelectMin"]),
        (int, ["selection int with count 1 is 1", "SelectMin"]),
        (None, ["selection None cannot be made", "SelectMin"]),
        (3, ["selection 3 cannot be made", "SelectMin"]),
    ],
)
def test_a_mistaken_selection_is_answered_with_one_line_that_names_it(what: Any, words: list[str]) -> None:
    message = message_of(lambda: make_selection(what))
    assert [word for word in words if word not in message] == [], message
