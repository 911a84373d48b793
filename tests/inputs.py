"""Inputs as people and accidents give them: valid, nearly valid, of wrong types, and garbage."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import strategies
import yaml
from hypothesis import strategies as st

from evo.population.events import encode

_NUMBERS = [0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 0.0, -0.0, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf]
_TEXTS = [
    "",
    " ",
    "x",
    "1",
    "1e-4",
    "null",
    "nan",
    "\0",
    "é\u202e\U0001f9ec",
    "\ud800",
    "%s{}",
    "a" * 500,
    "-",
    "--",
    "[]",
]


def _nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


# Values of all types, which stand where another type was meant.
strange = (
    st.sampled_from([*_NUMBERS, *_TEXTS, None, True, False, [], {}, [[]], {"": None}, b"\xff", _nested(8), _nested(40)])
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.lists(st.integers() | st.text(max_size=3), max_size=4)
    | st.dictionaries(st.text(max_size=3) | st.integers(), st.integers() | st.text(max_size=3), max_size=3)
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all parts of a nested value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in _places(part, (*path, key)))]


@st.composite
def mutated(draw: st.DrawFn, valid: st.SearchStrategy[Any], most: int = 2) -> Any:
    """A nested value of which some parts are replaced, left out, renamed, repeated or put elsewhere."""
    root = [copy.deepcopy(draw(valid))]
    for _ in range(draw(st.integers(1, most))):
        *way, last = draw(st.sampled_from(_places(root)[1:]))
        holder: Any = root
        for key in way:
            holder = holder[key]
        how = draw(st.sampled_from(["replace", "replace", "remove", "rename", "repeat", "wrap"]))
        if how == "remove" and holder is not root:
            del holder[last]
        elif how == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=4) | st.integers())] = holder.pop(last)
        elif how == "repeat" and isinstance(holder, list) and holder is not root:
            holder.insert(0, copy.deepcopy(holder[last]))
        elif how == "wrap":
            holder[last] = [holder[last]] if draw(st.booleans()) else {"values": holder[last]}
        else:
            holder[last] = copy.deepcopy(draw(strange))  # Its parts may be changed next.
    return root[0]


def _is_key(value: Any) -> bool:
    return not isinstance(value, list | dict)


# Limits as a YAML file has them.
_numbers = st.sampled_from([0, 1, 2, 10, 0.0, 0.5, 1e-4, 1.0, 100.0])
_plain_limits = st.one_of(
    st.lists(_numbers, min_size=2, max_size=4, unique=True),
    st.lists(st.sampled_from(["relu", "tanh", "sgd", "adam"]), min_size=2, max_size=3, unique=True),
    st.just([False, True]),
    st.fixed_dictionaries(
        {"type": st.just("float"), "low": _numbers, "high": _numbers},
        optional={"log": st.booleans(), "when": st.just({"a": "sgd"})},
    ),
    st.fixed_dictionaries(
        {"type": st.just("int"), "low": st.integers(0, 9), "high": st.integers(5, 99)},
        optional={"log": st.booleans(), "step": st.integers(1, 3)},
    ),
    st.fixed_dictionaries({"type": st.just("choice"), "values": st.just(["none", None, 0.5, True, 3])}),
)
_names = st.sampled_from(["a", "b", "lr", "units", "ä"])
plain_limits = st.dictionaries(_names, _plain_limits, min_size=1, max_size=4)
any_limits = st.one_of(
    strategies.limits(),
    plain_limits,
    mutated(plain_limits),
    mutated(plain_limits, most=6),
    st.dictionaries(st.text(max_size=3) | strange.filter(_is_key), strange),
    strange,
)

# Settings of a search that always ends soon.
_propagators = st.sampled_from(
    [
        "random",
        {"name": "genetic", "crossover": 0.5},
        {"class_path": "InitUniform"},
        {
            "class_path": "Compose",
            "init_args": {"propagators": [{"class_path": "SelectMin", "init_args": {"count": 2}}]},
        },
        {
            "class_path": "Conditional",
            "init_args": {"population": 2, "then": {"class_path": "PointMutation"}, "otherwise": "random"},
        },
    ]
)
_durations = st.sampled_from([1, 0.5, "1s", "1m", "00:00:01", "1-00:00:00"])
settings = st.fixed_dictionaries(
    {"objective": st.just("losses.py:loss"), "limits": plain_limits},
    optional={
        "generations": st.integers(1, 3),
        "walltime": _durations,
        "target": _numbers | st.sampled_from([{"a": 0.5}, {"hypervolume": 1}]),
        "objectives": st.sampled_from(["a", ["a", "b"], {"a": "min"}, {"a": "max", "other": "min"}]),
        "constraint_metrics": st.sampled_from([{"m": "<= 1"}, {"m": [">= 0", "<= 2e9"], "a": ">= -1"}]),
        "reference_point": st.sampled_from([{"a": 1, "b": 2.5}, {"a": 1}]),
        "seed": st.integers(0, 99),
        "islands": st.sampled_from([1, [{"workers": 1, "propagator": "random"}], [{"workers": 1}]]),
        "migration": st.sampled_from(["copy", "move"]),
        "migration_probability": st.sampled_from([0.0, 1.0]),
        "topology": st.sampled_from(["full", "ring", "torus", "star", "random", [[0]]]),
        "migrants": st.integers(1, 2),
        "emigration": st.sampled_from(["SelectMin", "SelectUniform"]),
        "ranks_per_worker": st.just(1),
        "exchange": st.sampled_from(["auto", "flat", "tree"]),
        "keep_checkpoints": st.integers(1, 3),
        "checkpoint_interval": _durations,
        "collective_timeout": _durations,
        "max_failed_share": st.sampled_from([0, 0.5, 1]),
        "allow_duplicates": st.booleans(),
        "gpus_per_node": st.just(0),
        "gpu_memory": st.sampled_from([0.3, 1]),
        "propagator": _propagators,
        "population": st.integers(2, 9),
        "crossover": st.sampled_from([0, 0.5, 1.0]),
        "mutation": st.sampled_from([0, 0.5, 1.0]),
        "sigma": st.sampled_from([0.01, 1]),
        "quiet": st.booleans(),
        "debug": st.booleans(),
    },
)


def _as_yaml(value: Any) -> bytes:
    try:
        return yaml.safe_dump(value, allow_unicode=True).encode(errors="surrogatepass")
    except yaml.YAMLError:
        return repr(value).encode(errors="surrogatepass")


@st.composite
def torn(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> bytes:
    """A text of which a part is cut out, repeated, or overwritten by other bytes."""
    text = draw(texts)
    begin, end = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    return text[:begin] + draw(st.sampled_from([b"", text[begin:end] * 2, b"\0" * (end - begin)]) | _junk) + text[end:]


_junk = st.binary(max_size=12) | st.sampled_from(
    [
        b"\n",
        b"\t",
        b":",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"&a *a",
        b"!!python/object:os.system ",
        b"'",
        b"%",
        b"\xff\xfe",
    ]
)
_files = st.sampled_from(
    [
        b"",
        b"\0" * 20,
        b"[" * 3000,
        b"{a: " * 500,
        b"limits: &a {a: *a}",
        b"limits: &a [*a, *a]",
        b"--- a\n--- b\n",
        b"objective: !!python/object/apply:os.getcwd []\n",
        b"limits: {a: [0, 1]}\nlimits: {b: [0, 1]}\n",
        b"limits: !include other.yaml\n",
        b"? [a, b]\n: c\n",
        b"limits: {2020-01-01: [0, 1], 1: [0, 1], ~: [0, 1], a: [0o7, 0x10, 1_000]}\n",
        b"config: study.yaml\n",
    ]
)
study_files = st.one_of(
    settings.map(_as_yaml),
    mutated(settings).map(_as_yaml),
    mutated(settings, most=5).map(_as_yaml),
    torn(settings.map(_as_yaml)),
    torn(torn(settings.map(_as_yaml))),
    _files,
    st.binary(max_size=60),
)

# Command lines; "study.yaml" and "limits.yaml" are files, and "run" is a run directory.
_words = """losses.py:loss losses.py:fails losses.py:stops losses.py:exits losses.py:missing losses.py:LIMITS losses.py
none.py:f broken.py:f sphere digit study.yaml limits.yaml none.yaml run math:sin json:dumps evo.cli:main a:b:c a.b:c .:f
..:f /:f : :: - -- é.py:ü"""
_objectives = st.sampled_from([*_words.split(), "", "\0", "\ud800:f"])
_words = """--limits --generations --walltime --target --seed --islands --island-sizes --migration --topology --degree
--migration-probability --migrants --emigration --immigration --ranks-per-worker --exchange --evaluate=inline
--population --time-limit --checkpoint-interval --collective-timeout --keep-checkpoints --max-failed-share
--allow-duplicates --gpus-per-node --propagator --crossover --mutation --random-init
--sigma --quiet --debug --config --objective --help --nothing --seed.a
--objectives --constraint-metrics --reference-point --objectives.a --constraint-metrics.m --target.a
--limits.a --propagator.help --limits+ --islands+ --eval -h -x"""
_options = st.sampled_from(_words.split())
_words = """1 2 0 -1 0.5 1e400 nan inf 1h null true [] {} [[0,1],[1,0]] [1,1] [1,2 {a:[0,1]} limits.yaml study.yaml copy
ring SelectMin random none.Class math.Sin . /dev/null é"""
_lines_of_yaml = [
    "{x: [0.0, 1.0]}",
    "<= 1",
    ">=",
    "{a: max, b: min}",
    "[a, x]",
    "{class_path: os.system}",
    "{class_path: Compose, init_args: {propagators: 3}}",
]
_values = (
    st.sampled_from([*_words.split(), *_lines_of_yaml, "", "\0", "\ud800", "9" * 40, "9" * 5000, "[" * 500])
    | st.text(max_size=6)
    | plain_limits.map(json.dumps)
)
_words = """run run/ ./run new new/a/b run/study.json run/journal losses.py losses.py/x . - ü /dev/null /dev/null/x
/proc/x"""
_run_dirs = st.sampled_from([*_words.split(), "", " ", "\0", "\ud800", "x" * 300])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Arguments of `evo run`: sensible ones, of which some are replaced, left out or followed by others."""
    arguments = [draw(st.just("losses.py:loss") | _objectives)]
    for name, value in draw(settings | st.just({"limits": {"x": [0.0, 1.0], "y": [0, 9]}})).items():
        if name != "objective" and value is not False:
            arguments.append("--" + name.replace("_", "-"))
            arguments += [] if value is True else [value if isinstance(value, str) else json.dumps(value)]
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(arguments)))
        arguments[place : place + draw(st.integers(0, 2))] = draw(st.lists(_options | _values, max_size=2))
    if draw(st.booleans()):
        arguments += ["--run-dir", draw(_run_dirs)]
    return arguments


other_commands = st.lists(
    st.sampled_from(
        ["best", "repair", "run", "--json", "--dry-run", "--help", "--version", "x", ".", "losses.py", "none", ""]
    )
    | st.sampled_from(["\0", "-", "\ud800", "x" * 300]),
    max_size=4,
)

# Journals of a study with the limits {x: [0.0, 1.0], y: [0, 9]}.
_identities = st.tuples(st.integers(0, 3), st.integers(0, 5)).map(list)
_records = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("Started"),
            "time": st.just(1.5),
            "individual": _identities,
            "island": st.integers(0, 2),
            "params": st.fixed_dictionaries({"x": st.sampled_from([0.0, 0.25, 1.0]), "y": st.integers(0, 9)}),
        },
        optional={"rank": st.integers(0, 3), "strategy": st.just({"a": [1.0]})},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("Finished"),
            "time": st.just(2.5),
            "individual": _identities,
            "status": st.sampled_from(["completed", "pruned", "failed", "interrupted"]),
            "loss": st.sampled_from([0.5, -1.0]),
            "rank": st.integers(0, 3),
        },
        optional={"metrics": st.just({"a": 1}), "seconds": st.just(3.0), "error": st.just("E: x")},
    ),
    strategies.events.map(lambda event: json.loads(encode(event))),
)


def _as_line(record: Any) -> bytes:
    return json.dumps(record, default=repr).encode(errors="surrogatepass")


_lines = st.one_of(
    _records.map(_as_line),
    _records.map(_as_line),
    mutated(_records).map(_as_line),
    torn(_records.map(_as_line)),
    _junk,
)
journals = st.one_of(
    st.lists(_records.map(_as_line), max_size=8).map(lambda lines: b"".join(line + b"\n" for line in lines)),
    st.lists(_lines, max_size=8).map(lambda lines: b"".join(line + b"\n" for line in lines)),
    torn(st.lists(_records.map(_as_line), max_size=8).map(b"\n".join)),
)
study_records = st.fixed_dictionaries(
    {
        "name": st.just("run"),
        "objective": st.just("losses.py:loss"),
        "limits": st.just({"x": {"type": "float", "low": 0.0, "high": 1.0}, "y": {"type": "int", "low": 0, "high": 9}}),
        "seed": st.just(0),
        "propagator": st.just(""),
        "islands": st.just([1]),
        "topology": st.just([]),
        "versions": st.just({}),
        "created": st.just(0.0),
    },
    optional={
        "objectives": st.just({"modes": {"a": "max"}, "bounds": [{"metric": "m", "limit": 1.0}]}),
    },
)
study_jsons = torn(study_records.map(_as_line)) | mutated(study_records, most=3).map(_as_line)
